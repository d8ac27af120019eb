from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import adjusted_rand_score, davies_bouldin_score, normalized_mutual_info_score, silhouette_score

from taxoscape.analysis.sweep import sweep
from taxoscape.errors import InputError
from taxoscape.zones.evidence import Evidence
from tests.analysis.test_distances import naive_pairwise
from tests.analysis.test_quality import naive_davies_bouldin
from tests.builders import a_grid, a_series, blobs
from tests.builders import plain_evidence as evidence


@pytest.fixture(scope="module")
def region():
    """Six rows of nine tiles in three blobs, their evidence up to five zones, and their truth, some of it unknown."""
    values, truth = blobs((25, 18, 11), times=3, apart=1.5)
    series = a_series(values, a_grid(6, 9))
    classes = truth + 1
    classes[::7] = 0
    found = evidence(series, most=5)
    return series, found, classes, sweep(series, found, truth=classes)


def test_there_is_a_row_per_number_and_one_is_chosen(region):
    _, found, _, rows = region
    assert [row.n_clusters for row in rows] == [2, 3, 4, 5]
    assert [row.n_clusters for row in rows if row.chosen] == [found.chosen]


def test_each_measure_is_that_of_scikit_learn_on_the_same_labels(region):
    series, found, classes, rows = region
    flat = series["embedding"].to_numpy().reshape(54, -1)
    known = classes > 0
    for index, row in enumerate(rows):
        labels = found.labels[:, index]
        assert row.silhouette_flat == pytest.approx(silhouette_score(flat, labels), abs=1e-5)
        assert row.silhouette_flat_ci95 == 0
        assert row.davies_bouldin_flat == pytest.approx(davies_bouldin_score(flat, labels), rel=1e-4)
        assert row.ari == pytest.approx(adjusted_rand_score(classes[known], labels[known]))
        assert row.nmi == pytest.approx(normalized_mutual_info_score(classes[known], labels[known]))
        assert row.inertia_mean == found.inertia_mean[index]
        assert (row.bootstrap_ari, row.bootstrap_ari_se) == (found.stability[index], found.stability_error[index])
        assert row.prediction_strength == found.strength[index]


def test_map_measures_are_those_of_the_zones_on_the_grid(region):
    _, found, _, rows = region
    for index, row in enumerate(rows):
        zones = found.labels[:, index].reshape(6, 9)
        same = (zones[1:] == zones[:-1]).sum() + (zones[:, 1:] == zones[:, :-1]).sum()
        assert row.map_join_share == pytest.approx(same / (5 * 9 + 6 * 8))
        assert row.n_clusters <= row.map_patches <= 54


def test_rows_are_plain_numbers_for_json(region):
    rows = region[3]
    assert json.loads(json.dumps([asdict(row) for row in rows]))[0]["n_clusters"] == 2


def test_without_a_truth_agreement_is_not_defined(region):
    series, found, _, _ = region
    assert all(np.isnan(row.ari) and np.isnan(row.nmi) for row in sweep(series, found))


def test_a_region_of_one_zone_has_one_row_and_no_silhouette():
    series = a_series(np.ones((6, 2, 3)), a_grid(2, 3))
    (row,) = sweep(series, evidence(series))
    assert (row.n_clusters, row.chosen, row.map_join_share, row.map_patches) == (1, True, 1.0, 1)
    assert np.isnan([row.silhouette_flat, row.silhouette_sumnorm, row.davies_bouldin_flat, row.bootstrap_ari]).all()


def test_missing_dates_and_tiles_without_any_are_measured_around():
    values, _ = blobs((12, 8), times=4)
    values[np.random.default_rng(0).random(values.shape[:2]) < 0.2] = np.nan
    values[4] = np.nan
    series = a_series(values, a_grid(4, 5))
    rows = sweep(series, evidence(series, most=3))
    assert all(
        np.isfinite([row.silhouette_flat, row.silhouette_sumnorm, row.davies_bouldin_flat]).all() for row in rows
    )


