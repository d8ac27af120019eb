"""Pixels of tiles, gathered from a cube by index.

Everything upstream speaks in corners, int32 ``(row_px, col_px, time)`` of the top-left pixel of a tile; this module
alone turns them into pixels. A cube that fits the memory budget is loaded once and tiles are slices of it. A larger
one stays where it is: corners are sorted by date and place, and the blocks of storage that they touch go through a
small cache of the blocks used last. Both roads give the same pixels. A reader is for one thread at a time.

Corners may reach over the edge of the cube: what lies outside is zero and invalid.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from taxoscape.contracts import check_cube
from taxoscape.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

Pixels: TypeAlias = "npt.NDArray[Any]"
Bool: TypeAlias = "npt.NDArray[np.bool_]"

MEMORY = 2 * 2**30
"""Bytes up to which a cube is loaded whole."""
CACHE = 256 * 2**20
"""Bytes of blocks that are kept of a cube that is not."""
BLOCK_PX = 512
"""Edge of a block where the cube does not say how it is chunked."""


class TileReader:
    """Read square tiles of one size from a cube.

    Parameters
    ----------
    cube
        Cube (time, band, y, x) with the coordinate ``valid``, in memory or lazily backed by files.
    tile_size
        Edge of a tile in pixels.
    memory
        Bytes up to which the cube is loaded whole; see the module's note.

    Attributes
    ----------
    tile_size, n_times, n_bands, height, width : int
        Edge of a tile; sizes of the cube (dates, bands, rows and columns of pixels).
    bands : tuple of str
        Names of the bands.
    dtype : numpy.dtype
        Type of the pixels, that of the cube.

    Raises
    ------
    InputError
        Where the cube breaks its contract, or the tile size is below 1.
    """

    def __init__(self, cube: xr.DataArray, tile_size: int, *, memory: int = MEMORY) -> None:
        check_cube(cube)
        if tile_size < 1:
            raise InputError(f"the tile size is at least 1 pixel, not {tile_size} (--tile-size)")
        self.tile_size = int(tile_size)
        self.n_times, self.n_bands, self.height, self.width = (int(n) for n in cube.shape)
        self.bands = tuple(str(name) for name in cube["band"].to_numpy())
        self.dtype = cube.dtype
        valid = cube["valid"].variable
        if cube.nbytes + valid.size <= memory:
            self._values: _Source = _Memory(cube.variable)
            self._valid: _Source = _Memory(valid)
        else:
            self._values = _Blocks(cube.variable, self.n_bands * self.dtype.itemsize, memory)
            self._valid = _Blocks(valid, 1, memory)

    @property
    def in_memory(self) -> bool:
        """Whether the cube was loaded whole."""
        return isinstance(self._values, _Memory)

    @property
    def span(self) -> tuple[int, int]:
        """Largest row and column at which the corner of a whole tile fits (negative where none does)."""
        return self.height - self.tile_size, self.width - self.tile_size

    def read(self, corners: npt.ArrayLike) -> tuple[Pixels, Bool]:
        """Return the pixels of tiles and which of them are valid.

        Parameters
        ----------
        corners
            Integers (n, 3): ``(row_px, col_px, time)`` of each tile's top-left pixel.

        Returns
        -------
        values
            (n, band, tile_size, tile_size) in the dtype and units of the cube; zero outside of it.
        valid
            Bool (n, tile_size, tile_size), True where the pixel can be used.
        """
        table = self._table(corners)
        values = self._gather(self._values, table, self.n_bands, self.dtype)
        return values, self._gather(self._valid, table, 1, np.dtype(np.bool_))[:, 0]

    def window(self, time: int, row: int, col: int, height: int, width: int) -> tuple[Pixels, Bool]:
        """Return the pixels of any window of a date and which of them are valid.

        Parameters
        ----------
        time, row, col, height, width
            Date; first row, first column and size in pixels. The window may reach over the edge of the cube.

        Returns
        -------
        values
            (band, y, x) in the dtype and units of the cube; zero outside of it.
        valid
            Bool (y, x), True where the pixel can be used; False outside of the cube.
        """
        values, valid = np.zeros((self.n_bands, height, width), self.dtype), np.zeros((height, width), np.bool_)
        inside = self._inside(row, col, height, width)
        if inside is not None:
            top, bottom, left, right = inside
            part = (..., slice(top - row, bottom - row), slice(left - col, right - col))
            valid[part] = self._valid.window(time, *inside)
            if valid.any():
                values[part] = self._values.window(time, *inside)
        return values, valid

    def valid_share(self, corners: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return the share of valid pixels of tiles: float32 (n,), 0…1; what lies outside the cube is invalid."""
        table = self._table(corners)
        share = np.zeros(len(table), np.float32)
        for i, row, col, time in self._in_order(table):
            window = self._inside(row, col, self.tile_size, self.tile_size)
            if window is not None:
                share[i] = np.count_nonzero(self._valid.window(time, *window)) / self.tile_size**2
        return share

    def valid_counts(self, time: int, edge: int) -> npt.NDArray[np.int64]:
        """Return the valid pixels of a date in squares of ``edge`` pixels that cover the region: int64 (row, col).

        Squares start at the first pixel; the last ones may reach over the region's end.
        """
        starts = range(0, self.width, edge)
        counts = np.zeros((-(-self.height // edge), len(starts)), np.int64)
        for i, top in enumerate(range(0, self.height, edge)):
            strip = self._valid.window(time, top, min(top + edge, self.height), 0, self.width)
            counts[i] = np.add.reduceat(np.count_nonzero(strip, axis=0), starts)
        return counts

    def _gather(self, source: _Source, table: Pixels, n_bands: int, dtype: np.dtype[Any]) -> Pixels:
        out = np.zeros((len(table), n_bands, self.tile_size, self.tile_size), dtype)
        for i, row, col, time in self._in_order(table):
            window = self._inside(row, col, self.tile_size, self.tile_size)
            if window is not None:
                top, bottom, left, right = window
                out[i, :, top - row : bottom - row, left - col : right - col] = source.window(time, *window)
        return out

    def _inside(self, row: int, col: int, height: int, width: int) -> tuple[int, int, int, int] | None:
        """Return (top, bottom, left, right) of the part of a window inside the cube, or None where there is none."""
        top, bottom = max(row, 0), min(row + height, self.height)
        left, right = max(col, 0), min(col + width, self.width)
        return (top, bottom, left, right) if top < bottom and left < right else None

    def _in_order(self, table: Pixels) -> list[tuple[int, int, int, int]]:
        """Return (position in the table, row, col, time), by date and place, so that blocks are read once."""
        rows, cols, times = table.T
        order = np.lexsort((cols, rows // BLOCK_PX, times))
        return list(zip(order.tolist(), *(axis[order].tolist() for axis in (rows, cols, times)), strict=True))

    def _table(self, corners: npt.ArrayLike) -> Pixels:
        table = np.asarray(corners)
        if table.ndim != 2 or table.shape[1] != 3 or table.dtype.kind not in "iu":
            raise InputError(f"corners are integers (n, 3) as (row, col, time), not {table.dtype} {table.shape}")
        if len(table) and not 0 <= table[:, 2].min() <= table[:, 2].max() < self.n_times:
            raise InputError(f"a corner names a date outside the cube, which has {self.n_times} dates (0 the first)")
        return table


def as_reader(cube: xr.DataArray | TileReader, tile_size: int) -> TileReader:
    """Return a reader of tiles of ``tile_size`` over a cube; a reader is passed through.

    Raises
    ------
    InputError
        Where a reader of another tile size is given.
    """
    if not isinstance(cube, TileReader):
        return TileReader(cube, tile_size)
    if cube.tile_size != tile_size:
        raise InputError(f"the reader has tiles of {cube.tile_size} px, wanted are {tile_size} px: make another one")
    return cube


class _Source(Protocol):
    def window(self, time: int, top: int, bottom: int, left: int, right: int) -> Pixels:
        """Return the pixels of a window of one date that lies inside: (band, y, x), or (y, x) of a mask."""
        ...


class _Memory:
    """An array (time, …, y, x) that is held in memory."""

    def __init__(self, variable: xr.Variable) -> None:
        self.array = variable.to_numpy()

    def window(self, time: int, top: int, bottom: int, left: int, right: int) -> Pixels:
        pixels: Pixels = self.array[time, ..., top:bottom, left:right]
        return pixels


class _Blocks:
    """An array (time, …, y, x) that is read block by block; the blocks used last are kept.

    `CACHE` bytes of them, or where half the memory allows it those of a row of blocks on all dates, so that tiles that
    are read row by row find theirs.
    """

    def __init__(self, variable: xr.Variable, pixel_bytes: int, memory: int) -> None:
        self.variable = variable
        chunks = variable.encoding.get("preferred_chunks") or {}
        self.edges = tuple(int(chunks.get(dim, BLOCK_PX)) for dim in ("y", "x"))
        if np.prod(self.edges) * pixel_bytes > CACHE // 8:
            self.edges = (BLOCK_PX, BLOCK_PX)
        each = int(np.prod(self.edges) * pixel_bytes)
        strip = variable.shape[0] * (-(-variable.shape[-1] // self.edges[1]) + 1)
        self.kept = max(4, CACHE // each, min(strip, memory // 2 // each))
        self.blocks: OrderedDict[tuple[int, int, int], Pixels] = OrderedDict()

    def window(self, time: int, top: int, bottom: int, left: int, right: int) -> Pixels:
        down, across = self.edges
        rows = range(top // down, (bottom - 1) // down + 1)
        cols = range(left // across, (right - 1) // across + 1)
        window = top, bottom, left, right
        lines = [_joined([self._part(time, row, col, window) for col in cols], axis=-1) for row in rows]
        return _joined(lines, axis=-2)

    def _part(self, time: int, row: int, col: int, window: tuple[int, int, int, int]) -> Pixels:
        """Return the part of a window (top, bottom, left, right) that lies in a block."""
        row0, col0 = row * self.edges[0], col * self.edges[1]
        top, bottom, left, right = window
        part: Pixels = self._block(time, row, col)[
            ..., max(top - row0, 0) : bottom - row0, max(left - col0, 0) : right - col0
        ]
        return part

    def _block(self, time: int, row: int, col: int) -> Pixels:
        key = (time, row, col)
        if key in self.blocks:
            self.blocks.move_to_end(key)
            return self.blocks[key]
        down, across = self.edges
        ys, xs = slice(row * down, (row + 1) * down), slice(col * across, (col + 1) * across)
        block: Pixels = self.variable[time, ..., ys, xs].to_numpy()
        self.blocks[key] = block
        if len(self.blocks) > self.kept:
            self.blocks.popitem(last=False)
        return block


def _joined(parts: list[Pixels], axis: int) -> Pixels:
    """Return arrays joined along an axis; a single one as it is, for copying takes time."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)
