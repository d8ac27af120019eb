"""Lloyd's iterations over series that are read block by block: exact, from several starts at once, and never in vain.

A pass serves all starts. Nothing is approximated: every row goes to its nearest centre, every centre becomes the mean
of all its rows, until no row moves, or the centres move as little as scikit-learn stops at. But rows are looked at only
where they can move. Of each row a bound is kept from above on the distance to its centre and one from below on that to
any other; when centres move, so do the bounds, by the triangle inequality, and a row whose bounds do not meet stays
where it is (Hamerly, *Making k-means even faster*, SDM 2010). Sums are kept in float64 and changed by the rows that
move; a block in which no row of any start can move is not read.

Products are float32, so the bounds leave room for their rounding (`_room`): what is skipped would not have moved.
Distances are taken from near the mean series, so that they keep their digits. With missing dates they are over the
dates seen, a centre is the mean, date by date, of the rows seen, and the bounds hold all the same: leaving dates out
shortens the way that a centre has moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.ahead import spread
from taxoscape.progress import Track, silent
from taxoscape.zones.missing import fill_from_means
from taxoscape.zones.rows import row_blocks, some_parts, squared_lengths
from taxoscape.zones.starts import MAX_ITERATIONS, Partition

if TYPE_CHECKING:
    import numpy.typing as npt

    from taxoscape.zones.rows import Rows

    Int = npt.NDArray[np.int64]
    Int8 = npt.NDArray[np.int8]
    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]
    Bool = npt.NDArray[np.bool_]

BLOCK_BYTES = 8 * 2**20
"""Bytes of float32 rows that are read at once: what is skipped, is skipped in such blocks. And bytes of what is looked
at of them at once, however many clusters there are, see `_pieces`."""
PAIR_BYTES = 24
"""Bytes that a row and a cluster take while they are looked at: float32 distances twice, changes, these in float64."""
MOST_THREADS = 8
"""Blocks that are looked at side by side, each by a thread; with more, their memory would count."""
TOLERANCE = 1e-4
"""Squared way of all centres in a pass, over the mean variance of a column, at which the passes end, as in
scikit-learn."""


class Source:
    """Rows as the passes take them: float32 (row, column), less a middle, filled or zero where a date is missing.

    Parameters
    ----------
    values
        Rows (row, time, feature).
    seen
        bool (row, time), at least one True a row.
    middle
        float64 (time, feature): where distances are taken from, near the mean series.
    fill
        float64 (time, feature): means of the dates from which missing ones are filled
        (`taxoscape.zones.missing.fill_from_means`); None: missing dates take no part.
    """

    def __init__(self, values: Rows, seen: Bool, *, middle: Float64, fill: Float64 | None = None) -> None:
        self.values, self.seen, self.fill = values, seen, fill
        self.middle: Float32 = np.asarray(middle.ravel(), dtype=np.float32)
        self.whole = fill is not None or bool(seen.all())
        self.times = 1 if self.whole else seen.shape[1]
        self.parts = list(row_blocks(len(values), 4 * len(self.middle), BLOCK_BYTES))
        self.lengths: Float64 = np.full(len(values), np.nan)
        self.threads = min(MOST_THREADS, _threads())

    def blocks(self, parts: Sequence[slice]) -> Iterator[tuple[slice, Float32, Float32]]:
        """Yield some of the parts, their rows, and which dates were seen: float32 (row, 1) where all were."""
        yield from map(self.block, some_parts(self.values, parts))

    def block(self, found: tuple[slice, Float32]) -> tuple[slice, Float32, Float32]:
        """Return a part of the rows as `blocks` yields it, from the values read."""
        part, values = found
        rows = self.made(values, self.seen[part])
        if np.isnan(self.lengths[part.start]):
            self.lengths[part] = squared_lengths(rows)
        return part, rows, np.ones((len(rows), 1), np.float32) if self.whole else self.seen[part].astype(np.float32)

    def made(self, block: npt.NDArray[np.floating], seen: Bool) -> Float32:
        """Return rows (row, time, feature) as the passes take them."""
        gaps = not seen.all()
        if gaps and self.fill is not None:
            block = fill_from_means(block, seen, self.fill).astype(np.float32)
        rows: Float32 = np.subtract(block.reshape(len(block), -1), self.middle, dtype=np.float32)
        if gaps and self.fill is None:
            rows.reshape(*seen.shape, -1)[~seen] = 0
        return rows


@dataclass(slots=True, kw_only=True, eq=False)
class _Start:
    """One start on its way; columns are less the middle."""

    centres: Float32
    """(cluster, column)."""
    labels: npt.NDArray[np.int32]
    """(row,), −1 before the first pass."""
    sums: Float64
    """(cluster, column): sum of the rows over the dates seen."""
    dates: Float64
    """(cluster, date): rows seen; one column where all are."""
    upper: Float32
    """(row,): bound from above on the distance to the own centre."""
    lower: Float32
    """(row,): bound from below on the distance to any other."""
    moved: bool = False
    """Whether a row changed its cluster in this pass."""
    last: bool = False
    """Whether only labels are wanting: the centres have come to rest."""
    done: bool = False

    @classmethod
    def at(cls, centres: Float32, n: int, times: int) -> _Start:
        k = len(centres)
        return cls(
            centres=centres, labels=np.full(n, -1, np.int32), sums=np.zeros(centres.shape), dates=np.zeros((k, times)),
            upper=np.full(n, np.inf, np.float32), lower=np.zeros(n, np.float32),
        )  # fmt: skip

    def open(self, part: slice) -> Bool:
        """Return which rows of a part may move."""
        return np.asarray(self.upper[part] >= self.lower[part])

    def squares(self) -> Float64:
        """Return the squared lengths of the centres: (cluster, date)."""
        by_date = self.centres.astype(np.float64).reshape(*self.dates.shape, -1)
        return np.asarray(np.square(by_date).sum(axis=2))

    def means(self) -> Float32:
        """Return the means of the rows; where no row of a cluster was seen the centres stand."""
        sums, dates = self.sums.reshape(*self.dates.shape, -1), self.dates[:, :, None]
        means = np.where(dates > 0, sums / np.maximum(dates, 1), self.centres.reshape(sums.shape))
        return np.asarray(means.reshape(self.centres.shape), dtype=np.float32)

    def inertia(self, lengths: Float64) -> float:
        """Return the sum of squared distances to the own centres, from the sums."""
        both = (self.centres.astype(np.float64) * self.sums).sum()
        return max(0.0, float(lengths.sum() - 2 * both + (self.dates * self.squares()).sum()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """What `lloyd` found, start by start, and how often it read."""

    partitions: list[Partition]
    """One for each start; centres (cluster, time · feature)."""
    passes: int
    """Passes over the rows."""
    blocks: int
    """Blocks that were read in all of them; without bounds it would be passes × blocks of the rows."""
    read: list[int] = field(default_factory=list)
    """Blocks read, pass by pass."""


def lloyd(
    source: Source,
    centres: Sequence[Float32],
    *,
    labels: Sequence[Int] | None = None,
    tolerance: float = TOLERANCE,
    most: int = MAX_ITERATIONS,
    track: Track = silent,
) -> Passes:
    """Run Lloyd's iterations from several starts, all in one pass over the rows.

    Parameters
    ----------
    source
        The rows.
    centres
        Of each start float32 (cluster, time · feature), finite.
    labels
        Of each start int64 (row,), a cluster for every row: then the means of these are begun with, and ``centres``
        stand where no row of a cluster was seen. That takes one pass more.
    tolerance
        A start ends when no row moves, or when its centres move by less, see `TOLERANCE`; 0: only when no row moves.
    most
        Most passes of a start.
    track
        Told of each pass.

    Returns
    -------
    `Passes`. A row is in the cluster of the nearest centre, but for a cluster that was refilled in the last pass
    allowed.

    Notes
    -----
    A cluster that loses all its rows takes the row farthest from its centre among clusters of several rows, which is
    found in a pass of its own. Memory: a few blocks a thread, whatever the numbers of columns and clusters, some 20
    bytes a row and start, and 12 bytes a value of the centres.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):  # threads have blocks of their own
        return _lloyd(source, centres, labels, tolerance, most, track)


