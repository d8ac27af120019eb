"""A region's series become zones, by K-means or under a metric that is learned with them.

Source: METHOD step 4. `taxoscape.zones.kmeans` is the paper's way, `taxoscape.zones.metric` ours. A tile that counts on
no date is in zone 0 under both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from taxoscape.areas import cell_areas_km2
from taxoscape.contracts import check_series, tile_coordinates
from taxoscape.errors import InputError
from taxoscape.executor import Executor, in_process
from taxoscape.progress import Track, silent
from taxoscape.zones.evidence import MOST_ZONES, Evidence, distinct_rows, evidence_of, evidence_of_rows
from taxoscape.zones.kmeans import kmeans_partition
from taxoscape.zones.lloyd import Source
from taxoscape.zones.metric import Metric, independent_share, learned_partition, neighbour_metric, neighbours
from taxoscape.zones.missing import (
    counted,
    counted_means,
    fill_from_means,
    flat_distances,
    means_of_dates,
    seen_rows,
    truly_seen,
)
from taxoscape.zones.nearest import squared_distances
from taxoscape.zones.numbering import label_dtype, number_by_size
from taxoscape.zones.rows import held, row_parts, rows_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from taxoscape.grid import Grid
    from taxoscape.zones.rows import Rows

    Int = npt.NDArray[np.int64]
    Float32 = npt.NDArray[np.float32]
    Bool = npt.NDArray[np.bool_]

Clusterer = Literal["learned", "kmeans"]
DISTANCES = {
    "kmeans": "flattened Euclidean: sqrt(T/|S| * sum of squares over the dates S counted)",
    "learned": "Euclidean after metric_axes, as the dates counted let expect; unit: about one deviation within zones",
}
"""What `distances` of a partition are, by clusterer."""
FEW_BYTES = 8 * 2**20
"""Bytes of float64 values that are looked at at once where the first few rows are enough as a rule."""


def cluster(
    series: xr.Dataset,
    *,
    n_clusters: int | Literal["auto"] | Evidence = "auto",
    starts: int = 10,
    rng: int | np.random.Generator = 0,
    clusterer: Clusterer = "learned",
    first_labels: npt.NDArray[np.integer] | None = None,
    memory: int | None = None,
    track: Track = silent,
    execute: Executor = in_process,
) -> xr.Dataset:
    """Partition the tiles of a region into zones.

    Parameters
    ----------
    series
        Dataset of `taxoscape.encode`: ``embedding`` float32 (tile, time, feature), NaN where a tile does not count.
    n_clusters
        Number of zones K; or ``"auto"``: the largest number of 2…15 that resamples of the tiles find again, see
        `taxoscape.zones.evidence`; or an `Evidence` of the same series, whose choice is taken. Of the last two the
        partition found is one more start. Look at the map and choose K yourself where you can.
    starts
        Independent k-means++ starts; of ``kmeans`` the one with the lowest error is kept, of ``learned`` see
        `taxoscape.zones.metric.learned_partition`.
    rng
        Seed or generator of the starts.
    clusterer
        ``"learned"``: by Euclidean distance in units of what varies within zones, a metric that is learned with the
        partition (`taxoscape.zones.metric`). ``"kmeans"``: K-means on the flattened series, as in the paper.
    first_labels
        A partition (tile,) with labels 1…K (0: none) to use as one further start, such as the one before refinement;
        in place of that of the evidence.
    memory
        Bytes up to which a lazy series is loaded whole; a larger one is read block by block, as often as it takes, with
        the same result. None: half of what is free. One that is in memory is used as it is.
    track
        Told of each start done.
    execute
        Places the series on axes, where they are read block by block: here, or on workers, who need not have them sent.

    Returns
    -------
    Dataset with ``labels`` (tile,), 1…K numbered by falling area, 0 where a tile counts on no date;
    ``centroids`` (zone, time, feature), with filled values on dates on which no tile of the zone counts
    (`taxoscape.zones.missing`); ``distances`` (tile, zone), flattened Euclidean over the dates counted, or learned;
    of a learned metric ``metric_origin`` (time, feature), ``metric_axes`` (time, feature, component),
    ``metric_ridge`` (component, component) and ``metric_centroids`` (zone, component): the Euclidean distance of two
    series after (x − origin) · axes is the learned one, and the ridge places series with missing dates
    (`taxoscape.zones.axes.mapped`); the attributes ``clusterer``, ``n_clusters``,
    ``inertia_mean`` (mean squared distance of a tile to its centroid) and ``distance``, and where K was not given
    ``k_reason``, why it is this one.

    Raises
    ------
    InputError
        Where fewer different tiles count than zones are asked for, or ``series`` breaks its contract.

    Notes
    -----
    Memory beside the series: of ``kmeans`` a sample of at most 64 MiB of it, twice, and some 20 bytes a tile and
    start; of ``learned`` about 410 bytes a tile for up to 10 zones, 600 for 15 (on 20 and 30 axes), and a sample of
    2 000 series in float64 a few times; of both a few blocks of 64 MB, and of a series in memory in which tiles count
    on no date a copy without these. With one thread count and one seed the result is the same bit for bit, in memory or
    not. A lazy series is read four to five times by ``learned``; by ``kmeans`` in each of Lloyd's iterations, but for
    blocks that have come to rest.
    ``inertia_mean`` of ``kmeans`` scales the distance of a tile with missing dates up to all dates, ``T/|S|``, while
    K-means minimises the sum over what was seen. ``learned`` finds its axes in what was seen, and places a tile on them
    where its dates let expect it.
    """
    grid = check_series(series)
    _check_clusterer(clusterer)
    _check_arguments(n_clusters, starts, first_labels, grid)
    series = held(series, memory)
    counts = counted(series, execute)
    if n_clusters == "auto":
        n_clusters = evidence(series, clusterer=clusterer, rng=rng, memory=memory, track=track, execute=execute)
    found = n_clusters if isinstance(n_clusters, Evidence) else None
    k = n_clusters.chosen if isinstance(n_clusters, Evidence) else int(n_clusters)
    values, seen, members = seen_rows(rows_of(series, execute), counts)
    _refuse_too_many(k, values, seen)
    if first_labels is None and found is not None:
        first_labels = found.chosen_labels
    first = None if first_labels is None else np.asarray(first_labels)[members].astype(np.int64) - 1
    generator, metric = np.random.default_rng(rng), None
    if clusterer == "kmeans":
        best = kmeans_partition(values, seen, k, starts=starts, rng=generator, first=first, track=track)
    else:
        pairs = neighbours(grid, members)
        best, metric, placed = learned_partition(
            values, seen, pairs, k,
            starts=starts, rng=generator, first=first, independent=independent_share(grid), track=track,
        )  # fmt: skip
    labels, order = number_by_size(best.labels, k, cell_areas_km2(grid)[members])
    full = np.zeros(grid.n_tiles, dtype=label_dtype(k))
    full[members] = labels
    centres = best.centres[order]
    if metric is None:
        centroids = centres.reshape(k, counts.shape[1], -1)
        distances = flat_distances(rows_of(series, execute), counts, centroids)
    else:
        centroids = counted_means(values, seen, labels.astype(np.int64) - 1, k)
        distances = np.full((grid.n_tiles, k), np.nan, dtype=np.float32)
        squares = squared_distances(placed, centres)
        distances[members] = np.sqrt(squares, out=squares)
    zones = _zones_dataset(series, grid, full, centroids, truly_seen(series, counts), distances, clusterer=clusterer)
    if metric is not None:
        zones = _with_metric(zones, metric, centres)
    return zones if found is None else zones.assign_attrs(k_reason=found.reason)


def evidence(
    series: xr.Dataset,
    *,
    most: int = MOST_ZONES,
    clusterer: Clusterer = "learned",
    rng: int | np.random.Generator = 0,
    memory: int | None = None,
    track: Track = silent,
    execute: Executor = in_process,
) -> Evidence:
    """Partition the tiles into 2…``most`` zones, measure how stable each number is, and choose one.

    Parameters
    ----------
    series
        Dataset of `taxoscape.encode`: ``embedding`` float32 (tile, time, feature), NaN where a tile does not count.
    most
        Largest number of zones tried, at least 2; fewer where there are fewer different tiles.
    clusterer
        As for `cluster`. The numbers of zones of ``"learned"`` are compared under the one metric that neighbouring
        tiles give (`taxoscape.zones.metric.neighbour_metric`), which does not depend on them.
    rng
        Seed or generator of the sample, the bootstrap samples and the starts.
    memory, execute
        As for `cluster`.
    track
        Told of each number of zones done.

    Returns
    -------
    `Evidence`. ``taxoscape.cluster(series, n_clusters=evidence)`` makes zones of it.

    Raises
    ------
    InputError
        Where no tile counts, ``most`` is no whole number of at least 2, or ``series`` breaks its contract.

    Notes
    -----
    Missing dates of ``kmeans`` are filled as the starts of `taxoscape.cluster` are
    (`taxoscape.zones.missing.two_way_fill`), and are not settled: labels and error of a k can differ a little from
    those of the zones with as many.

    Memory beside the series: a few matrices of 2 000 tiles in float64, of ``learned`` about 460 bytes a tile for 2…15
    zones, and blocks of 64 MB. Time of ``kmeans`` on one core, 2…15 zones: 5 s for 1 600 tiles, 8 dates and 64
    features, about 15 s for 11 881 tiles, 3 dates and 512 features. With one thread count and
    one seed the result is the same bit for bit, in memory or not.
    """
    grid = check_series(series)
    _check_clusterer(clusterer)
    if isinstance(most, bool) or not isinstance(most, int | np.integer) or most < 2:
        raise InputError(f"the sweep over the number of zones goes from 2 to a whole number above, not {most!r} (most)")
    series = held(series, memory)
    values, seen, members = seen_rows(rows_of(series, execute), counted(series, execute))
    if clusterer == "learned":
        pairs, generator = neighbours(grid, members), np.random.default_rng(rng)
        matrix = neighbour_metric(values, seen, pairs, k=int(most), rng=generator).apply(values, seen)
        found = evidence_of(matrix, most=int(most), rng=rng, track=track)
    else:
        different = distinct_rows(_rows_one_by_one(values, seen), int(most))
        means = means_of_dates(values, seen)
        source = Source(values, seen, middle=means, fill=means)
        found = evidence_of_rows(source, different, most=int(most), rng=rng, track=track)
    return found.for_tiles(members, grid.n_tiles)


def _zones_dataset(
    series: xr.Dataset,
    grid: Grid,
    labels: npt.NDArray[np.integer],
    centroids: Float32,
    counts: Bool,
    distances: Float32,
    *,
    clusterer: Clusterer,
) -> xr.Dataset:
    import xarray as xr

    k = len(centroids)
    placed = np.flatnonzero(labels)
    own = distances[placed, labels[placed].astype(np.int64) - 1].astype(np.float64)
    unit = "flattened Euclidean" if clusterer == "kmeans" else "learned"
    return xr.Dataset(
        {
            "labels": ("tile", labels, {"long_name": "zone of the tile, 0: none"}),
            "centroids": (("zone", "time", "feature"), centroids, {"long_name": "mean series of the zone"}),
            "counts": (("tile", "time"), counts, {"long_name": "whether the tile counts on the date"}),
            "distances": (("tile", "zone"), distances, {"long_name": f"{unit} distance to the centroid"}),
        },
        coords={**tile_coordinates(grid), "zone": np.arange(1, k + 1), "time": series["time"].to_numpy()},
        attrs={
            "grid": grid.to_json(),
            "min_valid": float(series.attrs.get("min_valid", 0.5)),
            "n_clusters": k,
            "inertia_mean": float((own**2).mean()),
            "clusterer": clusterer,
            "distance": DISTANCES[clusterer],
            **({"filled": 1} if series.attrs.get("filled") else {}),
        },
    )


def _with_metric(zones: xr.Dataset, metric: Metric, centres: Float32) -> xr.Dataset:
    """Return zones that carry the metric that they were made in."""
    shape = zones["centroids"].shape[1:]
    origin, axes = metric.origin.reshape(shape), metric.axes.reshape(*shape, -1)
    return zones.assign(
        metric_origin=(("time", "feature"), origin, {"long_name": "series that is zero in the metric"}),
        metric_axes=(("time", "feature", "component"), axes, {"long_name": "map to where distance is Euclidean"}),
        metric_ridge=(("component", "other"), metric.ridge, {"long_name": "how missing dates are reckoned with"}),
        metric_centroids=(("zone", "component"), centres, {"long_name": "centre of the zone"}),
    )


def _check_clusterer(clusterer: Any) -> None:
    if clusterer not in DISTANCES:
        raise InputError(f"there is no clusterer {clusterer!r}: take {' or '.join(DISTANCES)} (--clusterer)")


def _check_arguments(n_clusters: Any, starts: Any, first_labels: npt.NDArray[Any] | None, grid: Grid) -> None:
    if isinstance(n_clusters, Evidence):
        if len(n_clusters.labels) != grid.n_tiles:
            raise InputError(
                f"the evidence is of {len(n_clusters.labels)} tiles, the series has {grid.n_tiles}: make it of this "
                "series (n_clusters)"
            )
    elif n_clusters != "auto" and not (_is_whole(n_clusters) and n_clusters >= 1):
        raise InputError(
            f"the number of zones is a whole number of at least 1, or 'auto', not {n_clusters!r} (--zones)"
        )
    if not (_is_whole(starts) and starts >= 1):
        raise InputError(f"K-means needs at least 1 start, not {starts!r} (starts)")
    if first_labels is not None and np.shape(first_labels) != (grid.n_tiles,):
        raise InputError(
            f"first_labels has the shape {np.shape(first_labels)}, the series has {grid.n_tiles} tiles: they are of "
            "another grid"
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _refuse_too_many(k: int, values: Rows, seen: Bool) -> None:
    """Refuse more clusters than rows, or than different rows, their gaps filled."""
    if len(values) < k:
        raise InputError(f"{k} zones were asked for, but only {len(values)} tiles count on any date: lower --zones")
    different = distinct_rows(_rows_one_by_one(values, seen), k)
    if different < k:
        raise InputError(
            f"{k} zones were asked for, but the tiles have only {different} different series: lower --zones, or look "
            "whether the scenes are constant, or the tiles seen on too few dates to tell them apart"
        )


def _rows_one_by_one(values: Rows, seen: Bool) -> Iterator[Float32]:
    """Yield rows without gaps, as far as they are asked for: at first those that have none, then all, filled."""
    gaps: Bool = np.asarray(~seen.all(axis=1), dtype=np.bool_)
    bytes_of_row = 8 * values.shape[1] * values.shape[2]
    for part, block in row_parts(values, bytes_of_row, FEW_BYTES):
        yield from block[~gaps[part]]
    if gaps.any():
        means = means_of_dates(values, seen)
        for part, block in row_parts(values, bytes_of_row, FEW_BYTES):
            yield from fill_from_means(block[gaps[part]], seen[part][gaps[part]], means).astype(np.float32)
