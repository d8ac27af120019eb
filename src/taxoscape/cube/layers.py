"""Ancillary layers on the tiles: elevation, land cover, river basins, whatever the user has.

A raster is looked at where the centres of the scenes' pixels lie (nearest neighbour, through GDAL's warper), so one of
any CRS and resolution becomes a value per pixel of a tile, and the tile's mean or majority follows by counting: a layer
coarser than the pixels is exact, a finer one is sampled once per pixel. Only strips as high as a tile are held.
Polygons are burned into cells of a fraction of a tile. Files pass the gate of `taxoscape.cube.rasters`: what lies
beside a GeoTIFF (``.aux.xml``) is not read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from taxoscape.cube.footprint import may_overlap
from taxoscape.cube.polygons import Polygons, burn, cells_of, have_polygons, read_polygons
from taxoscape.cube.rasters import Header, open_raster, read_header, sniff
from taxoscape.cube.wording import shown
from taxoscape.errors import InputError
from taxoscape.grid import Grid

if TYPE_CHECKING:
    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]
    Int64 = npt.NDArray[np.int64]

    Strip = tuple[slice, npt.NDArray[Any], npt.NDArray[np.bool_]]
    """(tiles of a row, pixels (y, x), bool (y, x): has data)."""

Kind = Literal["continuous", "categorical"]

_LOOKUP = 1 << 20
"""Span of values up to which a table finds their codes; a sort beyond."""

MOST_GUESSED_CLASSES = 40
"""Distinct whole numbers up to which a raster that says nothing else is taken for classes."""
MOST_CLASSES = 65_535
"""Classes that a layer may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer on the tiles of a grid."""

    name: str
    """What the user calls it."""
    kind: Kind
    """``continuous``: a mean per tile; ``categorical``: a majority class per tile."""
    values: npt.NDArray[Any]
    """Continuous: float64 (tile,), mean over the tile's pixels with data, NaN where none has any. Categorical: int32
    (tile,), the class that most of the tile's pixels hold (the first of equals), 1…C, 0 where none holds one."""
    share: Float64
    """float64 (tile,), 0…1 of the whole tile. Continuous: pixels with data; categorical: pixels of the majority."""
    classes: tuple[str, ...] = ()
    """Names of the classes 1…C; empty for a continuous layer."""
    unit: str = ""
    """Unit of a continuous layer, where the file tells it."""


def parse_layer(text: str) -> tuple[str, Kind | None, str]:
    """Return (name, kind or None, path) of a ``--layer``.

    Parameters
    ----------
    text
        ``name=path`` or ``name:kind=path``; after the path of polygons ``#attribute`` may follow.

    Raises
    ------
    InputError
        Where it has another form.

    Examples
    --------
    >>> parse_layer("landcover:categorical=lc.tif"), parse_layer("basins=basins.gpkg#NAME")
    (('landcover', 'categorical', 'lc.tif'), ('basins', None, 'basins.gpkg#NAME'))
    """
    label, equals, path = text.partition("=")
    name, colon, kind = (part.strip() for part in label.partition(":"))
    if not equals or not name or not path.strip():
        raise InputError(f"a layer is given as NAME=FILE, like --layer elevation=dem.tif; this is '{text}'")
    if colon and kind not in ("continuous", "categorical"):
        raise InputError(
            f"a layer is continuous or categorical, not '{kind}' (--layer {name}:continuous={path.strip()})"
        )
    return name, ("categorical" if kind == "categorical" else "continuous") if colon else None, path.strip()


