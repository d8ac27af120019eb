"""In what order triplets are trained on where the cube is too large to be held.

A batch of triplets drawn from a whole region touches about as many blocks of storage as it has triplets, and each costs
the reading of a block hundreds of times as large as a tile. So where a cube is larger than `WHOLE`, the triplets of a
date are sorted by block, blocks in a random order, and cut into windows of as many blocks as the reader keeps, a few at
a time; triplets are shuffled within a window, and batches among `LANES` windows, of other dates as a rule. Each block
is then read about once an epoch. Where an epoch has no more triplets on a date than the date has blocks, nothing is won
and nothing lost.

What it costs: tiles of a batch are drawn from a window and not from the whole date, so more of them lie near each other
and teach less: 1.6 % in the place of 1.1 % of the pairs of a batch on a small built-in region, without a difference in
what was learnt that two seeds could show (`docs/method.md`).

Whether it is done depends on the size of the cube alone, and never on the memory at hand, so that the same scenes,
settings and seed give the same order on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from taxoscape.embedding.tiles import BLOCK_PX, CACHE

if TYPE_CHECKING:
    import numpy.typing as npt

    from taxoscape.embedding.tiles import TileReader

    Index: TypeAlias = npt.NDArray[np.intp]
    Int32: TypeAlias = npt.NDArray[np.int32]

WHOLE = 2 * 2**30
"""Bytes of a cube, with its mask, up to which batches are drawn from all of it."""
LANES = 4
"""Windows that batches are taken from in turn."""
LEAST = 4
"""Blocks in a window, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """How a large cube is taken apart."""

    edge_px: int
    """Edge of a block."""
    at_once: int
    """Blocks of a window; all windows in use fill half of what a reader keeps."""


def storage_of(reader: TileReader) -> Storage | None:
    """Return how a cube is taken apart, or None where it is small enough to be drawn from as a whole."""
    pixels, pixel = reader.n_times * reader.height * reader.width, reader.n_bands * reader.dtype.itemsize
    if pixels * (pixel + 1) <= WHOLE:
        return None
    return Storage(edge_px=BLOCK_PX, at_once=max(LEAST, CACHE // (2 * LANES * BLOCK_PX**2 * pixel)))


def windows_of(
    rows: Index, corners: Int32, n_batches: int, storage: Storage, rng: np.random.Generator
) -> list[list[Index]]:
    """Cut triplets into windows of a few blocks, and these into batches of nearly equal size.

    Parameters
    ----------
    rows
        The triplets, in random order.
    corners
        Int32 (triplet, 3): corners (row, col, time) of the anchors of all triplets.
    n_batches
        Batches to make in all.
    storage
        Blocks, and how many make a window.
    rng
        Of the order of blocks, and of triplets within a window.

    Returns
    -------
    Batches by window. How many there are of both depends on the triplets and not on ``rng``.
    """
    places = corners[rows] // np.array([storage.edge_px, storage.edge_px, 1], np.int32)
    blocks, which = np.unique(places, axis=0, return_inverse=True)
    rows = rows[np.argsort(rng.permutation(len(blocks))[which.reshape(-1)], kind="stable")]
    edges = np.linspace(0, len(rows), n_batches + 1).round().astype(np.intp)
    step = max(1, round(storage.at_once * n_batches / len(blocks)))
    firsts = range(0, n_batches, step)
    counts = [min(step, n_batches - first) for first in firsts]
    parts = [rng.permutation(rows[edges[first] : edges[first + n]]) for first, n in zip(firsts, counts, strict=True)]
    return [np.array_split(part, n) for part, n in zip(parts, counts, strict=True)]


def interleaved(windows: list[list[Index]], rng: np.random.Generator) -> list[Index]:
    """Return the batches of windows: windows in random order, `LANES` at a time, their batches in random order."""
    order, found = rng.permutation(len(windows)), []
    for start in range(0, len(windows), LANES):
        batches = [batch for window in order[start : start + LANES] for batch in windows[window]]
        found += [batches[i] for i in rng.permutation(len(batches))]
    return found
