"""Tiles of another year or area go to the zones of a partition; and which of them are unlike any tile it was made of.

A tile goes to the nearest zone in the metric of the partition, in which it is placed by the dates that it has
(`taxoscape.zones.axes`): but for the levels of whole dates (`taxoscape.zones.levels`) its zone depends on no other new
tile, and on the very tiles that the zones were made of it is theirs again.

**Unlike.** A tile is unlike anything that the zones were made of where it lies farther out than any of those tiles:
from the centre of its zone, or, since a learned metric looks along some axes only, off these axes (the residual).
Both are told as a ratio to the largest value among the tiles of the partition, of all zones, and the larger ratio
counts: above 1 is unlike. One bound for all zones, since the unit of a learned metric is the same in all of them, and
a bound for each would give as many times false alarms. Off the axes the bound is no less than `OFF_AXES` of how far
tiles usually are from the mean series of their zone: where the axes are nearly all there are, what is left is nothing.
A tile that misses dates is held against the tiles of the
partition as they are when just these dates are taken from them: with fewer dates a distance is another thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.contracts import check_series, check_zones, tile_coordinates
from taxoscape.errors import InputError
from taxoscape.progress import Track, silent
from taxoscape.zones.levels import level_shifts
from taxoscape.zones.metric import Metric, metric_centroids, metric_of
from taxoscape.zones.missing import counted, flat_distances, means_of_dates, truly_seen
from taxoscape.zones.nearest import squared_distances
from taxoscape.zones.numbering import label_dtype
from taxoscape.zones.rows import row_blocks

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from taxoscape.zones.tree import ZoneTree

    Int = npt.NDArray[np.int64]
    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]
    Bool = npt.NDArray[np.bool_]

MOST_PATTERNS = 64
"""Sets of missing dates, the commonest, for which all tiles of the partition are looked at, at most."""
WORK = 5e9
"""Values that are looked at for that, at most."""
SAMPLE_TILES = 1_000
"""Tiles of the partition that rarer sets of missing dates are held against, or all dates, where that is farther out."""
OFF_AXES = 0.5
"""Least bound off the axes, over the median Euclidean distance of a tile of the partition from its zone's mean."""
SLACK = 1e-6
"""By how much a tile may be beyond the farthest of the partition and still be as far: last digits differ."""
BLOCK_BYTES = 64 * 2**20
"""Bytes of float64 values that are held at once."""


def assign(
    series: xr.Dataset,
    zones: xr.Dataset,
    learned_from: xr.Dataset,
    *,
    levels: bool = True,
    rng: int = 0,
    track: Track = silent,
) -> xr.Dataset:
    """Give each tile of a series the zone of a partition that was made of another one.

    Parameters
    ----------
    series
        Dataset of `taxoscape.encode` under the encoder of the partition: as many dates, date by date of the same
        season; NaN where a tile does not count.
    zones
        Dataset of `taxoscape.cluster`.
    learned_from
        The series that ``zones`` was made of.
    levels
        Whether to take out what all tiles of a date have in common that those of the zones had not
        (`taxoscape.zones.levels`).
    rng
        Seed of the samples of tiles for that, and for rare sets of missing dates.
    track
        Told of each set of missing dates.

    Returns
    -------
    Dataset as of `taxoscape.cluster`, on the tiles of ``series``, with the numbers, centroids and metric of ``zones``;
    a zone may have no tile. Beside it ``outlyingness`` float32 (tile,): how far out a tile lies over the farthest of
    the tiles of ``zones``, above 1: unlike any of them; NaN for tiles of no zone; and ``level_shifts`` float64 (time,
    feature), what was taken from each date of ``series`` (`levelled` does it), NaN on dates on which no tile of
    ``zones`` counts: those take no part.

    Raises
    ------
    InputError
        Where the two series differ in dates or features, or break their contracts.

    Notes
    -----
    Memory: both series, and blocks of `BLOCK_BYTES`. Time: O(n · T · F) for the zones, and as much again per set of
    missing dates among the tiles of the partition, for `MOST_PATTERNS` of them at most.
    """
    grid, before = check_series(series), check_zones(zones)
    if check_series(learned_from) != before:
        raise InputError("the zones are of other tiles than the series they are said to be learned from: give its own")
    shapes = [found["embedding"].shape[1:] for found in (series, learned_from)]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"the series has {shapes[0][0]} dates and {shapes[0][1]} features, that of the zones {shapes[1][0]} and "
            f"{shapes[1][1]}: encode with the encoder of the zones, and lay the scenes on their dates (calendar)"
        )
    known = _Known.of(zones, learned_from)
    never: Bool = np.asarray(~known.counts.any(axis=0), dtype=np.bool_)
    if never.any():  # what the zones never saw says nothing of them
        seen = np.where(never[:, None], np.float32(np.nan), series["embedding"].to_numpy())
        series = series.assign(embedding=(series["embedding"].dims, seen))
    shifts = np.zeros(shapes[0])
    if levels:
        centroids = zones["centroids"].to_numpy()
        shifts = level_shifts(series, learned_from, (grid, before), centroids, known.nearest, rng=rng)
    shifts[never] = np.nan
    values = levelled(series["embedding"].to_numpy(), shifts)
    counts = np.asarray(np.isfinite(values).all(axis=2), dtype=np.bool_)
    members = np.flatnonzero(counts.any(axis=1))
    if not len(members):
        raise InputError("no tile counts on any date, so there is nothing to give a zone: lower --min-valid")
    k = int(zones.sizes["zone"])
    distances = np.full((grid.n_tiles, k), np.nan, dtype=np.float32)
    off = np.full(grid.n_tiles, np.nan)
    here = slice(None) if len(members) == len(values) else members  # no copy of a series that is large
    distances[members], off[members] = known.distances(values[here], counts[here])
    labels = np.zeros(grid.n_tiles, dtype=label_dtype(k))
    labels[members] = distances[members].argmin(axis=1) + 1
    own = np.full(grid.n_tiles, np.nan)
    own[members] = distances[members].min(axis=1)
    outlyingness = np.full(grid.n_tiles, np.nan, dtype=np.float32)
    outlyingness[members] = _outlyingness(own[members], off[members], counts[members], known, rng, track)
    kept = zones.drop_dims("tile").drop_vars("spatial_ref", errors="ignore")
    return kept.assign(
        labels=("tile", labels, {"long_name": "zone of the tile, 0: none"}),
        counts=(("tile", "time"), truly_seen(series, counts), {"long_name": "whether the tile counts on the date"}),
        distances=(("tile", "zone"), distances, zones["distances"].attrs),
        level_shifts=(("time", "feature"), shifts, {"long_name": "what was taken from each date of the series"}),
        outlyingness=("tile", outlyingness, {"long_name": "how far out, over the farthest the zones were made of"}),
    ).assign_coords(tile_coordinates(grid)).assign_attrs(
        grid=grid.to_json(),
        min_valid=float(series.attrs.get("min_valid", 0.5)),
        inertia_mean=float((own[members] ** 2).mean()),
    )  # fmt: skip


