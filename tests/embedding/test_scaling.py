from __future__ import annotations

import numpy as np
import pytest

from taxoscape.embedding.scaling import LIMIT, Scaling, learn_scaling
from taxoscape.embedding.tiles import TileReader
from taxoscape.errors import InputError
from tests.embedding.cubes import a_cube

CORNERS = np.array([[r, c, t] for t in range(2) for r in (0, 20) for c in (0, 20)], np.int32)


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64]
)
def test_valid_pixels_come_out_with_mean_0_and_deviation_1_whatever_the_dtype(dtype: type) -> None:
    values = np.random.default_rng(0).integers(10, 100, (2, 2, 40, 40)).astype(dtype)
    valid = np.ones((2, 40, 40), bool)
    valid[:, :9] = False
    values[:, :, :9] = 0
    reader = TileReader(a_cube(values, valid), 20)
    scaled = learn_scaling(reader, CORNERS).apply(*reader.read(CORNERS))
    assert scaled.dtype == np.float32
    usable = np.broadcast_to(reader.read(CORNERS)[1][:, None], scaled.shape)
    assert abs(scaled[usable].mean()) < 0.02
    assert abs(scaled[usable].std() - 1) < 0.02
    assert (scaled[~usable] == 0).all()


def test_saturated_pixels_do_not_set_the_scale_and_are_cut() -> None:
    values = np.random.default_rng(0).normal(1000, 100, (2, 1, 40, 40)).astype(np.float32)
    values[0, 0, 3, 5], values[1, 0, 7, 2] = 1e30, -1e30
    reader = TileReader(a_cube(values), 20)
    scaling = learn_scaling(reader, CORNERS)
    assert abs(scaling.mean[0] - 1000) < 10
    assert 80 < scaling.scale[0] < 110
    assert np.abs(scaling.apply(values)).max() == LIMIT


@pytest.mark.parametrize("level", [0.0, 7.0, 5e8])
def test_a_constant_band_becomes_zero(level: float) -> None:
    values = np.full((2, 1, 40, 40), level)
    reader = TileReader(a_cube(values), 20)
    scaling = learn_scaling(reader, CORNERS)
    assert scaling.scale == (1.0,)
    assert (scaling.apply(values) == 0).all()


def test_a_band_that_is_nearly_constant_keeps_what_it_tells() -> None:
    values = np.zeros((2, 1, 40, 40), np.uint8)
    values[0, 0, 3, 5] = 200
    reader = TileReader(a_cube(values), 20)
    assert learn_scaling(reader, CORNERS).apply(values).max() > 5


def test_a_pixel_that_is_not_finite_in_one_band_is_the_mean_in_all() -> None:
    scaling = Scaling(mean=(1.0, 2.0), offset=(0.0, 0.0), scale=(4.0, 4.0))
    tiles = np.ones((1, 2, 2, 2))
    tiles[0, 1, 0, 1] = np.nan
    tiles[0, 0, 1, 0] = np.inf
    scaled = scaling.apply(tiles)
    np.testing.assert_array_equal(scaled[0, 0], np.full((2, 2), 0.25))
    np.testing.assert_array_equal(scaled[0, 1], [[0.25, 0.5], [0.5, 0.25]])


def test_8_bit_scenes_are_divided_by_255_for_the_paper_and_holes_are_the_mean() -> None:
    values = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 40), dtype=np.uint8)
    reader = TileReader(a_cube(values), 20)
    scaling = learn_scaling(reader, CORNERS, eight_bit=True)
    valid = np.ones((2, 40, 40), bool)
    valid[0, 0, 0] = False
    scaled = scaling.apply(values, valid)
    np.testing.assert_array_equal(scaled[1], values[1].astype(np.float32) / np.float32(255))
    np.testing.assert_allclose(scaled[0, :, 0, 0], np.array(scaling.mean) / 255, rtol=1e-6)


def test_tiles_without_a_valid_pixel_are_refused() -> None:
    reader = TileReader(a_cube(np.ones((2, 1, 40, 40)), np.zeros((2, 40, 40), bool)), 20)
    with pytest.raises(InputError, match=r"not one valid pixel.*--nodata"):
        learn_scaling(reader, CORNERS)
