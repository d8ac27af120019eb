"""What passes between the stages: the one written contract for each dataset, and its checks.

========  =============  =======================  =========  ========================================================
dataset   variable       dims                     dtype      meaning
========  =============  =======================  =========  ========================================================
cube      (the array)    (time, band, y, x)       as read    scenes in their units; attribute ``nodata``, may be None
..        ``valid``      (time, y, x)             bool       coordinate: True where the pixel can be used
series    ``embedding``  (tile, time, feature)    float32    embedding of a tile on a date; NaN where it does not count
..        ``valid``      (tile, time)             float32    share of valid pixels of the tile on the date, 0…1
zones     ``labels``     (tile,)                  uint8/16   zone of the tile, 1…K; 0 = none (no date counts)
..        ``centroids``  (zone, time, feature)    float32    mean series of the zone; coordinate ``zone`` = 1…K
..        ``counts``     (tile, time)             bool       whether the tile counts on the date
..        ``distances``  (tile, zone)             float32    flattened Euclidean, ``√(T/|S| · Σ ‖x_t − c_t‖²)``,
                                                             over the dates S on which the tile counts, or in the
                                                             learned metric; NaN for zone 0
========  =============  =======================  =========  ========================================================

Zones that were given to the tiles of another series (`taxoscape.zones.assign`) also have float32 ``outlyingness``
(tile,), above 1: unlike any tile that the zones were made of; and float64 ``level_shifts`` (time, feature).

Zones of a learned metric (attribute ``clusterer``) carry it: float64 ``metric_origin`` (time, feature), ``metric_axes``
(time, feature, component), ``metric_ridge`` (component, other) and float32 ``metric_centroids`` (zone, component),
see `taxoscape.zones.metric`.

Coordinates: ``time`` datetime64, rising and unique; ``band`` unicode; ``y``, ``x`` pixel centres of the cube (``y``
falls); on ``tile``: ``row``, ``col`` (int32, from the CRS origin), ``x``, ``y`` (float64, tile centre); a scalar
``spatial_ref`` with ``crs_wkt`` and ``GeoTransform`` as CF and GDAL write it. Series and zones carry the attribute
``grid``, the JSON of `taxoscape.grid.Grid`, and ``min_valid``.

The checks look at names, dims and dtypes and compute nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice

if TYPE_CHECKING:
    import xarray as xr

CUBE_DIMS = ("time", "band", "y", "x")
SERIES_DIMS = ("tile", "time", "feature")


def check_cube(cube: xr.DataArray) -> None:
    """Raise `InputError` unless ``cube`` keeps the contract of a cube."""
    if tuple(cube.dims) != CUBE_DIMS:
        raise InputError(
            f"a cube has the dims {CUBE_DIMS} in this order, this array has {tuple(cube.dims)}: transpose it"
        )
    valid = cube.coords.get("valid")
    if valid is None or tuple(valid.dims) != ("time", "y", "x") or valid.dtype != np.bool_:
        raise InputError("a cube has a boolean coordinate 'valid' (time, y, x): make cubes with taxoscape.open_cube")
    if not np.issubdtype(cube["time"].dtype, np.datetime64):
        raise InputError(f"the coordinate 'time' of a cube holds dates (datetime64), not {cube['time'].dtype}")
    if cube.dtype.kind not in "uif":
        raise InputError(f"a cube holds integers or real numbers, not {cube.dtype}")
    Lattice.of(cube)


def check_series(series: xr.Dataset) -> Grid:
    """Raise `InputError` unless ``series`` keeps the contract of a series; return its grid."""
    _check_variables(series, "series", {"embedding": SERIES_DIMS, "valid": ("tile", "time")})
    return grid_of(series)


def check_zones(zones: xr.Dataset) -> Grid:
    """Raise `InputError` unless ``zones`` keeps the contract of zones; return its grid."""
    _check_variables(
        zones,
        "zones",
        {
            "labels": ("tile",),
            "centroids": ("zone", "time", "feature"),
            "counts": ("tile", "time"),
            "distances": ("tile", "zone"),
        },
    )
    return grid_of(zones)


def grid_of(dataset: xr.Dataset) -> Grid:
    """Return the tile grid that a series or zones dataset was made on."""
    if "grid" not in dataset.attrs:
        raise InputError("the dataset has no attribute 'grid': make series with taxoscape.encode, zones with cluster")
    return Grid.from_json(dataset.attrs["grid"])


def spatial_ref(lattice: Lattice) -> tuple[tuple[()], np.int64, dict[str, Any]]:
    """Return the CF coordinate ``spatial_ref`` of a lattice, as xarray takes a variable: (dims, value, attributes)."""
    from pyproj import CRS

    attributes = CRS.from_wkt(lattice.crs).to_cf()
    attributes["GeoTransform"] = " ".join(repr(float(v)) for v in lattice.transform.to_gdal())
    attributes["crs_wkt"] = lattice.crs
    return (), np.int64(0), attributes


def tile_coordinates(grid: Grid) -> dict[str, Any]:
    """Return the coordinates on ``tile`` (row, col, y, x) and ``spatial_ref`` of a dataset on a grid."""
    y, x = grid.centres
    return {
        "row": ("tile", grid.rows),
        "col": ("tile", grid.cols),
        "y": ("tile", y),
        "x": ("tile", x),
        "spatial_ref": spatial_ref(grid.cells),
    }


def _check_variables(dataset: xr.Dataset, name: str, expected: dict[str, tuple[str, ...]]) -> None:
    for variable, dims in expected.items():
        if variable not in dataset:
            raise InputError(f"a {name} dataset has a variable '{variable}' {dims}; this one has {list(dataset)}")
        if tuple(dataset[variable].dims) != dims:
            raise InputError(
                f"'{variable}' of a {name} dataset has the dims {dims}, not {tuple(dataset[variable].dims)}"
            )