def levelled(values: Float32, shifts: Float64) -> Float32:
    """Return a series, float32 (tile, time, feature), without the shifts of its dates, float64 (time, feature)."""
    return values if not shifts.any() else np.subtract(values, shifts.astype(np.float32), dtype=np.float32)


def leaves_of(tree: ZoneTree, series: xr.Dataset, zones: xr.Dataset) -> npt.NDArray[np.integer]:
    """Return the leaf of a tree of zones that each tile of another series goes to.

    Parameters
    ----------
    tree
        Of `taxoscape.zone_tree`, from the partition that ``zones`` were assigned from.
    series, zones
        The series, and its zones by `assign`; not `levelled` yet.

    Returns
    -------
    Integer (tile,), 0 = none: of the leaves of a tile's zone the nearest on the axes of the tree.
    """
    values = levelled(series["embedding"].to_numpy(), zones["level_shifts"].to_numpy())
    counts = np.asarray(np.isfinite(values).all(axis=2), dtype=np.bool_)
    labels = zones["labels"].to_numpy().astype(np.int64)
    zone_of = tree.lookup(tree.n_zones)[1:]
    found = np.zeros(len(labels), dtype=tree.leaves.dtype)
    for part in row_blocks(len(labels), 8 * values[:1].size, BLOCK_BYTES):
        rows = tree.space.apply(values[part], counts[part])
        apart = squared_distances(rows, tree.centroids)
        apart[labels[part, None] != zone_of] = np.inf
        found[part] = np.where(labels[part] > 0, apart.argmin(axis=1) + 1, 0)
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Known:
    """What is known of the tiles that zones were made of."""

    values: Float32
    """float32 (tile, time, feature), those that count on any date."""
    counts: Bool
    """bool (tile, time)."""
    means: Float64
    """float64 (time, feature): mean of each date over the tiles that count."""
    metric: Metric | None
    """The learned metric; None: Euclidean over the dates counted."""
    back: Float64 | None
    """float64 (column, component): from the metric back to the series on its axes; None where it looks along all."""
    centres: npt.NDArray[np.floating]
    """Centres of the zones, (zone, component), or (zone, time, feature) without a metric."""
    spread: float
    """Median distance of a tile to the mean series of its zone, per value: root of the mean square."""

    @classmethod
    def of(cls, zones: xr.Dataset, series: xr.Dataset) -> _Known:
        counts = counted(series)
        members = np.flatnonzero(counts.any(axis=1))
        values = series["embedding"].to_numpy()
        if len(members) < len(values):
            values, counts = values[members], counts[members]
        means, centroids = means_of_dates(values, counts), zones["centroids"].to_numpy()
        own = zones["labels"].to_numpy()[members].astype(np.int64) - 1
        apart = flat_distances(values, counts, centroids)[np.arange(len(members)), own]
        metric, back, centres = None, None, centroids
        if "metric_axes" in zones:
            metric, centres = metric_of(zones), metric_centroids(zones)
            narrow = metric.axes.shape[1] < metric.axes.shape[0]
            back = np.asarray(np.linalg.pinv(metric.axes).T, dtype=np.float64) if narrow else None
        return cls(
            values=values, counts=counts, means=means, metric=metric, back=back, centres=centres,
            spread=float(np.median(apart)) / np.sqrt(values[0].size),
        )  # fmt: skip

    def distances(self, values: Float32, counts: Bool) -> tuple[Float32, Float64]:
        """Return how far tiles that count on some date are from each zone, and how far off the axes, per free value.

        float32 (tile, zone) and float64 (tile,), 0 where the metric looks along all axes.
        """
        apart = np.empty((len(values), len(self.centres)), dtype=np.float32)
        off = np.zeros(len(values))
        if self.metric is None:
            return flat_distances(values, counts, self.centres.astype(np.float32)), off
        for part in row_blocks(len(values), 8 * values[:1].size, BLOCK_BYTES):
            mapped = self.metric.apply(values[part], counts[part]).astype(np.float64)
            apart[part] = np.sqrt(squared_distances(mapped, self.centres))
            if self.back is not None:
                rest = values[part] - (self.metric.origin + mapped @ self.back.T).reshape(values[part].shape)
                squares_off = np.where(counts[part, :, None], np.square(rest), 0).sum(axis=(1, 2))
                off[part] = np.sqrt(squares_off / _free_values(counts[part], self.back, self.metric.ridge))
        return apart, off

    def nearest(self, values: Float32, counts: Bool) -> Int:
        """Return the nearest zone 0…K−1 of tiles that count on some date: int64 (tile,)."""
        return np.asarray(self.distances(values, counts)[0].argmin(axis=1), dtype=np.int64)

    def farthest(self, dates: Bool, tiles: Int | None = None) -> Float64:
        """Return the largest distance to the nearest zone, and off the axes, when only some dates are looked at.

        ``dates`` is bool (time,). float64 (2,), 0 where none of the tiles counts on these dates.
        """
        values, counts = (self.values, self.counts) if tiles is None else (self.values[tiles], self.counts[tiles])
        seen = counts & dates
        kept = np.flatnonzero(seen.any(axis=1))
        if not len(kept):
            return np.zeros(2)
        if len(kept) < len(values):
            values, seen = values[kept], seen[kept]
        apart, off = self.distances(values, seen)
        return np.array([apart.min(axis=1).max(), off.max()], dtype=np.float64)


