"""How good a partition is: in embedding space, on the map, and under resampling.

Every name says its distance: ``flat`` and ``sumnorm`` as in `taxoscape.analysis.distances`, ``learned`` under the
metric of a partition that has learned one (`taxoscape.zones.metric`), ``map`` over the tile coordinates (row, col), as
in METHOD step 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.analysis.distances import Metric, pairwise
from taxoscape.analysis.silhouette import silhouettes
from taxoscape.contracts import check_series, check_zones
from taxoscape.progress import Track, silent
from taxoscape.zones.confidence import confidence
from taxoscape.zones.metric import in_metric
from taxoscape.zones.resampling import stability
from taxoscape.zones.rows import row_parts, rows_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from taxoscape.zones.rows import Rows

    Int = npt.NDArray[np.integer]
    Float64 = npt.NDArray[np.float64]

BLOCK_BYTES = 64 * 2**20
"""Bytes of differences to a centre that are held at once."""
METRICS: tuple[Metric, ...] = ("flat", "sumnorm")


def quality(series: xr.Dataset, zones: xr.Dataset, *, rng: int = 0, track: Track = silent) -> dict[str, float]:
    """Measure a partition of a region.

    Parameters
    ----------
    series, zones
        Datasets of `taxoscape.encode` and `taxoscape.cluster` on one grid.
    rng
        Seed of the samples.
    track
        Told of each measure done.

    Returns
    -------
    Plain numbers by name; NaN where a measure is not defined.

    ``n_tiles``, ``n_dates``, ``n_clusters``
        Tiles in a zone, dates, zones.
    ``inertia_mean``
        Mean squared distance of a tile to its centroid, the K-means error per tile: ``flat``, or ``learned`` where the
        partition is.
    ``silhouette_flat``, ``silhouette_sumnorm``
        Mean silhouettes; ``silhouette_flat_ci95`` and ``silhouette_sumnorm_ci95`` are the half widths of their 95 %
        confidence intervals, 0 where they are exact, and ``silhouette_n_tiles`` the number of tiles whose silhouettes
        were taken (against all others) under these two, see `taxoscape.analysis.silhouette`.
    ``silhouette_learned``, ``silhouette_learned_ci95``
        The same under the metric of the partition; only where it has learned one.
    ``davies_bouldin_flat``
        See `davies_bouldin`. Lower is better.
    ``confidence_mean``
        Mean over the tiles of `taxoscape.zones.confidence.confidence`.
    ``map_…``
        See `map_quality`.
    ``stability_ari``
        See `taxoscape.zones.resampling.stability`.

    Notes
    -----
    Memory beside the series: at most `taxoscape.analysis.distances.BUDGET_BYTES` at a time for the silhouettes, and for
    the stability a few copies of 5 000 series. A lazy series is not loaded whole: its blocks are read again where the
    silhouettes want them, some eight times in all where these are exact, else once or twice for each. Time: two
    silhouettes, about `taxoscape.analysis.silhouette.WORK` products each, one of the map, and five partitions of 2 500
    tiles by K-means.
    """
    grid = check_zones(zones)
    check_series(series)
    labels = zones["labels"].to_numpy().astype(np.int64)
    values = rows_of(series)
    result: dict[str, float] = {
        "n_tiles": int((labels > 0).sum()),
        "n_dates": series.sizes["time"],
        "n_clusters": zones.sizes["zone"],
        "inertia_mean": float(zones.attrs["inertia_mean"]),
    }
    learned = in_metric(series, zones)
    spaces: list[tuple[str, Metric, Rows]] = [(metric, metric, values) for metric in METRICS]
    if learned is not None:
        spaces.append(("learned", "flat", learned[0]))
    for name, metric, seen in spaces:
        (found,) = silhouettes(seen, labels[:, None], metric=metric, rng=rng, track=track)
        result[f"silhouette_{name}"] = found.value
        result[f"silhouette_{name}_ci95"] = found.half_width
        if metric == name:
            result["silhouette_n_tiles"] = found.n
    result["davies_bouldin_flat"] = davies_bouldin(values, labels)
    sure = confidence(zones)[labels > 0]
    result["confidence_mean"] = float(sure.mean()) if len(sure) else float("nan")
    result |= map_quality(grid.to_map(labels), rng=rng)
    result["stability_ari"] = stability(series, zones, rng=rng, track=track)
    return result


def davies_bouldin(values: Rows, labels: Int) -> float:
    """Return the Davies-Bouldin index under the ``flat`` distance: how wide zones are against how far apart they lie.

    Parameters
    ----------
    values
        float (tile, time, feature); NaN on all features of a date that is missing.
    labels
        Integer (tile,), 0 = none.

    Returns
    -------
    Mean over zones i of max over j of (s_i + s_j) / m_ij: s the mean distance of a zone's tiles to its centre, m the
    distance of two centres. 0 is best. NaN with fewer than two zones.

    Notes
    -----
    A centre is the mean, date by date, of the tiles that count. With missing dates s is taken over the dates on which a
    tile counts, m over the dates on which both zones have a tile, each scaled to all dates as everywhere
    (`taxoscape.analysis.distances`); a tile without a date takes no part, nor does a pair of zones without a common
    date. Two centres in one place count as infinitely far apart, as in scikit-learn. Two passes over the series, in
    float64 blocks of `BLOCK_BYTES`.

    Source: Davies and Bouldin, *A cluster separation measure*, IEEE PAMI 1 (1979).
    """
    return davies_bouldins(values, labels[:, None])[0]


def davies_bouldins(values: Rows, labelings: Int) -> list[float]:
    """Return the `davies_bouldin` of several partitions, integer (tile, partition), in two passes for all of them."""
    zones = [_zones_from_0(column) for column in labelings.T]
    sizes = [int(zone.max(initial=-1)) + 1 for zone in zones]
    ends = np.cumsum(sizes).tolist()
    places = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
    centres = _centres(values, zones, places)
    squares = np.full((len(values), len(zones)), np.nan)
    for part, block in _parts(values):
        for column, (zone, place) in enumerate(zip(zones, places, strict=True)):
            placed = np.flatnonzero(zone[part] >= 0)
            difference = block[placed] - centres[place][zone[part][placed]]
            by_date = np.einsum("ntf,ntf->nt", difference, difference)
            seen = np.isfinite(by_date)
            total, dates = np.where(seen, by_date, 0).sum(axis=1) * values.shape[1], seen.sum(axis=1)
            squares[part, column][placed] = np.divide(total, dates, out=np.full(len(dates), np.nan), where=dates > 0)
    return [
        _davies_bouldin(squares[:, column], zone, centres[place])
        for column, (zone, place) in enumerate(zip(zones, places, strict=True))
    ]


def _davies_bouldin(squares: Float64, zone: Int, centres: Float64) -> float:
    """Return the index from the squared distance of each tile to its centre, the tiles' zones 0…, and the centres."""
    if len(centres) < 2:
        return float("nan")
    known = np.isfinite(squares)
    sizes = np.bincount(zone[known], minlength=len(centres))
    width = np.bincount(zone[known], weights=np.sqrt(squares[known]), minlength=len(centres)) / np.maximum(sizes, 1)
    apart = pairwise(centres, centres, metric="flat")
    np.fill_diagonal(apart, np.nan)
    ratio = np.full(apart.shape, -np.inf)
    np.divide(width[:, None] + width, apart, out=ratio, where=apart > 0)
    ratio[apart == 0] = 0
    worst = ratio.max(axis=1)
    return float(worst[np.isfinite(worst)].mean()) if np.isfinite(worst).any() else float("nan")


