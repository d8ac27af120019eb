from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.config import EncoderSettings
from taxoscape.embedding.encoder import Encoder
from taxoscape.embedding.fit import encoder_from
from taxoscape.embedding.tiles import TileReader
from taxoscape.embedding.training import (
    TrainingError,
    TrainState,
    augment,
    batches,
    near,
    step_size,
    total_steps,
    train,
)
from taxoscape.embedding.triplets import Triplets, cluster_triplets, geographic_triplets
from taxoscape.errors import InputError
from tests.builders import a_grid
from tests.embedding.conftest import SMALL
from tests.embedding.cubes import a_cube, noise

PAPER = replace(SMALL, loss="triplet", epochs=1, batch_size=20)
TILENET = replace(PAPER, network="tilenet", n_features=512, triplets=6, batch_size=2)


def finish(reader: TileReader, triplets: Triplets, settings: EncoderSettings = SMALL, **how: object) -> TrainState:
    *_, last = train(reader, triplets, settings, **{"rng": 1, **how})  # type: ignore[arg-type]
    return last


def fingerprint(state: TrainState) -> str:
    return hashlib.sha256(state.to_bytes()).hexdigest()


@pytest.mark.parametrize("settings", [SMALL, PAPER], ids=["contrastive", "triplet"])
@pytest.mark.parametrize("stop", [1, 3])
def test_a_training_that_is_saved_and_resumed_equals_an_uninterrupted_one_bit_for_bit(
    reader: TileReader, triplets: Triplets, settings: EncoderSettings, stop: int, tmp_path: Path
) -> None:
    whole = fingerprint(finish(reader, triplets, settings))
    *_, broken = itertools.islice(train(reader, triplets, settings, rng=1), stop - 1 or 1)
    broken.save(tmp_path / "state.safetensors")
    state = TrainState.load(tmp_path / "state.safetensors")
    assert fingerprint(state) == fingerprint(broken)
    assert fingerprint(finish(reader, triplets, settings, state=state)) == whole
    assert fingerprint(finish(reader, triplets, settings, state=broken)) == whole  # passed back as it is


def test_tilenet_resumes_bit_for_bit_with_its_running_statistics() -> None:
    reader = TileReader(a_cube(noise(2, 1, 120, 131)), 49)
    triplets = geographic_triplets(reader, tile_size=49, n=6, rng=1)
    whole = finish(reader, triplets, TILENET)
    state = TrainState.from_bytes(next(train(reader, triplets, TILENET, rng=1)).to_bytes())
    assert fingerprint(finish(reader, triplets, TILENET, state=state)) == fingerprint(whole)
    assert whole.recipe.scaling.scale == (255.0,)
    assert not whole.recipe.normalised
    encoder = encoder_from(whole)
    assert encoder.embed(np.ones((1, 1, 49, 49), np.uint8)).shape == (1, 512)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(reader: TileReader, triplets: Triplets) -> None:
    first, again, other = (finish(reader, triplets, rng=seed) for seed in (1, 1, 2))
    assert fingerprint(first) == fingerprint(again) != fingerprint(other)


def test_training_leaves_the_global_generators_alone(reader: TileReader, triplets: Triplets) -> None:
    np.random.seed(3)
    torch.manual_seed(3)
    before = np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index,union-attr]
    finish(reader, triplets)
    assert np.random.get_state()[1].tolist() == before[0]  # type: ignore[index,union-attr]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_states_count_the_steps_that_were_foretold(reader: TileReader, triplets: Triplets) -> None:
    seen = [(state.step, state.total_steps, np.isfinite(state.loss)) for state in train(reader, triplets, SMALL)]
    n = total_steps(triplets, SMALL)
    assert seen == [(i + 1, n, True) for i in range(n)]


def test_a_finished_state_is_given_back_once(reader: TileReader, triplets: Triplets) -> None:
    state = finish(reader, triplets)
    before = fingerprint(state)
    assert [fingerprint(s) for s in train(reader, triplets, SMALL, rng=1, state=state)] == [before]


