from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from taxoscape.errors import InputError
from taxoscape.zones import evidence as module
from taxoscape.zones.evidence import choose, distinct_rows, evidence_of, mean_agreement, prediction_strength
from tests.builders import a_series, blobs
from tests.builders import plain_evidence as evidence


@pytest.fixture(scope="module")
def four():
    """Evidence of 120 tiles in four clear blobs, two of their dates missing here and there."""
    values, truth = blobs((50, 40, 20, 10), times=5, seed=4)
    values[np.random.default_rng(1).random(values.shape[:2]) < 0.2] = np.nan
    values[7] = np.nan
    series = a_series(values)
    return series, truth, evidence(series, most=8)


def test_four_clear_blobs_are_four_zones_and_the_reason_says_why(four):
    _series, truth, found = four
    assert found.chosen == 4
    assert found.reason.startswith("4 zones: the largest number of which even the weakest zone is found again")
    assert "with 5, " in found.reason
    assert found.stability[2] > found.stability[3]
    assert found.strength[2] > 0.7 > found.strength[3]
    seen = np.arange(len(truth)) != 7
    assert adjusted_rand_score(truth[seen], found.chosen_labels[seen]) > 0.95


def test_a_tile_without_a_date_is_zone_0_and_zones_are_numbered_by_size(four):
    _, _, found = four
    assert found.labels.dtype == np.uint8
    assert found.labels.shape == (120, 7)
    assert not found.labels[7].any()
    for k, column in zip(found.ks, found.labels.T, strict=True):
        sizes = np.bincount(column, minlength=k + 1)[1:]
        assert sizes.min() > 0
        assert (np.diff(sizes) <= 0).all()


@settings(max_examples=5)
@given(st.integers(0, 10_000), st.sampled_from([(40, 6), (30, 90), (70, 68)]))
def test_the_error_is_that_of_the_labels(seed, shape):
    matrix = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    found = evidence_of(matrix, most=3, rng=seed)
    for k, column, inertia in zip(found.ks, found.labels.T, found.inertia_mean, strict=True):
        members = [matrix[column == zone].astype(np.float64) for zone in range(1, k + 1)]
        naive = sum(((part - part.mean(axis=0)) ** 2).sum() for part in members) / len(matrix)
        assert inertia == pytest.approx(naive, rel=1e-4)


def test_the_partitions_are_about_as_good_as_those_of_scikit_learn():
    from sklearn.cluster import KMeans

    matrix = blobs((40, 30, 20, 20, 10), times=8, features=12, apart=0.5)[0].reshape(120, -1)
    found = evidence_of(matrix, most=6)
    for k, inertia in zip(found.ks, found.inertia_mean, strict=True):
        assert inertia <= KMeans(int(k), n_init=10, random_state=0).fit(matrix).inertia_ / len(matrix) * 1.02


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(2, 5))
def test_agreement_is_the_mean_of_scikit_learns_index_over_pairs_whatever_the_zones_are_called(seed, n, k):
    rng = np.random.default_rng(seed)
    partitions = [rng.integers(0, k, 30) for _ in range(n)]
    naive = np.mean([adjusted_rand_score(a, b) for a, b in itertools.combinations(partitions, 2)])
    mean, error = mean_agreement(partitions)
    assert mean == pytest.approx(naive)
    renamed = [rng.permutation(k)[partition] for partition in partitions]
    assert mean_agreement(renamed) == pytest.approx((mean, error), nan_ok=True)
    if n > 2:
        left = [
            np.mean(
                [adjusted_rand_score(a, b) for a, b in itertools.combinations(partitions[:i] + partitions[i + 1 :], 2)]
            )
            for i in range(n)
        ]
        assert error == pytest.approx(np.sqrt((n - 1) * np.var(left)))


def test_agreement_needs_two_partitions_and_its_error_three():
    one = np.array([0, 0, 1])
    assert np.isnan(mean_agreement([])).all()
    assert np.isnan(mean_agreement([one])).all()
    assert mean_agreement([one, one])[0] == 1.0
    assert np.isnan(mean_agreement([one, one])[1])


