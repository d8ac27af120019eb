"""What varies within zones, told by tiles that lie side by side and differ little.

Differences are formed block by block, each time that they are looked at: of a pair only its length is kept. Sums are
float64, block after block in the order of the pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.zones.rows import row_blocks

if TYPE_CHECKING:
    import numpy.typing as npt

    Int = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.floating]
    Float64 = npt.NDArray[np.float64]

ALIKE = 0.5
"""Share of the pairs of neighbours, the less different ones, that tell what varies within zones."""
TRIMS = 6
"""Rounds of choosing the less different pairs by the covariance of those chosen before."""
BLOCK_BYTES = 4 * 2**20
"""Bytes of float64 differences that are held at once, up to three times."""


def covariance_of_alike(rows: Floats, pairs: Int) -> Float64:
    """Return half the second moment of the less different pairs: what varies within zones.

    Parameters
    ----------
    rows
        float (row, axis).
    pairs
        int64 (pair, 2): rows of tiles that lie side by side, one pair at least.

    Returns
    -------
    float64 (axis, axis). Which pairs differ less is judged by the Mahalanobis length under those chosen before, at
    first by the length on axes of equal variance. For noise of one kind it is its covariance times a factor below 1,
    since the pairs are the less different ones.

    Notes
    -----
    Memory: 16 bytes a pair, and blocks of differences. Time: O(pairs · axes²) a round.
    """
    count = max(1, int(ALIKE * len(pairs)))
    total = sum((np.square(apart).sum(axis=0) for apart in _differences(rows, pairs)), np.zeros(1))
    turn = np.diag(np.sqrt(np.divide(len(pairs), total, out=np.zeros_like(total), where=total > 0)))
    lengths, moment = np.empty(len(pairs)), np.eye(rows.shape[1])
    for _ in range(TRIMS):
        begin = 0
        for apart in _differences(rows, pairs):
            lengths[begin : begin + len(apart)] = np.square(apart @ turn).sum(axis=1)
            begin += len(apart)
        alike = np.argpartition(lengths, count - 1)[:count]
        alike.sort()
        moment = sum((apart.T @ apart for apart in _differences(rows, pairs, alike)), np.zeros((1, 1))) / (2 * count)
        steady = moment + 1e-6 * max(np.trace(moment) / len(moment), 1e-12) * np.eye(len(moment))
        turn = np.linalg.inv(np.linalg.cholesky(steady)).T
    return moment


def _differences(rows: Floats, pairs: Int, which: Int | None = None) -> Iterator[Float64]:
    """Yield the differences of pairs, of all or of some, block by block: float64 (pair, axis)."""
    n = len(pairs) if which is None else len(which)
    for part in row_blocks(n, 8 * rows.shape[1], BLOCK_BYTES):
        some = pairs[part] if which is None else pairs[which[part]]
        yield np.subtract(rows[some[:, 0]], rows[some[:, 1]], dtype=np.float64)
