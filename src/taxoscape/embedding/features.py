"""Encoders that are made of a cube without training: `stats`, `rcf` and `embeddings`.

The first two are what a trained encoder has to beat. Both learn nothing but how the bands are scaled; ``rcf`` draws its
filters from the data besides. `embeddings` is for scenes that another model has made features of, one per band: the
vector of a tile is their mean, in their own units. All are encoders like any other, made in seconds, and cannot be
refined. `fixed` has their networks.

Embeddings of AlphaEarth Foundations come as whole numbers of 8 bits, -127 to 127 in the bands A00 to A63, -128 where
there is none; v stands for sign(v) · (v / 127.5)² (https://developers.google.com/earth-engine/guides/aef_on_gcs_readme).
Scenes of 8-bit numbers with signs in bands of such names are taken for them. The mean of a tile is not scaled to length
1 again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import torch

from taxoscape.config import TRAINING_FREE, EncoderSettings
from taxoscape.embedding.encoder import Encoder, Recipe
from taxoscape.embedding.fixed import PATCH_PX, FeatureMeans, RandomFeatures
from taxoscape.embedding.places import Places
from taxoscape.embedding.scaling import LIMIT, SAMPLE_TILES, Scaling, learn_scaling
from taxoscape.embedding.tiles import TileReader, as_reader
from taxoscape.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    Corners: TypeAlias = npt.NDArray[np.int32]
    Float64: TypeAlias = npt.NDArray[np.float64]

_ALPHAEARTH = re.compile(r"A[0-6]\d")
"""Bands of AlphaEarth's embeddings."""
PATCHES_OF_A_TILE = 40
"""Patches that are taken of each tile of the sample."""
REGULARISER = 0.1
"""What whitening adds to the variances of patches, as a share of their mean."""
DRAWS = 32
"""Rounds of looking for tiles with valid pixels before those still missing are given up."""


def fit_features(
    cube: xr.DataArray | TileReader,
    *,
    tile_size: int = 100,
    settings: EncoderSettings,
    rng: int | np.random.Generator = 0,
    min_valid: float = 0.5,
    device: str = "cpu",
) -> Encoder:
    """Make an encoder that needs no training.

    Parameters
    ----------
    cube
        Cube (time, band, y, x) with the coordinate ``valid``, or a reader of it.
    tile_size
        Edge of a tile in pixels, from 1.
    settings
        ``encoder`` is ``stats``, ``rcf`` or ``embeddings``; of the rest only ``filters`` counts, for ``rcf``, and
        ``deviation``, for ``embeddings``.
    rng
        Seed or generator. The same seed gives the same encoder on the same machine.
    min_valid
        Share of valid pixels that a tile has at least to be learnt from.
    device
        Where the network shall run.

    Returns
    -------
    Encoder
        ``stats``: per band the mean and the deviation, 2 · band features. ``rcf``: per band the mean, then what
        `fixed.RandomFeatures` makes, band + 2 · ``filters`` features. ``embeddings``: per band the mean, and the
        deviation if asked, not scaled. Vectors are not normalised.

    Raises
    ------
    InputError
        Where the encoder is another one, the region is smaller than a tile, or too little of it is valid.

    Notes
    -----
    Cost: reads `scaling.SAMPLE_TILES` tiles up to three times. The means and the answers of ``rcf`` are each divided by
    one number, so that over those tiles both vary equally between the tiles of a date: texture alone loses what colour
    tells, and dates are not to be told apart. On synthetic land equal shares did better than half or double.
    """
    name = settings.encoder
    if name not in TRAINING_FREE:
        raise InputError(f"'{name}' is no encoder that is made without training: take {' or '.join(TRAINING_FREE)}")
    rng = np.random.default_rng(rng)
    reader = as_reader(cube, tile_size)
    sample = sample_tiles(reader, SAMPLE_TILES, rng=rng, min_valid=min_valid)
    if name == "embeddings":
        return _take_features(reader, sample, settings, device)
    scaling = learn_scaling(reader, sample)
    n_features = 2 * reader.n_bands if name == "stats" else reader.n_bands + 2 * settings.filters
    recipe = Recipe(
        network=name,
        tile_size=reader.tile_size,
        bands=reader.bands,
        n_features=n_features,
        scaling=scaling,
        normalised=False,
    )
    encoder = Encoder(recipe, recipe.build(), {"settings": asdict(settings)})
    if name == "rcf":
        network = cast("RandomFeatures", encoder.network)
        filters = draw_filters(sample_patches(reader, sample, scaling, rng=rng), settings.filters, rng=rng)
        network.filters.copy_(torch.from_numpy(filters))
        blocks = (reader.n_bands, 2 * settings.filters)
        network.block_weights.copy_(torch.tensor(equal_shares(encoder, reader, sample, blocks)))
    encoder.network.to(device)
    return encoder


