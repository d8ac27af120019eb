"""What grows in a zone: the land covers, and each zone's recipe of mix, parcels, texture, season and colour.

Covers are the same everywhere (`COVERS`): two spectra, without and with green leaves, and a curve of the year between
them. A zone's `Recipe` says in which shares they occur, in parcels of what size and form, with which texture, how much
earlier or later their year runs, and how soil and leaves are tinted.

Eight recipes are written down; the seed varies them, and further zones are stronger variations of the same eight.
Three pairs differ in one respect only:

=========  =====  ===================================================================================
pair       zones  the second is the first, but
=========  =====  ===================================================================================
texture    1, 2   rows, roughness and clumps have other periods, parcels of the same area another form
season     3, 4   every curve of the year runs `SEASON_LAG_DAYS` later
colour     5, 6   soil and leaves are tinted
=========  =====  ===================================================================================

Textures have mean 0 and their contrast is the same in both of the first pair, so neither the mean nor the spread of
the colours of a tile tells its zones apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from taxoscape.testing.noise import draw

BAND_NAMES = ("B02", "B03", "B04", "B08", "B11", "B12")
"""Bands of every spectrum below: blue, green, red, near infrared, two of short-wave infrared (Sentinel-2)."""

SEASON_LAG_DAYS = 48.0
"""Days by which the year of zone 4 runs behind that of zone 3."""

Spectrum = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """A land cover: its colours, its year, its texture."""

    bare: Spectrum
    """Reflectance without green leaves, one per band of `BAND_NAMES`, 0…1."""
    green: Spectrum
    """Reflectance in full leaf, 0…1."""
    base: float
    """Greenness out of season, 0…1."""
    rise: float
    """What greenness gains at its peak."""
    peak: float
    """Day of the year of the peak."""
    reach: float
    """Days from the peak to the base."""
    rows: float = 0.0
    """Share of rows (drill lines, vines) in the texture."""
    grove: float = 0.0
    """Share of a planted grid in the texture."""
    rough: float = 0.0
    """Share of fine roughness."""
    clumps: float = 0.0
    """Share of clumps (crowns, tussocks)."""
    contrast: float = 1.0
    """Strength of the texture, times that of the zone."""


_SOIL = (0.070, 0.100, 0.140, 0.230, 0.310, 0.260)
_STUBBLE = (0.078, 0.114, 0.150, 0.270, 0.330, 0.250)
_LEAF = (0.030, 0.066, 0.036, 0.420, 0.200, 0.100)

COVERS: dict[str, Cover] = {
    "winter crop": Cover(bare=_STUBBLE, green=_LEAF, base=0.08, rise=0.85, peak=125, reach=85, rows=1.0, rough=0.5),
    "summer crop": Cover(bare=_SOIL, green=_LEAF, base=0.05, rise=0.88, peak=205, reach=80, rows=1.0, rough=0.5),
    "grass": Cover(bare=(0.062, 0.098, 0.110, 0.27, 0.30, 0.20), green=(0.032, 0.078, 0.044, 0.40, 0.24, 0.12),
                   base=0.35, rise=0.55, peak=135, reach=120, rough=1.0, clumps=0.4, contrast=0.6),
    "broadleaf": Cover(bare=(0.040, 0.052, 0.062, 0.16, 0.20, 0.13), green=(0.022, 0.046, 0.026, 0.38, 0.18, 0.08),
                       base=0.05, rise=0.95, peak=190, reach=135, rough=0.4, clumps=1.0, contrast=1.2),
    "conifer": Cover(bare=(0.022, 0.036, 0.028, 0.21, 0.11, 0.06), green=(0.020, 0.036, 0.024, 0.24, 0.11, 0.05),
                     base=0.5, rise=0.4, peak=170, reach=150, rough=0.5, clumps=1.0, contrast=1.2),
    "shrub": Cover(bare=(0.058, 0.080, 0.094, 0.21, 0.27, 0.20), green=(0.040, 0.066, 0.058, 0.27, 0.22, 0.13),
                   base=0.30, rise=0.5, peak=140, reach=110, rough=0.6, clumps=1.0),
    "orchard": Cover(bare=_SOIL, green=(0.040, 0.072, 0.056, 0.32, 0.22, 0.13), base=0.40, rise=0.45, peak=175,
                     reach=120, grove=1.0, rough=0.4, contrast=1.2),
    "bare": Cover(bare=(0.105, 0.135, 0.165, 0.23, 0.29, 0.26), green=_LEAF, base=0.02, rise=0.08, peak=140,
                  reach=90, rough=1.0, clumps=0.3, contrast=0.7),
    "built": Cover(bare=(0.120, 0.130, 0.140, 0.20, 0.22, 0.20), green=_LEAF, base=0.12, rise=0.12, peak=170,
                   reach=130, grove=0.9, rough=1.0, contrast=1.6),
    "water": Cover(bare=(0.046, 0.048, 0.034, 0.02, 0.01, 0.008), green=(0.044, 0.052, 0.034, 0.03, 0.01, 0.008),
                   base=0.2, rise=0.5, peak=200, reach=100, rough=0.3, contrast=0.15),
}  # fmt: skip
"""The land covers by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What makes a zone."""

    mix: dict[str, float]
    """Share of each cover by name; they need not sum to 1."""
    parcel_px: float
    """Edge of a square as large as a typical parcel."""
    stretch: float = 1.6
    """Length of a parcel over its width."""
    jitter: float = 0.7
    """0: parcels form a rectangular grid; 1: polygons of all forms."""
    hedge: float = 0.15
    """How much darker the edge of a parcel is, 0…1."""
    row_px: float = 4.0
    """Pixels from one row to the next; planted grids are 1.4 times as wide."""
    rough_px: float = 3.0
    """Size of fine roughness."""
    clump_px: float = 6.0
    """Size of clumps."""
    contrast: float = 0.16
    """Standard deviation of the texture's factor on reflectance."""
    lag_days: float = 0.0
    """Days by which every curve of the year runs later."""
    spell: float = 1.0
    """Length of the season, times that of the covers."""
    soil: Spectrum = (1.0,) * 6
    """Factor on the spectra without leaves, per band."""
    leaf: Spectrum = (1.0,) * 6
    """Factor on the spectra in full leaf, per band."""


