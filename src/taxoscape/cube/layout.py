"""How a stored cube is laid out: the group, its two large arrays without a chunk, and its coordinates."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.contracts import CUBE_DIMS, spatial_ref
from taxoscape.cube.lazy import axis_attributes
from taxoscape.grid import Lattice

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

FORMAT = 1
"""Version of the layout, in the attribute ``taxoscape_cube``."""
UNITS = {"s": "seconds", "ns": "nanoseconds"}
"""Units in which dates are stored, the coarsest that holds them."""


def lay_out(cube: xr.DataArray, folder: Path, block_px: int, identity: str | None) -> None:
    """Write the group and its coordinates, and the two large arrays without a chunk."""
    import zarr
    from zarr.codecs import ZstdCodec

    lattice = Lattice.of(cube)
    nodata = cube.attrs.get("nodata")
    group = zarr.create_group(
        folder,
        zarr_format=3,
        attributes={
            "taxoscape_cube": FORMAT,
            "identity": identity,
            "Conventions": "CF-1.11",
            "lattice": json.dumps({name: getattr(lattice, name) for name in Lattice.__slots__}),
            "bands": [str(band) for band in cube["band"].to_numpy()],
            "nodata": "nan" if nodata is not None and math.isnan(nodata) else nodata,
        },
    )
    times, bands, height, width = cube.shape
    edges = (min(block_px, height), min(block_px, width))
    codec = ZstdCodec(level=3, checksum=True)
    create = partial(group.create_array, fill_value=0, compressors=[codec], config={"write_empty_chunks": True})
    create(
        "scenes", shape=cube.shape, dtype=cube.dtype, chunks=(1, bands, *edges), dimension_names=CUBE_DIMS,
        attributes={"coordinates": "valid spatial_ref", "grid_mapping": "spatial_ref"},
    )  # fmt: skip
    create("valid", shape=(times, height, width), dtype="bool", chunks=(1, *edges), dimension_names=("time", "y", "x"))
    for name, (values, dims, attributes) in _coordinates(cube, lattice).items():
        group.create_array(
            name, data=values, dimension_names=dims, attributes=attributes, compressors=[codec] if dims else None,
            config={"write_empty_chunks": True},
        )  # fmt: skip


def _coordinates(cube: xr.DataArray, lattice: Lattice) -> dict[str, tuple[npt.NDArray[Any], tuple[str, ...], Any]]:
    """Return (values, dims, attributes) of the coordinates of a cube."""
    y, x = lattice.coordinates()
    times = cube["time"].to_numpy()
    unit = next(unit for unit in UNITS if (times.astype(f"datetime64[{unit}]") == times).all())
    count = times.astype(f"datetime64[{unit}]").astype(np.int64)
    _, reference, attributes = spatial_ref(lattice)
    numbers = np.arange(1, cube.sizes["band"] + 1)
    return {
        "time": (count, ("time",), {"units": f"{UNITS[unit]} since 1970-01-01", "calendar": "proleptic_gregorian"}),
        "band": (numbers, ("band",), {"long_name": "number of the band; names are in the group's attribute 'bands'"}),
        "y": (y, ("y",), axis_attributes(lattice)["y"]),
        "x": (x, ("x",), axis_attributes(lattice)["x"]),
        "spatial_ref": (np.asarray(reference), (), attributes),
    }
