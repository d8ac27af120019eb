"""A region as files."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio

from taxoscape.errors import InputError
from taxoscape.testing import GENERATOR_VERSION, Region, write_region

REGION = Region(seed=7, height=300, width=570, n_zones=3, clouds=0.2, dates=(date(2023, 3, 12), date(2023, 7, 1)))


@pytest.mark.parametrize(("sensor", "dtype"), [("colour8", "uint8"), ("multispectral16", "uint16")])
def test_files_hold_the_scenes_and_say_what_they_are(tmp_path: Path, sensor: str, dtype: str) -> None:
    region = Region(seed=7, height=300, width=570, n_zones=3, clouds=0.2, dates=REGION.dates, sensor=sensor)  # type: ignore[arg-type]
    files = write_region(region, tmp_path, block_px=256)
    assert [p.name for p in files.scenes] == ["scene_2023-03-12.tif", "scene_2023-07-01.tif"]
    for index, path in enumerate(files.scenes):
        with rasterio.open(path) as file:
            assert file.crs.to_epsg() == 32630
            assert file.transform == region.lattice.transform
            assert file.nodata == 0
            assert set(file.dtypes) == {dtype}
            assert file.descriptions == region.bands
            assert file.tags()["GENERATOR"] == f"taxoscape.testing {GENERATOR_VERSION}"
            assert file.profile["tiled"]
            np.testing.assert_array_equal(file.read(), region.scene(index))


def test_the_truth_lies_in_a_folder_of_its_own(tmp_path: Path) -> None:
    files = write_region(REGION, tmp_path)
    assert files.truth.parent != files.scenes[0].parent
    assert sorted(p.name for p in files.scenes[0].parent.iterdir()) == sorted(p.name for p in files.scenes)
    with rasterio.open(files.truth) as file:
        assert file.dtypes == ("uint8",)
        assert file.nodata == 0
        np.testing.assert_array_equal(file.read(1), REGION.truth())


def test_threads_and_repetition_change_no_byte(tmp_path: Path) -> None:
    once = write_region(REGION, tmp_path / "one", block_px=256)
    twice = write_region(REGION, tmp_path / "two", block_px=256, threads=3)
    for a, b in zip((*once.scenes, once.truth), (*twice.scenes, twice.truth), strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_every_block_is_told(tmp_path: Path) -> None:
    told = []

    def track(things, label, total, done=0):  # type: ignore[no-untyped-def]
        for thing in things:
            told.append((label, total))
            yield thing

    write_region(REGION, tmp_path, track=track, block_px=256)
    assert told == [("making the built-in region", 6)] * 6


def test_sizes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="multiple of 256, not 1 and 100"):
        write_region(REGION, tmp_path, block_px=100)
    with pytest.raises(InputError, match="at least 1"):
        write_region(REGION, tmp_path, threads=0)
