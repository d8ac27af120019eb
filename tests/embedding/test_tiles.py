from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.embedding.tiles import TileReader, as_reader
from taxoscape.errors import InputError
from tests.embedding.cubes import a_cube, noise

CUBE = a_cube(noise(), np.random.default_rng(9).random((2, 40, 56)) < 0.8)


def naive(cube: xr.DataArray, corner: tuple[int, int, int], size: int) -> tuple[np.ndarray, np.ndarray]:
    row, col, time = corner
    values = np.zeros((cube.sizes["band"], size, size), cube.dtype)
    valid = np.zeros((size, size), bool)
    for i in range(size):
        for j in range(size):
            if 0 <= row + i < cube.sizes["y"] and 0 <= col + j < cube.sizes["x"]:
                values[:, i, j] = cube.values[time, :, row + i, col + j]
                valid[i, j] = cube["valid"].values[time, row + i, col + j]
    return values, valid


@given(
    corners=st.lists(st.tuples(st.integers(-12, 45), st.integers(-12, 60), st.integers(0, 1)), min_size=1, max_size=6),
    memory=st.sampled_from([0, 2**30]),
)
def test_a_tile_is_the_pixels_of_its_window_and_invalid_outside(
    corners: list[tuple[int, int, int]], memory: int
) -> None:
    values, valid = TileReader(CUBE, 9, memory=memory).read(np.array(corners))
    for i, corner in enumerate(corners):
        expected, usable = naive(CUBE, corner, 9)
        np.testing.assert_array_equal(values[i], expected)
        np.testing.assert_array_equal(valid[i], usable)
    share = TileReader(CUBE, 9, memory=memory).valid_share(np.array(corners))
    np.testing.assert_allclose(share, valid.mean(axis=(1, 2)), rtol=1e-6)


@given(
    corner=st.tuples(st.integers(0, 1), st.integers(-12, 45), st.integers(-12, 60)),
    shape=st.tuples(st.integers(1, 30), st.integers(1, 30)), memory=st.sampled_from([0, 2**30]),
)  # fmt: skip
def test_any_window_is_what_a_tile_over_it_has(
    corner: tuple[int, int, int], shape: tuple[int, int], memory: int
) -> None:
    values, valid = TileReader(CUBE, 9, memory=memory).window(*corner, *shape)
    expected, usable = naive(CUBE, (*corner[1:], corner[0]), max(shape))
    np.testing.assert_array_equal(valid, usable[: shape[0], : shape[1]])
    seen = expected[:, : shape[0], : shape[1]]
    np.testing.assert_array_equal(values, seen if valid.any() else np.zeros_like(seen))


def test_a_cube_that_stays_on_disk_gives_the_same_tiles_as_in_memory(tmp_path: Path) -> None:
    CUBE.assign_coords(band=[1, 2]).rename("cube").reset_coords("valid").to_zarr(
        tmp_path / "cube.zarr", consolidated=False
    )
    lazy = xr.open_zarr(tmp_path / "cube.zarr", chunks=None, consolidated=False).set_coords("valid")["cube"]
    whole, blocks = TileReader(CUBE, 16), TileReader(lazy, 16, memory=0)
    blocks._values.edges = blocks._valid.edges = (7, 11)
    blocks._values.kept = 2
    corners = np.array([[r, c, t] for t in (1, 0) for r in (-3, 5, 30) for c in (50, 2, -15)])
    for a, b in zip(whole.read(corners), blocks.read(corners), strict=True):
        np.testing.assert_array_equal(a, b)


def test_reading_keeps_the_dtype_of_the_cube() -> None:
    cube = a_cube(noise().astype(np.uint16))
    values, valid = TileReader(cube, 8).read(np.array([[0, 0, 0]]))
    assert values.dtype == np.uint16
    assert valid.dtype == np.bool_


def test_no_corners_give_no_tiles() -> None:
    values, valid = TileReader(CUBE, 8).read(np.empty((0, 3), np.int32))
    assert values.shape == (0, 2, 8, 8)
    assert valid.shape == (0, 8, 8)


@pytest.mark.parametrize(("corners", "message"), [
    (np.zeros((2, 2), int), r"corners are integers \(n, 3\)"),
    (np.zeros((2, 3)), r"corners are integers \(n, 3\)"),
    (np.array([[0, 0, 2]]), "outside the cube, which has 2 dates"),
    (np.array([[0, 0, -1]]), "outside the cube"),
])  # fmt: skip
def test_corners_that_are_none_are_refused(corners: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TileReader(CUBE, 8).read(corners)


def test_a_tile_size_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1 pixel"):
        TileReader(CUBE, 0)


def test_a_reader_of_another_tile_size_is_refused() -> None:
    reader = TileReader(CUBE, 8)
    assert as_reader(reader, 8) is reader
    with pytest.raises(InputError, match="tiles of 8 px, wanted are 9 px"):
        as_reader(reader, 9)
