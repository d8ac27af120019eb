"""Random fields are functions of place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taxoscape.testing.noise import (
    bell,
    draw,
    fractal_noise,
    hash_cells,
    rehash,
    smooth_noise,
    stream_key,
    uniform,
)


@settings(max_examples=40, deadline=None)
@given(
    first=st.integers(-2000, 2000),
    cell=st.floats(1.3, 300),
    cut=st.integers(1, 30),
    seed=st.integers(0, 2**64),
)
def test_a_part_of_a_field_equals_the_field_there(first: int, cell: float, cut: int, seed: int) -> None:
    rows, cols = np.arange(first, first + 31), np.arange(-7, 38)
    key = stream_key(seed, "any")
    whole = fractal_noise(rows, cols, cell, key, octaves=3)
    np.testing.assert_array_equal(whole[cut:, :cut], fractal_noise(rows[cut:], cols[:cut], cell, key, octaves=3))


@pytest.mark.parametrize("cell", [2.0, 3.7, 8.0])
def test_smooth_noise_has_mean_0_and_variance_1(cell: float) -> None:
    axis = np.arange(900)
    field = smooth_noise(axis, axis[:700], cell, stream_key(3, "moments"))
    assert field.shape == (900, 700)
    assert abs(field.mean()) < 0.05
    assert abs(field.std() - 1) < 0.04


def test_smooth_noise_is_the_b_spline_that_scipy_makes() -> None:
    from scipy.interpolate import BSpline

    rows, key = np.arange(40), 5
    knots = 2 * uniform(hash_cells(np.arange(-1, 20)[:, None], np.arange(-1, 3)[None, :], key)) - 1
    at_column_0 = knots[:, :3] @ np.array([1 / 6, 4 / 6, 1 / 6]) / np.sqrt(1 / 3) * 315 / 151
    spline = BSpline(np.arange(-3, 22), at_column_0.astype(np.float64), 3)
    field = smooth_noise(rows[:36], np.zeros(1, dtype=np.int64), 2.0, key)
    np.testing.assert_allclose(field[:, 0], spline(rows[:36] / 2), atol=2e-6)


def test_hashes_are_even_and_neighbours_unlike() -> None:
    axis = np.arange(512)
    numbers = uniform(hash_cells(axis[:, None], axis[None, :], 9))
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = np.histogram(numbers, bins=16, range=(0, 1))[0]
    assert np.abs(counts / numbers.size - 1 / 16).max() < 0.003
    for a, b in ((numbers[1:], numbers[:-1]), (numbers[:, 1:], numbers[:, :-1]), (numbers, numbers.T)):
        off = np.triu(np.ones(a.shape, dtype=bool), 1)
        assert abs(np.corrcoef(a[off], b[off])[0, 1]) < 0.01


def test_bell_has_mean_0_and_variance_1_and_rehash_is_independent() -> None:
    bits = hash_cells(np.arange(400)[:, None], np.arange(300)[None, :], 1)
    first, second = bell(bits).ravel(), bell(rehash(bits, 1)).ravel()
    assert abs(first.mean()) < 0.01
    assert abs(first.std() - 1) < 0.01
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01


def test_streams_differ_by_seed_and_by_every_word() -> None:
    assert len({stream_key(1, "a", 2), stream_key(2, "a", 2), stream_key(1, "b", 2), stream_key(1, "a", 3)}) == 4
    assert draw(1, "a") == draw(1, "a") != draw(2, "a")
