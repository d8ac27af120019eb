"""A run in an area of interest."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import shapely

from taxoscape.cli import run_command
from taxoscape.config import resolve
from taxoscape.cube.lazy import lazy_cube
from taxoscape.cube.open import open_cube as open_any
from taxoscape.errors import InputError, RunFolderError
from taxoscape.grid import Grid, Lattice
from taxoscape.run import cost
from taxoscape.run.apply import apply_request
from taxoscape.run.estimate import describe_plan
from taxoscape.run.folder import RunFolder
from taxoscape.run.pipeline import advance, status
from taxoscape.run.prepare import prepare
from taxoscape.run.regions import plan_all, tiles_inside
from taxoscape.run.request import Request, read_request, read_run
from taxoscape.run.results import last_result, open_cube
from tests.cube.conftest import write_tif
from tests.cube.test_area import square, write_area

from .conftest import QUICK


def polygon_of(scenes: Path, *, top: float, left: float, bottom: float, right: float) -> shapely.Polygon:
    """Return a triangle with a hole in the scenes, by pixels."""
    lattice = Lattice.of(open_any(str(scenes)))
    to = lambda row, col: (lattice.x0 + col * lattice.dx, lattice.y0 - row * lattice.dy)  # noqa: E731
    middle = (top + bottom) / 2, left + (right - left) / 4
    hole = [to(middle[0] + i, middle[1] + j) for i, j in ((0, 0), (0, 12.2), (12.2, 0))]
    return shapely.Polygon([to(top, left), to(bottom, left), to((top + bottom) / 2, right)], [hole])


@pytest.fixture
def area(scenes, tmp_path) -> Path:
    (tmp_path / "shapes").mkdir()
    crs = Lattice.of(open_any(str(scenes))).crs
    shape = polygon_of(scenes, top=15.3, left=24.7, bottom=170.2, right=212.6)
    return write_area(tmp_path / "shapes" / "field.gpkg", [shape], crs=crs)


def a_request(scenes: Path, area: Path | str, **grid) -> Request:
    return Request(
        scenes=(str(scenes),),
        explicit={"cube": {"aoi": str(area)}, "grid": {"tile_size": 20, **grid}, "run": {"threads": 1}},
    )


def test_tiles_on_the_edge_are_kept_unless_told_otherwise():
    assert resolve({"cube": {"aoi": "a.gpkg"}}).grid.partial == "keep"
    assert resolve({"cube": {"aoi": "a.gpkg"}, "grid": {"partial": "drop"}}).grid.partial == "drop"
    assert resolve({"cube": {"aoi": "a.gpkg"}, "grid": {"tile_size": 7}}).grid.tile_size == 7
    assert resolve({}).grid.partial == "drop"


def test_the_run_file_holds_the_area_from_the_folder_and_its_digest(scenes, area, tmp_path):
    folder = prepare(a_request(scenes, area), tmp_path / "run")
    document = tomllib.loads((folder / "run.toml").read_text())
    assert document["cube"]["aoi"] == "../shapes/field.gpkg"
    assert len(document["area"]["sha256"]) == 64
    assert read_run(folder)[0].cube.aoi == str(area)
    request, _ = read_request(folder / "run.toml")
    assert request.explicit["cube"]["aoi"] == str(area)


def test_a_changed_area_makes_the_run_stale_and_is_refused(scenes, area, tmp_path, caplog):
    folder = prepare(a_request(scenes, area), tmp_path / "run")
    advance(folder, ["cube"])
    assert status(folder)[0]["state"] == "done"
    content = area.read_bytes()
    area.unlink()
    assert status(folder)[0]["state"] == "done"
    crs = Lattice.of(open_any(str(scenes))).crs
    write_area(area, [polygon_of(scenes, top=15.3, left=24.7, bottom=120, right=180)], crs=crs)
    assert status(folder)[0]["state"] == "stale: settings or inputs changed since"
    with pytest.raises(RunFolderError, match=r"area of interest changed: \S+field\.gpkg"):
        prepare(a_request(scenes, area), tmp_path / "run")
    prepare(read_request(folder / "run.toml")[0], tmp_path / "other")
    assert "field.gpkg changed since the run file was written" in caplog.text
    area.write_bytes(content)
    assert status(folder)[0]["state"] == "done"


def test_a_dry_run_tells_what_the_area_leaves(scenes, area, tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "_rates", lambda settings, n_bands: (3e10, 5e10))
    text = describe_plan(a_request(scenes, area))
    cube = open_cube(_made(scenes, area, tmp_path))
    grid = Grid.over(Lattice.of(cube), tile_size=20, partial="keep")
    valid = np.pad(cube["valid"][0].to_numpy(), 20)
    shares = np.array([valid[row + 20 : row + 40, col + 20 : col + 40].mean() for row, col in grid.corners.tolist()])
    assert f"tiles     {grid.n_tiles} of 20 px" in text
    assert f"{int((shares >= 0.5).sum())} of them can count: at least 50% of them is in the area of interest" in text
    assert "field.gpkg: cropped to 1 polygon, nothing outside counts" in text
    assert f"{cube.sizes['y']} × {cube.sizes['x']} pixels" in text


def _made(scenes: Path, area: Path, tmp_path: Path) -> RunFolder:
    folder = prepare(a_request(scenes, area), tmp_path / "made")
    advance(folder, ["cube"])
    return folder


def test_an_area_in_which_no_tile_can_count_is_refused(scenes, area, tmp_path):
    with pytest.raises(InputError, match=r"no tile of 60 × 60 pixels has 100% of them in the area.*--min-valid"):
        prepare(a_request(scenes, area, tile_size=60, min_valid=1.0), tmp_path / "run")
    assert not (tmp_path / "run" / "run.toml").exists()


def test_the_whole_road_makes_zones_of_the_tiles_in_the_area_and_of_no_others(scenes, area, finished, tmp_path):
    assert run_command(["run", str(scenes), "--out", str(tmp_path / "run"), "--aoi", str(area), *QUICK]) == 0
    folder = RunFolder(tmp_path / "run")
    (_, zones), (whole, _) = last_result(folder), last_result(RunFolder(finished))
    grid = Grid.over(Lattice.of(open_cube(folder)), tile_size=20, partial="keep")
    valid = np.pad(open_cube(folder)["valid"][0].to_numpy(), 20)
    shares = np.array([valid[row + 20 : row + 40, col + 20 : col + 40].mean() for row, col in grid.corners.tolist()])
    np.testing.assert_array_equal(zones["labels"].to_numpy() > 0, shares >= 0.5)
    indexes = set(zip(whole["row"].to_numpy().tolist(), whole["col"].to_numpy().tolist(), strict=True))
    counted = zones["labels"].to_numpy() > 0
    rows, cols = zones["row"].to_numpy()[counted].tolist(), zones["col"].to_numpy()[counted].tolist()
    assert set(zip(rows, cols, strict=True)) <= indexes
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["n_tiles"] == counted.sum()


def test_of_several_regions_each_is_cropped_and_one_beside_the_area_is_named(tmp_path):
    rng = np.random.default_rng(0)
    for name, row in (("north", 0), ("south", 300)):
        for day in ("2020-03-01", "2020-04-01"):
            pixels = rng.integers(1, 200, (60, 80)).astype("uint8")
            write_tif(tmp_path / name / f"{day}.tif", pixels, at=(row, 0), nodata=0)
    regions = {name: (str(tmp_path / name),) for name in ("north", "south")}
    both = write_area(tmp_path / "both.gpkg", [square(5, 5, 45, 70), square(310, 20, 360, 80)])
    settings = resolve({"cube": {"aoi": str(both)}, "grid": {"tile_size": 20}})
    plans = plan_all((), regions, settings)
    assert [plan.shape[2:] for plan in plans.by_region.values()] == [(40, 65), (50, 60)]
    grid = Grid.over(plans.lattice, tile_size=20)
    inside = sum(
        int(
            (np.pad(lazy_cube(plan)["valid"][0].to_numpy(), 20)[row + 20 : row + 40, col + 20 : col + 40]).mean() >= 0.5
        )
        for plan, place in zip(plans.by_region.values(), plans.placements, strict=True)
        for row, col in place.grid.corners.tolist()
    )
    assert tiles_inside(plans, grid, settings) == inside
    one = write_area(tmp_path / "one.gpkg", [square(5, 5, 45, 70)])
    with pytest.raises(InputError, match=r"region 'south': the area of interest in \S+one\.gpkg lies outside"):
        plan_all((), regions, resolve({"cube": {"aoi": str(one)}, "grid": {"tile_size": 20}}))


def test_an_area_given_to_apply_keeps_the_tiles_on_its_edge(finished, scenes, area):
    request = apply_request(RunFolder(finished), [str(scenes)], {"cube": {"aoi": str(area)}})
    settings = resolve(request.explicit)
    assert (settings.cube.aoi, settings.grid.partial) == (str(area), "keep")
    assert resolve(apply_request(RunFolder(finished), [str(scenes)], {}).explicit).grid.partial == "drop"


def test_the_command_line_refuses_an_area_in_one_line(scenes, tmp_path, capsys):
    assert run_command(["cube", str(scenes), "--out", str(tmp_path / "run"), "--aoi", "nowhere.gpkg"]) == 2
    told = capsys.readouterr().err
    assert "the area of interest is not there: no file nowhere.gpkg (--aoi FILE)" in told
    assert told.count("\n") == 1
