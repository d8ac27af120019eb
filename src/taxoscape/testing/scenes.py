"""Scenes: what a sensor sees of the ground on a date.

Reflectance = spectrum of the parcel's cover at its greenness on that day × texture × illumination of the slope, seen
through haze, with a gain and an offset that drift from date to date, noise, and clouds when asked for.

A year is periodic. All of it is a function of pixel coordinates, date and seed, as in `taxoscape.testing.noise`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from taxoscape.testing.noise import (
    Bits,
    Real,
    Whole,
    bell,
    draw,
    fractal_noise,
    hash_cells,
    rehash,
    smooth_noise,
    stream_key,
)
from taxoscape.testing.parcels import Ground, Parcels
from taxoscape.testing.recipes import BAND_NAMES, COVERS, Recipe, spectra_of

Sensor = Literal["colour8", "multispectral16"]

NODATA = 0
"""What a file holds where there is a cloud."""
_HAZE_COLOUR = (0.200, 0.175, 0.150, 0.130, 0.080, 0.050)
"""Reflectance of dense haze per band of `BAND_NAMES`."""
_HAZE_SHARE = (1.0, 0.80, 0.65, 0.40, 0.15, 0.08)
"""How much haze there is in each band, times that of blue."""
_HAZE_PX = 120.0
"""Size of the denser and thinner parts of haze, as the ``cell`` of `smooth_noise`."""
_SHOWERS = 0.06
"""Standard deviation of the darkening by moisture, which differs from place to place and from date to date."""
_SHOWER_PX = 60.0
"""Size of the wetter and drier places."""
_VIGOUR = 0.3
"""Standard deviation of the factor on greenness of a parcel on a date; that of its square is as large."""
_TILLAGE = 0.2
"""Standard deviation of the factor on reflectance of a parcel on a date."""
_HUE = 0.10
"""Standard deviation of the factor on each band, which differs from place to place and from date to date."""
_HUE_PX = 24.0
"""Size of the places of one hue."""
_NOISE = 0.0035
"""Standard deviation of the sensor's noise, in reflectance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """How reflectance becomes numbers in a file."""

    bands: tuple[str, ...]
    """Names of the bands in the order of the file."""
    dtype: str
    """Integer type of the numbers."""
    scale: float
    """Numbers per unit of reflectance."""
    highest: int
    """Largest number; the smallest is 1, because `NODATA` is 0."""


CAMERAS: dict[str, Camera] = {
    "colour8": Camera(bands=("B04", "B03", "B02"), dtype="uint8", scale=800.0, highest=255),
    "multispectral16": Camera(bands=BAND_NAMES, dtype="uint16", scale=10_000.0, highest=65_535),
}
"""The sensors by name: 8-bit true colour (red, green, blue) and 16-bit reflectance × 10 000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What holds for a whole date."""

    day: date
    """The date."""
    haze: float
    """Mean share of haze in blue, 0…1."""
    sun: tuple[float, float]
    """Change of illumination per unit of slope southwards and eastwards."""
    gain: tuple[float, ...]
    """Factor on reflectance, per band of `BAND_NAMES`."""
    offset: tuple[float, ...]
    """What is added to reflectance, per band."""
    cloud_share: float
    """Expected share of clouded pixels, 0…1."""
    key: int
    """Key of the streams of random numbers of the date."""


