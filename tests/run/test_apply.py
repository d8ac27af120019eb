"""Another year or area under the encoder and zones of a run: a run folder like any other, with that run's zones."""

from __future__ import annotations

import json
import shutil
import tomllib
from datetime import date

import numpy as np
import pytest
import rasterio

from taxoscape.cli import run_command
from taxoscape.run.apply import apply_request
from taxoscape.run.folder import RunFolder
from taxoscape.run.pipeline import status
from taxoscape.run.prepare import prepare
from taxoscape.run.request import read_run
from taxoscape.run.store import read_dataset
from taxoscape.run.table import digests
from taxoscape.testing.region import Region
from taxoscape.testing.writing import write_region
from tests.run.conftest import QUICK

pytestmark = pytest.mark.slow

MAPS = ("zones.tif", "zones_tree.tif", "colours.tif", "confidence.tif", "zones.qml", "zones_tree.json")


def apply(run, scenes, out, *options):
    return run_command(["apply", str(run), str(scenes), "--out", str(out), "--quiet", *options])


def read(path):
    with rasterio.open(path) as source:
        return source.read(1)


def crop(path, target, *, row=0, col=0, size, scale=1):
    """Write a square of a scene, its pixels ``scale`` times as large."""
    with rasterio.open(path) as source:
        t = source.transform
        corner = rasterio.Affine(scale * t.a, t.b, t.c + col * t.a, t.d, scale * t.e, t.f + row * t.e)
        profile = {**source.profile, "width": size, "height": size, "transform": corner}
        with rasterio.open(target, "w", **profile) as part:
            part.write(source.read(window=rasterio.windows.Window(col, row, size, size)))
            part.descriptions = source.descriptions


def states(out):
    return {row["name"]: row["state"] for row in status(RunFolder(out))}


@pytest.fixture(scope="module")
def same(finished, scenes, tmp_path_factory):
    """The run applied to its own scenes. Read it, do not change it."""
    out = tmp_path_factory.mktemp("applied") / "same"
    assert apply(finished, scenes, out) == 0
    return out


def another_year(home, *, dates=(date(2025, 2, 1), date(2025, 8, 3)), seed=3, **more):
    region = Region(seed=seed, **{"height": 180, "width": 240, "n_zones": 3, "dates": dates, **more})
    return write_region(region, home)


def test_on_its_own_scenes_a_run_gives_the_very_same_maps_numbers_colours_and_names(same, finished):
    for name in MAPS:
        assert (same / name).read_bytes() == (finished / name).read_bytes(), name
    metrics = json.loads((same / "metrics.json").read_text())
    assert (metrics["n_unlike"], metrics["unlike_share"]) == (0, 0.0)
    assert (read(same / "unlike.tif") <= 1).all()
    assert set(states(same).values()) == {"done"}
    assert (same / "figures" / "unlike.png").exists()
    report = (same / "report.html").read_text()
    assert "Encoder and zones are those of run" in report
    assert "0 tiles (0.0%) are unlike anything" in report


def test_the_run_file_says_whose_zones_they_are_and_repeats_the_run(same, finished, tmp_path):
    document = tomllib.loads((same / "run.toml").read_text())
    assert (same / document["zones"]["of"]).resolve() == finished.resolve()
    assert document["taken"]["refine"] == json.loads((finished / "stages" / "refine.json").read_text())["digest"]
    assert len(document["cube"]["calendar"]) == 3
    again = tmp_path / "again"
    assert run_command(["run", str(same / "run.toml"), "--out", str(again), "--quiet"]) == 0
    for name in MAPS:
        assert (again / name).read_bytes() == (same / name).read_bytes(), name


