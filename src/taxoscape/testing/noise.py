"""Random fields that are functions of place: the same pixel has the same value whatever block it is computed in.

Nothing here has a state. A number is drawn by hashing integer coordinates with the key of a stream
(`stream_key`), so that a field exists everywhere at once and a block of it is computed without its surroundings.
Smooth fields are uniform cubic B-splines over such numbers on a coarse lattice (`smooth_noise`), sums of them over
octaves are fractal (`fractal_noise`).

Only ``+ − × ÷ √ ⌊⌋`` and comparisons touch a pixel, in a fixed order and without reductions. These are exact in IEEE
arithmetic, so blocks equal the whole to the last bit, on any machine.

Fields are float32 (y, x), with mean 0 and variance 1 over many pixels.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float32]
"""float32 array of any shape."""
Whole = npt.NDArray[np.int64]
"""int64 array of any shape, pixel or cell coordinates."""
Bits = npt.NDArray[np.uint32]
"""uint32 array of any shape, hashes."""

_SPLINE_SCALE = 1.0 / (np.sqrt(1 / 3) * 151 / 315)
"""Inverse standard deviation of a bilinear product of cubic B-splines over uniform numbers in −1…1."""


def stream_key(seed: int, *words: str | int) -> int:
    """Return the 32-bit key of the stream of random numbers named by ``words``."""
    return zlib.crc32("/".join(map(str, (seed, *words))).encode())


def hash_cells(i: npt.NDArray[np.integer[Any]], j: npt.NDArray[np.integer[Any]], key: int) -> Bits:
    """Return 32 random bits per cell ``(i, j)``: uint32 of the shape that ``i`` and ``j`` broadcast to.

    Notes
    -----
    Two rounds of Wellons' ``lowbias32`` finaliser: one per axis before broadcasting, one on the sum.
    """
    first = _scramble(i.astype(np.uint32) * np.uint32(0x9E3779B1) + np.uint32(key))
    second = _scramble(j.astype(np.uint32) * np.uint32(0x85EBCA77) + np.uint32(key ^ 0x5BD1E995))
    return _scramble(first + second)


def rehash(bits: Bits, word: int) -> Bits:
    """Return further bits, independent of ``bits``; one ``word`` per use."""
    return _scramble(bits ^ np.uint32((word * 0x9E3779B1) & 0xFFFFFFFF))


def uniform(bits: Bits) -> Real:
    """Return numbers in 0…1 (1 excluded) from bits: float32 of the same shape."""
    numbers = (bits >> np.uint32(8)).astype(np.float32)
    numbers *= np.float32(2.0**-24)
    return numbers


def bell(bits: Bits) -> Real:
    """Return numbers of mean 0 and variance 1 with a triangular density (±2.45) from bits."""
    halves = (bits & np.uint32(0xFFFF)) + (bits >> np.uint32(16))
    numbers = halves.astype(np.float32)
    numbers -= np.float32(65535.0)
    numbers *= np.float32(np.sqrt(6.0) / 65536.0)
    return numbers


def draw(seed: int, *words: str | int) -> float:
    """Return one number in 0…1 (1 excluded) from the stream named by ``words``."""
    key = np.asarray([stream_key(seed, *words)], dtype=np.uint32)
    return float(uniform(_scramble(key))[0])


def smooth_noise(rows: Whole, cols: Whole, cell: float, key: int) -> Real:
    """Return a smooth random field: float32 (y, x), mean 0, variance 1.

    Parameters
    ----------
    rows, cols
        Pixel coordinates of the rows (y,) and columns (x,) wanted.
    cell
        Pixels from one random number to the next: hills and hollows are about twice as wide.
    key
        Key of the stream.

    Notes
    -----
    Separable: 8 multiplications and gathers per pixel, whatever ``cell``.
    """
    row_base, row_weights = _spline(rows, cell)
    col_base, col_weights = _spline(cols, cell)
    first_row, first_col = int(row_base.min()), int(col_base.min())
    lattice_rows = np.arange(first_row, int(row_base.max()) + 4)
    lattice_cols = np.arange(first_col, int(col_base.max()) + 4)
    knots = uniform(hash_cells(lattice_rows[:, None], lattice_cols[None, :], key))
    knots = (knots * np.float32(2) - np.float32(1)) * np.float32(_SPLINE_SCALE)
    across = _weighted(knots.T, col_base - first_col, col_weights).T
    return _weighted(np.ascontiguousarray(across), row_base - first_row, row_weights)


def fractal_noise(rows: Whole, cols: Whole, cell: float, key: int, *, octaves: int, gain: float = 0.5) -> Real:
    """Return a sum of smooth fields, each half as coarse and ``gain`` as strong as the one before: float32 (y, x).

    Octaves of less than 2 pixels are left out.
    """
    total = np.zeros((len(rows), len(cols)), dtype=np.float32)
    power = 0.0
    for octave in range(octaves):
        if octave and cell / 2**octave < 2:
            break
        strength = gain**octave
        total += np.float32(strength) * smooth_noise(rows, cols, cell / 2**octave, key + 7919 * octave & 0xFFFFFFFF)
        power += strength**2
    total *= np.float32(1 / np.sqrt(power))
    return total


def _spline(positions: Whole, cell: float) -> tuple[Whole, list[Real]]:
    """Return the first of four knots per position and the weights of the four (cubic B-spline)."""
    scaled = positions / cell
    base = np.floor(scaled)
    t = (scaled - base).astype(np.float32)
    s = np.float32(1) - t
    sixth = np.float32(1 / 6)
    weights = [
        s * s * s * sixth,
        (np.float32(4) - np.float32(6) * t * t + np.float32(3) * t * t * t) * sixth,
        (np.float32(4) - np.float32(6) * s * s + np.float32(3) * s * s * s) * sixth,
        t * t * t * sixth,
    ]
    return base.astype(np.int64) - 1, weights


def _weighted(values: Real, base: Whole, weights: list[Real]) -> Real:
    """Return Σ weights[k] · values[base + k] along the first axis."""
    total = values[base] * weights[0][:, None]
    for offset in (1, 2, 3):
        term = values[base + offset]
        term *= weights[offset][:, None]
        total += term
    return total


def _scramble(bits: Bits) -> Bits:
    """Return well-mixed bits (a fresh array)."""
    bits = bits ^ (bits >> np.uint32(16))
    bits *= np.uint32(0x7FEB352D)
    bits ^= bits >> np.uint32(15)
    bits *= np.uint32(0x846CA68B)
    bits ^= bits >> np.uint32(16)
    return bits
