"""The area of interest: polygons that a cube is cropped to, burned onto its pixels window by window.

A pixel belongs to the area where its centre lies in one of the polygons and in none of that polygon's holes. The cube
is cropped to the bounds of the polygons on the scenes' own pixels, so that nothing is resampled and the grid of tiles
stays where it is; pixels outside of the polygons are invalid, on every date. Whether a tile on the edge counts is then
settled where it always is: by its share of valid pixels (``min_valid``).

Polygons come from a file that GDAL reads as features, in any CRS. Straight edges are cut into short pieces before they
are reprojected. The outlines are kept in the CRS of the scenes, within the plan of a cube, so that a cube does not need
the file again.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.cube.box import Box
from taxoscape.cube.fingerprint import fingerprint
from taxoscape.cube.footprint import Bounds, bounds_between
from taxoscape.cube.polygons import points_elsewhere, reprojected
from taxoscape.cube.rasters import sniff
from taxoscape.cube.wording import counted, shortened, shown
from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice

if TYPE_CHECKING:
    import numpy.typing as npt

BLOCK_PX = 1024
"""Edge of the squares that are burned at a time."""
BLOCKS_KEPT = 512
"""Burned squares that are remembered, 128 KiB each."""
MARGIN = 0.1
"""Part of the scenes' extent beyond it where polygons are cut off before they are reprojected."""
PIECES = 1000
"""Straight edges are cut into pieces of at most this part of the scenes' diagonal before they are reprojected."""
_PARTS = (".shp", ".shx", ".prj")
"""Files of a shapefile that tell where its polygons lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """Polygons in the CRS of a cube."""

    name: str
    """Name of the file that they come from, for messages."""
    outlines: tuple[str, ...]
    """Polygons without parts, as hexadecimal WKB; they may overlap."""
    n_features: int
    """Features of the file that lie where the scenes do."""

    @property
    def polygons(self) -> npt.NDArray[Any]:
        """The polygons of shapely (polygon,)."""
        import shapely

        return np.asarray(shapely.from_wkb(list(self.outlines)))

    @property
    def digest(self) -> str:
        """sha256 of the outlines."""
        return hashlib.sha256("\n".join(self.outlines).encode()).hexdigest()

    def box(self, lattice: Lattice) -> Box:
        """Return the pixels of a lattice that the bounds of the polygons touch; it may be empty."""
        bounds = _in_pixels(self.polygons, lattice)
        (left, top), (right, bottom) = np.floor(bounds[:, :2].min(axis=0)), np.ceil(bounds[:, 2:].max(axis=0))
        box = Box(int(top), int(left), int(bottom - top), int(right - left))
        return box.intersect(Box(0, 0, lattice.height, lattice.width))


class Stencil:
    """Which pixels of a lattice lie in an area, told window by window.

    Parameters
    ----------
    area
        The polygons.
    lattice
        The pixels.

    Notes
    -----
    Burns squares of 1024 × 1024 pixels when they are first needed and remembers 64 MiB of them. Safe to use from
    several threads. The rule is GDAL's, by centres; a centre on an edge falls to one side or the other.
    """

    def __init__(self, area: Area, lattice: Lattice) -> None:
        self.area, self.lattice = area, lattice
        self._polygons = area.polygons
        self._bounds = _in_pixels(self._polygons, lattice)
        self._block = lru_cache(maxsize=BLOCKS_KEPT)(self._burn)

    def __reduce__(self) -> tuple[Any, ...]:
        return Stencil, (self.area, self.lattice)

    def __call__(self, box: Box) -> npt.NDArray[np.bool_]:
        """Return which pixels of a window lie in the area: bool (row, col); it may reach over the edge."""
        inside = np.zeros((box.height, box.width), np.bool_)
        for row in range(box.row // BLOCK_PX, -(-(box.row + box.height) // BLOCK_PX)):
            for col in range(box.col // BLOCK_PX, -(-(box.col + box.width) // BLOCK_PX)):
                block = Box(row * BLOCK_PX, col * BLOCK_PX, BLOCK_PX, BLOCK_PX)
                packed = self._block(row, col)
                if packed is not None:
                    part = block.intersect(box)
                    rows, cols = part.relative_to(block).slices
                    inside[part.relative_to(box).slices] = np.unpackbits(packed[rows], axis=1).view(np.bool_)[:, cols]
        return inside

    def is_empty(self) -> bool:
        """Whether no pixel of the lattice lies in the area; looks no farther than the first one."""
        whole = Box(0, 0, self.lattice.height, self.lattice.width)
        return not any(
            self(Box(row, col, BLOCK_PX, BLOCK_PX).intersect(whole)).any()
            for row in range(0, whole.height, BLOCK_PX)
            for col in range(0, whole.width, BLOCK_PX)
        )

    def touches(self, box: Box) -> bool:
        """Whether a polygon has ground in a window."""
        import shapely

        if box.is_empty:
            return False
        window = self.lattice.window(*box)
        west, north = window.x0, window.y0
        ground = shapely.box(west, north - box.height * window.dy, west + box.width * window.dx, north)
        shared = shapely.intersects(self._polygons, ground) & ~shapely.touches(self._polygons, ground)
        return bool(shared.any())

    def _burn(self, row: int, col: int) -> npt.NDArray[np.uint8] | None:
        """Return a square as bits (row, byte), None where nothing of it lies in the area."""
        import shapely
        from rasterio.features import rasterize

        top, left = row * BLOCK_PX, col * BLOCK_PX
        west, north, east, south = self._bounds.T
        near = (west < left + BLOCK_PX) & (east > left) & (north < top + BLOCK_PX) & (south > top)
        if not near.any():
            return None
        window = self.lattice.window(top - 2, left - 2, BLOCK_PX + 4, BLOCK_PX + 4)  # cut off beyond the square
        ground = (window.x0, window.y0 - window.height * window.dy, window.x0 + window.width * window.dx, window.y0)
        parts = shapely.get_parts(shapely.clip_by_rect(self._polygons[near], *ground))
        parts = parts[(shapely.get_type_id(parts) == 3) & ~shapely.is_empty(parts)]  # what only touches is a line
        if not len(parts):
            return None
        transform = self.lattice.window(top, left, BLOCK_PX, BLOCK_PX).transform
        burned = rasterize(parts, out_shape=(BLOCK_PX, BLOCK_PX), transform=transform, dtype="uint8")
        return np.packbits(burned.astype(np.bool_), axis=1) if burned.any() else None


def inside_shares(area: Area, grid: Grid) -> npt.NDArray[np.float64]:
    """Return the share of each tile that lies in an area and on the grid's pixels: float64 (tile,), 0…1."""
    stencil, corners = Stencil(area, grid.lattice), grid.corners.astype(np.int64)
    whole = Box(0, 0, grid.lattice.height, grid.lattice.width)
    shares = np.zeros(grid.n_tiles)
    first, size = int(corners[0, 1]), grid.tile_size
    width = int(corners[-1, 1]) + size - first
    for row in range(grid.n_rows):
        tiles = slice(row * grid.n_cols, (row + 1) * grid.n_cols)
        strip = Box(int(corners[tiles.start, 0]), first, size, width)
        inside = np.zeros(width + 1, np.int64)
        part = strip.intersect(whole)
        columns = part.relative_to(strip).slices[1]
        inside[1:][columns] = stencil(part).sum(axis=0)
        total, starts = np.cumsum(inside), corners[tiles, 1] - first
        shares[tiles] = (total[starts + size] - total[starts]) / size**2
    return shares


