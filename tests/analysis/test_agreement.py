from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from taxoscape.analysis.agreement import agreement
from taxoscape.analysis.representatives import representatives
from taxoscape.errors import InputError
from taxoscape.grid import Grid
from tests.analysis.test_dates import gappy, partition
from tests.analysis.test_distances import naive as naive_distance
from tests.builders import a_lattice, a_series, blobs
from tests.builders import plain_cluster as cluster


def test_a_renamed_truth_agrees_fully():
    truth = np.array([1, 1, 2, 2, 3, 0])
    found = agreement(np.array([3, 3, 1, 1, 2, 2]), truth)
    assert found == {"nmi": 1.0, "ari": 1.0, "purity": 1.0, "n_tiles": 5}


def test_purity_is_the_share_of_the_commonest_class_of_each_zone():
    found = agreement(np.array([1, 1, 1, 2, 2]), np.array([1, 1, 2, 2, 3]))
    assert found["purity"] == pytest.approx(3 / 5)


def test_tiles_without_zone_or_label_are_not_scored_and_none_at_all_is_refused():
    assert agreement(np.array([0, 1, 2, 2]), np.array([1, 1, 2, 0]))["n_tiles"] == 2
    with pytest.raises(InputError, match="no tile has both"):
        agreement(np.array([0, 1]), np.array([1, 0]))


def test_a_negative_class_is_a_label():
    assert agreement(np.array([1, 1, 2, 2]), np.array([-1, -1, 5, 0])) == agreement(
        np.array([1, 1, 2, 2]), np.array([7, 7, 5, 0])
    )


def test_representatives_are_the_members_nearest_to_their_centroid_under_the_sum_of_norms():
    values, _ = blobs((20, 15, 2), apart=5.0)
    series = a_series(values)
    zones = cluster(series, n_clusters=3)
    found = representatives(series, zones, count=3)
    labels, centroids = zones["labels"].to_numpy(), zones["centroids"].to_numpy()
    for zone in range(3):
        d = np.linalg.norm(values - centroids[zone], axis=2).sum(axis=1)
        members = [i for i in np.argsort(d, kind="stable") if labels[i] == zone + 1][:3]
        assert found[zone].tolist() == members + [-1] * (3 - len(members))


def test_representatives_do_not_overlap_and_the_nearest_come_first():
    grid = Grid.over(a_lattice(70, 90), tile_size=20, stride=10)
    values = np.random.default_rng(0).normal(size=(grid.n_tiles, 2, 3))
    series = a_series(values, grid)
    zones = cluster(series, n_clusters=1)
    found = representatives(series, zones, count=40)[0]
    distance = np.linalg.norm(values - zones["centroids"].to_numpy()[0], axis=2).sum(axis=1)
    expected: list[int] = []
    for tile in np.argsort(distance, kind="stable"):
        apart = [np.abs(grid.corners[tile] - grid.corners[other]).max() >= 20 for other in expected]
        expected += [int(tile)] if all(apart) else []
    assert found.tolist() == expected + [-1] * (40 - len(expected))
    assert 3 < len(expected) < grid.n_tiles / 4


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 4))
def test_agreement_is_scikit_learns_and_purity_that_of_a_loop(seed, k, classes):
    rng = np.random.default_rng(seed)
    labels, truth = rng.integers(0, k + 1, 20), rng.integers(-1, classes + 1, 20)
    labels[0], truth[0] = k, classes  # some tile has both
    labels[1], truth[1] = k + 1, 1  # and a zone of one tile
    found = agreement(labels, truth)
    pairs = [(int(z), int(c)) for z, c in zip(labels, truth, strict=True) if z > 0 and c != 0]
    zones, names = zip(*pairs, strict=True)
    right = 0
    for zone in set(zones):
        own = [c for z, c in pairs if z == zone]
        right += max(own.count(c) for c in set(own))
    assert found["n_tiles"] == len(pairs)
    assert found["purity"] == pytest.approx(right / len(pairs))
    assert found["ari"] == pytest.approx(adjusted_rand_score(names, zones))
    assert found["nmi"] == pytest.approx(normalized_mutual_info_score(names, zones))


@settings(max_examples=50)
@given(gappy(), st.integers(1, 4))
def test_representatives_are_those_of_a_naive_loop_with_missing_dates(case, count):
    values, labels, k = case
    series, zones = partition(values, labels, k)
    found = representatives(series, zones, count=count)
    seen = np.isfinite(values[:, :, 0])
    for zone in range(1, k + 1):
        members = np.flatnonzero(labels == zone)
        centroid = np.full(values.shape[1:], np.nan)
        for t in range(values.shape[1]):
            own = [values[i, t].astype(float) for i in members if seen[i, t]]
            if own:
                centroid[t] = np.mean(own, axis=0)
        most = max((seen[i].sum() for i in members), default=0)
        cost = {int(i): (seen[i].sum() < 0.8 * most, naive_distance(values[i], centroid, "sumnorm")) for i in members}
        given_tiles = [int(i) for i in found[zone - 1] if i >= 0]
        assert len(given_tiles) == len(set(given_tiles)) == min(count, len(members))
        assert set(given_tiles) <= set(cost)
        best = sorted(cost.values())[: len(given_tiles)]
        for tile, (few, distance) in zip(given_tiles, best, strict=True):
            assert cost[tile] == (few, pytest.approx(distance, rel=1e-5, abs=1e-5))
