"""Pixels for the figures: the region from above, and tiles through the dates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.cube.bands import pick_bands
from taxoscape.cube.spectral import BLUE, GREEN, RED, last_word
from taxoscape.embedding.tiles import TileReader
from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice
from taxoscape.publish.canvas import Picture
from taxoscape.publish.figures import choose_dates
from taxoscape.publish.pictures import stretch, stretch_limits

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

PICTURE_PX = 1200
"""Longest edge of the region's picture, about."""

RED_GREEN_BLUE = (RED, GREEN, BLUE)
"""Last words of the names of the bands that are red, green and blue, as Sentinel-2, Landsat 8 and people call them."""


def picture_bands(bands: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[list[int], str]:
    """Return which bands make a picture, as indices, and what such a picture is called.

    Parameters
    ----------
    bands
        Names of the bands of the cube.
    wanted
        Three or one of them by name or 1-based number; empty: red, green and blue by name, else the first three, else
        the first.

    Raises
    ------
    InputError
        Where ``wanted`` has another length or a band is not there.

    Examples
    --------
    >>> picture_bands(("B02", "B03", "B04", "B08"), ())
    ([2, 1, 0], 'True colour')
    >>> picture_bands(("NDVI",), ())
    ([0], 'Band NDVI')
    """
    if wanted:
        if len(wanted) not in (1, 3):
            raise InputError(f"a picture has three bands or one, not {len(wanted)} (--rgb)")
        chosen = pick_bands(bands, wanted)
    else:
        named = [[band for band in bands if last_word(band) in names] for names in RED_GREEN_BLUE]
        chosen = tuple(found[0] for found in named) if all(named) else bands[:3] if len(bands) >= 3 else bands[:1]
    indices = [bands.index(name) for name in chosen]
    if len(chosen) == 1:
        return indices, f"Band {chosen[0]}"
    true = all(last_word(name) in names for name, names in zip(chosen, RED_GREEN_BLUE, strict=True))
    return indices, "True colour" if true else f"Bands {', '.join(chosen)} as red, green, blue"


def region_picture(cube: xr.DataArray, grid: Grid, share: npt.NDArray[Any], bands: list[int]) -> tuple[Picture, str]:
    """Return the region from above on its clearest date, thinned to about 1 200 pixels, and the date in words.

    Parameters
    ----------
    cube
        The scenes: (time, band, y, x).
    grid
        The tiles; the picture covers their cells.
    share
        Real (tile, time): valid share of each tile; the date with the highest mean is shown, of equals the middle one.
    bands
        Three bands or one, as indices.
    """
    means = share.mean(axis=0)
    clearest = np.flatnonzero(means >= means.max() - 1e-6)
    time = int(clearest[len(clearest) // 2])
    row, col = (int(v) + (grid.tile_size - grid.stride) // 2 for v in grid.corners[0])
    height, width = grid.n_rows * grid.stride, grid.n_cols * grid.stride
    step = max(1, -(-max(height, width) // PICTURE_PX))
    rows, cols = _inside(row, height, cube.sizes["y"]), _inside(col, width, cube.sizes["x"])
    part = cube.isel(time=time, band=bands, y=slice(rows[0], rows[1], step), x=slice(cols[0], cols[1], step))
    rgb = stretch(part.to_numpy(), part["valid"].to_numpy())
    whole = Lattice.of(cube)
    bounds = (
        whole.x0 + cols[0] * whole.dx,
        whole.y0 - rows[1] * whole.dy,
        whole.x0 + cols[1] * whole.dx,
        whole.y0 - rows[0] * whole.dy,
    )
    return Picture(rgb=rgb, bounds=bounds), _date_words(cube["time"].to_numpy()[time])


def strip_images(
    cube: xr.DataArray, grid: Grid, tiles: npt.NDArray[np.int64], counts: npt.NDArray[np.bool_], bands: list[int]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], npt.NDArray[np.datetime64]]:
    """Return the images of tiles over at most ten dates, all under the same stretch.

    Parameters
    ----------
    cube, grid
        The scenes and the tiles.
    tiles
        int64 (zone, representative): tile indices, −1 for none.
    counts
        bool (tile, time): whether the tile counts on the date.
    bands
        Three bands or one, as indices.

    Returns
    -------
    uint8 (zone, representative, time, y, x, 3); bool (zone, representative, time), whether there is an image;
    datetime64 (time,).
    """
    which = choose_dates(cube.sizes["time"])
    reader = TileReader(cube, grid.tile_size, memory=0)  # a few tiles alone
    flat = tiles.ravel()
    corners = np.repeat(grid.corners[np.maximum(flat, 0)], len(which), axis=0)
    table = np.column_stack([corners, np.tile(which, len(flat))]).astype(np.int32)
    values, valid = reader.read(table)
    values = values[:, bands]
    exists = np.repeat(flat >= 0, len(which))
    limits = stretch_limits(values[exists], valid[exists]) if exists.any() else None
    rgb = stretch(values, valid, limits=limits)
    shape = (*tiles.shape, len(which))
    seen = (counts[np.maximum(flat, 0)][:, which].ravel() & exists).reshape(shape)
    return rgb.reshape(*shape, *rgb.shape[1:]), seen, cube["time"].to_numpy()[which]


def _inside(start: int, length: int, size: int) -> tuple[int, int]:
    return max(start, 0), min(start + length, size)


def _date_words(date: np.datetime64) -> str:
    day = date.astype("datetime64[D]").item()
    return f"{day.day} {day:%B %Y}"
