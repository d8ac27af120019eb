"""What each zone is like, in numbers: its card.

All is made of tiles, not of pixels: a curve is the mean of its tiles' means, a quantile one over its tiles. Words like
"bright" need something to compare with: brightness, texture, seasonality and tint are given in standard deviations of
the region's tiles from the region's mean, band by band and date by date, so that neither units nor the season of a
date matter, and a tile that misses dates is compared on those it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.analysis.season import Greenness, greenness
from taxoscape.areas import cell_areas_km2
from taxoscape.cube.layers import Layer
from taxoscape.cube.spectral import Spectrum, spectrum
from taxoscape.errors import InputError
from taxoscape.grid import Grid

if TYPE_CHECKING:
    import numpy.typing as npt

    Float = npt.NDArray[np.floating]
    Float64 = npt.NDArray[np.float64]
    Dates = npt.NDArray[np.datetime64]

TOP_CLASSES = 5
"""Classes of a layer that a card names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """How something goes over the dates, over the tiles of a zone."""

    mean: Float64
    """float64 (time,): mean over its tiles that count on the date; NaN where none does."""
    low: Float64
    """float64 (time,): 10 % quantile over them."""
    high: Float64
    """float64 (time,): 90 % quantile over them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFacts:
    """What a layer says of a zone."""

    name: str
    """Name of the layer."""
    n_tiles: int
    """Tiles of the zone that the layer tells something of."""
    unit: str = ""
    """Unit of a continuous layer, where known."""
    mean: float = float("nan")
    """Continuous: mean over its tiles."""
    low: float = float("nan")
    """Continuous: 10 % quantile over its tiles."""
    high: float = float("nan")
    """Continuous: 90 % quantile over its tiles."""
    z: float = float("nan")
    """Continuous: mean less the region's, in standard deviations of the region's tiles."""
    classes: tuple[tuple[str, float, float], ...] = ()
    """Categorical: up to five commonest (class, share of the zone's tiles, share of the region's tiles)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneCard:
    """What a zone is like."""

    zone: int
    """Label, 1…K."""
    n_tiles: int
    """Number of its tiles."""
    area_km2: float
    """Area of its cells on the ground."""
    dates: Dates
    """datetime64 (time,)."""
    bands: tuple[str, ...]
    """Names of the bands."""
    curves: tuple[Curve, ...]
    """One per band, in the scenes' own units."""
    ndvi: Curve | None
    """NDVI of the tiles' mean colours, (n − r) / (n + r); None where bands do not allow."""
    ndvi_from: str
    """Which bands it is made of, or why there is none."""
    ndvi_z: float
    """NDVI against the region, in standard deviations of its tiles; NaN without it."""
    greenness: Greenness | None
    """The season of `ndvi`; None without it."""
    brightness: float
    """Mean over bands (no indices), dates and tiles, in the scenes' own units; NaN without such a band."""
    brightness_z: float
    """Brightness against the region, in standard deviations of its tiles; so are the next ones. NaN in a region that
    is the same everywhere."""
    texture: float
    """Mean of the deviations within its tiles, in the scenes' own units."""
    texture_z: float
    """Texture against the region."""
    seasonality: float
    """Mean over tiles and bands of the deviation over dates, in the scenes' own units; NaN with fewer than 2 dates."""
    seasonality_z: float
    """Seasonality against the region."""
    tints: tuple[tuple[str, float], ...]
    """Shares of red, green and blue in their sum, against the region; empty where the three are not all there."""
    layers: tuple[LayerFacts, ...]
    """One per layer."""


