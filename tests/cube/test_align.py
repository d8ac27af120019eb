from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from taxoscape.config import CubeSettings
from taxoscape.cube.align import TOLERANCE_PX, place
from taxoscape.cube.box import Box
from taxoscape.cube.lazy import lazy_cube
from taxoscape.cube.plan import plan_cube
from taxoscape.cube.rasters import Header
from taxoscape.errors import InputError
from taxoscape.grid import LATTICE_TOLERANCE_PX


def test_neighbouring_scenes_lie_on_the_lattice_of_their_bounding_box(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101_south.tif", at=(2, 1))
    write(tmp_path / "20200201_north.tif", at=(-1, 5))
    plan = plan_cube(tmp_path)
    assert [file.box for file in plan.files] == [Box(3, 0, 3, 4), Box(0, 4, 3, 4)]
    lattice = plan.lattice
    assert (lattice.x0, lattice.y0, lattice.dx, lattice.dy) == (500_010.0, 4_000_010.0, 10.0, 10.0)
    assert (lattice.height, lattice.width) == (6, 8)


def test_an_origin_that_misses_by_less_than_a_hundredth_of_a_pixel_is_on_the_lattice(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101.tif")
    write(tmp_path / "20200102.tif", at=(1.009, 2.991))
    assert plan_cube(tmp_path).files[1].box == Box(1, 3, 3, 4)


@given(
    phase=st.sampled_from([0, 1e-9, 0.004, 0.25, 1 / 3, 0.5, 0.6, 0.75, 0.9, 0.99, 0.999, 0.9999]),
    shifts=st.lists(st.floats(-0.0049, 0.0049), min_size=2, max_size=5),
    corner=st.tuples(st.integers(-500_000, 500_000), st.integers(-500_000, 500_000)),
    data=st.data(),
)
def test_a_tile_has_the_same_index_whatever_files_are_there(phase, shifts, corner, data) -> None:
    row, col = corner
    headers = [
        header(Path(f"{i}.tif"), 10 * (col + 3 * i + phase + shift), -10 * (row + 5 * i + phase - shift))
        for i, shift in enumerate(shifts)
    ]
    chosen = data.draw(st.lists(st.sampled_from(headers), min_size=1, unique_by=lambda h: h.path))
    (whole, _), (part, _) = place(headers), place(chosen)
    for h in chosen:
        indexes = [
            (placed.lattice.row_px + placed.boxes[h.path].row, placed.lattice.col_px + placed.boxes[h.path].col)
            for placed in (whole, part)
        ]
        assert indexes[0] == indexes[1]


def header(path: Path, x: float, y: float) -> Header:
    return Header(
        path=path, height=20, width=30, numbers=(1,), dtype="uint8", nodata=None, crs=CRS(32630).to_wkt(),
        transform=(10.0, 0.0, x, 0.0, -10.0, y), descriptions=(None,), tags={}, block=(1, 30), layout="GTiff/none",
        scaling=((1.0, 0.0),), masked=False,
    )  # fmt: skip


def test_the_grid_allows_more_than_scenes_may_differ_by() -> None:
    assert LATTICE_TOLERANCE_PX > 2 * TOLERANCE_PX


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ((0.4, 0), r"off by \+0\.00 px \(\+0 m\) in x and -0\.40 px \(-4 m\) in y"),
        ((0, 10.02), r"off by \+0\.02 px \(\+0\.2 m\) in x and \+0\.00 px"),
        ((-2.5, 0.25), r"off by \+0\.25 px \(\+2\.5 m\) in x and [+-]0\.50 px \([+-]5 m\) in y"),
    ],
)
def test_origins_between_pixels_are_refused_with_two_names_and_the_offset(tmp_path: Path, write, at, words) -> None:
    write(tmp_path / "20200101.tif")
    write(tmp_path / "20200102.tif", at=at)
    with pytest.raises(
        InputError,
        match=rf"misaligned grids: 1 of 2 files lie between the pixels of .*20200101\.tif; .*20200102\.tif is {words}",
    ):
        plan_cube(tmp_path)


