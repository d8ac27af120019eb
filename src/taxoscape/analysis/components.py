"""Principal components of series, with missing dates and in bounded memory.

What a tile misses on a date is filled by the two-way rule: the date's mean plus the tile's mean difference from the
means of the dates on which it was seen. The components are found on at most `FIT_TILES` tiles; all tiles are then
projected, block by block. The colours of the map and the PCA panel of the projections are the same components.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.contracts import check_series
from taxoscape.zones.missing import fill_from_means
from taxoscape.zones.rows import row_blocks

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    Floats = npt.NDArray[np.float64]

FIT_TILES = 4096
"""The components are found on at most this many tiles, drawn evenly; all tiles are then projected."""

_BLOCK_VALUES = 8_000_000
_FILL_BYTES = 8 * 2**20
_SUM_VALUES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """Principal components of the flattened series of a region."""

    scores: Floats
    """float64 (tile, component): place of each tile, from the date means as origin; zeros where no date counts."""
    counts: npt.NDArray[np.bool_]
    """bool (tile, time): whether the tile counts on the date."""
    explained_variance: Floats
    """float64 (component,): share of the variance that each component holds, 0…1."""
    date_means: Floats
    """float64 (time, feature): mean over tiles, the origin of the projection; 0 for a date that no tile counts on."""
    directions: Floats
    """float64 (component, time · feature): orthonormal, the entry of largest size positive; zeros where the series
    vary in fewer directions."""
    n_fitted: int
    """Number of tiles that the components were found on."""


def principal_components(series: xr.Dataset, *, count: int = 3, rng: int | np.random.Generator = 0) -> Components:
    """Find the principal components of the flattened series and project every tile on them.

    Parameters
    ----------
    series
        A series: ``embedding`` float32 (tile, time, feature), NaN where a tile does not count.
    count
        Number of components.
    rng
        Seed or generator of the drawing of tiles where there are more than `FIT_TILES`, and of the randomised SVD.

    Raises
    ------
    InputError
        Where ``series`` does not keep its contract.

    Notes
    -----
    Three passes over the series in blocks of at most 64 MB. Memory beside the series: `FIT_TILES` flattened series in
    float64, once (twice with at most 512 tiles or columns), and some 100 MB for blocks. Source: METHOD step 9. We
    differ in that missing dates are filled.
    """
    check_series(series)
    generator = np.random.default_rng(rng)
    embedding = series["embedding"]
    counts = np.concatenate([np.isfinite(block).all(axis=2) for block in tile_blocks(embedding)])
    date_means = _date_means(embedding)
    which = np.flatnonzero(counts.any(axis=1))
    if which.size > FIT_TILES:
        which = np.sort(generator.choice(which, FIT_TILES, replace=False))
    sample = np.empty((len(which), date_means.size))
    for part in row_blocks(len(which), date_means.size, _BLOCK_VALUES):
        _write_deviations(embedding.isel(tile=which[part]).to_numpy(), date_means, sample[part])
    directions, explained = _principal(sample, count, int(generator.integers(2**31)))
    del sample
    scores = [scores_of(block, date_means, directions) for block in tile_blocks(embedding)]
    return Components(
        scores=np.concatenate(scores),
        counts=counts,
        explained_variance=explained,
        date_means=date_means,
        directions=directions,
        n_fitted=len(which),
    )


def scores_of(values: npt.NDArray[np.floating], date_means: Floats, directions: Floats) -> Floats:
    """Return the places of series on components.

    Parameters
    ----------
    values
        Real (n, time, feature), NaN on missing dates.
    date_means, directions
        As in `Components`.

    Returns
    -------
    float64 (n, component)
    """
    flat = np.empty((len(values), date_means.size))
    _write_deviations(values, date_means, flat)
    return np.asarray(flat @ directions.T)


def fill_missing(values: npt.NDArray[np.floating], date_means: Floats) -> Floats:
    """Fill what is missing by the two-way rule.

    Parameters
    ----------
    values
        Real (tile, time, feature); a date is missing where any feature is not finite.
    date_means
        float64 (time, feature).

    Returns
    -------
    numpy.ndarray
        float64 (tile, time, feature): what was there, and elsewhere the date's mean plus the mean over the tile's seen
        dates of (tile - date mean). A tile without any date becomes the date means.
    """
    return fill_from_means(values, np.asarray(np.isfinite(values).all(axis=2)), date_means)


def tile_slices(embedding: xr.DataArray) -> list[slice]:
    """Return slices of tiles of an embedding (tile, time, feature), at most 64 MB in float64 each."""
    n_tiles, n_dates, n_features = embedding.shape
    return list(row_blocks(n_tiles, n_dates * n_features, _BLOCK_VALUES))


def tile_blocks(embedding: xr.DataArray) -> Iterator[npt.NDArray[np.float32]]:
    """Yield an embedding by `tile_slices`: float32 (tile, time, feature)."""
    for part in tile_slices(embedding):
        yield embedding.isel(tile=part).to_numpy()


def _date_means(embedding: xr.DataArray) -> Floats:
    """Return the mean over tiles, float64 (time, feature); 0 for a date that no tile counts on."""
    _, n_dates, n_features = embedding.shape
    sums, counts = np.zeros((n_dates, n_features)), np.zeros((n_dates, 1))
    for block in tile_blocks(embedding):
        seen = np.isfinite(block).all(axis=2, keepdims=True)
        sums += np.where(seen, block, 0.0).sum(axis=0, dtype=np.float64)
        counts += seen.sum(axis=0)
    return np.asarray(sums / np.maximum(counts, 1))


def _write_deviations(values: npt.NDArray[np.floating], date_means: Floats, out: Floats) -> None:
    """Write series (n, time, feature), filled and less the date means, into ``out``, float64 (n, time · feature)."""
    for part in row_blocks(len(values), 8 * date_means.size, _FILL_BYTES):
        filled = fill_missing(values[part], date_means)
        np.subtract(filled, date_means, out=out[part].reshape(filled.shape))


def _principal(sample: Floats, most: int, seed: int) -> tuple[Floats, Floats]:
    """Return principal directions (most, D) of deviations (n, D), and their shares of the variance (most,).

    Centres ``sample`` in place.
    """
    from sklearn.utils.extmath import randomized_svd

    directions, shares = np.zeros((most, sample.shape[1])), np.zeros(most)
    if len(sample):
        sample -= sample.mean(axis=0)
    total = _sum_of_squares(sample.ravel())
    if total == 0.0:
        return directions, shares
    if min(sample.shape) <= 512:
        _, sizes, vectors = np.linalg.svd(sample, full_matrices=False)
    else:
        _, sizes, vectors = randomized_svd(sample, most, n_iter=10, random_state=seed, flip_sign=False)
    count = min(most, int((sizes > sizes[0] * 1e-9).sum()))
    vectors = vectors[:count]
    largest = np.abs(vectors).argmax(axis=1)
    directions[:count] = vectors * np.sign(vectors[np.arange(count), largest])[:, None]
    shares[:count] = sizes[:count] ** 2 / total
    return directions, shares


def _sum_of_squares(values: Floats) -> float:
    """Return Σ x² of float64 (n,), halved as NumPy halves a sum, so that it is the same without a whole copy."""
    if len(values) <= _SUM_VALUES:
        return float(np.square(values).sum())
    half = len(values) // 2
    half -= half % 8
    return _sum_of_squares(values[:half]) + _sum_of_squares(values[half:])
