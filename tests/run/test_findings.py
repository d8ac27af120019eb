from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer

from taxoscape.cli import run_command
from taxoscape.contracts import grid_of
from taxoscape.cube.labels import read_labels_on_grid
from taxoscape.run.baselines import METHODS, read_baselines
from taxoscape.run.folder import RunFolder
from taxoscape.run.pipeline import status
from taxoscape.run.store import read_dataset
from taxoscape.run.table import FIGURES
from taxoscape.run.tables import csv_text, plain

EVERY_RUN = (
    "run.toml", "run.log", "encoder_geographic.safetensors", "series_geographic.zarr", "partition_geographic.zarr",
    "zones.tif", "zones.gpkg", "zones.qml", "colours.tif", "zones.toml", "metrics.json", "analysis.json", "cards.csv",
    "projections.csv", "graph.graphml", "graph.json", "statistics.zarr", "report.html",
)  # fmt: skip
WITH_EVERYTHING = (
    *EVERY_RUN, "encoder.safetensors", "series.zarr", "partition.zarr", "zones_geographic.tif", "sweep.csv",
    "baselines.csv", "dates.csv", "moved.tif", "confidence.tif", "evidence.zarr", "baselines.zarr", "layers.zarr",
)  # fmt: skip
NAMES = (
    "n_tiles", "n_dates", "n_clusters", "inertia_mean", "silhouette_flat", "silhouette_sumnorm", "map_silhouette",
    "map_calinski_harabasz", "map_join_share", "map_patches", "stability_ari",
)  # fmt: skip
CHEAP = ["--tile-size", "20", "--encoder", "stats", "--most-zones", "3", "--threads", "1", "--quiet"]


def states(out: Path) -> dict[str, str]:
    return {row["name"]: row["state"] for row in status(RunFolder(out))}


def notes(out: Path, stage: str) -> dict[str, object]:
    return next(row["notes"] for row in status(RunFolder(out)) if row["name"] == stage)


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def dem(region_files, tmp_path_factory) -> Path:
    """A raster of whole metres whose pixels are seven of the scenes' wide and which rises with the true zone."""
    path = tmp_path_factory.mktemp("layers") / "dem.tif"
    with rasterio.open(region_files.truth) as source:
        heights = (200.0 * source.read(1)[::7, ::7] + 0.5).astype("float32")
        x, y, dx = source.transform.c, source.transform.f, source.transform.a
        profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "crs": source.crs, "nodata": -9999.0}
        height, width = heights.shape
        profile |= {"height": height, "width": width, "transform": Affine(7 * dx, 0, x, 0, -7 * dx, y)}
    with rasterio.open(path, "w", **profile) as target:
        target.write(heights, 1)
    return path


@pytest.fixture(scope="module")
def basins(region_files, tmp_path_factory) -> Path:
    """Two polygons, west and east, in another CRS than the scenes."""
    path = tmp_path_factory.mktemp("layers") / "basins.gpkg"
    with rasterio.open(region_files.truth) as source:
        (left, bottom, right, top), crs = source.bounds, source.crs
    middle = left + 0.4 * (right - left)
    boxes = shapely.segmentize(shapely.box([left, middle], bottom, [middle, right], top), 100)
    move = Transformer.from_crs(crs, "EPSG:3035", always_xy=True).transform
    boxes = shapely.transform(boxes, lambda points: np.column_stack(move(*points.T)))
    rivers = np.array(["Ebro", "Duero"], dtype=object)
    pyogrio.raw.write(path, shapely.to_wkb(boxes), [rivers], ["river"], geometry_type="Polygon", crs="EPSG:3035",
                      driver="GPKG", layer="basins")  # fmt: skip
    return path


