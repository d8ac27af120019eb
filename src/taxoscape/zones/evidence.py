"""Evidence for the number of zones: one sweep over k that says how well each number can be found again.

For each k the tiles are partitioned by K-means, and so are bootstrap samples of a seeded sample of the tiles; every
tile of the sample goes to the nearest centre of each bootstrap partition, and the partitions are compared in pairs, in
two ways. Their mean adjusted Rand index is the stability of k: how far the zones depend on the places that happened to
be looked at (Ben-Hur, Elisseeff and Guyon, *A stability based method for discovering structure in clustered data*, Pac.
Symp. Biocomput. 2002). Their mean prediction strength looks at the weakest zone alone: of its pairs of tiles, the share
that the other partition keeps together (Tibshirani and Walther, *Cluster validation by prediction strength*, J. Comput.
Graph. Stat. 14, 2005).

The rule: the largest k of prediction strength `FOUND_AGAIN` or more; where there is none, the k of the largest one. The
stability cannot take its place: among many clear zones, cutting one of them anywhere hardly lowers it, but leaves its
parts only 0.5 to 0.6 of their pairs. How we differ from Tibshirani and Walther: bootstrap samples in the place of
halves, and 0.7 for their 0.8 to 0.9, which suits well separated clusters, while zones of land overlap; 0.7 is set by
hand, by what it gives on made-up clusters and on the built-in region. Limits: where zones overlap much the rule gives
fewer than there are; data without zones can be cut in a stable way, along a gradient for one; and k = 1 is not tried.

What is shared over k: the series with gaps filled, or in the metric of neighbours, the bootstrap samples, and one
rotation of the sample to its principal axes, which keeps all distances and makes no more axes than tiles. K-means
starts are made on the first axes alone, and the best of them is carried on over all axes (the bootstrap samples) or on
the series (all tiles), see `taxoscape.zones.starts`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.progress import Track, silent
from taxoscape.zones.lloyd import Source, lloyd, means_of
from taxoscape.zones.nearest import nearest
from taxoscape.zones.numbering import label_dtype, number_by_size
from taxoscape.zones.starts import AXES, STARTS, Partition, axes_of, best_of_starts, principal_axes

if TYPE_CHECKING:
    import numpy.typing as npt

    Int = npt.NDArray[np.int64]
    Labels = npt.NDArray[np.integer]
    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]

FOUND_AGAIN = 0.7
"""Prediction strength from which the weakest zone counts as found again."""
MOST_ZONES = 15
"""Largest number of zones tried."""
SAMPLE_TILES = 2_000
"""Tiles of the sample that bootstrap samples are drawn from."""
BOOTSTRAPS = 8
"""Bootstrap samples, the same for all k."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What a sweep over the number of zones found."""

    ks: Int
    """Numbers of zones tried: int64 (k,), rising from 2; only 1 where all tiles are alike."""
    inertia_mean: Float64
    """Mean squared distance of a tile to its centre: ``flat``, gaps filled, or in the metric of neighbours; float64
    (k,)."""
    stability: Float64
    """Mean adjusted Rand index of the bootstrap partitions, in pairs; float64 (k,), NaN with too few tiles."""
    stability_error: Float64
    """Standard error of the stability, by the jackknife over the bootstrap samples; float64 (k,)."""
    strength: Float64
    """Mean prediction strength of the bootstrap partitions, in pairs: float64 (k,), NaN with too few tiles."""
    labels: Labels
    """The partitions: uint8 or uint16 (tile, k), zones 1…k by falling number of tiles, 0 = no date counts."""
    chosen: int
    """The number of zones by the rule."""
    reason: str
    """Why, in one sentence."""

    @property
    def chosen_labels(self) -> Labels:
        """The partition into the chosen number of zones: (tile,), as ``first_labels`` of `taxoscape.cluster`."""
        return np.ascontiguousarray(self.labels[:, int(np.flatnonzero(self.ks == self.chosen)[0])])

    def for_tiles(self, members: Int, n_tiles: int) -> Evidence:
        """Return the same with labels of ``n_tiles`` tiles, of which those of ``members`` were partitioned."""
        labels = np.zeros((n_tiles, len(self.ks)), dtype=self.labels.dtype)
        labels[members] = self.labels
        return replace(self, labels=labels)


