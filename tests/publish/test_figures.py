"""Figures: what they show, that letters do not collide, and that nothing global changes."""

from __future__ import annotations

import itertools
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

from taxoscape.errors import InputError
from taxoscape.publish import canvas
from taxoscape.publish.canvas import Picture, area_text, frame_of, shorten
from taxoscape.publish.colour import series_colours
from taxoscape.publish.figures import (
    choose_dates,
    figure_confidence,
    figure_geographic_refined,
    figure_maps,
    figure_strips,
)
from taxoscape.publish.pictures import NO_DATA_GREY, stretch, stretch_limits
from taxoscape.publish.table import zone_table

LONG = 'Oak & "beech" forest on <steep> northern slopes $x^2$ of the Äußeres Gebirge'


def picture_of(grid):
    rgb = np.random.default_rng(0).integers(0, 256, (grid.n_rows * 4, grid.n_cols * 4, 3), dtype=np.uint8)
    return Picture(rgb=rgb, bounds=frame_of(grid).bounds)


def draw_maps(make, path, grid, labels, table, **more):
    colours = series_colours(make.series(grid, labels))
    figure_maps(path, picture=picture_of(grid), labels=labels, grid=grid, table=table, colours=colours, **more)


def draw_strips(path, table, *, representatives=3, dates=8, size=9, seen=None):
    rng = np.random.default_rng(0)
    shape = (len(table), representatives, dates)
    images = rng.integers(0, 256, (*shape, size, size, 3), dtype=np.uint8)
    seen = rng.random(shape) > 0.2 if seen is None else seen
    times = np.datetime64("2020-01-05") + np.arange(dates) * np.timedelta64(9, "D")
    figure_strips(path, images=images, seen=seen, dates=times.astype("datetime64[ns]"), table=table)


def pixels(path):
    return np.rint(imread(path)[..., :3] * 255).astype(int)


def where(image, colour):
    """Mean (row, column) and number of the pixels of a colour."""
    found = np.argwhere((image == np.array(colour)).all(axis=-1))
    return found.mean(axis=0), len(found)


def corner_case(make):
    """A map whose north-eastern corner is zone 2, all else zone 1."""
    grid = make.grid(n_rows=7, n_cols=11)
    zone_map = np.ones((7, 11), np.uint8)
    zone_map[:2, -3:] = 2
    labels = zone_map.ravel()
    return grid, labels, zone_table(labels, grid, np.array([[20, 90, 160], [210, 60, 30]], np.uint8))


