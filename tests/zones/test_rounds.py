"""Rounds of refinement: when one is kept, when they end, and what stands then."""

from __future__ import annotations

import math

import numpy as np
import pytest

from taxoscape.zones import rounds
from taxoscape.zones.clustering import cluster
from taxoscape.zones.metric import by_chance
from taxoscape.zones.rounds import TOLERANCE, in_rounds, together
from tests.builders import a_grid, a_series

SIZE = 16


def a_map(noise: float, seed: int = 0):
    """Return series of four quarters of a map, the more torn the more noise there is."""
    rng = np.random.default_rng(seed)
    rows, cols = np.divmod(np.arange(SIZE**2), SIZE)
    centres = np.array([[0, 0], [4, 0], [0, 4], [4, 4]])[2 * (rows >= SIZE // 2) + (cols >= SIZE // 2)]
    values = np.repeat(centres[:, None], 3, axis=1) + noise * rng.normal(size=(SIZE**2, 3, 2))
    return a_series(values, a_grid(SIZE, SIZE))


def rounds_of(noises, *, first=4.0, **settings):
    """Return what stands after rounds whose series have the given noise, and the numbers of the rounds made."""
    series, asked = a_map(first), []
    zones = cluster(series, n_clusters=4, rng=0)

    def make(number, stands):
        asked.append((number, stands["labels"].to_numpy().copy()))
        return a_map(noises[number - 1])

    usual = {"rounds": len(noises), "accept": True, "starts": 3, "rng": 0, **settings}
    return zones, in_rounds(zones, make, **usual), asked


def test_rounds_that_make_zones_clearer_are_kept_until_they_come_to_rest():
    _, found, asked = rounds_of([2.8, 1.8, 1.8, 1.8])
    assert [row.kept for row in found.rounds] == [True] * len(found.rounds)
    assert len(found.rounds) == 3  # the third moved nothing
    assert found.kept == 3
    assert found.rounds[-1].moved_share == 0
    assert [number for number, _ in asked] == [1, 2, 3]
    np.testing.assert_array_equal(found.zones["labels"], asked[-1][1])


def test_a_round_that_tears_the_zones_is_not_kept_and_ends_them():
    _, found, asked = rounds_of([2.5, 9.0, 0.1])
    assert [row.kept for row in found.rounds] == [True, False]
    assert found.kept == 1
    np.testing.assert_array_equal(found.zones["labels"], asked[1][1])
    assert found.rounds[1].reason.startswith("round 2 was not kept: of neighbouring tiles ")
    assert not found.rounds[0].reason


def test_where_no_round_is_kept_the_first_zones_stand():
    zones, found, _ = rounds_of([12.0, 0.1])
    assert found.kept == 0
    assert len(found.rounds) == 1
    assert found.zones.identical(zones)


def test_without_the_test_every_round_is_kept():
    _, found, _ = rounds_of([12.0], accept=False)
    assert found.kept == 1
    assert found.rounds[0].together < found.rounds[0].together_before - TOLERANCE


def test_zones_keep_their_numbers_over_the_rounds():
    zones, found, _ = rounds_of([1.0, 0.5], first=1.5)
    assert (zones["labels"].to_numpy() == found.zones["labels"].to_numpy()).mean() > 0.8


def test_what_counts_are_neighbours_of_one_zone():
    labels = np.zeros(SIZE**2, np.uint8)
    labels[: SIZE * 8], labels[SIZE * 8 :] = 1, 2
    zones = cluster(a_map(0.1), n_clusters=2, rng=0).assign(labels=("tile", labels))
    assert together(zones) == pytest.approx(1 - SIZE / (2 * SIZE * (SIZE - 1)))
    alone = cluster(a_series(np.eye(2)[:, None], a_grid(1, 2)).isel(tile=[0, 1]), n_clusters=2)
    assert together(alone) == 0
    assert math.isnan(together(alone.assign(labels=("tile", np.array([1, 0], np.uint8)))))


@pytest.mark.parametrize(("fall", "kept"), [(-0.1, True), (0.0, True), (0.8, True), (1.2, False)])
def test_a_round_may_lower_the_share_of_neighbours_a_little(monkeypatch, fall, kept):
    most = TOLERANCE + by_chance(0.6, 2 * SIZE * (SIZE - 1))
    shares = iter([0.6, 0.6 - fall * most])
    monkeypatch.setattr(rounds, "together", lambda _zones: next(shares))
    _, found, _ = rounds_of([0.3])
    assert found.rounds[0].kept is kept
    if not kept:
        told = f"of neighbouring tiles 60.0% were of one zone before it, {0.6 - fall * most:.1%} after"
        assert told in found.rounds[0].reason
