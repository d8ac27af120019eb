"""What plain colours would give: the series of tile means, to be clustered like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from taxoscape.contracts import check_cube, tile_coordinates
from taxoscape.embedding.encoding import plan_blocks
from taxoscape.embedding.tiles import TileReader
from taxoscape.progress import Track, silent

if TYPE_CHECKING:
    import xarray as xr

    from taxoscape.grid import Grid


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

    check_cube(cube)
    reader = TileReader(cube, grid.tile_size)
    times, bands = cube.sizes["time"], cube.sizes["band"]
    means = np.full((grid.n_tiles, times, bands), np.nan, dtype=np.float32)
    share = np.zeros((grid.n_tiles, times), dtype=np.float32)
    corners = grid.corners
    blocks = plan_blocks(grid, times, n_bands=bands)
    for block in track(blocks, "tile means", len(blocks)):
        for time in range(times):
            part = corners[block.start : block.stop]
            values, valid = reader.read(np.column_stack([part, np.full(len(part), time, dtype=np.int32)]))
            known = valid[:, None]
            sums = np.where(known, values, 0).sum(axis=(2, 3), dtype=np.float64)
            fraction = valid.mean(axis=(1, 2))
            mean = sums / np.maximum(valid.sum(axis=(1, 2)), 1)[:, None]
            counts = (fraction >= min_valid) & (fraction > 0)
            means[block.start : block.stop, time] = np.where(counts[:, None], mean, np.nan)
            share[block.start : block.stop, time] = fraction
    return xr.Dataset(
        {"embedding": (("tile", "time", "feature"), means), "valid": (("tile", "time"), share)},
        coords={**tile_coordinates(grid), "time": cube["time"].to_numpy()},
        attrs={"grid": grid.to_json(), "min_valid": min_valid, "encoder": "tile means"},
    )
