from __future__ import annotations

import json
import shutil

import pytest

from taxoscape.cli import run_command
from taxoscape.config import RunSettings, Settings
from taxoscape.memory import LEAST
from taxoscape.run import budget, reading
from taxoscape.run.budget import budget_of
from taxoscape.run.folder import read_toml
from taxoscape.run.pipeline import existing, take_part
from taxoscape.run.request import read_run
from taxoscape.zones.rows import StoredRows, rows_of
from tests.run.conftest import QUICK
from tests.run.test_estimate import lines_of


def test_what_is_given_beyond_the_least_is_shared_by_cube_and_series(monkeypatch):
    found = budget_of(Settings(run=RunSettings(memory=LEAST + 100)))
    assert (found.size, found.cube, found.series) == (LEAST + 100, 50, 50)
    monkeypatch.setattr(budget, "half_of_free", lambda: LEAST - 5)
    assert budget_of(Settings()) == budget.Budget(size=LEAST - 5, cube=0, series=0)


def test_processes_that_train_together_on_a_machine_share_what_the_cube_may_take(monkeypatch, finished, tmp_path):
    out, asked = tmp_path / "run", []
    shutil.copytree(finished, out)
    document = read_toml(out / "run.toml")
    document["run"]["memory"] = LEAST + 400
    existing(out).write_document(document)
    monkeypatch.setattr("taxoscape.embedding.tiles.TileReader", lambda *_, memory: asked.append(memory))
    monkeypatch.setattr("taxoscape.embedding.training.follow", lambda reader_of, ranks: reader_of(20))
    for here, cube in (("1", 200), ("2", 100)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
        take_part(existing(out))  # what a rank other than the first holds
        found = budget_of(read_run(existing(out))[0])
        assert (asked.pop(), found.cube, found.series) == (cube, cube, 200)


def test_the_least_memory_gives_the_same_result_block_by_block(finished, scenes, tmp_path):
    out = tmp_path / "run"
    assert run_command(["run", str(scenes), "--out", str(out), *QUICK, "--memory", "1280M"]) == 0
    for name in ("zones.tif", "zones_geographic.tif", "confidence.tif", "zones_tree.tif"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()
    one, other = (json.loads((path / "metrics.json").read_text()) for path in (finished, out))
    assert {k: v for k, v in other.items() if v is not None} == pytest.approx(
        {k: v for k, v in one.items() if v is not None}
    )
    assert read_toml(out / "run.toml")["run"]["memory"] == LEAST
    settings, _, _ = read_run(existing(out))
    assert isinstance(rows_of(reading.Reading(existing(out), settings).series), StoredRows)
    assert "memory" not in read_toml(finished / "run.toml")["run"]


def test_a_run_goes_on_with_other_memory_and_makes_nothing_anew(finished, scenes, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    for given, kept in (("2GiB", 2**31), (None, 2**31), ("3G", 3 * 2**30)):
        options = [] if given is None else ["--memory", given]
        assert (
            run_command(["run", str(scenes), "--out", str(out), *[o for o in QUICK if o != "--quiet"], *options]) == 0
        )
        assert read_toml(out / "run.toml")["run"]["memory"] == kept
    stages = {path.name: path.stat().st_mtime for path in (finished / "stages").iterdir()}
    assert stages == {path.name: path.stat().st_mtime for path in (out / "stages").iterdir()}


@pytest.mark.parametrize(("size", "part"), [("much", "such as 4G"), ("100M", "take 1280 MiB"), ("0", "take 1280 MiB")])
def test_a_memory_that_is_none_or_too_little_is_refused(size, part, scenes, tmp_path, capsys):
    assert run_command(["run", str(scenes), "--out", str(tmp_path / "run"), "--memory", size]) == 2
    assert part in capsys.readouterr().err


def test_the_dry_run_says_what_of_the_memory_given_is_needed(scene_folder):
    given = lines_of(scene_folder, "fast", grid={"tile_size": 20}, run={"memory": "4G"})
    assert given["memory"].endswith("of 4.0 GiB")
    large = lines_of(
        scene_folder, "fast", grid={"tile_size": 20}, run={"memory": "1280M"}, encoder={"batch_size": 10**5}
    )
    assert "more than the 1.2 GiB given" in large["memory"]
    assert "of" not in lines_of(scene_folder, "fast", grid={"tile_size": 20})["memory"]
