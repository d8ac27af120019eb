# ruff: noqa: E402  the numerical libraries look at cores and environment when they are imported
from __future__ import annotations

import os

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if WORKER and hasattr(os, "sched_setaffinity"):  # a core for each worker: threads that share one spin for nothing
    CORES = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {CORES[int(WORKER.removeprefix("gw")) % len(CORES)]})
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, settings

from taxoscape.contracts import spatial_ref
from tests.builders import a_lattice

settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeat", settings.get_profile("search"), derandomize=True, max_examples=40)
settings.load_profile(os.environ.get("TAXOSCAPE_EXAMPLES", "search"))  # repeat: the same random input every time


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, lest one worker be left with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def tiny_cube() -> xr.DataArray:
    """A cube of 3 dates, 2 bands, 44 × 62 pixels, uint8, with a hole in the second date."""
    lattice = a_lattice(44, 62)
    rng = np.random.default_rng(5)
    values = rng.integers(1, 200, size=(3, 2, 44, 62), dtype=np.uint8)
    valid = np.ones((3, 44, 62), dtype=bool)
    valid[1, :20, :30] = False
    values[1, :, :20, :30] = 0
    y, x = lattice.coordinates()
    return xr.DataArray(
        values,
        dims=("time", "band", "y", "x"),
        coords={
            "time": np.array(["2023-01-05", "2023-04-02", "2023-08-20"], dtype="datetime64[ns]"),
            "band": np.array(["red", "nir"]),
            "y": y,
            "x": x,
            "valid": (("time", "y", "x"), valid),
            "spatial_ref": spatial_ref(lattice),
        },
        attrs={"nodata": 0},
    )


@pytest.fixture(scope="session")
def region_files(tmp_path_factory):
    """Three dated scenes of 180 × 240 px with three zones, and their truth."""
    from taxoscape.testing.region import Region
    from taxoscape.testing.writing import write_region

    region = Region(seed=3, height=180, width=240, n_zones=3, dates=3)
    return write_region(region, tmp_path_factory.mktemp("region"))


@pytest.fixture(scope="session")
def scene_folder(region_files):
    """The folder of the scenes of `region_files`."""
    return region_files.scenes[0].parent