@pytest.fixture(scope="module")
def full(finished, dem, basins, region_files, tmp_path_factory) -> Path:
    """A run with baselines, two layers and a truth, all given to a finished run. Read it, do not change it."""
    out = tmp_path_factory.mktemp("full") / "run"
    shutil.copytree(finished, out)
    options = ["--baselines", "--layer", f"elevation={dem}", "--layer", f"basins={basins}"]
    assert run_command(["analyse", str(out), *options, "--truth", str(region_files.truth), "--quiet"]) == 0
    assert run_command(["publish", str(out), "--quiet"]) == 0
    return out


@pytest.fixture(scope="module")
def cheap(scenes, tmp_path_factory) -> Path:
    """A finished run of some seconds, whose number of zones is chosen. Read it, do not change it."""
    out = tmp_path_factory.mktemp("cheap") / "run"
    options = ["--zones", "auto", "--no-refine", "--no-evidence"]
    assert run_command(["cube", str(scenes), "--out", str(out), *CHEAP, *options]) == 0
    for stage in ("train", "encode", "cluster"):
        assert run_command([stage, str(out), "--quiet"]) == 0
    assert (states(out)["evidence"], states(out)["statistics"]) == ("done", "not done")
    for stage in ("refine", "analyse", "publish"):
        assert run_command([stage, str(out), "--quiet"]) == 0
    return out


def test_a_run_with_everything_asked_for_makes_every_file_that_the_documents_name(full):
    assert [name for name in WITH_EVERYTHING if not (full / name).exists()] == []
    assert set(states(full).values()) == {"done"}


def test_the_table_of_dates_has_every_pair_of_zones_and_shares_that_make_one(full):
    rows = table_of(full / "dates.csv")
    zones = {int(row["zone_a"]) for row in rows} | {int(row["zone_b"]) for row in rows}
    k, dates = len(zones), {row["date"] for row in rows}
    assert len(rows) == k * (k - 1) // 2 * len(dates)
    for a, b in {(row["zone_a"], row["zone_b"]) for row in rows}:
        share = sum(float(row["share"]) for row in rows if (row["zone_a"], row["zone_b"]) == (a, b))
        assert share == pytest.approx(1)


def test_a_run_with_everything_has_every_figure_but_that_of_several_regions(full):
    made = {path.stem for path in (full / "figures").iterdir()}
    assert made == {name for name in FIGURES if name not in ("regions", "unlike") and not name.startswith("layer_")} | {
        "layer_1", "layer_2"
    }  # fmt: skip


def test_every_json_is_strict_and_every_csv_a_whole_table_without_the_text_nan(full):
    def refuse(text):
        raise AssertionError(f"{text} is no JSON")

    for path in full.glob("*.json"):
        json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    for path in full.glob("*.csv"):
        head, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
        assert rows, path
        assert {len(row) for row in rows} == {len(head)}
        assert not {"nan", "NaN", "None", "inf"} & {cell for row in rows for cell in row}


def test_metrics_have_every_name_of_the_contract_and_those_of_the_truth(full):
    metrics = json.loads((full / "metrics.json").read_text())
    wanted = [f"{name}{end}" for name in (*NAMES, "nmi", "ari", "purity") for end in ("", "_geographic")]
    assert [name for name in (*wanted, "ari_geographic_refined", "n_labelled_tiles") if metrics.get(name) is None] == []


