"""The built-in region: synthetic land of any size whose zones are known, for tests, the demo and benchmarks.

The road is terrain → climate → zones, the truth (`land`) → land covers in parcels with each zone's own sizes, mixes,
textures and seasons (`recipes`, `parcels`) → dated scenes with haze, illumination, drift, noise and clouds (`scenes`)
→ GeoTIFFs (`writing`). Everything is a function of pixel coordinates and seed (`noise`), so any window is made on its
own, in memory in proportion to it, and windows fit together to the last bit.

It is made to be hard, and not for any method. Zones share their covers, a tile holds a dozen or two of parcels that
change from date to date, and light, moisture, hue and haze differ from place to place: so tiles of one zone differ.
Three pairs of zones differ in one respect only (`Region.distinct_pairs`): clustering mean colours must fail on some.
Calibrated on seeds 1, 2, 3 (2000 × 2000 pixels, 8 dates, 8 zones, tiles of 50; NMI with the majority zone of the tile):
K-means on the tiles' mean colours reaches 0.57, 0.54, 0.56, on means and standard deviations 0.58, 0.57, 0.57, a
logistic regression on mean colours, cross-validated, 0.74, 0.78, 0.75.

`GENERATOR_VERSION` names the land: whenever a pixel changes, so does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from taxoscape.contracts import spatial_ref
from taxoscape.errors import InputError
from taxoscape.grid import Lattice
from taxoscape.testing.land import Plan, plan_land, zones_of
from taxoscape.testing.noise import Whole
from taxoscape.testing.parcels import Ground, survey
from taxoscape.testing.recipes import PAIRS, Recipe, recipes_of
from taxoscape.testing.scenes import CAMERAS, NODATA, Camera, Sensor, calendar, photograph, weather_of

if TYPE_CHECKING:
    import xarray as xr

GENERATOR_VERSION = 1
"""Version of the land that a seed means."""
PIXEL_M = 10.0
"""Edge of a pixel in metres."""
ORIGIN_M = (537_000.0, 4_763_000.0)
"""Easting and northing (EPSG:32630) of the outer corner of the first pixel: whole multiples of 100 pixels."""
MAX_ZONES = 254
"""Most zones: the truth is uint8, and 0 means none."""

Window = tuple[int, int, int, int]
"""First row, first column, height and width in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A piece of synthetic land and the scenes of it.

    Raises
    ------
    InputError
        Where a size, the number of zones or dates, the sensor or the share of clouds cannot be.

    Examples
    --------
    >>> region = Region(seed=1, height=120, width=200, n_zones=3, dates=2)
    >>> region.scene(0).shape, region.scene(0).dtype
    ((3, 120, 200), dtype('uint8'))
    >>> sorted(set(region.truth().ravel().tolist()))
    [1, 2, 3]
    """

    seed: int = 1
    """Seed of everything but the dates."""
    height: int = 2000
    """Rows of pixels."""
    width: int = 2000
    """Columns of pixels."""
    n_zones: int = 8
    """Number of zones; each is present where the region is large enough for it."""
    dates: int | tuple[date, ...] = 8
    """The dates, or how many: then they have unequal gaps."""
    sensor: Sensor = "colour8"
    """``colour8``: uint8 red, green, blue; ``multispectral16``: uint16 reflectance × 10 000 in six bands."""
    clouds: float = 0.0
    """Expected share of pixels under clouds, 0…1. Each date has its own."""

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise InputError(f"a region has at least one pixel, not {self.height} × {self.width} (height, width)")
        if not 1 <= self.n_zones <= MAX_ZONES:
            raise InputError(f"a region has 1 to {MAX_ZONES} zones, not {self.n_zones} (n_zones)")
        if self.sensor not in CAMERAS:
            raise InputError(f"there is no sensor '{self.sensor}': take one of {', '.join(CAMERAS)} (sensor)")
        if not 0 <= self.clouds <= 1:
            raise InputError(f"the share of clouds is between 0 and 1, not {self.clouds} (clouds)")
        if hasattr(self.dates, "__index__"):  # NumPy's whole numbers too
            object.__setattr__(self, "dates", index(self.dates))
        if isinstance(self.dates, int):
            if self.dates < 1:
                raise InputError(f"a region has at least one date, not {self.dates} (dates)")
        elif not self.dates or list(self.dates) != sorted(set(self.dates)):
            raise InputError("the dates of a region are at least one, rise and differ (dates)")

    @property
    def days(self) -> tuple[date, ...]:
        """The dates of the scenes, rising."""
        return calendar(self.dates) if isinstance(self.dates, int) else self.dates

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands in the order of the scenes."""
        return self.camera.bands

    @property
    def camera(self) -> Camera:
        """How reflectance becomes numbers."""
        return CAMERAS[self.sensor]

    @property
    def lattice(self) -> Lattice:
        """The pixels of the region: EPSG:32630, 10 m."""
        x0, y0 = ORIGIN_M
        return Lattice(crs=_utm_wkt(), x0=x0, y0=y0, dx=PIXEL_M, dy=PIXEL_M, height=self.height, width=self.width)

    @property
    def distinct_pairs(self) -> dict[str, tuple[int, int]]:
        """Pairs of zones that differ in one respect only, by that respect: ``texture``, ``season``, ``colour``.

        With fewer than six zones, those pairs of which both zones are there.
        """
        return {respect: pair for respect, pair in PAIRS.items() if max(pair) <= self.n_zones}

    def truth(self, window: Window | None = None) -> npt.NDArray[np.uint8]:
        """Return the zone of each pixel of a window (the whole region where not given): uint8 (y, x), 1…n_zones.

        Raises
        ------
        InputError
            Where the window is not inside the region.
        """
        return zones_of(self._plan(), *self._axes(window))

    def scene(self, index: int, window: Window | None = None) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
        """Return a window of the scene of a date: (band, y, x) of the sensor's dtype; 0 is under a cloud, else ≥ 1.

        Parameters
        ----------
        index
            Number of the date, from 0.
        window
            First row, first column, height, width; the whole region where not given.

        Raises
        ------
        InputError
            Where the window is not inside the region or there is no such date.
        """
        return self.expose(self.survey(window), index, window)

    def survey(self, window: Window | None = None) -> Ground:
        """Return what does not change with the date, over a window; `expose` makes scenes of it."""
        return survey(self._plan(), self._recipes(), *self._axes(window), PIXEL_M)

    def expose(
        self, ground: Ground, index: int, window: Window | None = None
    ) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
        """Return the scene of a date over the ground of the same window; as `scene`, for many dates of one window."""
        if not 0 <= index < len(self.days):
            raise InputError(f"there is no date {index}: the region has {len(self.days)}, counted from 0")
        weather = weather_of(self.seed, self.days[index], self.clouds)
        return photograph(ground, self._recipes(), weather, self._axes(window), self.camera)

    def _plan(self) -> Plan:
        return plan_land(self.seed, self.height, self.width, self.n_zones)

    def _recipes(self) -> tuple[Recipe, ...]:
        return recipes_of(self.seed, self.n_zones)

    def _axes(self, window: Window | None) -> tuple[Whole, Whole]:
        """Return the pixel coordinates of the rows and of the columns of a window."""
        row, col, height, width = window or (0, 0, self.height, self.width)
        inside = 0 <= row < row + height <= self.height and 0 <= col < col + width <= self.width
        if not inside:
            raise InputError(
                f"the window {window} (row, col, height, width) is not inside the region of "
                f"{self.height} × {self.width} pixels"
            )
        return np.arange(row, row + height, dtype=np.int64), np.arange(col, col + width, dtype=np.int64)