def read_area(path: str | Path, lattice: Lattice) -> Area:
    """Read an area of interest where scenes lie.

    Parameters
    ----------
    path
        What GDAL reads as features (GeoPackage, GeoJSON, shapefile, FlatGeobuf); ``path#layer`` where it has several
        layers.
    lattice
        The pixels of the scenes.

    Raises
    ------
    InputError
        Where the file is missing or cannot be read, has several layers and none is chosen, no CRS, no features, no
        polygons, only empty ones, lies beside the scenes, crosses the antimeridian, or holds the centre of no pixel.

    Notes
    -----
    A polygon that crosses itself is taken by the even-odd rule. All features of the layer count; polygons, and parts of
    such, that lie elsewhere on Earth are left out before anything is reprojected.
    """
    import shapely
    from pyproj import CRS

    file, layer = _opened(path)
    outlines, crs = _features(file, layer)
    source, target = CRS.from_user_input(crs), CRS.from_wkt(lattice.crs)
    ground = _ground(lattice)
    bounds = bounds_between(ground, target, source)
    parts, features = shapely.get_parts(outlines, return_index=True)
    there = shapely.intersects(shapely.envelope(parts), shapely.box(*bounds))
    near = parts[there]
    if not len(near):
        raise InputError(_beside(file, outlines, bounds))
    if source.is_geographic:
        _refuse_antimeridian(near, file)
    if source != target:
        near = _moved(near, bounds, source, target, file)
    near = shapely.get_parts(shapely.get_parts(shapely.make_valid(near)))
    near = near[(shapely.get_type_id(near) == 3) & ~shapely.is_empty(near)]
    held = len(np.unique(features[there]))
    area = Area(name=file.name, outlines=tuple(shapely.to_wkb(near, hex=True)), n_features=held)
    if not len(near) or area.box(lattice).is_empty:
        raise InputError(_beside(file, outlines, bounds))
    box = area.box(lattice)
    if Stencil(area, lattice.window(*box)).is_empty():
        raise InputError(
            f"the area of interest in {shown(file)} holds the centre of no pixel of the scenes, which are "
            f"{lattice.dx:g} × {lattice.dy:g} units of their CRS: give larger polygons, or other scenes (--aoi)"
        )
    return area


