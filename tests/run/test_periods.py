"""A run whose dates are periods."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from taxoscape.cli import run_command
from taxoscape.config import Settings, resolve
from taxoscape.cube.open import open_cube as open_any
from taxoscape.errors import RunFolderError
from taxoscape.run.apply import apply_request
from taxoscape.run.folder import RunFolder
from taxoscape.run.pipeline import advance
from taxoscape.run.prepare import prepare
from taxoscape.run.regions import plan_all
from taxoscape.run.request import Inputs, Request, read_run
from taxoscape.run.results import open_cube
from taxoscape.run.table import digests
from tests.cube.conftest import write_tif


@pytest.fixture
def months(tmp_path: Path) -> Path:
    """Five scenes of 60 × 80 pixels in three months."""
    rng = np.random.default_rng(0)
    for day in ("2020-03-02", "2020-03-12", "2020-04-01", "2020-04-22", "2020-05-10"):
        pixels = rng.integers(1, 255, (2, 60, 80)).astype("uint8")
        pixels[:, rng.random((60, 80)) < 0.2] = 0
        write_tif(tmp_path / "scenes" / f"{day}.tif", pixels, nodata=0)
    return tmp_path / "scenes"


def a_request(scenes: Path, **cube: str) -> Request:
    return Request(scenes=(str(scenes),), explicit={"cube": cube, "grid": {"tile_size": 20}, "run": {"threads": 1}})


def test_the_run_file_says_which_period_each_scene_stands_for(months, tmp_path):
    folder = prepare(a_request(months, period="month"), tmp_path / "run")
    advance(folder, ["cube"])
    document = tomllib.loads((folder / "run.toml").read_text())
    assert (document["cube"]["period"], document["cube"]["composite"]) == ("month", "median")
    stands_for = {str(entry["date"]): str(entry["stands_for"]) for entry in document["input"]}
    assert stands_for["2020-03-12"] == "2020-03-01"
    assert set(stands_for.values()) == {"2020-03-01", "2020-04-01", "2020-05-01"}
    cube = open_cube(folder)
    np.testing.assert_array_equal(cube.to_numpy(), open_any(str(months), period="month").to_numpy())
    prepare(a_request(months, period="month"), tmp_path / "run")
    with pytest.raises(RunFolderError, match=r"cube.period: month → 10d"):
        prepare(a_request(months, period="10d"), tmp_path / "run")


def test_scenes_as_they_are_keep_the_digests_that_they_had():
    inputs = Inputs({"a.tif": "0"}, {})
    plain = digests(Settings(), inputs)
    assert digests(resolve({"cube": {"composite": "best"}}), inputs) == plain
    assert digests(resolve({"cube": {"period": "month"}}), inputs)["cube"] != plain["cube"]


def test_regions_have_the_same_periods_and_none_is_paired_with_another(tmp_path):
    rng = np.random.default_rng(1)
    own = {"north": ("2020-03-02", "2020-04-02", "2020-05-03"), "south": ("2020-03-20", "2020-05-20", "2020-06-01")}
    for name, days in own.items():
        for day in days:
            pixels = rng.integers(1, 255, (2, 40, 60)).astype("uint8")
            write_tif(tmp_path / name / f"{day}.tif", pixels, at=(0 if name == "north" else 500, 0), nodata=0)
    settings = resolve({"cube": {"period": "month"}, "grid": {"tile_size": 20}})
    plans = plan_all((), {name: (str(tmp_path / name),) for name in own}, settings)
    dates = tuple(date(2020, month, 1) for month in (3, 4, 5, 6))
    assert {plan.dates for plan in plans.by_region.values()} == {dates}


def test_the_whole_road_tells_of_periods_and_apply_makes_the_same_ones(scenes, tmp_path):
    out = tmp_path / "run"
    arguments = [
        "--encoder",
        "stats",
        "--tile-size",
        "20",
        "--zones",
        "3",
        "--no-evidence",
        "--threads",
        "1",
        "--quiet",
    ]
    assert (
        run_command(["run", str(scenes), "--out", str(out), "--calendar", "P4M", "--composite", "best", *arguments])
        == 0
    )
    settings, _, _ = read_run(RunFolder(out))
    assert (settings.cube.period, settings.cube.composite) == ("P4M", "best")
    assert "A date stands for all days of a period (P4M)" in (out / "report.html").read_text()
    request = apply_request(RunFolder(out), [str(scenes)], {})
    assert (request.explicit["cube"]["period"], request.explicit["cube"]["composite"]) == ("P4M", "best")
    first, again = open_cube(RunFolder(out)), prepare(request, tmp_path / "again")
    advance(again, ["cube"])
    np.testing.assert_array_equal(open_cube(again).to_numpy(), first.to_numpy())
    assert request.explicit["cube"]["calendar"] == tuple(np.datetime_as_string(first["time"], unit="D").tolist())


def test_a_calendar_that_is_none_is_refused_in_one_line(scenes, tmp_path, capsys):
    assert run_command(["run", str(scenes), "--out", str(tmp_path / "run"), "--calendar", "weekly"]) == 2
    told = capsys.readouterr().err
    assert "not 'weekly' (--calendar)" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_what_stands_for_a_pixel_in_a_period_is_refused_where_there_are_none(more, scenes, tmp_path, capsys):
    assert run_command(["run", str(scenes), "--out", str(tmp_path / "run"), "--composite", "best", *more]) == 2
    told = capsys.readouterr().err
    assert "--calendar month), or leave --composite out" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "run" / "run.toml").exists()


def test_a_run_that_was_begun_with_it_goes_on_with_and_without_it(months, tmp_path):
    folder = prepare(a_request(months), tmp_path / "run")
    document = folder.read_document()
    document["cube"]["composite"] = "best"
    folder.write_document(document)
    for cube in ({}, {"composite": "best"}):
        prepare(a_request(months, **cube), tmp_path / "run")
    with pytest.raises(RunFolderError, match=r"cube\.composite"):
        prepare(a_request(months, period="month", composite="first"), tmp_path / "run")
