from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from taxoscape.config import PRESETS, EncoderSettings, RefineSettings
from taxoscape.embedding.encoder import Encoder, load_encoder
from taxoscape.embedding.fit import (
    CollapseWarning,
    blended,
    collapse_of,
    encoder_from,
    refinement_settings,
    refinement_triplets,
    train_encoder,
    untrained,
)
from taxoscape.embedding.tiles import TileReader
from taxoscape.embedding.training import TrainState, train
from taxoscape.errors import InputError
from taxoscape.testing.region import Region, region_cube
from tests.builders import a_grid
from tests.embedding.conftest import SMALL
from tests.embedding.cubes import a_cube, noise

CORNERS = np.array([[r, c, t] for t in range(2) for r in (0, 17, 30) for c in (0, 25, 50)], np.int32)


def test_an_encoder_puts_near_tiles_nearer_than_distant_ones_and_says_how_often(cube: xr.DataArray) -> None:
    encoder = train_encoder(cube, tile_size=8, settings=replace(SMALL, triplets=200, epochs=4), rng=0)
    about = encoder.metadata["training"]
    assert about["held_out_accuracy"] > 0.65
    assert 0.05 < about["spread"] <= 1
    assert encoder.metadata["settings"]["triplets"] == 200
    vectors = encoder.embed(*TileReader(cube, 8).read(CORNERS))
    west, east = vectors[CORNERS[:, 1] == 0], vectors[CORNERS[:, 1] == 50]
    assert (west @ west.T).mean() > (west @ east.T).mean() + 0.1


def test_the_same_seed_gives_the_same_encoder(cube: xr.DataArray) -> None:
    first, again, other = (train_encoder(cube, tile_size=8, settings=SMALL, rng=seed).to_bytes() for seed in (7, 7, 8))
    assert first == again != other
    generators = (train_encoder(cube, tile_size=8, settings=SMALL, rng=np.random.default_rng(7)) for _ in range(2))
    assert len({encoder.to_bytes() for encoder in generators}) == 1


@pytest.mark.parametrize("loss", ["contrastive", "triplet"])
def test_a_collapse_is_noticed_and_said(loss: str) -> None:
    flat = a_cube(np.full((2, 1, 40, 56), 90, np.uint8))
    with pytest.warns(CollapseWarning, match="the encoder has collapsed.*learning_rate"):
        encoder = train_encoder(flat, tile_size=8, settings=replace(SMALL, loss=loss))
    assert encoder.metadata["training"]["spread"] < 1e-6
    assert collapse_of(encoder, TileReader(flat, 8), CORNERS[:4]) < 1e-6


