from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from taxoscape.config import EncoderSettings, RefineSettings
from taxoscape.embedding.encoder import Encoder, load_encoder
from taxoscape.embedding.encoding import encode
from taxoscape.embedding.features import (
    REGULARISER,
    draw_filters,
    fit_features,
    sample_patches,
    sample_tiles,
    whiten,
)
from taxoscape.embedding.fit import CollapseWarning, refinement_settings, train_encoder, untrained
from taxoscape.embedding.networks import build_network
from taxoscape.embedding.tiles import TileReader
from taxoscape.errors import InputError
from tests.embedding.cubes import a_cube, noise

STATS, RCF = EncoderSettings(encoder="stats"), EncoderSettings(encoder="rcf", filters=6)
BOTH = pytest.mark.parametrize("settings", [STATS, RCF], ids=["stats", "rcf"])


def holed(n: int, size: int, seed: int = 1) -> npt.NDArray[np.bool_]:
    """Masks with a corner and some single pixels missing."""
    valid = np.random.default_rng(seed).random((n, size, size)) > 0.02
    valid[:, : size // 3, : size // 2] = False
    return valid


def scaled(encoder: Encoder, tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    offset, scale = (np.array(v)[:, None, None] for v in (encoder.recipe.scaling.offset, encoder.recipe.scaling.scale))
    return np.clip((tiles - offset) / scale, -8, 8)


def naive_stats(tile: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_]) -> list[float]:
    bands = [[band[y, x] for y in range(len(valid)) for x in range(len(valid)) if valid[y, x]] for band in tile]
    return [float(np.mean(values)) for values in bands] + [float(np.std(values)) for values in bands]


def naive_rcf(
    tile: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_], filters: npt.NDArray[np.float32], stride: int,
    weights: npt.NDArray[np.float32],
) -> list[float]:  # fmt: skip
    """Window by window, each centred in each band before the filters see it."""
    edge, size = filters.shape[-1], len(valid)
    means = [float(band[valid].mean()) for band in tile]
    filled = np.where(valid, tile, np.array(means)[:, None, None])
    places = [(y, x) for y in range(0, size - edge + 1, stride) for x in range(0, size - edge + 1, stride)]
    share = {(y, x): valid[y : y + edge, x : x + edge].mean() for y, x in places}
    whole = [place for place in places if share[place] == 1]
    counting = dict.fromkeys(whole, 1.0) if whole else share
    above, below = np.zeros(len(filters)), np.zeros(len(filters))
    for (y, x), weight in counting.items():
        window = filled[:, y : y + edge, x : x + edge]
        window = window - window.mean(axis=(1, 2), keepdims=True)
        for i, one in enumerate(filters):
            response = float((window * one).sum())
            above[i] += weight * max(response, 0)
            below[i] += weight * max(-response, 0)
    answers = np.concatenate([above, below]) / max(sum(counting.values()), 1e-9)
    return [mean * float(weights[0]) for mean in means] + [float(a) * float(weights[1]) for a in answers]


@hypothesis_settings(max_examples=15)
@given(size=st.integers(1, 9), bands=st.integers(1, 4), masked=st.booleans(), seed=st.integers(0, 99))
def test_stats_are_mean_and_deviation_of_the_valid_pixels(size: int, bands: int, masked: bool, seed: int) -> None:
    cube = a_cube(noise(2, bands, 30, 40, seed))
    encoder = fit_features(cube, tile_size=size, settings=STATS, rng=seed)
    tiles = noise(3, bands, size, size, seed + 1)
    valid = np.random.default_rng(seed).random((3, size, size)) > 0.3 * masked
    valid[:, -1, -1] = True
    wanted = [naive_stats(tile, mask) for tile, mask in zip(scaled(encoder, tiles), valid, strict=True)]
    np.testing.assert_allclose(encoder.embed(tiles, valid), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("size", "bands"), [(1, 1), (3, 2), (8, 12), (13, 3), (50, 2)])
@pytest.mark.parametrize("mask", ["none", "holed", "speckled"])
def test_rcf_is_what_a_loop_over_windows_and_filters_gives(size: int, bands: int, mask: str) -> None:
    cube = a_cube(noise(2, bands, 60, 70))
    encoder = fit_features(cube, tile_size=size, settings=RCF)
    tiles = noise(2, bands, size, size, 9)
    valid = np.ones((2, size, size), bool)
    if mask == "holed" and size > 1:
        valid = holed(2, size)
    elif mask == "speckled" and size > 1:
        valid = np.random.default_rng(2).random((2, size, size)) > 0.5  # hardly a window is whole
        valid[:, 0, 0] = True
    state = {name: tensor.numpy() for name, tensor in encoder.network.state_dict().items()}
    stride = {1: 1, 3: 1, 8: 1, 13: 1, 50: 3}[size]
    wanted = [
        naive_rcf(tile, known, state["filters"], stride, state["block_weights"])
        for tile, known in zip(scaled(encoder, tiles), valid, strict=True)
    ]
    found = encoder.embed(tiles, valid)
    assert found.shape == (2, bands + 12)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


