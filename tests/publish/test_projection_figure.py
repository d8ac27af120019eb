from __future__ import annotations

import numpy as np
import pytest

from taxoscape.analysis.projections import project
from taxoscape.errors import InputError
from taxoscape.publish.colour import series_colours
from taxoscape.publish.projection_figure import apart, figure_projections
from taxoscape.publish.table import zone_table
from tests.builders import a_grid, a_series, blobs
from tests.builders import plain_cluster as cluster
from tests.publish import test_figures
from tests.publish.test_figures import check_letters, pixels, texts, where

drawn = test_figures.drawn


def parts(sizes=(30, 18, 12), n_zones=3, **more):
    values, _ = blobs(sizes, **more)
    series = a_series(values, a_grid(1, len(values)))
    zones = cluster(series, n_clusters=n_zones, starts=1)
    labels, grid = zones["labels"].to_numpy(), a_grid(1, len(values))
    palette = np.random.default_rng(3).integers(40, 200, (n_zones, 3), dtype=np.uint8)
    return {"projections": project(series, zones, landmarks=40), "labels": labels, "colours": series_colours(series),
            "table": zone_table(labels, grid, palette)}  # fmt: skip


@pytest.fixture(scope="module")
def three():
    return parts()


@pytest.mark.parametrize("dates", [1, 3])
def test_no_letters_collide(drawn, tmp_path, dates):
    figure_projections(tmp_path / "p.png", **parts((30, 18, 12), times=dates))
    check_letters(drawn[0])


def test_titles_tell_sample_sizes_variance_perplexity_and_stress(three, drawn, tmp_path):
    figure_projections(tmp_path / "p.png", **three)
    shown = [" ".join(text.replace("\u202f", " ").split()) for text, _ in texts(drawn[0])]
    first, second = three["projections"].explained_variance[:2]
    assert f"PCA: 60 tiles, {100 * first:.1f} % + {100 * second:.1f} % of the variance" in shown
    assert f"t-SNE: 60 tiles, perplexity {59 / 3:.3g}" in shown
    assert f"MDS: 40 of 60 tiles, stress {three['projections'].stress:.2f}" in shown


def test_dots_are_drawn_in_the_colours_of_zones_above_and_of_the_map_below(three, drawn, tmp_path):
    figure_projections(tmp_path / "p.png", **three)
    panels = drawn[0].axes[1:]
    assert len(panels) == 6
    zone_colours = {tuple(np.round(np.array(row.colour) / 255, 6)) for row in three["table"]}
    for axes in panels[:3]:
        assert {tuple(c) for c in np.round(axes.collections[0].get_facecolors()[:, :3], 6)} == zone_colours
    own = {tuple(c) for c in np.round(three["colours"].rgb / 255, 6)}
    for axes in panels[3:]:
        assert {tuple(c) for c in np.round(axes.collections[0].get_facecolors()[:, :3], 6)} <= own
    places = panels[1].collections[0].get_offsets()
    expected = three["projections"].tsne.coordinates
    np.testing.assert_allclose(np.sort(places, axis=0), np.sort(expected, axis=0))


def test_every_zone_has_its_number_in_every_upper_panel(three, drawn, tmp_path):
    figure_projections(tmp_path / "p.png", **three)
    for axes in drawn[0].axes[1:4]:
        assert sorted(text.get_text() for text in axes.texts) == ["1", "2", "3"]


def test_numbers_that_would_collide_are_moved_apart_and_others_stay():
    places = np.array([[0.0, 0.0], [0.0, 0.0], [0.05, 0.0], [3.0, 3.0]])
    moved = apart(places, 0.2)
    gaps = np.linalg.norm(moved[:, None] - moved, axis=-1) + np.eye(4)
    assert gaps.min() > 0.19
    np.testing.assert_allclose(moved[3], places[3], atol=1e-5)


def test_one_zone_is_drawn_and_too_few_tiles_give_a_figure_that_says_so(drawn, tmp_path):
    figure_projections(tmp_path / "one.png", **parts((20,), n_zones=1))
    assert [text.get_text() for text in drawn[0].axes[1].texts] == ["1"]
    figure_projections(tmp_path / "few.png", **parts((3,), n_zones=1))
    assert len(drawn[1].axes) == 1
    assert "Too few tiles" in drawn[1].axes[0].texts[0].get_text()


def test_where_only_the_pca_has_tiles_the_other_panels_say_so(drawn, tmp_path):
    values, _ = blobs((6,), times=6, features=2)
    for tile in range(6):
        values[tile, np.arange(6) != tile] = np.nan
    series = a_series(values)
    zones = cluster(series, n_clusters=1, starts=1)
    labels = zones["labels"].to_numpy()
    figure_projections(tmp_path / "p.png", projections=project(series, zones), labels=labels,
                       colours=series_colours(series),
                       table=zone_table(labels, a_grid(1, 6), np.array([[9, 99, 199]], np.uint8)))  # fmt: skip
    shown = [text for text, _ in texts(drawn[0])]
    assert shown.count("too few tiles") == 4


def test_the_same_result_gives_the_same_bytes(three, tmp_path):
    for name in ("a.png", "b.png"):
        figure_projections(tmp_path / name, **three)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert where(pixels(tmp_path / "a.png"), three["table"][0].colour)[1] > 200


def test_labels_of_another_run_are_refused(three, tmp_path):
    with pytest.raises(InputError, match="59 labels but colours of 60 tiles"):
        figure_projections(tmp_path / "p.png", **{**three, "labels": three["labels"][:-1]})
