"""A rectangle of whole pixels: the only way in which this package speaks of windows."""

from __future__ import annotations

from typing import NamedTuple


class Box(NamedTuple):
    """Rows ``row … row + height - 1`` and columns ``col … col + width - 1``; it may be empty."""

    row: int
    """First row."""
    col: int
    """First column."""
    height: int
    """Number of rows."""
    width: int
    """Number of columns."""

    def intersect(self, other: Box) -> Box:
        """Return what two boxes share; height or width is 0 where they share nothing."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = max(0, min(self.row + self.height, other.row + other.height) - row)
        width = max(0, min(self.col + self.width, other.col + other.width) - col)
        return Box(row, col, height, width)

    def relative_to(self, other: Box) -> Box:
        """Return this box counted from the first pixel of another."""
        return Box(self.row - other.row, self.col - other.col, self.height, self.width)

    @property
    def is_empty(self) -> bool:
        """Whether the box holds no pixel."""
        return self.height < 1 or self.width < 1

    @property
    def slices(self) -> tuple[slice, slice]:
        """The box as slices of an array (row, col)."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)


def blocks(shape: tuple[int, int], *, block: int, pixels: int) -> list[Box]:
    """Cut an area into boxes that cover whole blocks, as large as a number of pixels allows.

    Parameters
    ----------
    shape
        Rows and columns of the area.
    block
        Edge of a block in pixels: boxes start at multiples of it.
    pixels
        Pixels that a box may hold; a box holds at least one block all the same.

    Examples
    --------
    >>> [tuple(b) for b in blocks((5, 5), block=2, pixels=10)]
    [(0, 0, 2, 5), (2, 0, 2, 5), (4, 0, 1, 5)]
    """
    height, width = shape
    wide = width if block * width <= pixels else max(1, pixels // (block * block)) * block
    high = max(1, pixels // (block * wide)) * block
    whole = Box(0, 0, height, width)
    return [
        Box(row, col, high, wide).intersect(whole) for row in range(0, height, high) for col in range(0, width, wide)
    ]
