"""K-means on the flattened series, with missing dates.

Source: METHOD step 4 (Echegoyen et al. 2024, section on the geographic partition): K-means under squared Euclidean
distance on the series flattened to (tile, T · feature), best of several starts. The starts are scikit-learn's k-means++
on a sample of the rows, all of them where they are few; the iterations are those of `taxoscape.zones.lloyd`, over all
rows and all starts at once, whether the series is in memory or read block by block.

Missing dates: a tile takes part with the dates on which it counts. Each start is made by K-means on series whose gaps
are filled neutrally (`taxoscape.zones.missing.fill_from_means`) and then settled by Lloyd's iterations that look at
counted dates alone: a tile goes to the centroid nearest over its dates, a centroid is the mean, date by date, of the
tiles that count. What is minimised is the squared distance over what was seen (the criterion of k-POD: Chi, Chi and
Baraniuk, The American Statistician 70, 2016).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from taxoscape.progress import Track, silent
from taxoscape.zones.lloyd import Source, lloyd, means_of
from taxoscape.zones.missing import fill_from_means, flat_distances, means_of_dates
from taxoscape.zones.rows import row_blocks
from taxoscape.zones.starts import MAX_ITERATIONS, Partition, axes_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from taxoscape.zones.rows import Rows

    Int = npt.NDArray[np.int64]
    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]
    Bool = npt.NDArray[np.bool_]

BLOCK_BYTES = 32 * 2**20
"""Bytes of differences to the mean centre that are taken at once."""
SAMPLE_ROWS = 10_000
SAMPLE_BYTES = 64 * 2**20
"""Rows, and bytes of them, on which k-means++ is done, at most; ten rows a cluster even where they are more."""


def kmeans_partition(
    values: Rows,
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
    values, seen
        float32 (row, time, feature) and bool (row, time): on which dates the row counts, once at least. What
        ``values`` holds where it does not, does not matter.
    k
        Number of clusters, at most the number of different rows.
    starts
        Number of k-means++ starts.
    rng
        Source of the starts.
    first
        Labels 0…k−1 (negative: none) whose means are one further start; ignored where a label has no row.
    track
        Told of each pass over the rows.

    Notes
    -----
    Memory beside the rows: a sample of them, `SAMPLE_ROWS` or `SAMPLE_BYTES` at most, twice, and what
    `taxoscape.zones.lloyd.lloyd` takes. Passes over the rows: one for the sample, with gaps two more, and those of
    Lloyd's iterations.
    """
    seeds = [int(seed) for seed in rng.integers(0, 2**31, size=starts)]
    gaps = not seen.all()
    fill = means_of_dates(values, seen) if gaps else None
    sample = _sample_of(values, seen, k, fill, rng)
    middle = sample.mean(axis=0, dtype=np.float64) if fill is None else fill.ravel()
    about_middle = sample - middle.astype(np.float32)
    if sample.shape[1] > len(sample):  # as far apart in fewer columns
        about_middle = axes_of(about_middle)[0]
    begun = [_seeded(about_middle, sample, k, seed) for seed in seeds]
    del sample, about_middle
    source = Source(values, seen, middle=middle, fill=fill)
    if first is not None and all((first == label).any() for label in range(k)):
        begun.insert(0, means_of(source, [first], [k])[0])
    found = lloyd(source, begun, track=track).partitions
    if gaps:
        seen_alone = Source(values, seen, middle=middle)
        labels = [start.labels for start in found]
        found = lloyd(
            seen_alone, [start.centres for start in found], labels=labels, tolerance=0, track=track
        ).partitions
    return min(found, key=lambda partition: partition.inertia)


def _sample_of(values: Rows, seen: Bool, k: int, fill: Float64 | None, rng: np.random.Generator) -> Float32:
    """Return rows to make starts on, their gaps filled: float32 (row, column), all of them where they are few."""
    columns = values.shape[1] * values.shape[2]
    most = min(SAMPLE_ROWS, max(SAMPLE_BYTES // (4 * columns), 10 * k))
    which = np.arange(len(values))
    if len(which) > most:
        which = np.sort(rng.permutation(len(values))[:most])
    some = values[:] if len(which) == len(values) else values[which]
    if fill is not None:
        filled = np.empty(some.shape, dtype=np.float32)
        for part in row_blocks(len(some), 8 * columns, BLOCK_BYTES):
            filled[part] = fill_from_means(some[part], seen[which[part]], fill)
        some = filled
    return some.reshape(len(some), -1)


def _seeded(about_middle: Float32, sample: Float32, k: int, seed: int) -> Float32:
    """Return the rows of a sample that k-means++ begins with: float32 (cluster, column)."""
    from sklearn.cluster import kmeans_plusplus

    _, chosen = kmeans_plusplus(about_middle, k, random_state=seed)
    return np.asarray(sample[chosen], dtype=np.float32)


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
