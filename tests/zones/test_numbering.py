from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from taxoscape.zones.numbering import label_dtype, number_by_size

clusters = st.lists(st.integers(0, 4), min_size=5, max_size=40).map(lambda x: np.unique(x, return_inverse=True)[1])


def test_the_largest_area_is_1_and_equal_ones_go_by_their_first_row():
    labels, order = number_by_size(np.array([1, 0, 2, 2]), 3, np.array([1.0, 1.0, 2.0, 3.0]))
    assert labels.tolist() == [2, 3, 1, 1]
    assert order.tolist() == [2, 1, 0]


@given(clusters)
def test_numbering_keeps_the_partition(present):
    k = int(present.max()) + 1
    new, order = number_by_size(present, k, np.ones(len(present)))
    assert adjusted_rand_score(present, new) == 1.0
    np.testing.assert_array_equal(order[new - 1], present)


@given(clusters, st.integers(0, 10_000))
def test_numbers_follow_a_naive_sort_by_area_and_first_row(present, seed):
    areas = np.random.default_rng(seed).integers(1, 4, len(present)).astype(float)
    names = sorted(set(present.tolist()), key=lambda c: (-areas[present == c].sum(), present.tolist().index(c)))
    expected = [names.index(c) + 1 for c in present.tolist()]
    assert number_by_size(present, len(names), areas)[0].tolist() == expected


@pytest.mark.parametrize(("k", "dtype"), [(1, np.uint8), (255, np.uint8), (256, np.uint16)])
def test_labels_are_bytes_as_long_as_they_fit(k, dtype):
    assert label_dtype(k) is dtype
