"""What all tiles of a date have in common that those of the zones had not: haze, light, a gain that drifts.

Scenes of another year are a little lighter or darker as a whole, date by date, and under a metric that divides by what
varies within zones such a shift is large: without taking it out, clean ground of another year looks like nothing that
was seen before. It is taken out date by date and feature by feature, by medians, so that tiles that did change have no
say while they are fewer than half:

* where tiles lie on the very ground of tiles that the zones were made of: the median difference to these;
* elsewhere: the median difference to the mean series of a tile's zone, the zones and the differences found in turn. So
  another area may have other shares of the zones.

What is measured is in `docs/evidence.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.zones.missing import counted

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from taxoscape.grid import Grid

    Int = npt.NDArray[np.int64]
    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]
    Bool = npt.NDArray[np.bool_]

LEAST_TILES = 30
"""Tiles that a date's level is told from, at least; with fewer it is left as it is."""
MOST_TILES = 4_000
"""Tiles that are looked at, at most."""
ROUNDS = 10
"""Most rounds of zones and levels in turn."""


def same_ground(one: Grid, other: Grid) -> tuple[Int, Int]:
    """Return the tiles of two grids that lie on the same ground: int64 (pair,) each; none where lattices differ."""
    none = np.zeros(0, dtype=np.int64)
    pixels = [(g.lattice.crs, g.lattice.dx, g.lattice.dy, g.tile_size, g.stride) for g in (one, other)]
    if pixels[0] != pixels[1]:
        return none, none
    mine, theirs = (2**32 * g.rows.astype(np.int64) + g.cols.astype(np.int64) for g in (one, other))
    _, first, second = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
    return first.astype(np.int64), second.astype(np.int64)


def level_shifts(
    series: xr.Dataset,
    learned_from: xr.Dataset,
    grids: tuple[Grid, Grid],
    centroids: Float32,
    nearest: Callable[[Float32, Bool], Int],
    *,
    rng: int = 0,
) -> Float64:
    """Return by how much each date of a series is shifted against the series that zones were made of.

    Parameters
    ----------
    series, learned_from
        Datasets of `taxoscape.encode` with as many dates and features.
    grids
        Their tiles.
    centroids
        float32 (zone, time, feature): mean series of the zones.
    nearest
        Given values (tile, time, feature) and which dates count (tile, time), the zone 0…K−1 of each tile.
    rng
        Seed of the sample of tiles.

    Returns
    -------
    float64 (time, feature); 0 on dates with too few tiles.
    """
    generator = np.random.default_rng(rng)
    here, there = same_ground(*grids)
    chosen = np.sort(generator.permutation(len(here))[:MOST_TILES])
    here, there = here[chosen], there[chosen]
    shift = np.full(centroids.shape[1:], np.nan)
    if len(here) >= LEAST_TILES:
        now, before = (found.isel(tile=tiles) for found, tiles in ((series, here), (learned_from, there)))
        both = counted(now) & counted(before)
        shift = _medians(now["embedding"].to_numpy() - before["embedding"].to_numpy(), both)
    if np.isfinite(shift).all():
        return shift
    counts = counted(series)
    tiles = np.sort(generator.permutation(np.flatnonzero(counts.any(axis=1)))[:MOST_TILES])
    values, counts = series["embedding"].isel(tile=tiles).to_numpy(), counts[tiles]
    known, by_zone = np.isfinite(shift), np.zeros(shift.shape)
    for _ in range(ROUNDS):
        total = np.where(known, shift, by_zone)
        zones = nearest((values - total).astype(np.float32), counts)
        found = np.nan_to_num(_medians(values - centroids[zones], counts))
        settled = np.allclose(found[~known], by_zone[~known], rtol=0, atol=1e-6)
        by_zone = found
        if settled:
            break
    return np.where(known, shift, by_zone)


def _medians(differences: npt.NDArray[np.floating], counts: Bool) -> Float64:
    """Return the median over the tiles that count: float64 (time, feature), NaN on dates with too few."""
    medians = np.full(differences.shape[1:], np.nan)
    for time in np.flatnonzero(counts.sum(axis=0) >= LEAST_TILES):
        medians[time] = np.median(differences[counts[:, time], time].astype(np.float64), axis=0)
    return medians