def test_the_table_of_methods_has_a_row_per_method_and_its_agreements_are_those_of_scikit_learn(full, region_files):
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    zones = read_dataset(full / "partition.zarr")
    labels = zones["labels"].to_numpy().astype(int)
    truth = read_labels_on_grid(region_files.truth, grid_of(zones))
    stored = {row.name: values for row, values in read_baselines(RunFolder(full))}
    stored |= {"refined": labels, "geographic": read_dataset(full / "partition_geographic.zarr")["labels"].to_numpy()}
    rows = {row["name"]: row for row in table_of(full / "baselines.csv")}
    assert list(rows) == ["refined", "geographic", *(name for name, _, _ in METHODS)]
    for name, row in rows.items():
        if name == "untrained_tilenet":
            continue
        known = (truth > 0) & (stored[name] > 0)
        pair = truth[known], stored[name][known]
        assert float(row["ari"]) == pytest.approx(adjusted_rand_score(*pair), abs=1e-9), name
        assert float(row["nmi"]) == pytest.approx(normalized_mutual_info_score(*pair), abs=1e-9), name
        assert float(row["ari_with_zones"]) == pytest.approx(adjusted_rand_score(labels, stored[name]), abs=1e-9)
        assert set(np.unique(stored[name])) <= {0, 1, 2, 3}
        assert int(row["map_patches"]) >= 1
        assert float(row["seconds"]) >= 0
    assert float(rows["means"]["n_features"]) == 3
    assert float(rows["stats"]["n_features"]) == 6


def test_an_untrained_tilenet_is_left_out_with_the_reason_where_tiles_do_not_fit_it(full):
    row = next(row for row in table_of(full / "baselines.csv") if row["name"] == "untrained_tilenet")
    assert row["note"].startswith("left out: TileNet takes tiles of 49 to 112 px, not 20")
    assert {row[name] for name in ("n_features", "seconds", "nmi", "ari", "map_patches")} == {""}
    assert "TileNet, untrained: left out: TileNet takes tiles" in (full / "report.html").read_text(encoding="utf-8")


def test_layers_are_kept_on_the_tiles_and_measured_against_their_null(full):
    found = json.loads((full / "analysis.json").read_text())
    assert {name: row["measure"] for name, row in found["associations"].items()} == {
        "elevation": "eta_squared", "basins": "cramers_v"
    }  # fmt: skip
    for row in found["associations"].values():
        assert 0 <= row["value"] <= 1
        assert 0 < row["p"] <= 1
    shares = read_dataset(full / "layers.zarr")["share"].to_numpy()
    assert shares.shape == (2, 108)
    assert shares.min() > 0
    assert {row["basins_class"] for row in table_of(full / "cards.csv")} <= {"Ebro", "Duero"}
    assert all(float(row["elevation_mean"]) > 0 for row in table_of(full / "cards.csv"))