def test_an_encoder_that_works_is_not_called_collapsed(cube: xr.DataArray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = train_encoder(cube, tile_size=8, settings=SMALL)
    assert collapse_of(encoder, TileReader(cube, 8), CORNERS) > 0.05


def test_statistics_stand_beside_what_is_learnt_with_equal_shares(cube: xr.DataArray) -> None:
    encoder = train_encoder(cube, tile_size=8, settings=SMALL)
    bands, own = len(encoder.bands), encoder.recipe.n_features
    assert encoder.n_features == own + 2 * bands
    tiles, valid = TileReader(cube, 8).read(CORNERS)
    vectors, alone = encoder.embed(tiles, valid), encoder.without_statistics().embed(tiles, valid)
    np.testing.assert_allclose(vectors[:, :own], encoder.recipe.weights[0] * alone, rtol=1e-5, atol=1e-6)
    known = np.where(valid[:, None], encoder.recipe.scaling.apply(tiles, valid).astype(np.float64), np.nan)
    expected = np.concatenate(
        [encoder.recipe.weights[1] * np.nanmean(known, (2, 3)), encoder.recipe.weights[2] * np.nanstd(known, (2, 3))], 1
    )
    np.testing.assert_allclose(vectors[:, own:], expected, rtol=1e-4, atol=1e-5)
    many = np.array([[r, c, t] for t in range(2) for r in range(0, 32, 4) for c in range(0, 48, 4)], np.int32)
    found = encoder.embed(*TileReader(cube, 8).read(many)).astype(np.float64)
    for date in range(2):
        found[many[:, 2] == date] -= found[many[:, 2] == date].mean(axis=0)
    shares = [np.square(part).sum(axis=1).mean() for part in np.split(found, [own, own + bands], axis=1)]
    np.testing.assert_allclose(shares, 1, atol=0.35)  # measured on other tiles


def test_statistics_are_left_out_where_asked_and_travel_with_the_encoder(cube: xr.DataArray, tmp_path: Path) -> None:
    plain = train_encoder(cube, tile_size=8, settings=replace(SMALL, statistics=False))
    assert plain.n_features == plain.recipe.n_features == SMALL.n_features
    carrying = train_encoder(cube, tile_size=8, settings=SMALL)
    np.testing.assert_array_equal(
        carrying.without_statistics().embed(*TileReader(cube, 8).read(CORNERS)),
        plain.embed(*TileReader(cube, 8).read(CORNERS)),
    )
    carrying.save(tmp_path / "e.safetensors")
    again = load_encoder(tmp_path / "e.safetensors")
    assert again.recipe == carrying.recipe
    tiles = TileReader(cube, 8).read(CORNERS)
    np.testing.assert_array_equal(again.embed(*tiles), carrying.embed(*tiles))


def test_progress_is_told_step_by_step(cube: xr.DataArray) -> None:
    seen: list[tuple[str, int, int]] = []

    def track(things, label, total, done=0):  # type: ignore[no-untyped-def]
        for i, thing in enumerate(things):
            seen.append((label, i + 1, total))
            yield thing

    train_encoder(cube, tile_size=8, settings=SMALL, track=track)
    assert seen[-1][1] == seen[-1][2] == len(seen)


def test_a_region_of_twenty_tiles_one_date_and_few_triplets_is_enough() -> None:
    cube = a_cube(noise(1, 1, 32, 40))
    assert train_encoder(cube, tile_size=8, settings=replace(SMALL, triplets=40)).n_features == 8 + 2


def test_a_region_without_distant_tiles_is_refused() -> None:
    with pytest.raises(InputError, match=r"nothing can be learnt.*--tile-size"):
        train_encoder(a_cube(noise(1, 1, 15, 15)), tile_size=8, settings=SMALL)


def refined_states(
    cube: xr.DataArray, encoder: Encoder, labels: np.ndarray, refine: RefineSettings, state: TrainState | None = None
) -> Iterator[TrainState]:
    """Yield the states of the second training on a grid of 5 × 7 tiles of 8 px, all seen on 3 dates."""
    settings = refinement_settings(encoder, None, refine)
    triplets = refinement_triplets(
        a_grid(5, 7, 8), labels, np.ones((35, 3), bool), settings=settings, refine=refine, rng=3
    )
    return train(TileReader(cube, 8), triplets, settings, rng=3, start=encoder, state=state)


def test_refinement_trains_an_encoder_further_towards_its_clusters(cube: xr.DataArray) -> None:
    encoder = train_encoder(cube, tile_size=8, settings=SMALL, rng=0)
    grid = a_grid(5, 7, 8)
    labels = np.arange(35) % 7 // 4 + 1  # the halves of the cube
    refine = RefineSettings(triplets_per_date=60, epochs=6, learning_rate=1e-3)
    *_, state = refined_states(cube, encoder, labels, refine)
    refined = encoder_from(state)
    assert refined.recipe == encoder.recipe

    def apart(of: object) -> float:
        pixels = TileReader(cube, 8).read(np.column_stack([grid.corners, np.zeros(35, int)]))
        vectors = of.embed(*pixels)  # type: ignore[attr-defined]
        like = vectors @ vectors.T
        same = labels[:, None] == labels
        return float(like[same].mean() - like[~same].mean())

    assert apart(refined) > apart(encoder)


def test_a_refinement_resumed_equals_an_uninterrupted_one(cube: xr.DataArray) -> None:
    encoder = train_encoder(cube, tile_size=8, settings=SMALL, rng=0)
    labels = np.arange(35) % 3 + 1
    refine = RefineSettings(triplets_per_date=20, epochs=2)
    *_, whole = refined_states(cube, encoder, labels, refine)
    state = TrainState.from_bytes(next(refined_states(cube, encoder, labels, refine)).to_bytes())
    *_, resumed = refined_states(cube, encoder, labels, refine, state)
    assert resumed.to_bytes() == whole.to_bytes()


def test_a_refinement_keeps_the_loss_that_the_encoder_was_trained_with(cube: xr.DataArray) -> None:
    encoder = train_encoder(cube, tile_size=8, settings=replace(SMALL, loss="triplet"))
    found = refinement_settings(encoder, None, RefineSettings(epochs=9, learning_rate=0.5))
    assert (found.loss, found.epochs, found.learning_rate, found.batch_size) == ("triplet", 9, 0.5, SMALL.batch_size)
    explicit = refinement_settings(encoder, EncoderSettings(), RefineSettings(epochs=9))
    assert (explicit.loss, explicit.epochs) == ("contrastive", 9)


def test_the_preset_paper_names_the_papers_training() -> None:
    settings = EncoderSettings(**PRESETS["paper"]["encoder"])
    assert (settings.network, settings.loss, settings.margin, settings.norm_penalty) == ("tilenet", "triplet", 50, 0.01)
    assert (settings.triplets, settings.epochs, settings.batch_size) == (100_000, 50, 50)
    assert (settings.learning_rate, settings.neighbourhood_px) == (1e-3, 100)


def test_tables_of_triplets_are_drawn_without_loading_torch() -> None:
    code = (
        "import sys, taxoscape.embedding.triplets, taxoscape.embedding.tiles, taxoscape.embedding.scaling; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("loss", ["contrastive", "triplet"])
def test_telling_dates_apart_is_no_merit_and_hides_no_collapse(loss: str) -> None:
    values = np.full((4, 1, 60, 60), 100, np.uint8) + np.arange(0, 120, 30, dtype=np.uint8)[:, None, None, None]
    cube = a_cube(values)
    with pytest.warns(CollapseWarning, match="places on a date differ by only"):
        encoder = train_encoder(cube, tile_size=8, settings=replace(SMALL, loss=loss), rng=0)
    assert encoder.metadata["training"]["held_out_accuracy"] < 0.7


def test_where_no_date_has_room_for_held_out_triplets_the_encoder_is_kept_unmeasured() -> None:
    valid = np.zeros((2, 40, 60), bool)
    valid[0, :, :16], valid[1, :, 44:] = True, True  # each date alone lies within one neighbourhood
    cube = a_cube(noise(2, 1, 40, 60), valid)
    settings = replace(SMALL, neighbourhood_px=35)
    encoder = train_encoder(cube, tile_size=8, settings=settings, rng=0, min_valid=1.0)
    assert "held_out_accuracy" not in encoder.metadata["training"]


def test_the_papers_loss_is_refined_as_in_the_paper_and_what_is_given_holds() -> None:
    ours, papers = EncoderSettings(), EncoderSettings(loss="triplet")
    usual = RefineSettings().after(ours)
    assert (usual.epochs, usual.learning_rate, usual.core_share, usual.blend) == (3, 2e-3, 0.7, 0.5)
    preset = RefineSettings(**PRESETS["paper"]["refine"])
    assert RefineSettings().after(papers) == preset.after(papers) == preset.after(ours)
    assert RefineSettings(blend=0.25).after(papers).blend == 0.25


def test_the_number_of_triplets_for_refinement_is_shared_among_the_dates() -> None:
    assert RefineSettings().per_date(8, EncoderSettings()) == 500
    assert RefineSettings().per_date(63, EncoderSettings()) * 63 == pytest.approx(4000, rel=0.02)
    assert RefineSettings(triplets_per_date=7).per_date(63, EncoderSettings()) == 7
    assert RefineSettings().per_date(20, EncoderSettings(loss="triplet", triplets=100_000)) == 100  # as the paper does


def test_a_blended_encoder_lies_between_the_two_it_is_made_of():
    cube = region_cube(Region(seed=1, height=60, width=60, n_zones=2, dates=1))
    first, second = (untrained(cube, network="fast", tile_size=10, rng=seed) for seed in (0, 1))
    second = replace(second, recipe=first.recipe)  # as training keeps it
    half = blended(first, second, 0.5)
    for name, tensor in half.network.state_dict().items():
        old, new = first.network.state_dict()[name], second.network.state_dict()[name]
        want = (old + new) / 2 if tensor.is_floating_point() else new
        assert torch.allclose(tensor, want, atol=1e-7), name
    assert blended(first, second, 1.0) is second
    tiles = np.random.default_rng(0).integers(0, 255, (3, 3, 10, 10)).astype(np.uint8)
    assert np.array_equal(blended(first, second, 0.0).embed(tiles), first.embed(tiles))
