"""Distances between series, with missing dates.

Two distances, and every number says which it is under:

* ``flat``: Euclidean on the flattened series, √(Σ_t ‖x_t − y_t‖²). K-means minimises its square.
* ``sumnorm``: d(x, y) = Σ_t ‖x_t − y_t‖, METHOD step 7, the distance of the paper's silhouette and graph.

With missing dates both are taken over the dates S that two series share and scaled to all T dates: T/|S| under the sum
(under the root for ``flat``). Two series that share no date have no distance: NaN, and such pairs take no part.

Everything is done in blocks of tiles × tiles by matrix products, ‖x‖² + ‖y‖² − 2x·y on features centred by date: for
``flat`` one product over T · F (missing dates are zeros there, and the norms are summed over shared dates), for
``sumnorm`` one per date. That form loses digits where two series are much nearer to each other than to the centre;
such pairs are taken again from their differences, or, where they are many, by a product in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from taxoscape.errors import InputError
from taxoscape.progress import Track, silent

if TYPE_CHECKING:
    import numpy.typing as npt

    from taxoscape.zones.rows import StoredRows

    Float = npt.NDArray[np.floating]
    Float64 = npt.NDArray[np.float64]
    Bool = npt.NDArray[np.bool_]
    Int = npt.NDArray[np.int64]

Metric = Literal["flat", "sumnorm"]

ENOUGH_DATES = 0.8
"""Where a distance runs over the counted dates alone, few of them make a tile near everything: a tile stands for others
where it counts on at least this share of the dates of the tile with the most dates."""
BUDGET_BYTES = 256 * 2**20
"""Bytes that the blocks of a computation hold at once, beside its input and its result."""
FLOAT64_WORK = 2_000_000_000
"""Products n · m · T · F up to which distances are computed in float64; above it in float32."""
_SIDE = 1_024
_STRIPE = 256
_NEAR = {"float32": 3e-4, "float64": 1e-10}
"""Squared distance over squared spread below which a pair is taken again: the rest is good to 1e-5 (1e-9) of spread."""
_MANY = 1 / 50


def pairwise(left: Float, right: Float, *, metric: Metric) -> Float64:
    """Return the distances between two sets of series.

    Parameters
    ----------
    left, right
        float (n, time, feature) and float (m, time, feature); a date with a value that is not finite is missing.
    metric
        ``"flat"`` or ``"sumnorm"``.

    Returns
    -------
    float64 (n, m); NaN where two series share no date.

    Raises
    ------
    InputError
        Where ``left`` and ``right`` differ in dates or features.

    Notes
    -----
    O(n · m · T · F) time; memory: the result and at most `BUDGET_BYTES`. Up to n · m · T · F = `FLOAT64_WORK` products
    in float64, good to about 1e-9 of the spread (the distance of the two series from the mean series); beyond it in
    float32, good to about 1e-5 of it.
    """
    result = np.empty((len(left), len(right)))
    for rows, cols, block in distance_blocks(left, right, metric=metric):
        result[rows, cols] = block
    return result


def distance_blocks(
    left: Float | StoredRows,
    right: Float | StoredRows,
    *,
    metric: Metric,
    left_index: Int | None = None,
    right_index: Int | None = None,
    symmetric: bool = False,
    track: Track = silent,
) -> Iterator[tuple[slice, slice, Float]]:
    """Yield the distances between two sets of series block by block.

    Parameters
    ----------
    left, right
        As for `pairwise`; or stored rows, which are read block by block.
    metric
        ``"flat"`` or ``"sumnorm"``.
    left_index, right_index
        int64 (n,) and (m,), rising: which series of ``left`` and ``right`` take part; None: all.
    symmetric
        Both sides are the same series in the same order: only the blocks on and above the diagonal are yielded.
    track
        Told of each block done.

    Yields
    ------
    Positions among the left series (slice), among the right ones (slice), and the distances between them: float32 or
    float64 (rows, cols), NaN where two series share no date; the caller may overwrite them.

    Raises
    ------
    InputError
        As for `pairwise`.

    Notes
    -----
    Memory and precision as for `pairwise`.
    """
    if left.shape[1:] != right.shape[1:]:
        raise InputError(
            f"distances need series of the same dates and features, these are {left.shape[1:]} and {right.shape[1:]} "
            "(time, feature): encode both with one encoder and keep the same dates"
        )
    n = len(left) if left_index is None else len(left_index)
    m = len(right) if right_index is None else len(right_index)
    times, features = left.shape[1:]
    dtype = np.dtype(np.float64 if n * m * times * features <= FLOAT64_WORK else np.float32)
    side = _side(times * features * dtype.itemsize, dtype.itemsize)
    groups = [slice(0, times)] if metric == "flat" else [slice(time, time + 1) for time in range(times)]
    centre = _centre(right, right_index, side).astype(dtype)
    plan = [(r, c) for c in _spans(m, side) for r in _spans(n, side) if not symmetric or r.start <= c.start]
    own: tuple[slice, _Operand] | None = None
    other: tuple[slice, _Operand] | None = None
    for rows, cols in track(plan, f"distances, {metric}", len(plan)):
        if other is None or other[0] != cols:
            other = (cols, _operand(_pick(right, right_index, cols), centre, groups))
        if own is None or own[0] != rows:  # the same all the time, where few are compared with many
            own = (rows, _operand(_pick(left, left_index, rows), centre, groups))
        yield rows, cols, _block(own[1], other[1], metric)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operand:
    """A block of series made ready for products."""

    parts: list[Float]
    """Per group of dates float (row, date · feature), centred, 0 on missing dates."""
    norms: list[Float]
    """Per group float (row, date): squared norm, 0 on missing dates."""
    seen: list[Float]
    """Per group float (row, date): 1 where the date is there, else 0."""
    complete: bool
    """Whether no date is missing."""


def _operand(values: Float, centre: Float, groups: list[slice]) -> _Operand:
    parts, norms, seen = [], [], []
    for group in groups:
        part = np.empty((len(values), *centre[group].shape), dtype=centre.dtype)
        np.subtract(values[:, group], centre[group], out=part, casting="same_kind")
        norm = np.einsum("ntf,ntf->nt", part, part)
        there = np.isfinite(norm)
        if not there.all():
            part[~there] = 0
            norm[~there] = 0
        parts.append(part.reshape(len(values), -1))
        norms.append(norm)
        seen.append(there.astype(centre.dtype))
    return _Operand(parts=parts, norms=norms, seen=seen, complete=all(bool(there.all()) for there in seen))


def _block(left: _Operand, right: _Operand, metric: Metric) -> Float:
    """Return the distances between two blocks: float (row, col), NaN where no date is shared."""
    shape = len(left.parts[0]), len(right.parts[0])
    dtype = left.parts[0].dtype
    squares, scale = np.empty(shape, dtype), np.empty(shape, dtype)
    total = np.zeros(shape, dtype) if metric == "sumnorm" else squares
    for group in range(len(left.parts)):
        _squares(left, right, group, squares, scale)
        if metric == "sumnorm":
            total += np.sqrt(squares, out=squares)
    if not (left.complete and right.complete):
        shared = np.matmul(np.concatenate(left.seen, axis=1), np.concatenate(right.seen, axis=1).T, out=scale)
        with np.errstate(divide="ignore", invalid="ignore"):
            total *= np.divide(sum(there.shape[1] for there in left.seen), shared, out=shared)  # 0 · (T / 0) is NaN
    return total if metric == "sumnorm" else np.sqrt(total, out=total)


def _squares(left: _Operand, right: _Operand, group: int, squares: Float, scale: Float) -> None:
    """Write the squared distances over the shared dates of a group into ``squares``, spoiling ``scale``."""
    np.matmul(left.parts[group], right.parts[group].T, out=squares)
    own, other = left.norms[group], right.norms[group]
    if left.complete and right.complete:
        np.add(own.sum(axis=1)[:, None], other.sum(axis=1), out=scale)
    else:  # Σ over shared dates of ‖x_t‖² + ‖y_t‖²
        own = np.concatenate([own, left.seen[group]], axis=1)
        other = np.concatenate([right.seen[group], other], axis=1)
        np.matmul(own, other.T, out=scale)
    squares *= -2
    squares += scale
    scale *= _NEAR[str(squares.dtype)]
    near = squares < scale
    if near.any():
        for rows in _spans(len(near), _STRIPE):
            for cols in _spans(near.shape[1], _STRIPE):
                _mend(squares[rows, cols], near[rows, cols], _cut(left, group, rows), _cut(right, group, cols))
    np.maximum(squares, 0, out=squares)


def _cut(operand: _Operand, group: int, rows: slice) -> tuple[Float, Float]:
    """Return the (row, date, feature) and (row, date) arrays of some rows of a group: series and dates seen."""
    seen = operand.seen[group][rows]
    return operand.parts[group][rows].reshape(*seen.shape, -1), seen


def _mend(squares: Float, near: Bool, left: tuple[Float, Float], right: tuple[Float, Float]) -> None:
    """Write the squared distances of near pairs anew, without the loss of digits."""
    count = int(np.count_nonzero(near))
    if count > _MANY * near.size and squares.dtype == np.float32:
        a, b = left[0].astype(np.float64), right[0].astype(np.float64)
        own = np.concatenate([np.square(a).sum(axis=2), left[1]], axis=1)
        other = np.concatenate([right[1], np.square(b).sum(axis=2)], axis=1)
        squares[...] = own @ other.T - 2 * a.reshape(len(a), -1) @ b.reshape(len(b), -1).T
    elif count:
        rows, cols = np.nonzero(near)
        step = max(1, BUDGET_BYTES // (32 * left[0].itemsize * max(1, left[0][0].size)))
        for span in _spans(count, step):
            i, j = rows[span], cols[span]
            difference = left[0][i]
            difference -= right[0][j]
            by_date = np.einsum("ptf,ptf->pt", difference, difference)
            squares[i, j] = (by_date * left[1][i] * right[1][j]).sum(axis=1)


def _centre(values: Float | StoredRows, index: Int | None, most: int) -> Float64:
    """Return float64 (time, feature), near the mean series: the mean of at most ``most`` series spread over all.

    Any centre gives the same distances; a near one keeps their digits. 0 on a date that none of the series has.
    """
    n = len(values) if index is None else len(index)
    picked = np.unique(np.linspace(0, max(n - 1, 0), min(n, most)).astype(np.int64))
    part = values[picked if index is None else index[picked]]
    seen: Bool = np.asarray(np.isfinite(part).all(axis=2))
    centre: Float64 = np.where(seen[:, :, None], part, 0).sum(axis=0, dtype=np.float64)
    centre /= np.maximum(seen.sum(axis=0), 1)[:, None]
    return centre


def _side(series_bytes: int, distance_bytes: int) -> int:
    """Return the tiles on a side of a block whose series, and their distances, stay well within the budget."""
    by_series = BUDGET_BYTES // (6 * max(1, series_bytes))
    return max(1, min(_SIDE, by_series, math.isqrt(BUDGET_BYTES // (8 * distance_bytes))))


def _pick(values: Float | StoredRows, index: Int | None, span: slice) -> npt.NDArray[Any]:
    return values[span] if index is None else values[index[span]]


def _spans(length: int, step: int) -> Iterator[slice]:
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))