def test_north_is_up_and_east_is_right(make, tmp_path):
    grid, labels, table = corner_case(make)
    figure_geographic_refined(tmp_path / "f.png", geographic=labels, refined=labels, grid=grid, table=table)
    image = pixels(tmp_path / "f.png")
    left = image[: 2 * image.shape[0] // 3, : image.shape[1] // 2]
    (row_1, col_1), n_1 = where(left, table[0].colour)
    (row_2, col_2), n_2 = where(left, table[1].colour)
    assert row_2 < row_1
    assert col_2 > col_1
    assert n_1 / n_2 == pytest.approx(71 / 6, rel=0.1)


def test_tiles_that_are_not_sure_are_pale(make, tmp_path):
    grid, labels, table = corner_case(make)
    sure = np.where(labels == 2, 0.55, 1.0).astype(np.float32)
    figure_confidence(tmp_path / "f.png", confidence=sure, labels=labels, grid=grid, table=table)
    image = pixels(tmp_path / "f.png")
    right = image[: 2 * image.shape[0] // 3, image.shape[1] // 2 :]
    assert where(right, table[0].colour)[1] > 5000
    assert not (right == np.array(table[1].colour)).all(axis=-1).any()


def test_the_share_of_sure_tiles_is_told(make, drawn, tmp_path):
    grid, labels, table = corner_case(make)
    sure = np.where(labels == 2, 0.55, 1.0).astype(np.float32)
    figure_confidence(tmp_path / "f.png", confidence=sure, labels=labels, grid=grid, table=table)
    shown = " ".join(" ".join(text.split()) for text, _ in texts(drawn[0]))
    assert "92.2 % of the tiles at 0.9 or more, 7.8 % below 0.6" in shown.replace("\u202f", " ")


def test_first_zones_stand_left_of_the_refined_ones(make, tmp_path):
    grid, labels, table = corner_case(make)
    before = np.ones_like(labels)
    figure_geographic_refined(tmp_path / "f.png", geographic=before, refined=labels, grid=grid, table=table)
    image = pixels(tmp_path / "f.png")
    middle = image.shape[1] // 2
    upper = image[: 2 * image.shape[0] // 3]
    assert where(upper[:, middle:], table[1].colour)[1] > 1000
    assert not (upper[:, :middle] == np.array(table[1].colour)).all(axis=-1).any()


def test_pixels_that_are_not_square_are_drawn_in_their_shape(make):
    assert frame_of(make.grid(dx=10.0, dy=20.0)).aspect == pytest.approx(7 * 20 / (11 * 10))
    degrees = frame_of(make.grid(4326, dx=0.001, dy=0.001, x0=5.0, y0=60.0))
    assert degrees.aspect == pytest.approx(7 / 11 * 2, rel=0.01)


def test_the_same_result_gives_the_same_bytes(make, tmp_path, grid, labels, table):
    for name in ("a.png", "b.png"):
        draw_maps(make, tmp_path / name, grid, labels, table)
        draw_strips(tmp_path / f"s{name}", table)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "sa.png").read_bytes() == (tmp_path / "sb.png").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


def texts(figure, fixed=True):
    """All visible texts with their boxes in pixels; without the numbers on the map."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    found = []
    for axes in figure.axes:
        ticks = axes.get_xticklabels() + axes.get_yticklabels() if axes.axison else []
        own = [t for t in axes.texts if not t.get_path_effects()] + [axes.title, axes._left_title]
        labels = [axes.xaxis.label, axes.yaxis.label] if axes.axison else []
        for text in own + ticks + labels:
            box = text.get_window_extent(renderer)
            inside = text not in ticks or (box.x0 >= 0 and box.x1 <= figure.bbox.width + 9)
            if text.get_text().strip() and text.get_visible() and inside:
                found.append((text.get_text(), box))
    return found


@pytest.fixture
def drawn(monkeypatch):
    figures = []
    monkeypatch.setattr(canvas, "save", lambda figure, path, dpi=150: figures.append(figure))
    return figures


SHAPES = {
    "square": {"n_rows": 20, "n_cols": 22},
    "flat": {"n_rows": 4, "n_cols": 30},
    "tall": {"n_rows": 40, "n_cols": 8},
    "very tall": {"n_rows": 90, "n_cols": 3},
    "very flat": {"n_rows": 2, "n_cols": 90},
    "one tile": {"n_rows": 1, "n_cols": 1},
    "far north": {"crs": 4326, "n_rows": 20, "n_cols": 22, "dx": 1e-4, "dy": 1e-4, "x0": -170.0, "y0": 78.0},
    "feet": {"crs": 2263, "n_rows": 12, "n_cols": 22, "x0": 1e6, "y0": 2e5},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["maps", "refined"])
def test_no_letters_collide_or_leave_the_page_whatever_the_shape_of_the_region(make, drawn, tmp_path, shape, kind):
    grid = make.grid(**SHAPES[shape])
    labels = make.labels(grid, min(12, grid.n_tiles), gaps=grid.n_tiles > 1)
    table = make.table(grid, labels, [LONG] * int(labels.max()))
    if kind == "maps":
        draw_maps(make, tmp_path / "m.png", grid, labels, table, picture_title="True colour, 5 May 2021")
    else:
        figure_geographic_refined(tmp_path / "r.png", geographic=labels, refined=labels, grid=grid, table=table)
    check_letters(drawn[0])


@pytest.mark.parametrize("dates", [1, 3, 8, 67])
def test_no_letters_of_the_strips_collide(make, drawn, tmp_path, grid, labels, dates):
    draw_strips(tmp_path / "s.png", make.table(grid, labels, [LONG, "Zone 2", "w" * 60, ""]), dates=dates)
    check_letters(drawn[0])


def check_letters(figure):
    found = texts(figure)
    assert len(found) > 5
    for text, box in found:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.width + 1 and box.y1 <= figure.bbox.height + 1
        assert inside, f"{text!r} leaves the page"
    for (one, a), (two, b) in itertools.combinations(found, 2):
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(overlap) < 2, f"{one!r} and {two!r} collide"


def test_300_zones_say_how_many_are_left_out_of_the_legend(make, drawn, tmp_path):
    grid = make.grid(n_rows=40, n_cols=45)
    labels = (np.arange(grid.n_tiles) % 300 + 1).astype(np.uint16)
    table = make.table(grid, labels)
    draw_maps(make, tmp_path / "m.png", grid, labels, table)
    draw_strips(tmp_path / "s.png", table, representatives=1, dates=2, size=3)
    shown = [text for text, _ in texts(drawn[0])]
    assert any(text.endswith("smaller zones") for text in shown)
    assert any("20 largest of 300" in " ".join(text.split()) for text, _ in texts(drawn[1]))


def test_a_map_without_any_data_can_be_drawn(make, tmp_path, grid):
    labels = np.zeros(grid.n_tiles, np.uint8)
    draw_maps(make, tmp_path / "m.png", grid, labels, ())
    figure_geographic_refined(tmp_path / "r.png", geographic=labels, refined=labels, grid=grid, table=())
    figure_strips(tmp_path / "s.png", images=np.zeros((0, 1, 2, 4, 4, 3), np.uint8), seen=np.zeros((0, 1, 2), bool),
                  dates=np.array(["2020-01-01", "2020-02-01"], "datetime64[ns]"), table=())  # fmt: skip
    assert where(pixels(tmp_path / "m.png"), NO_DATA_GREY)[1] > 1000


def test_maps_can_be_drawn_without_a_picture(make, drawn, tmp_path, grid, labels, table):
    colours = series_colours(make.series(grid, labels))
    figure_maps(tmp_path / "m.png", picture=None, labels=labels, grid=grid, table=table, colours=colours)
    check_letters(drawn[0])
    assert len(drawn[0].axes) == 3


def test_a_name_in_a_script_without_letters_in_our_font_does_not_stop_the_figure(make, tmp_path, grid, labels):
    draw_maps(make, tmp_path / "m.png", grid, labels, make.table(grid, labels, ["水田", "森", "海", "山"]))


def test_labels_beyond_the_table_are_refused(make, tmp_path, grid, labels, table):
    with pytest.raises(InputError, match="labels run from"):
        figure_geographic_refined(tmp_path / "r.png", geographic=labels, refined=labels, grid=grid, table=table[:2])


def test_missing_images_are_hatched_and_missing_representatives_blank(make, tmp_path, grid, labels, table):
    seen = np.ones((len(table), 2, 4), bool)
    draw_strips(tmp_path / "all.png", table, representatives=2, dates=4, seen=seen)
    seen[0, 0, 1] = False
    draw_strips(tmp_path / "hole.png", table, representatives=2, dates=4, seen=seen)
    seen[0, 0] = False
    draw_strips(tmp_path / "blank.png", table, representatives=2, dates=4, seen=seen)
    grey, white = (243, 244, 246), (255, 255, 255)
    n_grey = [(pixels(tmp_path / f"{n}.png") == grey).all(axis=-1).sum() for n in ("all", "hole", "blank")]
    n_white = [(pixels(tmp_path / f"{n}.png") == white).all(axis=-1).sum() for n in ("all", "hole", "blank")]
    assert n_grey[1] > n_grey[0] + 5000
    assert n_grey[2] <= n_grey[0] + 100
    assert n_white[2] > n_white[0] + 4 * 10_000


def test_at_most_ten_dates_are_chosen_with_the_first_and_the_last():
    assert choose_dates(1).tolist() == [0]
    assert choose_dates(7).tolist() == list(range(7))
    chosen = choose_dates(67)
    assert len(chosen) == 10
    assert (chosen[0], chosen[-1]) == (0, 66)
    assert np.ptp(np.diff(chosen)) <= 1


def test_drawing_changes_no_global_setting_and_loads_no_pyplot(tmp_path):
    script = f"""
import sys, numpy as np, matplotlib
before = matplotlib.rcParams.copy()
from taxoscape.publish.figures import figure_strips
from taxoscape.publish.table import ZoneRow
row = ZoneRow(zone=1, name="a", colour=(1, 2, 3), n_tiles=1, area_km2=1.0, share=1.0, patches=1)
figure_strips(r"{tmp_path / "s.png"}", images=np.zeros((1, 1, 1, 3, 3, 3), np.uint8), seen=np.ones((1, 1, 1), bool),
              dates=np.array(["2020-01-01"], "datetime64[ns]"), table=[row])
after = matplotlib.rcParams.copy()
assert all(after._get(name) == before._get(name) for name in before)
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_importing_the_figures_does_not_load_matplotlib():
    script = "import sys, taxoscape.publish.figures, taxoscape.publish.report; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_user_style_does_not_leak_into_the_figures(make, tmp_path, grid, labels, table):
    draw_maps(make, tmp_path / "a.png", grid, labels, table)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "image.interpolation": "bilinear"}):
        draw_maps(make, tmp_path / "b.png", grid, labels, table)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_stretch_puts_2_to_98_per_cent_of_each_band_over_the_whole_range():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 40, 50)) * np.array([1, 100, 1e4])[:, None, None]
    rgb = stretch(values)
    for band in range(3):
        low, high = np.quantile(values[band], (0.02, 0.98))
        expected = np.rint(np.clip((values[band] - low) / (high - low), 0, 1) * 255)
        assert np.abs(rgb[..., band] - expected).max() <= 1


