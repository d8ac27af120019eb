"""Principal axes of series with missing dates, and where a series lies on them, from what was seen alone.

Series are taken as a few axes plus noise: x = mean + Σ axes · z + ε, with z of the variances of the axes and ε of one
variance (probabilistic principal components: Tipping and Bishop, J. R. Stat. Soc. B 61, 1999; with missing values:
Ilin and Raiko, JMLR 11, 2010). Axes, mean and noise are estimated from the values that were seen. Where a tile misses
dates, its place on the axes is what the model expects of it given the dates that it has. With every date seen all this
is plain principal component analysis.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.zones.missing import two_way_fill
from taxoscape.zones.rows import by_parts, row_blocks
from taxoscape.zones.starts import principal_directions

if TYPE_CHECKING:
    import numpy.typing as npt

    from taxoscape.zones.rows import Rows

    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]
    Bool = npt.NDArray[np.bool_]

SAMPLE_ROWS = 2_000
"""Series that the axes are those of, at most."""
ITERATIONS = 5
"""Rounds of expectation and maximisation. More fit the gaps better, but made worse zones: see docs/evidence.md."""
BLOCK_BYTES = 64 * 2**20
"""Bytes of float64 values that are placed at once."""
LEAST_NOISE = 1e-9
"""Variance of the noise of a value, at least, as a share of the mean variance of a value."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Axes:
    """Principal axes of series, with what is known of how series lie about them."""

    origin: Float64
    """Mean series: float64 (time · feature,)."""
    directions: Float64
    """float64 (time · feature, axis), orthonormal."""
    variances: Float64
    """Variance along each axis: float64 (axis,)."""
    noise: float
    """Variance of a value about the axes."""


def fit_axes(values: Rows, counts: Bool, count: int, *, rng: np.random.Generator) -> Axes:
    """Find the first principal axes of series.

    Parameters
    ----------
    values
        float32 (row, time, feature); what it holds where ``counts`` is False does not matter.
    counts
        bool (row, time): on which dates a row was seen; at least once each.
    count
        Number of axes; fewer are found where the rows do not have as many, one at least.
    rng
        Source of the sample of `SAMPLE_ROWS` rows.

    Notes
    -----
    The mean of a date is that of the rows seen then, and is not estimated anew. Memory: the sample in float64, about
    four times, and blocks of `BLOCK_BYTES`. Time of a round: O(m · D · axes + m · axes³) for m sampled rows of D
    columns.
    """
    sample = np.sort(rng.permutation(len(values))[:SAMPLE_ROWS])
    some, seen = values[sample], counts[sample]
    filled = (some if seen.all() else two_way_fill(some, seen)).reshape(len(sample), -1)
    origin, directions = principal_directions(filled, np.arange(len(sample)), count)
    apart = filled - origin
    variances = np.square(apart @ directions).mean(axis=0)
    total, spare = float(np.square(apart).sum(axis=1).mean()), apart.shape[1] - len(variances)
    least = max(LEAST_NOISE * total / apart.shape[1], 1e-30)
    noise = max((total - float(variances.sum())) / max(spare, 1), least)
    variances = np.maximum(variances, least)
    if seen.all():
        return Axes(origin=origin, directions=directions, variances=variances, noise=noise)
    return _settled(some, seen, directions * np.sqrt(variances), noise, least)


