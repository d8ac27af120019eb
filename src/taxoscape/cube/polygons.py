"""Polygons with an attribute, burned into cells of a fraction of a tile."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.cube.footprint import Bounds, bounds_in
from taxoscape.cube.rasters import sniff
from taxoscape.cube.wording import shortened, shown
from taxoscape.errors import InputError
from taxoscape.grid import Grid

if TYPE_CHECKING:
    import numpy.typing as npt
    from pyproj import CRS

CELLS_PER_TILE = 10
"""Cells along a tile's edge that polygons are burned into, at least, where a tile has so many pixels."""
PIECES = 200
"""Straight edges are cut into pieces of at most this part of the region's diagonal before they are reprojected."""
MOST_CELLS = 4_000_000
"""Cells that are burned at once, unless a single row of tiles has more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Polygons:
    """Polygons that may touch a region, in its CRS."""

    outlines: npt.NDArray[Any]
    """shapely polygons (feature,), in the order of the file."""
    values: npt.NDArray[Any]
    """(feature,): the attribute; None or NaN where a feature has none."""
    is_text: bool
    """Whether the attribute is text."""


def read_polygons(file: Path, grid: Grid, *, name: str, attribute: str | None = None) -> Polygons:
    """Read the polygons of a file that may touch a region.

    Parameters
    ----------
    file
        What GDAL reads as one layer of polygons.
    grid
        The tiles of the region.
    name
        What messages call the layer.
    attribute
        The attribute to take; None: the first of text, else the first of whole numbers (often a mere id).

    Raises
    ------
    InputError
        Where the file cannot be read, has several layers, no CRS, no features, no polygons, or no such attribute.
    """
    import shapely
    from pyproj import CRS

    info = _info(file, name)
    source, target = CRS.from_user_input(info["crs"]), CRS.from_wkt(grid.lattice.crs)
    bounds = bounds_in(info["crs"], grid)
    geometry, fields = _features(file, info, bounds, name, attribute)
    outlines = shapely.from_wkb(geometry)
    if not np.isin(shapely.get_type_id(outlines), (-1, 3, 6)).all():
        raise InputError(_no_polygons(file, name, "points, lines or mixed things"))
    keep = ~(shapely.is_missing(outlines) | shapely.is_empty(outlines))
    outlines, values = outlines[keep], np.asarray(fields[0], dtype=object)[keep]
    if source != target and len(outlines):
        diagonal = math.hypot(bounds[2] - bounds[0], bounds[3] - bounds[1])
        outlines = reprojected(outlines, source, target, piece=diagonal / PIECES)
    return Polygons(outlines=outlines, values=values, is_text=np.asarray(fields[0]).dtype.kind == "O")


def reprojected(outlines: npt.NDArray[Any], source: CRS, target: CRS, *, piece: float) -> npt.NDArray[Any]:
    """Return shapely geometries in another CRS, straight edges cut into pieces of at most ``piece`` of the first."""
    import shapely
    from pyproj import Transformer

    change = Transformer.from_crs(source, target, always_xy=True)
    moved: npt.NDArray[Any] = shapely.transform(
        shapely.segmentize(outlines, piece),
        lambda points: np.stack(change.transform(points[:, 0], points[:, 1]), axis=1),
    )
    return moved


def have_polygons(file: Path, grid: Grid, *, name: str, attribute: str | None = None) -> bool:
    """Whether a file has a feature in the bounds of a region, told without reading them all.

    Raises
    ------
    InputError
        As `read_polygons`.
    """
    info = _info(file, name)
    geometry, _ = _features(file, info, bounds_in(info["crs"], grid), name, attribute, most=1)
    return bool(len(geometry))


def _features(
    file: Path, info: dict[str, Any], bounds: Bounds, name: str, attribute: str | None, *, most: int | None = None
) -> tuple[npt.NDArray[Any], Any]:
    """Return the outlines (WKB) and the attribute of features in bounds: all, or the first ones."""
    from pyogrio.raw import read

    column = _column(info, attribute, file, name)
    with _faults(file, name):
        _, _, geometry, fields = read(file, columns=[column], bbox=bounds, force_2d=True, max_features=most)
    return geometry, fields


def cells_of(grid: Grid) -> int:
    """Return the edge in pixels of the cells that polygons are burned into: it divides tile size and stride."""
    whole = math.gcd(grid.tile_size, grid.stride)
    return max(d for d in range(1, whole + 1) if whole % d == 0 and (d == 1 or grid.tile_size // d >= CELLS_PER_TILE))


def burn(polygons: Polygons, grid: Grid) -> Iterator[tuple[slice, npt.NDArray[np.int32]]]:
    """Yield (tiles, cells (y, x)) for each row of tiles: 1 + index of the polygon over the cell's centre, 0 = none.

    Of polygons that overlap the later one holds.
    """
    from rasterio.features import rasterize

    edge, corners = cells_of(grid), grid.corners.astype(np.int64)
    high, step = grid.tile_size // edge, grid.stride // edge
    width = (int(corners[-1, 1] - corners[0, 1]) + grid.tile_size) // edge
    at_once = max(1, (MOST_CELLS // width - high) // step + 1)
    shapes = [(outline, index) for index, outline in enumerate(polygons.outlines, start=1)]
    for first in range(0, grid.n_rows, at_once):
        rows = range(first, min(first + at_once, grid.n_rows))
        top, left = (int(v) for v in corners[first * grid.n_cols])
        corner = grid.lattice.window(top, left, 1, 1)
        coarse = replace(corner, dx=corner.dx * edge, dy=corner.dy * edge)
        shape = ((len(rows) - 1) * step + high, width)
        cells = np.zeros(shape, np.int32)
        if shapes:
            rasterize(shapes, out=cells, transform=coarse.transform)
        for index, row in enumerate(rows):
            yield slice(row * grid.n_cols, (row + 1) * grid.n_cols), cells[index * step : index * step + high]


def _info(file: Path, name: str) -> dict[str, Any]:
    """Return what pyogrio tells of the only layer of a file, after looking at what would hurt."""
    from pyogrio import list_layers, read_info

    kind = sniff(file)
    if kind not in ("sqlite", "text", "unknown", "xml", "zip") or points_elsewhere(file):
        raise InputError(f"the layer '{name}' is neither a GeoTIFF nor a file of polygons: {shown(file)} (--layer)")
    with _faults(file, name):
        layers = [layer for layer, geometry in list_layers(file).tolist() if geometry]
        if len(layers) > 1:
            raise InputError(
                f"{shown(file)} has {len(layers)} layers ({shortened(layers)}): the layer '{name}' needs a file of one "
                f"(ogr2ogr OUT.gpkg {file.name} {layers[0]})"
            )
        if not layers:
            raise InputError(_no_polygons(file, name, "no geometry"))
        info: dict[str, Any] = read_info(file, layer=layers[0], force_feature_count=True)
    if not info["features"]:
        raise InputError(f"the layer '{name}' has no features: {shown(file)} is empty; give another file")
    if info["crs"] is None:
        raise InputError(
            f"the layer '{name}' has no CRS: nothing in {shown(file)} tells where it lies; write it into the file "
            "(ogr2ogr -a_srs EPSG:… OUT.gpkg IN)"
        )
    shape = str(info["geometry_type"])
    if not any(word in shape for word in ("Polygon", "Unknown", "Surface", "GeometryCollection")):
        raise InputError(_no_polygons(file, name, shape))
    return info


def points_elsewhere(file: Path) -> bool:
    """Whether a file is an OGR VRT, which opens other files."""
    with file.open("rb") as stream:
        return b"<ogrvrt" in stream.read(4096).lower()


class _faults:  # noqa: N801
    """Turn what GDAL raises into an `InputError` that names the file."""

    def __init__(self, file: Path, name: str) -> None:
        self.file, self.name = file, name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError

        if isinstance(error, DataLayerError | DataSourceError | FeatureError | GeometryError):
            reason = " ".join(str(error).split())
            raise InputError(
                f"the layer '{self.name}' cannot be read, neither as a GeoTIFF nor as polygons: {shown(self.file)} "
                f"({reason})"
            ) from None


def _column(info: dict[str, Any], attribute: str | None, file: Path, name: str) -> str:
    """Return the attribute to take."""
    fields, types = [str(f) for f in info["fields"]], [str(t) for t in info["dtypes"]]
    if attribute is not None:
        if attribute not in fields:
            known = shortened(fields, 8) or "none at all"
            raise InputError(
                f"{shown(file)} has no attribute '{attribute}'; it has: {known} (--layer {name}=FILE#ATTRIBUTE)"
            )
        return attribute
    kinds = dict(zip(fields, types, strict=True))
    whole = [f for f, kind in kinds.items() if kind.startswith(("int", "uint"))]
    found = next(iter([*(f for f, kind in kinds.items() if kind == "object"), *whole]), None)
    if found is None:
        known = shortened(fields, 8) or "none at all"
        raise InputError(
            f"{shown(file)} has no attribute of text or whole numbers that could name classes; it has: {known}; choose "
            f"one (--layer {name}=FILE#ATTRIBUTE)"
        )
    return found


def _no_polygons(file: Path, name: str, what: str) -> str:
    return f"the layer '{name}' needs polygons, {shown(file)} holds {what}: give a file of polygons, or a raster"