def _lloyd(
    source: Source, centres: Sequence[Float32], labels: Sequence[Int] | None, tolerance: float, most: int, track: Track
) -> Passes:
    n = len(source.values)
    starts = [_Start.at((own - source.middle).astype(np.float32), n, source.times) for own in centres]
    if labels is not None:
        _begin_with(source, starts, labels)
    read: list[int] = []
    least = 0.0
    for number in track(range(1, most + 2), f"K-means over all rows, {len(centres)} starts", most + 1):
        going = [start for start in starts if not start.done]
        if not going:
            break
        read.append(_sweep(source, going))
        if number == 1 and tolerance:
            least = tolerance * _mean_variance(source.lengths, going[0].sums)
        for start in going:
            _advance(source, start, least, last=number >= most)
    found = [
        Partition(
            labels=start.labels.astype(np.int64), centres=start.centres + source.middle,
            inertia=start.inertia(source.lengths),
        )
        for start in starts
    ]  # fmt: skip
    return Passes(partitions=found, passes=len(read), blocks=sum(read), read=read)


def means_of(source: Source, labelings: Sequence[Int], ks: Sequence[int]) -> list[Float32]:
    """Return the means of the rows of the labels of several partitions: float32 (cluster, column) each.

    Parameters
    ----------
    source
        The rows, whose dates are filled or all seen.
    labelings
        Of each partition int64 (row,), 0…k−1, each at least once; rows of a negative label take no part.
    ks
        Clusters of each.

    Notes
    -----
    One pass over the rows.
    """
    sums = [np.zeros((k, len(source.middle))) for k in ks]
    for part, rows, _ in source.blocks(source.parts):
        for piece in _pieces(len(rows), max(ks)):
            exact = rows[piece].astype(np.float64)
            for total, labels in zip(sums, labelings, strict=True):
                total += (labels[part][piece] == np.arange(len(total))[:, None]).astype(np.float64) @ exact
    return [
        np.asarray(total / np.maximum(np.bincount(labels[labels >= 0], minlength=k), 1)[:, None] + source.middle,
                   dtype=np.float32)
        for total, labels, k in zip(sums, labelings, ks, strict=True)
    ]  # fmt: skip