def region_cube(region: Region) -> xr.DataArray:
    """Return the scenes of a region as a cube in memory, which keeps the contract of `taxoscape.contracts`.

    Returns
    -------
    xarray.DataArray
        Dims ``(time, band, y, x)``, of the sensor's dtype, attribute ``nodata`` 0, boolean coordinate ``valid``
        ``(time, y, x)``, False under clouds.

    Notes
    -----
    For small regions: all scenes are in memory at once.
    """
    import xarray as xr

    ground = region.survey()
    scenes = np.stack([region.expose(ground, index) for index in range(len(region.days))])
    y, x = region.lattice.coordinates()
    coordinates: dict[str, Any] = {
        "time": np.asarray(region.days, dtype="datetime64[ns]"),
        "band": list(region.bands),
        "y": y,
        "x": x,
        "valid": (("time", "y", "x"), (scenes != NODATA).all(axis=1)),
        "spatial_ref": spatial_ref(region.lattice),
    }
    return xr.DataArray(
        scenes, dims=("time", "band", "y", "x"), coords=coordinates, name="scenes", attrs={"nodata": NODATA}
    )


@lru_cache(maxsize=1)
def _utm_wkt() -> str:
    """Return the WKT of EPSG:32630 (UTM zone 30 north)."""
    from pyproj import CRS

    return str(CRS.from_epsg(32630).to_wkt())