def area_digest(path: str | Path) -> str | None:
    """Return the sha256 of an area's file, of all that matters of a shapefile; None where it is not there."""
    file, _ = _split(Path(path))
    if not file.is_file():
        return None
    kin = [file.with_suffix(end) for end in _PARTS] if file.suffix.casefold() == ".shp" else [file]
    sums = [fingerprint([part])[str(part)] for part in kin if part.is_file()]
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()


def _opened(path: str | Path) -> tuple[Path, str | None]:
    """Return (file, layer) after looking at what would hurt."""
    file, layer = _split(Path(path))
    if not file.exists():
        raise InputError(f"the area of interest is not there: no file {shown(file)} (--aoi FILE)")
    if file.is_dir():
        raise InputError(f"the area of interest is a folder, {shown(file)}: give one file (--aoi FILE)")
    kind = sniff(file)
    if kind not in ("sqlite", "text", "unknown", "xml", "zip") or points_elsewhere(file):
        raise InputError(
            f"the area of interest is no file of polygons: {shown(file)}; give a GeoPackage, GeoJSON or shapefile "
            "(--aoi)"
        )
    return file, layer


def _split(path: Path) -> tuple[Path, str | None]:
    """Return (file, layer) of ``file#layer``; a file whose own name holds a # is itself."""
    if path.exists() or "#" not in str(path):
        return path, None
    file, _, layer = str(path).rpartition("#")
    return Path(file), layer