def _free_values(counts: Bool, back: Float64, ridge: Float64) -> Float64:
    """Return how many values of a tile its place on the axes leaves free: float64 (tile,), 1 at least.

    All that are seen less the effective number of axes that they settle, tr((G + ridge)⁻¹ G) with G the products of the
    axes on these dates: off the axes a tile with many dates lies farther out than one with few, for the same noise.
    """
    patterns, which = np.unique(counts, axis=0, return_inverse=True)
    by_date = back.reshape(counts.shape[1], -1, back.shape[1])
    gram = np.tensordot(patterns.astype(np.float64), np.einsum("tfa,tfb->tab", by_date, by_date), axes=1)
    settled = np.trace(np.linalg.solve(gram + ridge, gram), axis1=1, axis2=2)
    free: Float64 = np.maximum(patterns.sum(axis=1) * by_date.shape[1] - settled, 1.0)[which.ravel()]
    return free


def _outlyingness(own: Float64, off: Float64, counts: Bool, known: _Known, rng: int, track: Track) -> Float64:
    """Return how far out tiles lie over the farthest of the partition at the same dates: float64 (tile,)."""
    patterns, which, times = np.unique(counts, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(-times, kind="stable")
    exact = int(np.clip(WORK // known.values.size, 1, MOST_PATTERNS))
    sample = np.sort(np.random.default_rng(rng).permutation(len(known.values))[:SAMPLE_TILES])
    whole = known.farthest(np.ones(counts.shape[1], dtype=np.bool_))
    bounds = np.empty((len(patterns), 2))
    for rank, index in enumerate(track(order.tolist(), "how far out", len(order))):
        if patterns[index].all():
            bounds[index] = whole
        elif rank < exact:
            bounds[index] = known.farthest(patterns[index])
        else:
            bounds[index] = np.maximum(known.farthest(patterns[index], sample), whole)
    size = float(np.sqrt(np.square(known.means).sum())) or 1.0
    size /= 1.0 if known.metric is None else np.sqrt(known.means.size)
    nothing = SLACK * np.array([size if known.metric is None else 1.0, size])  # what rounding makes of it
    least = np.maximum(nothing, [0.0, OFF_AXES * known.spread])
    bounds = np.maximum(np.where(bounds > 0, bounds, whole), least) * (1 + SLACK)
    ratios = np.stack([own, off], axis=1) / bounds[which.ravel()]
    return np.asarray(ratios.max(axis=1))
