from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, davies_bouldin_score, normalized_mutual_info_score, silhouette_score

from taxoscape.analysis.sweep import sweep
from taxoscape.errors import InputError
from taxoscape.zones.evidence import evidence
from tests.builders import a_grid, a_series, blobs


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
        assert (row.stability_ari, row.stability_ari_se) == (found.stability[index], found.stability_error[index])
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
    assert np.isnan([row.silhouette_flat, row.silhouette_sumnorm, row.davies_bouldin_flat, row.stability_ari]).all()


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
