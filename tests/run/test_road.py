from __future__ import annotations

import json
import shutil
import tomllib

import numpy as np
import pytest
import rasterio

from taxoscape.cli import run_command
from taxoscape.embedding.encoder import load_encoder
from taxoscape.run.folder import RunFolder
from taxoscape.run.pipeline import status
from taxoscape.run.store import read_dataset
from tests.run.conftest import QUICK

PRODUCTS = (
    "run.toml", "encoder.safetensors", "encoder_geographic.safetensors", "series.zarr", "series_geographic.zarr",
    "zones.tif", "zones_geographic.tif", "zones.gpkg", "zones.qml", "metrics.json", "report.html", "run.log",
    "figures/maps.png", "figures/strips.png", "figures/refinement.png",
)  # fmt: skip


def states(out):
    return {row["name"]: row["state"] for row in status(RunFolder(out))}


def test_a_run_makes_everything_that_the_contract_names(finished):
    assert [name for name in PRODUCTS if not (finished / name).exists()] == []
    assert (finished / "cube.zarr").exists() or (finished / "cube.json").exists()
    assert set(states(finished).values()) == {"done"}


def test_the_map_has_one_cell_per_tile_and_labels_1_to_k(finished):
    with rasterio.open(finished / "zones.tif") as source:
        labels = source.read(1)
        assert labels.shape == (9, 12)
        assert source.res == (200.0, 200.0)
        assert source.nodata == 0
        assert source.colormap(1)[1] != source.colormap(1)[2]
    assert set(np.unique(labels)) == {1, 2, 3}


def test_the_map_of_moved_tiles_has_the_zones_that_they_went_to(finished):
    maps = []
    for name in ("zones_geographic.tif", "zones.tif", "moved.tif"):
        with rasterio.open(finished / name) as source:
            maps.append(source.read(1))
            assert source.res == (200.0, 200.0)
    before, after, moved = maps
    np.testing.assert_array_equal(moved, np.where(before != after, after, 0))


def test_the_map_of_confidence_is_a_share_for_each_tile_with_a_zone(finished):
    with rasterio.open(finished / "zones.tif") as zones, rasterio.open(finished / "confidence.tif") as sure:
        labels, found = zones.read(1), sure.read(1)
        assert sure.transform == zones.transform
    assert ((found[labels > 0] > 0) & (found[labels > 0] <= 1)).all()
    assert np.isnan(found[labels == 0]).all()
    mean = json.loads((finished / "metrics.json").read_text())["confidence_mean"]
    assert found[labels > 0].mean() == pytest.approx(mean, rel=1e-5)


