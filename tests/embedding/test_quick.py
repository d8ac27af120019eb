"""Networks made quicker give the same vectors but for rounding."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taxoscape.config import EncoderSettings
from taxoscape.embedding import quick
from taxoscape.embedding.encoder import Encoder, Recipe
from taxoscape.embedding.scaling import Scaling

SCALING = Scaling(mean=(120.0,) * 3, offset=(120.0,) * 3, scale=(40.0,) * 3)
BOUNDS = {"float32": quick.CLOSE, "bfloat16": quick.NEAR}


def an_encoder(network: str, tile_size: int, seed: int = 1) -> Encoder:
    """Return an encoder whose norms are as if it had been trained."""
    n_features = 512 if network == "tilenet" else EncoderSettings().n_features
    recipe = Recipe(
        network=network, tile_size=tile_size, bands=("B04", "B03", "B02"), n_features=n_features, scaling=SCALING,
        normalised=network == "fast",
    )  # fmt: skip
    made, rng = recipe.build(seed), torch.Generator().manual_seed(seed)
    for part in made.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1, generator=rng)  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 2, generator=rng)  # type: ignore[union-attr]
            part.weight.data.uniform_(0.5, 1.5, generator=rng)
            part.bias.data.normal_(0, 0.1, generator=rng)
    return Encoder(recipe, made)


def tiles(n: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (n, 3, size, size)).astype(np.uint8)


def gap(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest difference of vectors as a share of their length."""
    return float((np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)).max())


@pytest.mark.parametrize("network", ["tilenet", "fast"])
def test_folded_norms_give_the_same_vectors(network: str) -> None:
    plain, x = an_encoder(network, 50).network, torch.rand(3, 3, 50, 50)
    whole = quick.folded(plain)
    with torch.inference_mode():
        want, got = plain(x), whole(x)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in whole.modules())
    assert any(isinstance(part, torch.nn.BatchNorm2d) for part in plain.modules())
    assert torch.allclose(got, want, rtol=1e-4, atol=1e-5 * float(want.abs().max()))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("one_pass", [True, False])
@given(
    network=st.sampled_from([("tilenet", 49), ("fast", 4), ("fast", 10), ("fast", 30), ("fast", 57)]),
    seed=st.integers(0, 99), n=st.integers(1, 5), batch=st.sampled_from([2, 8]),
)  # fmt: skip
@settings(max_examples=8, deadline=None)
def test_a_quickened_encoder_gives_the_vectors_of_the_encoder_within_the_bound(
    precision: str, one_pass: bool, network: tuple[str, int], seed: int, n: int, batch: int
) -> None:
    plain = an_encoder(*network, seed=seed)
    want = plain.embed(tiles(n, network[1], seed))
    with pytest.MonkeyPatch.context() as patch:
        if not one_pass:
            patch.setattr(quick, "_has_one_pass", lambda dtype: False)
        got = quick.quickened(plain, precision).embed(tiles(n, network[1], seed), batch_size=batch)  # type: ignore[arg-type]
    assert got.dtype == np.float32
    assert gap(got, want) <= BOUNDS[precision]
    assert np.array_equal(plain.embed(tiles(n, network[1], seed)), want)  # the encoder itself is as it was


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("network", "size"), [("tilenet", 49), ("fast", 10), ("fast", 30)])
def test_vectors_hardly_depend_on_how_many_tiles_are_given_at_once(network: str, size: int, precision: str) -> None:
    made, x = quick.quickened(an_encoder(network, size), precision), tiles(9, size)  # type: ignore[arg-type]
    want = made.embed(x, batch_size=8)
    assert all(gap(made.embed(x, batch_size=n), want) <= 1e-6 for n in (1, 3, 16))  # none where it was tried


def test_the_number_of_tiles_is_measured_and_near_the_usual_one() -> None:
    network = quick.quick_network(an_encoder("fast", 20).network, "float32")
    usual = quick.usual_batch(network, 20)
    assert quick.measured_batch(network, tile_px=20, n_bands=3) in (usual // 2, usual, usual * 2)
    assert quick.usual_batch(network, 1000) == quick.LEAST
    assert quick.usual_batch(network, 100, device="cuda") == 512


def test_another_number_is_taken_only_where_it_is_clearly_better(monkeypatch: pytest.MonkeyPatch) -> None:
    network = quick.quick_network(an_encoder("fast", 20).network, "float32")
    usual = quick.usual_batch(network, 20)
    for half, best in ((0.0008, usual // 2), (0.00095, usual)):
        seconds = {usual // 2: half, usual: 0.001, usual * 2: 0.002}
        monkeypatch.setattr(quick, "seconds_a_tile", lambda network, n, seconds=seconds, **_: seconds[n])
        assert quick.measured_batch(network, tile_px=20, n_bands=3) == best
    monkeypatch.setattr(quick, "seconds_a_tile", lambda network, n, **_: 1.0 if n == usual else pytest.fail("too slow"))
    assert quick.measured_batch(network, tile_px=20, n_bands=3) == usual


@pytest.mark.parametrize("network", ["tilenet", "fast"])
def test_bfloat16_is_what_the_maps_are_held_in(network: str) -> None:
    plain, x = an_encoder(network, 50), tiles(3, 50)
    assert gap(plain.embed(x, precision="bfloat16"), plain.embed(x)) > 1e-4
    assert np.array_equal(plain.embed(x, precision="bfloat16"), quick.quickened(plain, "bfloat16").embed(x))


def test_what_is_quick_already_or_has_nothing_to_fold_is_left_alone() -> None:
    once = quick.quickened(an_encoder("fast", 10), "float32")
    assert quick.quickened(once, "bfloat16") is once
    fixed = Recipe(network="stats", tile_size=10, bands=("B04",), n_features=2, scaling=SCALING, normalised=False)
    stats = Encoder(fixed, fixed.build())
    assert quick.quickened(stats) is stats


@pytest.mark.parametrize("way", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_quickened_network_can_be_copied_after_use_and_gives_the_same(way) -> None:
    made = quick.quickened(an_encoder("tilenet", 50), "bfloat16")
    want = made.embed(tiles(2, 50))
    assert np.array_equal(Encoder(made.recipe, way(made.network)).embed(tiles(2, 50)), want)


def test_a_convolution_that_does_not_do_what_it_should_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert quick._has_one_pass.__wrapped__(torch.float32) in (True, False)
    monkeypatch.setattr(quick._Layer, "_ordered_for", lambda layer, x: torch.zeros_like(layer.weight))
    assert not quick._has_one_pass.__wrapped__(torch.float32)

    def missing(layer: object, x: object) -> None:
        raise AttributeError("no such operator")

    monkeypatch.setattr(quick._Layer, "_ordered_for", missing)
    assert not quick._has_one_pass.__wrapped__(torch.float32)
