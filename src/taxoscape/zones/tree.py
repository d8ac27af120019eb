"""One taxonomy for every number of zones: a tree over many small clusters, cut anywhere.

Partitions into 6 and into 20 zones that are made apart from each other do not nest, and their numbers mean nothing to
each other. Here every zone of a partition is cut into small clusters by K-means in the metric of the partition, and
these are put together again, two at a time, by Ward's rule: first within each zone, down to the zones themselves, then
the zones, up to the whole region. The tree so passes through the partition: its cut at K zones is the partition with
all that speaks for it (`docs/evidence.md` tells how it and freer trees agree with a truth), and every other cut is
nested with it and with every other.

**Ids.** A zone of the partition keeps its number. Where a zone is split, its larger part keeps the number and the
smaller one gets the next free number, K + 1, K + 2, … in the order of the splits; where two are merged, the larger
one's number stays. A number therefore means the same tiles' kernel in every cut in which it is there: from ``first_k``
zones on, and for K zones and more the numbers are 1…k without a gap.

Source of the merging rule: Ward, *Hierarchical grouping to optimize an objective function*, JASA 58 (1963), with the
sizes of the small clusters as weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.areas import cell_areas_km2
from taxoscape.contracts import check_series, check_zones
from taxoscape.errors import InputError
from taxoscape.progress import Track, silent
from taxoscape.zones.axes import fit_axes
from taxoscape.zones.evidence import distinct_rows
from taxoscape.zones.metric import Metric, metric_of
from taxoscape.zones.missing import counted, seen_rows
from taxoscape.zones.numbering import label_dtype
from taxoscape.zones.rows import rows_of
from taxoscape.zones.starts import AXES, fit

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    Int = npt.NDArray[np.int64]
    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]

MOST_LEAVES = 240
"""Small clusters of a region, at most, unless it has more zones than that."""
TILES_PER_LEAF = 4
"""Tiles of a small cluster, on average, at least."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ZoneTree:
    """A tree of zones, told by what splits from what: number i is there from ``first_k[i − 1]`` zones on."""

    leaves: npt.NDArray[np.integer]
    """The finest cut: uint8 or uint16 (tile,), numbers 1…L, 0 = none."""
    n_zones: int
    """K, the number of zones of the partition that the tree passes through."""
    splits_from: Int
    """int64 (id,): the number that each one splits from; 0 for that of the whole region."""
    first_k: Int
    """int64 (id,): smallest number of zones at which each one is there, 1…L, a permutation."""
    heights: Float64
    """float64 (id,): how far apart the two parts of the split lie, Ward's √(2 Δ) in units of the metric and of √tiles,
    falling with ``first_k``; NaN for the whole region."""
    sizes: Int
    """int64 (id,): tiles of each leaf where the tree was made."""
    centroids: Float32
    """float32 (id, component): centre of each leaf on the axes of ``space``."""
    space: Metric
    """The map from flattened series without gaps to the axes on which the tree was made."""

    @property
    def n_leaves(self) -> int:
        """L, the largest number of zones that the tree can be cut into."""
        return len(self.first_k)

    def ids(self, k: int) -> Int:
        """Return the numbers that a cut into ``k`` zones has: int64 (k,), rising.

        Raises
        ------
        InputError
            Where the tree has not so many zones.
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= self.n_leaves:
            raise InputError(
                f"the tree of zones can be cut into 1 to {self.n_leaves} zones, not into {k!r}: choose among these "
                "(--zones)"
            )
        return np.asarray(np.flatnonzero(self.first_k <= k) + 1, dtype=np.int64)

    def lookup(self, k: int) -> Int:
        """Return the number in a cut into ``k`` zones of each number of the finest cut: int64 (L + 1,), 0 for 0."""
        self.ids(k)
        found = np.zeros(self.n_leaves + 1, dtype=np.int64)
        for index in np.argsort(self.first_k):
            found[index + 1] = index + 1 if self.first_k[index] <= k else found[self.splits_from[index]]
        return found

    def cut(self, k: int) -> npt.NDArray[np.integer]:
        """Return the zones of a cut into ``k``.

        Parameters
        ----------
        k
            Number of zones, 1 to `n_leaves`.

        Returns
        -------
        Integer (tile,): the numbers of `ids`, 0 = none. For ``k`` of the partition itself and above they are 1…k. Each
        zone of a cut lies inside one zone of every coarser cut.

        Raises
        ------
        InputError
            Where the tree has not so many zones.
        """
        labels: npt.NDArray[np.integer] = self.lookup(k)[self.leaves].astype(label_dtype(int(self.ids(k)[-1])))
        return labels


def zone_tree(
    series: xr.Dataset,
    zones: xr.Dataset,
    *,
    areas_km2: Float64 | None = None,
    rng: int | np.random.Generator = 0,
    track: Track = silent,
) -> ZoneTree:
    """Build the tree of zones that passes through a partition.

    Parameters
    ----------
    series, zones
        Datasets of `taxoscape.encode` and `taxoscape.cluster` on one grid.
    areas_km2
        float64 (tile,): area of each tile's cell, which tells which part of a split is the larger; where not given,
        `taxoscape.areas.cell_areas_km2` of the grid.
    rng
        Seed or generator of the small clusters.
    track
        Told of each zone that is cut into small clusters.

    Raises
    ------
    InputError
        Where series and zones are not of the same tiles, or break their contracts.

    Notes
    -----
    Small clusters: `MOST_LEAVES` in all, or fewer where that would be fewer than `TILES_PER_LEAF` tiles each, in
    proportion to the tiles of a zone, at least one. They are made in the learned metric of the partition, or on the
    first principal axes of the series where it has none. Time: K-means in each zone and O(L³) for L small clusters,
    about a second in all. Memory: the series on the axes, and a copy of one in memory where tiles count on no date; a
    lazy one is read block by block.
    """
    grid = check_zones(zones)
    if check_series(series) != grid:
        raise InputError("series and zones are of different tiles: give those of one run")
    areas = cell_areas_km2(grid) if areas_km2 is None else areas_km2
    generator = np.random.default_rng(rng)
    labels, k = zones["labels"].to_numpy().astype(np.int64), int(zones.sizes["zone"])
    values, counts, members = seen_rows(rows_of(series), counted(series))
    space = metric_of(zones) if "metric_axes" in zones else Metric.of(fit_axes(values, counts, AXES, rng=generator))
    rows, own = space.apply(values, counts), labels[members] - 1
    small = _small_clusters(rows, own, k, generator, track)
    n = int(small.max()) + 1
    sizes = np.bincount(small, minlength=n)
    centres = np.stack([np.bincount(small, column, n) / sizes for column in rows.T.astype(np.float64)], axis=1)
    zone_of = np.zeros(n, dtype=np.int64)
    zone_of[small] = own
    merges, heights = ward_through(centres, sizes.astype(np.float64), zone_of)
    weights = np.bincount(small, areas[members], n).astype(np.float64)
    number, splits_from, first_k, apart = _numbered(merges, heights, weights, zone_of)
    leaves = np.zeros(grid.n_tiles, dtype=label_dtype(n))
    leaves[members] = number[small]
    order = np.argsort(number)
    return ZoneTree(
        leaves=leaves, n_zones=len(np.unique(own)), splits_from=splits_from, first_k=first_k, heights=apart,
        sizes=sizes[order], centroids=centres[order].astype(np.float32), space=space,
    )  # fmt: skip


def ward_through(centres: Float64, sizes: Float64, groups: Int) -> tuple[Int, Float64]:
    """Merge clusters two at a time by Ward's rule, those of one group before any of different groups.

    Parameters
    ----------
    centres
        float64 (cluster, component).
    sizes
        float64 (cluster,): rows of each.
    groups
        int64 (cluster,): the group of each.

    Returns
    -------
    int64 (merge, 2), the clusters that are put together, each under the lowest number of its members; and float64
    (merge,), √(2 Δ) with Δ the growth of the squared error, made not to fall (as it can from within groups to between
    them).

    Notes
    -----
    O(n³) products in the worst case, vectorised over the clusters: 0.1 s for 240.
    """
    centres, sizes, n = centres.copy(), sizes.copy(), len(centres)
    same = groups[:, None] == groups
    cost = np.full((n, n), np.inf)
    for index in range(n):
        cost[index] = _growth(centres, sizes, index)
    np.fill_diagonal(cost, np.inf)
    merges, growth = np.empty((max(n - 1, 0), 2), dtype=np.int64), np.empty(max(n - 1, 0))
    for step in range(n - 1):
        within = np.where(same, cost, np.inf)
        table = within if np.isfinite(within).any() else cost
        one, other = divmod(int(table.argmin()), n)
        one, other = min(one, other), max(one, other)
        merges[step], growth[step] = (one, other), table[one, other]
        total = sizes[one] + sizes[other]
        centres[one] = (sizes[one] * centres[one] + sizes[other] * centres[other]) / total
        sizes[one] = total
        gone = ~np.isfinite(cost[one])  # itself, and those merged before
        cost[one] = _growth(centres, sizes, one)
        cost[one, gone] = np.inf
        cost[:, one] = cost[one]
        cost[other] = cost[:, other] = np.inf
    return merges, np.maximum.accumulate(np.sqrt(2 * growth))


def _growth(centres: Float64, sizes: Float64, index: int) -> Float64:
    """Return by how much the squared error grows where one cluster is put together with each: float64 (cluster,)."""
    apart = np.square(centres - centres[index]).sum(axis=1)
    return np.asarray(apart * sizes * sizes[index] / (sizes + sizes[index]))


def _small_clusters(rows: Float32, own: Int, k: int, rng: np.random.Generator, track: Track) -> Int:
    """Return the small cluster 0…n−1 of each row, each within one zone: int64 (row,)."""
    wanted = min(max(MOST_LEAVES, k), max(k, len(rows) // TILES_PER_LEAF))
    seeds = rng.integers(0, 2**31, size=k)
    small = np.zeros(len(rows), dtype=np.int64)
    begun = 0
    for zone in track(range(k), "tree of zones", k):
        inside = np.flatnonzero(own == zone)
        if not len(inside):
            continue
        share = max(1, int(wanted * len(inside) / len(rows)))
        count = min(share, distinct_rows(rows[inside], share))
        found = fit(rows[inside], count, None, int(seeds[zone])).labels if count > 1 else np.zeros(len(inside), int)
        kept, parts = np.unique(found, return_inverse=True)
        small[inside] = begun + parts
        begun += len(kept)
    return small


def _numbered(merges: Int, heights: Float64, weights: Float64, zone_of: Int) -> tuple[Int, Int, Int, Float64]:
    """Return the numbers of a tree of merges.

    Parameters
    ----------
    merges, heights
        Of `ward_through`.
    weights
        float64 (cluster,): area of each small cluster.
    zone_of
        int64 (cluster,): zone 0…K−1 of each.

    Returns
    -------
    int64 (cluster,), the number 1…n of each small cluster; and by number what it splits from, from how many zones on it
    is there, and the height of the split.
    """
    n = len(weights)
    survivor, total = np.arange(n), weights.copy()  # by the lowest member of a cluster: whose number stays, its area
    kept, lost = np.empty(len(merges), dtype=np.int64), np.empty(len(merges), dtype=np.int64)
    for step, (one, other) in enumerate(merges.tolist()):
        larger = (one, other) if total[one] >= total[other] else (other, one)
        kept[step], lost[step] = survivor[larger[0]], survivor[larger[1]]
        survivor[one], total[one] = kept[step], total[one] + total[other]
    first_k, parent, height = np.ones(n, dtype=np.int64), np.full(n, -1), np.full(n, np.nan)
    first_k[lost] = n - np.arange(len(merges))
    parent[lost], height[lost] = kept, heights
    zones = len(np.unique(zone_of))
    number = np.where(first_k <= zones, zone_of + 1, first_k)
    free = np.setdiff1d(np.arange(1, n + 1), number[first_k <= zones])
    number[first_k > zones] = free[np.argsort(np.argsort(first_k[first_k > zones]))]
    order = np.argsort(number)
    splits_from = np.where(parent >= 0, number[parent], 0)
    return number, splits_from[order], first_k[order], height[order]
