"""Hypothesis strategies: small cubes of all kinds that keep the contract of `taxoscape.contracts`.

The only module that needs hypothesis, which is not installed with taxoscape itself.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import numpy.typing as npt
import xarray as xr
from hypothesis.extra import numpy as hnp

from taxoscape.contracts import spatial_ref
from taxoscape.grid import Lattice
from taxoscape.testing.region import Region

DTYPES = ("uint8", "int16", "float32")
"""Types of the pixels of drawn cubes."""


@st.composite
def cubes(
    draw: st.DrawFn,
    *,
    dtypes: tuple[str, ...] = DTYPES,
    max_dates: int = 3,
    max_bands: int = 4,
    min_px: int = 1,
    max_px: int = 23,
) -> xr.DataArray:
    """Draw a cube in memory: odd and unlike sides, gaps in time, holes, whole dates without a valid pixel.

    Parameters
    ----------
    dtypes
        Types to draw from: integers have the nodata value 0 or their lowest, or None; real numbers NaN or −9999.
    max_dates, max_bands
        Most dates and bands; at least one of each.
    min_px, max_px
        Bounds of height and width in pixels.

    Returns
    -------
    xarray.DataArray
        A cube; where ``valid`` is False every band holds nodata (if there is a nodata value).
    """
    sizes = {
        "time": draw(st.integers(1, max_dates)),
        "band": draw(st.integers(1, max_bands)),
        "y": draw(st.integers(min_px, max_px)),
        "x": draw(st.integers(min_px, max_px)),
    }
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    nodata = draw(st.sampled_from(_nodata_values(dtype)))
    valid = _valid(draw, (sizes["time"], sizes["y"], sizes["x"]), whole=nodata is None)
    pixels = _pixels(draw, tuple(sizes.values()), dtype)
    if nodata is not None:
        pixels[pixels == nodata] = 7
        pixels = np.where(valid[:, None], pixels, np.asarray(nodata, dtype=dtype))
    days = np.cumsum([draw(st.integers(1, 90)) for _ in range(sizes["time"])])
    lattice = _lattice(draw, sizes["y"], sizes["x"])
    y, x = lattice.coordinates()
    coordinates: dict[str, Any] = {
        "time": np.datetime64("2021-02-27", "ns") + days.astype("timedelta64[D]"),
        "band": [f"B{number:02d}" for number in range(2, 2 + sizes["band"])],
        "y": y,
        "x": x,
        "valid": (("time", "y", "x"), valid),
        "spatial_ref": spatial_ref(lattice),
    }
    return xr.DataArray(pixels, dims=tuple(sizes), coords=coordinates, name="scenes", attrs={"nodata": nodata})


def _nodata_values(dtype: np.dtype[Any]) -> list[float | None]:
    if dtype.kind == "f":
        return [float("nan"), -9999.0]
    return [0, None] if dtype.kind == "u" else [0, int(np.iinfo(dtype).min), None]


def _valid(draw: st.DrawFn, shape: tuple[int, int, int], *, whole: bool) -> npt.NDArray[np.bool_]:
    """Draw which pixels are valid: all, none of a date, or each by chance."""
    if whole:
        return np.ones(shape, dtype=np.bool_)
    shares = np.asarray([draw(st.sampled_from([1.0, 0.7, 0.2, 0.0])) for _ in range(shape[0])])
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random(shape)
    found: npt.NDArray[np.bool_] = chance < shares[:, None, None]
    return found


def _pixels(draw: st.DrawFn, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Draw pixels: all alike, or random over the range of the dtype (0…1 for real numbers)."""
    if draw(st.booleans()):
        elements = hnp.from_dtype(np.dtype("uint8"))
        return np.full(shape, draw(elements)).astype(np.float64).clip(0, 120).astype(dtype)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if dtype.kind == "f":
        return rng.random(shape).astype(dtype)
    span = np.iinfo(dtype)
    return rng.integers(span.min, span.max, shape, dtype=dtype, endpoint=True)


def _lattice(draw: st.DrawFn, height: int, width: int) -> Lattice:
    """Draw a lattice of whole pixels, not always square, on both sides of the CRS origin."""
    dx, dy = draw(st.sampled_from([(10.0, 10.0), (30.0, 20.0), (0.5, 0.5)]))
    col, row = draw(st.integers(-300, 300)), draw(st.integers(-300, 300))
    crs = Region(height=1, width=1, n_zones=1).lattice.crs
    return Lattice(crs=crs, x0=col * dx, y0=row * dy, dx=dx, dy=dy, height=height, width=width)