def test_the_report_holds_every_figure_the_tables_and_no_link_to_elsewhere(full):
    page = (full / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == len(list((full / "figures").iterdir()))
    for heading in ("Zones and other maps", "How many zones?", "Would something simpler have done?", "Where the tiles"):
        assert heading in page
    for text in ("Cramér&#39;s V", "η²", "Random convolutional features", "This run has 3 zones, as asked."):
        assert text in page, text
    assert not re.search(r"https?://|<script|<link|\bnan\b", page)
    assert not re.search(r">nan<|>None<", page)
    assert page.count("NMI with the truth") == 0  # it stands in the table of agreement with the truth, once


def test_what_refinement_and_time_did_is_kept_in_numbers(full):
    found = json.loads((full / "analysis.json").read_text())
    before = read_dataset(full / "partition_geographic.zarr")["labels"].to_numpy()
    after = read_dataset(full / "partition.zarr")
    labels, k = after["labels"].to_numpy(), after.sizes["zone"]
    naive = [[int(((before == i) & (labels == j)).sum()) for j in range(1, k + 1)] for i in range(1, k + 1)]
    assert found["changes"]["tiles"] == naive
    steps = np.linalg.norm(np.diff(after["centroids"].to_numpy().astype(float), axis=1), axis=2)
    np.testing.assert_allclose(found["paths"]["steps"], steps, rtol=1e-5)
    assert all(row["inertia_mean"] > 0 for row in found["comparison"] if row.get("n_features"))


def test_a_layer_given_to_analyse_makes_only_analyse_and_publish_stale(full, dem, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(full, out)
    assert run_command(["analyse", str(out), "--layer", f"height={dem}", "--quiet"]) == 0
    found = states(out)
    assert found.pop("publish").startswith("stale")
    assert set(found.values()) == {"done"}
    assert set(json.loads((out / "analysis.json").read_text())["associations"]) == {"height"}
    log = (out / "run.log").read_text(encoding="utf-8")
    assert log.count("baselines 6 partitions") == 1
    assert run_command(["analyse", str(out), "--layer", "none", "--quiet"]) == 0
    assert json.loads((out / "analysis.json").read_text())["associations"] == {}
    assert not (out / "layers.zarr").exists()
    assert "height" not in (out / "run.toml").read_text()


def test_a_layer_or_a_truth_whose_file_changed_makes_analyse_stale(full, dem, tmp_path):
    out, own = tmp_path / "run", tmp_path / "dem.tif"
    shutil.copytree(full, out)
    shutil.copy(dem, own)
    text = (out / "run.toml").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("elevation"))
    (out / "run.toml").write_text(text.replace(line, f'elevation = "{own.as_posix()}"'), encoding="utf-8")
    assert run_command(["analyse", str(out), "--quiet"]) == 0
    assert states(out)["analyse"] == "done"
    own.write_bytes(own.read_bytes() + b"\0")
    found = states(out)
    assert found["analyse"].startswith("stale")
    assert found["baselines"] == "done"


@pytest.mark.parametrize(
    ("option", "part"),
    [
        (["--layer", "elevation=none.tif"], "the layer 'elevation' is not there: no file"),
        (["--layer", "basins=none.gpkg#river"], "the layer 'basins' is not there: no file"),
        (["--layer", "lc:classes=none.tif"], "continuous or categorical, not 'classes'"),
        (["--layer", "none.tif"], "--layer takes a name and a path"),
        (["--truth", "none.tif"], "the truth is not there: no file"),
    ],
)
def test_a_layer_or_truth_that_is_not_there_is_refused_at_once(option, part, scenes, cheap, tmp_path, capsys):
    assert run_command(["run", str(scenes), "--out", str(tmp_path / "run"), *CHEAP, *option]) == 2
    assert part in capsys.readouterr().err
    assert not (tmp_path / "run" / "run.toml").exists()
    before = (cheap / "run.toml").read_bytes()
    assert run_command(["analyse", str(cheap), *option]) == 2
    assert part in capsys.readouterr().err
    assert (cheap / "run.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("option", "part"),
    [
        ("--layer=a={}/elsewhere.tif", "the layer 'a' tells nothing here"),
        ("--layer=a={}/placeless.tif", "the layer 'a' has no CRS"),
        ("--truth={}/elsewhere.tif", "lie beside the region"),
        ("--truth={}/placeless.tif", "have no georeference"),
    ],
)
def test_a_layer_or_truth_of_no_use_is_refused_at_once(option, part, scenes, cheap, tmp_path, capsys):
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": 4, "width": 4}
    placed = {"crs": "EPSG:32630", "transform": Affine(10, 0, 0, 0, -10, 0)}
    for name, place in (("elsewhere", placed), ("placeless", {"transform": Affine(10, 0, 9, 0, -10, 9)})):
        with rasterio.open(tmp_path / f"{name}.tif", "w", **profile, **place) as target:
            target.write(np.ones((1, 4, 4), "uint8"))
    option = option.format(tmp_path)
    assert run_command(["run", str(scenes), "--out", str(tmp_path / "run"), *CHEAP, option]) == 2
    assert part in capsys.readouterr().err
    assert not (tmp_path / "run" / "run.toml").exists()
    before = (cheap / "run.toml").read_bytes()
    assert run_command(["analyse", str(cheap), option]) == 2
    assert part in capsys.readouterr().err
    assert (cheap / "run.toml").read_bytes() == before


def test_the_stages_one_by_one_do_those_without_a_command_too(cheap):
    assert set(states(cheap).values()) == {"done"}
    assert [name for name in EVERY_RUN if not (cheap / name).exists()] == []
    assert notes(cheap, "baselines")["left_out"] == "not asked for"
    assert not (cheap / "baselines.csv").exists()


def test_auto_chooses_without_evidence_being_asked_for_and_says_why(cheap):
    chosen = notes(cheap, "evidence")["chosen"]
    reason = str(notes(cheap, "evidence")["reason"])
    assert read_dataset(cheap / "partition_geographic.zarr").sizes["zone"] == chosen
    assert reason.startswith(f"{chosen} zones: ")
    page = (cheap / "report.html").read_text(encoding="utf-8")
    assert reason.split(":")[1].strip()[:40] in page
    assert "as asked" not in re.sub(r"<style.*?</style>", "", page, flags=re.DOTALL)


def test_no_evidence_leaves_the_sweep_out_and_takes_back_what_was_there(finished, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    assert (out / "sweep.csv").exists()
    assert run_command(["analyse", str(out), "--no-evidence", "--quiet"]) == 0
    assert not (out / "sweep.csv").exists()
    assert not (out / "evidence.zarr").exists()
    assert "sweep" not in json.loads((out / "analysis.json").read_text())
    assert notes(out, "evidence") == {"left_out": "as asked", "warnings": []}


def test_without_refinement_scores_of_baselines_are_not_taken_for_those_of_first_zones(cheap, region_files, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(cheap, out)
    command = ["analyse", str(out), "--baselines", "--truth", str(region_files.truth), "--quiet"]
    assert run_command(command) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["nmi"] is not None
    assert [name for name in metrics if name.endswith("_geographic")] == []


def test_refinement_that_cannot_be_is_left_out_and_the_report_says_why(cheap, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(cheap, out)
    for command in (["refine", "--refine"], ["analyse"], ["publish"]):
        assert run_command([command[0], str(out), *command[1:], "--quiet"]) == 0
    reason = str(notes(out, "refine")["left_out"])
    assert "stats" in reason
    assert f"Refinement was left out: {reason}.".replace("'", "&#39;") in (out / "report.html").read_text("utf-8")
    assert not (out / "series.zarr").exists()


def test_a_run_with_one_zone_on_one_date_gives_maps_and_report_without_what_needs_more(scenes, tmp_path, dem):
    out = tmp_path / "run"
    first = sorted(scenes.glob("*.tif"))[0]
    options = ["--zones", "1", "--baselines", "--layer", f"elevation={dem}"]
    assert run_command(["run", str(first), "--out", str(out), *CHEAP, *options]) == 0
    made = {path.stem for path in (out / "figures").iterdir()}
    assert {"maps", "strips", "cards", "layer_1"} <= made
    assert not {"graph", "interpolation", "paths", "dates", "baselines", "moves", "refinement"} & made
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["silhouette_flat"] is None
    assert metrics["n_dates"] == 1
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "fall into 1 zone by how they look. Nobody" in page
    assert "nan" not in (out / "run.log").read_text(encoding="utf-8")
    assert "Zones and other maps" not in page


def test_plain_makes_json_of_arrays_and_turns_what_is_no_number_into_null():
    value = {1: np.float32(0.5), "a": [math.nan, math.inf, -math.inf, np.int64(3)], "b": (None, True, "x", np.nan)}
    assert plain(value) == {"1": 0.5, "a": [None, None, None, 3], "b": [None, True, "x", None]}
    assert json.dumps(plain(value), allow_nan=False)


def test_csv_text_has_a_column_for_every_key_and_leaves_empty_what_is_not_known():
    rows = [{"a": 1, "b": math.nan}, {"a": None, "c": math.inf}, {"c": 'say "x", twice\nover', "b": np.float64(2.5)}]
    text = csv_text(rows)
    assert list(csv.reader(text.splitlines(keepends=True))) == [
        ["a", "b", "c"], ["1", "", ""], ["", "", ""], ["", "2.5", 'say "x", twice\nover']
    ]  # fmt: skip
    assert csv_text([]).strip() == ""
