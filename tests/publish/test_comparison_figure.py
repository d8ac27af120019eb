from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from taxoscape.errors import InputError
from taxoscape.publish.comparison_figure import ComparedMap, figure_comparison
from taxoscape.publish.table import zone_table
from tests.builders import make_grid


def table_of(grid, k):
    labels = np.arange(grid.n_tiles) % k + 1
    palette = np.random.default_rng(1).integers(0, 255, (k, 3)).astype(np.uint8)
    return labels, zone_table(labels, grid, palette, [f"Zone {zone}" for zone in range(1, k + 1)])


@pytest.mark.parametrize(("k", "methods"), [(2, 1), (5, 4), (20, 9)])
def test_each_method_is_a_map_and_rows_of_three_make_the_figure_longer(k, methods, tmp_path):
    grid = make_grid()
    labels, table = table_of(grid, k)
    measures = {"nmi": 0.5, "ari_with_zones": None, "map_patches": 7, "stability_ari": float("nan")}
    maps = [ComparedMap(title=f"Method {n}", labels=labels, measures=measures) for n in range(methods)]
    figure_comparison(tmp_path / "a.png", maps=maps, grid=grid, table=table)
    figure_comparison(tmp_path / "one.png", maps=maps[:1], grid=grid, table=table)
    with Image.open(tmp_path / "a.png") as many, Image.open(tmp_path / "one.png") as one:
        assert many.width == one.width
        assert (many.height - one.height) * 3 // max(1, one.height) == pytest.approx(2 * (-(-methods // 3) - 1), abs=1)


def test_measures_that_are_not_known_and_silhouettes_of_other_spaces_are_not_written():
    from taxoscape.publish.comparison_figure import _measures

    known = {
        "nmi": 0.25,
        "stability_ari": float("nan"),
        "ari_with_zones": None,
        "map_patches": 12,
        "silhouette_flat": 1,
    }
    assert _measures(known).replace("\u00a0", " ") == "NMI with the truth 0.25 · patches 12"


def test_nothing_to_compare_is_refused(tmp_path):
    grid = make_grid()
    _, table = table_of(grid, 2)
    with pytest.raises(InputError, match="no partition to compare"):
        figure_comparison(tmp_path / "a.png", maps=[], grid=grid, table=table)
    assert not (tmp_path / "a.png").exists()


def test_labels_of_another_grid_are_refused(tmp_path):
    grid = make_grid()
    labels, table = table_of(grid, 2)
    with pytest.raises(InputError):
        figure_comparison(
            tmp_path / "a.png", maps=[ComparedMap(title="A", labels=labels[:-1], measures={})], grid=grid, table=table
        )
