"""The silhouette of partitions, without a matrix of all distances.

Distances come block by block (`taxoscape.analysis.distances.distance_blocks`) and are summed by zone at once, by a
product with the membership of the tiles; any number of partitions of the same tiles share the one pass. Where all
pairs are too much work, the silhouettes of a simple random sample of tiles are taken, each of them exactly, against all
tiles: their mean is an unbiased estimate, and its confidence interval is that of a sample without replacement.

Source: Rousseeuw, *Silhouettes*, J. Comput. Appl. Math. 20 (1987); Cochran, *Sampling Techniques* (1977), chapter 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.analysis.distances import Metric, distance_blocks
from taxoscape.errors import InputError
from taxoscape.progress import Track, silent

if TYPE_CHECKING:
    import numpy.typing as npt

    from taxoscape.zones.rows import StoredRows

    Values = npt.NDArray[np.floating] | StoredRows
    Float64 = npt.NDArray[np.float64]
    Int = npt.NDArray[np.int64]

WORK = 2e11
"""Products spent on one call by default; a pair and date costs one per feature and 64 more."""
LEAST_TILES = 1_000
"""Tiles of a sample that are taken whatever the work."""
_PAIR_COST = 64
_NORMAL_95 = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over tiles: exact, or estimated from a sample."""

    value: float
    """The mean; NaN where it is not defined."""
    half_width: float
    """Half the width of its 95 % confidence interval; 0.0 where every tile was taken, NaN where it is not known."""
    n: int
    """Number of tiles whose silhouette was taken."""


def silhouettes(
    values: Values,
    labelings: npt.NDArray[np.integer],
    *,
    metric: Metric,
    rng: int | np.random.Generator,
    most: int | None = None,
    track: Track = silent,
) -> tuple[Estimate, ...]:
    """Return the mean silhouette of each of several partitions of the same tiles.

    Parameters
    ----------
    values
        float (tile, time, feature); a date with a value that is not finite is missing.
    labelings
        Integer (tile, partition): zone of each tile in each partition; 0 = none, such a tile takes no part in that
        partition.
    metric
        The distance: ``"flat"`` or ``"sumnorm"`` as in `taxoscape.analysis.distances`.
    rng
        Seed or generator of the sample.
    most
        Size of the sample, None: `affordable_tiles`. All tiles are taken where it is half of them or more, since a
        pair of tiles then serves both and costs once.
    track
        Told of each block of distances done.

    Returns
    -------
    An `Estimate` per partition: the mean over its tiles of (b − a) / max(a, b), a the mean distance to the own zone, b
    the smallest mean distance to another. A pair without a shared date takes no part in a mean. 0 for a tile alone in
    its zone, as in scikit-learn, and for one without a distance to its own zone or to any other. NaN with fewer than
    two zones.

    Raises
    ------
    InputError
        Where ``labelings`` does not fit ``values``, or ``most`` is below 2.

    Notes
    -----
    Time O(r · n · T · F) for r tiles taken of n, half of it where all are, however many partitions; memory
    `taxoscape.analysis.distances.BUDGET_BYTES` and 16 bytes per tile taken and zone of any partition. One sample serves
    all partitions. The half width is 1.96 √((1 − r/n) s²/r).
    """
    if labelings.ndim != 2 or len(labelings) != len(values):
        raise InputError(
            f"silhouettes need labels (tile, partition) of the {len(values)} tiles of the series, these have the shape "
            f"{labelings.shape}: give one column per partition"
        )
    if most is not None and most < 2:
        raise InputError(f"a sample of {most} tiles tells no mean: give most=2 or more, or leave it out")
    members = np.flatnonzero((labelings > 0).any(axis=1))
    sample = affordable_tiles(len(members), *values.shape[1:]) if most is None else most
    labels = [_compact(column) for column in labelings[members].T]
    if all(int(column.max(initial=-1)) < 1 for column in labels):
        return tuple(Estimate(value=float("nan"), half_width=float("nan"), n=0) for _ in labels)
    rows = np.arange(len(members))
    if 2 * sample < len(members):
        rows = np.sort(np.random.default_rng(rng).choice(len(members), sample, replace=False))
    sums, unknown = _by_zone(values, members, rows, labels, metric, track)
    found, start = [], 0
    for column in labels:
        stop = start + int(column.max(initial=-1)) + 1
        scores = _scores(sums[:, start:stop], unknown[:, start:stop], column, rows)
        found.append(_estimate(scores, int((column >= 0).sum()), zones=stop - start))
        start = stop
    return tuple(found)