def test_training_makes_the_loss_smaller(reader: TileReader, triplets: Triplets) -> None:
    settings = replace(SMALL, epochs=12, learning_rate=3e-3)
    losses = [state.loss for state in train(reader, triplets, settings)]
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("batch_size", [2, 5, 512])
def test_few_triplets_one_date_and_any_batch_size_work(times: int, batch_size: int) -> None:
    reader = TileReader(a_cube(noise(times, 1, 16, 20)), 4)
    triplets = geographic_triplets(reader, tile_size=4, n=11, rng=0)
    for loss in ("contrastive", "triplet"):
        state = finish(reader, triplets, replace(SMALL, batch_size=batch_size, loss=loss))
        assert np.isfinite(state.loss)


def test_training_goes_on_from_an_encoder_with_triplets_from_clusters(cube: xr.DataArray) -> None:
    reader = TileReader(cube, 8)
    start = encoder_from(finish(reader, geographic_triplets(reader, tile_size=8, n=48, rng=1)))
    before = start.to_bytes()
    grid = a_grid(5, 7, 8)
    triplets = cluster_triplets(grid, np.arange(35) % 7 // 4 + 1, np.ones((35, 3), bool), per_date=20, rng=0)
    state = finish(reader, triplets, start=start)
    after = encoder_from(state)
    assert after.recipe == start.recipe
    assert start.to_bytes() == before  # the encoder given is left as it was
    pixels = reader.read(triplets.anchor[:4])
    assert not np.array_equal(after.embed(*pixels), start.embed(*pixels))


@given(
    dates=st.lists(st.integers(0, 5), min_size=1, max_size=80),
    batch_size=st.integers(2, 20),
    loss=st.sampled_from(["contrastive", "triplet"]),
    epoch=st.integers(0, 3),
)
def test_an_epoch_has_every_triplet_once_in_batches_of_about_the_size_asked_for(
    dates: list[int], batch_size: int, loss: str, epoch: int
) -> None:
    anchor = np.array([(0, 0, t) for t in dates], np.int32)
    triplets = Triplets(anchor, anchor, anchor)
    settings = replace(SMALL, batch_size=batch_size, loss=loss)
    found = batches(triplets, settings, seed=4, epoch=epoch)
    assert sorted(np.concatenate(found).tolist()) == list(range(len(dates)))
    assert max(map(len, found)) <= (batch_size if loss == "triplet" else 1.5 * batch_size)
    assert len(found) * settings.epochs == total_steps(triplets, settings)
    again = batches(triplets, settings, seed=4, epoch=epoch)
    assert [b.tolist() for b in found] == [b.tolist() for b in again]


def test_a_batch_of_the_contrastive_loss_has_one_date_but_for_dates_with_few_anchors() -> None:
    times = np.repeat([0, 1, 2, 3], [40, 33, 3, 2])
    anchor = np.column_stack([np.zeros((78, 2), int), times]).astype(np.int32)
    found = batches(Triplets(anchor, anchor, anchor), replace(SMALL, batch_size=16), seed=0, epoch=0)
    assert sorted({tuple(np.unique(times[rows])) for rows in found}) == [(0,), (1,), (2, 3)]


def test_order_differs_from_epoch_to_epoch(triplets: Triplets) -> None:
    first, second = (np.concatenate(batches(triplets, SMALL, seed=0, epoch=e)).tolist() for e in (0, 1))
    assert first != second


def test_augmentation_gives_each_of_the_eight_poses_of_each_tile_alone() -> None:
    tile = np.arange(18).reshape(2, 3, 3)
    poses = [np.rot90(t, k, axes=(1, 2)) for t in (tile, tile[:, :, ::-1]) for k in range(4)]
    how = np.random.default_rng(0).integers(8, size=400)
    out = augment(torch.from_numpy(np.stack([tile] * 400)), how).numpy()
    which = [next(i for i, pose in enumerate(poses) if np.array_equal(one, pose)) for one in out]
    assert np.bincount(which, minlength=8).min() > 25
    assert all(len({a for a, b in zip(which, how, strict=True) if b == k}) == 1 for k in range(8))


def test_the_step_size_is_constant_for_the_paper_and_rises_and_falls_by_default() -> None:
    assert {step_size(i, 40, PAPER) for i in range(40)} == {PAPER.learning_rate}
    rates = [step_size(i, 40, SMALL) for i in range(40)]
    assert max(rates) == rates[3] == rates[4] == SMALL.learning_rate
    assert sorted(rates[:4]) == rates[:4]
    assert sorted(rates[4:], reverse=True) == rates[4:]
    assert 0 < rates[-1] < 0.01 * SMALL.learning_rate
    assert step_size(0, 1, SMALL) == SMALL.learning_rate


@given(data=st.data(), n=st.integers(1, 6), reach=st.integers(1, 20), with_distant=st.booleans())
def test_tiles_within_reach_of_each_other_on_any_date_are_near(
    data: st.DataObject, n: int, reach: int, with_distant: bool
) -> None:
    corner = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 3))
    anchor, neighbour, distant = (
        np.array(data.draw(st.lists(corner, min_size=n, max_size=n)), np.int32) for _ in range(3)
    )
    found = near(Triplets(anchor, neighbour, distant), np.arange(n), reach_px=reach, with_distant=with_distant)
    tiles = np.concatenate([anchor, neighbour, distant] if with_distant else [anchor, neighbour]).tolist()
    for i in range(2 * n):
        for j, other in enumerate(tiles):
            assert found[i, j] == (abs(tiles[i][0] - other[0]) <= reach and abs(tiles[i][1] - other[1]) <= reach)


