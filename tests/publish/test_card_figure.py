"""The figures of cards and layers: what they write, that letters do not collide, and their edges."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from taxoscape.analysis.association import association
from taxoscape.analysis.cards import zone_cards
from taxoscape.analysis.names import propose_names
from taxoscape.cube.layers import Layer
from taxoscape.publish import canvas
from taxoscape.publish.card_figure import figure_cards
from taxoscape.publish.layer_figure import association_words, figure_layer
from taxoscape.publish.table import zone_table

LONG = 'Oak & "beech" forest on <steep> northern slopes $x^2$ of the Äußeres Gebirge, and more of it all around'


@pytest.fixture
def drawn(monkeypatch):
    figures = []
    monkeypatch.setattr(canvas, "save", lambda figure, path, **_: figures.append(figure))
    return figures


def case(make, *, zones=4, dates=5, bands=("B02", "B03", "B04", "B08"), name=None):
    grid = make.grid(n_rows=12, n_cols=14)
    labels = make.labels(grid, n_zones=zones)
    rng = np.random.default_rng(0)
    means = rng.uniform(200, 3000, (grid.n_tiles, dates, len(bands))).astype(np.float32)
    means[rng.random(means.shape[:2]) < 0.1] = np.nan
    times = np.datetime64("2020-01-05", "ns") + (np.arange(dates) * 31).astype("timedelta64[D]")
    n, share = grid.n_tiles, np.ones(grid.n_tiles)
    classes = tuple(f"class of {i} words" for i in range(1, 13))
    cover = rng.integers(0, 13, n).astype(np.int32)
    layers = (
        Layer(name="elevation", kind="continuous", values=rng.uniform(0, 2000, n), share=share, unit="m"),
        Layer(name="land cover", kind="categorical", values=cover, share=share, classes=classes),
    )
    cards = zone_cards(means, means * 0 + 5, times, bands, labels, grid, layers=layers)
    names = [name or p.name for p in propose_names(cards)]
    colours = rng.integers(40, 200, (len(cards), 3), dtype=np.uint8)
    return cards, zone_table(labels, grid, colours, names), labels, layers, grid


def boxes(figure):
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    found = [(t, t.get_window_extent(renderer)) for t in figure.texts if t.get_text().strip()]
    for axes in figure.axes:
        x0, x1 = sorted(axes.get_xlim())
        y0, y1 = sorted(axes.get_ylim())
        ticks = [t for t in axes.get_yticklabels() if y0 <= t.get_position()[1] <= y1]
        ticks += [t for t in axes.get_xticklabels() if x0 <= t.get_position()[0] <= x1]
        texts = [*axes.texts, axes.xaxis.label, *ticks]
        found += [(t, t.get_window_extent(renderer)) for t in texts if t.get_text().strip()]
    return found


def assert_readable(figure):
    found = boxes(figure)
    for text, box in found:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= figure.bbox.width + 1, text
        assert box.y1 <= figure.bbox.height + 1, text
    for (one, a), (other, b) in itertools.combinations(found, 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert wide <= 1 or high <= 1, (one, other)


@pytest.mark.parametrize("zones", [1, 2, 7, 20])
@pytest.mark.parametrize("dates", [1, 2, 3, 67])
def test_cards_are_readable_with_few_and_many_zones_and_dates(make, drawn, zones, dates):
    for bands in (("B02", "B03", "B04", "B08"), ("B02", "B03", "B04")):
        cards, table, *_ = case(make, zones=zones, dates=dates, bands=bands, name=LONG)
        figure_cards("x.png", cards=cards, table=table)
        assert_readable(drawn[-1])
        assert len(drawn[-1].axes) == sum(row.n_tiles > 0 for row in table)


def test_cards_show_name_number_area_season_and_layers(make, drawn):
    cards, table, *_ = case(make)
    figure_cards("x.png", cards=cards, table=table)
    shown = " ".join(" ".join(t.get_text().split()) for t, _ in boxes(drawn[0]))
    assert f"{table[0].zone} " in shown
    assert "km²" in shown
    assert "greenest" in shown
    assert "elevation" in shown
    assert "NDVI from B04 (red) and B08 (near infrared)" in shown


def test_more_than_six_bands_and_twenty_zones_are_not_all_drawn_and_the_figure_says_so(make, drawn):
    cards, table, *_ = case(make, zones=40, bands=tuple("abcdefgh"))
    figure_cards("x.png", cards=cards, table=table)
    text = " ".join(drawn[0].texts[1].get_text().split())
    assert "the first 6 of 8" in text
    assert f"{sum(row.n_tiles > 0 for row in table) - 20} smaller zones are not shown" in text


def test_a_region_without_zones_gets_a_figure_that_says_so(drawn):
    figure_cards("x.png", cards=(), table=())
    assert drawn[0].texts[0].get_text() == "No zones"


@pytest.mark.parametrize("zones", [1, 2, 20])
def test_layers_are_readable_and_tell_the_association_in_words(make, drawn, zones):
    _, table, labels, layers, grid = case(make, zones=zones, name=LONG)
    for layer in layers:
        found = association(labels, layer.values, grid.rows, grid.cols, rng=0, draws=39)
        figure_layer("x.png", layer=layer, labels=labels, association=found, table=table)
        assert_readable(drawn[-1])
        text = " ".join(drawn[-1].texts[1].get_text().split())
        if zones == 1:
            assert text.startswith("Nothing can be said")
        else:
            assert text.startswith("η² = " if layer.kind == "continuous" else "Cramér's V = ")
            assert "This may be chance" in text


def test_the_words_call_more_than_chance_what_is(make):
    _, _, labels, _, grid = case(make)
    layer = Layer(name="h", kind="continuous", values=labels * 2.0, share=np.ones(grid.n_tiles))
    found = association(labels, layer.values, grid.rows, grid.cols, rng=0, draws=39)
    assert "η² = 1.00: zones explain 100 % of the variance of h" in association_words(layer, found)
    assert "This is more than chance" in association_words(layer, found)


def test_rare_classes_are_one_and_zones_without_data_say_so(make, drawn):
    _, table, labels, (height, cover), grid = case(make)
    for layer in (height, cover):
        values = np.where(labels == 2, np.nan if layer.kind == "continuous" else 0, layer.values)
        bare = Layer(name=layer.name, kind=layer.kind, values=values.astype(layer.values.dtype), share=layer.share,
                     classes=layer.classes)  # fmt: skip
        found = association(labels, bare.values, grid.rows, grid.cols, rng=0, draws=9)
        figure_layer("x.png", layer=bare, labels=labels, association=found, table=table)
        shown = [t.get_text() for t in drawn[-1].axes[0].texts]
        assert "no data" in shown
    assert "4 other classes" in shown


def test_the_same_cards_give_the_same_bytes_and_files(make, tmp_path):
    cards, table, labels, layers, grid = case(make)
    found = association(labels, layers[1].values, grid.rows, grid.cols, rng=0, draws=9)
    for name in ("a", "b"):
        figure_cards(tmp_path / f"{name}.png", cards=cards, table=table)
        figure_layer(tmp_path / f"l{name}.png", layer=layers[1], labels=labels, association=found, table=table)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "la.png").read_bytes() == (tmp_path / "lb.png").read_bytes()
