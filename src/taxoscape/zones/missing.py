"""Series with missing dates as plain matrices.

A tile that is cloudy, or outside the swath, on some dates takes part with the dates on which it counts. K-means
needs whole rows: `two_way_fill` gives them a first, neutral value, and `taxoscape.zones.kmeans` then replaces it by
what the zone of the tile shows on that date, until nothing changes. Distances never use a filled value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    Float32 = npt.NDArray[np.float32]
    Bool = npt.NDArray[np.bool_]

BLOCK_BYTES = 64 * 2**20
"""Bytes of float32 differences that a distance computation holds at once."""


def counted(series: xr.Dataset) -> Bool:
    """Return on which dates each tile counts: bool (tile, time), False where its embedding is missing (NaN)."""
    return np.asarray(np.isfinite(series["embedding"].isel(feature=0).to_numpy()))


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
    seen = counts[:, :, None]
    known = np.where(seen, values, 0)
    per_date = seen.sum(axis=0)
    date_mean = known.sum(axis=0, dtype=np.float64) / np.maximum(per_date, 1)
    if (per_date == 0).any() and (per_date > 0).any():
        date_mean[per_date[:, 0] == 0] = date_mean[per_date[:, 0] > 0].mean(axis=0)
    offset = np.where(seen, values - date_mean, 0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    return np.where(seen, values, date_mean[None] + offset[:, None]).astype(np.float32)


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
    One pass over the series per zone, in blocks of tiles. With every date counted this is the Euclidean distance of
    the flattened series, which K-means minimises.
    """
    n, times, features = values.shape
    result = np.full((n, len(centroids)), np.nan, dtype=np.float32)
    block = max(1, BLOCK_BYTES // (4 * times * features))
    for start in range(0, n, block):
        part, seen = values[start : start + block], counts[start : start + block]
        share = times / np.maximum(seen.sum(axis=1), 1)
        for zone, centroid in enumerate(centroids):
            squares = np.einsum("itf,itf->it", part - centroid, part - centroid, dtype=np.float64)
            distance = np.sqrt(share * np.where(seen, squares, 0).sum(axis=1))
            result[start : start + block, zone] = np.where(seen.any(axis=1), distance, np.nan)
    return result