def _features(file: Path, layer: str | None) -> tuple[npt.NDArray[Any], str]:
    """Return the polygons of a file, none of them empty, and their CRS."""
    import shapely
    from pyogrio import list_layers, read_info
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError
    from pyogrio.raw import read

    what = f"the area of interest in {shown(file)}"
    try:
        name = _layer([str(found) for found, geometry in list_layers(file).tolist() if geometry], layer, file)
        crs = read_info(file, layer=name)["crs"]
        _, _, geometry, _ = read(file, layer=name, columns=[], force_2d=True)
    except (DataLayerError, DataSourceError, FeatureError, GeometryError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{what} cannot be read as polygons ({reason}): give another file (--aoi)") from None
    if crs is None:
        raise InputError(
            f"{what} has no CRS: nothing tells where it lies; write it into the file "
            "(ogr2ogr -a_srs EPSG:… OUT.gpkg IN)"
        )
    outlines = np.asarray(shapely.from_wkb(geometry))
    there = ~(shapely.is_missing(outlines) | shapely.is_empty(outlines))
    if not there.any():
        held = "only empty geometry" if len(outlines) else "no features"
        raise InputError(f"{what} has {held}: draw a polygon, or give another file (--aoi)")
    outlines = outlines[there]
    if not np.isin(shapely.get_type_id(outlines), (3, 6)).all():
        raise InputError(f"{what} needs polygons, but there are points, lines or mixed things: take them out (--aoi)")
    return outlines, str(crs)


def _layer(layers: Sequence[str], wanted: str | None, file: Path) -> str:
    """Return the layer to take."""
    if wanted is not None:
        if wanted not in layers:
            raise InputError(
                f"{shown(file)} has no layer '{wanted}'; it has: {shortened(list(layers), 8) or 'none of geometry'} "
                "(--aoi FILE#LAYER)"
            )
        return wanted
    if len(layers) > 1:
        raise InputError(
            f"{shown(file)} has {counted(len(layers), 'layer')} ({shortened(list(layers), 8)}): say which is the area "
            f"of interest (--aoi {file.name}#{layers[0]})"
        )
    if not layers:
        raise InputError(f"the area of interest in {shown(file)} needs polygons, but there is no geometry (--aoi)")
    return layers[0]


def _ground(lattice: Lattice) -> Bounds:
    """Return the bounds of a lattice in its CRS."""
    return lattice.x0, lattice.y0 - lattice.height * lattice.dy, lattice.x0 + lattice.width * lattice.dx, lattice.y0


def _in_pixels(polygons: npt.NDArray[Any], lattice: Lattice) -> npt.NDArray[np.float64]:
    """Return the bounds of polygons counted in pixels: float64 (polygon, 4) as west, north, east, south."""
    import shapely

    west, south, east, north = shapely.bounds(polygons).T
    cols = [(x - lattice.x0) / lattice.dx for x in (west, east)]
    rows = [(lattice.y0 - y) / lattice.dy for y in (north, south)]
    return np.stack([cols[0], rows[0], cols[1], rows[1]], axis=1)


def _moved(outlines: npt.NDArray[Any], bounds: Bounds, source: Any, target: Any, file: Path) -> npt.NDArray[Any]:
    """Return polygons in another CRS, cut off where no scene lies."""
    import shapely

    west, south, east, north = bounds
    diagonal = math.hypot(east - west, north - south)
    room = MARGIN * diagonal
    cut = shapely.box(west - room, south - room, east + room, north + room)
    near = shapely.intersection(shapely.make_valid(outlines), cut)
    if source.is_geographic:
        _refuse_both_ends(near, file)
    moved = reprojected(near, source, target, piece=min(diagonal, _span(near)) / PIECES)
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        raise InputError(
            f"the area of interest in {shown(file)} reaches to where the CRS of the scenes has no place: cut it to the "
            "scenes (--aoi)"
        )
    if target.is_geographic:
        _refuse_antimeridian(moved, file)
    return moved


def _span(outlines: npt.NDArray[Any]) -> float:
    """Return the diagonal of what holds all polygons."""
    import shapely

    west, south, east, north = shapely.total_bounds(outlines)
    return math.hypot(east - west, north - south)


def _refuse_antimeridian(outlines: npt.NDArray[Any], file: Path) -> None:
    """Refuse polygons in degrees of which an edge spans more than half the Earth: nobody can tell which way it goes."""
    import shapely

    rings = shapely.get_rings(shapely.get_parts(shapely.get_parts(outlines)))
    points, of = shapely.get_coordinates(rings, return_index=True)
    steps = np.abs(np.diff(points[:, 0]))[np.diff(of) == 0]
    if (steps > 180).any():
        raise InputError(_crosses(file))


def _refuse_both_ends(outlines: npt.NDArray[Any], file: Path) -> None:
    """Refuse polygons in degrees that lie on both sides of the antimeridian, also where they are cut there."""
    import shapely

    west, _, east, _ = shapely.total_bounds(outlines)
    if (west <= -180 and east >= 180) or (west < -180 < east) or (west < 180 < east):
        raise InputError(_crosses(file))


def _crosses(file: Path) -> str:
    return (
        f"the area of interest in {shown(file)} crosses the antimeridian (180° of longitude): one lattice of pixels "
        "cannot hold both sides; give the part on one side, and the other one as a run of its own (--aoi)"
    )


def _beside(file: Path, outlines: npt.NDArray[Any], scenes: Bounds) -> str:
    """Return the fault of an area where no scene lies."""
    import shapely

    own = ", ".join(f"{value:.6g}" for value in shapely.total_bounds(outlines))
    theirs = ", ".join(f"{value:.6g}" for value in scenes)
    return (
        f"the area of interest in {shown(file)} lies outside of the scenes: it reaches over {own} (west, south, east, "
        f"north, in its CRS), the scenes over {theirs}; give scenes of that area, or look whether its CRS is the one "
        "it was drawn in (--aoi)"
    )
