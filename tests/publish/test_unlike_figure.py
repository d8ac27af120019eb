from __future__ import annotations

import itertools

import numpy as np

from taxoscape.publish.unlike_figure import UNLIKE, figure_unlike
from tests.publish.test_figures import pixels


def colours_of(path):
    return {tuple(colour) for colour in pixels(path).reshape(-1, 3).tolist()}


def test_tiles_that_are_unlike_are_red_and_there_is_no_red_where_none_is(make, tmp_path):
    grid = make.grid()
    labels = make.labels(grid)
    table = make.table(grid, labels, [f"a rather long name of zone {zone}" for zone in range(1, 5)])
    far = np.where(labels > 0, 0.5, np.nan).astype(np.float32)
    figure_unlike(tmp_path / "none.png", outlyingness=far, labels=labels, grid=grid, table=table)
    assert UNLIKE not in colours_of(tmp_path / "none.png")
    far[np.flatnonzero(labels > 0)[:5]] = 1.5
    figure_unlike(tmp_path / "some.png", outlyingness=far, labels=labels, grid=grid, table=table)
    found = pixels(tmp_path / "some.png")
    assert UNLIKE in colours_of(tmp_path / "some.png")
    share = (found == UNLIKE).all(axis=-1).sum() / ((found == table[0].colour).all(axis=-1).sum() or 1)
    assert share > 0.05


def test_maps_and_legend_do_not_lie_over_each_other(make, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    boxes = []
    add = Figure.add_axes
    monkeypatch.setattr(Figure, "add_axes", lambda self, place, **more: boxes.append(place) or add(self, place, **more))
    grid = make.grid(n_rows=5, n_cols=30)
    labels = make.labels(grid)
    far = np.zeros(grid.n_tiles, np.float32)
    figure_unlike(tmp_path / "f.png", outlyingness=far, labels=labels, grid=grid, table=make.table(grid, labels))
    ends = [(left, left + width) for left, _, width, _ in boxes]
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(ends))
    assert ends[-1][1] <= 1