def map_quality(labels: Int, *, rng: int = 0) -> dict[str, float]:
    """Measure how compact zones are on the ground.

    Parameters
    ----------
    labels
        Integer (row, col), 0 = none.
    rng
        Seed of the sample of the silhouette, which is exact up to some 75 000 tiles.

    Returns
    -------
    ``map_silhouette`` with ``map_silhouette_ci95`` (half width, 0 where exact) and ``map_calinski_harabasz`` over
    (row, col); ``map_join_share`` (see `join_share`) and ``map_join_share_expected`` (see `expected_join_share`), its
    value by chance; ``map_patches`` (connected patches, by edge, of all zones) and ``map_patches_per_zone``, their
    mean number. NaN where a measure is not defined: with one zone, or every tile its own.
    """
    from sklearn.metrics import calinski_harabasz_score

    rows, cols = np.nonzero(labels)
    places = np.stack([rows, cols], axis=1).astype(np.float64)
    flat = labels[rows, cols]
    n_zones = len(np.unique(flat))
    several = 1 < n_zones < len(flat)
    silhouette = silhouettes(places[:, None], flat[:, None], metric="flat", rng=rng)[0] if several else None
    pieces = int(patches(labels).sum())
    return {
        "map_silhouette": silhouette.value if silhouette else float("nan"),
        "map_silhouette_ci95": silhouette.half_width if silhouette else float("nan"),
        "map_calinski_harabasz": float(calinski_harabasz_score(places, flat)) if several else float("nan"),
        "map_join_share": join_share(labels),
        "map_join_share_expected": expected_join_share(labels),
        "map_patches": pieces,
        "map_patches_per_zone": pieces / n_zones if n_zones else float("nan"),
    }


