"""A run of scenes whose bands are features that another model made."""

from __future__ import annotations

import json

import numpy as np

from taxoscape.cli import run_command
from taxoscape.config import Settings, resolve
from taxoscape.run.cost import vector_length
from taxoscape.run.folder import RunFolder
from taxoscape.run.pipeline import status
from taxoscape.run.request import Inputs
from taxoscape.run.store import read_dataset
from taxoscape.run.table import digests
from tests.cube.conftest import write_tif


def test_embeddings_are_clustered_analysed_and_published_like_any_series(tmp_path):
    rng = np.random.default_rng(0)
    land = np.kron(rng.integers(0, 3, (8, 10)), np.ones((20, 20), int))
    centres = rng.integers(-90, 90, (3, 64))
    for year in ("2020", "2021"):
        noisy = centres[land].transpose(2, 0, 1) + rng.normal(scale=12, size=(64, 160, 200))
        names = tuple(f"A{i:02d}" for i in range(64))
        write_tif(tmp_path / f"s_{year}.tif", noisy.clip(-127, 127).astype("int8"), nodata=-128, names=names)
    (tmp_path / "dates.csv").write_text("file,date\ns_2020.tif,2020\ns_2021.tif,2021\n")
    out = tmp_path / "run"
    scenes = [str(tmp_path / f"s_{year}.tif") for year in ("2020", "2021")]
    options = ["--tile-size", "20", "--zones", "3", "--threads", "1", "--quiet", "--no-evidence"]
    dated = ["--dates", str(tmp_path / "dates.csv"), "--encoder", "embeddings", "--deviation"]
    assert run_command(["run", *scenes, "--out", str(out), *dated, *options]) == 0
    assert {row["state"] for row in status(RunFolder(out))} == {"done"}
    zones = read_dataset(out / "partition_geographic.zarr")
    assert read_dataset(out / "series_geographic.zarr").sizes["feature"] == 128
    pairs = set(zip(zones["labels"].to_numpy().tolist(), land[::20, ::20].ravel().tolist(), strict=True))
    assert len(pairs) == 3
    assert json.loads((out / "metrics.json").read_text())["n_clusters"] == 3
    assert "features that another model made (8-bit values undone)" in (out / "report.html").read_text()
    again = tmp_path / "again"
    assert (
        run_command(["apply", str(out), scenes[1], scenes[0], "--dates", dated[1], "--out", str(again), "--quiet"]) == 0
    )
    labels = read_dataset(again / "partition_geographic.zarr")["labels"].to_numpy()
    np.testing.assert_array_equal(labels, zones["labels"].to_numpy())


def test_the_length_of_vectors_is_known_beforehand_and_other_encoders_keep_their_digests():
    inputs = Inputs({"a.tif": "0"}, {})
    assert digests(resolve({"encoder": {"deviation": True}}), inputs) == digests(Settings(), inputs)
    for deviation, length in ((False, 64), (True, 128)):
        settings = resolve({"encoder": {"encoder": "embeddings", "deviation": deviation}})
        assert vector_length(settings, 64) == length
