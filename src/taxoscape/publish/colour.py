"""Colours that show likeness: similar series get similar colours, and zones stay distinct on a map.

**Tiles.** PCA of the flattened series to three components, shown as red, green and blue. Each component is stretched by
its own 2 to 98 % range; the prototype stretched all three by one global minimum and maximum, which leaves the second
and third nearly constant. What a tile misses on a date is filled by the two-way rule: the date's mean plus the tile's
mean difference from the means of the dates on which it was seen.

**Zones.** A zone takes its centroid's colour. On a map two zones must not look alike, so a colour is moved, as little
as possible in CIELAB, until it keeps a distance from those of all zones before it (larger
ones, as a rule), from white paper and from black ink.

Memory is bounded: the series is read in blocks, and the components are found on at most `FIT_TILES` tiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from taxoscape.contracts import check_series

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    Floats = npt.NDArray[np.float64]
    Pixels = npt.NDArray[np.uint8]

UNSEEN = (200, 200, 200)
"""Colour of a tile that no date counts for."""

FIT_TILES = 4096
"""The components are found on at most this many tiles, drawn evenly; all tiles are then projected."""

LIGHTNESS = (28.0, 80.0)
"""Bounds of L* of a zone: neither ink nor paper."""

FAR_APART = 24.0
"""ΔE (CIE76) that any two of a few zones keep; more zones keep less, as the room shrinks."""

MOST_TOLD_APART = 1000
"""Beyond this many zones no colours can be told apart, and natural ones are kept."""

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)
_BLOCK_VALUES = 8_000_000
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
        Seed of the drawing of tiles where there are more than `FIT_TILES`, and of the randomised SVD.

    Returns
    -------
    SeriesColours

    Raises
    ------
    InputError
        Where ``series`` does not keep its contract.

    Notes
    -----
    Two or three passes over the series in blocks of at most 64 MB; `FIT_TILES` flattened series in memory.
    Source: METHOD step 9. We differ in the stretch (each component its own range) and in missing dates.
    """
    check_series(series)
    embedding = series["embedding"]
    seen = np.concatenate([np.any(np.isfinite(block).all(axis=2), axis=1) for block in _blocks(embedding)])
    date_means = _date_means(embedding)
    which = np.flatnonzero(seen)
    if which.size > FIT_TILES:
        which = np.sort(np.random.default_rng(rng).choice(which, FIT_TILES, replace=False))
    sample = _flat(fill_missing(embedding.isel(tile=which).to_numpy(), date_means), date_means)
    components, explained = _principal(sample, rng)
    scores = np.concatenate(
        [_flat(fill_missing(block, date_means), date_means) @ components.T for block in _blocks(embedding)]
    )
    ranges = np.quantile(scores[seen], (0.02, 0.98), axis=0).T if seen.any() else np.zeros((3, 2))
    rgb = np.where(seen[:, None], _stretched(scores, ranges), np.array(UNSEEN, dtype=np.uint8))
    return SeriesColours(
        rgb=rgb, seen=seen, explained_variance=explained, date_means=date_means, components=components, ranges=ranges
    )


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
    filled = _flat(fill_missing(np.asarray(centroids, dtype=np.float64), colours.date_means), colours.date_means)
    natural = _stretched(filled @ colours.components.T, colours.ranges)
    rgb = spread_colours(natural)
    return ZoneColours(rgb=rgb, natural=natural, min_distance=_min_distance(rgb))


def spread_colours(wanted: Pixels) -> Pixels:
    """Return colours near ``wanted``, uint8 (n, 3), that are told apart on a white page, earlier ones favoured."""
    if len(wanted) > MOST_TOLD_APART:
        return wanted.copy()
    step = np.append(np.arange(0, 255, 8), 255)
    choices = np.stack(np.meshgrid(step, step, step, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.uint8)
    places = lab(choices)
    allowed = (places[:, 0] >= LIGHTNESS[0]) & (places[:, 0] <= LIGHTNESS[1])
    choices, places = choices[allowed], places[allowed]
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


def fill_missing(values: npt.NDArray[np.floating], date_means: Floats) -> Floats:
    """Fill what is missing by the two-way rule.

    Parameters
    ----------
    values
        Real (tile, time, feature); a date is missing where any feature is not finite.
    date_means
        float64 (time, feature).

    Returns
    -------
    numpy.ndarray
        float64 (tile, time, feature): what was there, and elsewhere the date's mean plus the mean over the tile's seen
        dates of (tile - date mean). A tile without any date becomes the date means.
    """
    values = np.asarray(values, dtype=np.float64)
    seen = np.isfinite(values).all(axis=2, keepdims=True)
    offset = np.where(seen, values - date_means, 0.0).sum(axis=1, keepdims=True)
    offset /= np.maximum(seen.sum(axis=1, keepdims=True), 1)
    return np.where(seen, values, date_means + offset)


def lab(rgb: npt.NDArray[np.integer]) -> Floats:
    """Return CIELAB (D65) of sRGB colours 0…255: float64 (…, 3) as L*, a*, b*."""
    share = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    ratio = linear @ (_TO_XYZ / _TO_XYZ.sum(axis=1, keepdims=True)).T
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _blocks(embedding: xr.DataArray) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the series a few thousand tiles at a time: float32 (tile, time, feature)."""
    n_tiles, n_dates, n_features = embedding.shape
    step = max(1, _BLOCK_VALUES // (n_dates * n_features))
    for start in range(0, n_tiles, step):
        yield embedding.isel(tile=slice(start, start + step)).to_numpy()


def _date_means(embedding: xr.DataArray) -> Floats:
    """Return the mean over tiles, float64 (time, feature); 0 for a date that no tile counts on."""
    _, n_dates, n_features = embedding.shape
    sums, counts = np.zeros((n_dates, n_features)), np.zeros((n_dates, 1))
    for block in _blocks(embedding):
        seen = np.isfinite(block).all(axis=2, keepdims=True)
        sums += np.where(seen, block, 0.0).sum(axis=0, dtype=np.float64)
        counts += seen.sum(axis=0)
    return np.asarray(sums / np.maximum(counts, 1))


def _flat(values: Floats, date_means: Floats) -> Floats:
    return (values - date_means).reshape(len(values), date_means.size)


def _principal(sample: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return three principal directions (3, D) of deviations (n, D), and their shares of the variance (3,)."""
    from sklearn.utils.extmath import randomized_svd

    directions, shares = np.zeros((3, sample.shape[1])), np.zeros(3)
    sample = sample - sample.mean(axis=0) if len(sample) else sample
    total = float((sample**2).sum())
    if total == 0.0:
        return directions, shares
    if min(sample.shape) <= 512:
        _, sizes, vectors = np.linalg.svd(sample, full_matrices=False)
    else:
        _, sizes, vectors = randomized_svd(sample, 3, n_iter=10, random_state=seed, flip_sign=False)
    count = min(3, int((sizes > sizes[0] * 1e-9).sum()))
    vectors = vectors[:count]
    largest = np.abs(vectors).argmax(axis=1)
    directions[:count] = vectors * np.sign(vectors[np.arange(count), largest])[:, None]
    shares[:count] = sizes[:count] ** 2 / total
    return directions, shares


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
