"""Colours that show likeness: similar series get similar colours, and zones stay distinct on a map.

**Tiles.** PCA of the flattened series to three components, shown as red, green and blue. Each component is stretched by
its own 2 to 98 % range; the prototype stretched all three by one global minimum and maximum, which leaves the second
and third nearly constant. What a tile misses on a date is filled as in `taxoscape.analysis.components`.

**Zones.** A zone takes its centroid's colour. On a map two zones must not look alike, so a colour is moved, as little
as possible in CIELAB, until it keeps a distance from those of all zones before it (larger
ones, as a rule), from white paper and from black ink.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from taxoscape.analysis.components import principal_components, scores_of, tile_blocks

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    Floats = npt.NDArray[np.float64]
    Pixels = npt.NDArray[np.uint8]

UNSEEN = (200, 200, 200)
"""Colour of a tile that no date counts for."""

LIGHTNESS = (28.0, 80.0)
"""Bounds of L* of a zone: neither ink nor paper."""

FAR_APART = 24.0
"""ΔE (CIE76) that any two of a few zones keep; more zones keep less, as the room shrinks."""

SHADE = 14.0
"""ΔE (CIE76) that a part of a zone keeps from the zone and from all others, while there is room."""

MOST_TOLD_APART = 1000
"""Beyond this many zones no colours can be told apart, and natural ones are kept."""

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)
_ROOM = 4.5e5
"""Volume of the colours allowed, in CIELAB units cubed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesColours:
    """Colours of tiles, and what is needed to colour another series the same way."""

    rgb: Pixels
    """uint8 (tile, 3)."""
    seen: npt.NDArray[np.bool_]
    """bool (tile,): False where no date counts; such a tile is grey in `rgb`."""
    explained_variance: Floats
    """float64 (3,): share of the variance that each component holds, 0…1."""
    date_means: Floats
    """float64 (time, feature): mean over tiles, the origin of the projection."""
    components: Floats
    """float64 (3, time · feature): orthonormal; the entry of largest size is positive."""
    ranges: Floats
    """float64 (3, 2): the 2 % and 98 % quantiles of each component over tiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneColours:
    """Colours of zones."""

    rgb: Pixels
    """uint8 (zone, 3): distinct, for maps."""
    natural: Pixels
    """uint8 (zone, 3): the centroid's own colour on the scale of the tiles' colours."""
    min_distance: float
    """Smallest ΔE (CIE76) between any two of `rgb`; infinite for one zone."""


def series_colours(series: xr.Dataset, *, rng: int = 0) -> SeriesColours:
    """Colour each tile by the three principal components of its flattened series.

    Parameters
    ----------
    series
        A series: ``embedding`` float32 (tile, time, feature), NaN where a tile does not count.
    rng
        Seed of the components.

    Returns
    -------
    SeriesColours

    Raises
    ------
    InputError
        Where ``series`` does not keep its contract.

    Notes
    -----
    Cost as of `taxoscape.analysis.components.principal_components`. Source: METHOD step 9. We differ in the stretch
    (each component its own range) and in missing dates.
    """
    found = principal_components(series, rng=rng)
    seen = np.asarray(found.counts.any(axis=1))
    ranges = np.quantile(found.scores[seen], (0.02, 0.98), axis=0).T if seen.any() else np.zeros((3, 2))
    return SeriesColours(
        rgb=np.where(seen[:, None], _stretched(found.scores, ranges), np.array(UNSEEN, dtype=np.uint8)),
        seen=seen,
        explained_variance=found.explained_variance,
        date_means=found.date_means,
        components=found.directions,
        ranges=ranges,
    )


def coloured_like(series: xr.Dataset, known: SeriesColours) -> SeriesColours:
    """Colour the tiles of another series as those of a first one were: the same colour is the same look.

    Parameters
    ----------
    series
        A series of as many dates and features as the first.
    known
        Its colours, by `series_colours`.

    Returns
    -------
    SeriesColours
        The tiles' own ``rgb`` and ``seen``; the rest is that of ``known``.
    """
    found = [
        (np.asarray(np.isfinite(block).all(axis=2)).any(axis=1), scores_of(block, known.date_means, known.components))
        for block in tile_blocks(series["embedding"])
    ]
    seen, scores = (np.concatenate(column) for column in zip(*found, strict=True))
    rgb = np.where(seen[:, None], _stretched(scores, known.ranges), np.array(UNSEEN, dtype=np.uint8))
    return replace(known, rgb=rgb, seen=seen)


def zone_colours(centroids: npt.NDArray[np.floating], colours: SeriesColours) -> ZoneColours:
    """Give each zone the colour of its centroid, moved where zones would look alike.

    Parameters
    ----------
    centroids
        Real (zone, time, feature), in the order of the labels; NaN on a date that no tile of the zone counts on.
    colours
        The colours of the series that the zones were made from.

    Returns
    -------
    ZoneColours

    Notes
    -----
    Greedy in the order of the labels: the largest zone keeps its colour, each next one takes the nearest colour that
    is far enough from all before it. K · 36 000 distances.
    """
    natural = _stretched(scores_of(centroids, colours.date_means, colours.components), colours.ranges)
    rgb = spread_colours(natural)
    return ZoneColours(rgb=rgb, natural=natural, min_distance=_min_distance(rgb))


def spread_colours(wanted: Pixels) -> Pixels:
    """Return colours near ``wanted``, uint8 (n, 3), that are told apart on a white page, earlier ones favoured."""
    if len(wanted) > MOST_TOLD_APART:
        return wanted.copy()
    choices, places = _choices()
    needed = min(FAR_APART, 0.8 * (_ROOM / max(len(wanted), 1)) ** (1 / 3))
    nearest_taken = np.full(len(choices), np.inf)
    taken = np.empty((0, 3))
    result = np.empty_like(wanted)
    for index, place in enumerate(lab(wanted)):
        own = np.sqrt(((taken - place) ** 2).sum(axis=1)).min(initial=np.inf)
        if LIGHTNESS[0] <= place[0] <= LIGHTNESS[1] and own >= needed:
            result[index] = wanted[index]
        else:
            off = ((places - place) ** 2).sum(axis=1)
            free = nearest_taken >= needed
            best = int(np.where(free, off, np.inf).argmin()) if free.any() else int(nearest_taken.argmax())
            result[index], place = choices[best], places[best]
        taken = np.concatenate([taken, place[None]])
        nearest_taken = np.minimum(nearest_taken, np.sqrt(((places - place) ** 2).sum(axis=1)))
    return result


def part_colours(zones: Pixels, splits_from: npt.NDArray[np.integer]) -> Pixels:
    """Return colours of zones and of the parts that they are split into: a part has a shade of what it splits from.

    Parameters
    ----------
    zones
        uint8 (zone, 3): colours of the zones 1…K; they stay.
    splits_from
        Integer (id,): of each zone and part, the number that it splits from, lower than its own for parts; in the order
        of the numbers, see `taxoscape.zones.tree`.

    Returns
    -------
    uint8 (id, 3). The colour of a part does not depend on parts with higher numbers.

    Notes
    -----
    Each part takes the allowed colour nearest to that of what it splits from, lightness counting half, that is far
    enough from all before it; with hundreds of parts the room shrinks, and so does what is far enough.
    """
    choices, places = _choices()
    result = np.zeros((len(splits_from), 3), dtype=np.uint8)
    result[: len(zones)] = zones
    nearest_taken = np.full(len(choices), np.inf)
    for place in lab(zones):
        nearest_taken = np.minimum(nearest_taken, np.sqrt(((places - place) ** 2).sum(axis=1)))
    for index in range(len(zones), len(splits_from)):
        needed = min(SHADE, 0.8 * (_ROOM / (index + 1)) ** (1 / 3))
        off = (((places - lab(result[splits_from[index] - 1])) * (0.5, 1, 1)) ** 2).sum(axis=1)
        free = nearest_taken >= needed
        best = int(np.where(free, off, np.inf).argmin()) if free.any() else int(nearest_taken.argmax())
        result[index] = choices[best]
        nearest_taken = np.minimum(nearest_taken, np.sqrt(((places - places[best]) ** 2).sum(axis=1)))
    return result


def _choices() -> tuple[Pixels, Floats]:
    """Return the colours that a zone may have, uint8 (choice, 3), neither ink nor paper, and their CIELAB."""
    step = np.append(np.arange(0, 255, 8), 255)
    choices = np.stack(np.meshgrid(step, step, step, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.uint8)
    places = lab(choices)
    allowed = (places[:, 0] >= LIGHTNESS[0]) & (places[:, 0] <= LIGHTNESS[1])
    return choices[allowed], places[allowed]


def lab(rgb: npt.NDArray[np.integer]) -> Floats:
    """Return CIELAB (D65) of sRGB colours 0…255: float64 (…, 3) as L*, a*, b*."""
    share = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    ratio = linear @ (_TO_XYZ / _TO_XYZ.sum(axis=1, keepdims=True)).T
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _stretched(scores: Floats, ranges: Floats) -> Pixels:
    """Return scores (n, 3) as 0…255, each component by its own range; one without a range is mid-grey."""
    low, width = ranges[:, 0], ranges[:, 1] - ranges[:, 0]
    flat = width <= 1e-9 * np.abs(ranges).max(initial=0.0)
    share = np.where(flat, 0.5, (scores - low) / np.where(flat, 1.0, width))
    return np.asarray(np.rint(np.clip(share, 0.0, 1.0) * 255), dtype=np.uint8)


def _min_distance(rgb: Pixels) -> float:
    if len(rgb) < 2:
        return float("inf")
    gaps, _ = KDTree(lab(rgb)).query(lab(rgb), k=2)
    return float(np.asarray(gaps)[:, 1].min())
