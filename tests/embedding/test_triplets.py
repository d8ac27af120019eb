from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taxoscape.embedding.places import Places
from taxoscape.embedding.tiles import TileReader
from taxoscape.embedding.triplets import Triplets, allot, cluster_triplets, geographic_triplets
from taxoscape.errors import InputError
from tests.builders import a_grid
from tests.embedding.cubes import a_cube, noise

HOLED = a_cube(noise(3), np.random.default_rng(4).random((3, 40, 56)) < np.array([0.9, 0.5, 0.7])[:, None, None])


def geographic(
    tile: int, reach: int, n: int = 60, seed: int = 0, height: int = 30, width: int = 47, min_valid: float = 0.5
) -> Triplets:
    cube = a_cube(noise(2, 1, height, width))
    return geographic_triplets(cube, tile_size=tile, neighbourhood_px=reach, n=n, rng=seed, min_valid=min_valid)


@given(tile=st.integers(1, 20), reach=st.integers(1, 26), seed=st.integers(0, 2**32 - 1))
def test_neighbours_are_near_on_the_same_date_and_distant_tiles_lie_outside_the_square(
    tile: int, reach: int, seed: int
) -> None:
    found = geographic(tile, reach, seed=seed)
    for table in (found.anchor, found.neighbour, found.distant):
        assert table.dtype == np.int32
        assert table.shape == (60, 3)
        assert (table >= 0).all()
        assert (table <= [30 - tile, 47 - tile, 1]).all()
    offset = np.abs(found.neighbour - found.anchor)
    assert (offset[:, :2].max(axis=1) <= reach).all()
    assert (offset[:, :2].max(axis=1) > 0).all()
    assert (offset[:, 2] == 0).all()
    away = np.abs(found.distant - found.anchor)[:, :2].max(axis=1)
    assert (away > reach).all()
    assert found.group is None


def test_distant_tiles_may_share_rows_or_columns_with_the_anchor_and_any_date() -> None:
    found = geographic(4, 6, n=4000)
    apart = np.abs(found.distant - found.anchor)
    assert (apart[:, 0] <= 6).any()  # a square is forbidden, not a cross
    assert (apart[:, 1] <= 6).any()
    assert 0.4 < apart[:, 2].mean() < 0.6  # any date


def test_anchors_neighbours_and_distant_tiles_are_uniform_over_what_they_may_be() -> None:
    found = geographic(24, 2, n=60_000, height=28, width=30)  # 5 × 7 places
    places = [(r, c) for r in range(5) for c in range(7)]
    allowed = {(a, b) for a in places for b in places if max(abs(a[0] - b[0]), abs(a[1] - b[1])) > 2}
    starts = {a for a, _ in allowed}
    anchors, counts = np.unique(found.anchor[:, :2], axis=0, return_counts=True)
    assert {tuple(a) for a in anchors.tolist()} == starts
    assert counts.min() > 0.85 * len(found) / len(starts)
    assert counts.max() < 1.15 * len(found) / len(starts)
    for anchor in [(0, 0), (2, 1), (4, 6), (1, 6)]:
        chosen = (found.anchor[:, :2] == anchor).all(axis=1)
        others = {b for a, b in allowed if a == anchor}
        _uniform_over(found.distant[chosen, :2], others)
        square = {b for b in places if max(abs(anchor[0] - b[0]), abs(anchor[1] - b[1])) <= 2} - {anchor}
        _uniform_over(found.neighbour[chosen, :2], square)


def _uniform_over(rows: np.ndarray, expected: set[tuple[int, int]]) -> None:
    values, counts = np.unique(rows, axis=0, return_counts=True)
    assert {tuple(v) for v in values.tolist()} == expected
    mean = len(rows) / len(expected)
    assert np.abs(counts - mean).max() < 6 * np.sqrt(mean)


@given(min_valid=st.sampled_from([0.0, 0.4, 0.6, 0.75]), seed=st.integers(0, 999))
def test_all_three_tiles_have_the_valid_share_asked_for(min_valid: float, seed: int) -> None:
    reader = TileReader(HOLED, 7)
    found = geographic_triplets(reader, tile_size=7, n=20, rng=seed, min_valid=min_valid)
    for table in (found.anchor, found.neighbour, found.distant):
        assert (reader.valid_share(table) >= min_valid).all()


