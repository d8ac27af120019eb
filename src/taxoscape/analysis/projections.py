"""The series of a region in the plane: PCA, t-SNE and MDS (METHOD step 11).

**PCA** of the flattened series, gaps filled: every tile. **t-SNE** and **MDS** under d(x, y) = Σ_t ‖x_t − y_t‖ on a
seeded sample: t-SNE sees the distances from each tile to its nearest neighbours, MDS those between all landmarks. The
prototype gave t-SNE the matrix of distances as if it were features.

Missing dates: the sample is drawn from tiles that count on at least `ENOUGH_DATES` of the dates of the tile with the
most. Two tiles may still share no date, and have no distance. t-SNE never takes such a pair for neighbours, and leaves
out a tile that has a distance to fewer others than it needs neighbours; MDS needs all distances, and leaves out
landmarks, those that share dates with the fewest others first, until there are all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.analysis.components import Components, principal_components
from taxoscape.analysis.distances import ENOUGH_DATES, pairwise
from taxoscape.contracts import check_zones
from taxoscape.progress import Track, silent

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr
    from scipy.sparse import csr_matrix

    Bool = npt.NDArray[np.bool_]
    Float64 = npt.NDArray[np.float64]
    Floats = npt.NDArray[np.floating]
    Int64 = npt.NDArray[np.int64]

TSNE_TILES = 3_000
LANDMARKS = 800
LEAST_TILES = 4
"""With fewer tiles there is nothing to project."""
PERPLEXITY = 30.0
"""Effective number of neighbours of a tile in t-SNE; fewer where there are few tiles."""
_ROWS = 500
"""Tiles whose distances to the whole sample are held at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Tiles in a plane, or in space."""

    tiles: Int64
    """int64 (n,): indices of the tiles, rising."""
    coordinates: Float64
    """float64 (n, component), finite; PCA and MDS in units of the embedding, t-SNE in none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Projections:
    """One region by three methods. With fewer than `LEAST_TILES` tiles all are empty."""

    pca: Projection
    """Every tile in a zone, three components, their mean at 0; the plane is the first two."""
    explained_variance: Float64
    """float64 (3,): share of the variance of each component, 0…1."""
    tsne: Projection
    """A sample of tiles, two dimensions, under d."""
    perplexity: float
    """Of t-SNE; NaN where it is empty."""
    mds: Projection
    """A sample of tiles, two dimensions, under d, turned to lie like the PCA."""
    stress: float
    """Kruskal's stress-1 of the MDS, √(Σ (d̂ − d)² / Σ d̂²) over pairs, d̂ the distance in the plane: 0 is a perfect
    picture, 0.2 a poor one; NaN where it is empty."""


def project(
    series: xr.Dataset,
    zones: xr.Dataset,
    *,
    rng: int | np.random.Generator = 0,
    most: int = TSNE_TILES,
    landmarks: int = LANDMARKS,
    track: Track = silent,
) -> Projections:
    """Project the tiles of a region into the plane by PCA, t-SNE and MDS.

    Parameters
    ----------
    series, zones
        Datasets of `taxoscape.encode` and `taxoscape.cluster` on one grid. Tiles of zone 0 take no part.
    rng
        Seed or generator of the samples.
    most
        Most tiles of t-SNE; above it a sample, drawn evenly.
    landmarks
        Most tiles of MDS, drawn evenly from those of t-SNE.
    track
        Told of each of the three methods done.

    Notes
    -----
    t-SNE: Barnes-Hut, 1 000 iterations on one thread, so that a seed gives one picture whatever the machine;
    O(n² · T · F) for the neighbours, O(n log n) an iteration: about 15 s for 3 000 tiles. MDS: SMACOF from classical
    MDS, O(m²) an iteration, a few seconds for 800 tiles. Memory: the series of the sample, and 500 × n and m × m
    distances. Sources: METHOD step 11; van der Maaten and Hinton, JMLR 9 (2008); de Leeuw and Mair, J. Stat. Softw. 31
    (2009). We differ from the prototype in that t-SNE is given d as distances.
    """
    check_zones(zones)
    generator = np.random.default_rng(rng)
    found = principal_components(series, rng=generator)
    placed = (zones["labels"].to_numpy() > 0) & found.counts.any(axis=1)
    if placed.sum() < LEAST_TILES:
        return _empty()
    which = np.flatnonzero(placed)
    dates = np.where(placed, found.counts.sum(axis=1), 0)
    sample = _draw(np.flatnonzero(dates >= ENOUGH_DATES * dates.max()), most, generator)
    marks = _draw(sample, landmarks, generator)
    jitter = generator.normal(size=(len(sample), 2))
    done = iter(track(("PCA", "t-SNE", "MDS"), "projections", 3))
    next(done)
    pca = Projection(tiles=which, coordinates=found.scores[which] - found.scores[which].mean(axis=0))
    next(done)
    tsne, perplexity = _tsne(series, found, sample, jitter)
    next(done)
    mds, stress = _mds(series, found, marks)
    next(done, None)
    return Projections(
        pca=pca,
        explained_variance=found.explained_variance,
        tsne=tsne,
        perplexity=perplexity,
        mds=mds,
        stress=stress,
    )