def _begin_with(source: Source, starts: list[_Start], labels: Sequence[Int]) -> None:
    """Put the rows into given clusters, in one pass, and the centres to their means."""
    ks = [len(start.centres) for start in starts]

    def summed(found: tuple[slice, Float32]) -> tuple[Float64, Float64]:
        part, rows, seen = source.block(found)
        sums, dates = np.zeros((sum(ks), rows.shape[1])), np.zeros((sum(ks), seen.shape[1]))
        for piece in _pieces(len(rows), sum(ks)):
            changes = [np.eye(k, dtype=np.int8)[own[part][piece]] for k, own in zip(ks, labels, strict=True)]
            came = _sums(changes, rows[piece], seen[piece])
            sums, dates = sums + came[0], dates + came[1]
        return sums, dates

    for sums, dates in spread(summed, some_parts(source.values, source.parts), source.threads):
        _add(starts, sums, dates)
    for start, own in zip(starts, labels, strict=True):
        start.labels = own.astype(np.int32)
        start.centres = start.means()


def _sweep(source: Source, going: list[_Start]) -> int:
    """Bring the rows that may move to their nearest centres; return how many blocks were read for it."""
    wanted = [part for part in source.parts if any(start.open(part).any() for start in going)]
    targets = np.concatenate([-2 * start.centres for start in going]).T
    squares = np.concatenate([start.squares() for start in going]).T.astype(np.float32)
    largest = [float(start.squares().sum(axis=1).max()) for start in going]

    def changed(which: Int, rows: Float32, seen: Float32) -> tuple[Float64, Float64, Bool] | None:
        distances = rows @ targets
        distances += seen @ squares
        lengths, changes, begin = source.lengths[which], [], 0
        for start, far in zip(going, largest, strict=True):
            end = begin + len(start.centres)
            changes.append(_settle(start, which, distances[:, begin:end], lengths, far, rows.shape[1]))
            begin = end
        moved = [change.any(axis=1) for change in changes]
        some = np.flatnonzero(np.logical_or.reduce(moved))
        if not len(some):
            return None
        own = np.array([rows.any() for rows in moved])
        return *_sums([change[some] for change in changes], rows[some], seen[some]), own

    def looked_at(found: tuple[slice, Float32]) -> tuple[Float64, Float64, Bool] | None:
        part, rows, seen = source.block(found)
        some = np.flatnonzero(np.logical_or.reduce([start.open(part) for start in going]))
        if 2 * len(some) < len(rows):
            rows, seen = rows[some], seen[some]
        else:
            some = np.arange(len(rows))
        total: tuple[Float64, Float64, Bool] | None = None
        for piece in _pieces(len(rows), targets.shape[1]):
            own = changed(part.start + some[piece], rows[piece], seen[piece])
            if own is not None:
                total = own if total is None else (total[0] + own[0], total[1] + own[1], total[2] | own[2])
        return total

    for start in going:
        start.moved = False
    for found in spread(looked_at, some_parts(source.values, wanted), source.threads):
        if found is not None:
            sums, dates, moved = found
            _add(going, sums, dates)
            for start, came in zip(going, moved.tolist(), strict=True):
                start.moved |= came
    return len(wanted)


