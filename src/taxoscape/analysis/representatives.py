"""The tiles that show best what a zone is (METHOD step 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from taxoscape.analysis.centroids import seen_centroids
from taxoscape.analysis.distances import ENOUGH_DATES, pairwise
from taxoscape.contracts import check_series, check_zones
from taxoscape.zones.metric import in_metric
from taxoscape.zones.rows import row_parts, rows_of, selected

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from taxoscape.grid import Grid

BLOCK_BYTES = 64 * 2**20
"""Bytes of float64 values that are compared with a centroid at once."""


def representatives(series: xr.Dataset, zones: xr.Dataset, *, count: int = 3) -> npt.NDArray[np.int64]:
    """Return the tiles of each zone whose series are nearest to its centroid.

    Under d = Σ_t ‖x_t − c_t‖, or under the metric of the partition where it has learned one.

    Parameters
    ----------
    series, zones
        Datasets of `taxoscape.encode` and `taxoscape.cluster` on one grid.
    count
        Tiles per zone.

    Returns
    -------
    int64 (zone, count), tile indices, nearest first; −1 where a zone has fewer tiles. Tiles that count on more dates
    come first: a distance over few dates says little. Tiles that overlap one that comes before them are passed over.
    """
    grid = check_series(series)
    check_zones(zones)
    labels, counts = zones["labels"].to_numpy(), zones["counts"].to_numpy()
    learned = in_metric(series, zones)
    centroids = seen_centroids(zones) if learned is None else learned[1]
    rows = rows_of(series) if learned is None else learned[0]
    bytes_of_row = 8 * rows.shape[1] * rows.shape[2]
    result = np.full((zones.sizes["zone"], count), -1, dtype=np.int64)
    for zone, centroid in enumerate(centroids):
        members = np.flatnonzero(labels == zone + 1)
        distance = np.concatenate([
            pairwise(block, centroid[None], metric="sumnorm")[:, 0]
            for _, block in row_parts(selected(rows, members), bytes_of_row, BLOCK_BYTES)
        ] or [np.zeros(0)])  # fmt: skip
        dates = counts[members].sum(axis=1)
        enough = dates >= ENOUGH_DATES * dates.max(initial=0)
        nearest = _apart(members[np.lexsort((distance, ~enough))], grid, count)
        result[zone, : len(nearest)] = nearest
    return result


def _apart(tiles: npt.NDArray[np.int64], grid: Grid, count: int) -> list[int]:
    """Return the first tiles, ``count`` or fewer, of which none overlaps one before it."""
    if grid.stride >= grid.tile_size:
        return [int(tile) for tile in tiles[:count]]
    corners, chosen = grid.corners[tiles], list[int]()
    left = np.arange(len(tiles))
    while len(left) and len(chosen) < count:
        chosen.append(int(tiles[left[0]]))
        beyond = np.abs(corners[left] - corners[left[0]]) >= grid.tile_size
        left = left[beyond.any(axis=1)]
    return chosen
