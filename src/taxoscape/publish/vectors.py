"""Zones as polygons in a GeoPackage: one MultiPolygon per zone, dissolved, with the columns of the zone table.

Outlines are traced in whole cells and then placed by one multiplication per coordinate, so neighbouring zones share
exactly the same corners and a zone's planar area is exactly its number of cells times the area of a cell.

The driver stamps the time of writing into a GeoPackage; a fixed time is given instead, so that the same zones give the
same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.errors import InputError
from taxoscape.files import replacing
from taxoscape.grid import Grid, Lattice
from taxoscape.publish.table import ZoneRow, check_zone_labels

if TYPE_CHECKING:
    import numpy.typing as npt

LAYER = "zones"
"""Name of the layer."""

STAMP = "2000-01-01T00:00:00Z"
"""What the file says about when it was last changed: always the same."""


def write_zone_polygons(
    path: str | os.PathLike[str], labels: npt.NDArray[Any], grid: Grid, table: Sequence[ZoneRow]
) -> None:
    """Write the zones as dissolved polygons: layer ``zones``, one feature per zone that has tiles.

    Parameters
    ----------
    path
        The ``.gpkg``.
    labels
        Integer (tile,): 1…K, 0 = none (no polygon).
    grid
        The grid of the tiles.
    table
        One row per zone; its columns become ``zone``, ``name``, ``colour`` (#rrggbb), ``n_tiles``, ``area_km2``,
        ``share`` and ``patches``.

    Raises
    ------
    InputError
        Where labels, grid and table do not fit each other, or the file cannot be written.
    """
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError
    from pyogrio.raw import write

    check_zone_labels(labels, grid, len(table), [row.name for row in table])
    outlines = zone_outlines(labels, grid)
    rows = [row for row in table if row.zone in outlines]
    columns: dict[str, npt.NDArray[Any]] = {
        "zone": np.array([row.zone for row in rows], dtype=np.int32),
        "name": np.array([row.name for row in rows], dtype=object),
        "colour": np.array([row.hex for row in rows], dtype=object),
        "n_tiles": np.array([row.n_tiles for row in rows], dtype=np.int64),
        "area_km2": np.array([row.area_km2 for row in rows], dtype=np.float64),
        "share": np.array([row.share for row in rows], dtype=np.float64),
        "patches": np.array([row.patches for row in rows], dtype=np.int64),
    }
    geometry = np.array([outlines[row.zone] for row in rows], dtype=object)
    with replacing(Path(path)) as temporary, _fixed_time():
        try:
            write(
                temporary, geometry, list(columns.values()), list(columns), driver="GPKG", layer=LAYER,
                geometry_type="MultiPolygon", crs=grid.lattice.crs,
            )  # fmt: skip
        except (DataSourceError, DataLayerError, FeatureError) as error:
            raise InputError(
                f"the polygons cannot be written to {path} ({error}): is the disk full, or the path not plain text? "
                "Make room, or give another --out, and run the same command again"
            ) from None


def zone_outlines(labels: npt.NDArray[Any], grid: Grid) -> dict[int, bytes]:
    """Return each zone's dissolved outline as WKB of a valid MultiPolygon in CRS coordinates, by label."""
    import shapely
    from rasterio.features import shapes
    from shapely.geometry import shape

    zone_map = grid.to_map(labels).astype(np.int32)
    patches: dict[int, list[Any]] = {}
    for outline, value in shapes(zone_map, mask=zone_map > 0, connectivity=4):
        patches.setdefault(int(value), []).append(shape(outline))
    outlines = {}
    for zone in sorted(patches):
        whole = shapely.normalize(shapely.multipolygons(patches[zone]))
        placed = shapely.transform(whole, lambda corners: _place(corners, grid.cells))
        outlines[zone] = bytes(shapely.to_wkb(placed))
    return outlines


def _place(corners: npt.NDArray[np.float64], cells: Lattice) -> npt.NDArray[np.float64]:
    """Return CRS coordinates (x, y) of corners given as (column, row) of the cells."""
    return np.stack([cells.x0 + corners[:, 0] * cells.dx, cells.y0 - corners[:, 1] * cells.dy], axis=1)


@contextmanager
def _fixed_time() -> Iterator[None]:
    """Let the GeoPackage driver write `STAMP` as the time of the last change."""
    from pyogrio import get_gdal_config_option, set_gdal_config_options

    before = get_gdal_config_option("OGR_CURRENT_DATE")
    set_gdal_config_options({"OGR_CURRENT_DATE": STAMP})
    try:
        yield
    finally:
        set_gdal_config_options({"OGR_CURRENT_DATE": before})
