"""The pictures of what the dates did: what they show and say, and that letters do not collide."""

from __future__ import annotations

import numpy as np
import pytest

from taxoscape.analysis.dates import Separation, centroid_paths, separating_dates
from taxoscape.errors import InputError
from taxoscape.publish import canvas
from taxoscape.publish.dates_figure import figure_paths, figure_separation
from tests.builders import plain_cluster as cluster
from tests.publish.test_figures import check_letters, pixels, texts


@pytest.fixture
def drawn(monkeypatch):
    figures = []
    monkeypatch.setattr(canvas, "save", lambda figure, path, dpi=150: figures.append(figure))
    return figures


def zoned(make, k, n_dates, **how):
    """Series, zones and table of a region of k zones."""
    grid = make.grid(n_rows=14, n_cols=15)
    series = make.series(grid, make.labels(grid, k), n_dates=n_dates, **how)
    zones = cluster(series, n_clusters=k, starts=1)
    return series, zones, make.table(grid, zones["labels"].to_numpy())


def draw_paths(path, series, zones, table):
    figure_paths(path, paths=centroid_paths(zones), dates=series["time"].to_numpy(), table=table)


def draw_separation(path, series, zones, table):
    separation = separating_dates(series, zones)
    return figure_separation(path, separation=separation, dates=series["time"].to_numpy(), table=table)


def words(figure):
    return [" ".join(text.split()) for text, _ in texts(figure)]


@pytest.mark.parametrize(
    ("k", "n_dates"), [(1, 1), (1, 3), (2, 1), (2, 3), (2, 67), (8, 3), (8, 67), (9, 3), (20, 1), (20, 3), (20, 67)]
)
def test_no_letters_collide_with_few_and_many_zones_and_dates(make, drawn, tmp_path, k, n_dates):
    case = zoned(make, k, n_dates)
    draw_paths(tmp_path / "p.png", *case)
    assert draw_separation(tmp_path / "d.png", *case) == (k > 1)
    for figure in drawn[1:]:
        check_letters(figure)
    assert len(texts(drawn[0])) >= 4


@pytest.mark.parametrize(("k", "axes"), [(8, 1), (9, 9)])
def test_up_to_eight_zones_share_a_plane_and_more_have_a_panel_each(make, drawn, tmp_path, k, axes):
    draw_paths(tmp_path / "p.png", *zoned(make, k, 4))
    assert len(drawn[0].axes) == axes
    said = [t.get_text() for a in drawn[0].axes for t in a.texts] if axes == 1 else [
        a.get_title(loc="left").removeprefix("Zone ").split()[0] for a in drawn[0].axes
    ]  # fmt: skip
    assert sorted((text for text in said if text.isdigit()), key=int) == [str(zone) for zone in range(1, k + 1)]


def test_a_path_has_its_zones_colour_and_its_first_and_last_date_are_named(make, drawn, tmp_path):
    series, zones, table = zoned(make, 3, 4)
    draw_paths(tmp_path / "p.png", series, zones, table)
    note = drawn[0].texts[1].get_text().replace("\n", " ")
    assert "the first date (5 Jan 2020); dot: the last (14 Mar 2020)" in note
    (plane,) = drawn[0].axes
    points = centroid_paths(zones).points
    for row in table:
        lines = [line for line in plane.lines if line.get_color() == row.hex and line.get_linestyle() == "-"]
        np.testing.assert_allclose(lines[0].get_xydata(), points[row.zone - 1])
    assert "white" in {line.get_markerfacecolor() for line in plane.lines}


def test_a_date_without_tiles_is_bridged_by_dots(make, drawn, tmp_path):
    series, zones, table = zoned(make, 2, 5)
    zones["counts"].values[zones["labels"].to_numpy() == 1, 2] = False
    draw_paths(tmp_path / "p.png", series, zones, table)
    dotted = [line for line in drawn[0].axes[0].lines if line.get_linestyle() == ":"]
    assert [line.get_color() for line in dotted] == [table[0].hex]
    assert "Dotted" in drawn[0].texts[1].get_text()


