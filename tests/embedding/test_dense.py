from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taxoscape.embedding import dense
from taxoscape.embedding.dense import BOUND, Sheets, advice, encode_tiles, is_dense, times_whole, window_moments
from taxoscape.embedding.encoder import Encoder
from taxoscape.embedding.encoding import Block, blocks_for, encode, encode_block
from taxoscape.embedding.fixed import TileStatistics
from taxoscape.embedding.tiles import TileReader
from taxoscape.grid import Grid, Lattice
from tests.embedding.cubes import a_cube, noise
from tests.embedding.test_encoder import RECIPE
from tests.embedding.test_overlap import a_network

SIZE, STRIDE = 32, 8
HOLES = np.random.default_rng(7).random((3, 75, 98)) < np.array([1.0, 0.55, 0.0])[:, None, None]
HOLES[1, 10:60, 20:70] = False
CUBE = a_cube(noise(3, 2, 75, 98), HOLES).assign_coords(band=["red", "nir"])


def an_encoder(size: int = SIZE, weights: tuple[float, ...] = (1.0, 0.5, 2.0), **changes: object) -> Encoder:
    recipe = replace(RECIPE, tile_size=size, n_features=5, weights=weights, **changes)
    return Encoder(recipe, a_network(size))


ENCODER = an_encoder()
GRID = Grid.over(Lattice.of(CUBE), tile_size=SIZE, stride=STRIDE)


def one_by_one(encoder: Encoder, grid: Grid, min_valid: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Return what encoding tile by tile gives."""
    reader = TileReader(CUBE, encoder.tile_size)
    corners = np.column_stack([np.repeat(grid.corners, 3, axis=0), np.tile(np.arange(3), grid.n_tiles)])
    share = reader.valid_share(corners)
    vectors = encoder.embed(*reader.read(corners))
    vectors[(share < min_valid) | (share == 0)] = np.nan
    return vectors.reshape(grid.n_tiles, 3, -1), share.reshape(-1, 3)


def differences(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return by how much vectors differ, as shares of their length; both must be NaN alike."""
    np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
    known = np.isfinite(one).all(axis=-1)
    return np.linalg.norm(one[known] - other[known], axis=-1) / np.linalg.norm(other[known], axis=-1)


@pytest.mark.parametrize(
    ("size", "stride"),
    [(5, 2), (10, 2), (16, 4), (24, 8), (30, 8), (48, 8), (48, 12), (48, 16), (50, 16), (64, 16), (64, 24)],
)
@pytest.mark.parametrize("weights", [(), (1.0, 0.5, 2.0)])
def test_vectors_of_one_pass_are_those_of_each_tile_alone_within_the_bound(
    size: int, stride: int, weights: tuple[float, ...]
) -> None:
    encoder, grid = an_encoder(size, weights), Grid.over(Lattice.of(CUBE), tile_size=size, stride=stride)
    assert is_dense("fast", tile_size=size, stride=stride)
    embedding, valid = encode_block(CUBE, encoder, grid, Block(0, grid.n_tiles), min_valid=0.3)
    expected, share = one_by_one(encoder, grid, 0.3)
    np.testing.assert_array_equal(valid, share)
    assert differences(embedding, expected).max() < BOUND
    assert np.isnan(embedding).all(axis=-1).any()


@pytest.mark.parametrize("normalised", [True, False])
def test_vectors_are_of_length_one_where_the_recipe_says_so(normalised: bool) -> None:
    series = encode(CUBE, an_encoder(weights=(), normalised=normalised), stride=STRIDE)
    length = np.linalg.norm(series["embedding"].values[:, 0], axis=-1)
    assert np.allclose(length, 1, rtol=1e-5) is normalised


def test_tiles_that_reach_over_the_edge_are_as_they_are_alone() -> None:
    grid = Grid.over(Lattice.of(CUBE), tile_size=SIZE, stride=STRIDE, partial="keep")
    assert grid.corners.min() < 0
    embedding, valid = encode_block(CUBE, ENCODER, grid, Block(0, grid.n_tiles), min_valid=0.1)
    expected, share = one_by_one(ENCODER, grid, 0.1)
    np.testing.assert_array_equal(valid, share)
    assert differences(embedding, expected).max() < BOUND


@settings(max_examples=15)
@given(cuts=st.lists(st.integers(1, GRID.n_tiles - 1), max_size=3, unique=True), most=st.integers(6, 60))
def test_a_block_does_not_depend_on_the_plan(cuts: list[int], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "POSITIONS", (most, 2 * most))
        whole = encode_block(CUBE, ENCODER, GRID, Block(0, GRID.n_tiles))
        reader = TileReader(CUBE, SIZE, memory=0)
        edges = [0, *sorted(cuts), GRID.n_tiles]
        parts = [encode_block(reader, ENCODER, GRID, Block(*edge)) for edge in itertools.pairwise(edges)]
    for i in range(2):
        np.testing.assert_array_equal(np.concatenate([part[i] for part in parts]), whole[i])


def test_ground_beyond_a_tile_has_no_influence_on_it() -> None:
    other = CUBE.copy(data=CUBE.values.copy())
    other.values[:, :, SIZE:], other.values[..., SIZE:] = 255, 255
    one, changed = (encode_block(cube, ENCODER, GRID, Block(0, 2))[0] for cube in (CUBE, other))
    np.testing.assert_array_equal(one[0], changed[0])
    assert not np.array_equal(one[1, 0], changed[1, 0])


def test_the_plan_is_rows_of_sheets_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "POSITIONS", (12, 24))  # 6 for each line of tiles
    sheets = Sheets.over(GRID, n_times=3, n_features=9)
    assert (GRID.n_rows, GRID.n_cols, sheets.rows, sheets.cols) == (6, 9, 2, 3)
    assert sheets.shape == (STRIDE + SIZE, 2 * STRIDE + SIZE)
    blocks = blocks_for(ENCODER, GRID, 3)
    assert [(block.start, block.stop) for block in blocks] == [(0, 18), (18, 36), (36, 54)]
    monkeypatch.setattr(dense, "VECTOR_BYTES", 4 * 9 * 3 * 9)
    assert Sheets.over(GRID, n_times=3, n_features=9).rows == 1


