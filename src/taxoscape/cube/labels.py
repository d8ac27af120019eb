"""The majority label of each tile, from a raster of labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.cube.align import TOLERANCE_PX
from taxoscape.cube.box import Box
from taxoscape.cube.footprint import may_overlap
from taxoscape.cube.rasters import Header, mask_in, open_raster, read_header
from taxoscape.cube.wording import shown
from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice

if TYPE_CHECKING:
    import numpy.typing as npt


def read_labels_on_grid(
    path: str | Path, grid: Grid, *, min_share: float = 0.5, cells: bool = False
) -> npt.NDArray[np.int32]:
    """Read the majority label of each tile, or of its cell.

    Parameters
    ----------
    path
        GeoTIFF or JPEG 2000 with one band of whole numbers. 0, the declared nodata and what a mask or an alpha
        band of the file hides are no label.
    grid
        The tiles.
    min_share
        Share of all pixels of a tile, labelled or not, that its majority label must hold, 0…1.
    cells
        Whether to look at the cell of each tile, the part of the map that it stands for, in the place of the tile,
        whose pixels its zone is told by. They differ where tiles overlap.

    Returns
    -------
    ndarray
        int32 (tile,): the label that most pixels of the tile hold (the lowest of equals), 0 where it holds less than
        ``min_share`` of them.

    Raises
    ------
    InputError
        Where the file cannot be read, has no CRS, several bands, or other than whole numbers that fit in 32 bits.

    Notes
    -----
    A raster on the pixel lattice of the grid is read as it is and may cover any part of it; any other one is laid on
    that lattice by nearest neighbour. Reads a row of tiles at a time.
    """
    if not 0 <= min_share <= 1:
        raise InputError(
            f"the least share of a majority label lies between 0 and 1, not at {min_share:g} (--min-share)"
        )
    file = Path(path)
    header = read_header(file)
    _check(header)
    size = grid.stride if cells else grid.tile_size
    corners = grid.corners.astype(np.int64) + (grid.tile_size - size) // 2
    labels = np.zeros(grid.n_tiles, np.int32)
    first_col, last_col = int(corners[0, 1]), int(corners[-1, 1])
    with _on_lattice(header, grid.lattice, corners, size) as (source, origin):
        for row in range(grid.n_rows):
            tiles = slice(row * grid.n_cols, (row + 1) * grid.n_cols)
            strip = Box(int(corners[tiles.start, 0]), first_col, size, last_col - first_col + size)
            pixels = _read(source, strip.relative_to(origin), header)
            labels[tiles] = _majority(pixels, corners[tiles, 1] - first_col, least=min_share * size**2)
    return labels


def check_labels(path: str | Path, grids: Sequence[Grid]) -> None:
    """Refuse labels that cannot be read, or that lie beside all of several grids, as far as the header tells.

    Raises
    ------
    InputError
        As `read_labels_on_grid`; no pixel is read.
    """
    header = read_header(Path(path))
    _check(header)
    if not any(may_overlap(header, grid) for grid in grids):
        raise InputError(
            f"the labels in {shown(header.path)} lie beside the region: give a raster that overlaps it, or look "
            "whether its CRS is the one it was made in"
        )


def _majority(pixels: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], *, least: float) -> npt.NDArray[np.int64]:
    """Return the majority label of each square of a strip of pixels; 0 is no label."""
    names, codes = np.unique(pixels, return_inverse=True)
    codes = codes.reshape(pixels.shape)
    size = len(pixels)
    result = np.zeros(len(starts), np.int64)
    for i, start in enumerate(starts):
        counts = np.bincount(codes[:, start : start + size].ravel(), minlength=len(names))
        counts[names == 0] = 0
        best = int(counts.argmax())
        if counts[best] > 0 and counts[best] >= least - 1e-9:
            result[i] = names[best]
    return result


def _check(header: Header) -> None:
    where = shown(header.path)
    if not header.is_referenced:
        raise InputError(
            f"the labels in {where} have no georeference: nothing tells where they lie; write it into the file"
        )
    if header.n_bands != 1:
        raise InputError(f"{where} has {header.n_bands} bands: a raster of labels has one")


@contextmanager
def _on_lattice(
    header: Header, lattice: Lattice, corners: npt.NDArray[np.int64], size: int
) -> Iterator[tuple[Any, Box]]:
    """Yield (dataset whose pixels are those of a lattice, its place on the lattice)."""
    from rasterio.crs import CRS
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    # a warp heeds a mask or an alpha band of the source only where no nodata is given
    ignored = None if header.masked else header.nodata
    with open_raster(header.path) as source:
        place = _place(header, lattice)
        if place is not None:
            yield source, place
            return
        (top, left), (bottom, right) = corners[0], corners[-1] + size
        box = Box(int(top), int(left), int(bottom - top), int(right - left))
        target = lattice.window(*box)
        none = 0 if header.nodata is None else header.nodata
        with WarpedVRT(
            source, crs=CRS.from_wkt(lattice.crs), transform=target.transform, width=box.width, height=box.height,
            resampling=Resampling.nearest, src_nodata=ignored, nodata=none,
        ) as warped:  # fmt: skip
            yield warped, box


def _place(header: Header, lattice: Lattice) -> Box | None:
    """Return where a raster lies on a lattice, or None where its pixels are not the lattice's."""
    from rasterio.crs import CRS

    if not header.is_upright or header.is_flipped or CRS.from_wkt(header.crs) != CRS.from_wkt(lattice.crs):
        return None
    (dx, dy), (x, y) = header.pixel, header.corner
    drift = max(abs(dx / lattice.dx - 1), abs(dy / lattice.dy - 1)) * max(header.height, header.width)
    row, col = (lattice.y0 - y) / lattice.dy, (x - lattice.x0) / lattice.dx
    if max(drift, abs(row - round(row)), abs(col - round(col))) > TOLERANCE_PX:
        return None
    return Box(round(row), round(col), header.height, header.width)


def _read(source: Any, box: Box, header: Header) -> npt.NDArray[np.int64]:
    """Read a window that may reach over the edge: int64 (row, col), 0 where there is no label."""
    from rasterio.vrt import WarpedVRT
    from rasterio.windows import Window

    labels = np.zeros((box.height, box.width), np.int64)
    part = box.intersect(Box(0, 0, source.height, source.width))
    if part.is_empty:
        return labels
    window = Window(part.col, part.row, part.width, part.height)
    pixels = source.read(header.numbers[0], window=window)
    there = np.isfinite(pixels)
    if header.masked and not isinstance(source, WarpedVRT):
        there &= mask_in(source, window)
    if header.nodata is not None:
        there &= pixels != header.nodata
    values = np.where(there, pixels, 0)
    most = np.iinfo(np.int32).max
    if (values > most).any() or (values < -most).any() or (np.trunc(values) != values).any():
        raise InputError(f"{shown(header.path)} holds other than whole numbers of 32 bits: a label is a whole number")
    labels[part.relative_to(box).slices] = values
    return labels
