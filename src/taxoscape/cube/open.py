"""The door: whatever holds scenes becomes a cube."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from taxoscape.config import CubeSettings
from taxoscape.contracts import check_cube
from taxoscape.cube.area import read_area
from taxoscape.cube.bands import pick_bands
from taxoscape.cube.composed import compose_cube
from taxoscape.cube.crop import crop_cube
from taxoscape.cube.dates import within
from taxoscape.cube.discover import Scenes
from taxoscape.cube.foreign import adopt, open_netcdf, open_zarr
from taxoscape.cube.laid import Match
from taxoscape.cube.lazy import lazy_cube
from taxoscape.cube.periods import Composite
from taxoscape.cube.plan import plan_cube
from taxoscape.cube.pointer import read_pointer
from taxoscape.cube.rasters import sniff
from taxoscape.cube.store import is_stored_cube, read_cube
from taxoscape.cube.wording import shown
from taxoscape.errors import InputError
from taxoscape.grid import Lattice


def open_cube(
    scenes: Scenes | xr.DataArray | xr.Dataset,
    *,
    bands: Sequence[str] = (),
    dates: str | Path | None = None,
    nodata: float | None = None,
    start: str | None = None,
    end: str | None = None,
    calendar: Sequence[str] = (),
    match: Match = "season",
    aoi: str | Path | None = None,
    period: str = "dates",
    composite: Composite = "median",
) -> xr.DataArray:
    """Open scenes as one lazy, aligned, masked array.

    Parameters
    ----------
    scenes
        GeoTIFF and JPEG 2000 files, folders, globs, or several of them; or one of: a ``cube.zarr`` or ``cube.json`` of
        a run, a NetCDF file, another Zarr store, a DataArray or Dataset.
    bands
        Bands to take, as names or 1-based numbers, in this order; empty: all.
    dates
        CSV file with the columns ``file,date`` that beats dates in names and tags.
    nodata
        Value that means "no data"; None: what the files declare. What a cube or an array with a mask holds invalid
        already stays so.
    start, end
        First and last date to take, ISO: 2020-03-01, 2020-03 or 2020.
    calendar, match
        Dates, ISO, that files of another year are to stand for, those of a series that zones were made of; and how they
        are paired, see `taxoscape.cube.laid`. The cube then has these dates, some without a valid pixel.
    aoi
        Area of interest: a file of polygons in any CRS (``file#layer`` where it has several layers). The cube is
        cropped to its bounds, and pixels whose centre lies outside of the polygons are invalid
        (`taxoscape.cube.area`). Tiles on its edge are kept with ``partial="keep"``, as runs do.
    period, composite
        ``month``, ``10d``, ``P16D`` and the like: the days of each such period become one date, called by its first
        day, with the ``median`` of a pixel's valid days (of an even number the lower of the two in the middle), the one
        nearest to the middle (``best``) or the ``first``; see `taxoscape.cube.periods`.

    Returns
    -------
    DataArray (time, band, y, x)
        dtype as read. Coordinates: ``time`` (datetime64, rising), ``band`` (names), ``y`` (falling) and ``x`` (pixel
        centres), ``spatial_ref``, and ``valid`` (time, y, x), bool, True where the pixel can be used: every band is
        finite and differs from nodata; with nodata 0 and several bands in a file, not all of these are 0; without
        nodata, every pixel that a scene covers. Attribute ``nodata`` (a number or None). Nothing is read until it is
        indexed.

    Raises
    ------
    InputError
        Where the scenes cannot make one cube, see `taxoscape.cube.plan.plan_cube`; or an array is none, see
        `taxoscape.cube.foreign.adopt`; or an area of interest cannot be used, see `taxoscape.cube.area.read_area`.

    Notes
    -----
    Scenes of one day are one date; where they overlap, the first valid pixel by sorted path wins. Scale and offset are
    not applied.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from taxoscape.contracts import spatial_ref
    >>> from taxoscape.grid import Lattice
    >>> from pyproj import CRS
    >>> lattice = Lattice(crs=CRS(32630).to_wkt(), x0=5e5, y0=4e6, dx=10.0, dy=10.0, height=2, width=3)
    >>> y, x = lattice.coordinates()
    >>> red = xr.DataArray(
    ...     np.array([[[0, 7, 8], [9, 6, 5]]], "uint8"),
    ...     coords={"time": [np.datetime64("2020-03-01", "ns")], "y": y, "x": x, "spatial_ref": spatial_ref(lattice)},
    ...     dims=("time", "y", "x"), name="red")
    >>> cube = open_cube(red, nodata=0)
    >>> cube.shape, int(cube.valid.sum())
    ((1, 1, 2, 3), 5)
    """
    if calendar and (isinstance(scenes, xr.DataArray | xr.Dataset) or _single(scenes) is not None):
        raise InputError("only files of one date each can be laid on a calendar: give the scenes themselves (calendar)")
    if isinstance(scenes, xr.DataArray | xr.Dataset):
        cube = _select(_array(scenes, bands, nodata), start, end, aoi)
        return compose_cube(cube, period, composite)
    path = _single(scenes)
    if path is None:
        settings = CubeSettings(
            bands=tuple(bands), dates=None if dates is None else str(dates), nodata=nodata, start=start, end=end,
            calendar=tuple(calendar), match=match, aoi=None if aoi is None else str(aoi),
            period=period, composite=composite,
        )  # fmt: skip
        return lazy_cube(plan_cube(scenes, settings))
    if dates is not None:
        raise InputError(f"{shown(path)} has its own dates: a table of dates is for files of one date each (--dates)")
    return compose_cube(_select(_open(path, bands, nodata), start, end, aoi), period, composite)


def _single(scenes: Scenes) -> Path | None:
    """Return the path of a single source that is a cube by itself, or None where scenes are rasters."""
    given = [scenes] if isinstance(scenes, str | Path) else list(scenes)
    if len(given) != 1:
        return None
    path = Path(given[0]).expanduser()
    if path.is_dir():
        return path if (path / "zarr.json").is_file() or (path / ".zgroup").is_file() else None
    if not path.is_file():
        return None
    return path if path.suffix == ".json" or sniff(path) in ("hdf5", "netcdf") else None


def _open(path: Path, bands: Sequence[str], nodata: float | None) -> xr.DataArray:
    if path.is_dir() and is_stored_cube(path):
        return _array(read_cube(path), bands, nodata)
    if path.suffix == ".json":
        return _array(lazy_cube(read_pointer(path)), bands, nodata)
    cube = adopt(open_zarr(path) if path.is_dir() else open_netcdf(path), bands=bands, nodata=nodata, name=shown(path))
    if path.is_file():
        status = path.stat()
        cube.encoding["source_digest"] = f"{path.absolute()} {status.st_size} {status.st_mtime_ns} {nodata} {bands}"
    return cube


def _array(array: xr.DataArray | xr.Dataset, bands: Sequence[str], nodata: float | None) -> xr.DataArray:
    """Return an array as it is where it is a cube, else shown as one."""
    if nodata is not None:
        return adopt(array, bands=bands, nodata=nodata)
    if isinstance(array, xr.DataArray) and _is_cube(array):
        names = [str(name) for name in array["band"].to_numpy()]
        return array.isel(band=[names.index(name) for name in pick_bands(names, bands)]) if bands else array
    return adopt(array, bands=bands)


def _is_cube(array: xr.DataArray) -> bool:
    """Whether an array keeps the contract of a cube as it is."""
    times = array.get_index("time") if "time" in array.dims else None
    try:
        check_cube(array)
    except InputError:
        return False
    return times is not None and bool(times.is_monotonic_increasing and times.is_unique) and "nodata" in array.attrs


def _select(cube: xr.DataArray, start: str | None, end: str | None, aoi: str | Path | None) -> xr.DataArray:
    """Return the dates and the area that are asked for, lazily."""
    if aoi is not None:
        cube = crop_cube(cube, read_area(aoi, Lattice.of(cube)))
    if start is None and end is None:
        return cube
    days = cube["time"].to_numpy().astype("datetime64[D]").tolist()
    kept = [i for i, day in enumerate(days) if within(day, start, end)]
    if not kept:
        raise InputError(f"no date lies between {start} and {end}: there are {days[0]} to {days[-1]} (--start, --end)")
    return cube.isel(time=kept)
