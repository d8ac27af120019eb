"""Blocks of a run on workers: each is a function of paths and the number of the block, and writes its own chunk.

A worker keeps open what the block before needed (`taxoscape.executor.kept_open`). Before it writes, it looks whether
the work that it was sent for still stands (`Place.check`): one that was cut off and comes back late must not write into
what was begun anew meanwhile under other settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from taxoscape.analysis.baselines import DateBlock, block_moments
from taxoscape.embedding.encoding import Block, encode_blocks
from taxoscape.executor import kept_open
from taxoscape.grid import Grid
from taxoscape.run.folder import RunFolder
from taxoscape.run.outcome import Place
from taxoscape.run.results import open_cube
from taxoscape.run.store import open_series

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import xarray as xr
    import zarr

    from taxoscape.analysis.baselines import Moments
    from taxoscape.config import Precision
    from taxoscape.embedding.encoder import Encoder
    from taxoscape.embedding.tiles import TileReader

WORKER_BYTES = 256 * 2**20
"""Bytes up to which a worker loads a cube whole, see `taxoscape.embedding.tiles`: it has a few blocks of it to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """A series in the making, in paths and numbers."""

    place: Place
    """Where."""
    encoder: str
    """File of the encoder, absolute."""
    series: str
    """The store that is being written, absolute."""
    grid: str
    """The tiles, as `Grid.to_json`."""
    step: int
    """Tiles in a block."""
    min_valid: float
    """Share of valid pixels from which a tile counts on a date."""
    fill: bool
    """Whether missing dates are filled along time."""
    device: Literal["auto", "cpu", "cuda"]
    """Where the network runs; ``auto``: on the worker's GPU where it has one."""
    precision: Precision
    """What the network's maps are held in."""
    batch_size: int | None
    """Tiles in one run of the network; None: as usual where it runs."""


@dataclass(frozen=True, kw_only=True)
class SeriesWriter:
    """Encodes blocks of tiles and writes them to a series store, from what is open."""

    reader: TileReader
    """The cube, read in tiles."""
    times: npt.NDArray[np.datetime64]
    """Its dates."""
    encoder: Encoder
    """What turns tiles into vectors."""
    about: Encoding
    """The series."""

    @cached_property
    def grid(self) -> Grid:
        """The tiles."""
        return Grid.from_json(self.about.grid)

    @cached_property
    def stores(self) -> tuple[zarr.Array[Any], zarr.Array[Any]]:
        """The arrays ``embedding`` and ``valid`` that are written to."""
        return open_series(Path(self.about.series))

    def write(self, numbers: Sequence[int]) -> Iterator[int]:
        """Encode blocks and write them, and yield the number of each that is there.

        ``valid`` is written last, which says that a block is there (`taxoscape.run.store.written`).
        """
        about, (store_embedding, store_valid) = self.about, self.stores
        starts = [number * about.step for number in numbers]
        blocks = [Block(start, min(start + about.step, self.grid.n_tiles)) for start in starts]
        made = encode_blocks(
            self.reader, self.encoder, self.grid, blocks, min_valid=about.min_valid,
            fill=self.times if about.fill else None, precision=about.precision, batch_size=about.batch_size,
        )  # fmt: skip
        for number, block, (embedding, valid) in zip(numbers, blocks, made, strict=True):
            about.place.check()
            store_embedding[block.start : block.stop] = embedding
            store_valid[block.start : block.stop] = valid
            yield number


def encode_there(about: Encoding, number: int) -> None:
    """Encode and write one block of a series, on a worker."""
    about.place.check()
    for _ in kept_open(_open_writer, about).write([number]):
        pass


def _open_writer(about: Encoding) -> SeriesWriter:
    """Open what the blocks of a series need."""
    from taxoscape.embedding.encoder import load_encoder
    from taxoscape.embedding.machine import settled_device
    from taxoscape.embedding.tiles import TileReader

    cube: xr.DataArray = open_cube(RunFolder(about.place.run))
    encoder = load_encoder(about.encoder, device=settled_device(about.device))
    reader = TileReader(cube, encoder.tile_size, memory=WORKER_BYTES)
    return SeriesWriter(reader=reader, times=cube["time"].to_numpy(), encoder=encoder, about=about)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """The statistics of bands in tiles, in the making."""

    place: Place
    """Where."""
    grid: str
    """The tiles, as `Grid.to_json`."""
    min_valid: float
    """Share of valid pixels from which a tile counts on a date."""


def measure_there(about: Measuring, block: DateBlock) -> Moments:
    """Return the mean and the deviation of each band in the tiles of a block of one date, on a worker."""
    about.place.check()
    reader, grid = kept_open(_open_tiles, about)
    return block_moments(reader, grid, about.min_valid, True, block)  # noqa: FBT003


def _open_tiles(about: Measuring) -> tuple[TileReader, Grid]:
    from taxoscape.embedding.tiles import TileReader

    grid = Grid.from_json(about.grid)
    return TileReader(open_cube(RunFolder(about.place.run)), grid.tile_size, memory=WORKER_BYTES), grid
