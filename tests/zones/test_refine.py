from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import taxoscape as tx
from taxoscape.config import EncoderSettings, RefineSettings
from taxoscape.errors import InputError
from taxoscape.testing.region import Region, region_cube
from taxoscape.zones.refine import core_labels

QUICK = EncoderSettings(triplets=120, epochs=1, batch_size=32)
LITTLE = RefineSettings(triplets_per_date=30, epochs=1)


@pytest.fixture(scope="module")
def cube():
    return region_cube(Region(seed=3, height=90, width=130, n_zones=3, dates=2))


@pytest.fixture(scope="module")
def encoder(cube):
    return tx.train_encoder(cube, tile_size=10, settings=QUICK, rng=0)


@pytest.mark.filterwarnings("ignore:overlapping tiles")
@pytest.mark.parametrize("how", [{}, {"partial": "keep"}, {"stride": 5}])
def test_the_refined_series_lie_on_the_grid_of_the_zones(how, cube, encoder):
    series = tx.encode(cube[:, :, :, :126], encoder, **how)
    zones = tx.cluster(series, n_clusters=3, rng=0)
    refined = tx.refine(cube[:, :, :, :126], encoder, zones, settings=LITTLE, rng=0)
    assert refined.series.attrs["grid"] == zones.attrs["grid"] == refined.zones.attrs["grid"]
    assert refined.zones.sizes == zones.sizes
    assert not np.array_equal(refined.series["embedding"], series["embedding"])


def test_zones_keep_their_numbers_and_the_encoder_is_judged(cube, encoder):
    zones = tx.cluster(tx.encode(cube, encoder), n_clusters=3, rng=0)
    refined = tx.refine(cube, encoder, zones, settings=LITTLE, rng=0)
    both = np.stack([zones["labels"], refined.zones["labels"]])
    assert (both[0] == both[1]).mean() > 0.5
    assert 0 <= refined.encoder.metadata["training"]["spread"] <= 1


def test_a_generator_serves_as_a_seed(cube, encoder):
    zones = tx.cluster(tx.encode(cube, encoder), n_clusters=2, rng=0)
    one, two = (tx.refine(cube, encoder, zones, settings=LITTLE, rng=np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one.zones["labels"], two.zones["labels"])


def test_one_zone_gives_nothing_to_refine_with(cube, encoder):
    zones = tx.cluster(tx.encode(cube, encoder), n_clusters=1, rng=0)
    with pytest.raises(InputError, match=r"one zone only.*--zones.*--no-refine"):
        tx.refine(cube, encoder, zones, settings=LITTLE)


def test_zones_of_one_tile_each_give_nothing_to_refine_with(cube, encoder):
    series = tx.encode(cube[:, :, :30, :40], encoder)
    zones = tx.cluster(series, n_clusters=series.sizes["tile"], rng=0)
    with pytest.raises(InputError, match="two tiles in one of them"):
        tx.refine(cube[:, :, :30, :40], encoder, zones, settings=replace(LITTLE, epochs=1))


def test_the_core_of_a_zone_is_its_tiles_least_torn_between_zones() -> None:
    distances = np.array([[1, 9], [1, 2], [1, 4], [8, 1], [3, 2], [np.nan, np.nan]], np.float32)
    zones = xr.Dataset(
        {"labels": ("tile", np.array([1, 1, 1, 2, 2, 0], np.uint8)), "distances": (("tile", "zone"), distances)}
    )
    assert core_labels(zones, 0.6).tolist() == [1, 0, 1, 2, 2, 0]  # two of three; two at least
    assert core_labels(zones, 1.0).tolist() == [1, 1, 1, 2, 2, 0]


def test_one_zone_is_all_core() -> None:
    zones = xr.Dataset(
        {"labels": ("tile", np.array([1, 1], np.uint8)), "distances": (("tile", "zone"), np.ones((2, 1), np.float32))}
    )
    assert core_labels(zones, 0.5).tolist() == [1, 1]


@given(st.integers(0, 1000), st.floats(0.05, 1.0))
def test_every_zone_keeps_its_share_of_tiles_and_no_tile_changes_its_zone(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    distances = rng.random((40, 4)).astype(np.float32)
    labels = distances.argmin(axis=1) + 1
    zones = xr.Dataset({"labels": ("tile", labels), "distances": (("tile", "zone"), distances)})
    core = core_labels(zones, share)
    assert ((core == labels) | (core == 0)).all()
    for zone in range(1, 5):
        n = int((labels == zone).sum())
        assert (core == zone).sum() == min(n, max(2, int(np.ceil(share * n))))


def test_a_filled_series_stays_filled_and_triplets_are_of_what_was_seen(cube, encoder) -> None:
    valid = cube["valid"].to_numpy().copy()
    valid[1, :40, :60] = False
    clouded = cube.assign_coords(valid=(("time", "y", "x"), valid))
    series = tx.encode(clouded, encoder, fill=True)
    zones = tx.cluster(series, n_clusters=3, rng=0)
    assert np.isfinite(series["embedding"]).all()
    assert not zones["counts"].to_numpy()[:, 1].all()
    refined = tx.refine(clouded, encoder, zones, settings=LITTLE, rng=0)
    assert np.isfinite(refined.series["embedding"]).all()
    np.testing.assert_array_equal(refined.zones["counts"], zones["counts"])
