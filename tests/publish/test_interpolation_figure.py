from __future__ import annotations

import numpy as np
import pytest

from taxoscape.analysis.interpolation import Between
from taxoscape.errors import InputError
from taxoscape.publish.interpolation_figure import figure_interpolation
from tests.publish import test_figures
from tests.publish.test_figures import LONG, check_letters, pixels, texts

drawn = test_figures.drawn


def draw(path, table, *, pairs=3, dates=3, size=9, seen=None, rows=None, images=None, **more):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (pairs, 5, dates, size, size, 3), dtype=np.uint8) if images is None else images
    seen = np.ones(images.shape[:3], bool) if seen is None else seen
    times = np.datetime64("2020-01-05") + np.arange(dates) * np.timedelta64(9, "D")
    rows = some_rows(pairs) if rows is None else rows
    figure_interpolation(path, images=images, seen=seen, dates=times.astype("datetime64[ns]"), rows=rows, table=table,
                         **more)  # fmt: skip


def some_rows(pairs, tile=5):
    return [
        Between(zone_a=1 + p % 3, zone_b=4, centroid_distance=97.23, weight=w, tile=tile, zone=2 if tile >= 0 else 0,
                distance=41.5 if tile >= 0 else float("nan"))
        for p in range(pairs) for w in (0.25, 0.5, 0.75)
    ]  # fmt: skip


def words(figure):
    return " ".join(" ".join(text.split()) for text, _ in texts(figure))


@pytest.mark.parametrize("dates", [1, 3, 10])
def test_no_letters_collide(make, drawn, tmp_path, grid, labels, dates):
    table = make.table(grid, labels, [LONG, "Zone 2", "w" * 60, "w" * 60])
    draw(tmp_path / "i.png", table, dates=dates)
    check_letters(drawn[0])


def test_each_tile_tells_its_zone_and_its_distance_and_each_pair_how_far_apart_it_is(
    drawn, tmp_path, table
):  # fmt: skip
    draw(tmp_path / "i.png", table, pairs=1)
    shown = words(drawn[0])
    assert "d = 97.2 between the centres" in shown
    for percent in (25, 50, 75):
        assert f"at {percent} %: d = 41.5" in shown
    assert shown.count("nearest to the centre") == 2


def test_at_most_eight_pairs_and_four_dates_are_drawn_and_the_figure_says_so(drawn, tmp_path, table):
    draw(tmp_path / "i.png", table, pairs=11, dates=10, size=3, n_dates=67)
    shown = words(drawn[0])
    assert "The first 8 of 11 pairs." in shown
    assert "(4 of 67)" in shown
    assert shown.count("between the centres") == 8
    assert len(drawn[0].axes[0].images) == 8 * 5 * 4


def test_images_stand_in_the_order_of_the_way(tmp_path, table):
    images = np.full((1, 5, 1, 8, 8, 3), 0, np.uint8)
    images[0, :, 0] = np.array([(10, 0, 0), (20, 0, 0), (30, 0, 0), (40, 0, 0), (50, 0, 0)])[:, None, None]
    draw(tmp_path / "i.png", table, pairs=1, dates=1, images=images)
    image = pixels(tmp_path / "i.png")
    columns = [np.argwhere((image == (red, 0, 0)).all(axis=-1))[:, 1].mean() for red in (10, 20, 30, 40, 50)]
    assert (np.diff(columns) > 100).all()


def test_missing_images_are_hatched_and_missing_tiles_blank(drawn, tmp_path, table):
    seen = np.ones((1, 5, 2), bool)
    seen[0, 2] = False
    draw(tmp_path / "i.png", table, pairs=1, dates=2, seen=seen)
    assert len(drawn[0].axes[0].images) == 8
    assert sum(patch.get_hatch() is not None for patch in drawn[0].axes[0].patches) == 2
    draw(tmp_path / "j.png", table, pairs=1, dates=2, rows=some_rows(1, tile=-1))
    assert len(drawn[1].axes[0].images) == 4
    assert words(drawn[1]).count("no tile") == 3


def test_without_pairs_there_is_a_figure_that_says_so(tmp_path, drawn, table):
    draw(tmp_path / "i.png", table, images=np.zeros((0, 2, 1, 4, 4, 3), np.uint8), rows=[], dates=1)
    assert "nothing between" in words(drawn[0])


def test_the_same_result_gives_the_same_bytes(tmp_path, table):
    for name in ("a.png", "b.png"):
        draw(tmp_path / name, table)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_images_of_other_pairs_than_the_rows_are_refused(tmp_path, table):
    with pytest.raises(InputError, match="images of 3 pairs, 5 tiles each, but 6 points"):
        draw(tmp_path / "i.png", table, rows=some_rows(2))
