"""What plain pixels would give: K-means on the raw pixels of tiles, with small tiles or the run's own (METHOD step 12).

A tile's row holds its pixels of all bands and dates. The matrix is as large as the cube, times four in float32, so it
is never whole in memory: `PixelRows` reads the cube in large squares, cuts each into tiles by a view, and hands out
blocks of rows, as often as `taxoscape.zones.streaming` wants them.

Bands weigh alike: 8-bit pixels are divided by 255, as in the paper; of other scenes each band is taken less its mean
and divided by its own standard deviation, both over the valid pixels of all tiles and dates. An invalid pixel becomes
the mean of its band over the valid pixels of all tiles on its date.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.areas import cell_areas_km2
from taxoscape.embedding.tiles import TileReader
from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice
from taxoscape.progress import Track, silent
from taxoscape.zones import resampling
from taxoscape.zones.missing import whole_rows
from taxoscape.zones.numbering import label_dtype, number_by_size
from taxoscape.zones.streaming import MAX_PASSES, SAMPLE_ROWS, Stopped, sample_rows, stream_kmeans

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    Int = npt.NDArray[np.int64]
    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]
    Bool = npt.NDArray[np.bool_]
    Labels = npt.NDArray[np.integer]

WINDOW_PX = 2048
WINDOW_BYTES = 128 * 2**20
"""Edge and bytes, of all dates, of the largest square of pixels that is read at once, but for a single tile."""
ROWS_BYTES = 16 * 2**20
"""Bytes of float32 rows in a block, but for one row of tiles of a square."""
STABILITY_BYTES = 512 * 2**20
"""Bytes of float32 rows on which the stability is measured."""
CUBE_BYTES = 5 * 2**29
"""Bytes up to which a cube is loaded whole where nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelZones:
    """Zones of a region by K-means on pixels."""

    labels: Labels
    """Zone of each tile of the run's grid: uint8 or uint16 (tile,), 1…K, 0 = none. Small zones may have no tile."""
    small_map: Labels
    """Zones of the tiles that were clustered: uint8 or uint16 (row, col), 1…K by falling area, 0 = none."""
    small_grid: Grid
    """The grid of ``small_map``; the run's own where its tile size was asked for."""
    n_clusters: int
    """K."""
    inertia_mean: float
    """Mean squared distance of a clustered tile to its centroid, ``T/|S|`` times its sum over the dates S counted; in
    scaled pixel values, so it compares with no other tile size or encoder."""
    stability_ari: float
    """How much partitions of random halves of the clustered tiles agree, on a sample of them
    (`taxoscape.zones.resampling.stability_of_rows`); NaN where there are too few."""
    stability_tiles: int
    """Size of that sample: as many tiles as elsewhere where they fit into `STABILITY_BYTES`."""
    stability_seconds: float
    """Seconds that it took, of all."""
    passes: int
    """Passes of K-means over all tiles."""
    stopped: Stopped
    """Why the passes ended, as in `taxoscape.zones.streaming.StreamedPartition`."""

    @property
    def converged(self) -> bool:
        """Whether the passes ended before there were as many as allowed."""
        return self.stopped != "passes"


