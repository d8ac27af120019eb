from __future__ import annotations

import itertools
from dataclasses import asdict

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

from taxoscape.analysis.sweep import SweepRow
from taxoscape.publish import canvas
from taxoscape.publish.sweep_figure import figure_sweep

WHY = (
    "8 zones: the largest number of which even the weakest zone is found again in random resamples of the tiles (81% "
    "of its pairs of tiles stay together, 70% are asked; with 9, 55%)."
)


def a_table(ks, chosen, *, truth=True, seed=0):
    rng = np.random.default_rng(seed)

    def number(low, high):
        return float("nan") if len(ks) == 1 and ks[0] == 1 else float(rng.uniform(low, high))

    rows = [
            SweepRow(
                n_clusters=k, chosen=k == chosen, inertia_mean=9 / k, bootstrap_ari=number(0.5, 1),
                bootstrap_ari_se=number(0, 0.1), prediction_strength=number(0.2, 1), silhouette_flat=number(-0.1, 0.4),
                silhouette_flat_ci95=number(0, 0.02), silhouette_sumnorm=number(0, 0.4),
                silhouette_sumnorm_ci95=number(0, 0.02), davies_bouldin_flat=number(1, 3),
                map_join_share=1 - k / 40, map_patches=k * k, nmi=number(0, 1) if truth else float("nan"),
                ari=number(-0.1, 1) if truth else float("nan"),
            )
        for k in ks
    ]  # fmt: skip
    return [asdict(row) for row in rows]


@pytest.fixture
def drawn(monkeypatch):
    """Keep the figures that are saved."""
    figures = []
    save = canvas.save
    monkeypatch.setattr(
        canvas, "save", lambda figure, path, **more: (figures.append(figure), save(figure, path, **more))
    )
    return figures


def test_the_figure_is_ten_inches_wide_and_marks_the_chosen_number_in_every_panel(tmp_path, drawn):
    figure_sweep(tmp_path / "a.png", rows=a_table(range(2, 16), 8), chosen=8, reason=WHY)
    assert imread(tmp_path / "a.png").shape[1] == 1500
    (figure,) = drawn
    assert len(figure.axes) == 6
    assert all("8" in [text.get_text() for text in axes.texts] for axes in figure.axes)
    assert " ".join(figure.texts[1].get_text().split()) == WHY


def test_without_a_truth_its_panel_is_left_out(tmp_path, drawn):
    figure_sweep(tmp_path / "a.png", rows=a_table(range(2, 6), 3, truth=False), chosen=3, reason="3 zones.")
    assert len(drawn[0].axes) == 5


@pytest.mark.parametrize("ks", [[1], [2], [2, 3], range(2, 41)])
def test_any_number_of_rows_is_drawn_without_letters_that_collide(tmp_path, drawn, ks):
    figure_sweep(tmp_path / "a.png", rows=a_table(list(ks), ks[0]), chosen=ks[0], reason=WHY)
    figure = drawn[0]
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [*figure.texts]
    for axes in figure.axes:
        notes = [text for text in axes.texts if "\n" in text.get_text()]
        texts += [axes.title, axes._left_title, axes.xaxis.label, *notes]
    boxes = [text.get_window_extent(renderer) for text in texts if text.get_text()]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    whole = figure.bbox
    assert all(whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 for box in boxes)


def test_the_same_table_gives_the_same_bytes(tmp_path):
    rows = a_table(range(2, 7), 4)
    for name in ("a.png", "b.png"):
        figure_sweep(tmp_path / name, rows=rows, chosen=4, reason=WHY)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