def test_the_same_seed_gives_the_same_triplets_and_the_neighbourhood_is_the_tile_size_where_not_given() -> None:
    first, second = (geographic_triplets(HOLED, tile_size=7, n=30, rng=5) for _ in range(2))
    named = geographic_triplets(HOLED, tile_size=7, neighbourhood_px=7, n=30, rng=np.random.default_rng(5))
    other = geographic_triplets(HOLED, tile_size=7, n=30, rng=6)
    assert first.digest == second.digest == named.digest != other.digest


def test_a_region_within_one_neighbourhood_is_refused() -> None:
    with pytest.raises(InputError, match=r"no tile of 16 px further than the neighbourhood of 40 px.*neighbourhood_px"):
        geographic(16, 40)


def test_a_tile_larger_than_the_region_is_refused() -> None:
    with pytest.raises(InputError, match=r"no whole tile of 31 × 31 px fits the region of 30 × 47 px.*--tile-size"):
        geographic(31, 5)


def test_a_neighbourhood_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1 px, not 0"):
        geographic(8, 0)


def test_a_cube_without_enough_valid_tiles_is_refused_in_bounded_time() -> None:
    cube = a_cube(noise(2), np.zeros((2, 40, 56), bool))
    with pytest.raises(InputError, match=r"only 0 of 10 triplets found tiles of 8 px.*--min-valid"):
        geographic_triplets(cube, tile_size=8, n=10, rng=0)


def test_a_small_valid_part_of_a_large_frame_gives_triplets_uniform_over_its_tiles() -> None:
    valid = np.zeros((2, 400, 500), bool)
    valid[0, 90:130, 200:235] = True  # 0.7 % of the frame
    reader = TileReader(a_cube(noise(2, 1, 400, 500), valid), 20)
    found = geographic_triplets(reader, tile_size=20, neighbourhood_px=6, n=20_000, rng=0, min_valid=1.0)
    good = {(row, col) for row in range(90, 111) for col in range(200, 216)}
    anchors, counts = np.unique(found.anchor, axis=0, return_counts=True)
    assert {tuple(a) for a in anchors.tolist()} <= {(*g, 0) for g in good}
    assert len(anchors) == len(good)
    assert counts.max() < 2 * counts.mean()
    for table in (found.neighbour, found.distant):
        assert {tuple(row) for row in table.tolist()} <= {(*g, 0) for g in good}
    assert (np.abs(found.distant - found.anchor)[:, :2].max(axis=1) > 6).all()


def test_tiles_without_one_valid_pixel_are_never_drawn_even_where_no_share_is_asked_for() -> None:
    valid = np.zeros((1, 60, 60), bool)
    valid[0, :30] = True
    reader = TileReader(a_cube(noise(1, 1, 60, 60), valid), 8)
    found = geographic_triplets(reader, tile_size=8, n=300, rng=0, min_valid=0.0)
    for table in (found.anchor, found.neighbour, found.distant):
        assert (reader.valid_share(table) > 0).all()


def test_distant_tiles_are_of_the_anchors_date_where_asked_for() -> None:
    found = geographic_triplets(HOLED, tile_size=7, n=200, rng=0, same_date=True)
    np.testing.assert_array_equal(found.distant[:, 2], found.anchor[:, 2])
    assert (np.abs(found.distant - found.anchor)[:, :2].max(axis=1) > 7).all()


