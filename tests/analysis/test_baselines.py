from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.analysis import baselines
from taxoscape.analysis.baselines import tile_means, tile_statistics
from taxoscape.contracts import check_series, grid_of
from taxoscape.grid import Grid, Lattice
from tests.embedding.cubes import a_cube, noise


@given(
    seed=st.integers(0, 999),
    partial=st.sampled_from(["drop", "keep"]),
    min_valid=st.sampled_from([0.0, 0.5, 1.0]),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    block=st.sampled_from([1, 1 << 12, 1 << 23]),
)
def test_means_and_deviations_equal_a_loop_over_valid_pixels(seed, partial, min_valid, dtype, block):
    rng = np.random.default_rng(seed)
    valid = rng.random((2, 33, 41)) < 0.6
    valid[:, :10, :10] = True
    cube = a_cube(noise(2, 3, 33, 41, seed).astype(dtype), valid)
    grid = Grid.over(Lattice.of(cube), tile_size=10, partial=partial)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "BLOCK_BYTES", block)
        series = tile_means(cube, grid, min_valid=min_valid)
        statistics = tile_statistics(cube, grid, min_valid=min_valid)
    assert check_series(series) == grid_of(statistics) == grid
    np.testing.assert_array_equal(series["embedding"], statistics["mean"])
    np.testing.assert_array_equal(series["valid"], statistics["valid"])
    values = cube.to_numpy()
    for i, (row, col) in enumerate(grid.corners.tolist()):
        rows, cols = slice(max(row, 0), row + 10), slice(max(col, 0), col + 10)
        for t in range(2):
            seen = valid[t, rows, cols]
            share = seen.sum() / 100
            np.testing.assert_allclose(statistics["valid"][i, t], share, rtol=1e-6)
            if share >= min_valid and share > 0:
                pixels = values[t][:, rows, cols][:, seen].astype(float)
                np.testing.assert_allclose(statistics["mean"][i, t], pixels.mean(axis=1), rtol=1e-5)
                np.testing.assert_allclose(statistics["deviation"][i, t], pixels.std(axis=1), rtol=1e-5, atol=1e-5)
            else:
                assert np.isnan(statistics["mean"][i, t]).all()
                assert np.isnan(statistics["deviation"][i, t]).all()


def test_a_tile_of_two_values_has_their_middle_and_half_their_difference():
    values = np.full((1, 2, 20, 20), 10, np.uint16)
    values[0, 0, :10] = 30
    values[0, 1, 0, 0] = 60_000  # not valid
    valid = np.ones((1, 20, 20), bool)
    valid[0, 0, 0] = False
    valid[0, 10, 0] = False
    cube = a_cube(values, valid)
    found = tile_statistics(cube, Grid.over(Lattice.of(cube), tile_size=20))
    assert found["mean"].dims == ("tile", "time", "band")
    assert found["mean"].dtype == found["deviation"].dtype == np.float32
    assert found["band"].to_numpy().tolist() == ["B1", "B2"]
    assert found["mean"][0, 0].to_numpy().tolist() == [20, 10]
    assert found["deviation"][0, 0].to_numpy().tolist() == [10, 0]


def test_pixels_that_are_not_finite_are_left_out_and_a_tile_of_them_alone_has_no_statistics():
    values = np.random.default_rng(0).random((1, 2, 20, 40)).astype(np.float32)
    values[0, 1, 3, 3] = np.nan
    values[0, 0, :, 20:] = np.inf
    cube = a_cube(values)
    found = tile_statistics(cube, Grid.over(Lattice.of(cube), tile_size=20))
    seen = np.isfinite(values[0, 1, :, :20])
    np.testing.assert_allclose(found["mean"][0, 0, 0], values[0, 0, :, :20][seen].mean(), rtol=1e-5)
    np.testing.assert_allclose(found["deviation"][0, 0, 1], values[0, 1, :, :20][seen].std(), rtol=1e-5)
    assert np.isnan(found["mean"][1]).all()


def test_large_values_keep_the_digits_of_their_deviation():
    values = (60_000 + np.random.default_rng(0).integers(0, 3, (1, 1, 20, 20))).astype(np.uint16)
    found = tile_statistics(a_cube(values), Grid.over(Lattice.of(a_cube(values)), tile_size=20))
    np.testing.assert_allclose(found["deviation"][0, 0, 0], values.astype(float).std(), rtol=1e-6)
