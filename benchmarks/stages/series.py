"""Series that are made up for measurements: around centres, in stripes of zones, in memory or stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pyproj import CRS

from taxoscape.grid import Grid, Lattice

Blocks = Iterator[np.ndarray[Any, np.dtype[np.float32]]]


def made_up(grid: Grid, times: int, features: int, *, zones: int, tiles: int) -> Blocks:
    """Yield float32 (tile, time, feature), some tiles at a time: centres of deviation 2, noise of deviation 2."""
    generator = np.random.default_rng(0)
    centres = 2 * generator.standard_normal((zones, times, features), dtype=np.float32)
    for begin in range(0, grid.n_tiles, tiles):
        rows = np.arange(begin, min(begin + tiles, grid.n_tiles)) // grid.n_cols
        noise = generator.standard_normal((len(rows), times, features), dtype=np.float32)
        yield centres[rows * zones // grid.n_rows] + 2 * noise


def a_grid(edge: int) -> Grid:
    """Return edge × edge tiles of 1 km."""
    lattice = Lattice(
        crs=CRS.from_epsg(32630).to_wkt(), x0=500_000, y0=4_700_000, dx=1000, dy=1000, height=edge, width=edge
    )
    return Grid.over(lattice, tile_size=1)


@contextmanager
def stored_series(edge: int, times: int, features: int, *, zones: int, chunk: int) -> Iterator[Path]:
    """Store a made-up series of edge × edge tiles, ``chunk`` tiles in a piece as ``encode`` stores them."""
    from taxoscape.run.store import create_series, finish_series

    grid, dates = a_grid(edge), np.datetime64("2024-01-05", "ns") + 15 * np.arange(times) * np.timedelta64(1, "D")
    with TemporaryDirectory() as home:
        path, begin = Path(home) / "series.zarr", 0
        embedding, valid = create_series(path, grid, dates, features, chunk)
        for block in made_up(grid, times, features, zones=zones, tiles=4 * chunk):
            embedding[begin : begin + len(block)] = block
            valid[begin : begin + len(block)] = 1
            begin += len(block)
        finish_series(path, grid, dates, {"grid": grid.to_json(), "min_valid": 0.5})
        yield path
