"""K-means on the flattened series: a region's series become zones.

Source: METHOD step 4 (Echegoyen et al. 2024, section on the geographic partition): K-means under squared Euclidean
distance on the series flattened to (tile, T · feature), best of several starts. The iterations are scikit-learn's.

Missing dates: a tile takes part with the dates on which it counts. Each start is made by K-means on series whose gaps
are filled neutrally (`taxoscape.zones.missing.two_way_fill`) and then settled by Lloyd's iterations that look at
counted dates alone: a tile goes to the centroid nearest over its dates, a centroid is the mean, date by date, of the
tiles that count. What is minimised is the squared distance over what was seen (the criterion of k-POD: Chi, Chi and
Baraniuk, The American Statistician 70, 2016). A tile that counts on no date is in zone 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from taxoscape.areas import cell_areas_km2
from taxoscape.contracts import check_series, tile_coordinates
from taxoscape.errors import InputError
from taxoscape.progress import Track, silent
from taxoscape.zones.evidence import Evidence, distinct_rows, evidence_of
from taxoscape.zones.missing import counted, flat_distances, row_blocks, whole_rows
from taxoscape.zones.numbering import label_dtype, number_by_size
from taxoscape.zones.starts import MAX_ITERATIONS, Partition, fit

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from taxoscape.grid import Grid

    Int = npt.NDArray[np.int64]
    Float32 = npt.NDArray[np.float32]
    Bool = npt.NDArray[np.bool_]

BLOCK_BYTES = 32 * 2**20
"""Bytes of differences to the mean centre that are taken at once."""


def cluster(
    series: xr.Dataset,
    *,
    n_clusters: int | Literal["auto"] | Evidence = "auto",
    starts: int = 10,
    rng: int | np.random.Generator = 0,
    first_labels: npt.NDArray[np.integer] | None = None,
    track: Track = silent,
) -> xr.Dataset:
    """Partition the tiles of a region into zones by K-means on their series.

    Parameters
    ----------
    series
        Dataset of `taxoscape.encode`: ``embedding`` float32 (tile, time, feature), NaN where a tile does not count.
    n_clusters
        Number of zones K; or ``"auto"``: the largest number of 2…15 that resamples of the tiles find again, see
        `taxoscape.zones.evidence`; or an `Evidence` of the same series, whose choice is taken. Of the last two the
        partition found is one more start. Look at the map and choose K yourself where you can.
    starts
        Independent k-means++ starts; the one with the lowest error is kept.
    rng
        Seed or generator of the starts.
    first_labels
        A partition (tile,) with labels 1…K (0: none) to use as one further start, such as the one before refinement;
        in place of that of the evidence.
    track
        Told of each start done.

    Returns
    -------
    Dataset with ``labels`` (tile,), 1…K numbered by falling area, 0 where a tile counts on no date;
    ``centroids`` (zone, time, feature), with filled values on dates on which no tile of the zone counts
    (`taxoscape.zones.missing`); ``distances`` (tile, zone), flattened Euclidean over the dates counted; the attributes
    ``n_clusters``, ``inertia_mean`` (mean squared distance of a tile to its centroid) and ``distance``, and where K was
    not given ``k_reason``, why it is this one.

    Raises
    ------
    InputError
        Where fewer different tiles count than zones are asked for, or ``series`` breaks its contract.

    Notes
    -----
    Memory: beside the series twice its size (scikit-learn's K-means copies its rows, and once more for a moment), three
    times with missing dates or with tiles that count on none. With one thread count and one seed the result is the same
    bit for bit. ``inertia_mean`` scales the distance of a tile with missing dates up to all dates, ``T/|S|``, while
    K-means minimises the sum over what was seen.
    """
    grid = check_series(series)
    _check_arguments(n_clusters, starts, first_labels, grid)
    counts = counted(series)
    matrix, members = whole_rows(series["embedding"].to_numpy(), counts)
    seen = counts[members]
    k, found = _number_of_zones(n_clusters, matrix, members, len(counts), rng, track)
    _refuse_too_many(k, matrix)
    if first_labels is None and found is not None:
        first_labels = found.chosen_labels
    first = None if first_labels is None else np.asarray(first_labels)[members].astype(np.int64) - 1
    generator = np.random.default_rng(rng)
    tried = partitions(matrix, k, starts=starts, rng=generator, first=first, track=track)
    if not seen.all():
        rows = matrix.reshape(*seen.shape, -1)
        tried = (settle(rows, seen, start) for start in tried)
    best = min(tried, key=lambda partition: partition.inertia)
    labels, order = number_by_size(best.labels, k, cell_areas_km2(grid)[members])
    centroids = best.centres[order].reshape(k, seen.shape[1], -1)
    zones = _zones_dataset(series, grid, members, labels, centroids, counts)
    return zones if found is None else zones.assign_attrs(k_reason=found.reason)


def partitions(
    matrix: Float32,
    k: int,
    *,
    starts: int,
    rng: np.random.Generator,
    first: Int | None = None,
    track: Track = silent,
) -> Iterator[Partition]:
    """Yield a K-means partition for each of several starts.

    Parameters
    ----------
    matrix
        float32 (row, column), finite.
    k
        Number of clusters, at most the number of different rows.
    starts
        Number of k-means++ starts.
    rng
        Source of the starts.
    first
        Labels 0…k−1 (negative: none) whose means are one further start; ignored where a label has no row.
    track
        Told of each start done.
    """
    seeds = [int(seed) for seed in rng.integers(0, 2**31, size=starts)]
    inits: list[tuple[Float32 | None, int]] = [(None, seed) for seed in seeds]
    if first is not None and all((first == label).any() for label in range(k)):
        means = np.stack([matrix[first == label].mean(axis=0) for label in range(k)])
        inits.insert(0, (means.astype(np.float32), 0))
    for init, seed in track(inits, f"K-means, {k} zones", len(inits)):
        yield fit(matrix, k, init, seed)


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


def _number_of_zones(
    n_clusters: Any, matrix: Float32, members: Int, n_tiles: int, rng: int | np.random.Generator, track: Track
) -> tuple[int, Evidence | None]:
    """Return K, and the evidence for it (labels of all tiles) where it was not given as a number."""
    if isinstance(n_clusters, Evidence):
        return n_clusters.chosen, n_clusters
    if n_clusters != "auto":
        return int(n_clusters), None
    found = evidence_of(matrix, rng=rng, track=track).for_tiles(members, n_tiles)
    return found.chosen, found


def _zones_dataset(
    series: xr.Dataset, grid: Grid, members: Int, labels: Int, centroids: Float32, counts: Bool
) -> xr.Dataset:
    import xarray as xr

    k = len(centroids)
    full = np.zeros(grid.n_tiles, dtype=label_dtype(k))
    full[members] = labels
    distances = flat_distances(series["embedding"].to_numpy(), counts, centroids)
    own = distances[members, labels - 1].astype(np.float64)
    return xr.Dataset(
        {
            "labels": ("tile", full, {"long_name": "zone of the tile, 0: none"}),
            "centroids": (("zone", "time", "feature"), centroids, {"long_name": "mean series of the zone"}),
            "counts": (("tile", "time"), counts, {"long_name": "whether the tile counts on the date"}),
            "distances": (("tile", "zone"), distances, {"long_name": "flattened Euclidean distance to the centroid"}),
        },
        coords={**tile_coordinates(grid), "zone": np.arange(1, k + 1), "time": series["time"].to_numpy()},
        attrs={
            "grid": grid.to_json(),
            "min_valid": float(series.attrs.get("min_valid", 0.5)),
            "n_clusters": k,
            "inertia_mean": float((own**2).mean()),
            "distance": "flattened Euclidean: sqrt(T/|S| * sum of squares over the dates S counted)",
        },
    )


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


def _refuse_too_many(k: int, matrix: Float32) -> None:
    """Refuse more clusters than rows, or than different rows, of a finite matrix."""
    if len(matrix) < k:
        raise InputError(f"{k} zones were asked for, but only {len(matrix)} tiles count on any date: lower --zones")
    different = distinct_rows(matrix, k)
    if different < k:
        raise InputError(
            f"{k} zones were asked for, but the tiles have only {different} different series: lower --zones, or look "
            "whether the scenes are constant, or the tiles seen on too few dates to tell them apart"
        )
