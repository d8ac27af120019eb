"""Does a stage read pixels before it must? Cubes that keep count of what is read from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing


@dataclass(slots=True, kw_only=True)
class Reads:
    """What has been read so far."""

    sizes: list[int] = field(default_factory=list)
    """Number of elements of each read, in order."""

    @property
    def count(self) -> int:
        """Number of reads."""
        return len(self.sizes)

    @property
    def largest(self) -> int:
        """Elements of the largest read; 0 where there was none."""
        return max(self.sizes, default=0)


def counted(cube: xr.DataArray) -> tuple[xr.DataArray, Reads]:
    """Return the cube as one that reads its pixels (and its ``valid``) lazily, and the count of its reads.

    Examples
    --------
    >>> from taxoscape.testing.region import Region, region_cube
    >>> lazy, reads = counted(region_cube(Region(height=20, width=30, n_zones=2, dates=2)))
    >>> with assert_lazy(reads):
    ...     part = lazy.isel(time=0, y=slice(0, 5))
    >>> part.load().sizes["y"], reads.largest
    (5, 450)
    """
    reads = Reads()
    lazy = xr.DataArray(
        _lazy(cube.variable, reads), coords={n: c for n, c in cube.coords.items() if n != "valid"}, name=cube.name
    )
    if "valid" in cube.coords:
        lazy = lazy.assign_coords(valid=_lazy(cube["valid"].variable, reads))
    return lazy, reads


@contextmanager
def assert_lazy(reads: Reads) -> Iterator[None]:
    """Raise ``AssertionError`` where something is read within the block."""
    before = reads.count
    yield
    if reads.count > before:
        raise AssertionError(f"{reads.count - before} reads of {reads.sizes[before:]} elements; none was expected")


class _CountedArray(BackendArray):
    """An array in memory that xarray takes for a file."""

    def __init__(self, values: npt.NDArray[Any], reads: Reads) -> None:
        self.values = values
        self.reads = reads
        self.shape = values.shape
        self.dtype = values.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )
        return found

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        part: npt.NDArray[Any] = np.asarray(self.values[key])
        self.reads.sizes.append(int(np.size(part)))
        return part


def _lazy(variable: xr.Variable, reads: Reads) -> xr.Variable:
    data = indexing.LazilyIndexedArray(_CountedArray(variable.to_numpy(), reads))
    return xr.Variable(variable.dims, data, attrs=variable.attrs)
