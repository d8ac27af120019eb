"""Distances to centres are those of a naive loop, far from the origin, too, and in blocks."""

from __future__ import annotations

import numpy as np
import pytest

from taxoscape.zones import nearest as module
from taxoscape.zones.nearest import nearest, squared_distances


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("block_bytes", [2**26, 8 * 5 * 7])
def test_the_nearest_centre_is_that_of_a_naive_loop(monkeypatch, offset, block_bytes):
    monkeypatch.setattr(module, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(1)
    rows, centres = ((rng.normal(size=(n, 5)) + offset).astype(np.float32) for n in (60, 4))
    naive = np.array([[np.sum((row.astype(float) - c.astype(float)) ** 2) for c in centres] for row in rows])
    np.testing.assert_allclose(squared_distances(rows, centres), naive, rtol=1e-12)
    np.testing.assert_array_equal(nearest(rows, centres), naive.argmin(axis=1))
