"""Zones, colours and values as GeoTIFF: one cell per tile, on the lattice of the grid's cells.

A file is made in memory and then written whole, so it is the same bytes for the same input, a full disk leaves no
torso, and GDAL puts no side file of its own beside it. DEFLATE, because it also notices most flipped bits.

A zone map explains itself three times over, because programs differ in what they read: the colour table and the names
as tags (``zone_1=…``) inside the TIFF; category names and a thematic attribute table in ``<name>.aux.xml`` (GDAL's PAM,
read by QGIS, ArcGIS and gdalinfo); the QGIS style of `taxoscape.publish.qgis`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from taxoscape.errors import InputError
from taxoscape.files import replacing
from taxoscape.grid import Grid
from taxoscape.publish.qgis import write_xml, xml_text
from taxoscape.publish.table import check_zone_labels

if TYPE_CHECKING:
    import numpy.typing as npt

MOST_ZONES = 65_535
"""Zones that a uint16 map can tell apart."""


def write_zone_map(
    path: str | os.PathLike[str],
    labels: npt.NDArray[Any],
    grid: Grid,
    colours: npt.NDArray[np.uint8],
    names: Sequence[str],
) -> None:
    """Write the zones as a paletted GeoTIFF, and ``<path>.aux.xml`` with their names for GDAL and QGIS.

    Parameters
    ----------
    path
        The ``.tif``.
    labels
        Integer (tile,): 1…K, 0 = no data.
    grid
        The grid of the tiles.
    colours
        uint8 (zone, 3).
    names
        One name per zone.

    Raises
    ------
    InputError
        Where labels, grid, colours and names do not fit each other, or there are more zones than 65 535.

    Notes
    -----
    uint8, above 255 zones uint16; nodata 0. The colour of 0 is transparent.
    """
    n_zones = len(colours)
    check_zone_labels(labels, grid, n_zones, names)
    if n_zones > MOST_ZONES:
        raise InputError(f"{n_zones} zones do not fit into a 16-bit map: {MOST_ZONES} at most (--zones)")
    dtype = np.uint8 if n_zones <= 255 else np.uint16
    image = grid.to_map(labels).astype(dtype)[None]
    palette = {0: (0, 0, 0, 0), **{k + 1: (*(int(v) for v in colours[k]), 255) for k in range(n_zones)}}
    tags = {f"zone_{k}": _tag(name) for k, name in enumerate(names, start=1)}
    content = _geotiff(image, grid, nodata=0, description="zone", palette=palette, tags=tags)
    _write(path, content)
    _write_attribute_table(Path(f"{os.fspath(path)}.aux.xml"), colours, names)


def write_colour_map(
    path: str | os.PathLike[str], rgb: npt.NDArray[np.uint8], seen: npt.NDArray[Any], grid: Grid
) -> None:
    """Write colours per tile as a GeoTIFF with the bands red, green, blue and alpha.

    Parameters
    ----------
    path
        The ``.tif``.
    rgb
        uint8 (tile, 3).
    seen
        Boolean (tile,): False makes a tile transparent.
    grid
        The grid of the tiles.
    """
    if rgb.shape != (grid.n_tiles, 3) or rgb.dtype != np.uint8 or seen.shape != (grid.n_tiles,):
        raise InputError(
            f"colours are uint8 ({grid.n_tiles}, 3) with a mask ({grid.n_tiles},), one row per tile of the grid; these "
            f"are {rgb.dtype} {rgb.shape} with {seen.shape}"
        )
    alpha = np.where(seen, 255, 0).astype(np.uint8)
    bands = np.concatenate([np.where(seen[:, None], rgb, 0), alpha[:, None]], axis=1).astype(np.uint8)
    image = np.moveaxis(grid.to_map(bands), -1, 0)
    _write(path, _geotiff(image, grid, nodata=None, description="", palette=None, tags={}))


def write_value_map(
    path: str | os.PathLike[str], values: npt.NDArray[Any], grid: Grid, description: str, unit: str = ""
) -> None:
    """Write one number per tile as a float32 GeoTIFF, NaN = no data: a confidence, say.

    Parameters
    ----------
    path
        The ``.tif``.
    values
        Real (tile,); NaN means no data.
    grid
        The grid of the tiles.
    description
        What the number is; becomes the name of the band.
    unit
        Its unit, where it has one.
    """
    if values.shape != (grid.n_tiles,):
        raise InputError(f"a map takes one value per tile of the grid ({grid.n_tiles}); these are {values.shape}")
    image = grid.to_map(values).astype(np.float32)[None]
    tags = {"unit": _tag(unit)} if unit else {}
    _write(path, _geotiff(image, grid, nodata=np.nan, description=description, palette=None, tags=tags))


def _geotiff(
    image: npt.NDArray[Any],
    grid: Grid,
    *,
    nodata: float | None,
    description: str,
    palette: dict[int, tuple[int, ...]] | None,
    tags: dict[str, str],
) -> bytes:
    """Return the bytes of a GeoTIFF of ``image`` (band, row, col) on the cells of the grid."""
    from rasterio import Env
    from rasterio.crs import CRS
    from rasterio.io import MemoryFile

    cells = grid.cells
    profile: dict[str, Any] = {
        "driver": "GTiff", "dtype": image.dtype.name, "count": len(image), "height": cells.height, "width": cells.width,
        "crs": CRS.from_wkt(cells.crs), "transform": cells.transform, "compress": "deflate", "bigtiff": "if_safer",
    }  # fmt: skip
    if len(image) == 4:
        profile |= {"photometric": "RGB", "alpha": "non-premultiplied", "interleave": "pixel"}
    if nodata is not None:
        profile["nodata"] = nodata
    with Env(GDAL_PAM_ENABLED=False, GDAL_NUM_THREADS=None), MemoryFile(ext=".tif") as memory:
        with memory.open(**profile) as target:
            target.write(image)
            if palette:
                target.write_colormap(1, palette)
            if description:
                target.set_band_description(1, _tag(description))
            target.update_tags(AREA_OR_POINT="Area", TIFFTAG_SOFTWARE="taxoscape", **tags)
        return bytes(memory.read())


def _write(path: str | os.PathLike[str], content: bytes) -> None:
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(content)


def _write_attribute_table(path: Path, colours: npt.NDArray[np.uint8], names: Sequence[str]) -> None:
    """Write category names and the thematic attribute table of a zone map as GDAL's PAM side file."""
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    categories = ElementTree.SubElement(band, "CategoryNames")
    for name in ("", *names):
        ElementTree.SubElement(categories, "Category").text = xml_text(name)
    table = ElementTree.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    columns = (("Value", 0, 5), ("Name", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))
    for index, (column, kind, usage) in enumerate(columns):
        definition = ElementTree.SubElement(table, "FieldDefn", index=str(index))
        for key, value in (("Name", column), ("Type", str(kind)), ("Usage", str(usage))):
            ElementTree.SubElement(definition, key).text = value
    for index, (name, colour) in enumerate(zip(names, colours, strict=True)):
        row = ElementTree.SubElement(table, "Row", index=str(index))
        for value in (str(index + 1), xml_text(name), *(str(int(v)) for v in colour)):
            ElementTree.SubElement(row, "F").text = value
    write_xml(path, root)


def _tag(text: str) -> str:
    """Return text as a TIFF tag can hold it: no control characters."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
