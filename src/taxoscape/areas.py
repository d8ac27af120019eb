"""True areas and lengths on the ground, whatever the CRS.

Three cases. In a **projected** CRS that keeps areas well (UTM, equal-area ones) a cell is exactly ``dx · dy`` in the
unit of the CRS, metres or feet. Where the projection is off by more than `AREA_TOLERANCE` anywhere in the region
(web Mercator away from the equator) every cell is measured on the ellipsoid. In a **geographic** CRS the area
of a cell between two parallels has a closed form, one value per row.

Measuring on the ellipsoid goes by way of the *authalic sphere*: latitudes are changed so that areas on a sphere equal
areas on the ellipsoid (Snyder, *Map Projections*, 1987, eqs 3-11 to 3-13). A cell becomes a patch of that sphere,
cut into small triangles whose solid angles are added (Van Oosterom and Strackee 1983). Poles and the antimeridian
need no exception that way, and edges are the cell's own, not geodesics between its corners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.grid import Grid, Lattice

if TYPE_CHECKING:
    import numpy.typing as npt
    from pyproj import CRS

    Floats = npt.NDArray[np.float64]

AREA_TOLERANCE = 0.01
"""Share by which planar and true area of a cell may differ before true ones are used."""

PIECES = 4
"""A cell is cut into this many pieces along each axis to follow its curved edges."""

_BLOCK = 20_000
"""Cells measured at once: bounds memory to about 100 MB."""


def cell_areas_km2(grid: Grid) -> Floats:
    """Return the area of each tile's cell on the ground.

    Parameters
    ----------
    grid
        The tile grid; a cell is ``stride × stride`` pixels.

    Returns
    -------
    numpy.ndarray
        float64 (tile,), km².

    Notes
    -----
    Where a cell lies off the globe (corners of a sinusoidal map), its planar area stands in.
    """
    from pyproj import CRS

    cells = grid.cells
    crs = CRS.from_wkt(cells.crs)
    if crs.is_geographic:
        return np.repeat(_areas_by_row(crs, cells), cells.width)
    planar = cells.dx * cells.dy * _unit(crs) ** 2 / 1e6
    if crs.geodetic_crs is None or _keeps_areas(crs, cells, planar):
        return np.full(grid.n_tiles, planar)
    step = max(1, _BLOCK // cells.width)
    blocks = [
        _areas_on_ellipsoid(crs, cells, np.arange(row, min(row + step, cells.height)), np.arange(cells.width))
        for row in range(0, cells.height, step)
    ]
    areas = np.concatenate(blocks).ravel()
    return np.where(np.isfinite(areas), areas, planar)


def ground_size_km(lattice: Lattice) -> tuple[float, float]:
    """Return ``(height, width)`` of a lattice on the ground in km, measured along its middle column and row."""
    from pyproj import CRS

    crs = CRS.from_wkt(lattice.crs)
    steps = np.linspace(0.0, 1.0, 33)
    x = lattice.x0 + lattice.width * lattice.dx * steps
    y = lattice.y0 - lattice.height * lattice.dy * steps
    middle = np.full_like(steps, 0.5)
    lines = ((np.full_like(x, np.median(x)), y), (x, np.full_like(y, np.median(y))))
    planar = (lattice.height * lattice.dy, lattice.width * lattice.dx)
    if crs.geodetic_crs is None:
        return planar[0] * _unit(crs) / 1e3, planar[1] * _unit(crs) / 1e3
    geod = crs.get_geod()
    lengths = []
    for (xs, ys), flat in zip(lines, planar, strict=True):
        lon, lat = _to_degrees(crs, xs, ys)
        inside = np.isfinite(lon) & np.isfinite(lat)
        if geod is not None and inside.sum() > 1:
            share = (inside.sum() - 1) / (middle.size - 1)
            lengths.append(float(geod.line_length(lon[inside], lat[inside])) / 1e3 / share)
        else:
            lengths.append(flat * _unit(crs) / 1e3)
    return lengths[0], lengths[1]


def _unit(crs: CRS) -> float:
    """Return metres (or radians) per unit of the first axis of a CRS."""
    return float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0


def _keeps_areas(crs: CRS, cells: Lattice, planar: float) -> bool:
    rows = np.unique(np.linspace(0, cells.height - 1, 5).astype(int))
    cols = np.unique(np.linspace(0, cells.width - 1, 5).astype(int))
    true = _areas_on_ellipsoid(crs, cells, rows, cols)
    true = true[np.isfinite(true)]
    return bool(np.all(np.abs(planar / true - 1) <= AREA_TOLERANCE))


def _areas_by_row(crs: CRS, cells: Lattice) -> Floats:
    """Return the area of a cell in each row of a geographic lattice: float64 (row,), km²."""
    edges = (cells.y0 - cells.dy * np.arange(cells.height + 1)) * _unit(crs)
    sines, radius = _authalic(crs, np.clip(edges, -np.pi / 2, np.pi / 2))
    return radius**2 * cells.dx * _unit(crs) * -np.diff(sines) / 1e6


def _areas_on_ellipsoid(crs: CRS, cells: Lattice, rows: npt.NDArray[Any], cols: npt.NDArray[Any]) -> Floats:
    """Return the areas of the cells at ``rows`` × ``cols``: float64 (row, col), km²; NaN off the globe."""
    pieces = np.linspace(0.0, 1.0, PIECES + 1)
    y = cells.y0 - (rows[:, None] + pieces) * cells.dy
    x = cells.x0 + (cols[:, None] + pieces) * cells.dx
    yy, xx = np.broadcast_arrays(y[:, None, :, None], x[None, :, None, :])  # (row, col, piece + 1, piece + 1)
    lon, lat = _to_degrees(crs, xx, yy)
    lon, lat = (np.where(np.isfinite(lon) & np.isfinite(lat), v, np.nan) for v in (lon, lat))
    sines, radius = _authalic(crs, np.radians(lat))
    cosines = np.sqrt((1 - sines) * (1 + sines))
    points = np.stack([cosines * np.cos(np.radians(lon)), cosines * np.sin(np.radians(lon)), sines], axis=-1)
    a, b = points[..., :-1, :-1, :], points[..., :-1, 1:, :]
    c, d = points[..., 1:, 1:, :], points[..., 1:, :-1, :]
    angles = _solid_angle(a, b, c) + _solid_angle(a, c, d)
    return np.asarray(radius**2 * angles.sum(axis=(-1, -2)) / 1e6)


def _solid_angle(a: Floats, b: Floats, c: Floats) -> Floats:
    """Return the solid angles of spherical triangles with unit vectors as corners."""
    volume = np.abs(np.sum(a * np.cross(b - a, c - a), axis=-1))
    return np.asarray(2 * np.arctan2(volume, 1 + np.sum(a * b + b * c + c * a, axis=-1)))


def _authalic(crs: CRS, latitude: Floats) -> tuple[Floats, float]:
    """Return the sines of the authalic latitudes of latitudes in radians, and the authalic radius in metres."""
    geod = crs.get_geod()
    if geod is None:
        raise ValueError(f"the CRS has no ellipsoid: {crs.name}")
    e = float(np.sqrt(geod.es))

    def q(sine: Any) -> Any:
        return 2 * sine if e == 0 else (1 - e * e) * (sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e)

    at_pole = float(q(1.0))
    return np.asarray(q(np.sin(latitude)) / at_pole), float(geod.a * np.sqrt(at_pole / 2))


def _to_degrees(crs: CRS, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return longitudes and latitudes in degrees on the CRS's own datum; not finite off the globe."""
    from pyproj import Transformer

    geodetic = crs.geodetic_crs
    assert geodetic is not None  # callers have looked
    to_degrees = np.degrees(_unit(geodetic))
    if crs.is_geographic:
        return x * to_degrees, y * to_degrees
    lon, lat = Transformer.from_crs(crs, geodetic, always_xy=True).transform(x, y)
    return np.asarray(lon) * to_degrees, np.asarray(lat) * to_degrees
