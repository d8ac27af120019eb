"""Tiles that overlap, encoded by one pass of convolutions over the ground that they share.

The default network ends in the mean and the deviation of its maps over a tile. Where tiles overlap, the maps are made
once for all of them (`taxoscape.embedding.overlap`), and each tile takes its mean and its deviation from its own part
of them. Vectors are those of the tiles one by one, but for rounding: they differ by less than `BOUND` of their length.

So it is exactly when the stride is smaller than the tile, the network is ``fast``, and tiles share any of its work. All
else goes tile by tile. Much is shared where tiles are large and the stride is a multiple of the network's total stride
(`total_stride`). Little is where it is not, or where tiles are so small that most of a tile is near its edge; `advice`
says so.

The ground is worked on in sheets, one after the other: rectangles of tiles of the same size everywhere, laid from the
grid's first tile. A tile belongs to one sheet, so its vector does not depend on which block asks for it, and memory is
bounded by the sheet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn

from taxoscape.embedding.feed import ahead, on_device
from taxoscape.embedding.machine import whole_float32
from taxoscape.embedding.networks import FastNet
from taxoscape.embedding.overlap import Axis, overlapping_moments, share_of_operations

if TYPE_CHECKING:
    import numpy.typing as npt

    from taxoscape.embedding.encoder import Encoder
    from taxoscape.embedding.tiles import TileReader
    from taxoscape.grid import Grid

    Float32: TypeAlias = npt.NDArray[np.float32]
    Int: TypeAlias = npt.NDArray[np.int64]
    Bool: TypeAlias = npt.NDArray[np.bool_]

BOUND = 1e-5
"""Most by which a vector of one pass differs from that of the tile alone, as a share of its length."""
LITTLE = 0.75
"""Operations in one pass, as a share of those tile by tile, above which tiles share little."""
POSITIONS = (96, 192)
"""Rows and columns of the network's last maps that a sheet has at most, but for a single line of tiles."""
VECTOR_BYTES = 256 * 2**20
"""Bytes of vectors in a row of sheets, at most, but for a single row of tiles."""
USUAL_BANDS = 3
"""Bands with which operations are counted; they hardly change the share."""


def is_dense(network: str, *, tile_size: int, stride: int) -> bool:
    """Whether the tiles of a grid are encoded in one pass, by the name of the network and sizes in pixels.

    Examples
    --------
    >>> is_dense("fast", tile_size=50, stride=16), is_dense("tilenet", tile_size=50, stride=16)
    (True, False)
    >>> is_dense("fast", tile_size=50, stride=50), is_dense("fast", tile_size=50, stride=25)
    (False, False)
    """
    return share_of_work(network, tile_size=tile_size, stride=stride) < 1


def share_of_work(network: str, *, tile_size: int, stride: int) -> float:
    """Return the operations of encoding a grid as a share of those tile by tile; 1 where it goes tile by tile."""
    if network != "fast" or stride >= tile_size:
        return 1.0
    widths = (USUAL_BANDS, *FastNet.WIDTHS)
    return share_of_operations(FastNet.layers_for(tile_size), widths, tile_size=tile_size, stride=stride)


def times_whole(network: str, *, tile_size: int, stride: int) -> float:
    """Return the operations of encoding a grid as a multiple of those of tiles side by side on the same ground."""
    return share_of_work(network, tile_size=tile_size, stride=stride) * (tile_size / stride) ** 2


def total_stride(tile_size: int) -> int:
    """Return the pixels from one position of the default network's last maps to the next, for tiles of a size."""
    return int(np.prod([step for _, step in FastNet.layers_for(tile_size)]))


