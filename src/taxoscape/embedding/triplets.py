"""Triplets as tables of integers: which tile is near which, and which is not.

A triplet is an anchor, a neighbour that should be embedded close to it, and a distant tile that should not. Here they
are drawn from the grid and the calendar, never from a list of files, and hold only corners, int32
``(row_px, col_px, time)`` of top-left pixels counted from the first pixel of the region; pixels are gathered per batch
in training.

Two sources of nearness: geography (near on the ground on the same date) and clusters (in one zone on the same date).

Differences from the prototype (METHOD, "Faults"): a distant tile lies outside a *square* around the anchor, on any
date, never at the anchor's own place; every place and date is as likely as any other; allotments of anchors to
clusters add up and are never negative; a cluster with a single tile gives no anchor instead of never ending.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from taxoscape.embedding.places import Places
from taxoscape.embedding.tiles import TileReader, as_reader
from taxoscape.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from taxoscape.grid import Grid

Int: TypeAlias = "npt.NDArray[np.integer]"
Rng: TypeAlias = "int | np.random.Generator"

MAX_DRAWS = 100
"""Draws per triplet after which those still missing are given up."""
FEW = 0.1
"""Share of good draws below which the valid ground is looked for first (`taxoscape.embedding.places`)."""
DISTANT_DRAWS = 20
"""Draws of a distant tile after which its anchor is given up too."""


@dataclass(frozen=True, slots=True, eq=False)
class Triplets:
    """Anchors, their neighbours and their distant tiles: three tables of equal length."""

    anchor: npt.NDArray[np.int32]
    """Int32 (n, 3): ``(row_px, col_px, time)`` of the top-left pixel."""
    neighbour: npt.NDArray[np.int32]
    """As ``anchor``; the same date, near."""
    distant: npt.NDArray[np.int32]
    """As ``anchor``; not near."""
    group: npt.NDArray[np.int32] | None = None
    """Int32 (n, 2): zone of anchor and neighbour, zone of the distant tile; None where nearness is geographic."""

    def __len__(self) -> int:
        return len(self.anchor)

    @property
    def digest(self) -> str:
        """Sha256 of the tables, as hexadecimal digits."""
        group = np.zeros((0, 2), np.int32) if self.group is None else self.group
        tables = (self.anchor, self.neighbour, self.distant, group)
        return hashlib.sha256(b"".join(np.ascontiguousarray(t, "<i4").tobytes() for t in tables)).hexdigest()


def geographic_triplets(
    cube: xr.DataArray | TileReader,
    *,
    tile_size: int,
    neighbourhood_px: int | None = None,
    n: int,
    rng: Rng,
    min_valid: float = 0.5,
    same_date: bool = False,
) -> Triplets:
    """Draw triplets by nearness on the ground.

    The anchor is any whole tile of the region, at any pixel, on any date. The neighbour is another one of the same
    date whose centre lies within ``neighbourhood_px`` of the anchor's in both axes. The distant tile lies outside
    that square, on any date. Each is uniform over what it may be.

    Parameters
    ----------
    cube
        Cube (time, band, y, x), or a reader of it.
    tile_size
        Edge of a tile in pixels.
    neighbourhood_px
        Largest offset of a neighbour in each axis, in pixels; None: the tile size.
    n
        Number of triplets.
    rng
        Seed or generator.
    min_valid
        Share of valid pixels that each of the three tiles has at least; each has one valid pixel in any case.
    same_date
        Whether the distant tile is of the anchor's date too, so that the date does not tell them apart.

    Raises
    ------
    InputError
        Where no tile lies outside the neighbourhood of another, or too few tiles are valid.

    Notes
    -----
    Pairs that fall on invalid ground are drawn anew as pairs. Distant tiles are drawn anew alone, up to
    `DISTANT_DRAWS` times, then with their pair: an anchor with hardly any valid ground outside its square comes a
    little less often. Reads the valid mask under each candidate once, and where few are good the whole mask once.
    Source: METHOD step 1 and its faults; Jean et al. (2019), section 3.1.
    """
    reader = as_reader(cube, tile_size)
    reach = tile_size if neighbourhood_px is None else int(neighbourhood_px)
    _check_room(reader, reach)
    draw = _Draw(reader, reach, min_valid, same_date, np.random.default_rng(rng))
    tables = np.empty((3, n, 3), np.int32)
    left = np.arange(n)
    draws = 0
    while left.size and draws <= MAX_DRAWS * n + 10_000:
        rows, good = draw.triplets(left.size)
        tables[:, left[good]] = rows[:, good]
        draws += left.size
        left = left[~good]
        if draw.places is None and good.mean() < FEW:
            draw.places = Places.of(reader, min_valid)
            if not len(draw.places):
                break
    if left.size:
        raise InputError(
            f"only {n - left.size} of {n} triplets found tiles of {reader.tile_size} px with at least {min_valid:.0%} "
            f"valid pixels in {draws} draws: the scenes are nearly empty; lower --min-valid, take a smaller "
            "--tile-size, or leave out empty dates"
        )
    return Triplets(*tables)


def cluster_triplets(grid: Grid, labels: npt.ArrayLike, counts: npt.ArrayLike, *, per_date: int, rng: Rng) -> Triplets:
    """Draw triplets by membership of clusters, for each date alike.

    On each date, anchor and neighbour are two different tiles of one cluster and the distant tile is one of another,
    all on that date. Clusters get anchors in proportion to the number of their tiles that count on the date
    (largest remainders); the distant tile is drawn from the other clusters in proportion to their size, which is to
    say uniformly over the tiles outside the cluster.

    Parameters
    ----------
    grid
        The tile grid that the labels belong to.
    labels
        Integers (tile,): zone of each tile, 1…K; 0 takes no part.
    counts
        Bool (tile, time): whether the tile counts on the date.
    per_date
        Number of triplets on each date.
    rng
        Seed or generator.

    Returns
    -------
    Triplets
        ``per_date`` for each date on which at least two clusters are present and one of them with two tiles; other
        dates have none. ``group`` holds the zones.

    Raises
    ------
    InputError
        Where shapes do not fit, or no date has two clusters.

    Notes
    -----
    Source: METHOD step 5. The prototype's stratified counts could be negative, and its training replaced the distant
    tile by any other; see the module's note.
    """
    zones, seen = np.asarray(labels), np.asarray(counts, dtype=bool)
    if zones.shape != (grid.n_tiles,) or seen.shape[:1] != zones.shape or seen.ndim != 2:
        raise InputError(
            f"labels {zones.shape} and counts {seen.shape} do not fit a grid of {grid.n_tiles} tiles: they are (tile,) "
            "and (tile, time)"
        )
    rng = np.random.default_rng(rng)
    parts = [_on_date(zones, np.flatnonzero(seen[:, t] & (zones > 0)), per_date, rng) for t in range(seen.shape[1])]
    table = np.concatenate([np.column_stack([part, np.full(len(part), t)]) for t, part in enumerate(parts)])
    if not len(table):
        reason = nothing_to_refine(zones, seen) or "no triplets are asked for"
        raise InputError(
            f"there is nothing to refine with: {reason}; take another number of zones (--zones) or --no-refine"
        )
    corners, time = grid.corners, table[:, 3:]
    anchor, neighbour, distant = (np.hstack([corners[table[:, i]], time]).astype(np.int32) for i in range(3))
    return Triplets(anchor, neighbour, distant, group=zones[table[:, [0, 2]]].astype(np.int32))


def nothing_to_refine(labels: npt.ArrayLike, counts: npt.ArrayLike) -> str:
    """Return why no triplets can be drawn by membership of clusters, in words, or an empty text where they can.

    Parameters
    ----------
    labels, counts
        As `cluster_triplets` takes them.
    """
    zones, seen = np.asarray(labels), np.asarray(counts, dtype=bool)
    if len(np.unique(zones[zones > 0])) < 2:
        return "there is one zone only"
    for t in range(seen.shape[1]):
        sizes = np.unique(zones[seen[:, t] & (zones > 0)], return_counts=True)[1]
        if len(sizes) > 1 and sizes.max() > 1:
            return ""
    return "no date has tiles of two zones with two tiles in one of them"


def allot(total: int, sizes: Int) -> Int:
    """Share ``total`` out in proportion to ``sizes``, by largest remainders: int64, adds up to ``total``.

    Ties of remainders go to the first. Where all sizes are zero nothing is given.
    """
    whole = int(sizes.sum())
    if whole == 0:
        return np.zeros(len(sizes), np.int64)
    exact = sizes.astype(np.int64) * total
    given = exact // whole
    order = np.argsort(-(exact % whole), kind="stable")
    given[order[: total - int(given.sum())]] += 1
    return given


def _on_date(zones: Int, members: Int, total: int, rng: np.random.Generator) -> Int:
    """Draw anchor, neighbour and distant tile among the members of one date: int (n, 3) of tile numbers."""
    order = members[np.argsort(zones[members], kind="stable")]  # clusters one after the other
    sizes = np.unique(zones[order], return_counts=True)[1]
    if len(sizes) < 2:
        return np.empty((0, 3), np.int64)
    starts = np.cumsum(sizes) - sizes
    given = allot(total, np.where(sizes > 1, sizes, 0))
    size, start = np.repeat(sizes, given), np.repeat(starts, given)
    anchor = rng.integers(size)
    neighbour = rng.integers(size - 1)
    neighbour += neighbour >= anchor
    distant = rng.integers(len(order) - size)
    distant += np.where(distant >= start, size, 0)  # skips the anchor's own cluster
    chosen: Int = order[np.column_stack([start + anchor, start + neighbour, distant])]
    return chosen


def _check_room(reader: TileReader, reach: int) -> None:
    down, across = reader.span
    if down < 0 or across < 0:
        raise InputError(
            f"no whole tile of {reader.tile_size} × {reader.tile_size} px fits the region of {reader.height} × "
            f"{reader.width} px: take a smaller --tile-size"
        )
    if reach < 1:
        raise InputError(f"the neighbourhood is at least 1 px, not {reach} (neighbourhood_px)")
    if down <= reach and across <= reach:
        raise InputError(
            f"the region of {reader.height} × {reader.width} px has no tile of {reader.tile_size} px further than the "
            f"neighbourhood of {reach} px from another, so nothing can be learnt: take a smaller --tile-size or a "
            "smaller neighbourhood (neighbourhood_px)"
        )


@dataclass(slots=True, eq=False)
class _Draw:
    """Draws triplets by nearness on the ground, good or not."""

    reader: TileReader
    reach: int
    min_valid: float
    same_date: bool
    rng: np.random.Generator
    places: Places | None = None
    """Where good tiles can be, once it was worth looking."""

    def triplets(self, n: int) -> tuple[Int, npt.NDArray[np.bool_]]:
        """Return anchors, neighbours and distant tiles, int64 (3, n, 3), and which triplets are good, bool (n,)."""
        anchor, neighbour = self._pairs(n)
        distant = np.zeros_like(anchor)
        good = self._has_outside(anchor) & self._valid(anchor)
        good[good] = self._valid(neighbour[good])
        left = np.flatnonzero(good)
        for _ in range(DISTANT_DRAWS):
            rows = self._distant(anchor[left])
            fits = self._outside(anchor[left], rows)
            fits[fits] = self._valid(rows[fits])
            distant[left[fits]] = rows[fits]
            left = left[~fits]
            if not left.size:
                break
        good[left] = False
        return np.stack([anchor, neighbour, distant]), good

    def _pairs(self, n: int) -> tuple[Int, Int]:
        anchor = (
            _anchors(self.reader, self.reach, n, self.rng) if self.places is None else self.places.draw(n, self.rng)
        )
        return anchor, _beside(self.reader, self.reach, anchor, self.rng)

    def _distant(self, anchor: Int) -> Int:
        if self.places is None:
            rows = _outside(self.reader, self.reach, anchor, self.rng)
        else:
            rows = self.places.draw(len(anchor), self.rng)
        if self.same_date:
            rows[:, 2] = anchor[:, 2]
        return rows

    def _outside(self, anchor: Int, rows: Int) -> npt.NDArray[np.bool_]:
        outside: npt.NDArray[np.bool_] = (np.abs(rows - anchor)[:, :2] > self.reach).any(axis=1)
        return outside

    def _has_outside(self, anchor: Int) -> npt.NDArray[np.bool_]:
        _, size = _square(anchor, self.reach, np.array(self.reader.span))
        beyond: npt.NDArray[np.bool_] = np.any(size <= np.array(self.reader.span), axis=1)
        return beyond

    def _valid(self, rows: Int) -> npt.NDArray[np.bool_]:
        share = self.reader.valid_share(rows)
        return (share >= self.min_valid) & (share > 0)


def _anchors(reader: TileReader, reach: int, n: int, rng: np.random.Generator) -> Int:
    """Draw anchors, int64 (n, 3), uniform over those that have a tile outside their square."""
    last = np.array(reader.span)
    apart = [(p > reach) | (end - p > reach) for end in last for p in [np.arange(end + 1)]]  # rows, cols that are
    rows, other_rows, cols = np.flatnonzero(apart[0]), np.flatnonzero(~apart[0]), np.flatnonzero(apart[1])
    across = int(last[1]) + 1
    pick = rng.integers(rows.size * across + other_rows.size * cols.size, size=n)
    anchor = np.empty((n, 3), np.int64)
    by_row = pick < rows.size * across
    anchor[by_row, 0], anchor[by_row, 1] = rows[pick[by_row] // across], pick[by_row] % across
    rest = pick[~by_row] - rows.size * across
    if rest.size:
        anchor[~by_row, 0], anchor[~by_row, 1] = other_rows[rest // cols.size], cols[rest % cols.size]
    anchor[:, 2] = rng.integers(reader.n_times, size=n)
    return anchor


def _beside(reader: TileReader, reach: int, anchor: Int, rng: np.random.Generator) -> Int:
    """Draw another tile in the square of each anchor, on its date: int64 (n, 3)."""
    low, size = _square(anchor, reach, np.array(reader.span))
    pick = rng.integers(size.prod(axis=1) - 1)
    here = (anchor[:, 0] - low[:, 0]) * size[:, 1] + anchor[:, 1] - low[:, 1]
    pick += pick >= here  # skips the anchor itself
    return np.column_stack([low[:, 0] + pick // size[:, 1], low[:, 1] + pick % size[:, 1], anchor[:, 2]])


def _outside(reader: TileReader, reach: int, anchor: Int, rng: np.random.Generator) -> Int:
    """Draw a tile outside the square of each anchor, on any date: int (n, 3)."""
    last = np.array(reader.span)
    low, size = _square(anchor.astype(np.int64), reach, last)
    rows_beyond, cols_beyond, across = last[0] + 1 - size[:, 0], last[1] + 1 - size[:, 1], last[1] + 1
    pick = rng.integers(rows_beyond * across + size[:, 0] * cols_beyond)
    by_row = pick < rows_beyond * across  # in rows above or below the square: any column
    row = pick // across
    row += np.where(row >= low[:, 0], size[:, 0], 0)
    rest = pick - rows_beyond * across  # beside the square
    divisor = np.maximum(cols_beyond, 1)
    col = rest % divisor
    col += np.where(col >= low[:, 1], size[:, 1], 0)
    row = np.where(by_row, row, low[:, 0] + rest // divisor)
    col = np.where(by_row, pick % across, col)
    return np.column_stack([row, col, rng.integers(reader.n_times, size=len(anchor))])


def _square(anchor: Int, reach: int, last: Int) -> tuple[Int, Int]:
    """Return the first corner (n, 2) of the square around each anchor and its size (n, 2), clipped to the region."""
    low = np.maximum(anchor[:, :2] - reach, 0)
    size: Int = np.minimum(anchor[:, :2] + reach, last) - low + 1
    return low, size
