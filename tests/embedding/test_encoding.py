from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.contracts import check_series
from taxoscape.embedding import encoding
from taxoscape.embedding.encoder import Encoder
from taxoscape.embedding.encoding import Block, encode, encode_block, encode_blocks, filled, plan_blocks
from taxoscape.embedding.quick import NEAR, quickened, usual_batch
from taxoscape.embedding.tiles import TileReader
from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice
from taxoscape.zones.missing import truly_seen
from tests.builders import a_grid
from tests.embedding.cubes import a_cube, noise
from tests.embedding.test_encoder import ENCODER, RECIPE

HOLES = np.random.default_rng(4).random((3, 42, 57)) < np.array([1.0, 0.5, 0.0])[:, None, None]
CUBE = a_cube(noise(3, 2, 42, 57), HOLES).assign_coords(band=["red", "nir"])


@given(rows=st.integers(1, 7), cols=st.integers(1, 9), times=st.integers(1, 5), budget=st.integers(1, 400_000))
def test_blocks_cover_each_tile_once_in_order_within_the_budget(rows: int, cols: int, times: int, budget: int) -> None:
    grid = a_grid(rows, cols, 10)
    blocks = plan_blocks(grid, times, n_bands=2, block_bytes=budget)
    assert [i for block in blocks for i in range(block.start, block.stop)] == list(range(rows * cols))
    per_tile = 4 * times * 2 * 100
    for block in blocks:
        assert len(block) == 1 or len(block) * per_tile <= budget
        whole_rows = block.start % cols == 0 and (block.stop % cols == 0)
        within_a_row = block.start // cols == (block.stop - 1) // cols
        assert whole_rows or within_a_row
        if cols * per_tile <= budget:
            assert whole_rows


def test_a_series_has_the_vector_of_each_tile_on_each_date_it_counts_and_NaN_elsewhere() -> None:
    series = encode(CUBE, ENCODER, min_valid=0.5)
    quick = quickened(ENCODER)
    batch = usual_batch(quick.network, 10)
    grid = check_series(series)
    assert (grid.n_rows, grid.n_cols) == (4, 5)
    reader = TileReader(CUBE, 10)
    for i, (row, col) in enumerate(grid.corners):
        for t in range(3):
            window = HOLES[t, row : row + 10, col : col + 10]
            assert series["valid"].values[i, t] == pytest.approx(window.mean())
            found = series["embedding"].values[i, t]
            if window.mean() >= 0.5:
                tile = reader.read(np.array([[row, col, t]]))
                np.testing.assert_array_equal(found, quick.embed(*tile, batch_size=batch)[0])
            else:
                assert np.isnan(found).all()
    counts = series["valid"].values >= 0.5
    assert counts[:, 0].all()
    assert 0 < counts[:, 1].sum() < 20
    assert not counts[:, 2].any()


def test_a_series_keeps_its_contract() -> None:
    series = encode(CUBE, ENCODER)
    assert series["embedding"].dims == ("tile", "time", "feature")
    assert series["embedding"].dtype == series["valid"].dtype == np.float32
    np.testing.assert_array_equal(series["time"], CUBE["time"])
    assert series.attrs["min_valid"] == 0.5
    assert json.loads(series.attrs["encoder"])["recipe"]["tile_size"] == 10
    assert {"row", "col", "x", "y", "spatial_ref"} <= set(series.coords)


def test_blocks_together_are_the_whole() -> None:
    series = encode(CUBE, ENCODER)
    grid = Grid.over(Lattice.of(CUBE), tile_size=10)
    for reader in (TileReader(CUBE, 10), TileReader(CUBE, 10, memory=0)):
        parts = [encode_block(reader, ENCODER, grid, Block(i, min(i + 3, 20))) for i in range(0, 20, 3)]
        np.testing.assert_array_equal(np.concatenate([p[0] for p in parts]), series["embedding"])
        np.testing.assert_array_equal(np.concatenate([p[1] for p in parts]), series["valid"])


