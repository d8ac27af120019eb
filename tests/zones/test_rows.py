from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.analysis.quality import quality
from taxoscape.analysis.representatives import representatives
from taxoscape.run.store import create_series, finish_series, read_series
from taxoscape.testing.laziness import counted
from taxoscape.zones import axes, clustering, kmeans, lloyd, metric, missing, rows
from taxoscape.zones.clustering import cluster, evidence
from taxoscape.zones.metric import in_metric
from taxoscape.zones.rows import StoredRows, held, row_parts, rows_of, selected, squared_lengths
from taxoscape.zones.tree import zone_tree
from tests.builders import a_grid, a_series


def stored(series, chunk):
    """A series that says in what chunks it is stored, and what is read of it."""
    lazy, reads = counted(series["embedding"])
    lazy.variable.encoding["preferred_chunks"] = {"tile": chunk}
    return series.assign(embedding=lazy), reads


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few tiles, so that a small series is many of them."""
    for module in (missing, metric, axes, clustering):
        for name in ("BLOCK_BYTES", "FEW_BYTES"):
            monkeypatch.setattr(module, name, 2**13, raising=False)
    monkeypatch.setattr(rows, "READ_BYTES", 2**12)
    monkeypatch.setattr(axes, "SAMPLE_ROWS", 60)
    monkeypatch.setattr(kmeans, "SAMPLE_ROWS", 60)
    monkeypatch.setattr(lloyd, "BLOCK_BYTES", 2**12)


def a_region(seed=0, *, gaps=0.0, never=0, rows=16, cols=20, times=4, features=6):
    """Zones in stripes, with noise, missing dates and tiles that count on none."""
    rng = np.random.default_rng(seed)
    centres = 3 * rng.normal(size=(4, times, features))
    values = centres[np.arange(rows * cols) // cols * 4 // rows] + rng.normal(size=(rows * cols, times, features))
    values[rng.random(values.shape[:2]) < gaps] = np.nan
    values[rng.permutation(len(values))[:never]] = np.nan
    return a_series(values, a_grid(rows, cols))


@given(st.data())
def test_stored_rows_are_indexed_as_the_array_that_they_are(data):
    n, chunk = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 20))
    series = a_series(np.random.default_rng(n).normal(size=(n, 2, 3)))
    lazy, _ = stored(series, chunk)
    array, found = series["embedding"].to_numpy(), rows_of(lazy)
    if data.draw(st.booleans()):
        members = np.array(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1))))
        array, found = selected(array, members), selected(found, members)
    assert isinstance(found, StoredRows)
    assert (found.shape, len(found), found.dtype) == (array.shape, len(array), array.dtype)
    start = data.draw(st.integers(0, len(array)))
    stop = data.draw(st.integers(start, len(array)))
    np.testing.assert_array_equal(found[start:stop], array[start:stop])
    some = np.array(sorted(data.draw(st.sets(st.integers(0, len(array) - 1)))), dtype=np.int64)
    np.testing.assert_array_equal(found[some], array[some])
    step = data.draw(st.integers(1, 30))
    parts = list(row_parts(found, 1, step))
    assert [part for part, _ in parts] == [part for part, _ in row_parts(array, 1, step)]
    np.testing.assert_array_equal(np.concatenate([block for _, block in parts]), array)


def test_a_pass_reads_each_chunk_once_whatever_the_blocks():
    series = a_series(np.random.default_rng(0).normal(size=(50, 2, 3)))
    lazy, reads = stored(series, 8)
    for step in (1, 3, 8, 13, 50):
        reads.sizes.clear()
        list(row_parts(rows_of(lazy), 1, step))
        assert sum(reads.sizes) == 50 * 2 * 3


def test_a_series_is_held_where_it_fits_and_stays_where_it_is_else():
    series = a_region()
    size = series["embedding"].nbytes
    lazy, reads = stored(series, 8)
    assert held(lazy, size - 1) is lazy
    assert not reads.count
    whole = held(lazy, size)
    assert isinstance(rows_of(whole), np.ndarray)
    assert isinstance(rows_of(lazy), StoredRows)  # the series that was given is as it was
    assert isinstance(rows_of(held(lazy)), np.ndarray)
    xr.testing.assert_identical(whole, series)
    assert held(series, 0) is series


@pytest.mark.parametrize(("gaps", "never"), [(0.0, 0), (0.2, 0), (0.0, 7), (0.2, 7)])
@pytest.mark.usefixtures("small_blocks")
def test_zones_in_a_learned_metric_are_the_same_block_by_block(gaps, never):
    series = a_region(1, gaps=gaps, never=never)
    lazy, reads = stored(series, 11)
    whole, parts = (cluster(found, n_clusters=4, starts=2, rng=0, memory=0) for found in (series, lazy))
    xr.testing.assert_identical(whole, parts)
    assert reads.largest <= series["embedding"].size // 2
    np.testing.assert_array_equal(in_metric(series, whole)[0], in_metric(lazy, whole)[0])
    one, other = (zone_tree(found, whole, rng=0) for found in (series, lazy))
    np.testing.assert_array_equal(one.leaves, other.leaves)


@pytest.mark.parametrize(("gaps", "never"), [(0.0, 0), (0.2, 0), (0.0, 7), (0.2, 7)])
@pytest.mark.usefixtures("small_blocks")
def test_zones_by_k_means_are_the_same_block_by_block(gaps, never):
    series = a_region(1, gaps=gaps, never=never)
    lazy, reads = stored(series, 11)
    first = np.arange(320) % 5  # one more start, in which a fifth of the tiles are in no zone
    whole, parts = (
        cluster(found, n_clusters=4, starts=3, rng=0, clusterer="kmeans", first_labels=first, memory=0)
        for found in (series, lazy)
    )
    xr.testing.assert_identical(whole, parts)
    assert reads.largest <= series["embedding"].size // 2


@pytest.mark.parametrize("clusterer", ["learned", "kmeans"])
@pytest.mark.usefixtures("small_blocks")
def test_the_number_of_zones_is_chosen_alike_block_by_block(clusterer):
    series = a_region(2, gaps=0.1)
    lazy, _ = stored(series, 11)
    whole, parts = (evidence(found, most=6, rng=0, clusterer=clusterer, memory=0) for found in (series, lazy))
    assert whole.chosen == parts.chosen
    np.testing.assert_array_equal(whole.labels, parts.labels)
    np.testing.assert_array_equal(whole.strength, parts.strength)


@pytest.mark.usefixtures("small_blocks")
def test_a_zone_without_a_tile_on_a_date_has_filled_values_block_by_block():
    series = a_region(3)
    series["embedding"][:80, 1] = np.nan  # the first zone misses the second date
    lazy, _ = stored(series, 11)
    whole, parts = (cluster(found, n_clusters=4, starts=2, rng=0, memory=0) for found in (series, lazy))
    xr.testing.assert_identical(whole, parts)
    assert np.isfinite(parts["centroids"]).all()


def test_a_stored_series_is_measured_as_one_in_memory(tmp_path):
    series = a_region(4, gaps=0.1)
    values, grid = series["embedding"].to_numpy(), a_grid(16, 20)
    path = tmp_path / "series.zarr"
    embedding, valid = create_series(path, grid, series["time"].to_numpy(), values.shape[2], 7)
    embedding[:], valid[:] = values, series["valid"].to_numpy()
    finish_series(path, grid, series["time"].to_numpy(), {"grid": grid.to_json(), "min_valid": 0.5})
    lazy = read_series(path)
    assert isinstance(rows_of(lazy), StoredRows)
    zones = cluster(lazy, n_clusters=4, starts=2, rng=0, memory=0)
    xr.testing.assert_identical(
        zones.drop_vars("spatial_ref"), cluster(series, n_clusters=4, starts=2, rng=0).drop_vars("spatial_ref")
    )
    assert quality(lazy, zones) == pytest.approx(quality(series, zones), nan_ok=True)
    np.testing.assert_array_equal(representatives(lazy, zones), representatives(series, zones))


def test_long_rows_keep_their_lengths():
    rows = np.random.default_rng(0).random((3, 30_000), dtype=np.float32)
    np.testing.assert_allclose(squared_lengths(rows), (rows.astype(float) ** 2).sum(axis=1), rtol=1e-5)
