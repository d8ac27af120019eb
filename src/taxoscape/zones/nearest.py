"""How far rows are from centres: Euclidean, in float64, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from taxoscape.zones.rows import row_blocks

if TYPE_CHECKING:
    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]
    Int = npt.NDArray[np.int64]
    Rows = npt.NDArray[np.floating]

BLOCK_BYTES = 64 * 2**20
"""Bytes of float64 values that are compared at once."""


def squared_distances(rows: Rows, centres: Rows) -> Float64:
    """Return the squared distance of each row to each centre: float64 (row, centre).

    By differences, so that near ones keep their digits; for many columns `nearest` is faster.
    """
    found, targets = np.empty((len(rows), len(centres))), centres.astype(np.float64)
    for part in row_blocks(len(rows), 8 * rows.shape[1], BLOCK_BYTES // 4):  # differences and squares beside the rows
        exact = rows[part].astype(np.float64)
        for number, centre in enumerate(targets):
            found[part, number] = np.square(exact - centre).sum(axis=1)
    return found


def nearest(rows: Rows, centres: Rows) -> Int:
    """Return the nearest centre of each row: int64 (row,).

    By one product per block, about the mean of the centres, so that no digits are lost to an offset.
    """
    found = np.empty(len(rows), dtype=np.int64)
    middle = centres.mean(axis=0, dtype=np.float64)
    targets = centres - middle
    norms = np.square(targets).sum(axis=1)
    for part in row_blocks(len(rows), 8 * rows.shape[1], BLOCK_BYTES):
        found[part] = (norms - 2 * (rows[part] - middle) @ targets.T).argmin(axis=1)
    return found