def test_series_are_encoded_in_the_precision_of_the_run_unless_another_is_given(finished, scenes, tmp_path):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(finished, run.path)
    assert apply_request(run, [str(scenes)], {}).explicit["run"]["precision"] == "float32"
    document = run.read_document()
    document["run"]["precision"] = "bfloat16"
    run.write_document(document)
    settings, _, inputs = read_run(run)
    for stage, digest in digests(settings, inputs).items():  # as if it had been made so
        run.finish(stage, digest, [], 0.0, {})
    for given, precision in (({}, "bfloat16"), ({"run": {"precision": "float32"}}, "float32")):
        request = apply_request(run, [str(scenes)], given)
        assert request.explicit["run"]["precision"] == precision
        folder = prepare(request, tmp_path / precision)
        assert read_run(folder)[0].run.precision == precision


def test_the_same_command_skips_what_is_done_and_goes_on_after_a_stop(finished, scenes, tmp_path, monkeypatch):
    out = tmp_path / "out"
    from taxoscape.run import work

    def stop(context):
        raise KeyboardInterrupt

    monkeypatch.setitem(work.WORK, "cluster", stop)
    assert apply(finished, scenes, out) == 130
    assert states(out)["encode"] == "done"
    monkeypatch.undo()
    before = (out / "stages" / "encode.json").stat().st_mtime_ns
    assert apply(finished, scenes, out) == 0
    assert (out / "stages" / "encode.json").stat().st_mtime_ns == before
    before = {path.name: path.stat().st_mtime_ns for path in (out / "stages").glob("*.json")}
    assert apply(finished, scenes, out) == 0
    assert {path.name: path.stat().st_mtime_ns for path in (out / "stages").glob("*.json")} == before


