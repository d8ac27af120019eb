from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import silhouette_score

from taxoscape.analysis import distances as distances_module
from taxoscape.analysis import silhouette as module
from taxoscape.analysis.distances import pairwise
from taxoscape.analysis.silhouette import Estimate, affordable_tiles, silhouettes
from taxoscape.errors import InputError
from tests.analysis.test_distances import naive_pairwise, series
from tests.builders import blobs

seeds = st.integers(0, 10_000)
METRICS = ["flat", "sumnorm"]


def naive_scores(distances, labels):
    """Silhouettes of the tiles with a label, pair by pair."""
    scores, zones = [], sorted(set(labels) - {0})
    for i in np.flatnonzero(labels):
        mean = {}
        for zone in zones:
            known = [distances[i, j] for j in np.flatnonzero(labels == zone) if j != i and np.isfinite(distances[i, j])]
            if known:
                mean[zone] = np.mean(known)
        a = mean.pop(labels[i], None)
        b = min(mean.values(), default=None)
        scores.append(0.0 if a is None or b is None or max(a, b) == 0 else (b - a) / max(a, b))
    return np.array(scores)


def one(values, labels, metric="flat", **options):
    return silhouettes(values, labels[:, None], metric=metric, rng=0, **options)[0]


def test_the_silhouette_of_four_points_on_a_line():
    points = np.array([0.0, 1.0, 10.0, 11.0])[:, None, None]
    outer, inner = (10.5 - 1) / 10.5, (9.5 - 1) / 9.5
    found = one(points, np.array([1, 1, 2, 2]))
    assert found.value == pytest.approx((outer + inner) / 2)
    assert (found.half_width, found.n) == (0.0, 4)


@pytest.mark.parametrize("metric", METRICS)
@given(seed=seeds)
def test_without_gaps_silhouettes_equal_scikit_learn(metric, seed):
    rng = np.random.default_rng(seed)
    values, labels = series(rng, 20, gaps=0), rng.integers(1, 5, size=(20, 3))
    labels[:2] = [[1], [2]]
    if metric == "flat":
        expected = [silhouette_score(values.reshape(20, -1), column) for column in labels.T]
    else:
        distances = pairwise(values, values, metric=metric)
        expected = [silhouette_score(distances, column, metric="precomputed") for column in labels.T]
    found = silhouettes(values, labels, metric=metric, rng=0)
    assert [estimate.value for estimate in found] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
@given(seed=seeds)
def test_with_gaps_and_tiles_in_no_zone_silhouettes_equal_a_naive_loop(metric, seed):
    rng = np.random.default_rng(seed)
    values, labels = series(rng, 18, times=3, gaps=0.5), rng.integers(0, 5, size=(18, 3))
    labels[:2] = [[1], [4]]
    distances = naive_pairwise(values, values, metric)
    for estimate, column in zip(silhouettes(values, labels, metric=metric, rng=0), labels.T, strict=True):
        scores = naive_scores(distances, column)
        assert estimate.value == pytest.approx(scores.mean(), abs=1e-9)
        assert (estimate.half_width, estimate.n) == (0.0, len(scores))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("gaps", [0.0, 0.4])
def test_float32_in_blocks_equals_float64_in_one(metric, gaps, monkeypatch):
    rng = np.random.default_rng(1)
    values, truth = blobs((30, 20, 12, 1), apart=1.0)
    values[rng.random(values.shape[:2]) < gaps] = np.nan
    labels = np.stack([truth + 1, rng.integers(0, 3, size=63)], axis=1)
    whole = silhouettes(values, labels, metric=metric, rng=0)
    monkeypatch.setattr(distances_module, "_SIDE", 10)
    monkeypatch.setattr(distances_module, "FLOAT64_WORK", 0)
    for blockwise, expected in zip(silhouettes(values, labels, metric=metric, rng=0), whole, strict=True):
        assert blockwise.value == pytest.approx(expected.value, abs=1e-5)


def test_a_tile_alone_in_its_zone_scores_0():
    points = np.array([0.0, 1.0, 10.0])[:, None, None]
    found = one(points, np.array([1, 1, 2]))
    assert found.value == pytest.approx(((10 - 1) / 10 + (9 - 1) / 9 + 0) / 3)


def test_a_tile_without_a_date_scores_0_and_takes_no_part_in_the_others_means():
    points = np.array([0.0, 1.0, 10.0, 11.0, np.nan])[:, None, None]
    labels = np.array([1, 1, 2, 2, 1])
    assert one(points, labels).value == pytest.approx(one(points[:4], labels[:4]).value * 4 / 5)


def test_twins_in_two_zones_score_0():
    assert one(np.ones((4, 1, 2)), np.array([1, 1, 2, 2])).value == 0


