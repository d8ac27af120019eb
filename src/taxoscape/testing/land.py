"""The lie of the land: terrain, climate, and the zones that follow from them (the truth).

A zone is the set of places whose climate (temperature, moisture) is nearest to the climate of one of
``n_zones`` sites. Sites are places of the region, well spread in climate, so that each zone has a place that belongs to
it: every zone is present by construction. Climate is a pair of crossed gradients, bent by the massifs of the terrain
and roughened by fractal noise, hence zones that hang together with wiggly borders. Lengths of climate scale with the
region (``√(height · width / n_zones)`` pixels), those of the terrain do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from taxoscape.testing.noise import Real, Whole, draw, fractal_noise, smooth_noise, stream_key

ROUGHEST_BORDER_PX = 10.0
"""Size of the smallest bends of zone borders."""
_ROUGHNESS = 0.24
"""Standard deviation of the climate's noise, in zone widths."""
_SITE_GRID = 40
"""Sites are chosen among at most this many places along each axis."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What is the same all over a region: scales and the climates of the zones."""

    seed: int
    """Seed of the region."""
    scale_px: float
    """Width of a typical zone in pixels."""
    direction: tuple[float, float]
    """Unit vector (row, column) along which it becomes warmer."""
    climates: npt.NDArray[np.float32]
    """Temperature and moisture of each zone's site: float32 (zone, 2), in zone widths."""
    bonus: npt.NDArray[np.float32]
    """What is taken off the squared climate distance to each zone: float32 (zone,); makes areas unequal."""


@lru_cache(maxsize=8)
def plan_land(seed: int, height: int, width: int, n_zones: int) -> Plan:
    """Return the plan of a region of ``height × width`` pixels with ``n_zones`` zones."""
    scale = max(8.0, math.sqrt(height * width / n_zones))
    across, down = 2 * draw(seed, "across") - 1, 0.4 + draw(seed, "down")
    length = math.sqrt(across * across + down * down)
    direction = (down / length, across / length)
    bare = Plan(seed=seed, scale_px=scale, direction=direction, climates=np.zeros((0, 2), np.float32),
                bonus=np.zeros(0, np.float32))  # fmt: skip
    rows, cols = _spread(height), _spread(width)
    climate = np.stack([field.ravel() for field in climate_of(bare, rows, cols)], axis=1)
    sites = _choose_sites(climate, n_zones, seed)
    bonus = np.asarray([0.08 * draw(seed, "bonus", zone) for zone in range(n_zones)], dtype=np.float32)
    while bonus.any() and (_nearest(climate[sites].T, climate[sites], bonus) != np.arange(n_zones)).any():
        bonus = np.where(bonus > 1e-3, bonus / 2, 0).astype(np.float32)
    return Plan(seed=seed, scale_px=scale, direction=direction, climates=climate[sites], bonus=bonus)


def climate_of(plan: Plan, rows: Whole, cols: Whole) -> tuple[Real, Real]:
    """Return temperature and moisture, each float32 (y, x), in zone widths: 1 is what changes across a zone."""
    scale = plan.scale_px
    octaves = max(1, math.ceil(math.log2(max(2.0, 0.6 * scale / ROUGHEST_BORDER_PX))))
    south, east = plan.direction
    down = (rows / scale)[:, None]
    along = (cols / scale)[None, :]
    massif = massif_of(plan, rows, cols)
    fields = []
    for name, gradient, lift in (
        ("temperature", down * south + along * east, -0.20),
        ("moisture", along * south - down * east, 0.12),
    ):
        rough = fractal_noise(rows, cols, 0.6 * scale, stream_key(plan.seed, name), octaves=octaves, gain=0.66)
        fields.append(gradient.astype(np.float32) + np.float32(lift) * massif + np.float32(_ROUGHNESS) * rough)
    return fields[0], fields[1]


