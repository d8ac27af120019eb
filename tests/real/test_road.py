"""The whole job on real scenes: every stage, every product, and where there are labels, agreement with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from taxoscape.cli import run_command
from taxoscape.run.folder import RunFolder
from taxoscape.run.pipeline import status

QUICK = ["--triplets", "1500", "--epochs", "2", "--threads", "1", "--quiet"]
"""A training that takes seconds. What the default reaches is measured by benchmarks/evidence.py."""


def run(scenes: Path, out: Path, tile_size: int, zones: int, *more: str) -> Path:
    options = ["--tile-size", str(tile_size), "--zones", str(zones), *QUICK, *more]
    assert run_command(["run", str(scenes), "--out", str(out), *options]) == 0
    return out


@pytest.mark.parametrize(
    ("scenes", "tile_size", "zones", "grid"),
    [
        ("06_s2_l2a_romania_nrt/images_clear90", 10, 4, (9, 9)),
        ("07_s2_l1c_slovenia_eolearn/images", 10, 4, (9, 9)),
        ("08_s2_s1_worldcereal/images", 10, 4, (9, 10)),
        ("16_modis_navarre_rsat", 10, 4, (10, 9)),
    ],
)  # fmt: skip
def test_the_whole_job_runs(scenes, tile_size, zones, grid, data, tmp_path) -> None:
    out = run(data / scenes, tmp_path / "run", tile_size, zones)
    assert {row["state"] for row in status(RunFolder(out))} == {"done"}
    first = sorted((data / scenes).glob("*.tif"))[0]
    with rasterio.open(out / "zones.tif") as made, rasterio.open(first) as source:
        labels = made.read(1)
        assert made.crs == source.crs
        assert labels.shape == grid
        assert made.res == pytest.approx((tile_size * source.res[0], tile_size * source.res[1]))
        assert source.bounds.left <= made.bounds.left < made.bounds.right <= source.bounds.right
        assert source.bounds.bottom <= made.bounds.bottom < made.bounds.top <= source.bounds.top
    assert set(np.unique(labels)) - {0} == set(range(1, zones + 1))
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["n_tiles"] == int((labels > 0).sum())
    assert metrics["silhouette_flat"] is not None
    assert (out / "report.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("scenes", "truth", "tile_size", "zones", "share", "scored", "floor", "more"),
    [
        ("01_s2_ndvi_netherlands/images/NDVI-*", "01_s2_ndvi_netherlands/labels/group_2017.tif", 10, 6, 0.6, 6503, 0.4,
         ["--end", "2017-11"]),
        (
            "03_modis_ndvi_lombardy_corine/images",
            "03_modis_ndvi_lombardy_corine/labels/groups_on_modis_grid.tif",
            8, 8, 0.5, 633, 0.45, [],
        ),
    ],
)  # fmt: skip
def test_zones_agree_with_labels_they_have_never_seen(
    scenes, truth, tile_size, zones, share, scored, floor, more, data, tmp_path, capsys
) -> None:
    out = run(data / scenes, tmp_path / "run", tile_size, zones, "--no-evidence", *more)
    capsys.readouterr()
    assert run_command(["evaluate", str(out), "--truth", str(data / truth), "--min-share", str(share)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n_tiles"] == scored
    assert found["nmi"] > floor
    assert found["geographic"]["nmi"] > floor
