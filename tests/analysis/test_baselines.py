from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.analysis.baselines import tile_means
from taxoscape.contracts import check_series
from taxoscape.grid import Grid, Lattice
from tests.embedding.cubes import a_cube, noise


@given(seed=st.integers(0, 999), partial=st.sampled_from(["drop", "keep"]), min_valid=st.sampled_from([0.0, 0.5, 1.0]))
def test_tile_means_equal_a_loop_over_valid_pixels(seed, partial, min_valid):
    rng = np.random.default_rng(seed)
    valid = rng.random((2, 33, 41)) < 0.6
    valid[:, :10, :10] = True
    cube = a_cube(noise(2, 3, 33, 41, seed), valid)
    grid = Grid.over(Lattice.of(cube), tile_size=10, partial=partial)
    series = tile_means(cube, grid, min_valid=min_valid)
    assert check_series(series) == grid
    values = cube.to_numpy()
    for i, (row, col) in enumerate(grid.corners.tolist()):
        rows, cols = slice(max(row, 0), row + 10), slice(max(col, 0), col + 10)
        for t in range(2):
            seen = valid[t, rows, cols]
            share = seen.sum() / 100
            np.testing.assert_allclose(series["valid"][i, t], share, rtol=1e-6)
            if share >= min_valid and share > 0:
                expected = values[t][:, rows, cols][:, seen].astype(float).mean(axis=1)
                np.testing.assert_allclose(series["embedding"][i, t], expected, rtol=1e-5)
            else:
                assert np.isnan(series["embedding"][i, t]).all()
