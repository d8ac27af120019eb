"""K-means on the flattened series, with missing dates.

Source: METHOD step 4 (Echegoyen et al. 2024, section on the geographic partition): K-means under squared Euclidean
distance on the series flattened to (tile, T · feature), best of several starts. The iterations are scikit-learn's.

Missing dates: a tile takes part with the dates on which it counts. Each start is made by K-means on series whose gaps
are filled neutrally (`taxoscape.zones.missing.two_way_fill`) and then settled by Lloyd's iterations that look at
counted dates alone: a tile goes to the centroid nearest over its dates, a centroid is the mean, date by date, of the
tiles that count. What is minimised is the squared distance over what was seen (the criterion of k-POD: Chi, Chi and
Baraniuk, The American Statistician 70, 2016).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from taxoscape.progress import Track, silent
from taxoscape.zones.missing import flat_distances
from taxoscape.zones.rows import row_blocks
from taxoscape.zones.starts import MAX_ITERATIONS, Partition, partitions

if TYPE_CHECKING:
    import numpy.typing as npt

    Int = npt.NDArray[np.int64]
    Float32 = npt.NDArray[np.float32]
    Bool = npt.NDArray[np.bool_]

BLOCK_BYTES = 32 * 2**20
"""Bytes of differences to the mean centre that are taken at once."""


def kmeans_partition(
    matrix: Float32,
    seen: Bool,
    k: int,
    *,
    starts: int,
    rng: np.random.Generator,
    first: Int | None = None,
    track: Track = silent,
) -> Partition:
    """Return the best K-means partition of several starts.

    Parameters
    ----------
    matrix
        float32 (row, time · feature), finite; gaps filled neutrally.
    seen
        bool (row, time): on which dates the row counts.
    k, starts, rng, first, track
        As `taxoscape.zones.starts.partitions`.
    """
    tried = partitions(matrix, k, starts=starts, rng=rng, first=first, track=track)
    if not seen.all():
        rows = matrix.reshape(*seen.shape, -1)
        tried = (settle(rows, seen, start) for start in tried)
    return min(tried, key=lambda partition: partition.inertia)


def settle(values: Float32, counts: Bool, start: Partition) -> Partition:
    """Go on from a partition by Lloyd's iterations that look at counted dates alone.

    Parameters
    ----------
    values, counts
        float32 (row, time, feature), and bool (row, time): whether the row counts on the date. What ``values`` holds
        where it does not, does not matter.
    start
        A partition of the rows; its centres stand where no row of a cluster counts on a date.

    Returns
    -------
    Partition whose inertia is the squared distance summed over counted dates. A cluster that loses all its rows takes
    the row farthest from its centre.

    Notes
    -----
    Memory: once the rows, in float32.
    """
    k, times, features = len(start.centres), *values.shape[1:]
    middle = start.centres.mean(axis=0).reshape(times, features)  # distances are taken from near zero: digits are kept
    known = np.empty((len(values), times * features), dtype=np.float32)
    for part in row_blocks(len(values), 4 * times * features, BLOCK_BYTES):
        known[part] = np.where(counts[part, :, None], values[part] - middle, 0).reshape(-1, times * features)
    seen = counts.astype(np.float32)
    norms = np.einsum("ij,ij->i", known, known)[:, None]
    centres = start.centres.reshape(k, times, features) - middle
    labels, rows = start.labels, np.arange(len(values))
    for _ in range(MAX_ITERATIONS):
        member = np.eye(k, dtype=np.float32)[labels]
        dates = (member.T @ seen)[:, :, None]
        sums = (member.T @ known).reshape(centres.shape)
        centres = np.where(dates > 0, sums / np.maximum(dates, 1), centres).astype(np.float32)
        squares = norms - known @ (2 * centres.reshape(k, -1)).T + seen @ np.square(centres).sum(axis=2).T
        nearest = squares.argmin(axis=1)
        for empty in np.setdiff1d(np.arange(k), nearest):
            lonely = np.bincount(nearest, minlength=k)[nearest] == 1
            nearest[np.where(lonely, -np.inf, squares[rows, nearest]).argmax()] = empty
        if np.array_equal(nearest, labels):
            break
        labels = nearest
    centres = (centres + middle).astype(np.float32)
    exact = flat_distances(values, counts, centres)[rows, labels].astype(np.float64) ** 2
    inertia = float((exact * counts.sum(axis=1) / times).sum())
    return Partition(labels=labels, centres=centres.reshape(k, -1), inertia=inertia)