def test_one_date_is_drawn_as_points(make, drawn, tmp_path):
    draw_paths(tmp_path / "p.png", *zoned(make, 4, 1))
    assert drawn[0].texts[0].get_text() == "Where the zones lie on the one date"
    assert all(len(line.get_xdata()) <= 1 for line in drawn[0].axes[0].lines)


def test_the_effects_stand_in_their_cells_and_the_best_date_is_framed(make, drawn, tmp_path):
    series, zones, table = zoned(make, 3, 4)
    effect = separating_dates(series, zones).effect
    draw_separation(tmp_path / "d.png", series, zones, table)
    cells = drawn[0].axes[0]
    shown = {t.get_position(): t.get_text() for t in cells.texts}
    for row, (a, b) in enumerate([(0, 1), (0, 2), (1, 2)]):
        for t in range(4):
            assert shown[(t + 0.5, row + 0.5)] == f"{effect[a, b, t]:.1f}"
        frame = cells.patches[row]
        assert int(frame.get_x()) == effect[a, b].argmax()


def test_where_most_effects_are_large_the_colours_reach_further(make, drawn, tmp_path):
    series, zones, table = zoned(make, 3, 4)
    found = separating_dates(series, zones)
    scale = 20 / np.nanquantile(found.effect, 0.9)
    for factor in (0.1 * scale, scale):
        changed = Separation(effect=factor * found.effect, distance=found.distance, share=found.share)
        figure_separation(tmp_path / "d.png", separation=changed, dates=series["time"].to_numpy(), table=table)
    ends = [[t.get_text() for t in figure.axes[1].get_xticklabels()][-1] for figure in drawn]
    assert ends == ["4 and more", "20 and more"]


def test_of_many_zones_only_the_nearest_pairs_are_drawn_and_the_figure_says_so(make, drawn, tmp_path):
    draw_separation(tmp_path / "d.png", *zoned(make, 12, 3))
    assert "The 28 of 66 pairs with the nearest centroids" in drawn[0].texts[1].get_text().replace("\n", " ")
    assert drawn[0].axes[0].get_ylim() == (28, 0)


def test_zones_without_any_spread_are_drawn_as_fully_separated(make, drawn, tmp_path):
    series, zones, table = zoned(make, 2, 2)
    labels = zones["labels"].to_numpy()
    means = zones["centroids"].to_numpy()[np.maximum(labels, 1) - 1]
    series["embedding"].values[...] = np.where(zones["counts"].to_numpy()[..., None], means, np.nan)
    draw_separation(tmp_path / "d.png", series, zones, table)
    assert [t.get_text() for t in drawn[0].axes[0].texts].count(">99") == 2


def test_more_zones_than_have_room_are_left_out_and_the_figure_says_so(make, drawn, tmp_path):
    draw_paths(tmp_path / "p.png", *zoned(make, 40, 2))
    assert len(drawn[0].axes) == 30
    assert "the 30 largest of 40 zones" in drawn[0].texts[1].get_text().replace("\n", " ")


def test_the_same_result_gives_the_same_bytes(make, tmp_path):
    case = zoned(make, 4, 3)
    for name in ("a", "b"):
        draw_paths(tmp_path / f"{name}p.png", *case)
        draw_separation(tmp_path / f"{name}d.png", *case)
    assert (tmp_path / "ap.png").read_bytes() == (tmp_path / "bp.png").read_bytes()
    assert (tmp_path / "ad.png").read_bytes() == (tmp_path / "bd.png").read_bytes()
    assert pixels(tmp_path / "ap.png").shape[1] == pixels(tmp_path / "ad.png").shape[1] == 1500


def test_other_dates_or_zones_are_refused(make, tmp_path):
    series, zones, table = zoned(make, 3, 4)
    dates = series["time"].to_numpy()
    with pytest.raises(InputError, match="3 zones on 4 dates, but 2 rows of the table and 4 dates"):
        figure_paths(tmp_path / "p.png", paths=centroid_paths(zones), dates=dates, table=table[:2])
    with pytest.raises(InputError, match="3 zones on 4 dates, but 3 rows of the table and 3 dates"):
        figure_separation(tmp_path / "d.png", separation=separating_dates(series, zones), dates=dates[1:], table=table)
