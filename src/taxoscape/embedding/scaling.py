"""From the scenes' units to what a network sees, band by band.

An encoder learns its scaling once, from a sample of valid pixels, and carries it: nobody scales pixels outside. Values
are shifted and divided per band, and cut at `LIMIT` deviations, so that one hot pixel cannot drown a tile. An invalid
pixel becomes the mean of its band.

Mean and deviation are taken of the sample between its 0.5th and 99.5th percentile, so that saturated or forgotten
nodata values do not set the scale. For 8-bit scenes the paper's network sees values divided by 255, as it did in the
prototype.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from taxoscape.embedding.tiles import TileReader

LIMIT = 8.0
"""Largest absolute value after scaling."""
SAMPLE_TILES = 512
"""Tiles from which a scaling is learnt."""
SAMPLE_PIXELS = 4096
"""Pixels taken of each of those tiles, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Shift and divisor of each band: ``(value - offset) / scale``."""

    mean: tuple[float, ...]
    """Mean of each band in the scenes' units: what an invalid pixel is taken for."""
    offset: tuple[float, ...]
    """What is taken from the values of each band."""
    scale: tuple[float, ...]
    """What each band is then divided by; positive."""

    def apply(self, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.float32]:
        """Return tiles as a network sees them.

        Parameters
        ----------
        values
            (n, band, y, x) in the scenes' units; a pixel with a value that is not finite is invalid.
        valid
            Bool (n, y, x), True where the pixel can be used; None: everywhere.

        Returns
        -------
        numpy.ndarray
            Float32 (n, band, y, x) within ±`LIMIT`.
        """
        narrow = values.dtype.itemsize <= 2 or values.dtype == np.float32
        scaled: npt.NDArray[np.floating] = values.astype(np.float32 if narrow else np.float64)
        offset, scale, mean = (np.asarray(v, scaled.dtype)[:, None, None] for v in (self.offset, self.scale, self.mean))
        scaled = (scaled - offset) / scale
        usable = self.usable(values, valid)
        if not usable.all():
            scaled = np.where(usable, scaled, (mean - offset) / scale)
        seen: npt.NDArray[np.float32] = np.clip(scaled, -LIMIT, LIMIT).astype(np.float32, copy=False)
        return seen

    def usable(self, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.bool_]:
        """Return which pixels `apply` keeps: bool (n, 1, y, x), True where valid and finite in all bands."""
        usable = np.ones((len(values), 1, *values.shape[2:]), bool) if valid is None else valid[:, None]
        if values.dtype.kind == "f":
            usable = usable & np.isfinite(values).all(axis=1, keepdims=True)
        return usable


def learn_scaling(reader: TileReader, corners: npt.NDArray[np.int32], *, eight_bit: bool = False) -> Scaling:
    """Learn the scaling of each band from valid pixels of tiles.

    Parameters
    ----------
    reader
        The cube.
    corners
        Int32 (n, 3): tiles to learn from, in random order; the first `SAMPLE_TILES` are used.
    eight_bit
        Whether scenes of 8 bits are to be divided by 255 instead (METHOD step 2).

    Raises
    ------
    InputError
        Where none of the tiles has a valid pixel.

    Notes
    -----
    Reads at most `SAMPLE_TILES` tiles and keeps `SAMPLE_PIXELS` of each, evenly spread.
    """
    parts = []
    for start in range(0, min(len(corners), SAMPLE_TILES), 16):
        values, valid = reader.read(corners[start : start + 16])
        step = max(1, reader.tile_size**2 // SAMPLE_PIXELS)
        pixels = values.transpose(0, 2, 3, 1)[valid][::step].astype(np.float64)
        parts.append(pixels[np.isfinite(pixels).all(axis=1)])
    sample = np.concatenate(parts) if parts else np.empty((0, reader.n_bands))
    if not len(sample):
        raise InputError("the tiles drawn have not one valid pixel: check --nodata and the masks of the scenes")
    low, high = np.percentile(sample, [0.5, 99.5], axis=0)
    cut = np.clip(sample, low, high)
    mean, std = cut.mean(axis=0), cut.std(axis=0)
    for spread in (sample.std(axis=0), np.ones_like(std)):  # a band that is (nearly) constant
        std = np.where(std > 1e-6 * np.maximum(np.abs(mean), 1e-30), std, spread)
    offset, scale = (np.zeros_like(mean), np.full_like(std, 255.0)) if eight_bit else (mean, std)
    as_floats = [tuple(float(v) for v in axis) for axis in (mean, offset, scale)]
    return Scaling(mean=as_floats[0], offset=as_floats[1], scale=as_floats[2])