@pytest.mark.parametrize("memory", [0, 2**30])
def test_blocks_read_ahead_in_parts_are_blocks_one_by_one(monkeypatch: pytest.MonkeyPatch, memory: int) -> None:
    grid = Grid.over(Lattice.of(CUBE), tile_size=10)
    blocks = [Block(0, 3), Block(3, 4), Block(4, 17), Block(17, 20)]
    single = [encode_block(TileReader(CUBE, 10, memory=memory), ENCODER, grid, block, batch_size=4) for block in blocks]
    monkeypatch.setattr(encoding, "GATHERED_PIXELS", 1)
    found = list(encode_blocks(TileReader(CUBE, 10, memory=memory), ENCODER, grid, blocks, batch_size=4))
    for one, other in zip(single, found, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_a_block_without_a_tile_that_counts_is_all_missing() -> None:
    empty = CUBE.assign_coords(valid=CUBE["valid"] & False)
    series = encode(empty, ENCODER)
    assert np.isnan(series["embedding"]).all()
    assert not series["valid"].any()


def test_a_series_in_bfloat16_is_that_in_float32_within_the_bound_and_auto_is_one_of_them() -> None:
    wide, narrow, auto = (
        encode(CUBE, ENCODER, precision=p)["embedding"].values for p in ("float32", "bfloat16", "auto")
    )
    seen = np.isfinite(wide).all(axis=2)
    apart = np.linalg.norm(narrow[seen] - wide[seen], axis=1) / np.linalg.norm(wide[seen], axis=1)
    assert 0 < apart.max() <= NEAR
    np.testing.assert_array_equal(np.isnan(narrow), np.isnan(wide))
    assert any(np.array_equal(auto, one, equal_nan=True) for one in (wide, narrow))


def test_tiles_that_do_not_count_are_never_sent_through_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    embed = Encoder.embed

    def counted(self: Encoder, tiles: np.ndarray, valid: np.ndarray, *, batch_size: int) -> np.ndarray:
        sent.append(valid.mean(axis=(1, 2)))
        return embed(self, tiles, valid, batch_size=batch_size)

    monkeypatch.setattr(Encoder, "embed", counted)
    series = encode(CUBE, ENCODER, min_valid=0.0)
    assert np.concatenate(sent).min() > 0
    assert sum(map(len, sent)) == 40  # of 60: the third date is empty
    assert np.isnan(series["embedding"].values[:, 2]).all()


def test_partial_tiles_are_kept_where_asked_for_and_strides_overlap() -> None:
    kept = encode(CUBE, ENCODER, partial="keep", min_valid=0.01)
    assert kept.sizes["tile"] == 5 * 6
    assert np.isfinite(kept["embedding"].values[-1, 0]).all()
    assert kept["valid"].values[-1, 0] == pytest.approx(0.14)
    with pytest.warns(UserWarning, match="--stride 6 takes"):
        dense = encode(CUBE, ENCODER, stride=5)
    plain = encode(CUBE, ENCODER, precision="float32")
    assert dense.sizes["tile"] == 7 * 10
    np.testing.assert_allclose(dense["embedding"].values[0], plain["embedding"].values[0], atol=1e-5)


def test_a_cube_without_any_counting_tile_gives_a_series_of_NaN() -> None:
    cube: xr.DataArray = a_cube(noise(), np.zeros((2, 40, 56), bool)).assign_coords(band=["red", "nir"])
    assert np.isnan(encode(cube, ENCODER)["embedding"].values).all()


def test_a_cube_of_other_bands_is_refused() -> None:
    with pytest.raises(InputError, match=r"made for the bands \('red', 'nir'\), the cube has \('a', 'b'\)"):
        encode(CUBE.assign_coords(band=["a", "b"]), ENCODER)


def test_a_grid_of_another_tile_size_is_refused() -> None:
    with pytest.raises(InputError, match="tiles of 5 px, the encoder takes 10 px"):
        encode_block(CUBE, ENCODER, Grid.over(Lattice.of(CUBE), tile_size=5), Block(0, 1))
    assert RECIPE.tile_size == 10


def test_missing_dates_are_filled_on_a_line_in_time_and_held_at_the_ends():
    days = np.array(["2023-01-03", "2023-01-11", "2023-01-13", "2023-02-01"], "datetime64[ns]")
    values = np.array([[np.nan, 2, np.nan, 23], [1, 2, 3, 4], [np.nan] * 4, [np.nan, np.nan, 5, np.nan]], np.float32)
    found = filled(values[:, :, None], days)[:, :, 0]
    np.testing.assert_allclose(found[0], [2, 2, 4, 23])
    np.testing.assert_array_equal(found[1], values[1])
    assert np.isnan(found[2]).all()
    np.testing.assert_array_equal(found[3], [5] * 4)
    assert np.isnan(values[0, 0])


@pytest.mark.parametrize("stride", [10, 5])
def test_a_filled_series_has_every_date_and_remembers_what_was_seen(stride):
    grid = Grid.over(Lattice.of(CUBE), tile_size=10, stride=stride)
    plain, whole = (encode(CUBE, ENCODER, grid=grid, fill=fill) for fill in (False, True))
    seen = np.isfinite(plain["embedding"].to_numpy()).all(axis=2)
    assert not seen.all()
    assert np.isfinite(whole["embedding"].to_numpy()[seen.any(axis=1)]).all()
    np.testing.assert_array_equal(whole["embedding"].to_numpy()[seen], plain["embedding"].to_numpy()[seen])
    xr.testing.assert_identical(whole["valid"], plain["valid"])
    np.testing.assert_array_equal(truly_seen(whole, np.ones_like(seen)), seen)
    assert "filled" not in plain.attrs