def _settled(values: Float32, counts: Bool, loadings: Float64, noise: float, least: float) -> Axes:
    """Return axes fitted to what was seen, by `ITERATIONS` rounds from given loadings, float64 (column, axis)."""
    rows, times, features = values.shape
    axes, seen = loadings.shape[1], counts.astype(np.float64)
    mean = np.where(counts[:, :, None], values, 0).sum(axis=0, dtype=np.float64)
    mean /= np.maximum(counts.sum(axis=0), 1)[:, None]
    apart = np.where(counts[:, :, None], values - mean, 0).reshape(rows, -1)  # (row, time · feature), 0 where not seen
    squares = float(np.square(apart).sum())
    for _ in range(ITERATIONS):
        by_date = loadings.reshape(times, features, axes)
        products = np.einsum("tfa,tfb->tab", by_date, by_date)
        answers, places = apart @ loadings, np.empty((rows, axes))
        per_date = np.zeros((times, axes, axes))
        for part in row_blocks(rows, 32 * axes**2, BLOCK_BYTES):
            precision = np.tensordot(seen[part], products, axes=1) + noise * np.eye(axes)  # (row, axis, axis)
            spread = noise * np.linalg.inv(precision)
            places[part] = (spread @ answers[part, :, None])[:, :, 0] / noise
            moments = places[part, :, None] * places[part, None, :] + spread
            per_date += np.tensordot(seen[part].T, moments, axes=1)
        explained = float((answers * places).sum()) * 2 - float(np.einsum("tab,tab->", products, per_date))
        noise = max((squares - explained) / (seen.sum() * features), least)
        steady = 1e-9 * np.trace(per_date, axis1=1, axis2=2)[:, None, None] / axes * np.eye(axes) + 1e-30 * np.eye(axes)
        cross = np.einsum("rtf,ra->taf", apart.reshape(rows, times, features), places, optimize=True)
        loadings = np.linalg.solve(per_date + steady, cross).transpose(0, 2, 1).reshape(-1, axes)
    directions, scales, _ = np.linalg.svd(loadings, full_matrices=False)
    kept = max(1, int((scales > scales[0] * 1e-6).sum()))
    return Axes(
        origin=mean.ravel(), directions=directions[:, :kept], variances=np.maximum(np.square(scales[:kept]), least),
        noise=noise,
    )  # fmt: skip


def mapped(values: Rows, counts: Bool, *, origin: Float64, axes: Float64, ridge: Float64) -> Float32:
    """Return what a linear map of whole series is expected to give, of series with missing dates.

    Parameters
    ----------
    values
        float (row, time, feature); what it holds where ``counts`` is False does not matter.
    counts
        bool (row, time).
    origin, axes
        float64 (time · feature,) and (time · feature, component): the map is (x − origin) · axes.
    ridge
        float64 (component, component): noise times the inverse covariance of what the map gives.

    Returns
    -------
    float32 (row, component): over the dates seen the sum of (x − origin) · axes, over the others that of the series on
    the axes, Σ axes · (axesᵀ axes)⁻¹ · y, with the y that minimises the squared error on the dates seen plus
    yᵀ ridge y.
    """
    rows, times, features = values.shape
    components = axes.shape[1]
    back = axes @ np.linalg.pinv(axes.T @ axes)
    by_date = back.reshape(times, features, components)
    gram = np.einsum("tfa,tfb->tab", by_date, by_date)
    lost = np.einsum("tfa,tfb->tab", axes.reshape(times, features, components), by_date)
    result = np.empty((rows, components), dtype=np.float32)
    work = partial(_mapped_part, origin.reshape(times, features), axes, back, (gram, lost, ridge))
    row_bytes = 8 * (2 * len(origin) + 4 * components**2)
    for part, found in by_parts(values, work, counts, row_bytes=row_bytes, most_bytes=BLOCK_BYTES):
        result[part] = found
    return result


def _mapped_part(
    origin: Float64,
    axes: Float64,
    back: Float64,
    small: tuple[Float64, Float64, Float64],
    rows: Float32,
    seen: Bool,
) -> Float64:
    """Return what `mapped` returns of some rows; ``small`` are its matrices gram, lost and ridge."""
    gram, lost, ridge = small
    apart = np.where(seen[:, :, None], rows - origin, 0).reshape(len(seen), -1)
    result = apart @ axes
    gaps = np.flatnonzero(~seen.all(axis=1))
    known = seen[gaps].astype(np.float64)
    guess = np.linalg.solve(np.tensordot(known, gram, axes=1) + ridge, (apart[gaps] @ back)[:, :, None])
    missing = np.tensordot(1 - known, lost, axes=1)
    result[gaps] += (missing @ guess)[:, :, 0]
    return np.asarray(result)