def test_dates_without_a_counting_tile_are_not_sent_through_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    monkeypatch.setattr(dense, "overlapping_moments", lambda *_, **__: runs.append(1) or (torch.zeros(54, 128),) * 2)
    encode_tiles(TileReader(CUBE, SIZE), ENCODER, GRID, 0, GRID.n_tiles, min_valid=0.3)
    assert len(runs) == 2  # of three dates: the last is empty


def test_window_moments_are_those_of_tile_statistics() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, 30, 44, generator=generator) * 1e-3 + 5
    valid = torch.rand(1, 1, 30, 44, generator=generator) < 0.6
    valid[..., :12, :12] = False
    mean, variance = window_moments(x, valid, 10, 4)
    tiles, masks = (t.unfold(2, 10, 4).unfold(3, 10, 4)[0].permute(1, 2, 0, 3, 4).flatten(0, 1) for t in (x, valid))
    expected = TileStatistics()(tiles, masks)
    assert (mean[0] == 0).all()
    torch.testing.assert_close(torch.cat([mean, variance.sqrt()], dim=1).float(), expected, rtol=1e-4, atol=1e-8)


def test_one_pass_is_for_overlapping_tiles_of_the_default_network_alone() -> None:
    assert is_dense("fast", tile_size=48, stride=16)
    assert not is_dense("fast", tile_size=48, stride=48)
    assert not any(is_dense(name, tile_size=50, stride=16) for name in ("tilenet", "rcf", "stats"))
    assert times_whole("fast", tile_size=48, stride=48) == 1
    assert times_whole("tilenet", tile_size=50, stride=10) == pytest.approx(25)
    assert times_whole("fast", tile_size=64, stride=16) == pytest.approx(2.8, abs=0.05)


@pytest.mark.parametrize(
    ("size", "stride", "told"),
    [
        (48, 12, r"48 px every 12 px take about 5\.9 times .* multiple of 8 px; --stride 16 takes 2\.8 times"),
        (50, 25, r"50 px every 25 px take about 4\.0 times .* multiple of 8 px; --stride 24 takes 1\.8 times"),
        (50, 49, r"take about 1\.0 times .* --stride 48 takes 1\.1 times"),
        (10, 2, r"10 px every 2 px take about 21\.2 times .*: they are so small"),
    ],
)
def test_sizes_that_share_little_are_told_with_the_stride_that_fits(size: int, stride: int, told: str) -> None:
    assert re.search(told, advice("fast", tile_size=size, stride=stride))


@pytest.mark.parametrize(
    ("network", "size", "stride"), [("fast", 48, 16), ("fast", 50, 16), ("fast", 50, 50), ("tilenet", 50, 25)]
)
def test_nothing_is_told_where_all_is_well(network: str, size: int, stride: int) -> None:
    assert not advice(network, tile_size=size, stride=stride)


def test_tiles_that_share_nothing_go_one_by_one() -> None:
    grid = Grid.over(Lattice.of(CUBE), tile_size=50, stride=25)
    encoder = an_encoder(50)
    embedding, _ = encode_block(CUBE, encoder, grid, Block(0, grid.n_tiles))
    np.testing.assert_allclose(embedding, one_by_one(encoder, grid)[0], atol=1e-5)  # folded norms round otherwise


def test_encoding_warns_where_tiles_share_little() -> None:
    with pytest.warns(UserWarning, match=r"32 px every 9 px .* --stride 8 takes"):
        series = encode(CUBE, ENCODER, stride=9)
    grid = Grid.over(Lattice.of(CUBE), tile_size=SIZE, stride=9)
    assert encode(CUBE, ENCODER, grid=grid).equals(series)  # chosen before, so nothing is told
    assert differences(series["embedding"].values, one_by_one(ENCODER, grid)[0]).max() < BOUND