def _settle(start: _Start, which: Int, distances: Float32, lengths: Float64, far: float, columns: int) -> Int8:
    """Give rows their nearest centre and bounds; return the changes: int8 (row, cluster), 1 come, −1 gone."""
    k, here = distances.shape[1], np.arange(len(which))
    nearest = distances.argmin(axis=1)
    own = distances[here, nearest] + lengths
    room = _room(lengths, far, columns)
    start.upper[which] = np.sqrt(np.maximum(own, 0) + room)
    start.lower[which] = np.inf
    if k > 1:
        others = distances.copy()
        others[here, nearest] = np.inf
        start.lower[which] = np.sqrt(np.maximum(others.min(axis=1) + lengths - room, 0))
    former = start.labels[which]
    moved = np.flatnonzero(former != nearest)
    change = np.zeros((len(which), k), dtype=np.int8)
    change[moved, nearest[moved]] = 1
    left = moved[former[moved] >= 0]
    change[left, former[left]] = -1
    start.labels[which] = nearest
    return change


def _sums(changes: Sequence[Int8], rows: Float32, seen: Float32) -> tuple[Float64, Float64]:
    """Return by how much rows that come and go change the sums and dates of all clusters, in float64."""
    member = np.concatenate(changes, axis=1).T.astype(np.float64)
    return member @ rows.astype(np.float64), member @ seen.astype(np.float64)


def _pieces(rows: int, clusters: int) -> list[slice]:
    """Return slices of the rows of a block: what is made of each, for all clusters, takes no more than the block."""
    return list(row_blocks(rows, PAIR_BYTES * clusters, BLOCK_BYTES))


def _add(starts: list[_Start], sums: Float64, dates: Float64) -> None:
    """Change the sums and dates of starts."""
    begin = 0
    for start in starts:
        end = begin + len(start.centres)
        start.sums += sums[begin:end]
        start.dates += dates[begin:end]
        begin = end


def _advance(source: Source, start: _Start, least: float, *, last: bool) -> None:
    """Move the centres of a start to the means of their rows, and the bounds with them; see whether it ends."""
    if start.last:
        start.done = True
        return
    filled = _fill_empty(source, start)
    means = start.means()
    ways = np.sqrt(np.square((means - start.centres).astype(np.float64)).sum(axis=1))
    start.centres = means
    if not start.moved and not filled:
        start.done = True
        return
    start.last = last or (not filled and float(np.square(ways).sum()) <= least)
    farthest = np.full(len(ways), ways.max())
    if len(ways) > 1:
        farthest[ways.argmax()] = np.partition(ways, -2)[-2]
    start.upper += (ways[start.labels] * (1 + 1e-6)).astype(np.float32)
    start.upper *= np.float32(1 + 1e-6)
    start.lower -= (farthest[start.labels] * (1 + 1e-6)).astype(np.float32)
    start.lower *= np.float32(1 - 1e-6)


def _fill_empty(source: Source, start: _Start) -> bool:
    """Give each cluster without rows the row farthest from its centre, and return whether there was one."""
    sizes = np.bincount(start.labels, minlength=len(start.centres))
    empty = np.flatnonzero(sizes == 0)
    if not len(empty):
        return False
    squares = np.empty(len(start.labels))
    for part, rows, seen in source.blocks(source.parts):
        own = start.labels[part]
        products = np.einsum("ij,ij->i", rows, start.centres[own])
        squares[part] = source.lengths[part] - 2 * products + (seen * start.squares()[own]).sum(axis=1)
    for cluster in empty.tolist():
        free = sizes[start.labels] > 1
        if not free.any():
            break
        row = int(np.where(free, squares, -np.inf).argmax())
        former = int(start.labels[row])
        one = np.array([row])
        point = source.made(source.values[one], source.seen[one])
        when = np.ones((1, 1)) if source.whole else source.seen[one].astype(np.float64)
        for place, sign in ((former, -1.0), (cluster, 1.0)):
            start.sums[place] += sign * point[0]
            start.dates[place] += sign * when[0]
        sizes[[former, cluster]] += -1, 1
        start.labels[row], start.upper[row], start.lower[row], squares[row] = cluster, np.inf, 0, 0
    return True


def _room(lengths: Float64, far: float, columns: int) -> Float64:
    """Return by how much a squared distance from float32 products may be off, with a margin: float64 (row,)."""
    return np.asarray(float(np.finfo(np.float32).eps) * (4 + 0.25 * np.sqrt(columns)) * (lengths + far))


def _mean_variance(lengths: Float64, sums: Float64) -> float:
    """Return the mean variance of a column, from the squared lengths of the rows and the sums of their clusters."""
    mean = sums.sum(axis=0) / len(lengths)
    return float((lengths.sum() / len(lengths) - np.square(mean).sum()) / len(mean))


def _threads() -> int:
    """Return how many threads numerical libraries may use now."""
    from threadpoolctl import threadpool_info

    return max([int(pool["num_threads"]) for pool in threadpool_info() if pool["user_api"] == "blas"], default=1)
