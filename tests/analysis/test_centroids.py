from __future__ import annotations

import numpy as np
from hypothesis import given

from taxoscape.analysis.centroids import seen_centroids, tiles_per_date
from tests.analysis.test_dates import gappy, partition
from tests.builders import a_series
from tests.builders import plain_cluster as cluster


@given(gappy())
def test_centroids_are_the_means_of_the_tiles_that_count_and_missing_where_there_are_none(case):
    values, labels, k = case
    _, zones = partition(values, labels, k)
    found, number = seen_centroids(zones), tiles_per_date(zones)
    for zone in range(k):
        for t in range(values.shape[1]):
            own = [x for x, z in zip(values[:, t], labels, strict=True) if z == zone + 1 and np.isfinite(x).all()]
            assert number[zone, t] == len(own)
            expected = np.mean(own, axis=0) if own else np.full(values.shape[2], np.nan)
            np.testing.assert_allclose(found[zone, t], expected, rtol=1e-5, atol=1e-6)


def test_what_k_means_fills_is_left_out_and_the_dataset_stays_as_it_is():
    values = np.zeros((4, 3, 1), np.float32)
    values[2:] = 5
    values[2:, 1] = np.nan
    zones = cluster(a_series(values), n_clusters=2, starts=1)
    late = int(zones["labels"][2]) - 1
    assert np.isnan(seen_centroids(zones)[late]).ravel().tolist() == [False, True, False]
    assert np.isfinite(zones["centroids"]).all()