def test_stretch_leaves_unusable_pixels_out_of_the_limits_and_grey():
    values = np.random.default_rng(0).integers(100, 200, (3, 8, 9)).astype(np.uint16)
    valid = np.ones((8, 9), bool)
    valid[:2] = False
    spoilt = values.copy()
    spoilt[:, :2] = 60000
    rgb = stretch(spoilt, valid)
    assert (rgb[:2] == NO_DATA_GREY).all()
    np.testing.assert_array_equal(stretch_limits(spoilt, valid), stretch_limits(values[:, 2:]))
    np.testing.assert_array_equal(rgb[2:], stretch(values[:, 2:]))


def test_stretch_takes_nan_as_unusable_and_a_constant_band_as_mid_grey():
    values = np.full((3, 4, 5), 7.0)
    values[1, 0, 0] = np.nan
    rgb = stretch(values)
    assert rgb[0, 0].tolist() == list(NO_DATA_GREY)
    assert (rgb[1:] == 128).all()
    assert (stretch(np.full((3, 2, 2), np.nan)) == NO_DATA_GREY).all()


def test_stretch_shows_a_single_band_in_a_perceptual_colormap_and_keeps_leading_dims():
    values = np.linspace(-1, 1, 2 * 5 * 6).reshape(2, 1, 5, 6)
    rgb = stretch(values)
    assert rgb.shape == (2, 5, 6, 3)
    np.testing.assert_array_equal(rgb[0, 0, 0], np.array(mpl.colormaps["viridis"](0, bytes=True)[:3]))
    np.testing.assert_array_equal(rgb[1, -1, -1], np.array(mpl.colormaps["viridis"](255, bytes=True)[:3]))


def test_stretch_refuses_two_bands():
    with pytest.raises(InputError, match="--rgb"):
        stretch(np.zeros((2, 4, 4)))


def test_areas_of_a_table_share_their_decimals():
    assert [area_text(a, 84.0) for a in (84.0, 6.5, 0.01, 0.0)] == ["84.0", "6.5", "< 0.1", "0"]
    assert shorten("a  b\nc" * 9, 8) == "a b ca…"
