from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import calinski_harabasz_score, silhouette_score

from taxoscape.analysis.quality import join_share, map_quality, patches, quality
from taxoscape.zones.kmeans import cluster
from tests.builders import a_grid, a_series, blobs

maps = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).integers(0, 4, size=(5, 7)))


@given(maps)
def test_join_share_equals_a_naive_count_over_pairs(labels):
    same = pairs = 0
    for r in range(5):
        for c in range(7):
            for rr, cc in ((r + 1, c), (r, c + 1)):
                if rr < 5 and cc < 7 and labels[r, c] and labels[rr, cc]:
                    pairs += 1
                    same += labels[r, c] == labels[rr, cc]
    assert join_share(labels) == pytest.approx(same / pairs)


@given(maps)
def test_patches_equal_a_naive_flood_fill(labels):
    found = np.zeros(int(labels.max()), dtype=int)
    left = {(r, c) for r in range(5) for c in range(7) if labels[r, c]}
    while left:
        start = left.pop()
        found[labels[start] - 1] += 1
        front = [start]
        while front:
            r, c = front.pop()
            for other in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
                if other in left and labels[other] == labels[start]:
                    left.remove(other)
                    front.append(other)
    np.testing.assert_array_equal(patches(labels), found)


@given(maps)
def test_map_measures_equal_scikit_learn_over_row_and_column(labels):
    rows, cols = np.nonzero(labels)
    places, flat = np.stack([rows, cols], axis=1), labels[rows, cols]
    found = map_quality(labels)
    assert found["map_calinski_harabasz"] == pytest.approx(calinski_harabasz_score(places, flat))
    assert found["map_silhouette"] == pytest.approx(silhouette_score(places, flat), abs=1e-6)


def test_separated_zones_are_good_and_stable_and_every_number_is_there():
    values, _ = blobs((24, 18, 12))
    series = a_series(values, a_grid(6, 9))
    found = quality(series, cluster(series, n_clusters=3))
    assert found["n_tiles"] == 54
    assert found["n_dates"] == 3
    assert found["n_clusters"] == 3
    assert found["silhouette_flat"] > 0.8
    assert found["silhouette_sumnorm"] > 0.8
    assert found["stability_ari"] > 0.95


def test_one_zone_has_no_silhouettes_but_everything_else():
    values, _ = blobs((24, 30))
    series = a_series(values, a_grid(6, 9))
    found = quality(series, cluster(series, n_clusters=1))
    assert np.isnan(found["silhouette_flat"])
    assert found["map_join_share"] == 1.0
    assert found["map_patches"] == 1


def test_the_silhouette_falls_with_noise():
    clear, noisy = (
        quality(a_series(v, a_grid(6, 9)), cluster(a_series(v, a_grid(6, 9)), n_clusters=3))
        for v in (blobs((24, 18, 12))[0], blobs((24, 18, 12), apart=0.2)[0])
    )
    assert noisy["silhouette_flat"] < clear["silhouette_flat"]
    assert noisy["stability_ari"] < clear["stability_ari"]
