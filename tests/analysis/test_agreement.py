from __future__ import annotations

import numpy as np
import pytest

from taxoscape.analysis.agreement import agreement
from taxoscape.analysis.representatives import representatives
from taxoscape.errors import InputError
from taxoscape.zones.kmeans import cluster
from tests.builders import a_series, blobs


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
