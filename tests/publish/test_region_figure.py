"""The picture of several regions: its colours and words, and that no letters collide."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

from taxoscape.analysis.regions import RegionPartition
from taxoscape.areas import cell_areas_km2
from taxoscape.errors import InputError
from taxoscape.publish import canvas
from taxoscape.publish.region_figure import figure_regions, overall_table

SHAPES = (
    {"n_rows": 20, "n_cols": 22}, {"n_rows": 4, "n_cols": 30}, {"n_rows": 40, "n_cols": 8},
    {"crs": 4326, "n_rows": 20, "n_cols": 22, "dx": 1e-4, "dy": 1e-4, "x0": -2.0, "y0": 43.0},
    {"n_rows": 1, "n_cols": 1}, {"crs": 2263, "n_rows": 12, "n_cols": 22, "x0": 1e6, "y0": 2e5},
)  # fmt: skip
LONG = "Eastern slopes of the Äußeres Gebirge and <the> valley below $x^2$ as far as the river goes"


def a_region(grid, overall, own=None, *, n_zones, name="north", ari=0.5) -> RegionPartition:
    areas = np.bincount(overall, weights=cell_areas_km2(grid), minlength=n_zones + 1)[1:]
    own = overall if own is None else own
    return RegionPartition(
        name=name,
        grid=grid,
        overall=overall,
        own=own,
        n_own_zones=len(np.unique(own[own > 0])),
        ari=ari if overall.any() else float("nan"),
        nmi=ari,
        tiles=tuple(np.bincount(overall, minlength=n_zones + 1)[1:].tolist()),
        areas_km2=tuple(areas.tolist()),
        shares=tuple((areas / max(areas.sum(), 1e-9)).tolist()),
    )


def palette(n_zones: int) -> np.ndarray:
    return np.random.default_rng(3).integers(40, 200, (n_zones, 3), dtype=np.uint8)


def made(make, n_regions: int, n_zones: int, name: str = "region") -> list[RegionPartition]:
    found = []
    for i, shape in enumerate(itertools.islice(itertools.cycle(SHAPES), n_regions)):
        grid = make.grid(**shape)
        labels = [make.labels(grid, min(n_zones, grid.n_tiles), seed=i + j, gaps=grid.n_tiles > 1) for j in (0, 7)]
        found.append(a_region(grid, *labels, n_zones=n_zones, name=f"{name} {i}", ari=0.1 * i))
    return found


@pytest.fixture
def drawn(monkeypatch):
    figures = []
    monkeypatch.setattr(canvas, "save", lambda figure, path, dpi=150: figures.append(figure))
    return figures


def texts(figure):
    """All visible texts with their boxes in pixels, without the numbers of zones."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    found = list(figure.texts)
    for axes in figure.axes:
        found += [text for text in axes.texts if not text.get_path_effects()] + [axes._left_title]
        if axes.axison:
            found += [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label]
    return [(t.get_text(), t.get_window_extent(renderer)) for t in found if t.get_text().strip() and t.get_visible()]


@pytest.mark.parametrize(("n_regions", "n_zones"), [(1, 1), (2, 2), (3, 20), (6, 20), (2, 60)])
def test_no_letters_collide_or_leave_the_page(make, drawn, tmp_path, n_regions, n_zones) -> None:
    regions = made(make, n_regions, n_zones, LONG)
    names = [f"{LONG} {i}" for i in range(n_zones)]
    figure_regions(tmp_path / "f.png", regions=regions, table=overall_table(regions, palette(n_zones), names))
    (figure,) = drawn
    found = texts(figure)
    assert figure.get_size_inches()[0] == 10
    for text, box in found:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.width + 1 and box.y1 <= figure.bbox.height + 1
        assert inside, f"{text!r} leaves the page"
    for (one, a), (two, b) in itertools.combinations(found, 2):
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(overlap) < 2, f"{one!r} and {two!r} collide"


def test_the_legend_names_all_of_20_zones_and_each_region_says_its_ARI(make, drawn, tmp_path) -> None:
    regions = made(make, 2, 20)
    figure_regions(tmp_path / "f.png", regions=regions, table=overall_table(regions, palette(20)))
    said = [text for text, _ in texts(drawn[0])]
    assert {str(zone) for zone in range(1, 21)} <= set(said)
    assert not any("smaller zones" in text for text in said)
    assert said.count("region 0") == said.count("region 1") == 2  # above the maps, above the bar
    assert any(text.startswith("Alone") and text.endswith("ARI 0.10") for text in said)


def test_all_maps_and_bars_have_the_colours_of_the_overall_zones(make, tmp_path) -> None:
    grid = make.grid(n_rows=4, n_cols=6)
    left = np.tile([1, 1, 1, 1, 2, 2], 4).astype(np.uint8)
    regions = [a_region(grid, left, n_zones=3), a_region(grid, np.full(24, 3, np.uint8), left, n_zones=3)]
    table = overall_table(regions, np.array([[20, 90, 160], [210, 60, 30], [40, 170, 60]], np.uint8))
    figure_regions(tmp_path / "f.png", regions=regions, table=table)
    image = np.rint(imread(tmp_path / "f.png")[..., :3] * 255).astype(int)
    half = image.shape[1] // 3
    first, second, third = ((image[:, :half] == row.colour).all(axis=-1).sum() for row in table)
    one_map = first + second  # and the parts of the first bar that lie in this third
    assert first > 1.5 * second > 0
    assert third == pytest.approx(one_map, rel=0.3)
    assert (image[:, half : 2 * half] == table[0].colour).all(axis=-1).sum() > 1.5 * first  # twice: once for each


def test_the_table_adds_the_regions_up(make) -> None:
    regions = made(make, 4, 5)
    table = overall_table(regions, palette(5), list("abcde"))
    assert [row.name for row in table] == list("abcde")
    assert sum(row.share for row in table) == pytest.approx(1)
    for row in table:
        assert row.n_tiles == sum(region.tiles[row.zone - 1] for region in regions)
        assert row.area_km2 == pytest.approx(sum(region.areas_km2[row.zone - 1] for region in regions))


def test_a_region_without_any_data_is_drawn_and_says_so(make, drawn, tmp_path) -> None:
    grid = make.grid(n_rows=5, n_cols=5)
    regions = [a_region(grid, np.zeros(25, np.uint8), n_zones=2)]
    table = overall_table(regions, palette(2))
    figure_regions(tmp_path / "f.png", regions=regions, table=table)
    said = [text for text, _ in texts(drawn[0])]
    assert {"Overall: no zone", "Alone: no zone", "no tile is in a zone"} <= set(said)
    assert [row.share for row in table] == [0, 0]


def test_the_same_result_gives_the_same_bytes(make, tmp_path) -> None:
    regions = made(make, 2, 4)
    for name in "ab":
        figure_regions(tmp_path / name, regions=regions, table=overall_table(regions, palette(4)))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_labels_beyond_the_table_are_refused(make, tmp_path) -> None:
    regions = made(make, 1, 4)
    with pytest.raises(InputError, match="labels run from"):
        figure_regions(tmp_path / "f.png", regions=regions, table=overall_table(regions, palette(4))[:2])


def test_no_region_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="no region to show"):
        overall_table([], palette(2))
    with pytest.raises(InputError, match="no region to show"):
        figure_regions(tmp_path / "f.png", regions=[], table=())
