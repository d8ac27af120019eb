"""The picture of what refinement did: it shows what moved, says it when nothing did, and its letters do not collide."""

from __future__ import annotations

import numpy as np
import pytest

from taxoscape.analysis.changes import changes
from taxoscape.areas import cell_areas_km2
from taxoscape.errors import InputError
from taxoscape.publish import canvas
from taxoscape.publish.change_figure import UNKNOWN, figure_moves
from taxoscape.publish.table import zone_table
from tests.publish.test_figures import SHAPES, check_letters, pixels, texts, where


@pytest.fixture
def drawn(monkeypatch):
    figures = []
    monkeypatch.setattr(canvas, "save", lambda figure, path, dpi=150: figures.append(figure))
    return figures


def draw(path, grid, before, after, table):
    found = changes(before, after, cell_areas_km2(grid))
    figure_moves(path, before=before, after=after, changes=found, grid=grid, table=table)


def shaken(labels, share, seed=0):
    """Labels of which a share has gone to another zone."""
    rng = np.random.default_rng(seed)
    k, after = int(labels.max()), labels.copy()
    chosen = (rng.random(len(labels)) < share) & (labels > 0)
    after[chosen] = rng.integers(1, k + 1, int(chosen.sum()))
    return after


def words(figure):
    return [" ".join(text.split()) for text, _ in texts(figure)]


def two_zones(make):
    grid = make.grid(n_rows=7, n_cols=11, tile=50)
    before = np.ones(77, np.uint8)
    before[:11] = 2
    after = before.copy()
    after[-6:] = 2
    after[0] = 0
    return grid, before, after, zone_table(after, grid, np.array([[20, 90, 160], [210, 60, 30]], np.uint8))


def test_the_moves_are_told_in_words_with_tiles_and_area(make, drawn, tmp_path):
    draw(tmp_path / "m.png", *two_zones(make))
    shown = words(drawn[0])
    assert "1 → 2: 6 tiles, 1.50 km²" in shown
    assert "6 tiles of 76 moved, 1.50 km². The moves:" in shown
    assert "Moved: 7.9 % of the tiles" in shown
    assert {"91", "9", "100"} <= set(shown)


def test_tiles_that_moved_have_the_colour_of_where_they_went_and_lie_where_they_lie(make, tmp_path):
    grid, before, after, table = two_zones(make)
    draw(tmp_path / "m.png", grid, before, after, table)
    image = pixels(tmp_path / "m.png")
    right = image[:, int(image.shape[1] * 0.55) :]
    (row, _), count = where(right, table[1].colour)
    (unknown_row, unknown_col), n_unknown = where(right, UNKNOWN)
    assert count / n_unknown == pytest.approx(6, rel=0.1)
    assert unknown_row < row
    assert unknown_col < right.shape[1] / 2
    assert not (right == np.array(table[0].colour)).all(axis=-1).any()


def test_where_nothing_moved_the_figure_says_so(make, drawn, tmp_path, grid, labels, table):
    draw(tmp_path / "m.png", grid, labels, labels, table)
    shown = words(drawn[0])
    assert "No tile moved" in shown
    assert f"All {(labels > 0).sum()} tiles kept their zone." in shown
    check_letters(drawn[0])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("k", [2, 20])
def test_no_letters_collide_or_leave_the_page_whatever_the_shape_and_the_zones(make, drawn, tmp_path, shape, k):
    grid = make.grid(**SHAPES[shape])
    before = make.labels(grid, min(k, grid.n_tiles), gaps=grid.n_tiles > 1)
    after = shaken(before, 0.4)
    draw(tmp_path / "m.png", grid, before, after, make.table(grid, np.maximum(after, before.max())))
    check_letters(drawn[0])


def test_more_moves_than_have_room_are_summed_up(make, drawn, tmp_path):
    grid = make.grid(n_rows=30, n_cols=30)
    before = make.labels(grid, 9)
    after = shaken(before, 0.5)
    found = changes(before, after, cell_areas_km2(grid))
    draw(tmp_path / "m.png", grid, before, after, make.table(grid, after))
    rest = found.moves[12:]
    start = f"and {len(rest)} smaller moves: {sum(m.n_tiles for m in rest)} tiles"
    assert any(text.startswith(start) for text in words(drawn[0]))


def test_zones_that_are_no_more_and_zones_that_are_new_are_drawn(make, drawn, tmp_path):
    grid = make.grid()
    five, three = make.labels(grid, 5), make.labels(grid, 3, seed=4)
    draw(tmp_path / "a.png", grid, five, three, make.table(grid, three))
    draw(tmp_path / "b.png", grid, three, five, make.table(grid, five))
    for figure in drawn:
        check_letters(figure)


@pytest.mark.parametrize("k", [60, 300])
def test_very_many_zones_and_no_zones_can_be_drawn(make, drawn, tmp_path, k):
    grid = make.grid(n_rows=40, n_cols=45)
    before = (np.arange(grid.n_tiles) % k + 1).astype(np.uint16)
    draw(tmp_path / "m.png", grid, before, shaken(before, 0.1), make.table(grid, before))
    nothing = np.zeros(grid.n_tiles, np.uint8)
    draw(tmp_path / "n.png", grid, nothing, nothing, ())
    assert "No tile to compare." in words(drawn[1])
    for figure in drawn:
        check_letters(figure)


def test_the_same_zones_give_the_same_bytes(make, tmp_path, grid, labels, table):
    for name in ("a.png", "b.png"):
        draw(tmp_path / name, grid, labels, shaken(labels, 0.3), table)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_changes_of_other_zones_are_refused(make, tmp_path, grid, labels, table):
    other = changes(labels[:9], labels[:9], np.ones(9))
    with pytest.raises(InputError, match="not those of these zones"):
        figure_moves(tmp_path / "m.png", before=labels, after=labels, changes=other, grid=grid, table=table)