def _take_features(reader: TileReader, sample: Corners, settings: EncoderSettings, device: str) -> Encoder:
    """Return the encoder of scenes whose bands are features.

    Values are divided by one power of two, so that none of the sample is near `scaling.LIMIT`, and multiplied by it
    again.
    """
    squared = reader.dtype == np.int8 and all(_ALPHAEARTH.fullmatch(band) for band in reader.bands)
    if squared:
        divisor, unit = 127.5, 1.0
    else:
        most = max((_largest(*reader.read(sample[i : i + 16])) for i in range(0, len(sample), 16)), default=0.0)
        divisor = unit = 2.0 ** math.ceil(math.log2(most / LIMIT * 4)) if most > 0 else 1.0
    nothing = (0.0,) * reader.n_bands
    recipe = Recipe(
        network="alphaearth" if squared else "embeddings",
        tile_size=reader.tile_size,
        bands=reader.bands,
        n_features=reader.n_bands * (1 + settings.deviation),
        scaling=Scaling(mean=nothing, offset=nothing, scale=(divisor,) * reader.n_bands),
        normalised=False,
    )
    encoder = Encoder(recipe, recipe.build(), {"settings": asdict(settings)})
    cast("FeatureMeans", encoder.network).unit.fill_(unit)
    encoder.network.to(device)
    return encoder