def zone_cards(
    means: Float,
    deviations: Float,
    dates: Dates,
    bands: Sequence[str],
    labels: npt.NDArray[np.integer],
    grid: Grid,
    *,
    layers: Sequence[Layer] = (),
    areas_km2: Float64 | None = None,
    n_zones: int | None = None,
) -> tuple[ZoneCard, ...]:
    """Describe each zone of a region in numbers.

    Parameters
    ----------
    means, deviations
        Real (tile, time, band): mean and standard deviation of each band over the tile's valid pixels, in the scenes'
        own units; NaN where the tile does not count.
    dates
        datetime64 (time,), rising.
    bands
        Names of the bands.
    labels
        Integer (tile,): 1…K, 0 = none.
    grid
        The grid of the tiles.
    layers
        Layers on that grid.
    areas_km2
        float64 (tile,): area of each tile's cell; where not given, `taxoscape.areas.cell_areas_km2` of the grid. Tiles
        of several regions on one joined grid have their areas on their own grids.
    n_zones
        K; where not given, the largest label.

    Returns
    -------
    One card per zone 1…K; a zone without tiles has NaN in all its numbers.

    Raises
    ------
    InputError
        Where the arrays do not fit each other.

    Notes
    -----
    Source: METHOD step 13, where people read the zones as climate, vegetation and water; here are the numbers for
    that. NDVI is made of values as stored: a declared offset that is not applied (Sentinel-2 since 2022, Landsat
    collection 2) shifts it, so compare zones rather than trust its level. Cost: some copies of ``means`` in float64.
    """
    areas = cell_areas_km2(grid) if areas_km2 is None else np.asarray(areas_km2)
    _check(means, deviations, dates, bands, labels, grid, layers, areas)
    known = spectrum(bands)
    placed = labels > 0
    values = np.where(placed[:, None, None], means, np.nan).astype(np.float64)
    ndvi, source = _ndvi(values, bands, known)
    bright = list(known.brightness)
    scores = {
        "ndvi": np.full(len(labels), np.nan) if ndvi is None else _score(ndvi[..., None]),
        "brightness": _score(values[..., bright]),
        "texture": _score(np.where(placed[:, None, None], deviations, np.nan).astype(np.float64)),
        "seasonality": _score(_over_dates(values)[:, None, :]),
    }
    tints = _tints(values, known)
    unit = _unit_of(ndvi)
    cards = []
    for zone in range(1, (n_zones or int(labels.max(initial=0))) + 1):
        own = labels == zone
        curve = None if ndvi is None else _curve(ndvi[own])
        card = ZoneCard(
            zone=zone, n_tiles=int(own.sum()), area_km2=float(areas[own].sum()), dates=np.asarray(dates),
            bands=tuple(bands), curves=tuple(_curve(values[own, :, b]) for b in range(len(bands))), ndvi=curve,
            ndvi_from=source, ndvi_z=_mean(scores["ndvi"][own]),
            greenness=None if curve is None else greenness(curve.mean, dates, unit=unit),
            brightness=_mean(values[own][..., bright]), brightness_z=_mean(scores["brightness"][own]),
            texture=_mean(np.asarray(deviations)[own]), texture_z=_mean(scores["texture"][own]),
            seasonality=_mean(_over_dates(values[own])), seasonality_z=_mean(scores["seasonality"][own]),
            tints=tuple((name, _mean(score[own])) for name, score in tints),
            layers=tuple(_facts(layer, own, placed) for layer in layers),
        )  # fmt: skip
        cards.append(card)
    return tuple(cards)


def _check(
    means: Float, deviations: Float, dates: Dates, bands: Sequence[str], labels: npt.NDArray[np.integer], grid: Grid,
    layers: Sequence[Layer], areas: Float64,
) -> None:  # fmt: skip
    shape = (grid.n_tiles, len(dates), len(bands))
    if means.shape != shape or deviations.shape != shape or labels.shape != shape[:1]:
        raise InputError(
            f"cards need means and deviations (tile, time, band) of {shape} and labels ({grid.n_tiles},); these are "
            f"{means.shape}, {deviations.shape} and {labels.shape}"
        )
    if areas.shape != shape[:1]:
        raise InputError(f"areas_km2 has the shape {areas.shape}, the grid has {grid.n_tiles} tiles: give one each")
    for layer in layers:
        if layer.values.shape != shape[:1]:
            raise InputError(
                f"the layer '{layer.name}' has {len(layer.values)} tiles, the grid {grid.n_tiles}: read it on that grid"
            )


def _ndvi(values: Float64, bands: Sequence[str], known: Spectrum) -> tuple[Float64 | None, str]:
    """Return (NDVI per tile and date or None, which bands it is of or why there is none)."""
    if known.ndvi is not None:
        return values[..., known.ndvi], f"band {bands[known.ndvi]}"
    if known.red is None or known.near_infrared is None:
        lacking = [name for name, band in (("red", known.red), ("near infrared", known.near_infrared)) if band is None]
        return None, f"no NDVI: no band is known as {' or '.join(lacking)} by its name ({', '.join(bands)})"
    red, near = values[..., known.red], values[..., known.near_infrared]
    total = near + red
    usable = np.isfinite(total) & (total > 0)
    ndvi = np.full(total.shape, np.nan)
    np.divide(near - red, total, out=ndvi, where=usable)
    return ndvi, f"{bands[known.red]} (red) and {bands[known.near_infrared]} (near infrared)"


def _unit_of(ndvi: Float64 | None) -> float:
    """Return 1 where the NDVI lies between −1 and 1, else the largest value, as for one stored in whole numbers."""
    if ndvi is None or not np.isfinite(ndvi).any():
        return 1.0
    most = float(np.nanmax(np.abs(ndvi)))
    return 1.0 if most <= 1.05 else most


