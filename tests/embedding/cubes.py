"""Cubes made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from taxoscape.contracts import spatial_ref
from tests.builders import a_lattice


def a_cube(values: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None = None) -> xr.DataArray:
    """Return a cube around values (time, band, y, x)."""
    times, bands, height, width = values.shape
    lattice = a_lattice(height, width)
    y, x = lattice.coordinates()
    if valid is None:
        valid = np.ones((times, height, width), bool)
    return xr.DataArray(
        values,
        dims=("time", "band", "y", "x"),
        coords={
            "time": np.datetime64("2023-01-05", "ns") + np.arange(times) * np.timedelta64(40, "D"),
            "band": [f"B{i + 1}" for i in range(bands)],
            "y": y,
            "x": x,
            "valid": (("time", "y", "x"), valid),
            "spatial_ref": spatial_ref(lattice),
        },
        attrs={"nodata": 0},
    )


def noise(times: int = 2, bands: int = 2, height: int = 40, width: int = 56, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(1, 255, (times, bands, height, width), dtype=np.uint8)
