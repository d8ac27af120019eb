"""Series with missing dates as plain matrices.

A tile that is cloudy, or outside the swath, on some dates takes part with the dates on which it counts. K-means
needs whole rows: `two_way_fill` gives them a first, neutral value, and `taxoscape.zones.kmeans` then goes on with what
was seen alone. What a tile misses is used in no distance. But on a date on which no tile of a zone counts its centroid
keeps the mean of the filled values, and the distance of a tile of another zone that counts then is taken to that;
`taxoscape.analysis.centroids` leaves such dates out. A learned metric (`taxoscape.zones.metric`) places a tile by the
dates that it has (`taxoscape.zones.axes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from taxoscape.errors import InputError
from taxoscape.executor import Executor, in_process
from taxoscape.zones.rows import by_parts, row_parts, rows_of, selected

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from taxoscape.zones.rows import Rows

    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]
    Int = npt.NDArray[np.int64]
    Bool = npt.NDArray[np.bool_]

Result = TypeVar("Result")

BLOCK_BYTES = 64 * 2**20
"""Bytes of float64 values that a computation holds at once."""


def counted(series: xr.Dataset, execute: Executor = in_process) -> Bool:
    """Return on which dates each tile counts: bool (tile, time), False where a value of its embedding is missing.

    One pass over the series, which is not loaded whole; by workers where there are some and it is not in memory.
    """
    values = rows_of(series, execute)
    counts = np.empty(values.shape[:2], dtype=bool)
    row_bytes = 8 * values.shape[1] * values.shape[2]
    for part, found in by_parts(values, _finite, row_bytes=row_bytes, most_bytes=BLOCK_BYTES):
        counts[part] = found
    return counts


def _finite(rows: Float32) -> Bool:
    return np.asarray(np.isfinite(rows).all(axis=2), dtype=np.bool_)


def truly_seen(series: xr.Dataset, counts: Bool) -> Bool:
    """Return on which dates a tile was seen: bool (tile, time); dates that `taxoscape.encode` filled were not."""
    if not series.attrs.get("filled"):
        return counts
    share, least = series["valid"].to_numpy(), float(series.attrs.get("min_valid", 0.5))
    return np.asarray(counts & (share >= least) & (share > 0), dtype=np.bool_)


def whole_rows(values: Rows, counts: Bool) -> tuple[Float32, Int]:
    """Return the flattened series of the tiles that count on any date, without gaps.

    Parameters
    ----------
    values
        float32 (tile, time, feature); what it holds where ``counts`` is False does not matter.
    counts
        bool (tile, time).

    Returns
    -------
    float32 (row, time · feature), filled by `two_way_fill`, and int64 (row,): which tiles these are.

    Raises
    ------
    InputError
        Where no tile counts on any date.

    Notes
    -----
    Memory: none where every tile counts on every date (the rows are a view of ``values`` then); else the result, and
    while it is made as much again where tiles are left out and dates are missing.
    """
    values, counts, members = seen_rows(values, counts)
    filled = values[:] if counts.all() else two_way_fill(values, counts)
    return filled.reshape(len(members), -1), members


def seen_rows(values: Rows, counts: Bool) -> tuple[Rows, Bool, Int]:
    """Return values and counts of the tiles that count on any date, and which these are: int64 (row,).

    Raises
    ------
    InputError
        Where no tile counts on any date.

    Notes
    -----
    Views where every tile counts on a date; of stored rows nothing is read.
    """
    members = np.flatnonzero(counts.any(axis=1))
    if not len(members):
        raise InputError("no tile counts on any date, so there is nothing to cluster: lower --min-valid")
    return selected(values, members), (counts if len(members) == len(counts) else counts[members]), members


def two_way_fill(values: Rows, counts: Bool) -> Float32:
    """Fill missing dates with the mean of the date plus how the tile differs from the mean on its other dates.

    Parameters
    ----------
    values
        float32 (tile, time, feature); what it holds where ``counts`` is False does not matter.
    counts
        bool (tile, time); at least one True per tile.

    Returns
    -------
    float32 (tile, time, feature), a copy, finite everywhere. A date on which no tile counts becomes the mean of the
    other dates' means.
    """
    date_mean = means_of_dates(values, counts)
    filled = np.empty(values.shape, dtype=np.float32)
    for part, block in _parts(values):
        filled[part] = fill_from_means(block, counts[part], date_mean)
    return filled


def means_of_dates(values: Rows, counts: Bool) -> Float64:
    """Return the mean of each date over the tiles that count; where none does, that of the other dates' means.

    Parameters
    ----------
    values, counts
        float32 (tile, time, feature) and bool (tile, time).

    Returns
    -------
    float64 (time, feature).
    """
    per_date = counts.sum(axis=0)[:, None]
    means = np.zeros(values.shape[1:])
    for part, block in _parts(values):
        means += np.where(counts[part, :, None], block, 0).sum(axis=0, dtype=np.float64)
    means /= np.maximum(per_date, 1)
    never = per_date[:, 0] == 0
    if never.any() and not never.all():
        means[never] = means[~never].mean(axis=0)
    return means


def fill_from_means(values: npt.NDArray[np.floating], counts: Bool, date_means: Float64) -> Float64:
    """Fill missing dates with the given mean of the date plus how the tile differs from the means on its other dates.

    Parameters
    ----------
    values
        float (tile, time, feature); what it holds where ``counts`` is False does not matter.
    counts
        bool (tile, time).
    date_means
        float64 (time, feature).

    Returns
    -------
    float64 (tile, time, feature); a tile that counts on no date becomes the means.
    """
    seen = counts[:, :, None]
    offset = np.where(seen, values - date_means, 0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    return np.where(seen, values, date_means + offset[:, None])


def counted_means(values: Rows, counts: Bool, labels: Int, k: int) -> Float32:
    """Return the mean series of each zone over the tiles that count, and over filled values where none counts.

    Parameters
    ----------
    values, counts
        float32 (tile, time, feature) and bool (tile, time); at least one True per tile.
    labels
        int64 (tile,), 0…K−1.
    k
        Number of zones; none is empty.

    Returns
    -------
    float32 (zone, time, feature). Where no tile of a zone counts on a date, the mean over its tiles of what
    `two_way_fill` gives them then.

    Notes
    -----
    Sums are float64. One pass over the series, and two more where a zone has a date without a tile.
    """
    dates = np.stack([counts[labels == zone].sum(axis=0) for zone in range(k)])[:, :, None]
    sums = np.zeros((k, *values.shape[1:]))
    for _, found in _by_parts(values, _sums_of_zones, counts, labels):
        for zone, total in found.items():
            sums[zone] += total
    means = sums / np.maximum(dates, 1)
    if (dates == 0).any():
        date_means, filled = means_of_dates(values, counts), np.zeros(sums.shape)
        for _, found in _by_parts(values, partial(_filled_sums, date_means), counts, labels):
            for zone, total in found.items():
                filled[zone] += total
        means = np.where(dates > 0, means, filled / np.bincount(labels, minlength=k)[:, None, None])
    return np.asarray(means, dtype=np.float32)


def flat_distances(values: Rows, counts: Bool, centroids: Float32) -> Float32:
    """Return √(T/|S| · Σ_{t∈S} ‖x_t − c_t‖²) of each tile to each centroid over the dates S on which the tile counts.

    Parameters
    ----------
    values, counts
        float32 (tile, time, feature) and bool (tile, time).
    centroids
        float32 (zone, time, feature), finite.

    Returns
    -------
    float32 (tile, zone); NaN in the rows of tiles that count on no date.

    Notes
    -----
    A matrix product per block of tiles, in float64 on values centred on the mean centroid: one pass over the series.
    With every date counted this is the Euclidean distance of the flattened series, which K-means minimises.
    """
    n, times = values.shape[:2]
    centre = centroids.mean(axis=0, dtype=np.float64)
    targets = centroids - centre  # (zone, time, feature)
    norms = np.square(targets).sum(axis=2).T  # (time, zone)
    result = np.full((n, len(centroids)), np.nan, dtype=np.float32)
    for part, squares in _by_parts(values, partial(_squares_to, centre, targets, norms), counts):
        seen = counts[part]
        scaled = squares * (times / np.maximum(seen.sum(axis=1), 1))[:, None]
        result[part] = np.where(np.any(seen, axis=1, keepdims=True), np.sqrt(np.maximum(scaled, 0)), np.nan)
    return result


def _sums_of_zones(rows: Float32, seen: Bool, labels: Int) -> dict[int, Float64]:
    """Return the sums of the rows of each zone over the dates seen: float64 (time, feature)."""
    known = rows if seen.all() else np.where(seen[:, :, None], rows, 0)
    return {int(zone): known[labels == zone].sum(axis=0, dtype=np.float64) for zone in np.unique(labels)}


def _filled_sums(date_means: Float64, rows: Float32, seen: Bool, labels: Int) -> dict[int, Float64]:
    """Return the sums of the rows of each zone, their gaps filled: float64 (time, feature)."""
    whole = fill_from_means(rows, seen, date_means)
    return {int(zone): whole[labels == zone].sum(axis=0) for zone in np.unique(labels)}


def _squares_to(
    centre: npt.NDArray[np.floating], targets: npt.NDArray[np.floating], norms: npt.NDArray[np.floating],
    rows: Float32, seen: Bool,
) -> npt.NDArray[np.floating]:  # fmt: skip
    """Return squared distances of rows to targets over the dates seen (row, target); see `flat_distances`."""
    known = np.where(seen[:, :, None], rows - centre, 0).reshape(len(seen), -1)
    flat = targets.reshape(len(targets), -1)
    return np.asarray(np.square(known).sum(axis=1)[:, None] + seen @ norms - known @ (2 * flat).T)


def _by_parts(
    values: Rows, work: Callable[..., Result], *beside: npt.NDArray[Any]
) -> Iterator[tuple[slice, Result]]:  # fmt: skip
    """Do work on the parts of `_parts`, by workers where there are some."""
    row_bytes = 8 * values.shape[1] * values.shape[2]
    yield from by_parts(values, work, *beside, row_bytes=row_bytes, most_bytes=BLOCK_BYTES)


def _parts(values: Rows) -> Iterator[tuple[slice, Float32]]:
    """Yield slices of tiles of which `BLOCK_BYTES` hold the values in float64, and the values."""
    yield from row_parts(values, 8 * values.shape[1] * values.shape[2], BLOCK_BYTES)
