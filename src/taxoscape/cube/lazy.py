"""A cube as an xarray DataArray that reads nothing until it is indexed.

Built on xarray's public interface for backends (`xarray.backends.BackendArray`), without Dask: indexing says which
dates, bands and window are wanted, and just those are read, in the calling thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from taxoscape.contracts import CUBE_DIMS, check_cube, spatial_ref
from taxoscape.cube.box import Box
from taxoscape.cube.mosaic import Mosaic
from taxoscape.cube.planned import CubePlan, plan_to_json
from taxoscape.grid import Lattice

if TYPE_CHECKING:
    import numpy.typing as npt


class Reader(Protocol):
    """Reads windows of a cube."""

    def values(self, time: int, bands: Sequence[int], box: Box) -> npt.NDArray[Any]:
        """Read bands of a date in a window: (band, row, col)."""
        ...

    def valid(self, time: int, box: Box) -> npt.NDArray[np.bool_]:
        """Read which pixels of a date can be used in a window: bool (row, col)."""
        ...


def lazy_cube(plan: CubePlan) -> xr.DataArray:
    """Show a plan as a cube; pixels are read when they are indexed.

    Parameters
    ----------
    plan
        What `taxoscape.cube.plan.plan_cube` returns.

    Returns
    -------
    DataArray (time, band, y, x)
        The contract of a cube: dtype as read, attribute ``nodata`` (None where there is none), boolean coordinate
        ``valid`` (time, y, x), as lazy as the pixels.

    Raises
    ------
    InputError
        When pixels are read: where a file is gone, damaged or changed.

    Notes
    -----
    Reading costs what the files cost: whole internal blocks are decoded, and files are opened anew each time.
    """
    days = np.array([np.datetime64(day.isoformat()) for day in plan.dates], "datetime64[ns]")
    cube = assemble(
        Mosaic(plan), dtype=plan.dtype, times=days, bands=plan.bands, lattice=plan.lattice, nodata=plan.nodata
    )
    cube.encoding["source_digest"] = _digest(plan)
    return cube


def assemble(
    reader: Reader,
    *,
    dtype: str,
    times: npt.NDArray[np.datetime64],
    bands: Sequence[str],
    lattice: Lattice,
    nodata: float | None,
) -> xr.DataArray:
    """Return a lazy cube over anything that reads windows.

    Parameters
    ----------
    reader
        Reads values and masks.
    dtype
        Type of the values.
    times
        datetime64 (time,), rising.
    bands
        Names of the bands.
    lattice
        The pixels.
    nodata
        Value that means "no data", or None.
    """
    shape = (len(times), len(bands), lattice.height, lattice.width)
    y, x = lattice.coordinates()
    values = indexing.LazilyIndexedArray(_Values(reader, shape, np.dtype(dtype)))
    valid = indexing.LazilyIndexedArray(_Valid(reader, (shape[0], *shape[2:])))
    dataset = xr.Dataset(
        {
            "scenes": xr.Variable(CUBE_DIMS, values, {"nodata": nodata, "grid_mapping": "spatial_ref"}),
            "valid": xr.Variable(("time", "y", "x"), valid, {"long_name": "pixel can be used"}),
        },
        coords={
            "time": times.astype("datetime64[ns]"),
            "band": np.array(bands, dtype=np.str_),
            "y": ("y", y, axis_attributes(lattice)["y"]),
            "x": ("x", x, axis_attributes(lattice)["x"]),
            "spatial_ref": spatial_ref(lattice),
        },
    )
    cube = dataset.set_coords("valid")["scenes"]
    check_cube(cube)
    return cube


def axis_attributes(lattice: Lattice) -> dict[str, dict[str, str]]:
    """Return the CF attributes of the coordinates ``y`` and ``x``."""
    from pyproj import CRS

    if CRS.from_wkt(lattice.crs).is_geographic:
        return {
            "y": {"standard_name": "latitude", "units": "degrees_north"},
            "x": {"standard_name": "longitude", "units": "degrees_east"},
        }
    return {axis: {"standard_name": f"projection_{axis}_coordinate"} for axis in ("y", "x")}


def is_straight(cube: xr.DataArray) -> bool:
    """Whether both the pixels and the mask of a cube are still those of one reader, not replaced or loaded."""
    readers = [_reader_of(variable) for variable in (cube.variable, cube.coords["valid"].variable)]
    return readers[0] is not None and readers[0] is readers[1]


def _reader_of(variable: xr.Variable) -> Reader | None:
    """Return the reader below xarray's wrappers of lazy arrays, or None where the values are in memory."""
    array: Any = variable._data
    while array is not None and not isinstance(array, _Lazy):
        array = getattr(array, "array", None)
    return None if array is None else array.reader


class _Lazy(BackendArray):
    """An array of which windows are read on demand; the last two axes are rows and columns."""

    def __init__(self, reader: Reader, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.reader = reader
        self.shape = shape
        self.dtype = dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._get)

    def _get(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        """Read what integers, slices and arrays along each axis ask for."""
        wanted = [np.atleast_1d(np.arange(n)[item]) for n, item in zip(self.shape, key, strict=True)]
        result = np.empty(tuple(map(len, wanted)), self.dtype)
        if result.size:
            rows, cols = wanted[-2:]
            box = Box(int(rows.min()), int(cols.min()), int(np.ptp(rows)) + 1, int(np.ptp(cols)) + 1)
            inside = (_step(rows - box.row, box.height), _step(cols - box.col, box.width))
            for i, time in enumerate(wanted[0]):
                window = self._read(int(time), wanted[1:-2], box)
                result[i] = window[..., inside[0], :][..., inside[1]]
        return result[tuple(0 if np.ndim(item) == 0 and not isinstance(item, slice) else slice(None) for item in key)]

    def _read(self, time: int, bands: Sequence[npt.NDArray[np.intp]], box: Box) -> npt.NDArray[Any]:
        raise NotImplementedError


class _Values(_Lazy):
    """Values (time, band, y, x)."""

    def _read(self, time: int, bands: Sequence[npt.NDArray[np.intp]], box: Box) -> npt.NDArray[Any]:
        return self.reader.values(time, [int(band) for band in bands[0]], box)


class _Valid(_Lazy):
    """Which pixels can be used (time, y, x)."""

    def __init__(self, reader: Reader, shape: tuple[int, ...]) -> None:
        super().__init__(reader, shape, np.dtype(np.bool_))

    def _read(self, time: int, bands: Sequence[npt.NDArray[np.intp]], box: Box) -> npt.NDArray[Any]:  # noqa: ARG002
        return self.reader.valid(time, box)


def _step(indexes: npt.NDArray[np.intp], length: int) -> Any:
    """Return indexes as a slice where they are simply all, which spares a copy."""
    return slice(None) if np.array_equal(indexes, np.arange(length)) else indexes


def _digest(plan: CubePlan) -> str:
    """Return a digest of a plan and of the sizes and times of its files: another one where a file was changed."""
    sha = hashlib.sha256(plan_to_json(plan).encode("utf-8", "surrogateescape"))
    for file in plan.files:
        try:
            status = Path(file.path).stat()
        except OSError:
            continue
        sha.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
    return sha.hexdigest()
