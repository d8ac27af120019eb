"""Tiles to series: every tile of a grid, on every date, through an encoder.

The work is planned as blocks, contiguous ranges of tiles with all their dates, that a runner may do in any order, skip
when they are done, and write one by one. A block's result does not depend on the plan. Tiles go through the network one
by one, or, where they overlap and the network is the default one, all together (`taxoscape.embedding.dense`). A tile
that does not count on a date has no vector, and is not sent through the network alone.

One by one they go through a quicker copy of the network (`taxoscape.embedding.quick`), the paper's in bfloat16 where
the machine multiplies it. Where the cube is too large to be held, a thread reads the next tiles meanwhile, also those
of the next block.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import xarray as xr

from taxoscape.contracts import SERIES_DIMS, check_cube, tile_coordinates
from taxoscape.embedding.dense import Sheets, advice, encode_tiles, is_dense
from taxoscape.embedding.encoder import Encoder
from taxoscape.embedding.feed import ahead
from taxoscape.embedding.quick import quickened, usual_batch
from taxoscape.embedding.tiles import TileReader, as_reader
from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice, Partial
from taxoscape.progress import Track, silent

if TYPE_CHECKING:
    import numpy.typing as npt

    from taxoscape.config import Precision

Float32: TypeAlias = "npt.NDArray[np.float32]"

BLOCK_BYTES = 256 * 2**20
"""Bytes of pixels (at 4 bytes each) that a block covers at most, but for a single tile."""
GATHERED_PIXELS = 128 * 100**2
"""Pixels of a band that are read at a time, at least a batch of tiles; the next ones are read meanwhile."""
READ_AHEAD = 2
"""How often that much is read ahead; not at all where a processor computes and the cube is in memory anyway."""


@dataclass(frozen=True, slots=True)
class Block:
    """A contiguous range of tiles of a grid, with all their dates."""

    start: int
    """First tile."""
    stop: int
    """One after the last tile."""

    def __len__(self) -> int:
        return self.stop - self.start


def plan_blocks(grid: Grid, n_times: int, *, n_bands: int = 1, block_bytes: int = BLOCK_BYTES) -> list[Block]:
    """Cut a grid into blocks of bounded size: whole rows of tiles where a row fits, else parts of one row.

    Parameters
    ----------
    grid
        The tile grid.
    n_times, n_bands
        Number of dates and bands of the cube.
    block_bytes
        Bytes of pixels that a block covers at most, at 4 bytes per pixel; a block has at least one tile.

    Returns
    -------
    list of Block
        In order, without gaps or overlaps.
    """
    fitting = max(1, block_bytes // (4 * n_times * n_bands * grid.tile_size**2))
    if fitting >= grid.n_cols:
        step = fitting // grid.n_cols * grid.n_cols
        edges = list(range(0, grid.n_tiles, step))
    else:
        edges = [row * grid.n_cols + col for row in range(grid.n_rows) for col in range(0, grid.n_cols, fitting)]
    return [Block(start, stop) for start, stop in zip(edges, [*edges[1:], grid.n_tiles], strict=True)]


def blocks_for(
    encoder: Encoder, grid: Grid, n_times: int, *, n_bands: int = 1, block_bytes: int = BLOCK_BYTES
) -> list[Block]:
    """Cut a grid into the blocks in which an encoder makes its series at the least cost.

    Parameters
    ----------
    encoder
        What turns tiles into vectors.
    grid, n_times, n_bands, block_bytes
        As `plan_blocks`; where tiles are encoded in one pass, a block is a row of sheets instead.

    Returns
    -------
    list of Block
        In order, without gaps or overlaps.
    """
    if not is_dense(encoder.recipe.network, tile_size=grid.tile_size, stride=grid.stride):
        return plan_blocks(grid, n_times, n_bands=n_bands, block_bytes=block_bytes)
    step = Sheets.over(grid, n_times=n_times, n_features=encoder.n_features).rows * grid.n_cols
    return [Block(start, min(start + step, grid.n_tiles)) for start in range(0, grid.n_tiles, step)]


def encode_block(
    cube: xr.DataArray | TileReader,
    encoder: Encoder,
    grid: Grid,
    block: Block,
    *,
    min_valid: float = 0.5,
    fill: npt.NDArray[np.datetime64] | None = None,
    precision: Precision = "auto",
    batch_size: int | None = None,
) -> tuple[Float32, Float32]:
    """Embed the tiles of a block on every date; see `encode_blocks`."""
    (found,) = encode_blocks(
        cube, encoder, grid, [block], min_valid=min_valid, fill=fill, precision=precision, batch_size=batch_size
    )
    return found


def encode_blocks(
    cube: xr.DataArray | TileReader,
    encoder: Encoder,
    grid: Grid,
    blocks: Sequence[Block],
    *,
    min_valid: float = 0.5,
    fill: npt.NDArray[np.datetime64] | None = None,
    precision: Precision = "auto",
    batch_size: int | None = None,
) -> Iterator[tuple[Float32, Float32]]:
    """Embed the tiles of blocks on every date, block by block.

    Parameters
    ----------
    cube
        Cube (time, band, y, x), or a reader of it, which is reused from block to block.
    encoder
        What turns a tile into a vector.
    grid, blocks
        Which tiles.
    min_valid
        Share of valid pixels from which a tile counts on a date; a tile without any never does.
    fill
        The dates of the cube, where dates on which a tile does not count are to be filled, see `filled`; None: not.
    precision
        What the network's maps are held in where tiles are encoded one by one: ``auto``, ``float32`` or ``bfloat16``.
    batch_size
        Tiles in one run of the network; None: as usual (`quick.usual_batch`). Vectors may differ by rounding.

    Yields
    ------
    embedding
        Float32 (tile, time, feature), NaN where the tile does not count, unless filled.
    valid
        Float32 (tile, time): share of valid pixels, 0…1.

    Raises
    ------
    InputError
        Where cube, encoder and grid do not fit each other.
    """
    reader = as_reader(cube, encoder.tile_size)
    _check_fit(reader, encoder, grid)
    if is_dense(encoder.recipe.network, tile_size=grid.tile_size, stride=grid.stride):
        made: Iterator[tuple[Float32, Float32]] = (
            encode_tiles(reader, encoder, grid, block.start, block.stop, min_valid=min_valid) for block in blocks
        )
    else:
        quick = quickened(encoder, precision)
        batch = batch_size or usual_batch(quick.network, grid.tile_size, device=encoder.device.type)
        made = _one_by_one(reader, quick, grid, blocks, min_valid, batch)
    for embedding, valid in made:
        yield embedding if fill is None else filled(embedding, fill), valid


def filled(embedding: Float32, times: npt.NDArray[np.datetime64]) -> Float32:
    """Return series with missing dates filled along time.

    Parameters
    ----------
    embedding
        Float32 (tile, time, feature), NaN on the dates on which a tile does not count.
    times
        datetime64 (time,), rising.

    Returns
    -------
    Float32 (tile, time, feature): on a straight line in time between the dates before and after, or as on the nearest
    date where there is none on one side. A tile that counts on no date stays NaN.
    """
    result, days = embedding.copy(), times.astype("datetime64[s]").astype(np.float64)
    seen = np.asarray(np.isfinite(embedding).all(axis=2), dtype=np.bool_)
    for tile in np.flatnonzero(seen.any(axis=1) & ~seen.all(axis=1)):
        known, own = days[seen[tile]], embedding[tile, seen[tile]]
        after = np.searchsorted(known, days[~seen[tile]])
        low, high = np.maximum(after - 1, 0), np.minimum(after, len(known) - 1)
        span = np.maximum(known[high] - known[low], 1)
        share = np.clip((days[~seen[tile]] - known[low]) / span, 0, 1)[:, None]
        result[tile, ~seen[tile]] = (1 - share) * own[low] + share * own[high]
    return result


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Tiles of a block that were read, or, last, the block's shares of valid pixels."""

    chosen: npt.NDArray[np.intp]
    """Which tiles, counted over (tile · time)."""
    tiles: tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]
    """Values (n, band, y, x) and valid (n, y, x)."""
    share: Float32 | None = None
    """Valid share (tile · time,), once all tiles that count were read."""


