from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from taxoscape.analysis import pixels
from taxoscape.analysis.pixels import PixelRows, majority, pixel_zones
from taxoscape.contracts import spatial_ref
from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice
from taxoscape.testing.strategies import cubes
from taxoscape.zones.resampling import stability
from tests.builders import wkt
from tests.embedding.cubes import a_cube, noise


def at(cube, row_px, col_px):
    """Return a cube moved to some pixel of its CRS."""
    _, _, height, width = cube.shape
    lattice = Lattice(crs=wkt(), x0=col_px * 10.0, y0=-row_px * 10.0, dx=10.0, dy=10.0, height=height, width=width)
    y, x = lattice.coordinates()
    return cube.assign_coords(y=y, x=x, spatial_ref=spatial_ref(lattice))


def naive_rows(cube, grid, min_valid):
    """Return the rows (tile, column) and which dates count (tile, time), tile by tile."""
    values, valid = cube.to_numpy().astype(float), cube["valid"].to_numpy()
    times, bands = values.shape[:2]
    covered = np.zeros(values.shape[2:], bool)
    for top, left in grid.corners.tolist():
        covered[max(top, 0) : top + grid.tile_size, max(left, 0) : left + grid.tile_size] = True
    usable = valid & np.isfinite(values).all(axis=1) & covered
    pixels_of = [np.concatenate([values[t, b][usable[t]] for t in range(times)]) for b in range(bands)]
    eight = cube.dtype == np.uint8
    mean = [0.0 if eight or not len(p) else p.mean() for p in pixels_of]
    deviation = [p.std() if len(p) else 0 for p in pixels_of]
    scale = [255.0 if eight else (s if s > 1e-6 * abs(m) else 1.0) for s, m in zip(deviation, mean, strict=True)]
    size = grid.tile_size
    rows, seen = np.empty((grid.n_tiles, times, bands, size, size)), np.zeros((grid.n_tiles, times), bool)
    for i, (top, left) in enumerate(grid.corners.tolist()):
        for t in range(times):
            share = 0
            for dy in range(size):
                for dx in range(size):
                    y, x = top + dy, left + dx
                    inside = 0 <= y < values.shape[2] and 0 <= x < values.shape[3]
                    share += bool(inside and valid[t, y, x])
                    for b in range(bands):
                        known = usable[t].any()
                        fill = values[t, b][usable[t]].mean() if known else 0
                        value = values[t, b, y, x] if inside and usable[t, y, x] else fill
                        rows[i, t, b, dy, dx] = (value - mean[b]) / scale[b]
            seen[i, t] = share > 0 and np.float32(share / size**2) >= np.float32(min_valid)
    return rows.reshape(grid.n_tiles, -1), seen


def gathered(rows):
    """Return all rows in the order of tiles, and which dates count."""
    parts = list(rows)
    assert [start for start, _, _ in parts] == np.cumsum([0, *(len(part) for _, part, _ in parts[:-1])]).tolist()
    values, seen = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    order = np.argsort(rows.tiles)
    assert values.dtype == np.float32
    return values[order], seen[order]