@pytest.mark.parametrize("labels", [np.ones(5, dtype=int), np.zeros(5, dtype=int)], ids=["one zone", "no zone"])
def test_fewer_than_two_zones_have_no_silhouette(labels):
    values = np.arange(5.0)[:, None, None]
    beside = np.array([1, 1, 2, 2, 2])
    found = silhouettes(values, np.stack([labels, beside], axis=1), metric="flat", rng=0)
    assert np.isnan(found[0].value)
    assert found[1] == one(values, beside)
    assert np.isnan(one(values, labels).value)


@pytest.mark.parametrize("metric", METRICS)
def test_a_sample_takes_exact_silhouettes_and_its_interval_is_that_of_the_textbook(metric):
    rng = np.random.default_rng(2)
    values, labels = series(rng, 40, gaps=0.2), rng.integers(0, 4, size=40)
    members = np.flatnonzero(labels)
    chosen = np.sort(np.random.default_rng(0).choice(len(members), 12, replace=False))
    scores = naive_scores(naive_pairwise(values, values, metric), labels)[chosen]
    found = one(values, labels, metric, most=12)
    assert found.n == 12
    assert found.value == pytest.approx(scores.mean())
    error = np.sqrt((1 - 12 / len(members)) * scores.var(ddof=1) / 12)
    assert found.half_width == pytest.approx(1.96 * error, rel=1e-4)


def test_samples_are_right_on_average_and_19_of_20_intervals_hold_the_exact_value():
    values, truth = blobs((60, 50, 40), apart=0.7)
    labels = truth[:, None] + 1
    exact = silhouettes(values, labels, metric="flat", rng=0)[0]
    found = [silhouettes(values, labels, metric="flat", rng=seed, most=50)[0] for seed in range(300)]
    mean_error = np.mean([estimate.value - exact.value for estimate in found])
    spread = np.std([estimate.value for estimate in found])
    assert abs(mean_error) < 4 * spread / np.sqrt(300)
    held = np.mean([abs(estimate.value - exact.value) <= estimate.half_width for estimate in found])
    assert 0.91 <= held <= 0.99


def test_one_sample_serves_partitions_with_other_tiles_in_no_zone():
    values, truth = blobs((40, 40))
    some = np.where(np.arange(80) < 3, truth + 1, 0)
    found = silhouettes(values, np.stack([truth + 1, some], axis=1), metric="flat", rng=0, most=10)
    assert found[0].n == 10
    assert found[1].n < 3


def test_the_same_seed_gives_the_same_sample_and_a_generator_will_do():
    values, truth = blobs((40, 40), apart=1.0)
    labels = truth[:, None] + 1
    once, again, generator = (
        silhouettes(values, labels, metric="flat", rng=rng, most=10) for rng in (5, 5, np.random.default_rng(5))
    )
    assert once == again == generator


def test_half_of_the_tiles_or_more_are_all():
    values, truth = blobs((20, 20))
    assert one(values, truth + 1, most=20) == one(values, truth + 1)
    assert one(values, truth + 1, most=19).n == 19


def test_all_tiles_are_affordable_up_to_15_000_of_3_dates_and_a_few_thousand_of_20():
    assert affordable_tiles(15_000, 3, 512) == 15_000
    assert affordable_tiles(70_000, 1, 2) == 70_000
    assert 1_000 < affordable_tiles(11_881, 20, 512) < 2_000
    assert affordable_tiles(48_400, 20, 512) == module.LEAST_TILES
    assert affordable_tiles(0, 3, 512) == 0


@pytest.mark.parametrize("most", [None, 300])
def test_memory_stays_below_a_matrix_of_all_distances(most, monkeypatch):
    monkeypatch.setattr(distances_module, "BUDGET_BYTES", 2**20)
    monkeypatch.setattr(distances_module, "_SIDE", 128)
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(2_000, 3, 16)).astype(np.float32), rng.integers(1, 9, size=(2_000, 2))
    tracemalloc.start()
    try:
        silhouettes(values, labels, metric="sumnorm", rng=0, most=most)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * 2**20  # 2 000 × 2 000 in float32 would be 15 MiB


def test_an_estimate_is_plain_and_frozen():
    found = one(np.arange(4.0)[:, None, None], np.array([1, 1, 2, 2]))
    assert isinstance(found, Estimate)
    assert [type(part) for part in (found.value, found.half_width, found.n)] == [float, float, int]
    with pytest.raises(AttributeError):
        found.value = 1.0


def test_labels_of_other_tiles_are_refused():
    with pytest.raises(InputError, match=r"\(tile, partition\) of the 4 tiles.*shape \(4,\): give one column"):
        silhouettes(np.zeros((4, 1, 1)), np.ones(4, dtype=int), metric="flat", rng=0)


def test_a_sample_of_one_is_refused():
    with pytest.raises(InputError, match="sample of 1 tiles tells no mean"):
        one(np.zeros((4, 1, 1)), np.array([1, 1, 2, 2]), most=1)