def pixel_zones(
    cube: xr.DataArray,
    grid: Grid,
    *,
    size_px: int,
    n_clusters: int,
    min_valid: float = 0.5,
    starts: int = 10,
    rng: int | np.random.Generator = 0,
    memory: int = CUBE_BYTES,
    track: Track = silent,
) -> PixelZones:
    """Cluster the raw pixels of tiles of a region.

    Parameters
    ----------
    cube
        The scenes: (time, band, y, x).
    grid
        The run's tiles.
    size_px
        Edge of the tiles to cluster in pixels: the paper takes 8 and 100. With the grid's own tile size its own tiles
        are clustered; with another one whole tiles beside each other over the same region, and a tile of the run takes
        the most frequent zone of those with their centre in its cell (ties: the larger zone).
    n_clusters
        Number of zones K.
    min_valid
        Share of valid pixels from which a tile counts on a date.
    starts
        k-means++ starts, on a sample of the tiles.
    rng
        Seed or generator of the sample and the starts.
    memory
        Bytes up to which the cube is loaded whole: it is read some twenty times.
    track
        Told of the squares read first, the starts, and the passes.

    Raises
    ------
    InputError
        Where fewer different tiles count than zones are asked for, not one tile of ``size_px`` fits, or the grid is of
        another region than the cube.

    Notes
    -----
    Reads the cube once for the means of the bands, twice for samples, and once in each pass of K-means, 23 times at
    most; a cube up to ``memory`` is loaded once. Memory: that, or 256 MiB of cache, and about 1 GiB (2 GiB with
    missing dates). Source: METHOD step 12. The paper takes the best of several starts on all tiles; here starts compete
    on a sample of at most 10 000 tiles, and only the best is carried on over all tiles (`taxoscape.zones.streaming`).
    """
    lattice = Lattice.of(cube)
    if (lattice.height, lattice.width) != (grid.lattice.height, grid.lattice.width):
        raise InputError(
            f"the grid is of a region of {grid.lattice.height} × {grid.lattice.width} pixels, the cube has "
            f"{lattice.height} × {lattice.width}: make the grid from the cube, Grid.over(Lattice.of(cube), …)"
        )
    own = size_px == grid.tile_size
    small = grid if own else Grid.over(grid.lattice, tile_size=size_px)
    rows = PixelRows(cube, small, min_valid=min_valid, memory=memory, track=track)
    found = stream_kmeans(rows, n_clusters, sample=SAMPLE_ROWS, starts=starts, rng=rng, max_passes=MAX_PASSES,
                          track=track)  # fmt: skip
    begun = monotonic()
    stability, n_sampled = _stability(rows, int(n_clusters), rng, track)
    seconds = monotonic() - begun
    placed = found.labels >= 0
    clusters = np.empty(small.n_tiles, dtype=np.int64)
    clusters[rows.tiles] = found.labels
    members = np.flatnonzero(clusters >= 0)
    labels = np.zeros(small.n_tiles, dtype=label_dtype(n_clusters))
    labels[members], _ = number_by_size(clusters[members], n_clusters, cell_areas_km2(small)[members])
    dates = rows.seen.sum(axis=1)[placed]
    return PixelZones(
        labels=labels if own else majority(labels, small, grid),
        small_map=small.to_map(labels),
        small_grid=small,
        n_clusters=int(n_clusters),
        inertia_mean=float((found.squares[placed].astype(np.float64) * (rows.seen.shape[1] / dates)).mean()),
        stability_ari=stability,
        stability_tiles=n_sampled,
        stability_seconds=seconds,
        passes=found.passes,
        stopped=found.stopped,
    )


def _stability(rows: PixelRows, k: int, rng: int | np.random.Generator, track: Track) -> tuple[float, int]:
    """Return the stability of partitions of a sample of the tiles, and how many these are."""
    seed = int(rng.integers(2**31)) if isinstance(rng, np.random.Generator) else rng
    values, seen = sample_rows(rows, resampling.TILES, most_bytes=STABILITY_BYTES, rng=np.random.default_rng([seed, 1]))
    matrix, _ = whole_rows(values.reshape(*seen.shape, -1), seen)
    return resampling.stability_of_rows(matrix, k, rng=seed, track=track), len(matrix)