def evidence_of(
    matrix: Float32, *, most: int = MOST_ZONES, rng: int | np.random.Generator = 0, track: Track = silent
) -> Evidence:
    """Return the evidence for the number of clusters of the rows of a finite matrix, float32 (row, column).

    As `evidence`, for series that are flat and without gaps already.
    """
    most = min(most, distinct_rows(matrix, most))
    if most < 2:
        return _all_alike(len(matrix), most)
    generator = np.random.default_rng(rng)
    sample = _sample(len(matrix), generator)
    rotated, first_axes = principal_axes(matrix, sample)

    def partitions(ks: Int, seeds: Int) -> Iterator[Partition]:
        yield from (best_of_starts(matrix, first_axes, int(k), own) for k, own in zip(ks, seeds, strict=True))

    return _swept(matrix[sample], rotated, partitions, most, generator, track)


def evidence_of_rows(
    source: Source,
    different: int,
    *,
    most: int = MOST_ZONES,
    rng: int | np.random.Generator = 0,
    track: Track = silent,
) -> Evidence:
    """Return the evidence for the number of clusters of series that are read block by block.

    As `evidence_of`; the partitions of all numbers are carried on over all columns at once
    (`taxoscape.zones.lloyd`).

    Parameters
    ----------
    source
        The rows, their gaps filled.
    different
        How many of them are different, counted up to ``most``.
    most, rng, track
        As `evidence_of`.

    Notes
    -----
    Two passes over the rows before those of Lloyd's iterations. Memory: the sample of tiles in float64, twice, and 32
    axes, 14 labels and twice as many bounds a row.
    """
    n, most = len(source.values), min(most, different)
    if most < 2:
        return _all_alike(n, most)
    generator = np.random.default_rng(rng)
    sample = _sample(n, generator)
    some = source.made(source.values[sample], source.seen[sample])
    rotated, centre, directions = axes_of(some)
    first_axes = np.empty((n, directions.shape[1]), dtype=np.float32)
    for part, rows, _ in source.blocks(source.parts):
        first_axes[part] = (rows - centre) @ directions

    def partitions(ks: Int, seeds: Int) -> Iterator[Partition]:
        begun = [best_of_starts(first_axes, first_axes, int(k), own) for k, own in zip(ks, seeds, strict=True)]
        means = means_of(source, [start.labels for start in begun], ks.tolist())
        yield from lloyd(source, means, track=track).partitions

    return _swept(some, rotated, partitions, most, generator, track)


def _sample(n: int, rng: np.random.Generator) -> Int:
    return np.sort(rng.permutation(n)[:SAMPLE_TILES])


def _all_alike(n: int, most: int) -> Evidence:
    return Evidence(
        ks=np.ones(1, dtype=np.int64), inertia_mean=np.zeros(1), stability=np.full(1, np.nan),
        stability_error=np.full(1, np.nan), strength=np.full(1, np.nan),
        labels=np.ones((n, 1), dtype=label_dtype(most)), chosen=1, reason="1 zone: all tiles are alike.",
    )  # fmt: skip


def _swept(
    some: Float32,
    rotated: Float32,
    partitions: Callable[[Int, Int], Iterator[Partition]],
    most: int,
    rng: np.random.Generator,
    track: Track,
) -> Evidence:
    """Return the evidence from a sample of rows, the same on its axes, and what partitions all rows."""
    resamples = [rng.integers(0, len(some), len(some)) for _ in range(BOOTSTRAPS)]
    different = [distinct_rows((some[row] for row in resample), most) for resample in resamples]
    ks = np.arange(2, most + 1)
    seeds = rng.integers(0, 2**31, size=(len(ks), 1 + BOOTSTRAPS, STARTS))
    of_all, columns = partitions(ks, seeds[:, 0]), []
    measures = np.full((4, len(ks)), np.nan)
    for index, k in enumerate(track(ks.tolist(), "number of zones", len(ks))):
        found = next(of_all)
        numbered, _ = number_by_size(found.labels, k, np.ones(len(found.labels)))
        columns.append(numbered.astype(label_dtype(most)))
        resampled = [
            nearest(rotated, best_of_starts(rotated[rows], rotated[rows, :AXES], k, starts).centres)
            for rows, starts, enough in zip(resamples, seeds[index, 1:], different, strict=True)
            if enough >= k
        ]
        measures[:, index] = (
            found.inertia / len(found.labels),
            *mean_agreement(resampled),
            prediction_strength(resampled, k),
        )
    chosen, reason = choose(ks, measures[3])
    return Evidence(
        ks=ks, inertia_mean=measures[0], stability=measures[1], stability_error=measures[2], strength=measures[3],
        labels=np.stack(columns, axis=1), chosen=chosen, reason=reason,
    )  # fmt: skip