def read_layer(path: str | Path, grid: Grid, *, name: str, kind: Kind | None = None) -> Layer:
    """Read a layer onto the tiles of a grid.

    Parameters
    ----------
    path
        GeoTIFF or JPEG 2000 of one band, or polygons that GDAL reads (GeoPackage, Shapefile, GeoJSON, FlatGeobuf) in
        one layer; of polygons ``path#attribute`` says what to take, else it is the first attribute of text, or
        else of whole numbers.
    grid
        The tiles.
    name
        What the layer is called, here and in messages.
    kind
        None: reals, scaled integers and integers of more than 40 distinct values in the region are continuous;
        integers of fewer values or with a colour table, and polygons, are categorical.

    Raises
    ------
    InputError
        Where the file is missing or cannot be read, says no CRS, does not overlap the region, holds several bands, no
        features or no polygons, has no such attribute, or holds reals that are to be classes.

    Notes
    -----
    A raster's declared scale and offset are applied to a continuous layer. Its declared nodata, NaN, and what a mask
    hides are no data; 0 is a class like any other. Where polygons overlap the later one in the file holds. One pass
    over the region's pixels in strips one tile high, two for integers whose kind is guessed; 10 s for
    10 980² pixels on one core.
    """
    file, attribute, is_raster = _opened(path, name)
    if is_raster:
        layer = _read_raster(_header(file, name), grid, name, kind)
    else:
        layer = _from_polygons(read_polygons(file, grid, name=name, attribute=attribute), grid, name, kind)
    if not (layer.share > 0).any():
        raise InputError(_tells_nothing(name, file))
    return layer


def check_layer(path: str | Path, grids: Sequence[Grid], *, name: str) -> None:
    """Refuse a layer that `read_layer` would refuse on all of several grids, as far as headers tell.

    Raises
    ------
    InputError
        As `read_layer`; no pixel is read, and of polygons one feature.
    """
    file, attribute, is_raster = _opened(path, name)
    if is_raster:
        header = _header(file, name)
        there = any(may_overlap(header, grid) for grid in grids)
    else:
        there = any(have_polygons(file, grid, name=name, attribute=attribute) for grid in grids)
    if not there:
        raise InputError(_tells_nothing(name, file))


def _opened(path: str | Path, name: str) -> tuple[Path, str | None, bool]:
    """Return (file, attribute, whether it is a raster) of a layer's path."""
    file, attribute = _split(Path(path))
    if not file.exists():
        raise InputError(f"the layer '{name}' is not there: no file {shown(file)} (--layer {name}=FILE)")
    if file.is_dir():
        raise InputError(f"the layer '{name}' is a folder, {shown(file)}: give one file (--layer {name}=FILE)")
    is_raster = sniff(file) in ("tiff", "jp2")
    if is_raster and attribute is not None:
        raise InputError(f"{shown(file)} is a raster and has no attribute '{attribute}' (--layer {name}={file})")
    return file, attribute, is_raster


def _tells_nothing(name: str, file: Path) -> str:
    return (
        f"the layer '{name}' tells nothing here: {shown(file)} does not overlap the region or holds no data there; "
        "take a file that covers it, or leave the layer out"
    )


