"""Pixels for eyes: bands in any unit become 8-bit colour, all of one picture series under the same limits.

The limits are taken once, over all tiles and dates that are shown together, so that a change from one date to the next
is seen as a change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]

NO_DATA_GREY = (226, 226, 226)
"""Colour of a pixel without a usable value."""

COLORMAP = "viridis"
"""Perceptually even colours for data of a single band."""

_MOST_VALUES = 4_000_000


def stretch_limits(values: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.float64]:
    """Return the 2 % and 98 % quantiles of each band over its usable values.

    Parameters
    ----------
    values
        Any real dtype, (…, band, y, x).
    valid
        bool (…, y, x): True where a pixel can be used; where not given, wherever a value is finite.

    Returns
    -------
    numpy.ndarray
        float64 (band, 2); ``(0, 1)`` for a band without any usable value.

    Notes
    -----
    Above 4 million values a band, evenly spaced ones are taken.
    """
    limits = np.tile([0.0, 1.0], (values.shape[-3], 1))
    for band in range(values.shape[-3]):
        plane = values[..., band, :, :]
        usable = np.isfinite(plane) if valid is None else np.isfinite(plane) & valid
        found = plane[usable]
        if found.size:
            limits[band] = np.quantile(found[:: 1 + found.size // _MOST_VALUES].astype(np.float64), (0.02, 0.98))
    return limits


def stretch(
    values: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_] | None = None,
    *,
    limits: npt.NDArray[np.float64] | None = None,
    colormap: str = COLORMAP,
) -> Pixels:
    """Return values as 8-bit colour, each band stretched between its own limits.

    Parameters
    ----------
    values
        Any real dtype, (…, band, y, x) with three bands, shown as red, green and blue, or one, shown in a colormap.
    valid
        bool (…, y, x): True where a pixel can be used; where not given, wherever all bands are finite.
    limits
        float64 (band, 2); where not given, `stretch_limits` of these values.
    colormap
        matplotlib's name of the colormap for a single band.

    Returns
    -------
    numpy.ndarray
        uint8 (…, y, x, 3); light grey where a pixel cannot be used.

    Raises
    ------
    InputError
        Where there are neither one nor three bands.
    """
    n_bands = values.shape[-3]
    if n_bands not in (1, 3):
        raise InputError(f"a picture has one or three bands, not {n_bands}: choose them with --rgb")
    limits = stretch_limits(values, valid) if limits is None else limits
    planes = []
    usable = np.ones((*values.shape[:-3], *values.shape[-2:]), dtype=np.bool_) if valid is None else valid
    for band, (low, high) in enumerate(limits):
        plane = values[..., band, :, :].astype(np.float32)
        usable = usable & np.isfinite(plane)
        share = (plane - low) / (high - low) if high > low else np.full_like(plane, 0.5)
        planes.append(np.rint(255 * np.clip(np.nan_to_num(share, nan=0.0), 0, 1)).astype(np.uint8))
    rgb = _ramp(colormap)[planes[0]] if n_bands == 1 else np.stack(planes, axis=-1)
    return np.where(usable[..., None], rgb, np.array(NO_DATA_GREY, dtype=np.uint8))


def _ramp(colormap: str) -> Pixels:
    """Return a colormap as uint8 (256, 3)."""
    from matplotlib import colormaps

    return np.asarray(colormaps[colormap](np.arange(256), bytes=True))[:, :3].astype(np.uint8)
