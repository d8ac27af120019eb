"""The main job with tiles that overlap: a cell of the map is smaller than a tile."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from taxoscape.analysis.agreement import agreement
from taxoscape.cli import run_command
from taxoscape.contracts import grid_of
from taxoscape.run.evaluate import evaluate_run
from taxoscape.run.folder import RunFolder
from taxoscape.run.pipeline import advance, existing, status
from taxoscape.run.prepare import prepare
from taxoscape.run.reading import Reading
from taxoscape.run.request import Request, read_run
from taxoscape.run.store import read_dataset, read_series
from tests.run.conftest import QUICK
from tests.run.test_resume import EXPLICIT, StopHereError, stopping_after

TILE, STRIDE = 48, 24
OPTIONS = [*QUICK, "--tile-size", str(TILE), "--stride", str(STRIDE)]


@pytest.fixture(scope="module")
def overlapping(scenes, tmp_path_factory) -> Path:
    """A run of overlapping tiles in which every stage is done, baselines too. Read it, do not change it."""
    out = tmp_path_factory.mktemp("overlapping") / "run"
    assert run_command(["run", str(scenes), "--out", str(out), "--baselines", *OPTIONS]) == 0
    return out


def test_the_map_has_a_cell_of_a_stride_for_each_tile_in_the_middle_of_it(overlapping, scenes):
    grid = grid_of(read_series(overlapping / "series.zarr"))
    with rasterio.open(next(iter(sorted(scenes.glob("*.tif"))))) as scene:
        pixel, origin = scene.res[0], (scene.transform.c, scene.transform.f)
    row, col = grid.corners[0]
    for name in ("zones.tif", "zones_geographic.tif", "confidence.tif", "colours.tif", "moved.tif"):
        with rasterio.open(overlapping / name) as source:
            assert source.shape == (grid.n_rows, grid.n_cols)
            assert source.res == (STRIDE * pixel, STRIDE * pixel)
            margin = (TILE - STRIDE) // 2
            expected = origin[0] + (col + margin) * pixel, origin[1] - (row + margin) * pixel
            assert (source.transform.c, source.transform.f) == pytest.approx(expected)


def test_areas_are_those_of_cells(overlapping):
    zones = read_dataset(overlapping / "partition.zarr")["labels"].to_numpy()
    with (overlapping / "cards.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    name = next(key for key in rows[0] if key.startswith("area"))
    for row in rows:
        count = np.count_nonzero(zones == int(row["zone"]))
        assert float(row[name]) == pytest.approx(count * (STRIDE * 10 / 1000) ** 2, rel=1e-3)


def test_everything_is_made_of_overlapping_tiles_too(overlapping):
    assert {row["state"] for row in status(RunFolder(overlapping))} == {"done"}
    metrics = json.loads((overlapping / "metrics.json").read_text())
    assert metrics["n_tiles"] == read_series(overlapping / "series.zarr").sizes["tile"]
    assert 0 < metrics["map_join_share"] <= 1
    for name in ("maps", "strips", "cards", "projections", "dates", "baselines", "confidence"):
        assert (overlapping / "figures" / f"{name}.png").exists(), name


def test_evaluate_scores_tiles_and_the_map_as_it_is_drawn(overlapping, region_files):
    found = evaluate_run(existing(overlapping), region_files.truth, min_share=0.9)
    assert found["cells"]["n_tiles"] >= found["n_tiles"]
    assert {"nmi", "ari", "purity"} <= set(found["cells"])
    reading = Reading(existing(overlapping), read_run(existing(overlapping))[0])
    tiles, cells = (reading.truth(region_files.truth, min_share=0.9, cells=cells) for cells in (False, True))
    assert np.count_nonzero(tiles != cells) > 0
    assert found["cells"] == agreement(reading.labels, cells)


def test_evaluate_has_no_cells_of_their_own_where_tiles_do_not_overlap(finished, region_files):
    assert "cells" not in evaluate_run(existing(finished), region_files.truth)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_an_encoding_that_was_stopped_goes_on_to_the_same_series(steps, overlapping, scenes, tmp_path, monkeypatch):
    explicit = {**EXPLICIT, "grid": {"tile_size": TILE, "stride": STRIDE}}
    folder = prepare(Request(scenes=(str(scenes),), explicit=explicit), tmp_path / "run")
    advance(folder, ["cube", "train"])
    monkeypatch.setattr("taxoscape.embedding.dense.POSITIONS", (5, 48))  # 5 for each line of tiles
    with pytest.raises(StopHereError):
        advance(folder, ["encode"], track=stopping_after(steps))
    advance(existing(folder.path), ["encode"])
    one, other = (read_series(path / "series_geographic.zarr") for path in (folder.path, overlapping))
    assert one.sizes["tile"] == other.sizes["tile"] == 40
    np.testing.assert_allclose(one["embedding"], other["embedding"], atol=1e-5)
    np.testing.assert_array_equal(one["valid"], other["valid"])


def test_a_stride_beyond_the_tile_is_refused(scenes, tmp_path, capsys):
    out = tmp_path / "run"
    assert run_command(["run", str(scenes), "--out", str(out), *QUICK, "--stride", "21"]) == 2
    assert "tile size 20 and stride 21 do not fit" in capsys.readouterr().err
    assert not out.exists()


def test_a_stride_that_shares_little_is_told_before_a_run_and_in_it(overlapping, scenes, tmp_path, capsys):
    odd = [*QUICK, "--tile-size", str(TILE), "--stride", "20"]
    assert run_command(["run", str(scenes), "--out", str(tmp_path / "none"), "--dry-run", *odd]) == 0
    assert "note      overlapping tiles of 48 px every 20 px take about" in capsys.readouterr().out
    out = tmp_path / "run"
    shutil.copytree(overlapping, out)
    assert run_command(["encode", str(out), "--stride", "20", "--quiet"]) == 0
    notes = next(row for row in status(RunFolder(out)) if row["name"] == "encode")["notes"]
    assert any("--stride 24 takes 2.1 times as long" in told for told in notes["warnings"])


def test_another_stride_leaves_the_encoder_as_it_is(overlapping, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(overlapping, out)
    assert run_command(["encode", str(out), "--stride", "16", "--quiet"]) == 0
    states = {row["name"]: row["state"] for row in status(RunFolder(out))}
    assert states["train"] == states["encode"] == "done"
    assert states["cluster"] != "done"