def _one_by_one(
    reader: TileReader, encoder: Encoder, grid: Grid, blocks: Sequence[Block], min_valid: float, batch_size: int
) -> Iterator[tuple[Float32, Float32]]:
    """Embed the tiles of blocks one by one: embedding and valid share of each block, as `encode_blocks`."""
    read = (part for block in blocks for part in _read(reader, grid, block, min_valid, batch_size))
    left = iter(blocks)
    embedding: Float32 | None = None
    for part in ahead(read, depth=0 if reader.in_memory and encoder.device.type == "cpu" else READ_AHEAD):
        if embedding is None:
            shape = (len(next(left)), reader.n_times, encoder.n_features)
            embedding = np.full((shape[0] * shape[1], shape[2]), np.nan, np.float32)
        if len(part.chosen):
            embedding[part.chosen] = encoder.embed(*part.tiles, batch_size=batch_size)
        if part.share is not None:
            yield embedding.reshape(shape), part.share.reshape(shape[:2])
            embedding = None


def _read(reader: TileReader, grid: Grid, block: Block, min_valid: float, batch_size: int) -> Iterator[_Part]:
    """Read the tiles of a block that count, whole batches at a time, date by date, as cubes are stored."""
    places = np.repeat(grid.corners_of(block.start, block.stop), reader.n_times, axis=0)
    times = np.tile(np.arange(reader.n_times, dtype=np.int32), len(block))
    corners = np.column_stack([places, times])  # (tile · time, 3)
    share = reader.valid_share(corners)
    counting = np.flatnonzero((share >= min_valid) & (share > 0))
    counting = counting[np.argsort(times[counting], kind="stable")]
    step = batch_size * max(1, GATHERED_PIXELS // (batch_size * grid.tile_size**2))
    for start in range(0, max(len(counting), 1), step):
        chosen = counting[start : start + step]
        yield _Part(chosen, reader.read(corners[chosen]), share if start + step >= len(counting) else None)


def encode(
    cube: xr.DataArray,
    encoder: Encoder,
    *,
    stride: int | None = None,
    partial: Partial = "drop",
    min_valid: float = 0.5,
    grid: Grid | None = None,
    fill: bool = False,
    precision: Precision = "auto",
    track: Track = silent,
) -> xr.Dataset:
    """Turn every tile of a region into a series of vectors.

    Parameters
    ----------
    cube
        Cube (time, band, y, x) with the coordinate ``valid``; bands as the encoder's.
    encoder
        From `train_encoder` or `load_encoder`; it knows the tile size.
    stride
        Pixels from one tile to the next; None: the tile size.
    partial
        What becomes of tiles that are not wholly inside the region, as `Grid.over`.
    min_valid
        Share of valid pixels from which a tile counts on a date.
    grid
        The tiles, in place of ``stride`` and ``partial``: those of an earlier series.
    fill
        Whether dates on which a tile does not count are filled along time (`filled`). Not needed: everything that takes
        a series takes one with missing dates, too, and tells the difference.
    precision
        What the network's maps are held in: ``bfloat16``, which is quick where the machine multiplies it and moves
        vectors by less than `quick.NEAR` of their length; ``float32``; ``auto``, the first for TileNet where the
        machine has it (`machine.settled_precision`). Overlapping tiles that are encoded in one pass are in float32.
    track
        Told of the progress, block by block.

    Returns
    -------
    xarray.Dataset
        ``embedding`` float32 (tile, time, feature), NaN where a tile does not count, unless filled; ``valid`` float32
        (tile, time); coordinates and attributes as `taxoscape.contracts` says.

    Warns
    -----
    UserWarning
        Where overlapping tiles share little of the default network's work, see `dense.advice`; not where ``grid`` is
        given, whose stride was chosen before.

    Raises
    ------
    InputError
        Where not one tile fits, or the cube's bands are not the encoder's.

    Notes
    -----
    Holds the whole series in memory, 4 bytes per value; a runner that cannot uses `blocks_for` and `encode_blocks`.
    Source: METHOD step 3. The prototype mirrored the borders; here tiles lie inside or are masked.
    """
    check_cube(cube)
    if grid is None:
        grid = Grid.over(Lattice.of(cube), tile_size=encoder.tile_size, stride=stride, partial=partial)
        told = advice(encoder.recipe.network, tile_size=grid.tile_size, stride=grid.stride)
        if told:
            warnings.warn(told, stacklevel=2)
    reader = as_reader(cube, encoder.tile_size)
    blocks = blocks_for(encoder, grid, reader.n_times, n_bands=reader.n_bands)
    times = cube["time"].to_numpy() if fill else None
    done = encode_blocks(reader, encoder, grid, blocks, min_valid=min_valid, fill=times, precision=precision)
    parts = list(track(done, "encoding", len(blocks)))
    embedding, valid = (np.concatenate([part[i] for part in parts]) for i in range(2))
    made = series_dataset(embedding, valid, cube["time"], grid, encoder, min_valid=min_valid)
    return made.assign_attrs(filled=1) if fill else made


def series_dataset(
    embedding: Float32, valid: Float32, time: xr.DataArray, grid: Grid, encoder: Encoder, *, min_valid: float
) -> xr.Dataset:
    """Return arrays of a series with coordinates and attributes as `taxoscape.contracts` says."""
    return xr.Dataset(
        {"embedding": (SERIES_DIMS, embedding), "valid": (SERIES_DIMS[:2], valid)},
        coords={**tile_coordinates(grid), "time": time.to_numpy()},
        attrs={"grid": grid.to_json(), "min_valid": float(min_valid), "encoder": json.dumps(encoder.description)},
    )


def _check_fit(reader: TileReader, encoder: Encoder, grid: Grid) -> None:
    if reader.bands != encoder.bands:
        raise InputError(f"the encoder was made for the bands {encoder.bands}, the cube has {reader.bands} (--bands)")
    if grid.tile_size != encoder.tile_size:
        raise InputError(
            f"the grid has tiles of {grid.tile_size} px, the encoder takes {encoder.tile_size} px (--tile-size)"
        )