@st.composite
def gridded(draw):
    cube = draw(cubes(max_bands=2, max_dates=2, min_px=6, max_px=17))
    size = draw(st.integers(1, 6))
    stride = draw(st.sampled_from([size, max(1, size // 2)]))
    partial = draw(st.sampled_from(["drop", "keep"]))
    try:
        return cube, Grid.over(Lattice.of(cube), tile_size=size, stride=stride, partial=partial)
    except InputError:
        return cube, Grid.over(Lattice.of(cube), tile_size=1)


@given(case=gridded(), min_valid=st.sampled_from([0.0, 0.5, 1.0]), window=st.integers(1, 20))
def test_rows_equal_a_loop_over_tiles_whatever_the_squares(case, min_valid, window):
    cube, grid = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels, "WINDOW_PX", window)
        patch.setattr(pixels, "ROWS_BYTES", 200)
        rows = PixelRows(cube, grid, min_valid=min_valid)
        values, seen = gathered(rows)
    expected, counts = naive_rows(cube, grid, min_valid)
    np.testing.assert_array_equal(seen, counts)
    shown = np.repeat(counts, values.shape[1] // counts.shape[1], axis=1)
    np.testing.assert_allclose(values[shown], expected[shown], rtol=2e-4, atol=2e-4)


def test_a_pixel_that_is_not_finite_is_filled_like_an_invalid_one():
    values = np.random.default_rng(0).random((1, 2, 12, 12)).astype(np.float32)
    values[0, 1, 3, 3], values[0, 0, 5, 5] = np.nan, np.inf
    cube = a_cube(values)
    grid = Grid.over(Lattice.of(cube), tile_size=4)
    got, _ = gathered(PixelRows(cube, grid))
    np.testing.assert_allclose(got, naive_rows(cube, grid, 0.5)[0], rtol=1e-4, atol=1e-5)


def test_large_values_at_invalid_pixels_do_no_harm():
    values = np.random.default_rng(0).random((1, 1, 12, 12)).astype(np.float32)
    valid = np.ones((1, 12, 12), bool)
    valid[0, 2, 2] = False
    values[0, 0, 2, 2] = np.finfo(np.float32).min
    got, _ = gathered(PixelRows(a_cube(values, valid), Grid.over(Lattice.of(a_cube(values)), tile_size=4)))
    assert np.isfinite(got).all()
    assert np.abs(got).max() < 5


def halves(seed=0, height=83, width=117, times=3):
    """Return a cube whose western part is dark and its eastern part bright, and the column between them."""
    values = noise(times, 3, height, width, seed) // 4
    values[..., 60:] += 120
    return values


def naive_inertia(rows, seen, labels):
    """Return the mean of T/|S| times the squared distance over the dates S seen, tile by tile."""
    series = rows.reshape(*seen.shape, -1)
    centres = {z: [series[(labels == z) & seen[:, t], t].mean(axis=0) for t in range(seen.shape[1])]
               for z in set(labels) - {0}}  # fmt: skip
    squares = []
    for tile in np.flatnonzero(labels):
        apart = [((series[tile, t] - centres[labels[tile]][t]) ** 2).sum() for t in np.flatnonzero(seen[tile])]
        squares.append(seen.shape[1] / len(apart) * sum(apart))
    return np.mean(squares)


@pytest.mark.parametrize(("row_px", "col_px"), [(0, 0), (-13, 7), (-470_003, 50_001)])
def test_small_tiles_find_two_halves_and_bring_them_onto_the_runs_tiles(row_px, col_px):
    cube = at(a_cube(halves()), row_px, col_px)
    grid = Grid.over(Lattice.of(cube), tile_size=20)
    found = pixel_zones(cube, grid, size_px=8, n_clusters=2, rng=0)
    assert found.small_grid == Grid.over(Lattice.of(cube), tile_size=8)
    assert found.small_map.shape == (found.small_grid.n_rows, found.small_grid.n_cols)
    east = grid.corners[:, 1] + 10 > 60
    sure = np.abs(grid.corners[:, 1] + 10 - 60) > 14
    assert len(np.unique(found.labels[sure & east])) == len(np.unique(found.labels[sure & ~east])) == 1
    assert set(found.labels) == {1, 2}
    assert found.labels.dtype == np.uint8
    small = found.small_map.ravel()
    assert (small == 1).sum() >= (small == 2).sum()
    assert found.converged


def test_with_the_grids_own_tile_size_its_own_tiles_are_clustered_as_by_scikit_learn():
    cube = a_cube(halves())
    for stride in (20, 10):
        grid = Grid.over(Lattice.of(cube), tile_size=20, stride=stride)
        found = pixel_zones(cube, grid, size_px=20, n_clusters=3, rng=0)
        rows, _ = naive_rows(cube, grid, 0.5)
        oracle = KMeans(3, n_init=10, random_state=0).fit(rows.astype(np.float32))
        assert found.small_grid == grid
        np.testing.assert_array_equal(found.small_map.ravel(), found.labels)
        assert (np.diff(np.bincount(found.labels)[1:]) <= 0).all()
        start = np.stack([rows[found.labels == zone].mean(axis=0) for zone in (1, 2, 3)])
        again = KMeans(3, init=start, n_init=1, tol=0).fit(rows)
        assert adjusted_rand_score(again.labels_, found.labels) > 0.99
        assert found.inertia_mean == pytest.approx(again.inertia_ / grid.n_tiles, rel=1e-3)
        assert found.inertia_mean < 1.05 * oracle.inertia_ / grid.n_tiles
        series = xr.Dataset(
            {"embedding": (("tile", "time", "feature"), rows.astype(np.float32).reshape(grid.n_tiles, 3, -1)),
             "valid": (("tile", "time"), np.ones((grid.n_tiles, 3), np.float32))},
            attrs={"min_valid": 0.5},
        )  # fmt: skip
        zones = xr.Dataset({"labels": ("tile", found.labels)}, coords={"zone": [1, 2, 3]})
        assert found.stability_ari == pytest.approx(stability(series, zones, rng=0), abs=0.02)


def test_missing_dates_take_no_part_and_tiles_without_any_are_zone_0():
    values = halves(times=4)
    rng = np.random.default_rng(3)
    valid = np.kron(rng.random((4, 11, 15)) < 0.6, np.ones((1, 8, 8), bool))[:, :83, :117]
    valid[:, 36:64, 12:44] = False
    values[~np.broadcast_to(valid[:, None], values.shape)] = 255  # what is under clouds must not be seen
    cube = at(a_cube(values, valid), 0, 0)
    grid = Grid.over(Lattice.of(cube), tile_size=20)
    found = pixel_zones(cube, grid, size_px=8, n_clusters=2, rng=0)
    rows, seen = naive_rows(cube, found.small_grid, 0.5)
    small = found.small_map.ravel()
    assert found.inertia_mean == pytest.approx(naive_inertia(rows, seen, small), rel=1e-3)
    assert found.stability_ari == pytest.approx(1, abs=0.1)  # the halves are found again
    np.testing.assert_array_equal(small > 0, seen.any(axis=1))
    east = found.small_grid.corners[:, 1] >= 64
    west = found.small_grid.corners[:, 1] + 8 <= 56
    assert len(set(small[east & (small > 0)]) | {0}) == len(set(small[west & (small > 0)]) | {0}) == 2
    assert set(small[east]) != set(small[west])
    hole = (grid.corners == (40, 20)).all(axis=1)
    assert found.labels[hole] == 0


@given(
    seed=st.integers(0, 10_000), size=st.integers(1, 6), tile=st.integers(2, 12), k=st.integers(1, 4),
    row_px=st.integers(-9, 9), col_px=st.integers(-9, 9), partial=st.sampled_from(["drop", "keep"]),
)  # fmt: skip
def test_the_majority_equals_a_loop_over_cells(seed, size, tile, k, row_px, col_px, partial):
    rng = np.random.default_rng(seed)
    lattice = Lattice(crs=wkt(), x0=col_px * 10.0, y0=-row_px * 10.0, dx=10.0, dy=10.0, height=27, width=31)
    small = Grid.over(lattice, tile_size=size)
    grid = Grid.over(lattice, tile_size=tile, stride=int(rng.integers(1, tile + 1)), partial=partial)
    labels = rng.integers(0, k + 1, small.n_tiles).astype(np.uint8)
    margin = (tile - grid.stride) // 2
    expected = []
    for top, left in (grid.corners + margin).tolist():
        votes = [0] * (k + 1)
        for (y, x), label in zip((small.corners + size / 2).tolist(), labels.tolist(), strict=True):
            if top <= y < top + grid.stride and left <= x < left + grid.stride:
                votes[label] += 1
        best = max(votes[1:])
        expected.append(votes.index(best, 1) if best else 0)
    got = majority(labels, small, grid)
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == np.uint8


def test_other_dtypes_are_scaled_band_by_band():
    values = halves().astype(np.uint16)
    values[:, 1] *= 200  # a loud band without meaning
    values[:, 1] = np.random.default_rng(0).permutation(values[:, 1].ravel()).reshape(values[:, 1].shape)
    cube = a_cube(values)
    got, _ = gathered(PixelRows(cube, Grid.over(Lattice.of(cube), tile_size=8)))
    bands = got.reshape(len(got), 3, 3, -1)
    np.testing.assert_allclose(bands.std(axis=(0, 1, 3)), 1, atol=0.05)


def test_a_cube_read_from_storage_gives_the_same_zones(monkeypatch):
    cube = a_cube(halves(height=64, width=96))
    grid = Grid.over(Lattice.of(cube), tile_size=16)
    whole = pixel_zones(cube, grid, size_px=8, n_clusters=3, rng=2)
    monkeypatch.setattr(pixels, "CUBE_BYTES", 0)
    parts = pixel_zones(cube, grid, size_px=8, n_clusters=3, rng=2)
    np.testing.assert_array_equal(whole.small_map, parts.small_map)
    np.testing.assert_array_equal(whole.labels, parts.labels)
    assert (whole.inertia_mean, whole.passes, whole.stopped) == (parts.inertia_mean, parts.passes, parts.stopped)


def test_one_zone_and_one_tile_work():
    cube = at(a_cube(noise(1, 1, 9, 9)), 0, 0)
    grid = Grid.over(Lattice.of(cube), tile_size=8)
    for size in (8, 4):
        found = pixel_zones(cube, grid, size_px=size, n_clusters=1)
        assert found.labels.tolist() == [1]
        assert found.n_clusters == 1


def test_what_cannot_be_clustered_is_refused_with_the_reason():
    cube = a_cube(noise(2, 2, 40, 40))
    grid = Grid.over(Lattice.of(cube), tile_size=20)
    with pytest.raises(InputError, match="only 4 tiles count"):
        pixel_zones(cube, grid, size_px=20, n_clusters=5)
    with pytest.raises(InputError, match="only 1 different series"):
        pixel_zones(a_cube(np.full((2, 2, 40, 40), 7, np.uint8)), grid, size_px=8, n_clusters=2)
    with pytest.raises(InputError, match="no tile counts"):
        pixel_zones(a_cube(noise(2, 2, 40, 40), np.zeros((2, 40, 40), bool)), grid, size_px=8, n_clusters=2)
    with pytest.raises(InputError, match="not one whole tile"):
        pixel_zones(cube, grid, size_px=64, n_clusters=2)
    with pytest.raises(InputError, match="region of 40 × 40 pixels, the cube has 40 × 56"):
        pixel_zones(a_cube(noise(2, 2, 40, 56)), grid, size_px=8, n_clusters=2)
