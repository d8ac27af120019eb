from __future__ import annotations

import html
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pyogrio
import pytest

from taxoscape.cli import run_command
from taxoscape.publish.names import NAMES_FILE
from taxoscape.run.folder import RunFolder
from taxoscape.run.names import current_names
from taxoscape.run.pipeline import status
from taxoscape.run.store import read_dataset

OPTIONS = ["--tile-size", "20", "--encoder", "stats", "--no-refine", "--no-evidence", "--threads", "1", "--quiet"]
MINE = "upland <pasture> & moor"


@pytest.fixture(scope="module")
def made(scenes, tmp_path_factory) -> Path:
    """A finished run of 3 zones. Read it, do not change it."""
    out = tmp_path_factory.mktemp("names") / "run"
    assert run_command(["run", str(scenes), "--out", str(out), *OPTIONS, "--zones", "3"]) == 0
    return out


@pytest.fixture
def copy(made, tmp_path) -> Path:
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def rename(out: Path, zone: int, name: str = MINE) -> None:
    text = (out / NAMES_FILE).read_text(encoding="utf-8")
    head, table = text.split(f"[zone.{zone}]")
    table = re.sub(r'(?m)^name = ".*"$', f'name = "{name}"', table, count=1)
    (out / NAMES_FILE).write_text(f"{head}[zone.{zone}]{table}", encoding="utf-8")


def names(out: Path) -> dict[int, str]:
    zones = tomllib.loads((out / NAMES_FILE).read_text(encoding="utf-8"))["zone"]
    return {int(zone): table["name"] for zone, table in zones.items()}


def states(out: Path) -> dict[str, str]:
    return {row["name"]: row["state"] for row in status(RunFolder(out))}


def labels(out: Path) -> np.ndarray:
    return read_dataset(out / "partition_geographic.zarr")["labels"].to_numpy()


def shares_most(before: np.ndarray, zone: int, after: np.ndarray) -> int:
    """Return the zone of ``after`` that holds most tiles of a zone of ``before``."""
    found, counts = np.unique(after[before == zone], return_counts=True)
    return int(found[counts.argmax()])


def test_every_zone_has_a_proposed_name_with_the_evidence_for_it(made):
    zones = tomllib.loads((made / NAMES_FILE).read_text(encoding="utf-8"))["zone"]
    assert list(zones) == ["1", "2", "3"]
    assert all(table["name"] == table["proposed"] != "" and table["evidence"] for table in zones.values())


def test_an_edited_name_makes_publish_stale_and_nothing_else_and_reaches_maps_polygons_and_report(copy):
    rename(copy, 2)
    found = states(copy)
    assert found.pop("publish").startswith("stale")
    assert set(found.values()) == {"done"}
    assert run_command(["publish", str(copy), "--quiet"]) == 0
    assert set(states(copy).values()) == {"done"}
    assert names(copy)[2] == MINE
    for name in ("zones.tif.aux.xml", "zones.qml"):
        assert MINE in html.unescape((copy / name).read_text(encoding="utf-8")), name
    columns = pyogrio.raw.read(copy / "zones.gpkg")[3]
    assert MINE in {value for column in columns for value in column.tolist()}
    page = (copy / "report.html").read_text(encoding="utf-8")
    assert "upland &lt;pasture&gt; &amp; moor" in page
    assert MINE not in page


def test_a_name_set_back_to_the_proposed_one_makes_publish_done_again(copy):
    before = (copy / NAMES_FILE).read_text(encoding="utf-8")
    rename(copy, 1)
    assert states(copy)["publish"].startswith("stale")
    (copy / NAMES_FILE).write_text(before, encoding="utf-8")
    assert set(states(copy).values()) == {"done"}


def test_an_edited_name_survives_another_analysis(copy, region_files):
    rename(copy, 3)
    assert run_command(["analyse", str(copy), "--truth", str(region_files.truth), "--quiet"]) == 0
    assert names(copy)[3] == MINE
    assert current_names(RunFolder(copy), 4) == [*(names(copy)[zone] for zone in (1, 2, 3)), "Zone 4"]


@pytest.mark.parametrize("number", ["2", "5"])
def test_an_edited_name_goes_with_another_number_of_zones_to_the_zone_with_most_of_its_tiles(number, copy):
    before = labels(copy)
    rename(copy, 1)
    for command in (["cluster", "--zones", number], ["refine"], ["analyse"]):
        assert run_command([command[0], str(copy), *command[1:], "--quiet"]) == 0
    target = shares_most(before, 1, labels(copy))
    found = names(copy)
    assert list(found) == list(range(1, int(number) + 1))
    assert [zone for zone, name in found.items() if name == MINE] == [target]


def test_an_edited_name_survives_overwrite(copy, scenes):
    before = labels(copy)
    rename(copy, 2)
    options = [*OPTIONS, "--zones", "4", "--overwrite"]
    assert run_command(["run", str(scenes), "--out", str(copy), *options]) == 0
    target = shares_most(before, 2, labels(copy))
    assert [zone for zone, name in names(copy).items() if name == MINE] == [target]
    assert "upland &lt;pasture&gt; &amp; moor" in (copy / "report.html").read_text(encoding="utf-8")


def test_a_run_in_which_names_move_to_other_zones_is_done_when_it_ends(copy):
    before = labels(copy)
    rename(copy, 3)
    assert run_command(["cluster", str(copy), "--zones", "7", "--quiet"]) == 0
    assert shares_most(before, 3, labels(copy)) != 3  # or this tests nothing: take another number of zones
    assert run_command(["run", str(copy / "run.toml"), "--quiet"]) == 0
    assert set(states(copy).values()) == {"done"}


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("[zone.1]", "[zone.1", "is no valid TOML"),
        ("[zone.1]", "[zone.north]", "[zone.north] is no zone"),
        ('name = "', 'name = 3 # "', "name of [zone.1] is text"),
    ],
)
def test_a_broken_file_of_names_is_one_clear_error_and_stays_as_it_is(old, new, part, copy, capsys):
    text = (copy / NAMES_FILE).read_text(encoding="utf-8")
    broken = text.replace(old, new) if old.startswith("[") else re.sub(rf"(?m)^{old}", new, text, count=1)
    assert broken != text
    (copy / NAMES_FILE).write_text(broken, encoding="utf-8")
    capsys.readouterr()
    for command in (["publish"], ["analyse", "--min-share", "0.4"], ["status"]):
        assert run_command([command[0], str(copy), *command[1:]]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert part in lines[0]
        assert "zones.toml" in lines[0]
        assert "mend it, or move" in lines[0]
    assert (copy / NAMES_FILE).read_text(encoding="utf-8") == broken
    assert (copy / "report.html").exists()