@settings(max_examples=30)
@given(tile=st.integers(1, 30), min_valid=st.sampled_from([0.0, 0.3, 0.9, 1.0]), seed=st.integers(0, 999))
def test_places_hold_every_good_tile_and_draw_each_alike(tile: int, min_valid: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    valid = np.kron(rng.random((2, 5, 7)) < 0.3, np.ones((1, 9, 9), bool))[:, :40, :58]
    reader = TileReader(a_cube(noise(2, 1, 40, 58), valid), tile)
    corners = np.array([(r, c, t) for t in range(2) for r in range(41 - tile) for c in range(59 - tile)])
    share = reader.valid_share(corners)
    good = {tuple(c) for c in corners[(share >= min_valid) & (share > 0)].tolist()}
    places = Places.of(reader, min_valid)
    drawn = {tuple(c) for c in places.draw(40 * max(1, len(places)), rng).tolist()} if len(places) else set()
    assert good <= drawn
    assert drawn <= {tuple(c) for c in corners.tolist()}


@given(total=st.integers(0, 300), sizes=st.lists(st.integers(0, 50), min_size=1, max_size=9))
def test_an_allotment_adds_up_is_never_negative_and_off_by_less_than_one(total: int, sizes: list[int]) -> None:
    given_ = allot(total, np.array(sizes))
    assert given_.min() >= 0
    assert given_.sum() == (total if sum(sizes) else 0)
    if sum(sizes):
        assert (np.abs(given_ - total * np.array(sizes) / sum(sizes)) < 1).all()


@given(data=st.data(), per_date=st.integers(1, 40), seed=st.integers(0, 999))
def test_cluster_triplets_pair_tiles_of_one_zone_on_one_date_against_another_zone(
    data: st.DataObject, per_date: int, seed: int
) -> None:
    grid = a_grid(4, 5, 10)
    labels = np.array(data.draw(st.lists(st.integers(0, 4), min_size=20, max_size=20)))
    counts = np.array(data.draw(st.lists(st.booleans(), min_size=60, max_size=60))).reshape(20, 3)
    sizes = [np.bincount(labels[counts[:, t] & (labels > 0)], minlength=5) for t in range(3)]
    usable = [t for t in range(3) if (sizes[t] > 0).sum() > 1 and sizes[t].max() > 1]
    if not usable:
        with pytest.raises(InputError, match=r"one zone only|no date has tiles of two zones"):
            cluster_triplets(grid, labels, counts, per_date=per_date, rng=seed)
        return
    found = cluster_triplets(grid, labels, counts, per_date=per_date, rng=seed)
    assert found.group is not None
    tile_of = {tuple(corner): i for i, corner in enumerate(grid.corners.tolist())}
    anchor, neighbour, distant = (
        np.array([tile_of[tuple(row)] for row in table[:, :2].tolist()])
        for table in (found.anchor, found.neighbour, found.distant)
    )
    time = found.anchor[:, 2]
    assert (time == found.neighbour[:, 2]).all()
    assert (time == found.distant[:, 2]).all()
    assert (anchor != neighbour).all()
    assert (labels[anchor] == labels[neighbour]).all()
    assert (labels[anchor] != labels[distant]).all()
    assert (labels[distant] > 0).all()
    for tiles in (anchor, neighbour, distant):
        assert counts[tiles, time].all()
    np.testing.assert_array_equal(found.group, np.column_stack([labels[anchor], labels[distant]]))
    np.testing.assert_array_equal(np.bincount(time, minlength=3)[usable], per_date)
    for t in usable:
        paired = np.where(sizes[t] > 1, sizes[t], 0)
        share = per_date * paired / paired.sum()
        assert (np.abs(np.bincount(labels[anchor[time == t]], minlength=5) - share) < 1).all()


def test_distant_tiles_come_from_the_other_zones_in_proportion_to_their_size() -> None:
    grid = a_grid(4, 5, 10)
    labels = np.repeat([1, 2, 3], [4, 12, 4])
    found = cluster_triplets(grid, labels, np.ones((20, 1), bool), per_date=20_000, rng=0)
    assert found.group is not None
    far = found.group[found.group[:, 0] == 1, 1]
    assert abs(np.mean(far == 2) - 0.75) < 0.03
    assert (np.unique(found.neighbour, axis=0).shape[0], np.unique(found.distant, axis=0).shape[0]) == (20, 20)


def test_a_zone_of_one_tile_gives_no_anchor_but_is_distant_to_others() -> None:
    labels = np.array([1] * 9 + [2])
    found = cluster_triplets(a_grid(2, 5, 10), labels, np.ones((10, 2), bool), per_date=7, rng=0)
    assert found.group is not None
    assert len(found) == 14
    assert (found.group == [1, 2]).all()


def test_labels_and_counts_of_another_grid_are_refused() -> None:
    with pytest.raises(InputError, match="do not fit a grid of 10 tiles"):
        cluster_triplets(a_grid(2, 5, 10), np.ones(9, int), np.ones((9, 2), bool), per_date=2, rng=0)