def test_filters_answer_like_whitened_centred_windows_projected_on_whitened_patches() -> None:
    rng = np.random.default_rng(4)
    patches = rng.normal(size=(300, 2, 3, 3)).astype(np.float32)
    filters = draw_filters(patches, 5, rng=np.random.default_rng(8))
    centred = (patches - patches.mean(axis=(2, 3), keepdims=True)).reshape(300, -1).astype(np.float64)
    white, whitening = whiten(centred)
    chosen = np.random.default_rng(8).choice(300, 5, replace=False)
    directions = white[chosen] / np.linalg.norm(white[chosen], axis=1, keepdims=True)
    window = rng.normal(size=(2, 3, 3))
    seen = (window - window.mean(axis=(1, 2), keepdims=True)).ravel() @ whitening
    np.testing.assert_allclose((filters * window).sum(axis=(1, 2, 3)), directions @ seen, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(filters.sum(axis=(2, 3)), 0, atol=1e-5)


def test_whitened_patches_have_the_identity_for_covariance() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(6, 6))
    rows = rng.normal(size=(5000, 6)) @ mixing
    white, whitening = whiten(rows, regulariser=1e-9)
    np.testing.assert_allclose(white.T @ white / len(rows), np.eye(6), atol=1e-5)
    np.testing.assert_allclose(whitening, whitening.T, atol=1e-9)
    variance = np.linalg.eigvalsh(rows.T @ rows / len(rows))
    white, _ = whiten(rows)
    shrunk = variance / (variance + REGULARISER * variance.mean())
    np.testing.assert_allclose(np.linalg.eigvalsh(white.T @ white / len(rows)), np.sort(shrunk), rtol=1e-8)


def test_patches_of_smooth_ground_with_a_direction_of_no_variance_are_whitened_too() -> None:
    rows = np.random.default_rng(0).normal(size=(2000, 8))
    rows -= rows.mean(axis=1, keepdims=True)
    white, _ = whiten(rows, regulariser=1e-9)
    projection = np.eye(8) - 1 / 8
    np.testing.assert_allclose(white.T @ white / len(rows), projection, atol=1e-5)


@BOTH
def test_the_same_seed_gives_the_same_encoder_and_it_comes_back_from_its_file(
    settings: EncoderSettings, tmp_path: Path
) -> None:
    cube = a_cube(noise())
    first, again = (fit_features(cube, tile_size=8, settings=settings, rng=3) for _ in range(2))
    assert first.to_bytes() == again.to_bytes()
    first.save(tmp_path / "e.safetensors")
    loaded = load_encoder(tmp_path / "e.safetensors")
    assert loaded.to_bytes() == first.to_bytes()
    tiles = noise(5, 2, 8, 8)
    np.testing.assert_array_equal(loaded.embed(tiles, holed(5, 8)), first.embed(tiles, holed(5, 8)))
    assert (loaded.bands, loaded.tile_size, loaded.trainable) == (("B1", "B2"), 8, False)


def test_another_seed_draws_other_filters() -> None:
    cube = a_cube(noise())
    first, other = (fit_features(cube, tile_size=8, settings=RCF, rng=seed).to_bytes() for seed in (3, 4))
    assert first != other


@pytest.mark.parametrize("size", [7, 20])
@BOTH
def test_a_tiles_vector_does_not_depend_on_what_it_is_batched_with(settings: EncoderSettings, size: int) -> None:
    encoder = fit_features(a_cube(noise()), tile_size=size, settings=settings)
    tiles, valid = noise(70, 2, size, size), np.ones((70, size, size), bool)
    valid[::2] = holed(35, size)
    whole = encoder.embed(tiles, valid)
    order = np.random.default_rng(0).permutation(70)[:41]
    np.testing.assert_array_equal(encoder.embed(tiles[order], valid[order]), whole[order])
    for i in (0, 1, 69):
        np.testing.assert_array_equal(encoder.embed(tiles[i : i + 1], valid[i : i + 1])[0], whole[i])


