"""Several regions as one cube, so that one encoder and one partition are made of all of them.

The regions lie below one another on a joined lattice, with gaps of invalid pixels between them. Each lies so that its
own tiles are tiles of the joined grid: such a tile is either exactly a tile of one region or has no valid pixel at
all. The gaps are so wide that no tile at any pixel touches two regions, and that no neighbour drawn by geography lies
in another region than its anchor; distant tiles may. So triplets, training, encoding, clustering and refinement work
on a joined cube as on any other, and `split` gives each region its share of a result back, on its own grid.

The place of the joined lattice means nothing: its CRS is an engineering one, without a place on Earth, whatever the
CRSs of the regions are, so that no map of it can be laid over another by mistake. The edge of its pixels is the mean of
the regions' on the ground, so that areas taken on it are true in total; those of a region come from its own grid.

Dates are paired by their order: the first of every region, the second of every region, and so on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.areas import cell_areas_km2, ground_size_km
from taxoscape.contracts import check_cube, grid_of, tile_coordinates
from taxoscape.cube.box import Box
from taxoscape.cube.lazy import assemble
from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice, Partial

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

STAND_IN_CRS = (
    'ENGCRS["regions side by side",EDATUM["no place on Earth"],CS[Cartesian,2],AXIS["easting",east,ORDER[1]],'
    'AXIS["northing",north,ORDER[2]],LENGTHUNIT["metre",1]]'
)
"""CRS of a joined lattice, as WKT."""
PIXEL_TOLERANCE = 0.01
"""Share by which the pixel sizes of regions may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a region lies in a joined cube."""

    name: str
    """Name of the region."""
    grid: Grid
    """The region's own grid of tiles."""
    row: int
    """Row of tiles of the joined grid in which its first row of tiles lies."""
    col: int
    """Column of tiles of the joined grid in which its first column of tiles lies."""
    dates: tuple[str, ...]
    """Its own dates, ISO, in order."""

    def tiles(self, joined_grid: Grid) -> npt.NDArray[np.int64]:
        """Return the number in the joined grid of each own tile: int64 (own tile,), in the order of the own grid.

        Raises
        ------
        InputError
            Where the region does not lie on the grid given.
        """
        own = self.grid
        top, left = self.row - joined_grid.first_row, self.col - joined_grid.first_col
        fits = 0 <= top <= joined_grid.n_rows - own.n_rows and 0 <= left <= joined_grid.n_cols - own.n_cols
        sizes = {own.tile_size, own.stride, joined_grid.tile_size, joined_grid.stride}
        if not fits or len(sizes) > 1 or joined_grid.lattice.crs != STAND_IN_CRS:
            raise InputError(
                f"the region '{self.name}' lies at tile ({self.row}, {self.col}) of a joined grid, but this grid of "
                f"{joined_grid.n_rows} × {joined_grid.n_cols} tiles is not the one that it was placed on: take a "
                "result that was made of the joined cube"
            )
        rows, cols = np.arange(top, top + own.n_rows), np.arange(left, left + own.n_cols)
        return np.asarray(rows[:, None] * joined_grid.n_cols + cols, dtype=np.int64).ravel()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Joined:
    """Several regions as one cube."""

    cube: xr.DataArray
    """The cube (time, band, y, x), lazy; ``time`` holds the dates of the first region."""
    placements: tuple[Placement, ...]
    """Where each region lies in it, from top to bottom."""

    @property
    def grid(self) -> Grid:
        """The joined grid of tiles."""
        return Grid.over(Lattice.of(self.cube), tile_size=self.placements[0].grid.tile_size)


