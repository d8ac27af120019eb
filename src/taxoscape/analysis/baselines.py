"""What plain colours would give: means and deviations of tiles, to be clustered like any other series."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from taxoscape.contracts import check_cube, tile_coordinates
from taxoscape.embedding.encoding import Block, plan_blocks
from taxoscape.embedding.tiles import MEMORY, TileReader
from taxoscape.executor import Executor, in_process
from taxoscape.progress import Track, silent

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from taxoscape.grid import Grid

    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]
    Moments: TypeAlias = tuple[Float32, Float32, Float32]

DateBlock: TypeAlias = tuple[int, Block]
"""A date, and a block of tiles."""

BLOCK_BYTES = 8 * 2**20
"""Bytes of pixels, at 4 bytes each, of the tiles of one date that are worked on at once."""
AWAY_BYTES = 64 * 2**20
"""The same on workers: what is done at once should take longer than to hand it out."""


def tile_means(cube: xr.DataArray, grid: Grid, *, min_valid: float = 0.5, track: Track = silent) -> xr.Dataset:
    """Return the series of mean colours: per tile and date the mean of each band over the valid pixels.

    Parameters
    ----------
    cube
        The scenes: (time, band, y, x).
    grid
        The tiles.
    min_valid
        Share of valid pixels from which a tile counts on a date.
    track
        Told of each block done.

    Returns
    -------
    Dataset that keeps the contract of series, ``feature`` being the bands in their own units.
    """
    import xarray as xr

    mean, _, share = _moments(cube, grid, min_valid, track, memory=MEMORY, deviations=False)
    return xr.Dataset(
        {"embedding": (("tile", "time", "feature"), mean), "valid": (("tile", "time"), share)},
        coords={**tile_coordinates(grid), "time": cube["time"].to_numpy()},
        attrs={"grid": grid.to_json(), "min_valid": min_valid, "encoder": "tile means"},
    )


def tile_statistics(
    cube: xr.DataArray,
    grid: Grid,
    *,
    min_valid: float = 0.5,
    memory: int = MEMORY,
    track: Track = silent,
    execute: Executor = in_process,
    there: Callable[[DateBlock], Moments] | None = None,
) -> xr.Dataset:
    """Return mean and standard deviation of each band in each tile on each date, over the valid pixels.

    Parameters
    ----------
    cube, grid, min_valid, track
        As `tile_means`.
    memory
        Bytes up to which the cube is loaded whole.
    execute, there
        Does the blocks; where that is not this process, what it calls there: `block_moments` of a reader of its own.

    Returns
    -------
    Dataset with ``mean`` and ``deviation``, float32 (tile, time, band) in the units of the bands, NaN where the tile
    does not count; ``valid`` float32 (tile, time), share of valid pixels; the coordinates of a series and ``band``; the
    attributes ``grid`` and ``min_valid``. The deviation is that of the pixels themselves (divided by their number).

    Notes
    -----
    One pass over the cube, date by date. A valid pixel with a value that is not finite is left out.
    """
    import xarray as xr

    mean, deviation, share = _moments(
        cube, grid, min_valid, track, memory=memory, deviations=True, execute=execute, there=there
    )
    dims = ("tile", "time", "band")
    return xr.Dataset(
        {"mean": (dims, mean), "deviation": (dims, deviation), "valid": (dims[:2], share)},
        coords={
            **tile_coordinates(grid),
            "time": cube["time"].to_numpy(),
            "band": [str(name) for name in cube["band"].to_numpy()],
        },
        attrs={"grid": grid.to_json(), "min_valid": float(min_valid)},
    )


def _moments(
    cube: xr.DataArray,
    grid: Grid,
    min_valid: float,
    track: Track,
    *,
    memory: int,
    deviations: bool,
    execute: Executor = in_process,
    there: Callable[[DateBlock], Moments] | None = None,
) -> Moments:
    """Return mean and deviation (tile, time, band), and the share of valid pixels (tile, time)."""
    check_cube(cube)
    away = there is not None and execute.elsewhere
    n_times, n_bands = cube.sizes["time"], cube.sizes["band"]
    shape = (grid.n_tiles, n_times, n_bands)
    mean, deviation = np.full(shape, np.nan, dtype=np.float32), np.full(shape, np.nan, dtype=np.float32)
    share = np.zeros(shape[:2], dtype=np.float32)
    blocks = plan_blocks(grid, 1, n_bands=n_bands, block_bytes=AWAY_BYTES if away else BLOCK_BYTES)
    work = [(time, block) for time in range(n_times) for block in blocks]  # date by date, as cubes are stored
    if there is not None and execute.elsewhere:
        done = execute(there, work)
    else:
        reader = TileReader(cube, grid.tile_size, memory=memory)
        done = in_process(partial(block_moments, reader, grid, min_valid, deviations), work)
    for number, found in track(done, "tile statistics" if deviations else "tile means", len(work)):
        time, block = work[number]
        tiles = slice(block.start, block.stop)
        mean[tiles, time], deviation[tiles, time], share[tiles, time] = found
    return mean, deviation, share


def block_moments(
    reader: TileReader,
    grid: Grid,
    min_valid: float,
    deviations: bool,  # noqa: FBT001
    block: DateBlock,
) -> Moments:
    """Return mean and deviation, float32 (tile, band), and share of valid pixels, float32 (tile,), of a date's block.

    NaN where a tile does not count, and for deviations that are not asked for.
    """
    time, tiles = block
    corners = grid.corners_of(tiles.start, tiles.stop)
    values, valid = reader.read(np.column_stack([corners, np.full(len(tiles), time, dtype=np.int32)]))
    mean, deviation = np.full((2, len(tiles), reader.n_bands), np.nan, dtype=np.float32)
    share = valid.mean(axis=(1, 2)).astype(np.float32)
    counts = (share >= min_valid) & (share > 0)
    mean[counts], deviation[counts] = _tile_moments(values[counts], valid[counts], deviations=deviations)
    return mean, deviation, share


def _tile_moments(
    values: npt.NDArray[Any], valid: npt.NDArray[np.bool_], *, deviations: bool
) -> tuple[Float64, Float64]:
    """Return mean and deviation of each band of tiles over valid pixels: float64 (tile, band); NaN without a pixel.

    ``values`` is (tile, band, y, x), ``valid`` bool (tile, y, x). Without ``deviations`` they are NaN.
    """
    tiles, bands, height, width = values.shape
    pixels = values.reshape(tiles, bands, height * width).astype(np.float64)
    known = valid.reshape(tiles, 1, height * width)
    if values.dtype.kind == "f":
        known = known & np.isfinite(pixels).all(axis=1, keepdims=True)
    whole = bool(known.all())
    if not whole:
        np.copyto(pixels, 0, where=~known)
    count = known.sum(axis=2, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = pixels.sum(axis=2) / count
        if not deviations:
            return mean, np.full_like(mean, np.nan)
        pixels -= mean[:, :, None]
        if not whole:
            np.copyto(pixels, 0, where=~known)
        squares = np.einsum("nbp,nbp->nb", pixels, pixels)
        return mean, np.sqrt(squares / count)
