from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from sklearn.metrics import adjusted_rand_score

from taxoscape.analysis.regions import region_partitions
from taxoscape.cli import run_command
from taxoscape.cube.labels import read_labels_on_grid
from taxoscape.run.folder import RunFolder
from taxoscape.run.pipeline import status
from taxoscape.run.reading import Reading
from taxoscape.run.request import read_run
from taxoscape.run.store import read_dataset
from taxoscape.testing.region import Region
from taxoscape.testing.writing import write_region

SETTINGS = """
[grid]
tile_size = 20
[encoder]
triplets = 60
epochs = 1
[zones]
zones = 3
[analysis]
most_zones = 3
[run]
threads = 1
"""
FILES = ("zones.tif", "zones.qml", "zones.gpkg", "colours.tif", "zones_geographic.tif", "maps.png")


def blocks(**regions: str) -> str:
    """Return ``[[region]]`` blocks by name and scenes; ``_`` in a name is a space."""
    return "".join(
        f'[[region]]\nname = "{name.replace("_", " ")}"\nscenes = ["{scenes}"]\n' for name, scenes in regions.items()
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with the scenes of two regions of different sizes in two UTM zones, and a run file of both."""
    folder = tmp_path_factory.mktemp("regions")
    write_region(Region(seed=3, height=120, width=160, n_zones=3, dates=2), folder / "east")
    write_region(Region(seed=4, height=107, width=93, n_zones=3, dates=2), folder / "west")
    for file in (folder / "west").rglob("*.tif"):
        with rasterio.open(file, "r+") as target:
            target.crs = CRS.from_epsg(32629)
    both = blocks(East="east/scenes/*.tif", Far_West="west/scenes")
    truth = SETTINGS.replace("[analysis]", '[analysis]\ntruth = "west/truth/truth.tif"\nbaselines = true')
    (folder / "region.toml").write_text(f'out = "run"\n{both}{truth}')
    return folder


@pytest.fixture(scope="module")
def run(home) -> Path:
    """The finished run of two regions. Read it, do not change it."""
    assert run_command(["run", str(home / "region.toml"), "--quiet"]) == 0
    return home / "run"


@pytest.fixture(scope="module")
def alone(home) -> Path:
    """A finished run of the second region alone, without training."""
    options = ["--tile-size", "20", "--zones", "3", "--encoder", "stats", "--no-refine", "--no-evidence", "--quiet"]
    out = home / "alone"
    assert run_command(["run", str(home / "west/scenes"), "--out", str(out), "--threads", "1", *options]) == 0
    return out


def test_a_run_of_two_regions_has_the_maps_of_each_and_one_report(run):
    assert {row["state"] for row in status(RunFolder(run))} == {"done"}
    for name in ("East", "Far West"):
        assert [file for file in FILES if not (run / "regions" / name / file).exists()] == []
    assert not (run / "zones.tif").exists()
    made = {path.stem for path in (run / "figures").iterdir()}
    assert {"regions", "strips", "cards", "baselines", "refinement", "moves", "sweep"} <= made
    assert "maps" not in made


def test_each_region_s_map_lies_where_a_run_of_it_alone_has_it(run, alone):
    with rasterio.open(run / "regions/Far West/zones.tif") as both, rasterio.open(alone / "zones.tif") as one:
        assert both.crs == one.crs == CRS.from_epsg(32629)
        assert (both.transform, both.shape, both.nodata) == (one.transform, one.shape, one.nodata)
        assert both.shape == (5, 4)
    with rasterio.open(run / "regions/East/zones.tif") as source:
        assert source.crs == CRS.from_epsg(32630)
        assert source.shape == (6, 8)


def test_maps_hold_the_labels_of_the_one_partition_and_one_legend(run):
    settings, _, _ = read_run(RunFolder(run))
    reading = Reading(RunFolder(run), settings)
    colours = []
    for placement in reading.placements:
        with rasterio.open(run / "regions" / placement.name / "zones.tif") as source:
            np.testing.assert_array_equal(
                source.read(1).ravel(), reading.labels[placement.tiles(reading.grid)].astype(np.uint8)
            )
            colours.append([source.colormap(1)[zone] for zone in (1, 2, 3)])
    assert colours[0] == colours[1]
    assert int((reading.labels > 0).sum()) == 6 * 8 + 5 * 4
    assert json.loads((run / "metrics.json").read_text())["n_tiles"] == 68


def test_areas_are_those_of_the_regions_own_grids_and_none_lies_between_them(run):
    settings, _, _ = read_run(RunFolder(run))
    reading = Reading(RunFolder(run), settings)
    assert reading.areas_km2[reading.labels > 0] == pytest.approx(0.04, rel=2e-3)
    assert reading.areas_km2[reading.labels == 0].sum() == 0


def test_what_each_region_makes_of_itself_is_kept_in_numbers(run):
    settings, _, _ = read_run(RunFolder(run))
    reading = Reading(RunFolder(run), settings)
    kept = json.loads((run / "analysis.json").read_text())["regions"]
    assert [row["name"] for row in kept] == ["East", "Far West"]
    made = region_partitions(
        reading.series, reading.zones, reading.placements, starts=settings.zones.starts, rng=settings.run.seed
    )
    for row, found, fresh in zip(kept, reading.regions, made, strict=True):
        assert row["ari"] == found.ari == pytest.approx(adjusted_rand_score(fresh.overall, fresh.own))
        np.testing.assert_array_equal(found.own, fresh.own)
        assert found.to_dict() == fresh.to_dict()


def test_a_run_moved_together_with_its_scenes_stays_done(run, home, tmp_path):
    for name in ("east", "west", "run"):
        shutil.copytree(home / name, tmp_path / "moved" / name)
    assert {row["state"] for row in status(RunFolder(tmp_path / "moved/run"))} == {"done"}


def test_what_has_no_meaning_on_a_joined_map_is_left_open(run):
    metrics = json.loads((run / "metrics.json").read_text())
    for name in ("map_silhouette", "map_calinski_harabasz"):
        assert metrics[name] is metrics[f"{name}_geographic"] is None
    assert metrics["map_join_share"] is not None


def test_the_report_tells_of_both_regions_and_that_their_places_on_common_maps_mean_nothing(run):
    page = (run / "report.html").read_text(encoding="utf-8")
    for text in ("in 2 regions", "The regions under one partition", "Far West", "East, Far West; the coordinates"):
        assert text in page, text
    assert page.count("Dates of the regions are paired by their order") == 1


def test_a_truth_that_covers_one_region_scores_its_tiles_alone(run, home):
    settings, _, _ = read_run(RunFolder(run))
    reading = Reading(RunFolder(run), settings)
    west = next(placement for placement in reading.placements if placement.name == "Far West")
    truth = reading.truth(home / "west/truth/truth.tif")
    own = read_labels_on_grid(home / "west/truth/truth.tif", west.grid)
    np.testing.assert_array_equal(truth[west.tiles(reading.grid)], own)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["n_labelled_tiles"] == int((own > 0).sum()) == int((truth > 0).sum()) > 0


def test_evaluate_takes_a_truth_that_covers_one_region(run, home, capsys):
    capsys.readouterr()
    assert run_command(["evaluate", str(run), "--truth", str(home / "west/truth/truth.tif")]) == 0
    found = json.loads(capsys.readouterr().out)
    metrics = json.loads((run / "metrics.json").read_text())
    assert {name: found[name] for name in ("nmi", "ari", "purity")} == {
        name: metrics[name] for name in ("nmi", "ari", "purity")
    }


def test_layers_are_read_on_each_region_and_may_cover_only_one(run, home):
    out = home / "layered"
    shutil.copytree(run, out)
    layer = home / "west/truth/truth.tif"
    assert run_command(["analyse", str(out), "--no-baselines", "--layer", f"kind={layer}", "--quiet"]) == 0
    values = read_dataset(out / "layers.zarr")["values"].to_numpy()[0]
    settings, _, _ = read_run(RunFolder(out))
    reading = Reading(RunFolder(out), settings)
    west = next(placement for placement in reading.placements if placement.name == "Far West")
    inside = np.zeros(len(values), bool)
    inside[west.tiles(reading.grid)] = True
    assert (values[inside] > 0).all()
    assert not values[~inside].any()


def test_run_toml_names_the_regions_and_repeats_the_run(run, home):
    document = tomllib.loads((run / "run.toml").read_text(encoding="utf-8"))
    assert document["region"] == [
        {"name": "East", "scenes": ["../east/scenes/*.tif"]}, {"name": "Far West", "scenes": ["../west/scenes"]}
    ]  # fmt: skip
    assert "scenes" not in document
    twin = home / "twin"
    assert run_command(["cube", str(run / "run.toml"), "--out", str(twin), "--quiet"]) == 0
    for stage in ("train", "encode", "cluster"):
        assert run_command([stage, str(twin), "--quiet"]) == 0
    name = "partition_geographic.zarr"
    assert read_dataset(twin / name).identical(read_dataset(run / name))


def test_the_same_run_file_again_does_nothing_anew_and_other_regions_are_refused(run, home, capsys):
    before = (run / "report.html").stat().st_mtime_ns
    assert run_command(["run", str(home / "region.toml"), "--quiet"]) == 0
    assert (run / "report.html").stat().st_mtime_ns == before
    text = (home / "region.toml").read_text().replace("Far West", "West")
    (home / "other.toml").write_text(text)
    capsys.readouterr()
    assert run_command(["run", str(home / "other.toml")]) == 2
    assert "regions: East, Far West → East, West" in capsys.readouterr().err


def test_the_dry_run_tells_of_each_region_and_makes_nothing(home, capsys):
    (home / "dry.toml").write_text((home / "region.toml").read_text().replace('"run"', '"dry"'))
    capsys.readouterr()
    assert run_command(["run", str(home / "dry.toml"), "--dry-run"]) == 0
    text = capsys.readouterr().out
    for part in ("region 'East'", "region 'Far West'", "120 × 160 pixels", "68 of 20 px in 2 regions", "memory"):
        assert part in text, part
    assert not (home / "dry").exists()


REFUSALS = {
    "unequal": (
        blocks(East="east/scenes", Far_West="west/scenes/*03-07*"),
        "the regions have different numbers of scenes in time ('East' has 2, 'Far West' has 1): one partition pairs "
        "them by order, so every sequence needs the same number of scenes in season order; leave out scenes or add "
        "some",
    ),
    "nothing found": (blocks(East="east/scenes", Far_West="none/*.tif"), "region 'Far West': "),
    "no scenes": (
        blocks(East="east/scenes") + '[[region]]\nname = "West"\n',
        """{file}: region 'West' names no scenes: add a line such as  scenes = ["scenes/*.tif"]""",
    ),
    "equal names": (
        blocks(East="east/scenes") + blocks(East="west/scenes"),
        "{file}: two regions are called 'East': give each a name of its own",
    ),
    "no name": (
        '[[region]]\nscenes = ["east/scenes"]\n',
        '{file}: region 1 needs a name of letters, digits, spaces, dots and hyphens, as in  name = "north"',
    ),
    "path as name": (
        blocks(**{"../East": "east/scenes"}),
        '{file}: region 1 needs a name of letters, digits, spaces, dots and hyphens, as in  name = "north"',
    ),
    "strange key": (
        blocks(East="east/scenes") + "zones = 3\n",
        "{file}: region 'East' has zones: a region has a name and scenes, nothing else",
    ),
    "one table": (
        '[region]\nname = "East"\nscenes = ["east/scenes"]\n',
        "{file}: regions are blocks that begin with  [[region]]  and have a name and scenes",
    ),
    "scenes of its own": (
        'scenes = ["east/scenes"]\n' + blocks(West="west/scenes"),
        "{file} has scenes of its own and [[region]] blocks: put all scenes into blocks, or none",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_regions_that_do_not_go_together_are_refused_in_one_line(case, home, capsys):
    text, message = REFUSALS[case]
    file = home / "refused.toml"
    file.write_text(f'out = "refused"\n{text}{SETTINGS}' if "[region]\n" not in text else f'out = "refused"\n{text}')
    capsys.readouterr()
    for more in ([], ["--dry-run"]):
        assert run_command(["run", str(file), *more]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        wanted = " ".join(f"taxoscape: {message.format(file=file)}".split())
        said = " ".join(lines[0].split())
        assert said.startswith(wanted) if case == "nothing found" else said == wanted
    assert not (home / "refused" / "run.toml").exists()


def test_a_stride_is_refused_beside_regions(home, capsys):
    capsys.readouterr()
    assert run_command(["run", str(home / "region.toml"), "--out", str(home / "strided"), "--stride", "10"]) == 2
    assert capsys.readouterr().err.strip() == (
        "taxoscape: several regions are laid side by side tile by tile: leave --stride out"
    )
    assert not (home / "strided" / "run.toml").exists()


def test_a_run_of_regions_can_be_cut_for_each_and_applied_to_one(run, home, tmp_path):
    assert run_command(["cut", str(run), "--zones", "5", "--out", str(tmp_path / "five.tif")]) == 0
    for name in ("East", "Far West"):
        with (
            rasterio.open(tmp_path / f"five_{name}.tif") as cut,
            rasterio.open(run / "regions" / name / "zones.tif") as own,
        ):
            five, three = cut.read(1), own.read(1)
            assert cut.transform == own.transform
        pairs = np.unique(np.stack([five[five > 0], three[five > 0]]), axis=1)
        assert len(np.unique(pairs[0])) == pairs.shape[1]
    out = tmp_path / "east"
    applied = ["apply", str(run), str(home / "east" / "scenes"), "--out", str(out), "--no-levels", "--quiet"]
    assert run_command(applied) == 0
    with rasterio.open(out / "zones.tif") as ours, rasterio.open(run / "regions" / "East" / "zones.tif") as theirs:
        np.testing.assert_array_equal(ours.read(1), theirs.read(1))
        assert ours.colormap(1) == theirs.colormap(1)
        assert ours.tags() == theirs.tags()
