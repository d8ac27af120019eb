"""Cubes and plans cropped to an area of interest, lazily."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.cube.area import Area, Stencil
from taxoscape.cube.box import Box
from taxoscape.cube.lazy import assemble, is_straight
from taxoscape.cube.mosaic import fill_of
from taxoscape.cube.planned import CubePlan
from taxoscape.errors import InputError
from taxoscape.grid import Lattice

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

OUTSIDE = "outside of the area of interest (--aoi)"
"""Why a file is left out."""


def crop_plan(plan: CubePlan, area: Area) -> CubePlan:
    """Return a plan of what of the scenes lies in an area.

    Raises
    ------
    InputError
        Where no scene lies in the area, but only around it.
    """
    box, stencil = area.box(plan.lattice), Stencil(area, plan.lattice)
    kept = [file for file in plan.files if stencil.touches(file.box.intersect(box))]
    if not kept:
        raise InputError(
            f"the area of interest in {area.name} lies between the scenes: give scenes of it, or another area (--aoi)"
        )
    left = [(file.path, OUTSIDE) for file in plan.files if file not in kept]
    return replace(
        plan,
        files=tuple(replace(file, box=file.box.relative_to(box)) for file in kept),
        skipped=tuple(sorted([*plan.skipped, *left])),
        dates=tuple(sorted({file.date for file in kept})),
        lattice=plan.lattice.window(*box),
        area=area,
    )


def crop_cube(cube: xr.DataArray, area: Area) -> xr.DataArray:
    """Return what of a cube lies in an area, as lazy as the cube.

    Parameters
    ----------
    cube
        (time, band, y, x) with ``valid``.
    area
        What `taxoscape.cube.area.read_area` returns for the cube's lattice.

    Returns
    -------
    DataArray (time, band, y, x)
        Cropped to the bounds of the area; outside of its polygons ``valid`` is False and values are those of no data.
    """
    lattice = Lattice.of(cube)
    box = area.box(lattice)
    window = lattice.window(*box)
    rows, cols = box.slices
    part = cube.isel(y=rows, x=cols)
    nodata = cube.attrs.get("nodata")
    result = assemble(
        _Masked(pixels=part.variable, mask=part.coords["valid"].variable, stencil=Stencil(area, window), nodata=nodata),
        dtype=str(cube.dtype),
        times=cube["time"].to_numpy(),
        bands=[str(band) for band in cube["band"].to_numpy()],
        lattice=window,
        nodata=nodata,
    )
    if "source_digest" in cube.encoding and is_straight(cube):
        result.encoding["source_digest"] = f"{cube.encoding['source_digest']} {area.digest}"
    return result


@dataclass(frozen=True, kw_only=True)
class _Masked:
    """Reads windows of a cube through a stencil; `taxoscape.cube.lazy.Reader`."""

    pixels: xr.Variable
    """(time, band, y, x)."""
    mask: xr.Variable
    """(time, y, x)."""
    stencil: Stencil
    """Which of the pixels lie in the area."""
    nodata: float | None
    """Value that means "no data"."""

    def values(self, time: int, bands: Sequence[int], box: Box) -> npt.NDArray[Any]:
        """Read bands of a date in a window: (band, row, col)."""
        values = np.array(self.pixels[time, list(bands), *box.slices].to_numpy())
        values[:, ~self.stencil(box)] = fill_of(values.dtype, self.nodata)
        return values

    def valid(self, time: int, box: Box) -> npt.NDArray[np.bool_]:
        """Read which pixels of a date can be used in a window: bool (row, col)."""
        usable: npt.NDArray[np.bool_] = self.mask[time, *box.slices].to_numpy() & self.stencil(box)
        return usable
