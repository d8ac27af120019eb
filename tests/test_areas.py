"""Areas and lengths on the ground, against pyproj's geodesics and against arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer

from taxoscape.areas import cell_areas_km2, ground_size_km
from taxoscape.grid import Grid, Lattice
from tests.builders import make_grid

MODIS = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"


def geodesic_km2(grid, tile):
    """Area of a cell as a geodesic polygon with 400 points along each edge."""
    cells, crs = grid.cells, CRS.from_wkt(grid.lattice.crs)
    row, col = divmod(tile, grid.n_cols)
    s = np.linspace(0, 1, 401)[:-1]
    across = np.concatenate([s, np.ones(400), 1 - s, np.zeros(400)])
    down = np.concatenate([np.zeros(400), s, np.ones(400), 1 - s])
    x, y = cells.x0 + (col + across) * cells.dx, cells.y0 - (row + down) * cells.dy
    if not crs.is_geographic:
        x, y = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True).transform(x, y)
    return abs(crs.get_geod().polygon_area_perimeter(x, y)[0]) / 1e6


@pytest.mark.parametrize("north", [1.0, 0.0, 61.0, -60.0, 90.0])
def test_a_cell_of_one_degree_has_the_area_of_the_geodesic_polygon(north):
    grid = make_grid(4326, n_rows=1, n_cols=3, tile=10, dx=0.1, dy=0.1, x0=5.0, y0=north)
    areas = cell_areas_km2(grid)
    np.testing.assert_allclose(areas, geodesic_km2(grid, 1), rtol=1e-5)


def test_degrees_that_are_not_square_have_the_area_of_the_geodesic_polygon_in_every_row():
    grid = make_grid(4326, n_rows=5, n_cols=2, tile=4, dx=0.02, dy=0.005, x0=-3.0, y0=61.0)
    expected = [geodesic_km2(grid, tile) for tile in range(grid.n_tiles)]
    np.testing.assert_allclose(cell_areas_km2(grid), expected, rtol=1e-7)


def test_all_the_cells_of_the_globe_sum_to_the_area_of_the_ellipsoid():
    grid = make_grid(4326, n_rows=18, n_cols=36, tile=1, dx=10.0, dy=10.0, x0=-180.0, y0=90.0)
    sphere = Geod(ellps="WGS84")
    half, _ = sphere.polygon_area_perimeter([0, 90, 180, 270], [0, 0, 0, 0])
    assert cell_areas_km2(grid).sum() == pytest.approx(2 * abs(half) / 1e6, rel=1e-9)


def test_gradians_are_not_taken_for_degrees():
    paris = CRS.from_epsg(4807)
    assert paris.axis_info[0].unit_name == "grad"
    grid = make_grid(paris, n_rows=2, n_cols=3, tile=2, dx=0.05, dy=0.05, x0=1.0, y0=50.0)
    side = np.radians(0.1 * 0.9)
    assert cell_areas_km2(grid)[0] == pytest.approx(6370**2 * side**2 * np.cos(np.radians(45)), rel=0.01)


def test_in_utm_a_cell_is_exactly_its_planar_square():
    grid = make_grid(32630, n_rows=7, n_cols=11, tile=10, dx=10.0, dy=10.0)
    assert (cell_areas_km2(grid) == 0.01).all()
    assert cell_areas_km2(grid).shape == (77,)


def test_in_utm_pixels_that_are_not_square_count_both_edges():
    grid = make_grid(32630, tile=10, dx=10.0, dy=20.0)
    np.testing.assert_array_equal(cell_areas_km2(grid), 10 * 10.0 * 10 * 20.0 / 1e6)


def test_with_a_stride_the_area_is_that_of_the_cell_not_of_the_tile():
    lattice = make_grid(32630).lattice
    assert (cell_areas_km2(Grid.over(lattice, tile_size=10, stride=5)) == 0.0025).all()


def test_feet_are_not_taken_for_metres():
    grid = make_grid(2263, tile=10, dx=100.0, dy=100.0, x0=1_000_000.0, y0=200_000.0)
    foot = 1200 / 3937
    np.testing.assert_allclose(cell_areas_km2(grid), (1000 * foot) ** 2 / 1e6, rtol=1e-12)


def test_web_mercator_at_60_degrees_north_gives_the_true_quarter_of_the_planar_area():
    grid = make_grid(3857, tile=10, dx=100.0, dy=100.0, x0=1_000_000.0, y0=8_400_000.0)
    areas = cell_areas_km2(grid)
    expected = [geodesic_km2(grid, tile) for tile in range(grid.n_tiles)]
    np.testing.assert_allclose(areas, expected, rtol=1e-6)
    assert 0.24 < areas[0] < 0.26


def test_web_mercator_at_the_equator_keeps_areas_and_stays_planar():
    grid = make_grid(3857, tile=10, dx=100.0, dy=100.0, x0=1_000_000.0, y0=1000.0)
    np.testing.assert_allclose(cell_areas_km2(grid), 1.0, rtol=0)


def test_modis_sinusoidal_keeps_areas_and_stays_planar():
    grid = make_grid(MODIS, tile=10, dx=463.3127, dy=463.3127, x0=-500_000.0, y0=4_900_000.0)
    np.testing.assert_array_equal(cell_areas_km2(grid), (463.3127 * 10) * (463.3127 * 10) / 1e6)
    assert cell_areas_km2(grid)[5] == pytest.approx(geodesic_km2(grid, 5), rel=1e-4)


def test_a_cell_on_the_pole_of_a_polar_map_is_measured_like_the_others():
    cells = Lattice(crs=CRS.from_epsg(3413).to_wkt(), x0=-50_000.0, y0=50_000.0, dx=1e4, dy=1e4, height=10, width=10)
    areas = cell_areas_km2(Grid.over(cells, tile_size=2))
    planar = 400.0
    assert np.ptp(areas) / areas.mean() < 1e-3
    assert areas[12] == pytest.approx(planar / 0.9703**2, rel=2e-3)  # scale of the projection at the pole


def test_cells_off_the_globe_take_their_planar_area():
    wide = CRS.from_proj4("+proj=sinu +lon_0=0 +R=6371007.181 +units=m")
    lattice = Lattice(crs=wide.to_wkt(), x0=-2e7, y0=1e7, dx=1e6, dy=1e6, height=20, width=40)
    assert np.isfinite(cell_areas_km2(Grid.over(lattice, tile_size=2))).all()


def test_a_local_crs_without_an_ellipsoid_is_planar():
    crs = 'LOCAL_CS["plan",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
    lattice = Lattice(crs=crs, x0=0.0, y0=0.0, dx=2.0, dy=3.0, height=10, width=20)
    grid = Grid.over(lattice, tile_size=5)
    np.testing.assert_allclose(cell_areas_km2(grid), 10 * 15 / 1e6)
    assert ground_size_km(lattice) == pytest.approx((0.03, 0.04))


@settings(max_examples=40, deadline=None)
@given(
    code=st.sampled_from([4326, 3857, 32630, 3413]),
    start=st.integers(-60, 60),
    dx=st.floats(0.01, 0.5),
    dy=st.floats(0.01, 0.5),
)
def test_cells_of_half_the_size_sum_to_the_same_area(code, start, dx, dy):
    unit = 1.0 if code == 4326 else 1e5
    lattice = Lattice(crs=CRS.from_epsg(code).to_wkt(), x0=0.0, y0=start * 2 * dy * unit, dx=dx * unit, dy=dy * unit,
                      height=4, width=6)  # fmt: skip
    coarse, fine = (cell_areas_km2(Grid.over(lattice, tile_size=size)) for size in (2, 1))
    assert (coarse > 0).all()
    assert coarse.shape == (6,)
    # where cells are so large that their planar area stands in for a part, or one of the two counts as faithful
    assert fine.sum() == pytest.approx(coarse.sum(), rel=1e-6 if code == 4326 else 0.011)


def test_the_ground_size_is_the_length_of_the_geodesic():
    cells = make_grid(4326, n_rows=5, n_cols=2, tile=4, dx=0.02, dy=0.005, x0=-3.0, y0=61.0).cells
    height, width = ground_size_km(cells)
    geod = Geod(ellps="WGS84")
    middle_x, middle_y = cells.x0 + cells.dx, cells.y0 - 2.5 * cells.dy
    assert width == pytest.approx(geod.inv(cells.x0, middle_y, cells.x0 + 2 * cells.dx, middle_y)[2] / 1e3, rel=1e-5)
    assert height == pytest.approx(geod.inv(middle_x, cells.y0, middle_x, cells.y0 - 5 * cells.dy)[2] / 1e3, rel=1e-5)