def test_other_settings_and_zones_made_anew_are_refused_unless_overwritten(finished, scenes, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(finished, run)
    assert apply(run, scenes, out) == 0
    assert apply(run, scenes, out, "--min-valid", "0.9") == 2
    assert "grid.min_valid: 0.5 → 0.9" in capsys.readouterr().err
    assert run_command(["cluster", str(run), "--zones", "2", "--quiet"]) == 0
    assert apply(run, scenes, out) == 2
    assert "is not finished" in capsys.readouterr().err
    assert run_command(["run", str(run / "run.toml"), "--quiet"]) == 0
    assert apply(run, scenes, out) == 2
    assert "made anew since" in capsys.readouterr().err
    assert apply(run, scenes, out, "--overwrite") == 0
    assert set(np.unique(read(out / "zones.tif"))) <= {1, 2}


def test_a_run_stays_whole_when_the_run_that_its_zones_are_of_is_gone(finished, scenes, tmp_path, region_files):
    run, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(finished, run)
    assert apply(run, scenes, out) == 0
    shutil.rmtree(run)
    assert set(states(out).values()) == {"done"}
    assert run_command(["evaluate", str(out), "--truth", str(region_files.truth)]) == 0
    assert run_command(["publish", str(out), "--rgb", "1", "--quiet"]) == 0
    assert run_command(["cut", str(out), "--zones", "5", "--out", str(tmp_path / "five.tif")]) == 0


def test_another_year_lies_on_the_dates_of_the_first_and_dates_without_a_scene_are_missing(finished, tmp_path):
    days = read_dataset(finished / "partition.zarr")["time"].to_numpy().astype("datetime64[D]").tolist()
    files = another_year(tmp_path / "year", dates=(days[0].replace(year=2025), days[2].replace(year=2025)))
    out = tmp_path / "out"
    assert apply(finished, files.scenes[0].parent, out) == 0
    zones = read_dataset(out / "partition_geographic.zarr")
    assert zones["time"].to_numpy().astype("datetime64[D]").tolist() == days
    assert zones["counts"].to_numpy().all(axis=0).tolist() == [True, False, True]
    notes = json.loads((out / "stages" / "cube.json").read_text())["notes"]
    assert notes["without_scene"] == [str(days[1])]
    assert notes["stand_for"][str(days[0])] == str(days[0].replace(year=2025))
    report = (out / "report.html").read_text()
    assert f"No scene stands for {days[1]}" in report
    assert f"{days[0].replace(year=2025)} for {days[0]}" in report
    entry = tomllib.loads((out / "run.toml").read_text())["input"][0]
    assert (entry["date"], entry["stands_for"]) == (str(days[0].replace(year=2025)), str(days[0]))
    assert apply(finished, files.scenes[0].parent, out) == 0
    assert states(out)["publish"] == "done"


def test_names_that_the_user_gave_come_along_and_a_cut_of_both_has_the_same_numbers(finished, scenes, tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(finished, run)
    text = (run / "zones.toml").read_text()
    name = tomllib.loads(text)["zone"]["2"]["name"]
    (run / "zones.toml").write_text(text.replace(f'name = "{name}"', 'name = "the marsh"', 1))
    assert run_command(["publish", str(run), "--quiet"]) == 0
    assert apply(run, scenes, out) == 0
    with rasterio.open(out / "zones.tif") as source:
        assert source.tags()["zone_2"] == "the marsh"
    for folder in (run, out):
        assert run_command(["cut", str(folder), "--zones", "9", "--out", str(tmp_path / f"{folder.name}.tif")]) == 0
    assert (tmp_path / "run.tif").read_bytes() == (tmp_path / "out.tif").read_bytes()


def test_zones_without_a_tile_break_nothing(finished, scenes, tmp_path):
    """A strip of one zone, cut from the region, with a layer, a truth, and fewer tiles than zones can have."""
    zones = read(finished / "zones.tif")
    part = tmp_path / "part"
    part.mkdir()
    present = {}
    for col in range(zones.shape[1] - 1):
        for row in range(zones.shape[0] - 1):
            found = tuple(np.unique(zones[row : row + 2, col : col + 2]))
            present.setdefault(found, (row, col))
    alone = min(present, key=len)
    row, col = present[alone]
    assert len(alone) == 1
    for path in sorted(scenes.glob("*.tif")):
        crop(path, part / path.name, row=row * 20, col=col * 20, size=40)
    out = tmp_path / "out"
    layer = finished / "zones.tif"
    options = ["--layer", f"known:categorical={layer}", "--truth", str(layer)]
    assert apply(finished, part, out, "--no-levels", *options) == 0
    assert set(np.unique(read(out / "zones.tif"))) == set(alone)
    assert set(states(out).values()) == {"done"}
    with rasterio.open(out / "zones.tif") as ours, rasterio.open(finished / "zones.tif") as theirs:
        assert ours.colormap(1) == theirs.colormap(1)
        assert ours.tags() == theirs.tags()
    assert len((out / "cards.csv").read_text().splitlines()) == 4
    assert run_command(["cut", str(out), "--zones", "7", "--out", str(tmp_path / "cut.tif")]) == 0


def test_ground_never_seen_is_found_and_the_rest_is_not(finished, scenes, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(scenes, changed)
    for path in sorted(changed.glob("*.tif")):
        with rasterio.open(path, "r+") as target:
            values = target.read()
            values[:, 40:80, 60:100] = np.indices((40, 40)).sum(axis=0) % 8 // 4 * 200 + 30
            target.write(values)
    out = tmp_path / "out"
    assert apply(finished, changed, out) == 0
    far = read(out / "unlike.tif")
    assert (far[2:4, 3:5] > 1).all()
    assert (far > 1).sum() == 4
    assert json.loads((out / "metrics.json").read_text())["n_unlike"] == 4
    np.testing.assert_array_equal(read(out / "zones.tif")[far <= 1], read(finished / "zones.tif")[far <= 1])


def test_land_that_is_mostly_unknown_is_warned_of(finished, tmp_path):
    files = another_year(tmp_path / "other", dates=3, seed=8)
    for path in files.scenes:
        with rasterio.open(path, "r+") as target:
            values = target.read()
            values[:, :, :100] = np.random.default_rng(0).integers(1, 255, values[:, :, :100].shape)
            target.write(values)
    out = tmp_path / "out"
    assert apply(finished, files.scenes[0].parent, out) == 0
    (said,) = json.loads((out / "stages" / "cluster.json").read_text())["notes"]["warnings"]
    assert "are unlike anything that the zones" in said
    assert "their zones mean little" in (out / "report.html").read_text()


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Scenes that do not go with the finished run, by what is wrong with them."""
    home = tmp_path_factory.mktemp("odd")
    late = tuple(date(2025, 11, day) for day in (15, 24))
    files = another_year(home / "ok", dates=3)
    small, coarse = home / "small", home / "coarse"
    for folder in (small, coarse):
        folder.mkdir()
    for path in files.scenes:
        crop(path, small / path.name, size=12)
        crop(path, coarse / path.name, size=180, scale=2)
    return {
        "small": small,
        "coarse": coarse,
        "bands": another_year(home / "bands", dates=3, sensor="multispectral16", height=40, width=40).scenes[0].parent,
        "season": another_year(home / "season", dates=late, height=40, width=40).scenes[0].parent,
        "ok": files.scenes[0].parent,
    }


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("small", [], "tile"),
        ("coarse", [], "a tile would show another piece of land"),
        ("season", [], "no scene is of a season that the zones know"),
        ("season", ["--match", "order"], "2 dates cannot be paired by order with the 3"),
        ("ok", ["--bands", "B04"], "is for the bands B04, B03, B02"),
        ("ok", ["--bands", "B08"], "B08"),
    ],
)
def test_scenes_that_do_not_go_with_a_run_are_refused_before_anything_is_made(
    finished, odd, tmp_path, capsys, name, options, told
):
    assert apply(finished, odd[name], tmp_path / "out", *options) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out" / "run.toml").exists()


def test_more_bands_than_the_encoder_knows_do_no_harm(finished, odd, tmp_path):
    assert apply(finished, odd["bands"], tmp_path / "out") == 0
    assert [row for row in states(tmp_path / "out").values() if row != "done"] == []


def test_a_run_that_is_not_finished_and_one_whose_zones_are_anothers_are_refused(
    finished, same, scenes, tmp_path, capsys
):
    half = tmp_path / "half"
    assert run_command(["cube", str(scenes), "--out", str(half), *QUICK]) == 0
    capsys.readouterr()
    assert apply(half, scenes, tmp_path / "out") == 2
    assert "is not finished (train: not done)" in capsys.readouterr().err
    assert apply(same, scenes, tmp_path / "out") == 2
    assert "has its zones from" in capsys.readouterr().err
    assert apply(tmp_path / "nothing", scenes, tmp_path / "out") == 2
    assert "no run folder" in capsys.readouterr().err


def test_other_zones_cannot_be_asked_for_where_they_are_taken(same, tmp_path, capsys):
    shutil.copytree(same, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "figures")
    assert run_command(["cluster", str(tmp_path / "run"), "--zones", "2"]) == 2
    assert "cut them (taxoscape cut)" in capsys.readouterr().err


@pytest.mark.parametrize("clusterer", ["learned", "kmeans"])
def test_zones_without_refinement_can_be_applied_too(scenes, tmp_path, clusterer):
    run, out = tmp_path / "run", tmp_path / "out"
    options = ["--encoder", "stats", "--clusterer", clusterer, "--no-evidence", *QUICK]
    assert run_command(["run", str(scenes), "--out", str(run), *options]) == 0
    assert apply(run, scenes, out) == 0
    for name in MAPS:
        assert (out / name).read_bytes() == (run / name).read_bytes(), name


def test_a_run_is_not_cleared_to_take_its_own_zones(finished, scenes, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    before = sorted(path.name for path in out.iterdir())
    assert apply(out, scenes, out, "--overwrite") == 2
    assert "is the run whose zones are to be taken, and would be cleared" in capsys.readouterr().err
    encoder = out / "encoder.safetensors"
    again = ["run", str(scenes), "--out", str(out), "--encoder", str(encoder), "--overwrite", "--tile-size", "20"]
    assert run_command(again) == 2
    assert "is the run whose encoder is to be taken" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == before