def join_share(labels: Int) -> float:
    """Return the share of pairs of tiles with a common edge, both in a zone, that are in the same one.

    ``labels`` is integer (row, col), 0 = none. NaN without such a pair.
    """
    same = pairs = 0
    for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        both = (one > 0) & (other > 0)
        pairs += int(both.sum())
        same += int((both & (one == other)).sum())
    return same / pairs if pairs else float("nan")


def expected_join_share(labels: Int) -> float:
    """Return the `join_share` to be expected if the zones kept their sizes and their tiles were placed at random.

    ``labels`` is integer (row, col), 0 = none. NaN with fewer than two tiles.

    Notes
    -----
    Tiles in a zone keep their places as a whole and exchange their zones. Each of the N (N − 1) ordered pairs of tiles
    is then equally likely to stand on a given pair of neighbouring places, and n (n − 1) of them are of a zone of n
    tiles: the share is Σ n (n − 1) / (N (N − 1)), whatever the shape of the region. This is the mean of the join-count
    statistic without replacement (Cliff and Ord, *Spatial Processes*, 1981) over the number of joins.
    """
    sizes = np.unique(labels[labels > 0], return_counts=True)[1]
    n = int(sizes.sum())
    return float((sizes * (sizes - 1)).sum() / (n * (n - 1))) if n > 1 else float("nan")


def patches(labels: Int) -> npt.NDArray[np.int64]:
    """Return the number of connected patches, by edge, of each zone: int64 (K,); ``labels`` is integer (row, col)."""
    from scipy.ndimage import label

    return np.array([label(labels == zone)[1] for zone in range(1, int(labels.max(initial=0)) + 1)], dtype=np.int64)


def _zones_from_0(labels: Int) -> npt.NDArray[np.int64]:
    """Return labels without gaps, 0…K−1, −1 for tiles in no zone."""
    zone, placed = np.full(len(labels), -1, dtype=np.int64), labels > 0
    zone[placed] = np.unique(labels[placed], return_inverse=True)[1]
    return zone


def _centres(values: Rows, zones: list[npt.NDArray[np.int64]], places: list[slice]) -> Float64:
    """Return the mean series of every zone over the tiles that count: float64 (zone, time, feature), NaN where none."""
    k = places[-1].stop
    sums, dates = np.zeros((k, *values.shape[1:])), np.zeros((k, values.shape[1]))
    for part, block in _parts(values):
        seen = np.asarray(np.isfinite(block).all(axis=2))
        member = np.zeros((k, len(block)))
        for zone, place in zip(zones, places, strict=True):
            placed = np.flatnonzero(zone[part] >= 0)
            member[place.start + zone[part][placed], placed] = 1
        dates += member @ seen
        known = np.where(seen[:, :, None], block, 0).reshape(len(block), -1)
        sums += (member @ known).reshape(sums.shape)
    centres = np.full(sums.shape, np.nan)
    np.divide(sums, dates[:, :, None], out=centres, where=dates[:, :, None] > 0)
    return centres


def _parts(values: Rows) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Yield slices of tiles of which `BLOCK_BYTES` hold a few copies in float64, and their values."""
    yield from row_parts(values, 24 * values.shape[1] * values.shape[2], BLOCK_BYTES)
