from __future__ import annotations

import warnings

import numpy as np
import pytest

from taxoscape.config import resolve
from taxoscape.run import cost
from taxoscape.run.cost import NetworkCost, announce, cost_of_network, operations


def by_hand(size: int, bands: int) -> int:
    """Multiplications and additions of METHOD step 2: 2 · kernel² · in · out for each pixel of each convolution."""
    total = 2 * 9 * bands * 64 * size**2
    n_in = 64
    for n_out, stride in ((64, 1), (128, 2), (256, 2), (512, 2), (512, 2)):
        size = -(-size // stride)
        total += 2 * 9 * (n_in * n_out + 3 * n_out * n_out) * size**2
        total += 2 * n_in * n_out * size**2 if stride != 1 or n_in != n_out else 0
        n_in = n_out
    return total


@pytest.fixture
def rates(monkeypatch):
    """A machine of 30 and 50 GFLOP a second."""
    monkeypatch.setattr(cost, "_rates", lambda settings, n_bands: (3e10, 5e10))


@pytest.mark.parametrize(("size", "bands"), [(49, 1), (50, 3), (100, 3), (112, 13)])
def test_the_operations_of_tilenet_equal_a_formula_by_hand(size, bands):
    assert operations(resolve({}, "paper"), tile_px=size, n_bands=bands) == by_hand(size, bands)


def test_tilenet_takes_12_gflop_per_tile_of_100_px_and_the_fast_network_less_than_a_hundredth():
    assert operations(resolve({}, "paper"), tile_px=100, n_bands=3) == pytest.approx(12e9, rel=0.01)
    assert operations(resolve({}), tile_px=100, n_bands=3) < 0.12e9


def test_training_as_in_the_paper_takes_five_times_ten_to_the_seventeen_operations(rates):
    found = cost_of_network(resolve({}, "paper"), n_tiles=44_000, n_times=20, n_bands=3)
    assert found.train == pytest.approx(100_000 * 50 * 3 * 3 * 12.012e9, rel=1e-3)
    assert found.refine == pytest.approx(100 * 20 * 5 * 3 * 3 * 12.012e9, rel=1e-3)
    assert found.encode == pytest.approx(2 * 44_000 * 20 * 12.012e9, rel=1e-3)
    assert found.train_seconds == pytest.approx(found.train / 3e10)
    assert found.refine_seconds == pytest.approx(found.refine / 3e10)
    assert found.encode_seconds == pytest.approx(found.encode / 5e10)


def test_what_is_left_out_costs_nothing(rates):
    found = cost_of_network(resolve({"refine": {"refine": False}}, "paper"), n_tiles=10, n_times=2, n_bands=3)
    assert (found.refine, found.encode) == (0, 10 * 2 * found.tile)


def test_overlapping_tiles_cost_the_share_of_one_pass_and_of_tilenet_each_its_whole(rates):
    plain, dense = (
        cost_of_network(resolve({"grid": grid}), n_tiles=100, n_times=2, n_bands=3)
        for grid in ({"tile_size": 64}, {"tile_size": 64, "stride": 16})
    )
    assert dense.encode == pytest.approx(0.176 * plain.encode, rel=0.01)
    assert dense.train == plain.train
    assert dense.encode_seconds == pytest.approx(0.176 / cost.ONE_PASS_RATE * plain.encode_seconds, rel=0.01)
    plain, dense = (
        cost_of_network(resolve({"grid": grid}, "paper"), n_tiles=100, n_times=2, n_bands=3)
        for grid in ({"tile_size": 64}, {"tile_size": 64, "stride": 16})
    )
    assert dense.encode == plain.encode


def test_the_paper_prints_its_cost_on_one_line_with_the_way_out(rates):
    line = announce(resolve({}, "paper"), n_tiles=44_000, n_times=20, n_bands=3)
    assert "training 5.4e17 operations, about 209 days" in line
    assert "refining 1.1e15 operations, about 10.0 h; encoding 2.1e16 operations, about 5 days;" in line
    assert "--triplets and --epochs, or take --preset fast" in line
    assert "\n" not in line
    few = {"encoder": {"triplets": 200, "epochs": 1}, "refine": {"refine": False}}
    line = announce(resolve(few, "paper"), n_tiles=36, n_times=2, n_bands=3)
    assert "training 2.2e13 operations, about 12 min" in line
    assert "refining" not in line


def test_the_fast_preset_and_encoders_without_training_have_no_cost_to_tell(monkeypatch):
    monkeypatch.setattr(cost, "_rates", lambda *_: pytest.fail("nothing is to be measured"))
    how = {"n_tiles": 44_000, "n_times": 20, "n_bands": 3}
    assert announce(resolve({}), **how) == ""
    assert announce(resolve({"encoder": {"encoder": "rcf"}}, "paper"), **how) == ""


def test_imported_weights_cost_no_training_but_refining_and_encoding_with_their_own_network(monkeypatch, tmp_path):
    from taxoscape.embedding.checkpoints import import_weights
    from taxoscape.embedding.networks import build_network

    torch = pytest.importorskip("torch")
    network = build_network("tilenet", n_bands=3, tile_size=100, n_features=512)
    torch.save(network.state_dict(), tmp_path / "weights.ckpt")
    import_weights(tmp_path / "weights.ckpt").save(tmp_path / "weights.safetensors")
    monkeypatch.setattr(cost, "_rates", lambda *_: (1e11, 1e11))
    settings = resolve({"encoder": {"encoder": str(tmp_path / "weights.safetensors")}})
    line = announce(settings, n_tiles=11_881, n_times=3, n_bands=3)
    assert "training" not in line
    assert "encoding 8.6e14 operations" in line  # 11 881 × 3 tiles, twice, 12 GFLOP each
    assert "refining 1.6e14 operations" in line  # 100 triplets × 3 dates × 5 epochs × 3 tiles, forwards and backwards
    assert cost.vector_length(settings, 3) == 512


def test_an_encoder_without_training_is_encoded_once_and_never_trained():
    found = cost_of_network(
        resolve({"encoder": {"encoder": "rcf"}, "run": {"threads": 1}}), n_tiles=10, n_times=2, n_bands=3
    )
    assert found.train == found.refine == 0
    assert found.encode == 20 * found.tile > 0
    assert [cost.vector_length(resolve({"encoder": {"encoder": name}}), 3) for name in ("stats", "rcf")] == [6, 515]


def test_the_time_is_measured_on_few_steps_and_leaves_torch_as_it_was():
    import torch

    state, threads = torch.get_rng_state(), torch.get_num_threads()
    settings = resolve({"run": {"threads": 1, "device": "cpu"}}, "fast")
    found = cost_of_network(settings, n_tiles=10, n_times=2, n_bands=3)
    assert isinstance(found, NetworkCost)
    assert 1e7 < found.train_rate < 1e14
    assert 1e7 < found.encode_rate < 1e14
    assert torch.get_num_threads() == threads
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(("dtype", "bands", "told"), [("uint8", 3, False), ("uint16", 3, True), ("uint8", 4, True)])
def test_the_papers_network_on_other_than_three_bands_of_8_bits_is_told(monkeypatch, dtype, bands, told):
    from taxoscape.run import work
    from tests.embedding.cubes import a_cube

    monkeypatch.setattr(cost, "announce", lambda *_, **__: "")
    cube = a_cube(np.zeros((1, bands, 120, 120), dtype))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work._announce(cube, resolve({}, "paper"))
        work._announce(cube, resolve({"grid": {"tile_size": 10}}))  # the fast network takes any
    assert len(caught) == int(told)
    assert not told or "3 bands of 8 bits" in str(caught[0].message)