def affordable_tiles(n: int, times: int, features: int) -> int:
    """Return of how many of ``n`` tiles the silhouettes are taken by default.

    All where their n²/2 pairs fit `WORK` (15 000 tiles of 3 dates and 512 features), otherwise as many as fit it, each
    against all ``n``, but at least `LEAST_TILES`.
    """
    sample = max(LEAST_TILES, int(WORK / max(1, n * times * (features + _PAIR_COST))))
    return n if 2 * sample >= n else sample


def _compact(labels: npt.NDArray[np.integer]) -> Int:
    """Return labels 0…K−1 without gaps, −1 for tiles in no zone."""
    result = np.full(len(labels), -1, dtype=np.int64)
    placed = labels > 0
    result[placed] = np.unique(labels[placed], return_inverse=True)[1]
    return result


def _by_zone(
    values: Values, members: Int, rows: Int, labels: list[Int], metric: Metric, track: Track
) -> tuple[Float64, Float64]:
    """Return, per row and zone of every partition, the sum of known distances and the number of unknown ones."""
    symmetric = len(rows) == len(members)
    width = sum(int(column.max(initial=-1)) + 1 for column in labels)
    sums, unknown = np.zeros((len(rows), width)), np.zeros((len(rows), width))
    whole = len(members) == len(values)
    blocks = distance_blocks(
        values,
        values,
        metric=metric,
        left_index=None if whole and symmetric else members[rows],
        right_index=None if whole else members,
        symmetric=symmetric,
        track=track,
    )
    for left, right, block in blocks:
        missing = np.isnan(block)
        gaps = bool(missing.any())
        if gaps:
            block[missing] = 0
        sides = [(left, right, block, missing)]
        if symmetric and left != right:
            sides.append((right, left, block.T, missing.T))
        for one, other, distances, without in sides:
            member = _membership(labels, other, width, block.dtype)
            sums[one] += distances @ member
            if gaps:
                unknown[one] += without.astype(block.dtype) @ member
    return sums, unknown


def _membership(labels: list[Int], part: slice, width: int, dtype: np.dtype[np.floating]) -> npt.NDArray[np.floating]:
    """Return 1 where a tile of the part is in a zone of a partition: float (tile, zone of every partition)."""
    member = np.zeros((part.stop - part.start, width), dtype=dtype)
    start = 0
    for column in labels:
        here = column[part]
        placed = np.flatnonzero(here >= 0)
        member[placed, start + here[placed]] = 1
        start += int(column.max(initial=-1)) + 1
    return member


def _scores(sums: Float64, unknown: Float64, labels: Int, rows: Int) -> Float64:
    """Return the silhouettes of the rows that are in a zone of one partition."""
    placed = labels[rows] >= 0
    own_zone = labels[rows[placed]]
    sizes = np.bincount(labels[labels >= 0], minlength=sums.shape[1])
    counts = sizes - unknown[placed]
    here = np.arange(len(own_zone))
    counts[here, own_zone] -= 1  # the tile itself, at distance 0
    means = np.full(counts.shape, np.inf)
    np.divide(sums[placed], counts, out=means, where=counts > 0)
    own = means[here, own_zone].copy()
    means[here, own_zone] = np.inf
    other = means.min(axis=1, initial=np.inf)
    larger = np.maximum(own, other)
    defined = np.isfinite(larger) & (larger > 0)
    scores = np.zeros(len(own))
    scores[defined] = (other[defined] - own[defined]) / larger[defined]
    return scores


def _estimate(scores: Float64, n: int, *, zones: int) -> Estimate:
    taken = len(scores)
    if zones < 2 or not taken:
        return Estimate(value=float("nan"), half_width=float("nan"), n=taken if zones > 1 else 0)
    if taken == n:
        return Estimate(value=float(scores.mean()), half_width=0.0, n=taken)
    half = _NORMAL_95 * np.sqrt((1 - taken / n) * scores.var(ddof=1) / taken) if taken > 1 else np.nan
    return Estimate(value=float(scores.mean()), half_width=float(half), n=taken)