def choose(ks: Int, strength: Float64) -> tuple[int, str]:
    """Return the number of zones by the rule, and why.

    Parameters
    ----------
    ks
        int64 (k,), rising.
    strength
        float64 (k,): prediction strength of each; NaN: not known.

    Returns
    -------
    The largest k of strength `FOUND_AGAIN` or more; without one, the k of the largest strength; where none is known,
    the smallest k.

    Examples
    --------
    >>> import numpy as np
    >>> choose(np.array([2, 3, 4]), np.array([0.99, 0.81, 0.55]))[0]
    3
    """
    known = np.flatnonzero(np.isfinite(strength))
    if not len(known):
        return int(ks[0]), f"{ks[0]} zones, the fewest: there are too few different tiles to compare their partitions."
    good = known[strength[known] >= FOUND_AGAIN]
    if not len(good):
        best = int(known[strength[known].argmax()])
        tried = f"no number from {ks[known[0]]} to {ks[known[-1]]} reaches" if len(known) > 1 else "that is below"
        return int(ks[best]), (
            f"{ks[best]} zones: the number whose weakest zone is found again best in random resamples of the tiles "
            f"({strength[best]:.0%} of its pairs of tiles stay together), but {tried} {FOUND_AGAIN:.0%}: the tiles may "
            "fall into no clear zones."
        )
    last = int(good[-1])
    after = f"{ks[last]} was the most tried"
    if last + 1 < len(ks):
        value = strength[last + 1]
        after = f"with {ks[last + 1]}, {value:.0%}" if np.isfinite(value) else f"{ks[last + 1]} could not be judged"
    return int(ks[last]), (
        f"{ks[last]} zones: the largest number of which even the weakest zone is found again in random resamples of "
        f"the tiles ({strength[last]:.0%} of its pairs of tiles stay together, {FOUND_AGAIN:.0%} are asked; {after})."
    )


def prediction_strength(partitions: list[Int], k: int) -> float:
    """Return how well the weakest cluster of a partition is kept by another, mean over ordered pairs of partitions.

    Parameters
    ----------
    partitions
        Labels 0…k−1 of the same rows, each int64 (row,).
    k
        Number of clusters.

    Returns
    -------
    Mean over pairs (a, b) of the smallest, over the clusters of a with two rows or more, of the share of pairs of rows
    of the cluster that are in one cluster of b. NaN with fewer than two partitions, or where a has no such cluster.
    """
    shares = []
    for one, other in itertools.permutations(partitions, 2):
        table = np.bincount(one * k + other, minlength=k * k).reshape(k, k)
        sizes = table.sum(axis=1)
        kept = (table * (table - 1)).sum(axis=1)[sizes > 1] / (sizes * (sizes - 1))[sizes > 1]
        shares.append(kept.min() if len(kept) else np.nan)
    return float(np.mean(shares)) if shares else float("nan")


def mean_agreement(partitions: list[Int]) -> tuple[float, float]:
    """Return the mean adjusted Rand index over pairs of partitions, and its standard error.

    Parameters
    ----------
    partitions
        Labels of the same rows, each int64 (row,).

    Returns
    -------
    The mean, NaN with fewer than two partitions; the error by the jackknife, leaving out one partition at a time, NaN
    with fewer than three.
    """
    from sklearn.metrics import adjusted_rand_score

    n = len(partitions)
    if n < 2:
        return float("nan"), float("nan")
    agree = np.zeros((n, n))
    for i, j in itertools.combinations(range(n), 2):
        agree[i, j] = agree[j, i] = adjusted_rand_score(partitions[i], partitions[j])
    total = agree.sum() / 2
    mean = float(total / (n * (n - 1) / 2))
    if n < 3:
        return mean, float("nan")
    without = (total - agree.sum(axis=1)) / ((n - 1) * (n - 2) / 2)
    return mean, float(np.sqrt((n - 1) / n * np.square(without - without.mean()).sum()))


def distinct_rows(rows: Iterable[Float32], enough: int) -> int:
    """Return the number of different rows, counted only up to ``enough``."""
    seen: set[bytes] = set()
    for row in rows:
        seen.add(row.tobytes())
        if len(seen) >= enough:
            break
    return len(seen)