def _tints(values: Float64, known: Spectrum) -> list[tuple[str, Float64]]:
    """Return (colour, its share in red, green and blue together, against the region, of each tile)."""
    if known.red is None or known.green is None or known.blue is None:
        return []
    colours = np.maximum(values[..., [known.red, known.green, known.blue]], 0)
    total = colours.sum(axis=-1, keepdims=True)
    shares = np.full(colours.shape, np.nan)
    np.divide(colours, total, out=shares, where=np.isfinite(total) & (total > 0))
    return [(name, _score(shares[..., [i]])) for i, name in enumerate(("red", "green", "blue"))]


def _score(values: Float64) -> Float64:
    """Return tiles against the region: float64 (tile,), mean over dates and bands of standard scores, standardised.

    ``values`` is float64 (tile, time, band), NaN = missing. NaN for a tile without data, and where all tiles are alike.
    """
    count = np.isfinite(values).sum(axis=0)
    centred = values - _column_mean(values)
    spread = np.sqrt(_column_mean(centred**2))
    usable = (count > 1) & (spread > 1e-9 * (np.abs(_column_mean(values)) + spread))
    scores = np.full(values.shape, np.nan)
    np.divide(centred, spread, out=scores, where=usable & np.isfinite(centred))
    tiles = _row_mean(scores.reshape(len(values), -1))
    deviation = float(np.sqrt(_mean((tiles - _mean(tiles)) ** 2)))
    return (tiles - _mean(tiles)) / deviation if deviation > 1e-9 else np.full(len(values), np.nan)


def _over_dates(values: Float64) -> Float64:
    """Return the deviation over its dates of each tile and band: float64 (tile, band); NaN with fewer than 2 dates."""
    by_time = np.moveaxis(values, 1, 0)
    centred = by_time - _column_mean(by_time)
    return np.where(np.isfinite(by_time).sum(axis=0) > 1, np.sqrt(_column_mean(centred**2)), np.nan)


def _curve(values: Float64) -> Curve:
    """Return mean and quantiles over tiles of values (tile, time)."""
    ordered = np.sort(values, axis=0)  # NaN last
    low, high = (_quantile(ordered, share) for share in (0.1, 0.9))
    return Curve(mean=_column_mean(values), low=low, high=high)


def _quantile(ordered: Float64, share: float) -> Float64:
    """Return a quantile of each column of sorted values with NaN last, between neighbours linearly; NaN if all are."""
    count = np.isfinite(ordered).sum(axis=0)
    if len(ordered) == 0:
        return np.full(ordered.shape[1], np.nan)
    position = share * np.maximum(count - 1, 0)
    below = np.floor(position).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(count - 1, 0))
    columns = np.arange(ordered.shape[1])
    left, right = ordered[below, columns], ordered[above, columns]
    return np.asarray(left + (right - left) * (position - below))


def _facts(layer: Layer, own: npt.NDArray[np.bool_], placed: npt.NDArray[np.bool_]) -> LayerFacts:
    """Return what a layer says of the tiles of a zone."""
    if layer.kind == "continuous":
        known = placed & np.isfinite(layer.values)
        region, mine = layer.values[known], np.sort(layer.values[known & own])[:, None]
        spread = float(region.std()) if len(region) else 0.0
        mean = _mean(mine)
        return LayerFacts(
            name=layer.name, n_tiles=len(mine), unit=layer.unit, mean=mean, low=float(_quantile(mine, 0.1)[0]),
            high=float(_quantile(mine, 0.9)[0]),
            z=(mean - float(region.mean())) / spread if spread > 0 else float("nan"),
        )  # fmt: skip
    known = placed & (layer.values > 0)
    region_counts = np.bincount(layer.values[known], minlength=len(layer.classes) + 1)[1:]
    counts = np.bincount(layer.values[known & own], minlength=len(layer.classes) + 1)[1:]
    total, everywhere = int(counts.sum()), int(region_counts.sum())
    order = [int(i) for i in np.argsort(-counts, kind="stable")[:TOP_CLASSES] if counts[i]]
    top = tuple((layer.classes[i], float(counts[i] / total), float(region_counts[i] / everywhere)) for i in order)
    return LayerFacts(name=layer.name, n_tiles=total, classes=top)


def _mean(values: Float) -> float:
    """Return the mean of what is finite, NaN if nothing is."""
    finite = values[np.isfinite(values)]
    return float(finite.mean(dtype=np.float64)) if finite.size else float("nan")


def _column_mean(values: Float64) -> Float64:
    """Return the mean over the first axis of what is finite, NaN if nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    mean = np.full(values.shape[1:], np.nan)
    np.divide(np.where(known, values, 0).sum(axis=0), count, out=mean, where=count > 0)
    return mean


def _row_mean(values: Float64) -> Float64:
    return _column_mean(values.T)