def massif_of(plan: Plan, rows: Whole, cols: Whole) -> Real:
    """Return the great heights and basins: float32 (y, x), mean 0, variance 1."""
    return smooth_noise(rows, cols, 0.7 * plan.scale_px, stream_key(plan.seed, "massif"))


def elevation_of(plan: Plan, rows: Whole, cols: Whole) -> Real:
    """Return elevation in metres: float32 (y, x). Mountains where the massif is high, plains where it is low."""
    massif = massif_of(plan, rows, cols)
    relief = fractal_noise(rows, cols, 100.0, stream_key(plan.seed, "relief"), octaves=4, gain=0.48)
    rugged = np.clip(np.float32(0.45) + np.float32(0.4) * massif, np.float32(0.12), np.float32(1.4))
    height: Real = np.float32(600) + np.float32(60) * massif + np.float32(22) * rugged * relief
    return height


def slope_of(plan: Plan, rows: Whole, cols: Whole, pixel_m: float) -> tuple[Real, Real]:
    """Return the rise of the terrain southwards and eastwards (metres per metre), each float32 (y, x)."""
    wide_rows = np.arange(rows[0] - 1, rows[-1] + 2)
    wide_cols = np.arange(cols[0] - 1, cols[-1] + 2)
    height = elevation_of(plan, wide_rows, wide_cols)
    factor = np.float32(0.5 / pixel_m)
    return (height[2:, 1:-1] - height[:-2, 1:-1]) * factor, (height[1:-1, 2:] - height[1:-1, :-2]) * factor


def zones_of(plan: Plan, rows: Whole, cols: Whole) -> npt.NDArray[np.uint8]:
    """Return the zone of each pixel, 1…n_zones: uint8 (y, x)."""
    temperature, moisture = climate_of(plan, rows, cols)
    return (_nearest((temperature, moisture), plan.climates, plan.bonus) + 1).astype(np.uint8)


def _nearest(climate: tuple[Real, Real] | Real, sites: Real, bonus: Real) -> npt.NDArray[np.int16]:
    """Return the index of the site with the least squared climate distance less bonus: int16 of the field's shape."""
    temperature, moisture = climate
    best = np.full(temperature.shape, np.inf, dtype=np.float32)
    index = np.zeros(temperature.shape, dtype=np.int16)
    for number, (warm, moist) in enumerate(sites):
        distance = (temperature - warm) ** 2 + (moisture - moist) ** 2 - bonus[number]
        nearer = distance < best
        index[nearer] = number
        np.minimum(best, distance, out=best)
    return index


def _spread(length: int) -> Whole:
    """Return evenly spread pixel coordinates along an axis, ends included."""
    count = min(length, _SITE_GRID)
    return np.unique(np.arange(count, dtype=np.int64) * (length - 1) // max(1, count - 1))


def _choose_sites(climate: Real, n_zones: int, seed: int, candidates: int = 14) -> npt.NDArray[np.int64]:
    """Return places far from each other in climate, each the best of a few candidates (Mitchell's best candidate).

    Each is then moved to the middle of what is nearest to it.
    """
    chosen: list[int] = []
    distance = np.full(len(climate), np.inf, dtype=np.float32)
    for zone in range(n_zones):
        places = [int(draw(seed, "site", zone, k) * len(climate)) for k in range(candidates)]
        place = max(places, key=lambda p: float(distance[p]))
        if distance[place] == 0:
            place = int(distance.argmax())
        chosen.append(place)
        apart = climate - climate[place]
        np.minimum(distance, apart[:, 0] ** 2 + apart[:, 1] ** 2, out=distance)
    sites = np.asarray(chosen, dtype=np.int64)
    members = _nearest(climate.T, climate[sites], np.zeros(n_zones, np.float32))
    for zone in range(n_zones):
        if not (members == zone).any():
            continue
        apart = climate - climate[members == zone].mean(axis=0, dtype=np.float64)
        place = int((apart[:, 0] ** 2 + apart[:, 1] ** 2).argmin())
        if members[place] == zone:
            sites[zone] = place
    return sites