def advice(network: str, *, tile_size: int, stride: int) -> str:
    """Return what overlapping tiles cost, in words, where the default network shares little of its work among them.

    Parameters
    ----------
    network
        Name of the network.
    tile_size, stride
        Of the grid, in pixels.

    Returns
    -------
    A sentence where tiles share little, or the stride is no multiple of the network's total stride, with the stride
    near it that fits; an empty text where all is well, tiles do not overlap, or the network is another one.

    Examples
    --------
    >>> advice("fast", tile_size=50, stride=16)
    ''
    >>> advice("fast", tile_size=50, stride=12).partition(":")[0]
    'overlapping tiles of 50 px every 12 px take about 5.2 times as long to encode as tiles side by side'
    """
    total, fits = total_stride(tile_size), stride % total_stride(tile_size) == 0
    little = share_of_work(network, tile_size=tile_size, stride=stride) > LITTLE
    if network != "fast" or stride >= tile_size or (fits and not little):
        return ""
    told = (
        f"overlapping tiles of {tile_size} px every {stride} px take about "
        f"{times_whole(network, tile_size=tile_size, stride=stride):.1f} times as long to encode as tiles side by side"
    )
    if fits:
        return f"{told}: they are so small that each is nearly all edge, and share little of the network's work"
    fitting = max(total, min(int(stride / total + 0.5) * total, (tile_size - 1) // total * total))
    return (
        f"{told}: they share the more of the network's work where the stride is a multiple of {total} px; --stride "
        f"{fitting} takes {times_whole(network, tile_size=tile_size, stride=fitting):.1f} times as long"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheets:
    """The sheets of a grid: ``rows × cols`` tiles each, those at the southern and eastern end reach over it."""

    grid: Grid
    """The tiles."""
    rows: int
    """Rows of tiles in a sheet."""
    cols: int
    """Columns of tiles in a sheet."""

    @classmethod
    def over(cls, grid: Grid, *, n_times: int, n_features: int) -> Sheets:
        """Lay sheets over a grid, all of one size and as even as they fit.

        Parameters
        ----------
        grid
            Tiles that are encoded in one pass, see `is_dense`.
        n_times, n_features
            Dates and length of a vector, which bound a row of sheets by `VECTOR_BYTES`.
        """
        axis = Axis.of_pixels(lines=1, stride=grid.stride, tile_size=grid.tile_size)
        for kernel, step in FastNet.layers_for(grid.tile_size):
            axis = axis.after(kernel, step)
        fitting = VECTOR_BYTES // (4 * grid.n_cols * n_times * n_features)
        rows = _evenly(grid.n_rows, max(1, min(POSITIONS[0] // axis.per_line, fitting)))
        cols = _evenly(grid.n_cols, max(1, POSITIONS[1] // axis.per_line))
        return cls(grid=grid, rows=rows, cols=cols)

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """The pixels of a sheet by rows and by columns of tiles."""
        down, across = (
            Axis.of_pixels(lines=n, stride=self.grid.stride, tile_size=self.grid.tile_size)
            for n in (self.rows, self.cols)
        )
        return down, across

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of pixels of a sheet."""
        down, across = self.axes
        return down.size, across.size

    def touching(self, start: int, stop: int) -> Iterator[tuple[tuple[int, int], Int, Int]]:
        """Yield the sheets with tiles among those from ``start`` to before ``stop``.

        Yields
        ------
        Top-left pixel of the sheet as (row, col); which of its tiles are meant and which tiles of
        the grid they are, each int64 (tile,).
        """
        grid, corner = self.grid, self.grid.corners_of(0, 1)[0]
        down, across = np.divmod(np.arange(self.rows * self.cols), self.cols)
        first, last = start // grid.n_cols, (stop - 1) // grid.n_cols
        for top in range(first // self.rows * self.rows, last + 1, self.rows):
            for left in range(0, grid.n_cols, self.cols):
                tiles = (top + down) * grid.n_cols + left + across
                meant = np.flatnonzero((left + across < grid.n_cols) & (tiles >= start) & (tiles < stop))
                if meant.size:
                    row, col = corner + np.array([top, left]) * grid.stride
                    yield (int(row), int(col)), meant, tiles[meant]


def encode_tiles(
    reader: TileReader, encoder: Encoder, grid: Grid, start: int, stop: int, *, min_valid: float
) -> tuple[Float32, Float32]:
    """Embed the tiles of a grid from ``start`` to before ``stop`` on every date, in one pass.

    Parameters
    ----------
    reader, encoder, grid
        Of tiles that are encoded in one pass, see `is_dense`.
    start, stop
        Which tiles.
    min_valid
        Share of valid pixels from which a tile counts on a date; a tile without any never does.

    Returns
    -------
    Vectors, float32 (tile, time, feature), NaN where the tile does not count, and shares of valid pixels, float32
    (tile, time), as `taxoscape.embedding.encoding.encode_block`.

    Notes
    -----
    Reads each sheet that has one of the tiles whole, date by date; the network runs on a sheet where one of the tiles
    counts. Beside the result it holds one sheet and its maps.
    """
    sheets = Sheets.over(grid, n_times=reader.n_times, n_features=encoder.n_features)
    embedding = np.full((stop - start, reader.n_times, encoder.n_features), np.nan, np.float32)
    share = np.zeros(embedding.shape[:2], np.float32)
    work = [(time, *sheet) for time in range(reader.n_times) for sheet in sheets.touching(start, stop)]
    read = ((time, meant, tiles, reader.window(time, *corner, *sheets.shape)) for time, corner, meant, tiles in work)
    for time, meant, tiles, (values, valid) in ahead(read, depth=0 if encoder.device.type == "cpu" else 2):
        found = _shares(valid, grid)[meant]
        share[tiles - start, time] = found
        counting = (found >= min_valid) & (found > 0)
        if counting.any():
            vectors = _vectors(encoder, values, valid, sheets)
            embedding[tiles[counting] - start, time] = vectors[meant[counting]]
    return embedding, share


def _vectors(encoder: Encoder, values: npt.NDArray[np.generic], valid: Bool, sheets: Sheets) -> Float32:
    """Return the vectors of all tiles of a sheet, float32 (row · col, feature), whether they count or not."""
    network, (rows, cols) = cast("FastNet", encoder.network), sheets.axes
    with torch.inference_mode(), whole_float32(encoder.device.type):
        x, usable = on_device(encoder.recipe.scaling, values[None], valid[None], encoder.device)
        mean, variance = overlapping_moments(network, x, rows=rows, cols=cols)
        features, statistics = network.vectors_of(mean.float(), variance.float()), None
        if encoder.recipe.weights:
            mean, variance = window_moments(x, usable, encoder.tile_size, sheets.grid.stride)
            statistics = torch.cat([mean, torch.sqrt(variance)], dim=1).float()
        return np.asarray(encoder.completed(features, statistics).cpu().numpy())


def window_moments(x: Tensor, valid: Tensor, size: int, step: int) -> tuple[Tensor, Tensor]:
    """Return means and variances over the valid pixels of square windows.

    Parameters
    ----------
    x
        (1, channel, y, x).
    valid
        Bool (1, 1, y, x).
    size, step
        Edge of a window, and from one to the next.

    Returns
    -------
    Each float64 (window, channel), windows row by row; 0 where nothing is valid.

    Notes
    -----
    From sums of values and of squares, in float64 lest the difference of two large numbers be all error.
    """
    seen = torch.where(valid, x, 0).double()
    count = _box_sums(valid.double(), size, step).clamp(min=1)
    mean = _box_sums(seen, size, step) / count
    variance = (_box_sums(seen.square(), size, step) / count - mean.square()).clamp(min=0)
    return _in_rows(mean), _in_rows(variance)


def _box_sums(x: Tensor, size: int, step: int) -> Tensor:
    """Return sums over square windows of (1, channel, y, x): of the blocks that they are made of, then down, across."""
    edge = gcd(size, step)
    blocks = nn.functional.avg_pool2d(x, edge, divisor_override=1)
    down = nn.functional.avg_pool2d(blocks, (size // edge, 1), (step // edge, 1), divisor_override=1)
    return nn.functional.avg_pool2d(down, (1, size // edge), (1, step // edge), divisor_override=1)


def _in_rows(windows: Tensor) -> Tensor:
    """Return (window, channel) of (1, channel, row, col)."""
    return windows[0].permute(1, 2, 0).reshape(-1, windows.shape[1])


def _shares(valid: Bool, grid: Grid) -> Float32:
    """Return the share of valid pixels of the tiles of a sheet: float32 (row · col,), 0…1."""
    sums = np.zeros((valid.shape[0] + 1, valid.shape[1] + 1), np.int64)
    sums[1:, 1:] = valid.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    size, stride = grid.tile_size, grid.stride
    low, high = (sums[part] for part in (slice(None, -size, stride), slice(size, None, stride)))
    counts = high[:, size::stride] - high[:, :-size:stride] - low[:, size::stride] + low[:, :-size:stride]
    return (counts / size**2).astype(np.float32).ravel()


def _evenly(whole: int, most: int) -> int:
    """Return the size of equal parts of a whole of which none is larger than ``most``."""
    return -(-whole // -(-whole // most))