@BOTH
def test_an_invalid_pixel_has_no_influence_and_neither_has_one_that_is_not_finite(settings: EncoderSettings) -> None:
    encoder = fit_features(a_cube(noise()), tile_size=8, settings=settings)
    tiles, valid = noise(4, 2, 8, 8), holed(4, 8)
    changed = np.where(valid[:, None], tiles, 255)
    np.testing.assert_array_equal(encoder.embed(tiles, valid), encoder.embed(changed, valid))
    gaps = np.where(valid[:, None], tiles, np.nan).astype(np.float32)
    np.testing.assert_array_equal(encoder.embed(gaps), encoder.embed(tiles, valid))


@BOTH
def test_a_hole_does_not_change_what_a_tile_of_one_colour_is(settings: EncoderSettings) -> None:
    encoder = fit_features(a_cube(noise()), tile_size=8, settings=settings)
    flat = np.full((1, 2, 8, 8), 200, np.uint8)
    whole, holes = encoder.embed(flat), encoder.embed(flat, holed(1, 8))
    np.testing.assert_allclose(holes, whole, atol=1e-5)
    np.testing.assert_allclose(whole[0, 2:], 0, atol=1e-5)


@BOTH
def test_a_tile_without_a_valid_pixel_gets_the_vector_of_a_tile_of_band_means(settings: EncoderSettings) -> None:
    encoder = fit_features(a_cube(noise()), tile_size=8, settings=settings)
    np.testing.assert_array_equal(encoder.embed(noise(1, 2, 8, 8), np.zeros((1, 8, 8), bool)), 0)


@pytest.mark.parametrize("size", [1, 8])
@BOTH
def test_constant_scenes_give_numbers_and_a_warning(settings: EncoderSettings, size: int) -> None:
    flat = a_cube(np.full((2, 3, 40, 56), 90, np.uint8))
    with pytest.warns(CollapseWarning, match=r"nearly all nodata\?\)$"):
        encoder = train_encoder(flat, tile_size=size, settings=settings)
    vectors = encoder.embed(np.full((2, 3, size, size), 90, np.uint8))
    assert np.isfinite(vectors).all()
    assert np.isfinite(encoder.embed(noise(2, 3, size, size))).all()


@pytest.mark.parametrize(("size", "bands"), [(1, 1), (1, 12), (8, 12), (40, 3)])
@BOTH
def test_any_tile_size_and_number_of_bands_will_do(settings: EncoderSettings, size: int, bands: int) -> None:
    cube = a_cube(noise(1, bands, 40, 40))
    encoder = train_encoder(cube, tile_size=size, settings=settings)
    vectors = encode(cube, encoder)["embedding"].to_numpy()
    assert vectors.shape[2] == encoder.n_features == (2 * bands if settings is STATS else bands + 12)
    assert np.isfinite(vectors).all()