def test_the_same_seed_gives_the_same_evidence_bit_for_bit():
    series = a_series(blobs((20, 20, 10), apart=0.6)[0])
    one, two, other = (evidence(series, most=6, rng=seed) for seed in (3, 3, 4))
    for name in ("ks", "inertia_mean", "stability", "stability_error", "strength", "labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (one.chosen, one.reason) == (two.chosen, two.reason)
    assert not np.array_equal(one.stability, other.stability)


def test_the_order_of_features_does_not_matter_to_the_choice():
    values, _ = blobs((30, 20, 15))
    turned = evidence(a_series(values[..., ::-1]), most=6)
    assert turned.chosen == evidence(a_series(values), most=6).chosen == 3


def test_tiles_that_are_all_alike_are_one_zone():
    found = evidence(a_series(np.ones((6, 2, 3))))
    assert found.ks.tolist() == [1]
    assert found.chosen == 1
    assert found.chosen_labels.tolist() == [1] * 6
    assert np.isnan(found.stability).all()
    assert found.reason == "1 zone: all tiles are alike."


@pytest.mark.parametrize(("different", "most"), [(2, 2), (3, 3), (20, 15)])
def test_no_more_zones_are_tried_than_there_are_different_tiles(different, most):
    values = np.random.default_rng(0).normal(size=(different, 2, 3))[np.arange(20) % different]
    found = evidence(a_series(values))
    assert found.ks.tolist() == list(range(2, most + 1))
    assert 2 <= found.chosen <= most


def test_two_different_tiles_are_two_zones_that_cannot_be_judged():
    found = evidence(a_series(np.arange(6.0).reshape(2, 1, 3)))
    assert found.chosen == 2
    assert found.labels.ravel().tolist() == [1, 2]


def test_noise_reaches_no_stable_number_and_the_reason_warns():
    found = evidence(a_series(np.random.default_rng(0).normal(size=(200, 4, 8))), most=6)
    assert found.stability.max() < 0.5
    assert "no number from 2 to 6 reaches 70%" in found.reason
    assert found.strength[found.chosen - 2] == found.strength.max()


def test_a_large_region_is_judged_on_a_sample_but_partitioned_whole(monkeypatch):
    monkeypatch.setattr(module, "SAMPLE_TILES", 60)
    values, truth = blobs((80, 70, 50), times=4, features=20)
    found = evidence(a_series(values), most=5)
    assert found.chosen == 3
    assert adjusted_rand_score(truth, found.chosen_labels) == 1.0


def test_tiles_that_differ_only_outside_the_sample_are_partitioned_too(monkeypatch):
    monkeypatch.setattr(module, "SAMPLE_TILES", 2)
    matrix = np.zeros((400, 70), dtype=np.float32)
    matrix[0, 3], matrix[1, 5] = 9, 9
    found = evidence_of(matrix)
    assert found.ks.tolist() == [2, 3]
    assert len(np.unique(found.labels[:, 1])) == 3
    assert found.inertia_mean[1] == pytest.approx(0)


@pytest.mark.parametrize(
    ("strength", "chosen", "words"),
    [
        ([0.99, 0.95, 0.60], 3, "95% of its pairs of tiles stay together, 70% are asked; with 4, 60%"),
        ([0.40, 0.95, 0.69], 3, "with 4, 69%"),
        ([0.40, 0.40, 0.70], 4, "4 was the most tried"),
        ([0.99, 0.95, np.nan], 3, "4 could not be judged"),
        ([0.50, 0.65, 0.60], 3, "no number from 2 to 4 reaches 70%"),
        ([0.50, np.nan, np.nan], 2, "that is below 70%"),
        ([np.nan] * 3, 2, "too few different tiles"),
    ],
)
def test_the_rule_takes_the_largest_number_that_is_found_again_and_says_what_comes_after(strength, chosen, words):
    k, reason = choose(np.arange(2, 5), np.array(strength))
    assert k == chosen
    assert reason.startswith(f"{chosen} zones")
    assert words in reason


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(2, 5))
def test_prediction_strength_equals_a_naive_loop_whatever_the_zones_are_called(seed, n, k):
    rng = np.random.default_rng(seed)
    partitions = [rng.integers(0, k, 12) for _ in range(n)]

    def weakest(one, other):
        shares = []
        for zone in range(k):
            pairs = list(itertools.combinations(np.flatnonzero(one == zone), 2))
            if pairs:
                shares.append(np.mean([other[i] == other[j] for i, j in pairs]))
        return min(shares)

    naive = np.mean([weakest(a, b) for a, b in itertools.permutations(partitions, 2)])
    assert prediction_strength(partitions, k) == pytest.approx(naive)
    assert prediction_strength([rng.permutation(k)[p] for p in partitions], k) == pytest.approx(naive)


def test_prediction_strength_is_one_for_the_same_partition_and_less_where_a_zone_is_cut():
    whole = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert prediction_strength([whole, whole], 2) == 1.0
    cut, across = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 0, 1, 2, 1, 2])
    assert prediction_strength([cut, across], 3) == 0.0
    assert prediction_strength([whole, cut], 3) == pytest.approx((1 / 3 + 1) / 2)
    assert np.isnan(prediction_strength([whole], 2))
    assert np.isnan(prediction_strength([np.arange(3), np.arange(3)], 3))


def test_different_rows_are_counted_up_to_enough():
    rows = np.array([[0, 1], [0, 1], [2, 1], [3, 3]], dtype=np.float32)
    assert distinct_rows(rows, 9) == 3
    assert distinct_rows(rows, 2) == 2


@pytest.mark.parametrize("most", [1, 0, 2.5, True])
def test_a_sweep_to_fewer_than_two_zones_is_refused(most):
    with pytest.raises(InputError, match="goes from 2 to a whole number"):
        evidence(a_series(blobs((3, 3))[0]), most=most)


def test_a_region_without_a_date_is_refused():
    with pytest.raises(InputError, match="no tile counts on any date"):
        evidence(a_series(np.full((4, 2, 3), np.nan)))
