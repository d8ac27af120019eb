"""Which bands are red, green, blue and near infrared, by their names.

Names are those of Sentinel-2, of Landsat and of people. Landsat numbers its bands otherwise than Sentinel-2, so the
near infrared of Landsat is only believed where a name says Landsat (``SR_B5``); and Landsat 4 to 7 number them
otherwise again: a set of surface reflectances with a seventh band but no sixth is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

RED, GREEN, BLUE = (
    frozenset({"b04", "b4", "red", "r"}),
    frozenset({"b03", "b3", "green", "g"}),
    frozenset({"b02", "b2", "blue", "b"}),
)
"""Last words of the names of the bands that are red, green and blue, as Sentinel-2, Landsat 8 and people call them."""

NEAR_INFRARED = ("b08", "b8", "nir", "nir08", "b8a")
"""Last words of the names of near infrared bands, the preferred first; Landsat's own are not among them."""

INDICES = frozenset({"ndvi", "evi", "evi2", "savi", "ndwi", "mndwi", "ndmi", "nbr", "ndfi", "lai", "fapar"})
"""Last words of the names of bands that are an index and no brightness."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectrum:
    """Where the bands that have a meaning are, as indices; None where names do not tell."""

    red: int | None
    """Red."""
    green: int | None
    """Green."""
    blue: int | None
    """Blue."""
    near_infrared: int | None
    """Near infrared."""
    ndvi: int | None
    """A band that is the NDVI already."""
    brightness: tuple[int, ...]
    """Every band that is no index."""


def spectrum(bands: Sequence[str]) -> Spectrum:
    """Return what the names of bands tell of them.

    Examples
    --------
    >>> found = spectrum(("B02", "B03", "B04", "B08"))
    >>> found.red, found.near_infrared
    (2, 3)
    >>> spectrum(("SR_B4", "SR_B5")).near_infrared, spectrum(("B4", "B5")).near_infrared
    (1, None)
    """
    words = [last_word(name) for name in bands]
    landsat = any(name.casefold().startswith(("sr_b", "lc08", "lc09", "le07", "lt05", "landsat")) for name in bands)
    early = landsat and "b7" in words and "b6" not in words
    red, green, blue = (frozenset({"b3"}), frozenset({"b2"}), frozenset({"b1"})) if early else (RED, GREEN, BLUE)
    infrared = (("b4" if early else "b5"), "nir", "nir08") if landsat else NEAR_INFRARED
    near = next((words.index(word) for word in infrared if word in words), None)
    return Spectrum(
        red=_first(words, red), green=_first(words, green), blue=_first(words, blue), near_infrared=near,
        ndvi=words.index("ndvi") if "ndvi" in words else None,
        brightness=tuple(i for i, word in enumerate(words) if word not in INDICES),
    )  # fmt: skip


def last_word(name: str) -> str:
    """Return the last word of a band's name in lower case: ``SR_B4`` is ``b4``."""
    return re.split(r"[-_ .]", name.casefold())[-1]


def _first(words: Sequence[str], wanted: frozenset[str]) -> int | None:
    return next((index for index, word in enumerate(words) if word in wanted), None)
