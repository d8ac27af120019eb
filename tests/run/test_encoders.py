from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from taxoscape.cli import run_command
from taxoscape.embedding.encoder import load_encoder
from taxoscape.run.folder import RunFolder
from taxoscape.run.pipeline import status
from taxoscape.run.store import read_dataset
from tests.run.conftest import QUICK


def notes(out, stage):
    return json.loads((out / "stages" / f"{stage}.json").read_text())["notes"]


def up_to_refine(scenes, out, *options):
    assert run_command(["cube", str(scenes), "--out", str(out), *options, *QUICK]) == 0
    for stage in ("train", "encode", "cluster", "refine"):
        assert run_command([stage, str(out), "--quiet"]) == 0


def test_scenes_of_another_scale_than_an_encoder_was_made_for_are_told(scenes, finished, tmp_path):
    encoder = load_encoder(finished / "encoder_geographic.safetensors")
    for name, scale, told in (("small", 1.0, "are cut off"), ("large", 1e6, "nearly all values are near 0")):
        scaling = replace(encoder.recipe.scaling, offset=(0.0,) * 3, scale=(scale,) * 3)
        path = tmp_path / f"{name}.safetensors"
        replace(encoder, recipe=replace(encoder.recipe, scaling=scaling)).save(path)
        out = tmp_path / name
        assert run_command(["cube", str(scenes), "--out", str(out), "--encoder", str(path), *QUICK]) == 0
        assert run_command(["train", str(out), "--quiet"]) == 0
        warned = " ".join(notes(out, "train")["warnings"])
        assert "values of another scale than these scenes have" in warned
        assert told in warned


@pytest.mark.parametrize(("name", "length"), [("stats", 6), ("rcf", 515)])
def test_a_training_free_encoder_goes_the_whole_road_and_is_not_refined(name, length, scenes, tmp_path):
    out, again = tmp_path / "run", tmp_path / "again"
    assert run_command(["run", str(scenes), "--out", str(out), "--encoder", name, *QUICK]) == 0
    assert {row["state"] for row in status(RunFolder(out))} == {"done"}
    assert notes(out, "train")["without_training"] == name
    assert 0.5 < notes(out, "train")["held_out_accuracy"] <= 1
    assert notes(out, "refine")["left_out"] == f"the encoder '{name}' has nothing to train"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "without any training" in page
    assert "that learnt" not in page
    assert "from where they lie" not in page
    assert not (out / "encoder.safetensors").exists()
    assert f'encoder = "{name}"' in (out / "run.toml").read_text()
    assert read_dataset(out / "series_geographic.zarr").sizes["feature"] == length
    up_to_refine(scenes, again, "--encoder", str(out / "encoder_geographic.safetensors"))
    assert notes(again, "refine")["left_out"] == notes(out, "refine")["left_out"]
    first, second = (read_dataset(f / "partition_geographic.zarr")["labels"].to_numpy() for f in (out, again))
    np.testing.assert_array_equal(first, second)


def test_settings_of_the_network_do_not_stand_in_the_way_of_an_encoder_without_one(scenes, tmp_path):
    # tiles of 20 px are too small for the network of the preset
    up_to_refine(scenes, tmp_path / "run", "--encoder", "stats", "--preset", "paper")
