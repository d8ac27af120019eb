"""Where on the ground, and when, a tile can have enough valid pixels.

Drawing places blindly and throwing away the cloudy ones is exact and quick while most are clear. Where the valid ground
is a small part of a large frame (a swath, a river basin), `Places` first finds the cells of the region that can hold a
good tile at all: a tile with its corner in a cell lies within that cell and its neighbours to the right and below, so
their valid pixels are the most that it can have. Drawing from those cells and throwing away what is not good leaves
every good tile as likely as any other, as the blind way does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.embedding.tiles import TileReader

if TYPE_CHECKING:
    import numpy.typing as npt

    Int = npt.NDArray[np.int64]

SMALLEST_CELL_PX = 16
"""Smallest edge of a cell, so that small tiles do not make millions of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Corners of tiles that may be good, as cells of corners on dates."""

    cells: Int
    """int64 (cell, 3): first corner of the cell and its date, ``(row_px, col_px, time)``."""
    sizes: Int
    """int64 (cell, 2): rows and columns of corners in the cell."""
    ends: Int
    """int64 (cell,): number of corners in this cell and those before it."""

    @classmethod
    def of(cls, reader: TileReader, min_valid: float) -> Places:
        """Find the cells in which a tile can have a share of ``min_valid`` valid pixels, and one at least.

        Reads the valid mask once. There may be no such cell.
        """
        edge = max(reader.tile_size, SMALLEST_CELL_PX)
        needed = max(1, math.ceil(min_valid * reader.tile_size**2))
        last = np.array(reader.span)
        parts = []
        for time in range(reader.n_times):
            most = np.pad(reader.valid_counts(time, edge), ((0, 1), (0, 1)))
            most = most[:-1] + most[1:]
            most = most[:, :-1] + most[:, 1:]
            rows, cols = np.nonzero(most >= needed)
            parts.append(np.column_stack([rows * edge, cols * edge, np.full(len(rows), time)]))
        cells = np.concatenate(parts).astype(np.int64)
        cells = cells[(cells[:, :2] <= last).all(axis=1)]
        sizes = np.minimum(cells[:, :2] + edge - 1, last) - cells[:, :2] + 1
        return cls(cells, sizes, np.cumsum(sizes.prod(axis=1)))

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def draw(self, n: int, rng: np.random.Generator) -> Int:
        """Draw corners, each as likely as any other: int64 (n, 3)."""
        pick = rng.integers(len(self), size=n)
        cell = np.searchsorted(self.ends, pick, side="right")
        inside = pick - (self.ends[cell] - self.sizes[cell].prod(axis=1))
        width = self.sizes[cell, 1]
        corners: Int = self.cells[cell].copy()
        corners[:, 0] += inside // width
        corners[:, 1] += inside % width
        return corners