def join_cubes(
    cubes: Mapping[str, xr.DataArray],
    *,
    tile_size: int,
    neighbourhood_px: int | None = None,
    partial: Partial = "drop",
) -> Joined:
    """Lay the cubes of several regions below one another in one cube.

    Parameters
    ----------
    cubes
        A cube (time, band, y, x) by the name of its region, in the order in which they are to lie.
    tile_size
        Edge of a tile in pixels, which is the stride too.
    neighbourhood_px
        Largest offset of a neighbour in geographic triplets; None: the tile size.
    partial
        What becomes of tiles that are not wholly inside their region: ``"drop"`` crops a region to its whole tiles,
        ``"keep"`` adds invalid pixels around it.

    Returns
    -------
    Joined
        The cube is as lazy as those given: reading a window reads the regions that it meets; elsewhere pixels are 0
        and not valid. Its attribute ``regions`` holds their names, ``nodata`` their common value, or None.

    Raises
    ------
    InputError
        Where there is no region, a cube breaks its contract or holds no whole tile, or regions differ in bands, dtype,
        number of dates, or by more than 1 % in pixel size: in the units of their CRS where it is one, else on the
        ground.

    Notes
    -----
    The gap between two regions is one tile and the larger of a tile and the neighbourhood, in whole tiles. Gaps, and
    what narrower regions lack in width, are tiles without data: they are not sent through a network, but take room in
    a series. Blocks of a joined cube do not coincide with the chunks that a region is stored in, so that a reader of
    blocks decodes up to four chunks for each.
    """
    _check_regions(cubes)
    grids = {name: _grid(name, cube, tile_size, partial) for name, cube in cubes.items()}
    reach = tile_size if neighbourhood_px is None else int(neighbourhood_px)
    gap = 1 + max(1, math.ceil(reach / tile_size))
    placements, parts, row = [], [], 0
    for name, cube in cubes.items():
        grid = grids[name]
        dates = tuple(str(date) for date in cube["time"].to_numpy().astype("datetime64[ns]"))
        placements.append(Placement(name=name, grid=grid, row=row, col=0, dates=dates))
        parts.append(_part(cube, grid, row * tile_size))
        row += grid.n_rows + gap
    first_name, first = next(iter(cubes.items()))
    lattice = _stand_in(list(grids.values()), height=(row - gap) * tile_size)
    cube = assemble(
        _Parts(parts=tuple(parts), dtype=first.dtype),
        dtype=str(first.dtype),
        times=first["time"].to_numpy(),
        bands=[str(band) for band in first["band"].to_numpy()],
        lattice=lattice,
        nodata=_common_nodata(list(cubes.values())),
    )
    cube.attrs["regions"] = list(cubes)
    cube.coords["time"].attrs["comment"] = f"dates of '{first_name}'; those of other regions are paired by their order"
    return Joined(cube=cube, placements=tuple(placements))


def split(dataset: xr.Dataset, placement: Placement) -> xr.Dataset:
    """Return the part of a series or partition of a joined cube that belongs to one region.

    Parameters
    ----------
    dataset
        Series or zones on the joined grid, as `taxoscape.contracts` says.
    placement
        Where the region lies.

    Returns
    -------
    Dataset with the tiles of the region's own grid, in its order, its own coordinates and dates. Zones keep their
    numbers and centroids; ``inertia_mean`` is that of the region's tiles (NaN where none is in a zone). As lazy as
    ``dataset`` was.

    Raises
    ------
    InputError
        Where the dataset is not on the joined grid of the region, or has another number of dates.
    """
    chosen = placement.tiles(grid_of(dataset))
    if dataset.sizes["time"] != len(placement.dates):
        raise InputError(
            f"the dataset has {dataset.sizes['time']} dates, the region '{placement.name}' has "
            f"{len(placement.dates)}: take a result that was made of the joined cube"
        )
    dates = np.array(placement.dates, "datetime64[ns]")
    part = dataset.isel(tile=chosen).assign_coords({**tile_coordinates(placement.grid), "time": dates})
    part.attrs = {**dataset.attrs, "grid": placement.grid.to_json()}
    if "inertia_mean" in part.attrs and "labels" in part:
        labels = part["labels"].to_numpy().astype(np.int64)
        placed = np.flatnonzero(labels)
        own = part["distances"].to_numpy()[placed, labels[placed] - 1].astype(np.float64)
        part.attrs["inertia_mean"] = float((own**2).mean()) if placed.size else math.nan
    return part


def placements_to_json(placements: Sequence[Placement]) -> str:
    """Return placements as JSON."""
    return json.dumps([asdict(placement) for placement in placements], indent=1)


def placements_from_json(text: str) -> tuple[Placement, ...]:
    """Return the placements that `placements_to_json` wrote.

    Raises
    ------
    InputError
        Where the text is something else.
    """
    try:
        return tuple(
            Placement(**{**entry, "grid": Grid.from_json(json.dumps(entry["grid"])), "dates": tuple(entry["dates"])})
            for entry in json.loads(text)
        )
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"the placements of the regions cannot be read ({error!r}): make the cube anew (taxoscape run --overwrite)"
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A region in a joined cube."""

    scenes: xr.Variable
    """(time, band, y, x) of the region."""
    valid: xr.Variable
    """(time, y, x) of the region."""
    place: Box
    """Pixels of the joined lattice that it fills."""
    origin: Box
    """Where the first pixel of the region lies on the joined lattice; it may lie outside of ``place``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """Reads windows of several regions; `taxoscape.cube.lazy.Reader`."""

    parts: tuple[_Part, ...]
    dtype: np.dtype[Any]

    def values(self, time: int, bands: Sequence[int], box: Box) -> npt.NDArray[Any]:
        """Read bands of a date in a window: (band, row, col)."""
        window = np.zeros((len(bands), *box[2:]), self.dtype)
        for part, here, there in self._met(box):
            whole = list(bands) == list(range(part.scenes.shape[1]))
            key = slice(None) if whole else np.asarray(bands, dtype=np.intp)
            window[:, *here] = part.scenes[time, key, *there].to_numpy()
        return window

    def valid(self, time: int, box: Box) -> npt.NDArray[np.bool_]:
        """Read which pixels of a date can be used in a window: bool (row, col)."""
        window = np.zeros(box[2:], np.bool_)
        for part, here, there in self._met(box):
            window[here] = part.valid[time, *there].to_numpy()
        return window

    def _met(self, box: Box) -> Iterator[tuple[_Part, tuple[slice, slice], tuple[slice, slice]]]:
        """Yield the regions that a window meets, with the pixels of the window and of the region that coincide."""
        for part in self.parts:
            shared = part.place.intersect(box)
            if not shared.is_empty:
                yield part, shared.relative_to(box).slices, shared.relative_to(part.origin).slices