def test_tiles_of_one_zone_are_near_whatever_their_place() -> None:
    corners = np.array([[0, 0, 0], [90, 0, 0]], np.int32)
    triplets = Triplets(corners, corners, corners, np.array([[1, 2], [3, 1]], np.int32))
    found = near(triplets, np.arange(2), reach_px=5, with_distant=True)
    zones = np.array([1, 3, 1, 3, 2, 1])
    np.testing.assert_array_equal(found, zones[:4, None] == zones)


def test_no_triplets_are_refused(reader: TileReader) -> None:
    empty = np.empty((0, 3), np.int32)
    with pytest.raises(InputError, match="no triplets"):
        next(train(reader, Triplets(empty, empty, empty), SMALL))


@pytest.mark.parametrize("change", [{"rng": 2}, {"settings": replace(SMALL, learning_rate=0.5)}])
def test_a_state_of_another_training_is_refused(
    reader: TileReader, triplets: Triplets, change: dict[str, object]
) -> None:
    state = next(train(reader, triplets, SMALL, rng=1))
    how = {"settings": SMALL, "rng": 1, **change}
    with pytest.raises(InputError, match="of another training"):
        next(train(reader, triplets, state=state, **how))  # type: ignore[arg-type]


def test_an_encoder_of_other_bands_is_refused(reader: TileReader, triplets: Triplets, cube: xr.DataArray) -> None:
    start: Encoder = encoder_from(finish(reader, triplets))
    other = TileReader(cube.assign_coords(band=["B1", "B9"]), 8)
    with pytest.raises(InputError, match=r"\('B1', 'B2'\), the cube has \('B1', 'B9'\)"):
        next(train(other, triplets, SMALL, start=start))


def test_a_loss_that_is_no_number_stops_the_training_with_advice(reader: TileReader, triplets: Triplets) -> None:
    with pytest.raises(TrainingError, match="lower learning_rate"):
        finish(reader, triplets, replace(PAPER, learning_rate=1e38, epochs=5))


def test_an_encoder_file_is_not_taken_for_a_state(reader: TileReader, triplets: Triplets, tmp_path: Path) -> None:
    encoder_from(finish(reader, triplets)).save(tmp_path / "e.safetensors")
    with pytest.raises(InputError, match="holds 'encoder', wanted is 'training state'"):
        TrainState.load(tmp_path / "e.safetensors")
