from __future__ import annotations

import inspect
import os
import subprocess
import sys

import numpy as np
import pytest

import taxoscape as tx


def seconds(code: str) -> float:
    """Return the seconds of processor time that a fresh Python takes for some code: the least of five.

    Time on the clock would say more of what else the machine is doing than of the code.
    """
    timed = f"{code}\nimport sys, time\nprint(time.process_time(), file=sys.stderr)"
    found = [
        subprocess.run([sys.executable, "-c", timed], check=True, capture_output=True, text=True) for _ in range(5)
    ]
    return min(float(one.stderr.splitlines()[-1]) for one in found)


def test_importing_taxoscape_takes_less_than_half_a_second():
    assert seconds("import taxoscape") < 0.5


def test_the_help_takes_less_than_a_second():
    assert seconds("from taxoscape.cli import run_command; run_command(['--help'])") < 1.0


@pytest.mark.parametrize("code", ["import taxoscape", "from taxoscape.cli import run_command; run_command(['--help'])"])
def test_neither_import_nor_help_loads_anything_heavy(code):
    heavy = ("torch", "sklearn", "xarray", "rasterio", "matplotlib", "scipy", "pandas")
    check = f"{code}\nimport sys\nfound = [m for m in {heavy} if m in sys.modules]\nassert not found, found"
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)


@pytest.mark.parametrize("arguments", [["--version"], ["-m", "--help"]])
def test_the_module_is_the_command_line(arguments):
    command = [sys.executable, "-m", "taxoscape", *[a for a in arguments if a != "-m"]]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "taxoscape" in found
    assert tx.__version__ in found or "Usage" in found


@pytest.mark.parametrize(("before", "after"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_of_the_command_line_wait_asleep_unless_the_user_has_chosen(monkeypatch, before, after):
    from taxoscape import cli

    monkeypatch.setenv("OMP_WAIT_POLICY", before or "")
    if before is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    seen = []
    monkeypatch.setattr(cli, "run_command", lambda arguments: seen.append(os.environ["OMP_WAIT_POLICY"]) or 0)
    with pytest.raises(SystemExit):
        cli.main()
    assert seen == [after]


def test_every_public_name_has_a_docstring():
    for name in tx.__all__:
        if name != "__version__":
            assert len(inspect.getdoc(getattr(tx, name)) or "") > 40, name


@pytest.mark.parametrize(
    "name", ["train_encoder", "encode", "cluster", "refine", "open_cube", "load_encoder", "quality"]
)
def test_public_functions_say_what_they_take_return_and_raise(name):
    text = inspect.getdoc(getattr(tx, name)) or ""
    assert "Parameters\n" in text
    assert "Returns\n" in text or "Yields\n" in text
    if name != "quality":
        assert "Raises\n" in text


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = tx.nonsense


def test_the_lines_of_the_python_page_work(scene_folder, tmp_path):
    from taxoscape.config import EncoderSettings, RefineSettings

    cube = tx.open_cube(f"{scene_folder}/*.tif")
    assert cube.dims == ("time", "band", "y", "x")
    quick = EncoderSettings(triplets=120, epochs=1)
    encoder = tx.train_encoder(cube, tile_size=20, settings=quick, rng=0)
    series = tx.encode(cube, encoder)
    assert series["embedding"].dims == ("tile", "time", "feature")
    zones = tx.cluster(series, n_clusters=3, rng=0)
    assert set(np.unique(zones["labels"])) == {1, 2, 3}
    refined = tx.refine(cube, encoder, zones, settings=RefineSettings(triplets_per_date=40, epochs=1), rng=0)
    assert refined.zones.sizes["zone"] == 3
    assert tx.quality(refined.series, refined.zones)["n_tiles"] == zones.sizes["tile"]
    encoder.save(tmp_path / "encoder.safetensors")
    tiles = cube.isel(time=0, y=slice(0, 20), x=slice(0, 20)).to_numpy()[None]
    found = tx.load_encoder(tmp_path / "encoder.safetensors").embed(tiles)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, encoder.embed(tiles))


def test_python_and_command_line_give_the_same_zones(scene_folder, tmp_path):
    import rasterio

    from taxoscape.cli import run_command
    from taxoscape.config import EncoderSettings

    quick = ["--tile-size", "20", "--zones", "3", "--triplets", "150", "--epochs", "1", "--no-evidence", "--quiet"]
    assert run_command(["run", str(scene_folder), "--out", str(tmp_path / "run"), *quick, "--threads", "1"]) == 0
    cube = tx.open_cube(scene_folder)
    settings = EncoderSettings(triplets=150, epochs=1)
    encoder = tx.train_encoder(cube, tile_size=20, settings=settings, rng=0)
    zones = tx.cluster(tx.encode(cube, encoder), n_clusters=3, rng=0)
    refined = tx.refine(cube, encoder, zones, rng=0).zones
    for name, found in (("zones_geographic.tif", zones), ("zones.tif", refined)):
        with rasterio.open(tmp_path / "run" / name) as source:
            np.testing.assert_array_equal(source.read(1).ravel(), found["labels"])