def test_mixed_pixel_sizes_are_refused_with_the_files_that_have_them(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101_B02.tif")
    write(tmp_path / "20200101_B05.tif", pixel=20)
    write(tmp_path / "20200101_B06.tif", pixel=20)
    with pytest.raises(
        InputError,
        match=r"mixed resolutions, pixels of 10 × 10 m in 1 file \(.*_B02\.tif\), 20 × 20 m in 2 files \(.*_B05",
    ):
        plan_cube(tmp_path)
    assert plan_cube(tmp_path, CubeSettings(bands=("B05", "B06"))).shape == (1, 2, 3, 4)


def test_pixel_sizes_that_drift_by_nothing_that_matters_are_the_same(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101.tif", pixel=231.656)
    write(tmp_path / "20200102.tif", transform=Affine(231.65600000000558, 0, 500_000, 0, -231.656, 4_000_000))
    assert plan_cube(tmp_path).shape[0] == 2


def test_mixed_crs_are_refused_with_the_files_that_have_them(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101.tif")
    write(tmp_path / "20200102.tif", crs=32631)
    with pytest.raises(
        InputError, match=r"mixed CRS: EPSG:32630 in 1 file \(.*20200101\.tif\), EPSG:32631 in 1 file .*gdalwarp -t_srs"
    ):
        plan_cube(tmp_path)


def test_files_without_a_crs_are_refused_by_name(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101.tif")
    write(tmp_path / "20200102.tif", crs=None)
    with pytest.raises(
        InputError, match=r"1 file without a georeference, no CRS inside: .*20200102\.tif; nothing tells where"
    ):
        plan_cube(tmp_path)


def test_files_without_a_transform_are_refused_by_name(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101.tif", transform=Affine.identity())
    with pytest.raises(InputError, match=r"no place \(CRS and transform\) inside: .*20200101\.tif"):
        plan_cube(tmp_path)


def test_faults_of_two_kinds_are_told_together(tmp_path: Path, write) -> None:
    write(tmp_path / "x.tif", crs=None)
    with pytest.raises(
        InputError, match=r"^2 faults: \(1\) 1 file without a georeference.* \(2\) 1 file without a date"
    ):
        plan_cube(tmp_path)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 1, 500_000, 1, -10, 4_000_000),
        Affine(0, 10, 500_000, 10, 0, 4_000_000),
        Affine(-10, 0, 500_000, 0, -10, 4_000_000),
    ],
)
def test_rotated_and_mirrored_files_are_refused_by_name(tmp_path: Path, write, transform) -> None:
    write(tmp_path / "20200101.tif", transform=transform)
    with pytest.raises(InputError, match=r"1 file with rotated or mirrored pixels: .*20200101\.tif.*gdalwarp"):
        plan_cube(tmp_path)


def test_a_bottom_up_file_is_read_north_up(tmp_path: Path, write) -> None:
    pixels = np.arange(2 * 5 * 4, dtype="int16").reshape(2, 5, 4)
    write(tmp_path / "20200101.tif", pixels)
    write(tmp_path / "20200102.tif", pixels[:, ::-1], transform=Affine(10, 0, 500_000, 0, 10, 4_000_000 - 50))
    cube = lazy_cube(plan_cube(tmp_path))
    np.testing.assert_array_equal(cube[1], pixels)
    np.testing.assert_array_equal(cube[1, 1, 1:3, 2:], pixels[1, 1:3, 2:])


def test_degrees_are_called_degrees(tmp_path: Path, write) -> None:
    write(tmp_path / "20200101.tif", crs=4326, transform=Affine(0.001, 0, 9, 0, -0.001, 45))
    write(tmp_path / "20200102.tif", crs=4326, transform=Affine(0.001, 0, 9.0005, 0, -0.001, 45))
    with pytest.raises(InputError, match=r"[+-]0\.50 px \([+-]0\.0005 °\) in x and \+0\.00 px \(\+0 °\)"):
        plan_cube(tmp_path)
