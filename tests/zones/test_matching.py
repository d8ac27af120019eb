from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.zones.matching import match_zones, overlap_order
from tests.builders import a_series, blobs
from tests.builders import plain_cluster as cluster

labellings = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).integers(0, 4, size=(2, 30)))


@given(labellings)
def test_the_order_has_the_largest_overlap_of_all_orders(both):
    reference, labels = both
    order = overlap_order(reference, labels, 3)
    overlap = {
        p: sum(int(((labels == i + 1) & (reference == p[i])).sum()) for i in range(3))
        for p in itertools.permutations((1, 2, 3))
    }
    assert overlap[tuple(order.tolist())] == max(overlap.values())


@given(labellings, st.integers(1, 6), st.integers(1, 6))
def test_numbers_stay_within_1_to_k_whatever_the_reference_has(both, k, k_reference):
    reference, labels = np.minimum(both[0], k_reference), np.minimum(both[1], k)
    assert sorted(overlap_order(reference, labels, k)) == list(range(1, k + 1))


def test_a_renumbered_partition_gets_its_old_numbers_back():
    values, _ = blobs((20, 15, 9))
    zones = cluster(a_series(values), n_clusters=3)
    turned = zones.isel(zone=[2, 0, 1]).assign_coords(zone=[1, 2, 3])
    lookup = np.array([0, 2, 3, 1], dtype=np.uint8)  # old zone 1 became 2, 2 became 3, 3 became 1
    turned["labels"] = zones["labels"].copy(data=lookup[zones["labels"].to_numpy()])
    assert match_zones(zones, turned).equals(zones)