@pytest.mark.parametrize(("truth", "message"), [(np.ones(3, int), "the truth is of 3 tiles"),
                                                (np.zeros(54, int), "no tile has both")])  # fmt: skip
def test_a_truth_that_does_not_fit_is_refused(region, truth, message):
    with pytest.raises(InputError, match=message):
        sweep(region[0], region[1], truth=truth)


def test_evidence_of_another_grid_is_refused(region):
    with pytest.raises(InputError, match="the evidence is of 54 tiles, the series has 6"):
        sweep(a_series(np.ones((6, 2, 3))), region[1])


def mean_silhouette(distances, labels):
    """Rousseeuw's definition tile by tile; pairs without a distance take no part."""
    scores = []
    for i in np.flatnonzero(labels):
        others = {z: [distances[i, j] for j in np.flatnonzero(labels == z) if j != i] for z in set(labels) - {0}}
        known = {z: [d for d in values if np.isfinite(d)] for z, values in others.items()}
        apart = [np.mean(values) for z, values in known.items() if z != labels[i] and values]
        own = known[labels[i]]
        scores.append((min(apart) - np.mean(own)) / max(min(apart), np.mean(own)) if own and apart else 0.0)
    return np.mean(scores)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3]))
def test_rows_of_any_partitions_are_those_of_scikit_learn_and_of_loops(seed, gaps):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(12, 4, 3)) * 3).astype(np.float32)
    values[rng.random((12, 4)) < gaps] = np.nan
    values[np.isnan(values).all(axis=(1, 2)), 0] = 1
    ks = np.array([2, 3, 4])
    labels = np.stack([np.concatenate([np.arange(1, k + 1), rng.integers(1, k, 12 - k)]) for k in ks], axis=1)
    truth = rng.integers(0, 3, 12)
    truth[0] = 2
    found = Evidence(ks=ks, inertia_mean=rng.random(3), stability=rng.random(3), stability_error=rng.random(3),
                     strength=rng.random(3), labels=labels.astype(np.uint8), chosen=3, reason="")  # fmt: skip
    distances = {metric: naive_pairwise(values, values, metric) for metric in ("flat", "sumnorm")}
    known = truth > 0
    for index, row in enumerate(sweep(a_series(values, a_grid(3, 4)), found, truth=truth, rng=seed)):
        own = labels[:, index]  # zone k has one tile
        for metric, value in (("flat", row.silhouette_flat), ("sumnorm", row.silhouette_sumnorm)):
            assert value == pytest.approx(mean_silhouette(distances[metric], own), abs=1e-5)
            if not gaps:
                oracle = silhouette_score(distances[metric], own, metric="precomputed")
                assert value == pytest.approx(oracle, abs=1e-5)
        naive = naive_davies_bouldin(values.astype(float), own)
        assert row.davies_bouldin_flat == pytest.approx(naive, rel=1e-4, nan_ok=True)
        assert row.map_patches == sum(ndimage.label(own.reshape(3, 4) == zone)[1] for zone in range(1, ks[index] + 1))
        if not gaps:
            assert row.davies_bouldin_flat == pytest.approx(davies_bouldin_score(values.reshape(12, -1), own), rel=1e-5)
        assert row.ari == pytest.approx(adjusted_rand_score(truth[known], own[known]))
        assert row.nmi == pytest.approx(normalized_mutual_info_score(truth[known], own[known]))
        zones = own.reshape(3, 4)
        same = (zones[1:] == zones[:-1]).sum() + (zones[:, 1:] == zones[:, :-1]).sum()
        assert row.map_join_share == pytest.approx(same / 17)
        assert (row.n_clusters, row.chosen) == (ks[index], ks[index] == 3)
        assert (row.bootstrap_ari, row.bootstrap_ari_se) == (found.stability[index], found.stability_error[index])
        assert (row.inertia_mean, row.prediction_strength) == (found.inertia_mean[index], found.strength[index])