def _mix(**shares: float) -> dict[str, float]:
    """Return a mix; underscores stand for spaces."""
    return {name.replace("_", " "): share for name, share in shares.items()}


_PLAIN = Recipe(
    mix=_mix(winter_crop=0.64, summer_crop=0.14, grass=0.10, shrub=0.05, broadleaf=0.01, bare=0.02, built=0.04),
    parcel_px=11, row_px=3.2, rough_px=2.2, clump_px=3.6, stretch=1.3,
)  # fmt: skip
_BOCAGE = Recipe(
    mix=_mix(summer_crop=0.46, grass=0.24, winter_crop=0.08, broadleaf=0.13, conifer=0.03, built=0.04, water=0.02),
    parcel_px=12, jitter=0.85, hedge=0.25, row_px=4.5, rough_px=2.6, clump_px=5.0,
)  # fmt: skip
_WOOD = Recipe(
    mix=_mix(broadleaf=0.40, conifer=0.20, shrub=0.22, grass=0.13, bare=0.01, water=0.02, built=0.02),
    parcel_px=13, jitter=1.0, hedge=0.05, rough_px=2.6, clump_px=4.5,
)  # fmt: skip
_VINES = Recipe(
    mix=_mix(orchard=0.52, winter_crop=0.12, summer_crop=0.08, shrub=0.12, bare=0.06, grass=0.06, built=0.04),
    parcel_px=11, stretch=2.0, row_px=5.0, rough_px=2.4, clump_px=4.0, lag_days=-10,
    soil=(1.32, 1.22, 1.10, 1.1, 1.1, 1.1), leaf=(1.2, 1.15, 1.1, 1.0, 1.0, 1.0),
)  # fmt: skip
_STEPPE = Recipe(
    mix=_mix(shrub=0.40, grass=0.36, bare=0.07, winter_crop=0.10, conifer=0.03, built=0.02, orchard=0.02),
    parcel_px=14, jitter=0.95, hedge=0.05, row_px=6.0, rough_px=4.0, clump_px=9.0, lag_days=-18, spell=0.85,
    soil=(0.75, 0.90, 1.15, 1.0, 1.0, 1.0),
)  # fmt: skip

