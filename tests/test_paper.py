"""The preset ``paper`` on the whole road: TileNet, its loss and its counts, on a region small enough to train it.

Training as in the paper takes 5e17 operations. Here: 200 triplets once, tiles of 50 px (a quarter of the cost of
100 px; the network and its 512 features are the same), few triplets from clusters, and few tiles to judge encoders by.
Even so 1e13 operations, minutes on two cores.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio

from taxoscape.cli import run_command
from taxoscape.embedding import fit
from taxoscape.embedding.encoder import load_encoder
from taxoscape.run.folder import read_toml
from taxoscape.run.store import read_series
from taxoscape.testing.region import Region
from taxoscape.testing.writing import write_region

REGION_TOML = """
scenes = ["scenes/*.tif"]
preset = "paper"

[refine]
triplets_per_date = 3
"""


@pytest.fixture(scope="module")
def paper_run(tmp_path_factory):
    """A run of the preset on 6 × 6 tiles, 2 dates, 3 bands of 8 bits; read it, do not change it."""
    home = tmp_path_factory.mktemp("paper")
    region = Region(seed=5, height=320, width=330, n_zones=3, dates=2)
    write_region(region, home)
    (home / "region.toml").write_text(REGION_TOML)
    options = ["--triplets", "200", "--epochs", "1", "--tile-size", "50", "--zones", "3", "--no-evidence"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "HELD_OUT", 8)
        assert run_command(["run", str(home / "region.toml"), "--out", str(home / "run"), *options, "--quiet"]) == 0
    return home / "run"


pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_the_preset_trains_the_papers_network_on_three_bands_of_eight_bits(paper_run):
    for name in ("encoder_geographic.safetensors", "encoder.safetensors"):
        encoder = load_encoder(paper_run / name)
        assert type(encoder.network).__name__ == "TileNet"
        assert sum(p.numel() for p in encoder.network.parameters()) == 20_873_280
        assert (encoder.n_features, encoder.tile_size, len(encoder.bands)) == (512, 50, 3)
        assert set(encoder.recipe.scaling.scale) == {255.0}
        assert encoder.embed(np.full((1, 3, 50, 50), 90, np.uint8)).shape == (1, 512)


def test_the_run_holds_the_papers_settings(paper_run):
    document = read_toml(paper_run / "run.toml")
    encoder = document["encoder"]
    assert {name: encoder[name] for name in ("network", "n_features", "loss", "batch_size")} == {
        "network": "tilenet", "n_features": 512, "loss": "triplet", "batch_size": 50,
    }  # fmt: skip
    assert (encoder["margin"], encoder["norm_penalty"], encoder["learning_rate"]) == (50.0, 0.01, 1e-3)
    assert (encoder["neighbourhood_px"], encoder["triplets"], encoder["epochs"]) == (100, 200, 1)
    refine = document["refine"]
    assert (refine["triplets_per_date"], refine["epochs"], refine["learning_rate"]) == (3, 5, 1e-3)


def test_training_on_geography_and_on_zones_took_the_steps_that_were_asked_for(paper_run):
    settings = load_encoder(paper_run / "encoder_geographic.safetensors").metadata["settings"]
    assert (settings["loss"], settings["triplets"], settings["epochs"]) == ("triplet", 200, 1)
    assert load_encoder(paper_run / "encoder.safetensors").metadata["settings"]["epochs"] == 5
    first, second = (
        load_encoder(paper_run / name).network.state_dict()["bn1.num_batches_tracked"].item()
        for name in ("encoder_geographic.safetensors", "encoder.safetensors")
    )
    assert first == 3 * 4  # three passes of a step over 200 triplets in batches of 50
    assert second > first


def test_the_series_have_512_features_and_end_in_zones(paper_run):
    for name in ("series_geographic.zarr", "series.zarr"):
        series = read_series(paper_run / name)
        assert dict(series.sizes) == {"tile": 36, "time": 2, "feature": 512}
        assert np.isfinite(series["embedding"].to_numpy()).all()
    for name in ("zones_geographic.tif", "zones.tif"):
        with rasterio.open(paper_run / name) as file:
            labels = file.read(1)
        assert labels.shape == (6, 6)
        assert set(np.unique(labels)) == {1, 2, 3}
    metrics = json.loads((paper_run / "metrics.json").read_text())
    assert (metrics["n_clusters"], metrics["n_tiles"], metrics["n_dates"]) == (3, 36, 2)


def test_imported_weights_go_the_whole_road(tmp_path, monkeypatch):
    import torch

    from taxoscape.embedding.networks import build_network

    monkeypatch.setattr(fit, "HELD_OUT", 8)
    write_region(Region(seed=6, height=160, width=210, n_zones=2, dates=2), tmp_path)
    network = build_network("tilenet", n_bands=3, tile_size=50, n_features=512, seed=4)
    torch.save(network.state_dict(), tmp_path / "naip.ckpt")
    encoder, out = tmp_path / "naip.safetensors", tmp_path / "run"
    how = ["--out", str(encoder), "--tile-size", "50", "--bands", "B04,B03,B02"]
    assert run_command(["import-weights", str(tmp_path / "naip.ckpt"), *how]) == 0
    given = ["--encoder", str(encoder), "--tile-size", "50", "--zones", "2", "--no-refine", "--no-evidence", "--quiet"]
    assert run_command(["run", str(tmp_path / "scenes"), "--out", str(out), *given]) == 0
    series = read_series(out / "series_geographic.zarr")
    assert series["embedding"].shape == (12, 2, 512)
    with rasterio.open(out / "zones.tif") as source:
        assert set(np.unique(source.read(1))) == {1, 2}
    taken, made = load_encoder(out / "encoder_geographic.safetensors"), load_encoder(encoder)
    assert all(torch.equal(a, b) for a, b in zip(taken.network.parameters(), made.network.parameters(), strict=True))
    assert "naip.safetensors" in (out / "report.html").read_text()
