"""The benchmark of shortcuts: each measure finds what was put in, and nothing where nothing was."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import shortcuts

    yield shortcuts
    for name in ("shortcuts", "evidence"):
        sys.modules.pop(name, None)


@pytest.fixture
def noise():
    return np.random.default_rng(0).standard_normal((400, 3, 4))


def test_what_differs_by_date_alone_is_all_between_dates_and_noise_is_not(module, noise):
    dates = np.arange(3.0)[None, :, None] * np.ones((400, 1, 4))
    assert module.share_of_dates(dates) == pytest.approx(1)
    assert module.share_of_dates(noise) < 0.02
    gappy = noise.copy()
    gappy[:200, 0] = np.nan
    assert module.share_of_dates(gappy + dates) == pytest.approx(module.share_of_dates(noise + dates), abs=0.05)


def test_position_is_found_where_vectors_hold_it_and_not_where_they_hold_the_kind_of_land_alone(module, noise):
    places = np.indices((20, 20)).reshape(2, -1).T
    truth = 1 + (places[:, 0] >= 10)
    assert abs(module.position_found(noise + 5 * truth[:, None, None], places, truth)) < 0.05
    told = noise.copy()
    told[:, :, :2] += 10 * places[:, None]
    assert module.position_found(told, places, truth) > 0.95


def test_a_veil_moves_pixels_towards_white_by_a_sixth_and_keeps_their_type(module):
    tiles = np.zeros((1, 1, 10, 10), np.uint8)
    tiles[0, 0, :5] = 240
    veiled = module.under_a_veil(tiles, np.ones((1, 10, 10), bool))
    assert veiled.dtype == np.uint8
    assert set(np.unique(veiled)) == {40, 240}


def test_pairs_are_of_one_date_and_never_a_tile_with_itself(module):
    dates = np.array([2, 0, 2, 1, 0, 2])
    first, second = module.pairs_of_a_date(dates)
    assert (dates[first] == dates[second]).all()
    assert (first != second).all()
    assert len(first) == 3