def nearest_graph(values: Floats, neighbours: int) -> csr_matrix:
    """Return the distances d from each series to its nearest neighbours, as scikit-learn takes a precomputed graph.

    Parameters
    ----------
    values
        Real (n, time, feature), NaN on missing dates; each series has a distance to at least ``neighbours`` others.
    neighbours
        Neighbours of a series, at most n − 1.

    Returns
    -------
    scipy.sparse.csr_matrix
        float64 (n, n), ``neighbours + 1`` entries a row, itself (0) first, then by rising distance.
    """
    from scipy.sparse import csr_matrix

    n = len(values)
    near, gaps = np.empty((n, neighbours + 1), dtype=np.int64), np.empty((n, neighbours + 1))
    for start in range(0, n, _ROWS):
        rows = slice(start, start + _ROWS)
        distances = pairwise(values[rows], values, metric="sumnorm")
        distances[np.isnan(distances)] = np.inf
        distances[np.arange(len(distances)), np.arange(start, start + len(distances))] = -1.0
        few = np.argpartition(distances, neighbours, axis=1)[:, : neighbours + 1]
        order = np.argsort(np.take_along_axis(distances, few, axis=1), axis=1, kind="stable")
        near[rows] = np.take_along_axis(few, order, axis=1)
        gaps[rows] = np.maximum(np.take_along_axis(distances, near[rows], axis=1), 0.0)
    starts = np.arange(0, n * (neighbours + 1) + 1, neighbours + 1)
    return csr_matrix((gaps.ravel(), near.ravel(), starts), shape=(n, n))


def classical_mds(distances: Float64) -> Float64:
    """Return points in the plane by the two largest eigenvalues of the doubly centred squared distances.

    Parameters
    ----------
    distances
        float64 (n, n), symmetric, finite.

    Returns
    -------
    float64 (n, 2), centred on 0; a column is 0 where its eigenvalue is not positive.

    Notes
    -----
    Source: Torgerson, *Multidimensional scaling: I. Theory and method*, Psychometrika 17 (1952).
    """
    from scipy.linalg import eigh

    n = len(distances)
    squares = distances**2
    means = squares.mean(axis=0)
    inner = -0.5 * (squares - means - means[:, None] + means.mean())
    sizes, vectors = eigh(inner, subset_by_index=(max(n - 2, 0), n - 1))
    points = np.zeros((n, 2))
    points[:, : len(sizes)] = (vectors * np.sqrt(np.maximum(sizes, 0.0)))[:, ::-1]
    return points


def smallest_stress(distances: Float64) -> tuple[Float64, float]:
    """Return points in the plane whose distances are near to the given ones, and their stress-1.

    Parameters
    ----------
    distances
        float64 (n, n), symmetric, finite, 0 on the diagonal.

    Returns
    -------
    float64 (n, 2), and the stress as in `Projections`; all zeros and 0 where all distances are 0.
    """
    from scipy.spatial.distance import pdist
    from sklearn.manifold import smacof

    if not distances.any():
        return np.zeros((len(distances), 2)), 0.0
    start = classical_mds(distances)
    points, _ = smacof(distances, metric=True, n_components=2, init=start, n_init=1, normalized_stress=False)
    plane = pdist(points)
    wanted = distances[np.triu_indices(len(distances), 1)]
    return points, float(np.sqrt(((plane - wanted) ** 2).sum() / (plane**2).sum()))