def calendar(n_dates: int) -> tuple[date, ...]:
    """Return dates with unequal gaps, rising, spread over 2023 (over more years where there are more than 40)."""
    span = 365 * (1 + (n_dates - 1) // 40)
    step = span / n_dates
    days = [int((i + 0.5 + 0.35 * (2 * draw(n_dates, "calendar", i) - 1)) * step) for i in range(n_dates)]
    return tuple(date(2023, 1, 1) + timedelta(days=day) for day in days)


def weather_of(seed: int, day: date, clouds: float) -> Weather:
    """Return the weather of a date: drawn from seed and date, not from the number of the date."""

    def some(*words: str | int) -> float:
        return draw(seed, "weather", day.isoformat(), *words)

    low_sun = _season(day.timetuple().tm_yday, 355.0, 183.0)
    steepness = 0.40 + 1.5 * low_sun
    turn = 0.25 * (2 * some("sun") - 1)
    return Weather(
        day=day,
        haze=0.03 + 0.17 * some("haze") ** 2,
        sun=(0.85 * steepness, (-0.45 + turn) * steepness),
        gain=tuple(1 + 0.05 * (2 * some("gain", band) - 1) + 0.05 * (2 * some("gain") - 1) for band in BAND_NAMES),
        offset=tuple(0.006 * (2 * some("offset", band) - 1) for band in BAND_NAMES),
        key=stream_key(seed, "date", day.isoformat()),
        cloud_share=clouds + 0.7 * min(clouds, 1 - clouds) * (2 * some("clouds") - 1),
    )


def photograph(ground: Ground, recipes: tuple[Recipe, ...], weather: Weather, axes: tuple[Whole, Whole],
               camera: Camera) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:  # fmt: skip
    """Return what the camera sees of a block on a date: (band, y, x) of its dtype, `NODATA` under clouds.

    Notes
    -----
    About 0.1 µs per pixel for three bands; besides the result, 40 bytes per pixel.
    """
    rows, cols = axes
    colours = _parcel_colours(ground.parcels, recipes, weather)
    light = np.clip(
        np.float32(1) + np.float32(weather.sun[0]) * ground.rise_south + np.float32(weather.sun[1]) * ground.rise_east,
        np.float32(0.35), np.float32(1.7),
    )  # fmt: skip
    light *= ground.texture
    wet = smooth_noise(rows, cols, _SHOWER_PX, stream_key(weather.key, "wet"))
    light *= np.float32(1) - np.float32(_SHOWERS) * wet
    haze = fractal_noise(rows, cols, _HAZE_PX, stream_key(weather.key, "haze"), octaves=2)
    haze = np.maximum(np.float32(1) + np.float32(0.6) * haze, 0)
    image = np.empty((len(camera.bands), *light.shape), dtype=camera.dtype)
    for number, band in enumerate(camera.bands):
        k = BAND_NAMES.index(band)
        value = colours[:, k][ground.parcel]
        hue = smooth_noise(rows, cols, _HUE_PX, stream_key(weather.key, "hue", band))
        value *= light * (np.float32(1) + np.float32(_HUE) * hue)
        veil = haze * np.float32(weather.haze * _HAZE_SHARE[k])
        np.minimum(veil, np.float32(0.6), out=veil)
        value += veil * (np.float32(_HAZE_COLOUR[k]) - value)
        value *= np.float32(weather.gain[k])
        value += np.float32(weather.offset[k])
        noise = bell(hash_cells(rows[:, None], cols[None, :], stream_key(weather.key, "noise", band)))
        value += np.float32(_NOISE) * noise
        value *= np.float32(camera.scale)
        image[number] = np.clip(np.rint(value), 1, camera.highest).astype(camera.dtype)
    if weather.cloud_share > 0:
        image[:, cloudy(rows, cols, weather)] = NODATA
    return image


def cloudy(rows: Whole, cols: Whole, weather: Weather) -> npt.NDArray[np.bool_]:
    """Return where there are clouds: bool (y, x), True under a cloud."""
    field = _cloud_field(rows, cols, stream_key(weather.key, "clouds"))
    return field > np.float32(_cloud_threshold(weather.cloud_share))


def greenness(base: Real, rise: Real, days: Real, reach: Real) -> Real:
    """Return the greenness of covers ``days`` after their peaks: base + rise · (1 − (days / reach)²)², periodic."""
    away = days - np.float32(365) * np.rint(days / np.float32(365))
    near = np.maximum(np.float32(1) - (away / reach) ** 2, 0)
    green: Real = np.clip(base + rise * near * near, 0, 1)
    return green


def _parcel_colours(parcels: Parcels, recipes: tuple[Recipe, ...], weather: Weather) -> Real:
    """Return the reflectance of each parcel on a date: float32 (parcel, band) in the order of `BAND_NAMES`."""
    covers = list(COVERS.values())
    base, rise, peak, reach = (
        np.asarray([getattr(c, name) for c in covers], dtype=np.float32)[parcels.cover]
        for name in ("base", "rise", "peak", "reach")
    )
    lag = np.asarray([recipe.lag_days for recipe in recipes], dtype=np.float32)[parcels.zone - 1]
    spell = np.asarray([recipe.spell for recipe in recipes], dtype=np.float32)[parcels.zone - 1]
    after = np.float32(weather.day.timetuple().tm_yday) - peak - lag - parcels.late

    def chance(bits: Bits, word: int) -> Real:
        return bell(rehash(bits, weather.key + word))

    vigour = parcels.lush * (np.float32(1) + np.float32(_VIGOUR) * (chance(parcels.bits, 1) + chance(parcels.kin, 2)))
    green = np.clip(greenness(base, rise, after, reach * spell) * vigour, 0, 1)[:, None]
    spectra = [spectra_of(recipe) for recipe in recipes]
    bare = np.stack([pair[0] for pair in spectra])[parcels.zone - 1, parcels.cover]
    leaf = np.stack([pair[1] for pair in spectra])[parcels.zone - 1, parcels.cover]
    bright = parcels.bright * (np.float32(1) + np.float32(_TILLAGE) * chance(parcels.bits, 3))
    colours: Real = (bare * (np.float32(1) - green) + leaf * green) * bright[:, None]
    return colours


def _season(day: float, peak: float, reach: float) -> float:
    """Return 1 at the peak of a season and 0 from ``reach`` days on, both ways round the year."""
    away = day - peak - 365 * round((day - peak) / 365)
    return max(0.0, 1 - (away / reach) ** 2) ** 2


def _cloud_field(rows: Whole, cols: Whole, key: int) -> Real:
    """Return the field that is cloud above a threshold: float32 (y, x)."""
    return fractal_noise(rows, cols, 130.0, key, octaves=6, gain=0.55)


@lru_cache(maxsize=256)
def _cloud_threshold(share: float) -> float:
    """Return the value that a share of all cloud fields lies above, from a sample."""
    if share <= 0 or share >= 1:
        return float("inf") if share <= 0 else float("-inf")
    sample = _sample_of_clouds()
    return float(sample[int((1 - share) * len(sample))])


@lru_cache(maxsize=1)
def _sample_of_clouds() -> Real:
    """Return values of a cloud field at places too far apart to be alike, rising: float32 (sample,)."""
    places = np.arange(50, dtype=np.int64) * 67
    fields = [_cloud_field(places, places, stream_key(0, "sample of clouds", number)) for number in range(12)]
    return np.sort(np.concatenate(fields, axis=None))
