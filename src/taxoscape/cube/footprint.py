"""Where tiles and rasters lie, in whatever CRS: known from headers alone, before any pixel is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pyproj import CRS

    from taxoscape.cube.rasters import Header
    from taxoscape.grid import Grid

Bounds = tuple[float, float, float, float]
"""West, south, east, north, in the units of a CRS."""

EVERYWHERE: Bounds = (-1e9, -1e9, 1e9, 1e9)
"""Bounds where none can be told."""


def bounds_of(grid: Grid) -> Bounds:
    """Return the bounds of the whole tiles of a grid, in its CRS."""
    corners, size = grid.corners.astype(np.int64), grid.tile_size
    (top, left), (bottom, right) = corners[0], corners[-1] + size
    area = grid.lattice.window(int(top), int(left), int(bottom - top), int(right - left))
    return area.x0, area.y0 - area.height * area.dy, area.x0 + area.width * area.dx, area.y0


def bounds_in(crs: str, grid: Grid) -> Bounds:
    """Return the bounds of the tiles of a grid in another CRS; `EVERYWHERE` where they cannot be told.

    They cannot where the CRS does not reach the tiles, or the tiles lie across its antimeridian.
    """
    from pyproj import CRS

    return bounds_between(bounds_of(grid), CRS.from_wkt(grid.lattice.crs), CRS.from_user_input(crs))


def bounds_between(bounds: Bounds, source: CRS, target: CRS) -> Bounds:
    """Return bounds in another CRS; `EVERYWHERE` where they cannot be told, as in `bounds_in`."""
    from pyproj import Transformer

    if source == target:
        return bounds
    west, south, east, north = Transformer.from_crs(source, target, always_xy=True).transform_bounds(*bounds)
    if not np.isfinite([west, south, east, north]).all() or west > east:
        return EVERYWHERE
    return west, south, east, north


def may_overlap(header: Header, grid: Grid) -> bool:
    """Whether a referenced raster may have a pixel in the bounds of the tiles of a grid."""
    assert header.crs is not None
    a, b, c, d, e, f = header.transform
    cols, rows = np.array([0, header.width, 0, header.width]), np.array([0, 0, header.height, header.height])
    x, y = a * cols + b * rows + c, d * cols + e * rows + f
    west, south, east, north = bounds_in(header.crs, grid)
    return bool(x.min() < east and x.max() > west and y.min() < north and y.max() > south)
