"""Scenes whose bands are features that another model made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from taxoscape.config import EncoderSettings
from taxoscape.cube.open import open_cube
from taxoscape.embedding.encoder import load_encoder
from taxoscape.embedding.encoding import encode
from taxoscape.embedding.fit import train_encoder
from taxoscape.grid import Grid, Lattice
from tests.cube.conftest import write_tif
from tests.embedding.cubes import a_cube

MEANS = EncoderSettings(encoder="embeddings")
BOTH = replace(MEANS, deviation=True)


@given(
    seed=st.integers(0, 999), dtype=st.sampled_from(["float32", "float64", "int16", "int8"]),
    size=st.sampled_from([1e-3, 1.0, 100.0]), deviation=st.booleans(),
)  # fmt: skip
@hypothesis_settings(max_examples=25)
def test_vectors_are_the_means_of_valid_pixels_in_their_own_units(seed, dtype, size, deviation):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(2, 5, 24, 32)) * (size if dtype[0] == "f" else 30)).clip(-127, 127).astype(dtype)
    valid = rng.random((2, 24, 32)) > 0.3
    settings = replace(MEANS, deviation=deviation)
    encoder = train_encoder(a_cube(values, valid), tile_size=8, settings=settings, rng=0)
    series = encode(a_cube(values, valid), encoder)
    grid = Grid.over(Lattice.of(a_cube(values, valid)), tile_size=8)
    assert series.sizes["feature"] == (10 if deviation else 5)
    for tile, (row, col) in enumerate(grid.corners.tolist()):
        for time in range(2):
            seen = valid[time, row : row + 8, col : col + 8]
            if seen.mean() < 0.5:
                continue
            pixels = values[time, :, row : row + 8, col : col + 8][:, seen].astype(np.float64)
            expected = np.concatenate([pixels.mean(axis=1), pixels.std(axis=1)])[: series.sizes["feature"]]
            found = series["embedding"][tile, time].to_numpy()
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(pixels).max())


def test_the_file_of_the_encoder_gives_the_same_vectors(tmp_path):
    values = np.random.default_rng(1).normal(size=(1, 3, 20, 20)).astype("float32") * 50
    encoder = train_encoder(a_cube(values), tile_size=10, settings=BOTH, rng=0)
    encoder.save(tmp_path / "encoder.safetensors")
    again = load_encoder(tmp_path / "encoder.safetensors")
    np.testing.assert_array_equal(again.embed(values[:, :, :10, :10]), encoder.embed(values[:, :, :10, :10]))
    assert not again.trainable
    assert again.n_features == 6


def write_alphaearth(path: Path, raw: np.ndarray, *, upside_down: bool) -> Path:
    """Write 8-bit embeddings (band, row, col), the first row the northernmost, as they are published."""
    names = tuple(f"A{i:02d}" for i in range(len(raw)))
    south_up = Affine(10, 0, 500_000, 0, 10, 4_000_000 - raw.shape[1] * 10)
    stored, place = (raw[:, ::-1], {"transform": south_up}) if upside_down else (raw, {})
    return write_tif(path, stored, nodata=-128, names=names, **place)


@pytest.fixture
def raw() -> np.ndarray:
    values = np.random.default_rng(3).integers(-127, 128, (64, 30, 40)).astype("int8")
    values[:, 3:9, 20:33] = -128
    return values


@pytest.mark.parametrize("upside_down", [True, False], ids=["south up", "north up"])
def test_alphaearth_is_undone_before_the_mean_is_taken_whichever_way_up(tmp_path, raw, upside_down):
    for year in ("2020", "2021"):
        write_alphaearth(tmp_path / f"a_{year}.tif", raw if year == "2020" else raw[::-1], upside_down=upside_down)
    (tmp_path / "dates.csv").write_text("file,date\na_2020.tif,2020\na_2021.tif,2021\n")
    cube = open_cube(str(tmp_path / "*.tif"), dates=tmp_path / "dates.csv")
    assert cube["time"].to_numpy().astype("datetime64[D]").astype(str).tolist() == ["2020-01-01", "2021-01-01"]
    np.testing.assert_array_equal(cube[0].to_numpy(), raw)
    np.testing.assert_array_equal(cube["valid"][0], raw[0] != -128)
    encoder = train_encoder(cube, tile_size=10, settings=MEANS, rng=0, min_valid=0.1)
    assert encoder.recipe.network == "alphaearth"
    series = encode(cube, encoder, min_valid=0.1)
    undone = np.sign(raw.astype(float)) * (raw / 127.5) ** 2
    for tile, (row, col) in enumerate(Grid.over(Lattice.of(cube), tile_size=10).corners.tolist()):
        part = (slice(None), slice(row, row + 10), slice(col, col + 10))
        expected = np.where(raw[part] == -128, np.nan, undone[part])
        np.testing.assert_allclose(
            series["embedding"][tile, 0], np.nanmean(expected, axis=(1, 2)), rtol=1e-4, atol=1e-6
        )


def test_other_numbers_of_8_bits_are_taken_as_they_are(tmp_path, raw):
    write_tif(tmp_path / "2020-01-01.tif", raw[:3], nodata=-128, names=("B1", "B2", "B3"))
    encoder = train_encoder(open_cube(str(tmp_path)), tile_size=10, settings=MEANS, rng=0, min_valid=0.1)
    assert encoder.recipe.network == "embeddings"
