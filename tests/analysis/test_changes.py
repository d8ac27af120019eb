from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from taxoscape.analysis.changes import Move, changes
from taxoscape.errors import InputError


@st.composite
def partitions(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    n, k_before, k_after = draw(st.integers(1, 40)), draw(st.integers(1, 5)), draw(st.integers(1, 5))
    before, after = rng.integers(0, k_before + 1, n), rng.integers(0, k_after + 1, n)
    return before.astype(np.uint8), after.astype(np.uint16), rng.uniform(0.5, 2, n)


def test_tiles_that_moved_are_told_by_where_they_went_with_their_area():
    before = np.array([1, 1, 1, 2, 2, 0, 3, 3])
    after = np.array([1, 2, 2, 2, 1, 1, 3, 0])
    found = changes(before, after, np.array([1, 0.5, 0.5, 1, 2, 9, 1, 9]))
    np.testing.assert_array_equal(found.tiles, [[1, 2, 0], [1, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(found.areas_km2, [[1, 1, 0], [2, 1, 0], [0, 0, 1]])
    assert found.moves == (
        Move(before=2, after=1, n_tiles=1, area_km2=2.0),
        Move(before=1, after=2, n_tiles=2, area_km2=1.0),
    )
    assert (found.n_tiles, found.n_moved, found.moved_share, found.moved_km2) == (6, 3, 0.5, 3.0)
    first = found.zones[0]
    assert (first.zone, first.kept, first.gained, first.lost) == (1, 1, 1, 2)
    assert (first.kept_km2, first.gained_km2, first.lost_km2) == (1.0, 2.0, 1.0)


@given(partitions())
def test_contingency_ari_and_nmi_equal_scikit_learn(case):
    before, after, areas = case
    found = changes(before, after, areas)
    both = (before > 0) & (after > 0)
    assert found.tiles.shape == (before.max(), after.max())
    assert found.tiles.sum() == both.sum() == found.n_tiles
    if not both.any():
        assert np.isnan([found.ari, found.nmi, found.moved_share]).all()
        assert found.moves == ()
        return
    rows, cols = np.unique(before[both]) - 1, np.unique(after[both]) - 1
    np.testing.assert_array_equal(found.tiles[np.ix_(rows, cols)], contingency_matrix(before[both], after[both]))
    assert found.ari == adjusted_rand_score(before[both], after[both])
    assert found.nmi == normalized_mutual_info_score(before[both], after[both])
    assert found.moved_share == np.mean(before[both] != after[both])


@given(partitions())
def test_moves_and_zones_equal_a_loop_over_tiles(case):
    before, after, areas = case
    found = changes(before, after, areas)
    moved: dict[tuple[int, int], list[float]] = {}
    k = max(before.max(), after.max())
    kept, gained, lost = (np.zeros((k + 1, 2)) for _ in range(3))
    for old, new, area in zip(before.tolist(), after.tolist(), areas.tolist(), strict=True):
        if not old or not new:
            continue
        if old == new:
            kept[old] += 1, area
        else:
            moved.setdefault((old, new), []).append(area)
            gained[new] += 1, area
            lost[old] += 1, area
    assert {(m.before, m.after): m.n_tiles for m in found.moves} == {pair: len(a) for pair, a in moved.items()}
    for move in found.moves:
        assert move.area_km2 == pytest.approx(sum(moved[move.before, move.after]))
    sizes = [move.area_km2 for move in found.moves]
    assert sizes == sorted(sizes, reverse=True)
    assert [z.zone for z in found.zones] == list(range(1, k + 1))
    for z in found.zones:
        assert (z.kept, z.gained, z.lost) == (kept[z.zone, 0], gained[z.zone, 0], lost[z.zone, 0])
        assert (z.kept_km2, z.gained_km2, z.lost_km2) == pytest.approx(
            (kept[z.zone, 1], gained[z.zone, 1], lost[z.zone, 1])
        )


@given(partitions(), st.integers(0, 100))
def test_renumbering_changes_neither_ari_nor_nmi(case, seed):
    before, after, areas = case
    order = np.concatenate([[0], np.random.default_rng(seed).permutation(after.max()) + 1])
    one, other = changes(before, after, areas), changes(before, order[after], areas)
    np.testing.assert_allclose((one.ari, one.nmi), (other.ari, other.nmi), atol=1e-12)


def test_nothing_moves_between_a_partition_and_itself():
    labels = np.array([1, 2, 2, 0])
    found = changes(labels, labels, np.ones(4))
    assert (found.n_moved, found.moved_share, found.ari, found.nmi, found.moves) == (0, 0.0, 1.0, 1.0, ())


def test_one_zone_of_one_tile_and_no_zone_at_all_work():
    one = changes(np.array([1]), np.array([1]), np.ones(1))
    assert (one.tiles.tolist(), one.ari) == ([[1]], 1.0)
    none = changes(np.zeros(3, int), np.zeros(3, int), np.ones(3))
    assert none.tiles.shape == (0, 0)
    assert none.zones == ()
    assert np.isnan(none.ari)


def test_partitions_of_different_tiles_are_refused():
    with pytest.raises(InputError, match="not one value per tile"):
        changes(np.ones(3, int), np.ones(4, int), np.ones(3))


@pytest.mark.parametrize("bad", [np.array([1.0, 2.0]), np.array([1, -1])])
def test_labels_that_are_no_zones_are_refused(bad):
    with pytest.raises(InputError, match="zones after are not whole numbers"):
        changes(np.ones(2, int), bad, np.ones(2))
