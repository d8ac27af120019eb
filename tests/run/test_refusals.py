"""What a user can get wrong: one clear line, exit code 2, nothing lost."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from taxoscape.cli import run_command
from tests.run.conftest import QUICK


def complaint(arguments, capsys, code=2):
    assert run_command([str(a) for a in arguments]) == code
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert "Traceback" not in captured.err
    return lines[0]


def test_other_settings_in_the_same_folder_are_refused_with_the_differences(finished, scenes, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    options = [option if option != "3" else "4" for option in QUICK]
    line = complaint(["run", scenes, "--out", out, *options], capsys)
    assert "zones.zones: 3 → 4" in line
    assert "--overwrite" in line


def test_other_inputs_in_the_same_folder_are_refused_with_the_differences(finished, scenes, tmp_path, capsys):
    out, fewer = tmp_path / "run", tmp_path / "fewer"
    shutil.copytree(finished, out)
    shutil.copytree(scenes, fewer)
    sorted(fewer.iterdir())[0].unlink()
    line = complaint(["run", fewer, "--out", out, *QUICK], capsys)
    assert "scene no longer there" in line


def test_overwrite_starts_anew_and_keeps_files_of_the_user(finished, scenes, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    (out / "my notes.txt").write_text("mine")
    options = [option if option != "3" else "2" for option in QUICK]
    assert run_command(["run", str(scenes), "--out", str(out), *options, "--overwrite"]) == 0
    assert (out / "my notes.txt").read_text() == "mine"
    assert "zones = 2" in (out / "run.toml").read_text()


def test_a_folder_with_other_things_in_it_is_refused_even_with_overwrite(scenes, tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("years of work")
    line = complaint(["run", scenes, "--out", tmp_path, "--overwrite", *QUICK], capsys)
    assert "thesis.tex" in line
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["run", "{scenes}"], "--out"),
        (["run", "{scenes}/none/*.tif", "--out", "{out}"], "none"),
        (["run", "{scenes}", "--out", "{out}", "--tile-size", "5000"], "not one whole tile"),
        (["run", "{scenes}", "--out", "{out}", "--zones", "0"], "zones.zones"),
        (["run", "{scenes}", "--out", "{out}", "--zones", "many"], "zones.zones"),
        (["run", "{scenes}", "--out", "{out}", "--bands", "NIR"], "NIR"),
        (["run", "{scenes}", "--out", "{out}", "--bandz", "1"], "--bandz"),
        (["run", "{scenes}", "--out", "{out}", "--preset", "slow"], "slow"),
        (["run", "missing.toml", "--out", "{out}"], "missing.toml"),
        (["status", "{out}"], "no run folder"),
        (["evaluate", "{out}", "--truth", "x.tif"], "no run folder"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_wrong_use_gets_one_line_that_names_it(arguments, part, scenes, tmp_path, capsys):
    filled = [a.format(scenes=scenes, out=tmp_path / "run") for a in arguments]
    assert part in complaint(filled, capsys)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("scenes = [", "no valid TOML"),
        ("[grid]\ntile_size = 20", "names no scenes"),
        ('scenes = ["{scenes}"]\n[grid]\ntile_sise = 20', "grid.tile_sise"),
        ('scenes = ["{scenes}"]\n[zones]\nzones = -4\n[grid]\ntile_size = "big"', "grid.tile_size"),
    ],
)
def test_a_bad_run_file_is_refused_with_every_fault(text, part, scenes, tmp_path, capsys):
    path = tmp_path / "region.toml"
    path.write_text(text.replace("{scenes}", str(scenes)))
    assert part in complaint(["run", path], capsys)


def test_evaluate_refuses_a_truth_that_is_no_raster_or_a_share_that_is_none(finished, region_files, tmp_path, capsys):
    rubbish = tmp_path / "truth.tif"
    rubbish.write_text("<html>not found</html>")
    assert "truth.tif" in complaint(["evaluate", finished, "--truth", rubbish], capsys)
    assert "--min-share" in complaint(["evaluate", finished, "--truth", region_files.truth, "--min-share", "7"], capsys)


def test_two_runs_in_one_folder_at_once_are_refused(finished, tmp_path):
    from taxoscape.errors import RunFolderError
    from taxoscape.run.folder import RunFolder

    out = tmp_path / "run"
    shutil.copytree(finished, out)
    with RunFolder(out).locked():
        child = subprocess.run(
            [sys.executable, "-m", "taxoscape", "publish", str(out)], capture_output=True, text=True, check=False
        )
    assert child.returncode == 2
    assert "another taxoscape works in this folder" in child.stderr
    assert issubclass(RunFolderError, Exception)


def test_an_encoder_for_other_bands_is_refused(finished, scenes, tmp_path, capsys):
    options = ["--encoder", finished / "encoder.safetensors", "--bands", "1,2", *QUICK]
    line = complaint(["run", scenes, "--out", tmp_path / "run", *options], capsys)
    assert "encoder.safetensors" in line
    assert "--bands" in line
