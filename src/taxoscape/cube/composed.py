"""Cubes whose dates are periods, made of cubes whose dates are days, lazily."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.cube.box import Box, blocks
from taxoscape.cube.lazy import assemble, is_straight
from taxoscape.cube.median import lower_median
from taxoscape.cube.mosaic import MEDIAN_BYTES, MEDIAN_PX, fill_of
from taxoscape.cube.periods import AS_THEY_ARE, Composite, Period, period_of
from taxoscape.grid import Lattice

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr


def compose_cube(cube: xr.DataArray, calendar: str, composite: Composite = "median") -> xr.DataArray:
    """Return a cube with a date for each period, as lazy as the cube.

    Parameters
    ----------
    cube
        (time, band, y, x) with ``valid``.
    calendar, composite
        As `taxoscape.cube.periods` says.

    Returns
    -------
    DataArray (time, band, y, x)
        Dates are the first days of periods; a pixel is valid where it is on one day of the period at least, and has the
        value of no data elsewhere.

    Raises
    ------
    InputError
        Where the calendar is none.
    """
    if calendar == AS_THEY_ARE:
        return cube
    days = cube["time"].to_numpy().astype("datetime64[D]").tolist()
    members: dict[Period, list[int]] = {}
    for index, day in enumerate(days):
        members.setdefault(period_of(day, calendar), []).append(index)
    if composite == "best":
        members = {
            period: sorted(own, key=lambda i: (period.off_the_middle(days[i]), i)) for period, own in members.items()
        }
    nodata = cube.attrs.get("nodata")
    reader = _Composed(
        pixels=cube.variable, mask=cube.coords["valid"].variable, days=tuple(tuple(own) for own in members.values()),
        is_median=composite == "median", nodata=nodata,
    )  # fmt: skip
    result = assemble(
        reader,
        dtype=str(cube.dtype),
        times=np.array([period.first for period in members], "datetime64[ns]"),
        bands=[str(band) for band in cube["band"].to_numpy()],
        lattice=Lattice.of(cube),
        nodata=nodata,
    )
    if "source_digest" in cube.encoding and is_straight(cube):
        result.encoding["source_digest"] = f"{cube.encoding['source_digest']} {days} {calendar} {composite}"
    return result


@dataclass(frozen=True, kw_only=True)
class _Composed:
    """Reads windows of periods; `taxoscape.cube.lazy.Reader`."""

    pixels: xr.Variable
    """(day, band, y, x)."""
    mask: xr.Variable
    """(day, y, x)."""
    days: tuple[tuple[int, ...], ...]
    """The days of each period, in the order in which a pixel looks for a valid one."""
    is_median: bool
    """Whether the median of the valid days stands for a pixel, or the first of them."""
    nodata: float | None
    """Value that means "no data"."""

    def values(self, time: int, bands: Sequence[int], box: Box) -> npt.NDArray[Any]:
        """Read bands of a period in a window: (band, row, col)."""
        dtype = self.pixels.dtype
        values = np.full((len(bands), box.height, box.width), fill_of(dtype, self.nodata), dtype)
        if not self.is_median:
            self._first(time, bands, box, values)
            return values
        at_once = MEDIAN_BYTES // max(1, len(self.days[time]) * len(bands) * dtype.itemsize)
        for part in blocks((box.height, box.width), block=MEDIAN_PX, pixels=at_once):
            window = Box(box.row + part.row, box.col + part.col, part.height, part.width)
            median, usable = lower_median(*self._days(time, bands, window))
            np.copyto(values[:, *part.slices], median, where=usable)
        return values

    def valid(self, time: int, box: Box) -> npt.NDArray[np.bool_]:
        """Read which pixels can be used on a day of a period in a window: bool (row, col)."""
        valid = np.zeros((box.height, box.width), np.bool_)
        for day in self.days[time]:
            valid |= self.mask[day, *box.slices].to_numpy()
        return valid

    def _days(self, time: int, bands: Sequence[int], box: Box) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Read all days of a period in a window: (day, band, row, col), and which are valid (day, row, col)."""
        days = self.days[time]
        values = np.empty((len(days), len(bands), box.height, box.width), self.pixels.dtype)
        valid = np.empty((len(days), box.height, box.width), np.bool_)
        for i, day in enumerate(days):
            values[i] = self.pixels[day, list(bands), *box.slices].to_numpy()
            valid[i] = self.mask[day, *box.slices].to_numpy()
        return values, valid

    def _first(self, time: int, bands: Sequence[int], box: Box, values: npt.NDArray[Any]) -> None:
        """Fill in of each pixel the first day on which it is valid, reading no day more than is needed."""
        missing = np.ones((box.height, box.width), np.bool_)
        for day in self.days[time]:
            usable = self.mask[day, *box.slices].to_numpy() & missing
            if usable.any():
                np.copyto(values, self.pixels[day, list(bands), *box.slices].to_numpy(), where=usable)
                missing &= ~usable
            if not missing.any():
                break