def with_partners(counts: Bool, needed: Callable[[int], int]) -> Bool:
    """Return which tiles to keep so that each shares a date with enough others that are kept.

    Parameters
    ----------
    counts
        bool (n, time): whether a tile counts on a date.
    needed
        From the number of tiles kept to the number of others each must share a date with.

    Returns
    -------
    bool (n,). The tile with the fewest partners goes first, of equals the last.

    Notes
    -----
    O(n² · T) time and n² bytes.
    """
    seen = counts.astype(np.float32)
    shared = np.concatenate([seen[start : start + _ROWS] @ seen.T > 0 for start in range(0, len(seen), _ROWS)])
    partners = shared.sum(axis=1) - shared.diagonal()
    keep = np.ones(len(counts), dtype=bool)
    while keep.any() and partners[keep].min() < needed(int(keep.sum())):
        left = np.flatnonzero(keep)
        worst = int(left[::-1][partners[left[::-1]].argmin()])
        keep[worst] = False
        partners -= shared[worst]
    return keep


def _tsne(series: xr.Dataset, found: Components, sample: Int64, jitter: Float64) -> tuple[Projection, float]:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    keep = with_partners(found.counts[sample], lambda n: _neighbours(n, _perplexity(n)))
    tiles, jitter = sample[keep], jitter[keep]
    if len(tiles) < LEAST_TILES:
        return _nothing(2), float("nan")
    perplexity = _perplexity(len(tiles))
    values = series["embedding"].isel(tile=tiles).to_numpy()
    graph = nearest_graph(values, _neighbours(len(tiles), perplexity))
    start = found.scores[tiles, :2]
    start = start - start.mean(axis=0)
    start = start / (start[:, 0].std() or 1.0) + 0.01 * jitter  # no two tiles, and no two axes, may coincide
    model = TSNE(metric="precomputed", perplexity=perplexity, init=(1e-4 * start).astype(np.float32), random_state=0)
    with threadpool_limits(1, user_api="openmp"):
        points = model.fit_transform(graph).astype(np.float64)
    return Projection(tiles=tiles, coordinates=points - points.mean(axis=0)), perplexity


def _mds(series: xr.Dataset, found: Components, marks: Int64) -> tuple[Projection, float]:
    from scipy.linalg import orthogonal_procrustes

    tiles = marks[with_partners(found.counts[marks], lambda n: n - 1)]
    if len(tiles) < LEAST_TILES:
        return _nothing(2), float("nan")
    values = series["embedding"].isel(tile=tiles).to_numpy()
    distances = pairwise(values, values, metric="sumnorm")
    distances = (distances + distances.T) / 2
    np.fill_diagonal(distances, 0.0)
    points, stress = smallest_stress(distances)
    points = points - points.mean(axis=0)
    turn, _ = orthogonal_procrustes(points, found.scores[tiles, :2] - found.scores[tiles, :2].mean(axis=0))
    return Projection(tiles=tiles, coordinates=points @ turn), stress


def _perplexity(n: int) -> float:
    return min(PERPLEXITY, (n - 1) / 3)


def _neighbours(n: int, perplexity: float) -> int:
    """Return the number of neighbours that scikit-learn's t-SNE looks at."""
    return min(n - 1, int(3 * perplexity + 1))


def _draw(tiles: Int64, most: int, generator: np.random.Generator) -> Int64:
    return tiles if len(tiles) <= most else np.sort(generator.choice(tiles, most, replace=False))


def _nothing(components: int) -> Projection:
    return Projection(tiles=np.empty(0, dtype=np.int64), coordinates=np.empty((0, components)))


def _empty() -> Projections:
    nan = float("nan")
    return Projections(
        pca=_nothing(3), explained_variance=np.zeros(3), tsne=_nothing(2), perplexity=nan, mds=_nothing(2), stress=nan
    )
