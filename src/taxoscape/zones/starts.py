"""K-means once, and K-means from the best of several starts that are made cheaply.

Starts cost most where there are many columns. Here they are made on the first principal axes of the rows alone, and
only the best of them is carried on over all columns, so that what is returned is a partition by K-means of the whole
data. The iterations are scikit-learn's.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.progress import Track, silent
from taxoscape.zones.rows import row_blocks

if TYPE_CHECKING:
    import numpy.typing as npt

    Int = npt.NDArray[np.int64]
    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]

STARTS = 10
"""K-means++ starts of a partition: with few, stability tells of unlucky starts and not of the tiles."""
AXES = 32
"""Principal axes on which starts are made."""
MAX_ITERATIONS = 300
BLOCK_BYTES = 64 * 2**20
"""Bytes of float64 values that are turned at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One K-means result on a matrix."""

    labels: Int
    """Cluster of each row, 0…K−1."""
    centres: Float32
    """Centre of each cluster: float32 (cluster, column)."""
    inertia: float
    """Sum over rows of the squared distance to the centre."""


def principal_axes(matrix: Float32, sample: Int) -> tuple[Float32, Float32]:
    """Return some rows on their principal axes, and all rows on the first of these axes.

    Parameters
    ----------
    matrix
        float32 (row, column), finite.
    sample
        int64 (sampled row,): the rows that the axes are those of.

    Returns
    -------
    The sample, float32 (sampled row, axis), turned about its mean: this keeps all distances within it, to the rounding
    of float32, and makes no more axes than it has rows. And all rows on the first `AXES` axes, float32 (row, axis);
    where they have no more columns than that, the matrix as it is.

    Notes
    -----
    Memory: the sample in float64 twice at most, and the results. Time: O(m · min(m, D)² + D · m²) for m sampled
    rows of D columns.
    """
    rotated, centre, directions = axes_of(matrix[sample])
    if matrix.shape[1] <= AXES:
        return rotated, matrix
    turned = np.empty((len(matrix), directions.shape[1]), dtype=np.float32)
    for rows in row_blocks(len(matrix), 8 * matrix.shape[1], BLOCK_BYTES):
        turned[rows] = (matrix[rows] - centre) @ directions
    return rotated, turned


def axes_of(some: Float32) -> tuple[Float32, Float64, Float64]:
    """Return rows, float32 (row, column), on their principal axes, their mean, and the first `AXES` axes.

    float32 (row, axis), which keeps all distances, float64 (column,) and float64 (column, axis).
    """
    spectrum = _Spectrum.of(some, np.arange(len(some)))
    return spectrum.rotated(), spectrum.centre, spectrum.directions(AXES)


def principal_directions(matrix: Float32, sample: Int, count: int) -> tuple[Float64, Float64]:
    """Return the mean and the first principal axes of some rows.

    Parameters
    ----------
    matrix
        float32 (row, column), finite.
    sample
        int64 (sampled row,): the rows that the axes are those of.
    count
        Number of axes; fewer are returned where the sample has not as many, one at least.

    Returns
    -------
    float64 (column,) and float64 (column, axis), orthonormal.
    """
    spectrum = _Spectrum.of(matrix, sample)
    return spectrum.centre, spectrum.directions(count)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Spectrum:
    """Rows about their mean, and the eigenvectors of their products along the shorter side."""

    part: Float64
    """float64 (row, column), of mean 0."""
    centre: Float64
    """float64 (column,)."""
    squares: Float64
    """Squared singular values, falling: float64 (axis,)."""
    vectors: Float64
    """float64 (column, axis), or (row, axis) where there are more columns than rows."""

    @classmethod
    def of(cls, matrix: Float32, sample: Int) -> _Spectrum:
        part = matrix[sample].astype(np.float64)
        centre = part.mean(axis=0)
        part -= centre
        squares, vectors = np.linalg.eigh(part @ part.T if part.shape[1] > len(part) else part.T @ part)
        return cls(part=part, centre=centre, squares=np.maximum(squares[::-1], 0), vectors=vectors[:, ::-1])

    @property
    def wide(self) -> bool:
        """Whether there are more columns than rows."""
        rows, columns = self.part.shape
        return bool(columns > rows)

    def rotated(self) -> Float32:
        """Return the rows on all axes: float32 (row, axis)."""
        turned = self.vectors * np.sqrt(self.squares) if self.wide else self.part @ self.vectors
        return np.asarray(turned, dtype=np.float32)

    def directions(self, count: int) -> Float64:
        """Return the first axes, at most ``count`` and one at least: float64 (column, axis), orthonormal."""
        kept = max(1, int((self.squares[:count] > self.squares[0] * 1e-12).sum()))
        vectors = self.vectors[:, :kept]
        if not self.wide:
            return vectors
        return np.asarray(self.part.T @ (vectors / np.sqrt(np.maximum(self.squares[:kept], 1e-300))))


def best_of_starts(matrix: Float32, first_axes: Float32, k: int, seeds: npt.NDArray[np.integer]) -> Partition:
    """Return K-means of a matrix: the best of several starts on a few axes, carried on over all columns.

    Parameters
    ----------
    matrix
        float32 (row, column), finite.
    first_axes
        float32 (row, axis): the same rows on a few axes, as from `principal_axes`.
    k
        Number of clusters.
    seeds
        Integer (start,): seeds of the k-means++ starts.

    Notes
    -----
    Where on the few axes a cluster stays empty, as for rows that differ on other axes only, one start is made on all
    columns. Memory: two copies of ``matrix`` for a moment, then one, all scikit-learn's own.
    """
    best = min((fit(first_axes, k, None, int(seed)) for seed in seeds), key=lambda partition: partition.inertia)
    if first_axes.shape[1] < matrix.shape[1]:
        sizes = np.bincount(best.labels, minlength=k)
        if not sizes.all():
            return fit(matrix, k, None, int(seeds[0]))
        member = np.eye(k, dtype=np.float32)[best.labels]
        means = (member.T @ matrix) / sizes[:, None].astype(np.float32)
        best = fit(matrix, k, means.astype(np.float32), 0)
    return best


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


def fit(matrix: Float32, k: int, init: Float32 | None, seed: int) -> Partition:
    """Return K-means of a matrix from given centres, float32 (cluster, column), or from one k-means++ start (None)."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    how: Any = "k-means++" if init is None else init
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # rows that differ by less than rounding
        model = KMeans(n_clusters=k, init=how, n_init=1, max_iter=MAX_ITERATIONS, random_state=seed).fit(matrix)
    return Partition(
        labels=model.labels_.astype(np.int64),
        centres=model.cluster_centers_.astype(np.float32),
        inertia=float(model.inertia_),
    )