def _largest(values: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> float:
    """Return the largest absolute value of the valid pixels of tiles (n, band, y, x), 0 where there is none."""
    known = np.abs(values.transpose(0, 2, 3, 1)[valid].astype(np.float64))
    return float(known[np.isfinite(known)].max(initial=0.0))


def sample_tiles(reader: TileReader, n: int, *, rng: np.random.Generator, min_valid: float = 0.5) -> Corners:
    """Draw tiles with enough valid pixels, at any pixel and on any date: int32 (n or fewer, 3), at least one.

    Raises
    ------
    InputError
        Where no whole tile fits, or none was found.

    Notes
    -----
    Draws blindly at first; where that finds few, reads the whole mask once and looks where valid ground is.
    """
    down, across = reader.span
    if down < 0 or across < 0:
        raise InputError(
            f"no whole tile of {reader.tile_size} × {reader.tile_size} px fits the region of {reader.height} × "
            f"{reader.width} px: take a smaller --tile-size"
        )
    ends = (down + 1, across + 1, reader.n_times)
    found = _good(reader, np.column_stack([rng.integers(end, size=4 * n) for end in ends]), min_valid)
    if len(found) < n // 4:
        places = Places.of(reader, min_valid)
        for _ in range(DRAWS if len(places) else 0):
            if len(found) >= n:
                break
            found = np.concatenate([found, _good(reader, places.draw(2 * n, rng), min_valid)])
    if not len(found):
        raise InputError(
            f"no tile of {reader.tile_size} px with at least {min_valid:.0%} valid pixels was found: the scenes are "
            "nearly empty; lower --min-valid, take a smaller --tile-size, or leave out empty dates"
        )
    return found[:n].astype(np.int32)


def sample_patches(
    reader: TileReader, corners: Corners, scaling: Scaling, *, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Take patches of tiles at random: float32 (patch, band, y, x), scaled, without an invalid pixel.

    Their edge is `fixed.PATCH_PX`, or the tile's where that is smaller. Where no patch is wholly valid, those with most
    valid pixels are returned, in which an invalid pixel is one of its tile's mean colour.
    """
    size = reader.tile_size
    edge = min(PATCH_PX, size)
    patches, counts = [], []
    for values, usable in _scaled(reader, corners, scaling):
        for tile, good in zip(values, usable, strict=True):
            rows, cols = rng.integers(size - edge + 1, size=(2, PATCHES_OF_A_TILE))
            mean = tile.mean(axis=(1, 2), where=good) if good.any() else np.zeros(len(tile))
            filled = np.where(good, tile, mean[:, None, None])
            windows = [
                (..., slice(row, row + edge), slice(col, col + edge)) for row, col in zip(rows, cols, strict=True)
            ]
            patches += [filled[window] for window in windows]
            counts += [np.count_nonzero(good[window]) for window in windows]
    known = np.array(counts)
    whole: npt.NDArray[np.float32] = np.stack(patches)[known == known.max()].astype(np.float32)
    return whole


def draw_filters(patches: npt.NDArray[np.float32], n: int, *, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Make filters of patches, whitened with all patches: float32 (n, band, y, x).

    Parameters
    ----------
    patches
        Float32 (patch, band, y, x).
    n
        Number of filters. Patches come again where there are fewer; flat ones are taken only where all are.

    Notes
    -----
    With C the centring of a patch (the mean of each band taken off), x a window of a tile, and W the whitening of
    `whiten`, the response is the projection of the whitened window W·C·x on a whitened patch of length 1, that is on
    ŵ = W·C·p / ‖W·C·p‖. As W and C are symmetric and commute, it is (W·ŵ) · x: what is stored is W·ŵ, whose sum is 0
    in every band.
    """
    centred = (patches - patches.mean(axis=(2, 3), keepdims=True)).reshape(len(patches), -1).astype(np.float64)
    white, whitening = whiten(centred)
    length = np.linalg.norm(white, axis=1)
    uneven = np.flatnonzero(length > 1e-6 * max(1.0, float(length.max())))
    pool = uneven if len(uneven) else np.arange(len(white))
    chosen = rng.choice(pool, n, replace=len(pool) < n)
    directions = white[chosen] / np.maximum(length[chosen], 1e-30)[:, None]
    filters = (directions @ whitening).reshape(n, *patches.shape[1:])
    centred_filters: npt.NDArray[np.float32] = (filters - filters.mean(axis=(2, 3), keepdims=True)).astype(np.float32)
    return centred_filters


def whiten(rows: Float64, *, regulariser: float = REGULARISER) -> tuple[Float64, Float64]:
    """Whiten rows by ZCA.

    Parameters
    ----------
    rows
        Float64 (row, value), each of mean 0 already.
    regulariser
        Added to the variance of each principal direction, as a share of the mean variance of all directions.

    Returns
    -------
    white
        Float64 (row, value): ``rows @ whitening``. In a principal direction of variance λ it has λ / (λ + ε).
    whitening
        Float64 (value, value), symmetric. The identity times a number where all rows are zero.

    Notes
    -----
    Source: Coates and Ng (2011), section 3.2; the covariance is about zero.
    """
    variance, axes = np.linalg.eigh(rows.T @ rows / len(rows))
    variance = np.maximum(variance, 0)
    epsilon = regulariser * float(variance.mean()) or 1.0
    whitening = (axes / np.sqrt(variance + epsilon)) @ axes.T
    return rows @ whitening, whitening


def equal_shares(encoder: Encoder, reader: TileReader, corners: Corners, blocks: tuple[int, ...]) -> tuple[float, ...]:
    """Return for each block of features one over the root of its variance between tiles of a date; 1 where it has none.

    Parameters
    ----------
    encoder, reader, corners
        What makes vectors, and of which tiles: int32 (n, 3).
    blocks
        Lengths of the blocks, in the order of the vector. The variance is the sum over the features of a block.
    """
    parts = [encoder.embed(*reader.read(corners[i : i + 64])) for i in range(0, len(corners), 64)]
    vectors, dates = np.concatenate(parts).astype(np.float64), corners[:, 2]
    for date in np.unique(dates):
        vectors[dates == date] -= vectors[dates == date].mean(axis=0)
    squares = np.square(vectors).mean(axis=0)
    shares = np.array([part.sum() for part in np.split(squares, np.cumsum(blocks)[:-1])])
    return tuple(np.where(shares > 1e-12, 1 / np.sqrt(np.maximum(shares, 1e-12)), 1).tolist())


def _good(reader: TileReader, rows: npt.NDArray[np.int64], min_valid: float) -> npt.NDArray[np.int64]:
    share = reader.valid_share(rows)
    good: npt.NDArray[np.int64] = rows[(share >= min_valid) & (share > 0)]
    return good


def _scaled(
    reader: TileReader, corners: Corners, scaling: Scaling
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]:
    """Yield tiles as a network sees them, (n, band, y, x), and their usable pixels, (n, 1, y, x), a few at a time."""
    for start in range(0, len(corners), 16):
        values, valid = reader.read(corners[start : start + 16])
        yield scaling.apply(values, valid), scaling.usable(values, valid)