def _split(path: Path) -> tuple[Path, str | None]:
    """Return (file, attribute) of ``file#attribute``; a file whose own name holds a # is itself."""
    text = str(path)
    if path.exists() or "#" not in text:
        return path, None
    file, _, attribute = text.rpartition("#")
    return Path(file), attribute


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counter:
    """Tiles as they lie in strips of pixels, or of cells of several pixels."""

    n_tiles: int
    n_cols: int
    size: int
    """Edge of a tile."""
    stride: int
    """From one tile to the next."""

    @classmethod
    def of(cls, grid: Grid, edge: int = 1) -> _Counter:
        """Return the tiles of a grid in cells of ``edge`` pixels."""
        return cls(n_tiles=grid.n_tiles, n_cols=grid.n_cols, size=grid.tile_size // edge, stride=grid.stride // edge)

    def windows(self, strip: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the tiles of a strip (y, x) as a view (y, tile, size)."""
        return np.lib.stride_tricks.sliding_window_view(strip, self.size, axis=1)[:, :: self.stride]

    def sums(self, strip: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the sum of each tile of a strip."""
        summed: npt.NDArray[Any] = self.windows(strip.sum(axis=0)[None]).sum(axis=(0, 2))
        return summed

    def means(self, strips: Iterable[Strip]) -> tuple[Float64, Float64]:
        """Return (mean over the pixels with data, share of pixels with data) of each tile: float64 (tile,) each."""
        means, share = np.full(self.n_tiles, np.nan), np.zeros(self.n_tiles)
        for tiles, pixels, there in strips:
            sums = self.sums(np.where(there, pixels, 0).astype(np.float64))
            counts = self.sums(there)
            np.divide(sums, counts, out=means[tiles], where=counts > 0)
            share[tiles] = counts / self.size**2
        return means, share

    def majorities(self, strips: Iterable[Strip], where: str) -> tuple[Int64, npt.NDArray[np.int32], Float64]:
        """Return (rising values of the classes, class 1…C of each tile or 0, its share of the tile)."""
        winners, share = np.zeros(self.n_tiles, np.int64), np.zeros(self.n_tiles)
        for tiles, pixels, there in strips:
            names, codes = _coded(pixels, there, where)
            offsets = (np.arange(self.n_cols) * (len(names) + 1))[None, :, None]
            counts = np.bincount((self.windows(codes) + offsets).ravel(), minlength=self.n_cols * (len(names) + 1))
            counts = counts.reshape(self.n_cols, -1)[:, 1:]
            if len(names):
                winners[tiles] = names[counts.argmax(axis=1)]
                share[tiles] = counts.max(axis=1) / self.size**2
        values, index = np.unique(winners[share > 0], return_inverse=True)
        if len(values) > MOST_CLASSES:
            raise InputError(f"{where} has {len(values)} different values here, too many classes: call it continuous")
        classes = np.zeros(self.n_tiles, np.int32)
        classes[share > 0] = index + 1
        return values, classes, share


def _coded(pixels: npt.NDArray[Any], there: npt.NDArray[np.bool_], where: str) -> tuple[Int64, Int64]:
    """Return (rising values int64 (n,), code 1…n of each pixel, 0 without data)."""
    seen = pixels[there]
    codes = np.zeros(pixels.shape, np.int64)
    if (seen.dtype.kind == "f" and (np.trunc(seen) != seen).any()) or (np.abs(seen.astype(np.float64)) > 2**53).any():
        raise InputError(f"{where} holds other than whole numbers: classes are whole numbers; call it continuous")
    whole = seen.astype(np.int64)
    low = int(whole.min(initial=0))
    if int(whole.max(initial=0)) - low > _LOOKUP:
        names, index = np.unique(whole, return_inverse=True)
        codes[there] = index + 1
        return names, codes
    present = np.bincount(whole - low) > 0
    codes[there] = np.cumsum(present)[whole - low]
    names = np.flatnonzero(present) + low
    return names, codes


def _header(file: Path, name: str) -> Header:
    """Return the header of a raster that can be a layer."""
    header = read_header(file)
    if not header.is_referenced:
        raise InputError(
            f"the layer '{name}' has no CRS or no place: nothing in {shown(file)} tells where it lies; write it into "
            "the file (gdal_edit.py -a_srs EPSG:… -a_ullr …)"
        )
    if header.n_bands != 1:
        raise InputError(f"{shown(file)} has {header.n_bands} bands: a layer has one; cut it out (gdal_translate -b 1)")
    return header


def _read_raster(header: Header, grid: Grid, name: str, kind: Kind | None) -> Layer:
    unit, paletted = _band_says(header)
    kind = kind or _guess(header, grid, paletted=paletted)
    strips, counter = _strips(header, grid), _Counter.of(grid)
    if kind == "continuous":
        scale, offset = header.scaling[0]
        means, share = counter.means(strips)
        return Layer(name=name, kind=kind, values=means * scale + offset, share=share, unit=unit)
    values, codes, share = counter.majorities(strips, shown(header.path))
    classes = tuple(header.tags.get(f"zone_{value}") or str(value) for value in values.tolist())
    return Layer(name=name, kind=kind, values=codes, share=share, classes=classes)


def _band_says(header: Header) -> tuple[str, bool]:
    """Return (unit of the band or an empty text, whether it has a colour table)."""
    from rasterio.enums import ColorInterp

    with open_raster(header.path) as source:
        index = header.numbers[0] - 1
        return (source.units[index] or "").strip(), source.colorinterp[index] is ColorInterp.palette


def _guess(header: Header, grid: Grid, *, paletted: bool) -> Kind:
    if np.dtype(header.dtype).kind == "f" or header.scaling[0] != (1.0, 0.0):
        return "continuous"
    if paletted:
        return "categorical"
    found: set[int] = set()
    for _, pixels, there in _strips(header, grid):
        found.update(np.unique(pixels[there]).tolist())
        if len(found) > MOST_GUESSED_CLASSES:
            return "continuous"
    return "categorical"


def _strips(header: Header, grid: Grid) -> Iterator[Strip]:
    """Yield each row of tiles of a raster that is laid on the pixels of the region by nearest neighbour."""
    from rasterio.crs import CRS
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT
    from rasterio.windows import Window

    corners, size = grid.corners.astype(np.int64), grid.tile_size
    (top, left), (bottom, right) = corners[0], corners[-1] + size
    target = grid.lattice.window(int(top), int(left), int(bottom - top), int(right - left))
    # a warp heeds a mask or an alpha band of the source only where no nodata is given
    ignored = None if header.masked else header.nodata
    with open_raster(header.path) as source, WarpedVRT(
        source, crs=CRS.from_wkt(grid.lattice.crs), transform=target.transform, width=target.width,
        height=target.height, resampling=Resampling.nearest, add_alpha=source.count == 1, src_nodata=ignored,
    ) as warped:  # fmt: skip
        for row in range(grid.n_rows):
            tiles = slice(row * grid.n_cols, (row + 1) * grid.n_cols)
            window = Window(0, int(corners[tiles.start, 0] - top), target.width, size)
            pixels = warped.read(header.numbers[0], window=window)
            there = (warped.read(warped.count, window=window) > 0) & np.isfinite(pixels)
            if header.nodata is not None:
                there &= pixels != header.nodata
            yield tiles, pixels, there


def _from_polygons(polygons: Polygons, grid: Grid, name: str, kind: Kind | None) -> Layer:
    edge = cells_of(grid)
    counter = _Counter.of(grid, edge)
    known = [value for value in polygons.values.tolist() if not _missing(value)]
    if kind == "continuous":
        if polygons.is_text:
            raise InputError(
                f"the layer '{name}' is to be continuous, but its attribute is text: choose one of numbers "
                f"(--layer {name}:continuous=FILE#ATTRIBUTE)"
            )
        numbers = np.array([np.nan, *(np.nan if _missing(v) else float(v) for v in polygons.values.tolist())])
        burned = ((tiles, numbers[cells]) for tiles, cells in burn(polygons, grid))
        means, share = counter.means((tiles, cells, np.isfinite(cells)) for tiles, cells in burned)
        return Layer(name=name, kind="continuous", values=means, share=share)
    names = sorted({_name_of(value) for value in known}, key=_natural)
    order = {label: index for index, label in enumerate(names, start=1)}
    lookup = np.array([0, *(0 if _missing(v) else order[_name_of(v)] for v in polygons.values.tolist())])
    coded = ((tiles, lookup[cells]) for tiles, cells in burn(polygons, grid))
    values, codes, share = counter.majorities(((tiles, cells, cells > 0) for tiles, cells in coded), name)
    classes = tuple(names[value - 1] for value in values.tolist())
    return Layer(name=name, kind="categorical", values=codes, share=share, classes=classes)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or not str(value).strip()


def _name_of(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else " ".join(str(value).split())


def _natural(text: str) -> tuple[int, float, str]:
    """Return a key that sorts numbers by size, before words."""
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text
