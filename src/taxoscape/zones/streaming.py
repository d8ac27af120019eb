"""K-means on matrices that do not fit in memory: Lloyd's iterations over blocks that are read again in each pass.

Made for the pixel baselines (METHOD step 12), where a region's matrix is as large as its cube times four. Nothing is
approximated in a pass: every row goes to its nearest centre, every centre becomes the mean of all its rows. Only the
start is cheaper than in `taxoscape.zones.kmeans.cluster`: the best of several k-means++ partitions of a random sample
of rows, in place of several partitions of all rows.

Missing dates are treated as in `taxoscape.zones.kmeans.settle`: a row goes to the centre nearest over the dates that
it was seen on, a centre is the mean, date by date, of the rows seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from taxoscape.errors import InputError
from taxoscape.progress import Track, silent
from taxoscape.zones.kmeans import settle
from taxoscape.zones.missing import two_way_fill
from taxoscape.zones.rows import squared_lengths
from taxoscape.zones.starts import partitions

if TYPE_CHECKING:
    import numpy.typing as npt

    Int = npt.NDArray[np.int64]
    Int32 = npt.NDArray[np.int32]
    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]
    Bool = npt.NDArray[np.bool_]

MAX_PASSES = 20
TOLERANCE = 1e-4
"""Relative fall of the error from one pass to the next below which the passes stop."""
SAMPLE_ROWS = 10_000
SAMPLE_BYTES = 256 * 2**20
"""Bytes of float32 rows in the sample of the start; ten rows a cluster are taken even where they are more."""

Stopped = Literal["labels", "error", "passes"]


class Blocks(Protocol):
    """The rows of a matrix, block by block, the same ones in the same order each time it is iterated over."""

    def __iter__(self) -> Iterator[tuple[int, npt.NDArray[Any], Bool]]:
        """Yield ``(start, values, seen)``.

        ``start`` is the number of the first row, one after the last row of the block before. ``values`` is real or
        integer (row, column), the columns of a date beside each other, dates in order; not changed. ``seen`` is bool
        (row, date): values of dates not seen are not looked at.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedPartition:
    """What K-means over blocks found."""

    labels: Int32
    """Cluster of each row, 0…K−1: int32 (row,); −1 where a row was seen on no date."""
    centres: Float32
    """Centre of each cluster: float32 (cluster, column). A row is in the cluster of the nearest of them, but for a
    cluster that was refilled in the last pass allowed."""
    squares: Float32
    """Squared distance of each row to its centre over the dates seen: float32 (row,); NaN where there are none."""
    inertia: float
    """Sum of ``squares`` over the rows seen."""
    passes: int
    """Passes of Lloyd's iterations over all rows; the pass that draws the sample is one more."""
    stopped: Stopped
    """Why the passes ended: ``"labels"`` no row changed its cluster, ``"error"`` the error fell by less than the
    tolerance, ``"passes"`` there were as many as allowed."""

    @property
    def converged(self) -> bool:
        """Whether the passes ended by themselves."""
        return self.stopped != "passes"


