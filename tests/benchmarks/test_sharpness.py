"""The benchmark of borders: its measures on made-up maps, and a tiny region from end to end."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from taxoscape.grid import Grid
from tests.builders import a_lattice

HERE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import sharpness

    yield sharpness
    for name in ("sharpness", "evidence"):
        sys.modules.pop(name, None)


def test_a_map_is_painted_in_the_middle_of_its_tiles(bench):
    grid = Grid.over(a_lattice(40, 50), tile_size=20, stride=10)
    labels = np.arange(1, grid.n_tiles + 1)
    image = bench.painted(labels, grid)
    assert image.shape == (40, 50)
    row, col = grid.corners[0] + 5
    assert (image[row : row + 10, col : col + 10] == 1).all()
    assert (image[row : row + 10, col + 10 : col + 20] == 2).all()
    assert np.count_nonzero(image) == grid.n_tiles * 100


def test_a_border_that_is_drawn_beside_the_true_one_is_off_by_so_much(bench):
    truth, drawn = np.ones((60, 100), np.int64), np.full((60, 100), 2)
    truth[:, 40:], drawn[:, 45:] = 2, 1  # the same zones under other numbers, 5 px to the right
    found = bench.sharpness(drawn, truth, tile_size=20)
    assert found["off_px"] == 5
    assert found["right"] == pytest.approx(0.95)
    assert found["right_near"] == pytest.approx(1 - 5 / 39)  # columns 20 to 58
    assert found["right_at"] == pytest.approx(1 - 4 / 9)  # columns 35 to 43
    same = bench.sharpness(truth, truth, tile_size=20)
    assert (same["right"], same["right_near"], same["right_at"], same["off_px"]) == (1, 1, 1, 0)


def test_the_table_has_a_row_for_each_stride_and_a_sentence_for_each_tile_size(bench):
    common = {
        "seed": 1, "n_tiles": 10, "encode_seconds": 2.0, "times_faster": 5.0, "difference": 3e-7, "nmi": 0.9,
        "right": 0.95, "right_at": 0.7,
    }  # fmt: skip
    whole = {"tile_size": 64, "stride": 64, "times_whole": 1.0, "right_near": 0.8, "off_px": 14.0, **common}
    fine = {"tile_size": 64, "stride": 16, "times_whole": 3.0, "right_near": 0.9, "off_px": 8.0, **common}
    text = bench.table([whole, fine, {**fine, "seed": 2, "times_whole": 4.0}])
    assert "| 64 | 16 | 10 | 2.0 | 3.5 | 5.0 | 3e-07 | 0.900 | 0.950 | 0.900 | 0.700 | 8.0 |" in text
    assert "10.0% are wrong in the place of 20.0%" in text
    assert "off by 8.0 px in the place of 14.0, for 3.5 times the encoding (tile by tile: 16 times)" in text


def test_a_tiny_region_from_end_to_end(bench, tmp_path):
    quick = ("--triplets", "150", "--epochs", "1", "--threads", "1", "--no-refine")
    rows = bench.run_seed(3, tmp_path, size=240, strides={48: (48, 24)}, more=quick, n_zones=3)
    assert [row["stride"] for row in rows] == [48, 24]
    assert rows[1]["difference"] < 1e-5
    assert all(0 < row[name] <= 1 for row in rows for name in ("nmi", "right", "right_near", "right_at"))