def test_metrics_have_the_names_of_the_contract(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    names = (
        "n_tiles", "n_dates", "n_clusters", "inertia_mean", "silhouette_flat", "silhouette_sumnorm", "map_silhouette",
        "map_calinski_harabasz", "map_join_share", "map_patches", "stability_ari",
    )  # fmt: skip
    assert [n for n in names if n not in metrics or f"{n}_geographic" not in metrics] == []
    assert "ari_geographic_refined" in metrics
    assert metrics["n_tiles"] == 108


def test_the_same_seed_gives_the_same_map_byte_for_byte_and_another_seed_another_encoder(finished, scenes, tmp_path):
    assert run_command(["run", str(scenes), "--out", str(tmp_path / "again"), *QUICK]) == 0
    for name in ("zones.tif", "zones_geographic.tif", "encoder.safetensors", "metrics.json"):
        assert (tmp_path / "again" / name).read_bytes() == (finished / name).read_bytes(), name
    assert run_command(["run", str(scenes), "--out", str(tmp_path / "other"), *QUICK, "--seed", "5"]) == 0
    assert (tmp_path / "other/encoder.safetensors").read_bytes() != (finished / "encoder.safetensors").read_bytes()


def test_the_stages_one_by_one_give_what_run_gives(finished, scenes, tmp_path):
    out = str(tmp_path / "run")
    assert run_command(["cube", str(scenes), "--out", out, *QUICK]) == 0
    assert states(out)["train"] == "not done"
    for stage in ("train", "encode", "cluster", "refine", "analyse", "publish"):
        assert run_command([stage, out, "--quiet"]) == 0
    assert (tmp_path / "run/zones.tif").read_bytes() == (finished / "zones.tif").read_bytes()


def test_a_second_run_skips_what_is_done(finished, scenes, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    before = {path: path.stat().st_mtime_ns for path in (out / "zones.tif", out / "encoder.safetensors")}
    assert run_command(["run", str(out / "run.toml"), "--quiet"]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_run_file_repeats_the_run_elsewhere(finished, tmp_path):
    assert run_command(["run", str(finished / "run.toml"), "--out", str(tmp_path / "twin"), "--quiet"]) == 0
    assert (tmp_path / "twin/zones.tif").read_bytes() == (finished / "zones.tif").read_bytes()


def test_an_option_given_to_a_stage_is_written_and_makes_later_stages_stale(finished, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    assert run_command(["cluster", str(out), "--zones", "4", "--quiet"]) == 0
    found = states(out)
    assert found["encode"] == "done"
    assert found["cluster"] == "done"
    assert found["refine"].startswith("stale")
    assert found["publish"].startswith("stale")
    assert "zones = 4" in (out / "run.toml").read_text()


def test_another_clusterer_takes_the_series_that_are_there_and_a_run_from_nothing_makes_its_own(
    finished, scenes, tmp_path
):
    copy, new = tmp_path / "copy", tmp_path / "new"
    shutil.copytree(finished, copy)
    assert run_command(["cluster", str(copy), "--clusterer", "kmeans", "--quiet"]) == 0
    found = states(copy)
    assert found["train"] == found["encode"] == found["cluster"] == "done"
    assert found["refine"].startswith("stale")
    assert tomllib.loads((copy / "run.toml").read_text())["encoder"]["statistics"] is True
    assert read_dataset(copy / "partition_geographic.zarr").attrs["clusterer"] == "kmeans"
    assert run_command(["cube", str(scenes), "--out", str(new), *QUICK, "--clusterer", "kmeans"]) == 0
    assert run_command(["train", str(new), "--quiet"]) == 0
    assert load_encoder(new / "encoder_geographic.safetensors").recipe.weights == ()
    assert load_encoder(finished / "encoder_geographic.safetensors").recipe.weights != ()


def test_no_refine_gives_the_geographic_zones_and_takes_back_the_refined_files(finished, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    for stage in (["refine", str(out), "--no-refine"], ["analyse", str(out)], ["publish", str(out)]):
        assert run_command([*stage, "--quiet"]) == 0
    assert not (out / "series.zarr").exists()
    assert not (out / "zones_geographic.tif").exists()
    assert not (out / "moved.tif").exists()
    with rasterio.open(out / "zones.tif") as now, rasterio.open(finished / "zones_geographic.tif") as before:
        np.testing.assert_array_equal(now.read(1), before.read(1))
    assert "inertia_mean_geographic" not in json.loads((out / "metrics.json").read_text())


def test_damage_to_a_result_is_noticed_and_the_stage_done_again(finished, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    whole = (out / "encoder.safetensors").read_bytes()
    (out / "encoder.safetensors").write_bytes(whole[:-10] + b"0123456789")
    assert states(out)["refine"] == "encoder.safetensors was changed or damaged"
    assert run_command(["run", str(out / "run.toml"), "--quiet"]) == 0
    assert (out / "encoder.safetensors").read_bytes() == whole


def test_evaluate_prints_scores_as_json(finished, region_files, capsys):
    assert run_command(["evaluate", str(finished), "--truth", str(region_files.truth)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"nmi", "ari", "purity", "n_tiles", "min_share", "geographic"} <= set(found)
    assert 0 < found["n_tiles"] <= 108
    assert found["min_share"] == 0.5


def test_an_encoder_from_a_file_takes_the_place_of_training(finished, scenes, tmp_path):
    encoder = finished / "encoder.safetensors"
    out = tmp_path / "run"
    options = ["--encoder", str(encoder), "--no-refine", *QUICK]
    assert run_command(["run", str(scenes), "--out", str(out), *options]) == 0
    first, second = ((f / "zones.tif").read_bytes() for f in (out, finished))
    assert len(first) > 0
    assert len(second) > 0
    assert states(out)["train"] == "done"


def test_the_dry_run_says_what_it_would_do_and_makes_nothing(scenes, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("no image")
    arguments = ["run", str(scenes), str(tmp_path / "notes.txt"), "--out", str(tmp_path / "run"), "--dry-run", *QUICK]
    assert run_command(arguments) == 0
    text = capsys.readouterr().out
    for part in ("3 scenes", "180 × 240", "108 of 20 px", "time", "memory", "disk", "notes.txt"):
        assert part in text, part
    assert not (tmp_path / "run").exists()


def test_the_report_opens_without_a_network(finished):
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    assert "3 land zones" in page


@pytest.mark.parametrize("stage", ["train", "encode", "cluster", "refine", "analyse", "publish"])
def test_a_stage_without_what_it_needs_names_the_command_to_run_first(stage, scenes, tmp_path, capsys):
    out = tmp_path / "run"
    assert run_command(["cube", str(scenes), "--out", str(out), *QUICK]) == 0
    shutil.rmtree(out / "stages")
    capsys.readouterr()
    assert run_command([stage, str(out)]) == 2
    assert "needs 'cube'" in capsys.readouterr().err


def test_precision_and_tiles_in_a_batch_are_settled_once_and_another_precision_is_another_series(finished, tmp_path):
    kept = tomllib.loads((finished / "run.toml").read_text())["run"]
    assert kept["precision"] == "float32"
    assert kept["batch_tiles"] >= 1
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    before = (run / "series_geographic.zarr/embedding/c/0/0/0").read_bytes()
    assert run_command(["encode", str(run), "--precision", "bfloat16"]) == 0
    assert tomllib.loads((run / "run.toml").read_text())["run"]["precision"] == "bfloat16"
    assert (run / "series_geographic.zarr/embedding/c/0/0/0").read_bytes() != before
    assert states(run)["cluster"] != "done"
    assert run_command(["encode", str(run), "--precision", "auto"]) == 0
    assert tomllib.loads((run / "run.toml").read_text())["run"] == kept
    assert (run / "series_geographic.zarr/embedding/c/0/0/0").read_bytes() == before
