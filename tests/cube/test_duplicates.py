from pathlib import Path

import numpy as np
import pytest

from taxoscape.cube import duplicates, mosaic
from taxoscape.cube.lazy import lazy_cube
from taxoscape.cube.plan import plan_cube
from taxoscape.errors import InputError


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(1, 200, (2, 6, 5)).astype("uint8")


def test_a_copy_is_left_out_with_a_reason(tmp_path: Path, write, pixels) -> None:
    one = write(tmp_path / "a_20200101.tif", pixels)
    copy = write(tmp_path / "b_20200101.tif", pixels, compress="deflate")
    plan = plan_cube(tmp_path)
    assert [file.path for file in plan.files] == [str(one)]
    assert plan.skipped == ((str(copy), f"a copy of {one}"),)


def test_a_date_twice_with_different_content_is_refused_with_both_names(tmp_path: Path, write, pixels) -> None:
    write(tmp_path / "a_20200101.tif", pixels)
    pixels[1, 2, 3] += 1
    write(tmp_path / "b_20200101T235959.tif", pixels)
    with pytest.raises(
        InputError,
        match=r"2020-01-01 is there twice with different content .*a_20200101\.tif, b_2020\S+\.tif in .*--dates CSV",
    ):
        plan_cube(tmp_path)


def test_parts_of_one_image_that_fill_each_others_holes_are_mosaicked(tmp_path: Path, write, pixels) -> None:
    west, east = pixels.copy(), pixels.copy()
    west[:, :, 3:] = 0
    east[:, :, :2] = 0
    write(tmp_path / "a_20200101.tif", west, nodata=0)
    write(tmp_path / "b_20200101.tif", east, nodata=0)
    plan = plan_cube(tmp_path)
    assert (len(plan.files), plan.n_scenes) == (2, 2)
    np.testing.assert_array_equal(lazy_cube(plan)[0], pixels)


def test_neighbours_that_overlap_in_part_need_not_agree(tmp_path: Path, write, pixels) -> None:
    write(tmp_path / "a_20200101.tif", pixels)
    write(tmp_path / "b_20200101.tif", pixels + 1, at=(0, 1))
    cube = lazy_cube(plan_cube(tmp_path))
    np.testing.assert_array_equal(cube[0, :, :, :5], pixels)
    np.testing.assert_array_equal(cube[0, :, :, 5], pixels[:, :, 4] + 1)


def test_copies_of_scenes_in_separate_files_are_left_out(tmp_path: Path, write, pixels) -> None:
    for folder in ("one", "two"):
        for i, band in enumerate(("B02", "B03")):
            write(tmp_path / folder / f"20200101_{band}.tif", pixels[i])
    plan = plan_cube(tmp_path)
    assert [Path(file.path).parent.name for file in plan.files] == ["one", "one"]
    assert len(plan.skipped) == 2


def test_three_copies_leave_one(tmp_path: Path, write, pixels) -> None:
    for name in "abc":
        write(tmp_path / f"{name}_20200101.tif", pixels)
    plan = plan_cube(tmp_path)
    assert (len(plan.files), len(plan.skipped)) == (1, 2)


def test_several_contradictions_are_told_together(tmp_path: Path, write, pixels) -> None:
    for day in (1, 2):
        write(tmp_path / f"a_2020010{day}.tif", pixels)
        write(tmp_path / f"b_2020010{day}.tif", pixels + 1)
    with pytest.raises(InputError, match=r"^2 faults: \(1\) 2020-01-01 .* \(2\) 2020-01-02"):
        plan_cube(tmp_path)


def test_scenes_of_nearly_one_extent_that_differ_are_refused(tmp_path: Path, write) -> None:
    pixels = np.random.default_rng(1).integers(1, 200, (1, 20, 30)).astype("uint8")
    write(tmp_path / "a_20200101.tif", pixels)
    write(tmp_path / "b_20200101.tif", pixels[:, :, 1:], at=(0, 1))
    assert plan_cube(tmp_path).n_scenes == 2
    pixels[0, 9, 9] += 1
    write(tmp_path / "b_20200101.tif", pixels[:, :, 1:], at=(0, 1))
    with pytest.raises(InputError, match=r"2020-01-01 is there twice with different content"):
        plan_cube(tmp_path)


def test_what_is_compared_at_a_time_is_bounded_in_bytes_of_all_bands(tmp_path: Path, write, monkeypatch) -> None:
    pixels = np.zeros((6, 600, 600), "float32")
    for name in "ab":
        write(tmp_path / f"{name}_20200101.tif", pixels)
    sizes = []
    original = mosaic.Scene.read
    monkeypatch.setattr(mosaic.Scene, "read", lambda *a: sizes.append((window := original(*a)).nbytes) or window)
    monkeypatch.setattr(duplicates, "BYTES_AT_ONCE", 2 * 256 * 256 * 6 * 4)
    assert len(plan_cube(tmp_path).files) == 1
    assert max(sizes) == 256 * 512 * 6 * 4


def test_scenes_are_compared_once_as_long_as_they_do_not_change(tmp_path: Path, write, pixels, monkeypatch) -> None:
    for name in "ab":
        write(tmp_path / f"{name}_20200101.tif", pixels)
    reads = []
    original = mosaic.read_box
    monkeypatch.setattr(mosaic, "read_box", lambda *a, **k: reads.append(a) or original(*a, **k))
    plans = [plan_cube(tmp_path), plan_cube(tmp_path)]
    assert plans[0] == plans[1]
    assert len(reads) == 2
    write(tmp_path / "b_20200101.tif", np.tile(pixels, (1, 2, 1)))
    assert len(plan_cube(tmp_path).files) == 2
