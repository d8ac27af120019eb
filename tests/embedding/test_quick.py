"""Networks made quicker give the same vectors but for rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from taxoscape.embedding import quick
from taxoscape.embedding.fit import untrained
from taxoscape.embedding.networks import build_network
from taxoscape.testing.region import Region, region_cube


@pytest.fixture(scope="module")
def encoder():
    cube = region_cube(Region(seed=1, height=110, width=110, n_zones=2, dates=1))
    return untrained(cube, network="tilenet", tile_size=50, rng=0)


def tiles(n: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (n, 3, 50, 50)).astype(np.uint8)


def test_folded_norms_give_the_same_vectors():
    network = build_network("tilenet", n_bands=3, tile_size=50, n_features=512, seed=1).eval()
    rng = torch.Generator().manual_seed(0)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):  # as if it had been trained
            part.running_mean.normal_(0, 0.1, generator=rng)
            part.running_var.uniform_(0.5, 2, generator=rng)
            part.weight.data.uniform_(0.5, 1.5, generator=rng)
            part.bias.data.normal_(0, 0.1, generator=rng)
    x = torch.rand(3, 3, 50, 50, generator=rng)
    with torch.inference_mode():
        want, got = network(x), quick.folded(network)(x)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in quick.folded(network).modules())
    assert torch.allclose(got, want, rtol=1e-4, atol=1e-5 * float(want.abs().max()))


@pytest.mark.parametrize("narrow", [False, True])
def test_a_quickened_encoder_gives_the_vectors_of_the_encoder(encoder, monkeypatch, narrow):
    monkeypatch.setattr(quick, "has_bfloat16", lambda: narrow)
    want = encoder.embed(tiles())
    got = quick.quickened(encoder).embed(tiles())
    assert got.dtype == np.float32
    assert np.abs(got - want).max() <= (0.02 if narrow else 1e-5) * np.abs(want).max()
    assert np.array_equal(encoder.embed(tiles()), want)  # the encoder itself is as it was
