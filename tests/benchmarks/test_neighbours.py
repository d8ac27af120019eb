"""The benchmark of nearest neighbours, on made-up photographs."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio

HERE = Path(__file__).resolve().parents[2] / "benchmarks"
EDGE, CROP = 24, 12


@pytest.fixture
def neighbours(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import neighbours

    yield neighbours
    for name in ("neighbours", "evidence", "child", "strong"):
        sys.modules.pop(name, None)


@pytest.fixture
def album(neighbours, tmp_path):
    rng = np.random.default_rng(3)
    for kind, level in (("dark", 40), ("light", 200)):
        (tmp_path / kind).mkdir()
        for number in range(8):
            pixels = (level + rng.integers(-30, 30, (3, EDGE, EDGE))).astype(np.uint8)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
                path = tmp_path / kind / f"{number}.jpg"
                with rasterio.open(path, "w", driver="JPEG", height=EDGE, width=EDGE, count=3, dtype="uint8") as file:
                    file.write(pixels)
            path.with_name(f"{path.name}.aux.xml").unlink(missing_ok=True)
    return neighbours.read_album(tmp_path, tile_size=CROP)


def test_each_photograph_lies_at_its_corner_and_nothing_lies_across_two(album):
    whole, valid = album.reader.read(np.column_stack([album.corners, np.zeros(len(album.corners), int)]))
    assert valid.all()
    assert ((whole.mean(axis=(1, 2, 3)) > 120) == album.classes).all()  # class 1 is light
    across = np.column_stack([album.corners + np.array([0, EDGE - CROP + 1]), np.zeros(len(album.corners), int)])
    assert (album.reader.valid_share(across) < 1).all()


def test_crops_of_a_triplet_are_two_of_one_photograph_and_one_of_another(neighbours, album):
    triplets = neighbours.crop_triplets(album, 400, rng=np.random.default_rng(0))
    tables = (triplets.anchor, triplets.neighbour, triplets.distant)
    assert all((album.reader.valid_share(table) == 1).all() for table in tables)
    own, near, far = (table[:, :2] // (EDGE + 1) for table in tables)
    assert (own == near).all()
    assert (own != far).any(axis=1).all()
    assert (triplets.anchor != triplets.neighbour).any(axis=1).all()
    assert len(np.unique(own, axis=0)) == len(album.corners)


def test_the_commonest_class_of_the_nearest_others_counts_and_a_tie_goes_to_the_nearest(neighbours):
    places = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 100.0])[:, None]
    assert neighbours.accuracy(places, np.array([0, 0, 0, 0, 0, 0, 1]), standardised=False) == pytest.approx(6 / 7)
    kinds = np.array([0, 0, 1, 0, 1, 2])  # of the first: 0, 1, 0, 1, 2, so 0, which is nearest
    found = neighbours.accuracy(places[:6], kinds, standardised=False)
    assert found == pytest.approx(naive(places[:6], kinds))


def naive(places, kinds):
    right = []
    for own in range(len(places)):
        order = [i for i in np.argsort(abs(places[:, 0] - places[own, 0]), kind="stable") if i != own][:5]
        votes = [int(kinds[i]) for i in order]
        right.append(max(votes, key=lambda kind: (votes.count(kind), -votes.index(kind))) == kinds[own])
    return float(np.mean(right))


def test_standardised_features_weigh_alike(neighbours):
    rng = np.random.default_rng(0)
    kinds = np.arange(60) % 2
    rows = np.column_stack([kinds + 0.1 * rng.normal(size=60), 1000 * rng.normal(size=60)])
    assert neighbours.accuracy(rows, kinds, standardised=True) > 0.9
    assert neighbours.accuracy(rows, kinds, standardised=False) < 0.75


@pytest.mark.parametrize("name", ["fast_statistics", "fast_triplet", "rcf", "untrained_fast", "stats"])
def test_each_encoder_tells_dark_from_light(neighbours, album, name):
    more = {"triplets": 32, "epochs": 2, "batch_size": 16}
    lengths = {"fast_statistics": 70, "fast": 64, "fast_triplet": 64, "rcf": 515, "untrained_fast": 64, "stats": 6}
    found = neighbours.measure(album, name, 0, more)
    assert [row["method"] for row in found] == [name, *(part[0] for part in [neighbours.PARTS.get(name)] if part)]
    for row in found:
        assert row["n_features"] == {**lengths, "means": 3}[row["method"]]
        assert max(row["as_they_are"], row["standardised"]) > 0.8
        assert f"| {neighbours.TITLES[row['method']]} |" in neighbours.table(found)


def test_tilenet_takes_the_crops_of_the_benchmark(neighbours, tmp_path):
    album = whole_size(neighbours)
    more = {"triplets": 2, "epochs": 1, "batch_size": 2}
    assert neighbours.vectors(album, neighbours.METHODS["tilenet_triplet"][1](album, 0, more)).shape == (4, 512)
    assert neighbours.vectors(album, neighbours.METHODS["untrained_tilenet"][1](album, 0, {})).shape == (4, 512)


def whole_size(neighbours):
    corners = np.array([(0, 0), (0, 101), (101, 0), (101, 101)], np.int32)
    pixels = np.random.default_rng(0).integers(256, size=(1, 3, 201, 201)).astype(np.uint8)
    valid = np.ones((1, 201, 201), bool)
    valid[:, 100], valid[:, :, 100] = False, False
    reader = neighbours.TileReader(neighbours.scene(pixels, valid), neighbours.TILE_PX)
    return neighbours.Album(reader, corners, np.array([0, 1, 0, 1]), 100)


def test_the_table_has_mean_and_deviation_over_the_seeds(neighbours):
    row = {"method": "means", "n_features": 3, "seconds": 2.0, "as_they_are": 0.4}
    rows = [{**row, "seed": 0, "standardised": 0.5}, {**row, "seed": 1, "standardised": 0.7}]
    assert neighbours.table(rows).splitlines()[-1] == "| Tile means | 3 | 0.400 ± 0.000 | 0.600 ± 0.141 | 2 | 2 |"
