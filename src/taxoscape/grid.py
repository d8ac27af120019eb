"""The tile grid, in whole pixels.

Two values. A `Lattice` is the pixel lattice of a region: CRS, pixel size, extent. A `Grid` lays square tiles on it,
anchored at whole multiples of the stride counted in pixels from the origin of the CRS, so that the index
``(row, col)`` of a tile is the same whatever part of a region is processed.

Everything here is integer arithmetic on pixels; metres or degrees appear only when a transform is asked for. Rows
count downwards (southwards) and columns eastwards, so rows of the northern hemisphere are negative.

Words: a *tile* is a square of ``tile_size`` pixels; its *cell* is the central ``stride × stride`` pixels of it, the
part of the map that the tile stands for. With ``stride == tile_size`` both are the same.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from affine import Affine

from taxoscape.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

LATTICE_TOLERANCE_PX = 0.03
"""Pixels by which an origin may miss the next whole pixel and still count as being on it.

More than twice what scenes of one lattice may differ by (`taxoscape.cube.align.TOLERANCE_PX`), so that the whole pixel
is the same whichever of them comes first; and not near to where lattices usually lie between the pixels of their CRS
(halves, quarters, fifths).
"""

Partial = Literal["drop", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """The pixels of a region: where they are and how many."""

    crs: str
    """Coordinate reference system as WKT."""
    x0: float
    """Western outer edge of the first column, in units of the CRS."""
    y0: float
    """Northern outer edge of the first row, in units of the CRS."""
    dx: float
    """Width of a pixel, positive."""
    dy: float
    """Height of a pixel, positive; rows go south."""
    height: int
    """Number of rows of pixels."""
    width: int
    """Number of columns of pixels."""

    @property
    def row_px(self) -> int:
        """Rows of pixels from the CRS origin southwards to the first row (negative north of the origin)."""
        return math.floor(-self.y0 / self.dy + LATTICE_TOLERANCE_PX)

    @property
    def col_px(self) -> int:
        """Columns of pixels from the CRS origin eastwards to the first column."""
        return math.floor(self.x0 / self.dx + LATTICE_TOLERANCE_PX)

    @property
    def transform(self) -> Affine:
        """Affine from (column, row) of pixel corners to CRS coordinates."""
        return Affine(self.dx, 0.0, self.x0, 0.0, -self.dy, self.y0)

    def window(self, row: int, col: int, height: int, width: int) -> Lattice:
        """Return the lattice of a window that starts at pixel ``(row, col)``; it may reach over the edge."""
        return replace(self, x0=self.x0 + col * self.dx, y0=self.y0 - row * self.dy, height=height, width=width)

    def coordinates(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return ``(y, x)``: centres of the rows (falling) and of the columns (rising), float64."""
        rows, cols = np.arange(self.height, dtype=np.float64), np.arange(self.width, dtype=np.float64)
        return self.y0 - (rows + 0.5) * self.dy, self.x0 + (cols + 0.5) * self.dx

    @classmethod
    def of(cls, array: xr.DataArray | xr.Dataset) -> Lattice:
        """Read the lattice from the CF coordinates of an array with dims ``y`` and ``x``.

        Raises
        ------
        InputError
            Where there is no ``spatial_ref`` with ``crs_wkt``, or the coordinates are not evenly spaced.
        """
        spatial = array.coords.get("spatial_ref")
        if spatial is None or not spatial.attrs.get("crs_wkt"):
            raise InputError("the array has no CRS: it needs a coordinate 'spatial_ref' with the attribute 'crs_wkt'")
        height, width = array.sizes["y"], array.sizes["x"]
        values = [float(v) for v in str(spatial.attrs.get("GeoTransform", "")).split()]
        if len(values) == 6:
            dx, dy = values[1], -values[5]
        elif height > 1 and width > 1:
            dx = float(array.x[-1] - array.x[0]) / (width - 1)
            dy = float(array.y[0] - array.y[-1]) / (height - 1)
        else:
            raise InputError("the pixel size is unknown: give 'spatial_ref' the attribute 'GeoTransform'")
        if dx <= 0 or dy <= 0:
            raise InputError("x must rise and y must fall along the array; sort it: array.sortby('y', ascending=False)")
        for name, step, n in (("y", -dy, height), ("x", dx, width)):
            axis = array[name].to_numpy()
            if not np.allclose(axis, axis[0] + step * np.arange(n), rtol=0, atol=0.05 * abs(step)):
                raise InputError(f"the coordinate '{name}' is not evenly spaced by the pixel size {abs(step):g}")
        x0, y0 = float(array.x[0]) - dx / 2, float(array.y[0]) + dy / 2
        return cls(crs=str(spatial.attrs["crs_wkt"]), x0=x0, y0=y0, dx=dx, dy=dy, height=height, width=width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The regular grid of tiles over a region; one index for all dates. Make it with `Grid.over`."""

    lattice: Lattice
    """The pixels of the region."""
    tile_size: int
    """Edge of a tile in pixels."""
    stride: int
    """Pixels from one tile to the next."""
    first_row: int
    """Index of the northernmost row of tiles, counted from the CRS origin."""
    first_col: int
    """Index of the westernmost column of tiles, counted from the CRS origin."""
    n_rows: int
    """Number of rows of tiles."""
    n_cols: int
    """Number of columns of tiles."""

    @classmethod
    def over(cls, lattice: Lattice, *, tile_size: int, stride: int | None = None, partial: Partial = "drop") -> Grid:
        """Lay tiles over a region.

        Parameters
        ----------
        lattice
            The pixels of the region.
        tile_size
            Edge of a tile in pixels.
        stride
            Pixels from one tile to the next; the tile size where not given.
        partial
            ``"drop"`` leaves out tiles that are not wholly inside the region; ``"keep"`` takes them, and what lies
            outside counts as invalid.

        Raises
        ------
        InputError
            Where not a single whole tile fits, or a size is below 1.
        """
        stride = tile_size if stride is None else stride
        if tile_size < 1 or not 1 <= stride <= tile_size:
            raise InputError(
                f"tile size {tile_size} and stride {stride} do not fit: both are at least 1 and the stride is at most "
                "the tile size (--tile-size, --stride)"
            )
        spans = [
            _span(start, length, tile_size, stride, partial)
            for start, length in ((lattice.row_px, lattice.height), (lattice.col_px, lattice.width))
        ]
        (first_row, n_rows), (first_col, n_cols) = spans
        if n_rows < 1 or n_cols < 1:
            raise InputError(
                f"not one whole tile of {tile_size} × {tile_size} pixels fits on the grid: the region has "
                f"{lattice.height} × {lattice.width} pixels (rows × columns); "
                "take a smaller --tile-size, or --partial keep"
            )
        return cls(lattice=lattice, tile_size=tile_size, stride=stride, first_row=first_row, first_col=first_col,
                   n_rows=n_rows, n_cols=n_cols)  # fmt: skip

    @property
    def n_tiles(self) -> int:
        """Number of tiles; tile ``i`` is row ``i // n_cols`` and column ``i % n_cols`` of the grid."""
        return self.n_rows * self.n_cols

    @property
    def rows(self) -> npt.NDArray[np.int32]:
        """Row index of each tile from the CRS origin: int32 (tile,)."""
        return np.repeat(np.arange(self.first_row, self.first_row + self.n_rows, dtype=np.int32), self.n_cols)

    @property
    def cols(self) -> npt.NDArray[np.int32]:
        """Column index of each tile from the CRS origin: int32 (tile,)."""
        return np.tile(np.arange(self.first_col, self.first_col + self.n_cols, dtype=np.int32), self.n_rows)

    @property
    def corners(self) -> npt.NDArray[np.int32]:
        """Top-left pixel of each tile, counted from the region's first pixel: int32 (tile, 2) as (row, col).

        Negative, or near the end, for partial tiles.
        """
        return self.corners_of(0, self.n_tiles)

    def corners_of(self, start: int, stop: int) -> npt.NDArray[np.int32]:
        """Return `corners` of the tiles from ``start`` to ``stop`` alone: int32 (stop − start, 2)."""
        row, col = np.divmod(np.arange(start, stop), self.n_cols)
        rows = (row + self.first_row) * self.stride - self.lattice.row_px
        cols = (col + self.first_col) * self.stride - self.lattice.col_px
        return np.stack([rows, cols], axis=1).astype(np.int32)

    @property
    def centres(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Centres of the tiles in CRS coordinates: ``(y, x)``, each float64 (tile,)."""
        middle = self.corners.astype(np.float64) + self.tile_size / 2
        return self.lattice.y0 - middle[:, 0] * self.lattice.dy, self.lattice.x0 + middle[:, 1] * self.lattice.dx

    @property
    def cells(self) -> Lattice:
        """The lattice whose pixels are the cells of the tiles: the geo-reference of a map with a pixel per tile."""
        margin = (self.tile_size - self.stride) // 2
        row, col = (int(v) + margin for v in self.corners_of(0, 1)[0])
        corner = self.lattice.window(row, col, self.n_rows, self.n_cols)
        return replace(corner, dx=corner.dx * self.stride, dy=corner.dy * self.stride)

    def to_map(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Reshape values per tile ``(tile, …)`` to ``(row, col, …)``."""
        return np.asarray(values).reshape(self.n_rows, self.n_cols, *np.shape(values)[1:])

    def to_json(self) -> str:
        """Return the grid as JSON, for the attribute ``grid`` of a dataset."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Grid:
        """Return the grid that `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "lattice": Lattice(**values["lattice"])})


def _span(start: int, length: int, size: int, stride: int, partial: Partial) -> tuple[int, int]:
    """Return (first index, count) of the tiles ``[i·stride, i·stride + size)`` along ``[start, start + length)``."""
    if partial == "keep":
        first = (start - size) // stride + 1
        last = (start + length - 1) // stride
    else:
        first = -((-start) // stride)
        last = (start + length - size) // stride
    return first, last - first + 1
