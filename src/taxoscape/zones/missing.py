"""Series with missing dates as plain matrices.

A tile that is cloudy, or outside the swath, on some dates takes part with the dates on which it counts. K-means
needs whole rows: `two_way_fill` gives them a first, neutral value, and `taxoscape.zones.kmeans` then replaces it by
what the zone of the tile shows on that date, until nothing changes. Distances never use a filled value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    Float32 = npt.NDArray[np.float32]
    Bool = npt.NDArray[np.bool_]

BLOCK_BYTES = 64 * 2**20
"""Bytes of float64 values that a computation holds at once."""


def counted(series: xr.Dataset) -> Bool:
    """Return on which dates each tile counts: bool (tile, time), False where a value of its embedding is missing."""
    values = series["embedding"].to_numpy()
    counts = np.empty(values.shape[:2], dtype=bool)
    for part in _blocks(values):
        counts[part] = np.isfinite(values[part]).all(axis=2)
    return counts


def two_way_fill(values: Float32, counts: Bool) -> Float32:
    """Fill missing dates with the mean of the date plus how the tile differs from the mean on its other dates.

    Parameters
    ----------
    values
        float32 (tile, time, feature); what it holds where ``counts`` is False does not matter.
    counts
        bool (tile, time); at least one True per tile.

    Returns
    -------
    float32 (tile, time, feature), a copy, finite everywhere. A date on which no tile counts becomes the mean of the
    other dates' means.
    """
    per_date = counts.sum(axis=0)[:, None]
    date_mean = np.zeros(values.shape[1:])
    for part in _blocks(values):
        date_mean += np.where(counts[part, :, None], values[part], 0).sum(axis=0, dtype=np.float64)
    date_mean /= np.maximum(per_date, 1)
    never = per_date[:, 0] == 0
    if never.any() and not never.all():
        date_mean[never] = date_mean[~never].mean(axis=0)
    filled = np.empty(values.shape, dtype=np.float32)
    for part in _blocks(values):
        seen = counts[part, :, None]
        offset = np.where(seen, values[part] - date_mean, 0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        filled[part] = np.where(seen, values[part], date_mean[None] + offset[:, None])
    return filled


def flat_distances(values: Float32, counts: Bool, centroids: Float32) -> Float32:
    """Return √(T/|S| · Σ_{t∈S} ‖x_t − c_t‖²) of each tile to each centroid over the dates S on which the tile counts.

    Parameters
    ----------
    values, counts
        float32 (tile, time, feature) and bool (tile, time).
    centroids
        float32 (zone, time, feature), finite.

    Returns
    -------
    float32 (tile, zone); NaN in the rows of tiles that count on no date.

    Notes
    -----
    A matrix product per block of tiles, in float64 on values centred on the mean centroid: one pass over the series.
    With every date counted this is the Euclidean distance of the flattened series, which K-means minimises.
    """
    n, times = values.shape[:2]
    centre = centroids.mean(axis=0, dtype=np.float64)
    targets = centroids - centre  # (zone, time, feature)
    norms = np.square(targets).sum(axis=2).T  # (time, zone)
    result = np.full((n, len(centroids)), np.nan, dtype=np.float32)
    for part in _blocks(values):
        seen = counts[part]
        known = np.where(seen[:, :, None], values[part] - centre, 0).reshape(len(seen), -1)
        squares = (
            np.square(known).sum(axis=1)[:, None] + seen @ norms - known @ (2 * targets.reshape(len(targets), -1)).T
        )
        scaled = squares * (times / np.maximum(seen.sum(axis=1), 1))[:, None]
        result[part] = np.where(np.any(seen, axis=1, keepdims=True), np.sqrt(np.maximum(scaled, 0)), np.nan)
    return result


def _blocks(values: Float32) -> Iterator[slice]:
    """Yield slices of tiles of which `BLOCK_BYTES` hold the values in float64."""
    step = max(1, BLOCK_BYTES // (8 * max(1, values.shape[1] * values.shape[2])))
    for start in range(0, len(values), step):
        yield slice(start, start + step)
