"""The centroids of zones, as far as they were seen.

A centroid stands for a zone on a date only where a tile of the zone counts on it. Elsewhere K-means has left a neutral
value in ``zones["centroids"]`` (`taxoscape.zones.missing`), which no distance between zones may use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr


def seen_centroids(zones: xr.Dataset) -> npt.NDArray[np.float64]:
    """Return the centroids of a dataset of `taxoscape.cluster`.

    Returns
    -------
    float64 (zone, time, feature); NaN on a date on which no tile of the zone counts.
    """
    centroids = zones["centroids"].to_numpy().astype(np.float64)
    centroids[tiles_per_date(zones) == 0] = np.nan
    return centroids


def tiles_per_date(zones: xr.Dataset) -> npt.NDArray[np.int64]:
    """Return how many tiles of each zone count on each date: int64 (zone, time)."""
    labels, counts = zones["labels"].to_numpy().astype(np.int64), zones["counts"].to_numpy()
    k = zones.sizes["zone"]
    return np.stack([np.bincount(labels[seen], minlength=k + 1)[1:] for seen in counts.T], axis=1).astype(np.int64)
