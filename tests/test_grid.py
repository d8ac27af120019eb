from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice
from tests.builders import a_lattice

sizes = st.integers(1, 40)


def lattice_at(row_px: int, col_px: int, height: int, width: int) -> Lattice:
    return Lattice(crs="EPSG:32630", x0=col_px * 10.0, y0=-row_px * 10.0, dx=10.0, dy=10.0, height=height, width=width)


@st.composite
def grids(draw):
    size = draw(st.integers(1, 15))
    stride = draw(st.integers(1, size))
    lattice = lattice_at(draw(st.integers(-50, 50)), draw(st.integers(-50, 50)), draw(sizes), draw(sizes))
    return lattice, size, stride


@given(grids())
def test_whole_tiles_are_exactly_those_of_a_naive_search(case):
    lattice, size, stride = case
    naive = {
        (r, c)
        for r in range(-200, 200)
        for c in range(-200, 200)
        if lattice.row_px <= r * stride and r * stride + size <= lattice.row_px + lattice.height
        and lattice.col_px <= c * stride and c * stride + size <= lattice.col_px + lattice.width
    }  # fmt: skip
    if not naive:
        with pytest.raises(InputError, match="not one whole tile"):
            Grid.over(lattice, tile_size=size, stride=stride)
        return
    grid = Grid.over(lattice, tile_size=size, stride=stride)
    assert set(zip(grid.rows.tolist(), grid.cols.tolist(), strict=True)) == naive
    assert grid.corners.min() >= 0
    assert (grid.corners + size <= (lattice.height, lattice.width)).all()


@given(grids())
def test_kept_partial_tiles_cover_every_pixel(case):
    lattice, size, stride = case
    grid = Grid.over(lattice, tile_size=size, stride=stride, partial="keep")
    covered = np.zeros((lattice.height, lattice.width), dtype=bool)
    for row, col in grid.corners:
        covered[max(row, 0) : max(row + size, 0), max(col, 0) : max(col + size, 0)] = True
    assert covered.all()


@given(grids(), st.integers(0, 20), st.integers(0, 20))
def test_a_tile_keeps_its_index_whatever_subset_is_processed(case, down, right):
    lattice, size, stride = case
    part = lattice.window(down, right, lattice.height, lattice.width)
    try:
        whole, subset = (Grid.over(x, tile_size=size, stride=stride) for x in (lattice, part))
    except InputError:
        return
    places = [{(r, c): (y, x) for r, c, y, x in zip(g.rows, g.cols, *g.centres, strict=True)} for g in (whole, subset)]
    for index in places[0].keys() & places[1].keys():
        np.testing.assert_allclose(places[0][index], places[1][index], atol=1e-6)


@given(
    phase=st.sampled_from([0.0, 0.5, 0.99, 0.9989, 0.999, 0.9991, 0.9999]),
    at=st.tuples(st.integers(-10_000, 10_000), st.integers(-10_000, 10_000)),
    moved=st.tuples(st.integers(-3000, 3000), st.integers(-3000, 3000)),
    pixel=st.sampled_from([10.0, 30.0, 231.656358, 0.000269494585235856]),
)
def test_windows_of_one_lattice_agree_whatever_its_phase(phase, at, moved, pixel):
    x0, y0 = ((value + phase) * pixel for value in at)
    lattice = Lattice(crs="EPSG:32630", x0=x0, y0=y0, dx=pixel, dy=pixel, height=5, width=5)
    window = lattice.window(*moved, 5, 5)
    assert (window.row_px - lattice.row_px, window.col_px - lattice.col_px) == moved


def test_cells_are_the_central_part_of_their_tiles():
    grid = Grid.over(lattice_at(0, 0, 40, 50), tile_size=12, stride=4)
    cells = grid.cells
    assert (cells.dx, cells.dy, cells.height, cells.width) == (40.0, 40.0, grid.n_rows, grid.n_cols)
    y, x = cells.coordinates()
    centre_y, centre_x = grid.centres
    np.testing.assert_allclose(np.repeat(y, grid.n_cols), centre_y)
    np.testing.assert_allclose(np.tile(x, grid.n_rows), centre_x)


def test_a_sentinel_2_granule_has_109_by_109_whole_tiles_of_1_km():
    lattice = Lattice(
        crs="EPSG:32630", x0=600_000.0 - 20, y0=4_800_000.0 + 40, dx=10, dy=10, height=10_980, width=10_980
    )
    assert Grid.over(lattice, tile_size=100).n_tiles == 109 * 109


def test_the_lattice_is_read_back_from_an_array(tiny_cube):
    lattice = Lattice.of(tiny_cube)
    assert (lattice.height, lattice.width) == tiny_cube.shape[2:]
    assert Lattice.of(tiny_cube.isel(y=slice(3, None), x=slice(2, None))) == lattice.window(
        3, 2, lattice.height - 3, lattice.width - 2
    )


def test_an_array_without_crs_or_with_rising_y_is_refused(tiny_cube):
    with pytest.raises(InputError, match="no CRS"):
        Lattice.of(tiny_cube.drop_vars("spatial_ref"))
    with pytest.raises(InputError, match=r"y must fall|not evenly"):
        Lattice.of(tiny_cube.isel(y=slice(None, None, -1)))


def test_a_grid_survives_json():
    grid = Grid.over(a_lattice(), tile_size=7, stride=3)
    assert Grid.from_json(grid.to_json()) == grid


@pytest.mark.parametrize("span", [(0, 1), (3, 11), (0, None)])
def test_corners_of_some_tiles_are_those_of_all(span):
    lattice = Lattice(crs="EPSG:32630", x0=500_030, y0=4_700_070, dx=10, dy=10, height=93, width=77)
    grid = Grid.over(lattice, tile_size=16, stride=8)
    start, stop = span[0], span[1] or grid.n_tiles
    np.testing.assert_array_equal(grid.corners_of(start, stop), grid.corners[start:stop])
    np.testing.assert_array_equal(grid.corners[:, 0], grid.rows * 8 - lattice.row_px)
    np.testing.assert_array_equal(grid.corners[:, 1], grid.cols * 8 - lattice.col_px)