def majority(labels: Labels, small: Grid, grid: Grid) -> Labels:
    """Bring zones of small tiles onto the tiles of a grid.

    Parameters
    ----------
    labels
        Integer (small tile,), 1…K by falling size of the zone, 0 = none.
    small, grid
        The grids of the labels and of the result, over one region.

    Returns
    -------
    Integer (tile,): the most frequent zone of the small tiles whose centre lies in the tile's cell, its central
    ``stride × stride`` pixels (the northern and western edge belong to it); of equally frequent ones the larger zone. 0
    where no small tile with a zone has its centre there.
    """
    n_labels = int(labels.max(initial=0)) + 1
    margin = (grid.tile_size - grid.stride) // 2
    offset = 2 * (small.corners.astype(np.int64) - grid.corners[0] - margin) + small.tile_size  # in half pixels
    row, col = (offset // (2 * grid.stride)).T
    inside = (row >= 0) & (row < grid.n_rows) & (col >= 0) & (col < grid.n_cols) & (labels > 0)
    places = (row * grid.n_cols + col)[inside] * n_labels + labels[inside]
    votes = np.bincount(places, minlength=grid.n_tiles * n_labels).reshape(grid.n_tiles, n_labels)
    return np.asarray(votes.argmax(axis=1).astype(labels.dtype))


class PixelRows:
    """The pixels of the tiles of a grid as rows, read block by block as often as wanted.

    A row is float32 (date · band · y · x), scaled as the module says; its tile is told by ``tiles``.

    Parameters
    ----------
    cube, grid, min_valid, memory, track
        As `pixel_zones`.

    Attributes
    ----------
    tiles : int64 (row,)
        The tile of each row: rows come square by square.
    seen : bool (row, time)
        Whether the tile of the row counts on the date.

    Notes
    -----
    Making one reads the cube once.
    """

    def __init__(
        self,
        cube: xr.DataArray,
        grid: Grid,
        *,
        min_valid: float = 0.5,
        memory: int = CUBE_BYTES,
        track: Track = silent,
    ) -> None:
        pixel_bytes = cube.sizes["time"] * cube.sizes["band"] * cube.dtype.itemsize
        edge = min(WINDOW_PX, int(np.sqrt(WINDOW_BYTES / pixel_bytes)))
        across = min(max(1, (edge - grid.tile_size) // grid.stride + 1), max(grid.n_rows, grid.n_cols))
        self.grid = grid
        self.squares = [
            (row, min(row + across, grid.n_rows), col, min(col + across, grid.n_cols))
            for row in range(0, grid.n_rows, across)
            for col in range(0, grid.n_cols, across)
        ]
        self.reader = TileReader(cube, (across - 1) * grid.stride + grid.tile_size, memory=memory)
        numbers = grid.to_map(np.arange(grid.n_tiles))
        self.tiles: Int = np.concatenate([numbers[top:bottom, left:right].ravel()
                                          for top, bottom, left, right in self.squares])  # fmt: skip
        self.seen: Bool = np.zeros((grid.n_tiles, self.reader.n_times), dtype=np.bool_)
        self._learn(min_valid, track)

    def __iter__(self) -> Iterator[tuple[int, Float32, Bool]]:
        """Yield ``(start, rows, seen)`` of blocks of tiles: int, float32 (row, column), bool (row, time)."""
        size, stride, start = self.grid.tile_size, self.grid.stride, 0
        row_bytes = 4 * self.reader.n_times * self.reader.n_bands * size**2
        for square in self.squares:
            values, usable, _ = self._read(square)
            height, width = square[1] - square[0], square[3] - square[2]
            step = max(1, ROWS_BYTES // (row_bytes * width))
            for top in range(0, height, step):
                bottom = min(top + step, height)
                strip = slice(top * stride, (bottom - 1) * stride + size)
                scaled = self._scaled(values[:, :, strip], usable[:, strip])
                tiles = _tiles(scaled, size, stride).transpose(2, 3, 0, 1, 4, 5)  # row, col, time, band, y, x
                stop = start + (bottom - top) * width
                yield start, tiles.reshape(stop - start, -1), self.seen[start:stop]
                start = stop

    def _read(self, square: tuple[int, int, int, int]) -> tuple[npt.NDArray[Any], Bool, Bool]:
        """Return pixels (time, band, y, x) of a square of tiles; (time, y, x): which can be used, which are valid."""
        top, bottom, left, right = square
        corner = self.grid.corners_of(top * self.grid.n_cols + left, top * self.grid.n_cols + left + 1)[0]
        table = [(*corner.tolist(), time) for time in range(self.reader.n_times)]
        values, valid = self.reader.read(table)
        height, width = ((n - 1) * self.grid.stride + self.grid.tile_size for n in (bottom - top, right - left))
        values, valid = values[..., :height, :width], valid[..., :height, :width]
        usable = valid & np.isfinite(values).all(axis=1) if values.dtype.kind == "f" else valid
        return values, usable, valid

    def _learn(self, min_valid: float, track: Track) -> None:
        """Learn which tiles count and how pixels are scaled and filled."""
        start, moments = 0, _Moments(self.reader.n_times, self.reader.n_bands)
        for square in track(self.squares, "pixels", len(self.squares)):
            values, usable, valid = self._read(square)
            tiles = _tiles(valid[:, None], self.grid.tile_size, self.grid.stride)[:, 0]  # time, row, col, y, x
            stop = start + tiles.shape[1] * tiles.shape[2]
            share = np.ones(tiles.shape[:3], np.float32) if valid.all() else tiles.mean(axis=(3, 4), dtype=np.float32)
            self.seen[start:stop] = ((share >= min_valid) & (share > 0)).reshape(len(share), -1).T
            rows, cols = (  # pixels that overlapping tiles share with the next square are left to it
                n * self.grid.stride if edge < whole else None
                for n, edge, whole in (
                    (square[1] - square[0], square[1], self.grid.n_rows),
                    (square[3] - square[2], square[3], self.grid.n_cols),
                )
            )
            moments.add(values[..., :rows, :cols], usable[:, :rows, :cols])
            start = stop
        self.offset, self.scale = (np.zeros(self.reader.n_bands), np.full(self.reader.n_bands, 255.0))
        mean, deviation = moments.over_dates()
        if self.reader.dtype != np.uint8:
            self.offset, self.scale = mean, np.where(deviation > 1e-6 * np.abs(mean), deviation, 1.0)
        fill = np.where(moments.count[:, None] > 0, moments.mean, mean)
        self.fill: Float32 = ((fill - self.offset) / self.scale).astype(np.float32)

    def _scaled(self, values: npt.NDArray[Any], usable: Bool) -> Float32:
        """Return pixels (time, band, y, x) scaled and filled."""
        narrow = values.dtype.itemsize <= 2 or values.dtype == np.float32
        wide: Any = np.float32 if narrow else np.float64
        factor = (1 / self.scale).astype(wide)[:, None, None]
        with np.errstate(over="ignore", invalid="ignore"):  # what cannot be used is filled below
            if self.offset.any():
                scaled = np.subtract(values, self.offset.astype(wide)[:, None, None], dtype=wide)
                scaled *= factor
            else:
                scaled = np.multiply(values, factor, dtype=wide)
            filled: Float32 = scaled.astype(np.float32, copy=False)
        if not usable.all():
            np.copyto(filled, self.fill[:, :, None, None], where=~usable[:, None])
        return filled


def _tiles(image: npt.NDArray[Any], size: int, stride: int) -> npt.NDArray[Any]:
    """Return tiles of an image (a, b, y, x) as a view: (a, b, row, col, size, size)."""
    views: npt.NDArray[Any] = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(2, 3))
    return views[:, :, ::stride, ::stride]


class _Moments:
    """Mean and summed squared deviation of each date and band over usable pixels, merged part by part.

    Merging follows Chan, Golub and LeVeque, *Algorithms for computing the sample variance*, Am. Stat. 37 (1983).
    """

    def __init__(self, times: int, bands: int) -> None:
        self.count = np.zeros(times)
        self.mean = np.zeros((times, bands))
        self.squares = np.zeros((times, bands))

    def add(self, values: npt.NDArray[Any], usable: Bool) -> None:
        """Take pixels (time, band, y, x) and which can be used (time, y, x)."""
        for time, known in enumerate(usable):
            new = int(np.count_nonzero(known))
            if not new:
                continue
            total = self.count[time] + new
            for band, image in enumerate(values[time]):
                pixels = (image if new == known.size else image[known]).astype(np.float64).ravel()
                mean = pixels.mean()
                pixels -= mean
                apart = mean - self.mean[time, band]
                self.squares[time, band] += pixels @ pixels + apart**2 * self.count[time] * new / total
                self.mean[time, band] += apart * new / total
            self.count[time] = total

    def over_dates(self) -> tuple[Float64, Float64]:
        """Return mean and standard deviation of each band over all dates: float64 (band,); 0 where no pixel was."""
        total = max(self.count.sum(), 1)
        mean = self.count @ self.mean / total
        squares = self.squares.sum(axis=0) + self.count @ np.square(self.mean - mean)
        return mean, np.sqrt(squares / total)
