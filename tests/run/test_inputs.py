"""What a run is made from: scenes, their dates, the cube made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from taxoscape.errors import InputError, RunFolderError
from taxoscape.run.pipeline import advance, status
from taxoscape.run.prepare import prepare
from taxoscape.run.request import Request, read_run
from taxoscape.run.results import open_cube
from taxoscape.run.table import digests
from tests.cube.conftest import write_tif


def a_request(folder: Path, *, tile_size: int = 20, **cube: str) -> Request:
    return Request(
        scenes=(str(folder),), explicit={"grid": {"tile_size": tile_size}, "run": {"threads": 1}, "cube": cube}
    )


@pytest.fixture
def tiled(tmp_path: Path) -> Path:
    """Three scenes that are read in place."""
    rng = np.random.default_rng(0)
    for day in "123":
        write_tif(
            tmp_path / "scenes" / f"2020010{day}.tif", rng.integers(1, 255, (130, 140)).astype("uint8"),
            tiled=True, blockxsize=128, blockysize=128,
        )  # fmt: skip
    return tmp_path / "scenes"


def test_other_dates_in_the_table_are_refused_with_the_differences(tiled: Path, tmp_path: Path) -> None:
    table = tmp_path / "dates.csv"
    table.write_text("file,date\n20200101.tif,2019-01-01\n")
    request = a_request(tiled, dates=str(table))
    folder = prepare(request, tmp_path / "run")
    before = digests(*read_run(folder)[::2])
    prepare(request, tmp_path / "run")
    table.write_text("file,date\n20200101.tif,2018-01-01\n")
    with pytest.raises(RunFolderError, match=r"\(date of \S+20200101\.tif: 2019-01-01 → 2018-01-01\)"):
        prepare(request, tmp_path / "run")
    after = digests(*read_run(prepare(request, tmp_path / "run", overwrite=True))[::2])
    assert after["cube"] != before["cube"]


def test_a_scene_read_in_place_that_was_changed_is_refused_by_later_stages(tiled: Path, tmp_path: Path) -> None:
    folder = prepare(a_request(tiled), tmp_path / "run")
    advance(folder, ["cube"])
    assert (folder / "cube.json").is_file()
    scene = tiled / "20200102.tif"
    content = scene.read_bytes()
    scene.write_bytes(content)
    write_tif(tiled / "20200103.tif", np.ones((130, 140), "uint8"), tiled=True, blockxsize=128, blockysize=128)
    with pytest.raises(InputError, match=r"20200103\.tif, which .*cube\.json reads in place, was changed since"):
        advance(folder, ["train"])
    scene.unlink()
    with pytest.raises(InputError, match=r"20200102\.tif is gone"):
        advance(folder, ["train"])


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_cube_that_lost_or_damaged_a_chunk_is_told_and_made_again(harm, tmp_path: Path) -> None:
    for day in "12":
        write_tif(tmp_path / "scenes" / f"2020010{day}.tif", np.full((40, 60), int(day), "uint8"))
    folder = prepare(a_request(tmp_path / "scenes"), tmp_path / "run")
    advance(folder, ["cube"])
    harm(folder / "cube.zarr" / "scenes" / "c" / "1" / "0" / "0" / "0")
    assert status(folder)[0]["state"] == "cube.zarr was changed or damaged"
    advance(folder, ["cube"])
    assert status(folder)[0]["state"] == "done"
    assert open_cube(folder)[:, 0, 0, 0].to_numpy().tolist() == [1, 2]
