from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.errors import InputError
from taxoscape.zones import missing
from taxoscape.zones.kmeans import settle
from taxoscape.zones.missing import counted, flat_distances, two_way_fill, whole_rows
from taxoscape.zones.rows import row_blocks
from taxoscape.zones.starts import Partition
from tests.builders import a_series, blobs


def test_a_tile_counts_on_a_date_only_where_no_feature_is_missing():
    values, _ = blobs((3, 3), times=2)
    values[1, 0, 2] = np.nan
    values[4, 1] = np.nan
    expected = np.ones((6, 2), bool)
    expected[1, 0] = expected[4, 1] = False
    np.testing.assert_array_equal(counted(a_series(values)), expected)


def test_a_date_on_which_nothing_counts_is_filled_with_finite_values():
    values, _ = blobs((5, 5), times=4)
    counts = np.ones((10, 4), bool)
    counts[:, 2] = False
    values[:, 2] = np.nan
    filled = two_way_fill(values, counts)
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[:, [0, 1, 3]], values[:, [0, 1, 3]])


@given(st.integers(0, 10_000))
def test_blocks_change_nothing(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(23, 4, 3)).astype(np.float32)
    counts = rng.random((23, 4)) < 0.6
    counts[:, 0] = True
    centroids = rng.normal(size=(3, 4, 3)).astype(np.float32)
    whole = flat_distances(values, counts, centroids), two_way_fill(values, counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(missing, "BLOCK_BYTES", 5 * 8 * 12)
        parts = flat_distances(values, counts, centroids), two_way_fill(values, counts)
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-6)
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-5, atol=1e-6)


def test_distances_of_values_far_from_zero_keep_their_digits():
    rng = np.random.default_rng(1)
    values = (1000 + rng.normal(size=(6, 3, 5))).astype(np.float32)
    found = flat_distances(values, np.ones((6, 3), bool), values[:2])
    exact = np.linalg.norm((values[:, None].astype(float) - values[:2].astype(float)).reshape(6, 2, -1), axis=2)
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5)


def _objective(values, counts, labels, k):
    total = 0.0
    for zone in range(k):
        for t in range(values.shape[1]):
            seen = values[(labels == zone) & counts[:, t], t]
            if len(seen):
                total += float(((seen - seen.mean(axis=0)) ** 2).sum())
    return total


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_settling_never_raises_the_objective_and_keeps_every_cluster(seed, k):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(14, 3, 2)).astype(np.float32)
    counts = rng.random((14, 3)) < 0.6
    counts[np.arange(14), rng.integers(0, 3, 14)] = True
    labels = np.concatenate([np.arange(k), rng.integers(0, k, 14 - k)])
    filled = two_way_fill(values, counts)
    centres = np.stack([filled[labels == zone].mean(axis=0).ravel() for zone in range(k)])
    start = Partition(labels=labels, centres=centres, inertia=np.inf)
    end = settle(values, counts, start)
    assert set(end.labels) == set(range(k))
    assert end.inertia == pytest.approx(_objective(values, counts, end.labels, k), rel=1e-4, abs=1e-5)
    assert end.inertia <= _objective(values, counts, labels, k) * (1 + 1e-5) + 1e-5


@given(st.integers(0, 30), st.integers(0, 50), st.integers(1, 400))
def test_blocks_cover_all_rows_in_order_within_the_bytes(n, row_bytes, most_bytes):
    blocks = list(row_blocks(n, row_bytes, most_bytes))
    assert [row for block in blocks for row in range(n)[block]] == list(range(n))
    assert all((block.stop - block.start) * row_bytes <= max(most_bytes, row_bytes) for block in blocks)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.4]), st.booleans())
def test_whole_rows_are_the_filled_series_of_the_tiles_that_count(seed, gaps, never):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(9, 3, 2)).astype(np.float32)
    values[rng.random((9, 3)) < gaps] = np.nan
    values[4] = np.nan if never else 1
    counts = np.isfinite(values).all(axis=2)
    rows, members = whole_rows(values, counts)
    assert members.tolist() == [tile for tile in range(9) if counts[tile].any()]
    np.testing.assert_array_equal(rows, two_way_fill(values[members], counts[members]).reshape(len(members), -1))
    assert np.shares_memory(rows, values) == bool(counts.all())


def test_whole_rows_need_a_tile_that_counts():
    with pytest.raises(InputError, match="no tile counts on any date"):
        whole_rows(np.full((2, 2, 2), np.nan, np.float32), np.zeros((2, 2), bool))