_TINT: Spectrum = (0.80, 0.98, 1.26, 1.03, 1.05, 1.08)
_LEAF_TINT: Spectrum = (0.85, 0.98, 1.26, 0.97, 1.04, 1.05)

BASIC: tuple[Recipe, ...] = (
    _PLAIN,
    replace(_PLAIN, row_px=6.4, rough_px=4.4, clump_px=8.0, stretch=3.2),
    _BOCAGE,
    replace(_BOCAGE, lag_days=SEASON_LAG_DAYS),
    _WOOD,
    replace(_WOOD, soil=_TINT, leaf=_LEAF_TINT),
    _VINES,
    _STEPPE,
)
"""The recipes of zones 1 to 8 before the seed varies them."""

PAIRS = {"texture": (1, 2), "season": (3, 4), "colour": (5, 6)}
"""Zones that differ in one respect only."""


def recipes_of(seed: int, n_zones: int) -> tuple[Recipe, ...]:
    """Return the recipe of each zone, zone 1 first.

    The seed varies what the two zones of a pair share, in both alike, so they still differ in one respect only.
    """
    found = []
    for zone in range(n_zones):
        round_, number = divmod(zone, len(BASIC))
        twin = number // 2 if number < 6 else number
        found.append(_varied(BASIC[number], seed, (round_, twin), 0.12 if round_ == 0 else 0.45))
    return tuple(found)


def spectra_of(recipe: Recipe) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the zone's spectra without and with leaves, each float32 (cover, band) in the order of `COVERS`."""
    bare = np.asarray([cover.bare for cover in COVERS.values()]) * np.asarray(recipe.soil)
    green = np.asarray([cover.green for cover in COVERS.values()]) * np.asarray(recipe.leaf)
    return bare.astype(np.float32), green.astype(np.float32)


def shares_of(recipe: Recipe) -> npt.NDArray[np.float32]:
    """Return the cumulative shares of the covers, the last is 1: float32 (cover,) in the order of `COVERS`."""
    shares: npt.NDArray[np.float64] = np.cumsum([recipe.mix.get(name, 0.0) for name in COVERS])
    shares /= shares[-1]
    return shares.astype(np.float32)


def _varied(recipe: Recipe, seed: int, stream: tuple[int, int], strength: float) -> Recipe:
    """Return a recipe with its numbers changed by up to ``strength`` (as a share of them)."""

    def factor(*words: str) -> float:
        return 1.0 + strength * (2.0 * draw(seed, "recipe", *stream, *words) - 1.0)

    tint = factor("tint") if stream[0] else 1.0
    return replace(
        recipe,
        mix={name: share * factor("mix", name) for name, share in recipe.mix.items()},
        parcel_px=recipe.parcel_px * factor("parcel"),
        stretch=recipe.stretch * factor("stretch"),
        row_px=recipe.row_px * factor("row"),
        rough_px=recipe.rough_px * factor("rough"),
        clump_px=recipe.clump_px * factor("clump"),
        lag_days=recipe.lag_days + 60 * (factor("lag") - 1.0),
        soil=(recipe.soil[0] / tint, recipe.soil[1], recipe.soil[2] * tint, *recipe.soil[3:]),
    )
