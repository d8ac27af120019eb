"""How good a partition is: in embedding space, on the map, and under resampling.

Every name says its distance: ``flat`` and ``sumnorm`` as in `taxoscape.analysis.distances`, ``map`` over the tile
coordinates (row, col), as in METHOD step 8.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.analysis.distances import pairwise, silhouette_of
from taxoscape.contracts import check_series, check_zones
from taxoscape.progress import Track, silent
from taxoscape.zones.kmeans import partitions
from taxoscape.zones.missing import counted, two_way_fill

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    Int = npt.NDArray[np.integer]

SILHOUETTE_TILES = 4_000
"""Tiles on which the silhouettes are taken; above it a seeded sample, and ``silhouette_n_tiles`` says so."""
STABILITY_TILES = 5_000
STABILITY_DRAWS = 5


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
    Plain numbers by name: ``n_tiles`` (tiles in a zone), ``n_dates``, ``n_clusters``; ``inertia_mean`` (mean squared
    flattened distance of a tile to its centroid); ``silhouette_flat``, ``silhouette_sumnorm`` and the number of tiles
    they are taken on, ``silhouette_n_tiles``; ``map_silhouette``, ``map_calinski_harabasz`` over (row, col);
    ``map_join_share`` (share of pairs of neighbouring tiles, by edge, that are in one zone); ``map_patches`` (connected
    patches, by edge, of all zones); ``stability_ari`` (see `stability`). NaN where a measure is not defined.
    """
    grid = check_zones(zones)
    check_series(series)
    labels = zones["labels"].to_numpy().astype(np.int64)
    placed = np.flatnonzero(labels)
    sample = _sample(placed, SILHOUETTE_TILES, rng)
    values = series["embedding"].to_numpy()
    result: dict[str, float] = {
        "n_tiles": len(placed),
        "n_dates": series.sizes["time"],
        "n_clusters": zones.sizes["zone"],
        "inertia_mean": float(zones.attrs["inertia_mean"]),
        "silhouette_n_tiles": len(sample),
    }
    for metric in track(("flat", "sumnorm"), "silhouettes", 2):
        distances = pairwise(values[sample], values[sample], metric="flat" if metric == "flat" else "sumnorm")
        result[f"silhouette_{metric}"] = silhouette_of(distances, labels[sample])
    result |= map_quality(grid.to_map(labels), rng=rng)
    result["stability_ari"] = stability(series, zones, rng=rng, track=track)
    return result


def map_quality(labels: Int, *, rng: int = 0) -> dict[str, float]:
    """Measure how compact zones are on the ground.

    Parameters
    ----------
    labels
        Integer (row, col), 0 = none.
    rng
        Seed of the sample of the silhouette, which is exact up to 4 000 tiles.
    """
    from sklearn.metrics import calinski_harabasz_score

    rows, cols = np.nonzero(labels)
    places = np.stack([rows, cols], axis=1).astype(np.float64)
    flat = labels[rows, cols]
    several = 1 < len(np.unique(flat)) < len(flat)
    sample = _sample(np.arange(len(flat)), SILHOUETTE_TILES, rng)
    distances = pairwise(places[sample, None], places[sample, None], metric="flat") if several else np.empty((0, 0))
    return {
        "map_silhouette": silhouette_of(distances, flat[sample]) if several else float("nan"),
        "map_calinski_harabasz": float(calinski_harabasz_score(places, flat)) if several else float("nan"),
        "map_join_share": join_share(labels),
        "map_patches": int(patches(labels).sum()),
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


def patches(labels: Int) -> npt.NDArray[np.int64]:
    """Return the number of connected patches, by edge, of each zone: int64 (K,); ``labels`` is integer (row, col)."""
    from scipy.ndimage import label

    return np.array([label(labels == zone)[1] for zone in range(1, int(labels.max(initial=0)) + 1)], dtype=np.int64)


def stability(series: xr.Dataset, zones: xr.Dataset, *, rng: int = 0, track: Track = silent) -> float:
    """Return how much partitions of random halves of the region agree: mean adjusted Rand index over pairs.

    Five times K-means, one start, is fitted to a random half of the tiles (at most 5 000 tiles in all) and gives every
    tile the zone of its nearest centre; the partitions are compared pair by pair. 1: always the same zones, 0: chance.
    NaN with fewer than two zones or too few tiles.
    """
    from sklearn.metrics import adjusted_rand_score

    k = zones.sizes["zone"]
    chosen = _sample(np.flatnonzero(zones["labels"].to_numpy()), STABILITY_TILES, rng)
    if k < 2 or len(chosen) < 4 * k:
        return float("nan")
    part = series.isel(tile=chosen)
    matrix = two_way_fill(part["embedding"].to_numpy(), counted(part)).reshape(len(chosen), -1)
    generator = np.random.default_rng(rng)
    found = []
    for _ in track(range(STABILITY_DRAWS), "stability", STABILITY_DRAWS):
        half = generator.permutation(len(chosen))[: len(chosen) // 2]
        centres = next(partitions(matrix[half], k, starts=1, rng=generator)).centres
        nearest = pairwise(matrix[:, None], centres[:, None], metric="flat")
        found.append(nearest.argmin(axis=1))
    return float(np.mean([adjusted_rand_score(a, b) for a, b in itertools.combinations(found, 2)]))


def _sample(candidates: npt.NDArray[np.int64], most: int, rng: int) -> npt.NDArray[np.int64]:
    if len(candidates) <= most:
        return candidates
    return np.sort(np.random.default_rng(rng).choice(candidates, most, replace=False))