def stream_kmeans(
    blocks: Blocks,
    k: int,
    *,
    sample: int = SAMPLE_ROWS,
    starts: int = 10,
    rng: int | np.random.Generator = 0,
    max_passes: int = MAX_PASSES,
    track: Track = silent,
) -> StreamedPartition:
    """Partition the rows of a matrix that is read block by block.

    Parameters
    ----------
    blocks
        The rows.
    k
        Number of clusters.
    sample
        Most rows that the start is made on; fewer where they would take more than `SAMPLE_BYTES`, but not fewer than
        ``10 · k``.
    starts
        k-means++ starts on the sample, of which the best is kept.
    rng
        Seed or generator of the sample and the starts.
    max_passes
        Most passes over all rows; they end earlier as `lloyd` says.
    track
        Told of the starts and the passes.

    Raises
    ------
    InputError
        Where fewer rows, or fewer different rows, were seen than clusters are asked for. Rows that differ only in which
        dates were seen are no different rows.

    Notes
    -----
    One pass for the sample and at most ``max_passes`` more, each two matrix products of rows × columns × k. Memory: two
    to four times the sample, three times a block in float32, 24 bytes a row, and 20 bytes per value of the centres. The
    result depends on how rows are cut into blocks only by rounding; with one cut, one thread count and one seed it is
    the same bit for bit.
    """
    for name, value in (("number of zones", k), ("sample", sample), ("starts", starts), ("max_passes", max_passes)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise InputError(f"K-means over blocks: {name} is a whole number of at least 1, not {value!r}")
    generator = np.random.default_rng(rng)
    values, seen = _draw(blocks, int(k), int(sample), generator)
    centres = _start(values, seen, int(k), starts, generator, track)
    del values, seen
    return lloyd(blocks, centres, max_passes=max_passes, track=track)


def lloyd(
    blocks: Blocks,
    centres: Float32,
    *,
    max_passes: int = MAX_PASSES,
    tolerance: float = TOLERANCE,
    track: Track = silent,
) -> StreamedPartition:
    """Run Lloyd's iterations from given centres, each a pass over all blocks.

    Parameters
    ----------
    blocks
        The rows.
    centres
        float32 (cluster, column), finite.
    max_passes, tolerance
        The passes end when no row changes its cluster, when the error falls by less than ``tolerance`` of itself (with
        0 that is not looked at), or when there were ``max_passes``.
    track
        Told of each pass done.

    Notes
    -----
    Products are float32 on rows less the mean centre, sums over blocks float64 in the order of the blocks. A cluster
    that loses all its rows takes the row farthest from its centre among clusters of several rows, as in scikit-learn;
    that row is read once more, and the passes do not end there by themselves.
    """
    middle = centres.mean(axis=0, dtype=np.float64).astype(np.float32)  # distances from near zero keep their digits
    means = np.asarray(centres - middle, dtype=np.float32)
    before: _Pass | None = None
    stopped: Stopped = "passes"
    for number in track(range(1, max_passes + 1), f"K-means over all rows, {len(means)} zones", max_passes):
        found = _sweep(blocks, means, middle)
        passes = number
        if not _fill_empty(found, blocks, means, middle) and before is not None:
            if np.array_equal(found.labels, before.labels):
                stopped = "labels"
            elif tolerance and before.inertia - found.inertia < tolerance * before.inertia:
                stopped = "error"
        if stopped != "passes" or number == max_passes:
            break
        means, before = found.means(means), found
    return StreamedPartition(
        labels=found.labels, centres=means + middle, squares=found.squares, inertia=found.inertia, passes=passes,
        stopped=stopped,
    )  # fmt: skip


@dataclass(slots=True, kw_only=True)
class _Pass:
    """What one pass over all rows found; columns are less the middle."""

    labels: Int32
    """(row,), −1 where not seen."""
    squares: Float32
    """(row,), NaN where not seen."""
    sums: Float64
    """(cluster, column): sum of the rows over the dates seen."""
    dates: Float64
    """(cluster, date): number of rows seen."""

    @property
    def inertia(self) -> float:
        return float(np.nansum(self.squares, dtype=np.float64))

    def means(self, former: Float32) -> Float32:
        """Return the new centres (cluster, column); the former ones stand where no row of a cluster was seen."""
        k, times = self.dates.shape
        sums, dates = self.sums.reshape(k, times, -1), self.dates[:, :, None]
        means = np.where(dates > 0, sums / np.maximum(dates, 1), former.reshape(sums.shape))
        return means.reshape(k, -1).astype(np.float32)


def _sweep(blocks: Blocks, means: Float32, middle: Float32) -> _Pass:
    """Find the nearest centre of every row, and the sums for the next centres."""
    k, numbers = len(means), np.arange(len(means))
    twice = (-2 * means).T
    sums = np.zeros(means.shape)
    dates: Float64 | None = None
    labels, squares = [], []
    for _, values, seen in blocks:
        rows = _centred(values, seen, middle)
        weights = seen.astype(np.float32)
        lengths = np.square(means).reshape(k, seen.shape[1], -1).sum(axis=2)
        distances = rows @ twice
        distances += weights @ lengths.T
        nearest = distances.argmin(axis=1).astype(np.int32)
        present = seen.any(axis=1)
        nearest[~present] = -1
        member = (nearest[:, None] == numbers).astype(np.float32)
        sums += member.T @ rows
        dates = (0 if dates is None else dates) + (member.T @ weights).astype(np.float64)
        own = squared_lengths(rows) + np.take_along_axis(distances, np.maximum(nearest, 0)[:, None], axis=1)[:, 0]
        labels.append(nearest)
        squares.append(np.where(present, np.maximum(own, 0), np.nan).astype(np.float32))
    assert dates is not None  # there are rows: they were sampled
    return _Pass(labels=np.concatenate(labels), squares=np.concatenate(squares), sums=sums, dates=dates)


def _centred(values: npt.NDArray[Any], seen: Bool, middle: Float32) -> Float32:
    """Return rows less the middle in float32, zero where not seen."""
    rows: Float32 = np.subtract(values, middle, dtype=np.float32)
    if not seen.all():
        rows.reshape(*seen.shape, -1)[~seen] = 0
    return rows


def _fill_empty(found: _Pass, blocks: Blocks, means: Float32, middle: Float32) -> bool:
    """Give each cluster without rows the row farthest from its centre, in place; return whether there was one."""
    k = len(means)
    sizes = np.bincount(found.labels[found.labels >= 0], minlength=k)
    empty = np.flatnonzero(sizes == 0)
    chosen: dict[int, int] = {}
    for cluster in empty.tolist():
        free = (found.labels >= 0) & (sizes[found.labels] > 1)  # −1 looks at the last one, and is not free
        if not free.any():
            break
        row = int(np.where(free, found.squares, -np.inf).argmax())
        chosen[row] = cluster
        sizes[[found.labels[row], cluster]] += -1, 1
        found.squares[row] = -1
    for row, values, seen in _rows_again(blocks, chosen):
        cluster, former = chosen[row], int(found.labels[row])
        point = _centred(values, seen, middle)[0]
        found.sums[former] -= point
        found.sums[cluster] = point
        found.dates[former] -= seen[0]
        found.dates[cluster] = seen[0]
        means[cluster].reshape(seen.shape[1], -1)[seen[0]] = point.reshape(seen.shape[1], -1)[seen[0]]
        found.labels[row], found.squares[row] = cluster, 0
    return bool(len(empty))


def _rows_again(blocks: Blocks, wanted: dict[int, int]) -> Iterator[tuple[int, npt.NDArray[Any], Bool]]:
    """Read some rows once more: yield (number, values (1, column), seen (1, date)) of each."""
    if not wanted:
        return
    for start, values, seen in blocks:
        for row in sorted(wanted):
            if start <= row < start + len(values):
                one = slice(row - start, row - start + 1)
                yield row, values[one], seen[one]


def sample_rows(blocks: Blocks, sample: int, *, most_bytes: int, rng: np.random.Generator) -> tuple[Float32, Bool]:
    """Return a random sample of the rows seen: float32 (row, column), bool (row, date), in the order of the rows.

    ``sample`` rows at most, and no more than fit into ``most_bytes``; 0 rows where none is seen. One pass.
    """
    kept: _Reservoir | None = None
    for start, values, seen in blocks:
        if kept is None:
            kept = _Reservoir(max(1, min(sample, most_bytes // (4 * values.shape[1]))), values.shape[1], seen.shape[1])
        kept.add(start, values, seen, rng.random(len(values)))
    return (np.zeros((0, 0), np.float32), np.zeros((0, 0), np.bool_)) if kept is None else kept.rows()


def _start(values: Float32, seen: Bool, k: int, starts: int, rng: np.random.Generator, track: Track) -> Float32:
    """Return the centres of the best K-means partition of a sample, with gaps the best one of the filled sample."""
    series = values.reshape(*seen.shape, -1)
    whole = bool(seen.all())
    matrix = (series if whole else two_way_fill(series, seen)).reshape(len(values), -1)
    best = min(partitions(matrix, k, starts=starts, rng=rng, track=track), key=lambda partition: partition.inertia)
    return best.centres if whole else settle(series, seen, best).centres


def _draw(blocks: Blocks, k: int, sample: int, rng: np.random.Generator) -> tuple[Float32, Bool]:
    """Return a random sample of the rows seen, with at least k different ones: float32 (row, column), bool (row, date).

    Refuse where there are fewer.
    """
    count = 0
    different = _Different(k)
    kept: _Reservoir | None = None
    for start, values, seen in blocks:
        count += int(seen.any(axis=1).sum())
        different.look_at(values, seen)
        if kept is None:
            fitting = max(SAMPLE_BYTES // (4 * values.shape[1]), 10 * k)
            kept = _Reservoir(max(min(sample, fitting), k), values.shape[1], seen.shape[1])
        kept.add(start, values, seen, rng.random(len(values)))
    if kept is None or not count:
        raise InputError("no tile counts on any date, so there is nothing to cluster: lower --min-valid")
    if count < k:
        raise InputError(f"{k} zones were asked for, but only {count} tiles count on any date: lower --zones")
    if len(different.values) < k:
        raise InputError(
            f"{k} zones were asked for, but the tiles have only {len(different.values)} different series: lower "
            "--zones, or look whether the scenes are constant"
        )
    drawn, when = kept.rows()
    among = _Different(k)
    among.look_at(drawn, when)
    if len(among.values) < k:
        drawn = np.concatenate([drawn, np.stack(different.values).astype(np.float32)])
        when = np.concatenate([when, np.stack(different.seen)])
    return drawn, when


class _Different:
    """The first k rows that differ from each other on a date on which both were seen."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.values: list[npt.NDArray[Any]] = []
        self.seen: list[Bool] = []

    def look_at(self, values: npt.NDArray[Any], seen: Bool) -> None:
        """Take what is new among some rows."""
        if len(self.values) == self.k:
            return
        new = seen.any(axis=1)
        for row, when in zip(self.values, self.seen, strict=True):
            new &= _differ(values, seen, row, when)
        while len(self.values) < self.k and new.any():
            i = int(new.argmax())
            self.values.append(values[i].copy())
            self.seen.append(seen[i].copy())
            new &= _differ(values, seen, values[i], seen[i])


def _differ(values: npt.NDArray[Any], seen: Bool, row: npt.NDArray[Any], when: Bool) -> Bool:
    """Return which rows differ from one row on a shared date: bool (row,)."""
    unlike: Bool = (values != row).reshape(*seen.shape, -1).any(axis=2)
    return np.asarray((unlike & seen & when).any(axis=1))


class _Reservoir:
    """A random sample of rows that come block by block: those with the smallest random keys."""

    def __init__(self, size: int, columns: int, times: int) -> None:
        self.keys = np.full(size, np.inf)
        self.numbers = np.zeros(size, dtype=np.int64)
        self.values = np.empty((size, columns), dtype=np.float32)
        self.seen = np.zeros((size, times), dtype=np.bool_)

    def add(self, start: int, values: npt.NDArray[Any], seen: Bool, keys: Float64) -> None:
        """Take the rows of a block whose keys are among the smallest so far; rows never seen are not taken."""
        size = len(self.keys)
        keys = np.where(seen.any(axis=1), keys, np.inf)
        chosen = np.argpartition(np.concatenate([self.keys, keys]), size - 1)[:size]
        new = np.sort(chosen[chosen >= size]) - size
        new = new[np.isfinite(keys[new])]
        stay = np.zeros(size, dtype=np.bool_)
        stay[chosen[chosen < size]] = True
        slots = np.flatnonzero(~stay)[: len(new)]
        self.keys[slots], self.numbers[slots] = keys[new], start + new
        self.values[slots], self.seen[slots] = values[new], seen[new]

    def rows(self) -> tuple[Float32, Bool]:
        """Return the values and dates seen of the sample, in the order of the rows."""
        filled = np.flatnonzero(np.isfinite(self.keys))
        order = filled[np.argsort(self.numbers[filled])]
        return self.values[order], self.seen[order]
