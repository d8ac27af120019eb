"""The rows of a series: an array in memory, or what is read block by block from where it is stored.

A series that is in memory is a NumPy array (row, time, feature). One that is stored and lazy stays there: `StoredRows`
is indexed as such an array is, and reads what is asked for. What goes over all rows takes them by `row_parts`, in the
same blocks on both roads, so that both give the same numbers; of stored rows the next block is read ahead meanwhile.
What is made of each block by itself is made by `by_parts`, for stored rows by workers where there are some: they read
the rows themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from taxoscape.ahead import ahead
from taxoscape.errors import InputError
from taxoscape.executor import Executor, in_order, in_process
from taxoscape.memory import half_of_free

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    Int = npt.NDArray[np.int64]
    Float32 = npt.NDArray[np.float32]
    Bool = npt.NDArray[np.bool_]
    Rows: TypeAlias = Float32 | "StoredRows"

Result = TypeVar("Result")

NORM_COLUMNS = 4096
"""Columns whose squares are summed in float32; sums of such parts are float64."""
READ_BYTES = 64 * 2**20
"""Most bytes of rows that are read at once where the rows asked for lie apart, beside the result."""


class StoredRows:
    """Series that stay where they are stored: an array (row, time, feature) that is read where it is indexed.

    Parameters
    ----------
    variable
        The embedding (tile, time, feature), lazy.
    members
        int64 (row,), rising: the tile of each row; None: every tile.
    execute
        Does what `by_parts` is asked for.
    store
        Path of the store, absolute, where it is known.

    Attributes
    ----------
    shape : tuple of int
        Rows, dates, features.
    dtype : numpy.dtype
        Type of the values.
    """

    def __init__(
        self,
        variable: xr.Variable,
        members: Int | None = None,
        *,
        execute: Executor = in_process,
        store: str | None = None,
    ) -> None:
        self.variable, self.members, self.execute, self.store = variable, members, execute, store
        self.dtype: np.dtype[Any] = variable.dtype
        count = variable.shape[0] if members is None else len(members)
        self.shape: tuple[int, int, int] = (count, variable.shape[1], variable.shape[2])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: slice | Int) -> Float32:
        """Return some rows, in memory: those of a slice of step 1, or of rising positions."""
        if isinstance(which, slice):
            start, stop, _ = which.indices(len(self))
            if self.members is None:
                return self._span(start, stop)
            return self._picked(self.members[start:stop])
        return self._picked(np.asarray(which) if self.members is None else self.members[which])

    def select(self, members: Int) -> StoredRows:
        """Return some of the rows, unread; ``members`` is int64 (row,), rising."""
        chosen = members if self.members is None else self.members[members]
        return StoredRows(self.variable, chosen, execute=self.execute, store=self.store)

    def spans(self, parts: Sequence[slice]) -> Iterator[Float32]:
        """Yield slices of the rows, each after the one before; a stored chunk that two of them share is read once."""
        chunk = self._chunk()
        kept, kept_start = np.empty((0, *self.shape[1:]), self.dtype), 0
        for part in parts:
            tiles = self._tiles(part)
            if tiles is None:
                yield self[part]
                continue
            start, stop = tiles
            begin = kept_start + len(kept) if kept_start <= start < kept_start + len(kept) else start // chunk * chunk
            end = max(begin, min(-(-stop // chunk) * chunk, self.variable.shape[0]))
            read = self._span(begin, end)
            if begin > start:
                head = kept[start - kept_start : min(stop, begin) - kept_start]
                block = np.concatenate([head, read[: max(0, stop - begin)]]) if stop > begin else head
            else:
                block = read[start - begin : stop - begin]
            if end > begin:
                kept_start = max(begin, (stop - 1) // chunk * chunk)
                kept = read[kept_start - begin :].copy() if kept_start > begin else read
            yield block

    def _tiles(self, part: slice) -> tuple[int, int] | None:
        """Return the tiles of a slice of rows as a span, or None where they do not lie side by side."""
        start, stop, _ = part.indices(len(self))
        if self.members is None or stop <= start:
            return start, stop
        first, last = int(self.members[start]), int(self.members[stop - 1])
        return (first, last + 1) if last - first == stop - 1 - start else None

    def _span(self, start: int, stop: int) -> Float32:
        return np.asarray(self.variable[start:stop].to_numpy(), dtype=np.float32)

    def _picked(self, tiles: Int) -> Float32:
        """Return the rows of some tiles, rising; where most of a stretch is wanted, it is read as one."""
        result = np.empty((len(tiles), *self.shape[1:]), dtype=np.float32)
        done, most = 0, max(self._chunk(), READ_BYTES // (4 * self.shape[1] * self.shape[2]))
        while done < len(tiles):
            begin = int(tiles[done]) // self._chunk() * self._chunk()
            stop = done + int(np.searchsorted(tiles[done:], begin + most))
            here = tiles[done:stop]
            if 2 * len(here) >= here[-1] + 1 - here[0]:
                result[done:stop] = self._span(int(here[0]), int(here[-1]) + 1)[here - here[0]]
            else:
                result[done:stop] = self.variable[here].to_numpy()
            done = stop
        return result

    def _chunk(self) -> int:
        """Return how many tiles are stored in one piece."""
        chunks = self.variable.encoding.get("preferred_chunks") or {}
        return max(1, int(chunks.get("tile", 1)))


def rows_of(series: xr.Dataset, execute: Executor = in_process) -> Rows:
    """Return the embedding of a series (tile, time, feature): the array itself where it is in memory, or `StoredRows`.

    Nothing is read. ``execute`` does what is asked for of stored rows part by part.
    """
    variable = series["embedding"].variable
    if isinstance(variable._data, np.ndarray):
        values: Float32 = variable.to_numpy()
        return values
    source = series.encoding.get("source")
    return StoredRows(variable, execute=execute, store=None if source is None else str(Path(source).absolute()))


def held(series: xr.Dataset, memory: int | None = None) -> xr.Dataset:
    """Return a series with its embedding in memory where it takes at most ``memory`` bytes, else as it is.

    None: half of what is free. What is read block by block gives the same result, in less memory and more time.
    """
    embedding = series["embedding"]
    if isinstance(embedding.variable._data, np.ndarray):
        return series
    if embedding.nbytes > (half_of_free() if memory is None else memory):
        return series
    return series.assign(embedding=embedding.compute())


def selected(values: Rows, members: Int) -> Rows:
    """Return some rows, int64 (row,), rising: the rows as they are where these are all of them."""
    if len(members) == len(values):
        return values
    return values.select(members) if isinstance(values, StoredRows) else values[members]


def row_blocks(n: int, row_bytes: int, most_bytes: int) -> Iterator[slice]:
    """Yield slices that cover ``n`` rows in order, each of at most ``most_bytes``, or of one row."""
    step = max(1, most_bytes // max(1, row_bytes))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def row_parts(values: Rows, row_bytes: int, most_bytes: int) -> Iterator[tuple[slice, Float32]]:
    """Yield slices as `row_blocks`, and the rows of each: float32 (row, time, feature), not to be changed."""
    yield from some_parts(values, list(row_blocks(len(values), row_bytes, most_bytes)))


def some_parts(values: Rows, parts: Sequence[slice]) -> Iterator[tuple[slice, Float32]]:
    """Yield slices, each after the one before, and the rows of each; the next ones are read ahead."""
    if isinstance(values, np.ndarray):
        yield from ((part, values[part]) for part in parts)
    else:
        yield from zip(parts, ahead(values.spans(parts), 1), strict=True)


def by_parts(
    values: Rows, work: Callable[..., Result], *beside: npt.NDArray[Any], row_bytes: int, most_bytes: int
) -> Iterator[tuple[slice, Result]]:
    """Yield slices as `row_blocks`, in order, and what ``work`` makes of the rows of each.

    Parameters
    ----------
    values
        Rows (row, time, feature).
    work
        Given the rows of a part, and that part of each array ``beside``, makes something small of them. For workers it
        can be pickled.
    beside
        Arrays (row, …).
    row_bytes, most_bytes
        As `row_blocks` takes them.
    """
    parts = list(row_blocks(len(values), row_bytes, most_bytes))
    if isinstance(values, np.ndarray) or not values.execute.elsewhere:
        yield from ((part, work(block, *(own[part] for own in beside))) for part, block in some_parts(values, parts))
    else:
        there = partial(_made_there, StoredRows(values.variable, values.members), values.store, work)
        items = [(part, tuple(own[part] for own in beside)) for part in parts]
        yield from zip(parts, in_order(values.execute(there, items)), strict=True)


def _made_there(
    values: StoredRows,
    store: str | None,
    work: Callable[..., Result],
    item: tuple[slice, tuple[npt.NDArray[Any], ...]],
) -> Result:
    """Read the rows of a part and do the work on them, on a worker."""
    if store is not None and not Path(store).exists():  # it would read as rows that count on no date
        raise InputError(
            f"the worker on {gethostname()} sees no {store}: the run folder has to lie on a file system that all "
            "workers share, under the same path"
        )
    part, beside = item
    return work(values[part], *beside)


def squared_lengths(rows: Float32) -> npt.NDArray[np.float64]:
    """Return the squared length of each row (row, column); float32 sums of thousands of columns would lose digits."""
    total = np.zeros(len(rows))
    for start in range(0, rows.shape[1], NORM_COLUMNS):
        part = rows[:, start : start + NORM_COLUMNS]
        total += np.einsum("ij,ij->i", part, part)
    return total
