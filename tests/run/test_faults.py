"""What can go wrong with a run folder: nothing of the user is lost, damage is noticed, the same command heals it."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

from taxoscape.cli import run_command
from taxoscape.run.folder import RunFolder
from taxoscape.run.pipeline import status
from tests.run.conftest import QUICK


def states(out: Path) -> dict[str, str]:
    return {row["name"]: row["state"] for row in status(RunFolder(out))}


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """A finished run of one's own."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("mine", ["figures/fig1.png", "report.html", "series.zarr/zarr.json"])
def test_a_folder_of_somebody_s_with_names_like_ours_is_refused_and_kept(mine, scenes, tmp_path, capsys):
    file = tmp_path / "paper" / mine
    file.parent.mkdir(parents=True)
    file.write_text("years of work")
    for more in ([], ["--overwrite"]):
        assert run_command(["run", str(scenes), "--out", str(tmp_path / "paper"), *QUICK, *more]) == 2
        assert "is not empty" in capsys.readouterr().err
        assert file.read_text() == "years of work"


def test_a_figure_of_the_user_s_survives_publishing(copy):
    (copy / "figures" / "mine.png").write_bytes(b"mine")
    assert run_command(["publish", str(copy), "--rgb", "1", "--quiet"]) == 0
    assert (copy / "figures" / "mine.png").read_bytes() == b"mine"


@pytest.mark.parametrize("store", ["series.zarr", "series_geographic.zarr", "partition.zarr"])
def test_a_flipped_bit_in_a_store_is_noticed_and_the_run_heals(store, copy, finished):
    chunk = max((p for p in (copy / store).rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 16
    chunk.write_bytes(content)
    assert any("was changed or damaged" in state for state in states(copy).values())
    assert run_command(["run", str(copy / "run.toml"), "--quiet"]) == 0
    assert (copy / "zones.tif").read_bytes() == (finished / "zones.tif").read_bytes()
    assert set(states(copy).values()) == {"done"}


@pytest.mark.parametrize("text", ["{}", "[]", "no json", '{"digest": 3}'])
def test_a_marker_that_is_none_means_not_done(text, copy):
    (copy / "stages" / "publish.json").write_text(text)
    assert states(copy)["publish"] == "not done"
    assert run_command(["run", str(copy / "run.toml"), "--quiet"]) == 0


def test_leavings_of_a_full_disk_do_not_stop_the_next_attempt(copy):
    digest = json.loads((copy / "stages" / "train.json").read_text())["digest"]
    (copy / "stages" / "train.json").unlink()
    work = RunFolder(copy).work("train", digest)  # as the stage itself finds it
    (work / "seconds").write_text("")
    (work / "state.safetensors").write_bytes(b"half")
    assert run_command(["run", str(copy / "run.toml"), "--quiet"]) == 0
    assert set(states(copy).values()) == {"done"}


def test_a_damaged_state_of_training_starts_it_anew(tmp_path, caplog):
    from taxoscape.run.resume import _saved_state

    (tmp_path / "state.safetensors").write_bytes(b"\x10\0\0\0")
    with caplog.at_level(logging.WARNING, logger="taxoscape"):
        logging.getLogger("taxoscape").propagate = True
        assert _saved_state(tmp_path / "state.safetensors", "cpu") is None
    assert "starts anew" in caplog.text


def test_a_run_and_its_scenes_can_be_moved_together(scenes, tmp_path):
    shutil.copytree(scenes, tmp_path / "a" / "scenes")
    assert run_command(["run", str(tmp_path / "a/scenes"), "--out", str(tmp_path / "a/run"), *QUICK]) == 0
    (tmp_path / "a").rename(tmp_path / "b")
    assert set(states(tmp_path / "b/run").values()) == {"done"}
    assert run_command(["publish", str(tmp_path / "b/run"), "--rgb", "1", "--quiet"]) == 0
    assert run_command(["run", str(tmp_path / "b/run/run.toml"), "--quiet"]) == 0


def test_evaluate_refuses_zones_of_other_settings(copy, region_files, capsys):
    assert run_command(["cluster", str(copy), "--zones", "4", "--quiet"]) == 0
    assert run_command(["evaluate", str(copy), "--truth", str(region_files.truth)]) == 2
    assert "no zones of its present settings (refine: stale" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "--stride", "1000"],
        ["train", "--tile-size", "5000"],
        ["train", "--encoder", "none.safetensors"],
        ["cluster", "--zones", "5000"],
        ["publish", "--rgb", "NIR"],
        ["publish", "--rgb", "1,2"],
    ],
)
def test_an_option_that_cannot_be_leaves_a_finished_run_as_it_was(arguments, copy, capsys):
    before = (copy / "run.toml").read_text()
    assert run_command([arguments[0], str(copy), *arguments[1:], "--quiet"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert (copy / "run.toml").read_text() == before
    assert set(states(copy).values()) == {"done"}


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ('scenes = [\n    "', "scenes = 3 # [", "scenes"),
        ("[grid]\n", "grid = 3\n[gridd]\n", "grid"),
        ("sha256 =", "sha =", "[[input]]"),
    ],
)
def test_a_run_toml_that_was_edited_badly_is_refused_in_one_line(old, new, part, copy, capsys):
    text = (copy / "run.toml").read_text()
    assert old in text
    (copy / "run.toml").write_text(text.replace(old, new))
    for command in (["status", str(copy)], ["publish", str(copy)], ["run", str(copy / "run.toml")]):
        assert run_command(command) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
    assert part in lines[0] or "TOML" in lines[0]


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (["--rgb", "NIR"], "NIR"),
        (["--bands", ""], "--bands names nothing"),
        (["--device", "cuda"], "--device cpu"),
        (["--preset", "paper", "--tile-size", "20"], "TileNet takes tiles of 49 to 112 px"),
        (["--zones", "5000"], "only 108 tiles"),
        (["--encoder", "none.safetensors"], "there is no encoder file"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_what_cannot_work_is_refused_before_anything_is_made(dry, more, part, scenes, tmp_path, capsys):
    out = tmp_path / "run"
    assert run_command(["run", str(scenes), "--out", str(out), *QUICK, *more, *dry]) == 2
    assert part in capsys.readouterr().err
    assert not (out / "run.toml").exists()


def test_a_preset_beside_a_run_toml_is_refused(copy, tmp_path, capsys):
    command = ["run", str(copy / "run.toml"), "--preset", "paper", "--out", str(tmp_path / "other")]
    assert run_command(command) == 2
    assert "leave --preset out" in capsys.readouterr().err


def test_repeating_a_run_on_changed_scenes_says_so(scenes, tmp_path, capsys):
    shutil.copytree(scenes, tmp_path / "scenes")
    assert run_command(["cube", str(tmp_path / "scenes"), "--out", str(tmp_path / "run"), *QUICK]) == 0
    first, second, *_ = sorted((tmp_path / "scenes").iterdir())
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    capsys.readouterr()
    command = ["cube", str(tmp_path / "run/run.toml"), "--out", str(tmp_path / "twin"), "--quiet"]
    assert run_command(command) == 0
    assert "will not repeat that one" in capsys.readouterr().err