@BOTH
def test_train_encoder_makes_it_and_measures_it(settings: EncoderSettings, cube: xr.DataArray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = train_encoder(cube, tile_size=8, settings=settings, rng=5)
    assert encoder.recipe == fit_features(cube, tile_size=8, settings=settings, rng=5).recipe
    assert encoder.metadata["training"]["held_out_accuracy"] > 0.65
    assert encoder.metadata["settings"]["encoder"] == settings.encoder


def test_means_and_answers_vary_equally_between_the_tiles_of_a_date(cube: xr.DataArray) -> None:
    encoder = fit_features(cube, tile_size=8, settings=replace(RCF, filters=40), rng=0)
    reader = TileReader(cube, 8)
    corners = sample_tiles(reader, 400, rng=np.random.default_rng(99))
    vectors = encoder.embed(*reader.read(corners)).astype(np.float64)
    for date in range(3):
        vectors[corners[:, 2] == date] -= vectors[corners[:, 2] == date].mean(axis=0)
    means, answers = np.square(vectors[:, :2]).sum(), np.square(vectors[:, 2:]).sum()
    assert answers / means == pytest.approx(1, rel=0.15)
    assert (means + answers) / len(vectors) == pytest.approx(2, rel=0.15)


def test_texture_tells_tiles_of_one_colour_apart() -> None:
    rng = np.random.default_rng(0)
    values = np.full((1, 1, 48, 96), 100.0)
    values[..., :48] += 30 * (np.arange(48) % 2 * 2 - 1)
    values[..., 48:] += 30 * (np.arange(48) // 2 % 2 * 2 - 1)  # the same colours in broader stripes
    cube = a_cube((values + rng.normal(0, 2, values.shape)).astype(np.uint8))
    encoder = fit_features(cube, tile_size=12, settings=RCF)
    corners = np.array([[row, col, 0] for col in range(0, 96, 12) for row in range(0, 48, 12)], np.int32)
    west, east = np.split(encoder.embed(*TileReader(cube, 12).read(corners)), 2)
    between = np.linalg.norm(west.mean(axis=0) - east.mean(axis=0))
    assert between > 3 * max(np.linalg.norm(half - half.mean(axis=0), axis=1).max() for half in (west, east))


def test_patches_avoid_invalid_ground_where_they_can() -> None:
    values, valid = noise(1, 1, 40, 40), np.ones((1, 40, 40), bool)
    values[:, :, :, 20:], valid[:, :, 20:] = 255, False
    reader = TileReader(a_cube(values, valid), 10)
    corners = np.array([[0, 0, 0], [10, 14, 0]], np.int32)
    scaling = fit_features(reader, tile_size=10, settings=STATS).recipe.scaling
    patches = sample_patches(reader, corners, scaling, rng=np.random.default_rng(0))
    assert 40 < len(patches) < 80
    assert patches.shape[1:] == (1, 5, 5)
    assert patches.std(axis=(1, 2, 3)).min() > 0.5
    speckled = TileReader(a_cube(values, np.indices((1, 40, 40)).sum(0) % 2 == 0), 10)
    assert len(sample_patches(speckled, corners, scaling, rng=np.random.default_rng(0))) > 0


def test_the_only_valid_ground_of_a_large_frame_is_found() -> None:
    valid = np.zeros((3, 300, 300), bool)
    valid[1, 201:213, 77:89] = True
    reader = TileReader(a_cube(noise(3, 1, 300, 300), valid), 12)
    found = sample_tiles(reader, 64, rng=np.random.default_rng(0), min_valid=0.9)
    assert len(found) == 64
    assert (reader.valid_share(found) >= 0.9).all()


def test_one_tile_is_enough() -> None:
    cube = a_cube(noise(1, 2, 10, 10))
    for settings in (STATS, RCF):
        assert np.isfinite(train_encoder(cube, tile_size=10, settings=settings).embed(noise(1, 2, 10, 10))).all()


def test_a_region_smaller_than_a_tile_is_refused() -> None:
    with pytest.raises(InputError, match=r"no whole tile of 50 × 50 px fits.*--tile-size"):
        fit_features(a_cube(noise()), tile_size=50, settings=STATS)


def test_scenes_without_valid_tiles_are_refused() -> None:
    with pytest.raises(InputError, match=r"no tile of 8 px with at least 50% valid.*--min-valid"):
        fit_features(a_cube(noise(), np.zeros((2, 40, 56), bool)), tile_size=8, settings=STATS)


def test_an_encoder_that_is_trained_is_refused() -> None:
    with pytest.raises(InputError, match="'tile2vec' is no encoder that is made without training: take stats or rcf"):
        fit_features(a_cube(noise()), tile_size=8, settings=EncoderSettings())


@pytest.mark.parametrize(("name", "n_features"), [("stats", 5), ("rcf", 2), ("rcf", 5)])
def test_a_length_that_a_fixed_network_cannot_have_is_refused(name: str, n_features: int) -> None:
    with pytest.raises(InputError, match=f"vectors of {n_features} features.*'{name}'.*2 bands"):
        build_network(name, n_bands=2, tile_size=8, n_features=n_features)


@BOTH
def test_there_is_nothing_to_refine(settings: EncoderSettings, cube: xr.DataArray) -> None:
    encoder = fit_features(cube, tile_size=8, settings=settings)
    with pytest.raises(InputError, match=f"'{settings.encoder}' has nothing to train.*--encoder tile2vec"):
        refinement_settings(encoder, None, RefineSettings())


@pytest.mark.parametrize(("network", "length"), [("fast", 64), ("tilenet", 512)])
def test_an_untrained_network_has_weights_by_seed_and_batch_norm_that_changes_nothing(
    network: str, length: int
) -> None:
    cube = a_cube(noise(1, 3, 60, 60))
    first, again, other = (untrained(cube, network=network, tile_size=50, rng=seed) for seed in (1, 1, 2))
    assert first.to_bytes() == again.to_bytes() != other.to_bytes()
    assert first.n_features == length
    assert first.trainable
    assert first.recipe.scaling.scale[0] == pytest.approx(255.0 if network == "tilenet" else 73, rel=0.03)
    for name, tensor in first.network.state_dict().items():
        if "running" in name:
            assert (tensor == float("var" in name)).all(), name
    assert np.isfinite(first.embed(noise(2, 3, 50, 50))).all()


@pytest.mark.parametrize("size", [48, 113])
def test_untrained_tilenet_refuses_the_tiles_that_it_cannot_take(size: int) -> None:
    with pytest.raises(InputError, match=f"tiles of 49 to 112 px, not {size}"):
        untrained(a_cube(noise(1, 1, 120, 120)), network="tilenet", tile_size=size)
