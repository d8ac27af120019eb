from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from taxoscape.embedding.encoder import Encoder, Recipe, load_encoder
from taxoscape.embedding.scaling import Scaling
from taxoscape.errors import InputError
from tests.embedding.cubes import noise

RECIPE = Recipe(
    network="fast",
    tile_size=10,
    bands=("red", "nir"),
    n_features=6,
    scaling=Scaling(mean=(120.0, 90.0), offset=(120.0, 90.0), scale=(70.0, 50.0)),
    normalised=True,
)
ENCODER = Encoder(RECIPE, RECIPE.build(5), {"training": {"loss": 0.25}})
TILES = noise(23, 2, 10, 10)


@given(order=st.permutations(range(23)), n=st.integers(1, 23), batch_size=st.sampled_from([4, 64]))
def test_a_tiles_vector_does_not_depend_on_what_it_is_batched_with(order: list[int], n: int, batch_size: int) -> None:
    whole = ENCODER.embed(TILES, batch_size=batch_size)
    np.testing.assert_array_equal(ENCODER.embed(TILES[order[:n]], batch_size=batch_size), whole[order[:n]])


def test_vectors_are_float32_and_of_length_one_where_the_recipe_says_so() -> None:
    vectors = ENCODER.embed(TILES)
    assert vectors.dtype == np.float32
    assert vectors.shape == (23, 6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    recipe = Recipe(**{name: getattr(RECIPE, name) for name in RECIPE.__slots__} | {"normalised": False})
    free = Encoder(recipe, ENCODER.network).embed(TILES)
    assert np.ptp(np.linalg.norm(free, axis=1)) > 1e-3


def test_an_invalid_pixel_has_no_influence_and_counts_as_the_mean() -> None:
    valid = np.ones((23, 10, 10), bool)
    valid[:, 2:5, 1:9] = False
    changed = TILES.copy()
    changed[:, :, 2:5, 1:9] = 255
    np.testing.assert_array_equal(ENCODER.embed(TILES, valid), ENCODER.embed(changed, valid))
    mean = TILES.copy()
    mean[:, 0, 2:5, 1:9], mean[:, 1, 2:5, 1:9] = 120, 90
    np.testing.assert_array_equal(ENCODER.embed(TILES, valid), ENCODER.embed(mean))


def test_pixels_that_are_not_finite_are_invalid_even_where_valid_says_otherwise() -> None:
    tiles = TILES.astype(np.float32)
    tiles[:, 1, 3, 3] = np.nan
    valid = np.ones((23, 10, 10), bool)
    valid[:, 3, 3] = False
    np.testing.assert_array_equal(ENCODER.embed(tiles), ENCODER.embed(TILES, valid))
    np.testing.assert_array_equal(ENCODER.embed(tiles, np.ones_like(valid)), ENCODER.embed(TILES, valid))


def test_no_tiles_give_no_vectors() -> None:
    assert ENCODER.embed(TILES[:0]).shape == (0, 6)


@pytest.mark.parametrize("tiles", [TILES[0], TILES[:, :1], TILES[:, :, :9], TILES.astype(str)])
def test_tiles_that_do_not_fit_are_refused(tiles: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"takes tiles \(n, 2, 10, 10\) of numbers with the bands red, nir"):
        ENCODER.embed(tiles)


def test_a_mask_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"valid has the shape \(23, 9, 10\)"):
        ENCODER.embed(TILES, np.ones((23, 9, 10), bool))


def test_an_encoder_comes_back_from_its_file_bit_for_bit(tmp_path: Path) -> None:
    ENCODER.save(tmp_path / "e.safetensors")
    again = load_encoder(tmp_path / "e.safetensors")
    assert again.recipe == RECIPE
    assert again.metadata == ENCODER.metadata
    assert again.to_bytes() == ENCODER.to_bytes() == (tmp_path / "e.safetensors").read_bytes()
    np.testing.assert_array_equal(again.embed(TILES), ENCODER.embed(TILES))
    assert [p.name for p in tmp_path.iterdir()] == ["e.safetensors"]  # no temporary file stays


def test_an_encoder_knows_its_preprocessing() -> None:
    assert (ENCODER.tile_size, ENCODER.bands, ENCODER.n_features) == (10, ("red", "nir"), 6)
    assert json.loads(json.dumps(ENCODER.description))["recipe"]["scaling"]["mean"] == [120.0, 90.0]


def altered(data: bytes, how: str) -> bytes:
    if how == "cut off":
        return data[:-100]
    if how == "flipped bit":
        return data[:-50] + bytes([data[-50] ^ 1]) + data[-49:]
    if how == "of another format":
        (n,) = struct.unpack("<Q", data[:8])
        return data[:8] + data[8 : 8 + n].replace(rb"\"format\": 1", rb"\"format\": 9") + data[8 + n :]
    return {"foreign": save({"w": np.ones(3)}), "empty": b"", "text": b"this is not a file of tensors" * 9}[how]


@pytest.mark.parametrize(("how", "message"), [
    ("cut off", "not a whole safetensors file"),
    ("empty", "not a whole safetensors file"),
    ("text", "not a whole safetensors file"),
    ("flipped bit", "was altered after it was written"),
    ("of another format", "has format 9, this version of taxoscape reads format 1"),
    ("foreign", "was not written by taxoscape.*import-weights"),
])  # fmt: skip
def test_a_file_that_is_no_whole_encoder_is_refused(how: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    path.write_bytes(altered(ENCODER.to_bytes(), how))
    with pytest.raises(InputError, match=f"e.safetensors.*{message}"):
        load_encoder(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none.safetensors as encoder: No such file"):
        load_encoder(tmp_path / "none.safetensors")