def _part(cube: xr.DataArray, grid: Grid, top: int) -> _Part:
    """Return a region whose first row of tiles lies at a row of pixels of the joined lattice."""
    height, width = (int(n) for n in cube.shape[-2:])
    row, col = (int(n) for n in grid.corners[0])
    origin = Box(top - row, -col, height, width)
    place = origin.intersect(Box(top, 0, grid.n_rows * grid.tile_size, grid.n_cols * grid.tile_size))
    return _Part(scenes=cube.variable, valid=cube["valid"].variable, place=place, origin=origin)


def _grid(name: str, cube: xr.DataArray, tile_size: int, partial: Partial) -> Grid:
    try:
        return Grid.over(Lattice.of(cube), tile_size=tile_size, partial=partial)
    except InputError as error:
        raise InputError(f"region '{name}': {error}") from None


def _stand_in(grids: Sequence[Grid], *, height: int) -> Lattice:
    """Return the joined lattice; its pixels are as large as the regions' are on the ground in the mean."""
    tile_size = grids[0].tile_size
    area_m2 = 1e6 * sum(float(cell_areas_km2(grid).sum()) for grid in grids) / sum(grid.n_tiles for grid in grids)
    edge = float(f"{math.sqrt(area_m2) / tile_size:.9g}")
    width = max(grid.n_cols for grid in grids) * tile_size
    return Lattice(crs=STAND_IN_CRS, x0=0.0, y0=0.0, dx=edge, dy=edge, height=height, width=width)


def _common_nodata(cubes: Sequence[xr.DataArray]) -> float | None:
    """Return the nodata that all cubes have, or None."""
    found = {"nan" if value is not None and math.isnan(value) else value for value in map(_nodata, cubes)}
    return _nodata(cubes[0]) if len(found) == 1 else None


def _nodata(cube: xr.DataArray) -> float | None:
    value: float | None = cube.attrs.get("nodata")
    return value


def _check_regions(cubes: Mapping[str, xr.DataArray]) -> None:
    """Raise `InputError` unless there are regions, and they are alike in all that one encoder and partition need."""
    if not cubes:
        raise InputError("there is no region to join: give one cube at least")
    for name, cube in cubes.items():
        try:
            check_cube(cube)
        except InputError as error:
            raise InputError(f"region '{name}': {error}") from None
    lengths = {name: cube.sizes["time"] for name, cube in cubes.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"'{name}' has {n}" for name, n in lengths.items())
        raise InputError(
            f"the regions have different numbers of scenes in time ({counts}): one partition pairs them by order, "
            "so every sequence needs the same number of scenes in season order; leave out scenes or add some"
        )
    names = list(cubes)
    for name in names[1:]:
        _refuse_unlike(names[0], cubes[names[0]], name, cubes[name])


def _refuse_unlike(first: str, one: xr.DataArray, second: str, other: xr.DataArray) -> None:
    """Raise `InputError` where two regions differ in bands, dtype or pixel size."""
    bands = [", ".join(map(str, cube["band"].to_numpy())) for cube in (one, other)]
    if bands[0] != bands[1]:
        raise InputError(
            f"region '{second}' has the bands {bands[1]}, region '{first}' has {bands[0]}: one encoder needs the same "
            "bands in the same order; choose them with --bands"
        )
    if one.dtype != other.dtype:
        raise InputError(
            f"region '{second}' holds {other.dtype}, region '{first}' holds {one.dtype}: one encoder needs values of "
            "one type and unit; convert the scenes of one of them (gdal_translate -ot)"
        )
    here, there = Lattice.of(one), Lattice.of(other)
    same_units = here.crs == there.crs and _alike((here.dy, here.dx), (there.dy, there.dx))
    sizes = [_pixel_m(lattice) for lattice in (here, there)]
    if not same_units and not _alike(*sizes):
        (dy, dx), (other_dy, other_dx) = sizes
        raise InputError(
            f"region '{second}' has pixels of {other_dx:.4g} × {other_dy:.4g} m on the ground, region '{first}' of "
            f"{dx:.4g} × {dy:.4g} m: one encoder needs tiles of one size; resample the scenes of one of them "
            "(gdalwarp -tr)"
        )


def _alike(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(abs(a / b - 1) <= PIXEL_TOLERANCE for a, b in zip(one, other, strict=True))


def _pixel_m(lattice: Lattice) -> tuple[float, float]:
    """Return height and width of a pixel on the ground in metres, in the middle of a lattice."""
    height_km, width_km = ground_size_km(lattice)
    return 1e3 * height_km / lattice.height, 1e3 * width_km / lattice.width
