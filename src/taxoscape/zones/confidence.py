"""How sure it is that a tile is of its zone.

A tile half way between two centroids may be of either zone; one far on its own side is of it. What "far" is, the
zones say themselves: how wide their tiles are spread along the line to the next zone. With zones as Gaussians of one
width the odds of zone b against a are exp(−(d_b² − d_a²) / 2σ²), and the confidence of a tile is the share of its own
zone in the sum over all of them.

The tiles of a real zone are more alike side by side, and more unlike elsewhere, than a Gaussian's, so these odds are
too sure of themselves. `WIDENING` is set so that on the built-in region the confidence is the share of tiles that are
in the zone of the truth (`docs/evidence.md`, ``benchmarks/reliability.py``). On other ground it is a ranking more than
a probability: it knows of the distance to other zones, not of zones that mean nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from taxoscape.contracts import check_zones

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]

WIDENING = 3.0
"""Variance within zones that is reckoned with, over the one that is found along the line to the next zone."""


def confidence(zones: xr.Dataset) -> Float32:
    """Return how sure it is that each tile is of its zone.

    Parameters
    ----------
    zones
        Dataset of `taxoscape.cluster`.

    Returns
    -------
    float32 (tile,), 0…1; 1 with a single zone; NaN for tiles of none.

    Notes
    -----
    From the distances of the tiles to the centroids alone. They are squared in float64; O(n · K) time and memory.
    """
    check_zones(zones)
    labels = zones["labels"].to_numpy().astype(np.int64)
    placed = np.flatnonzero(labels)
    squares = np.square(zones["distances"].to_numpy()[placed].astype(np.float64))
    own = labels[placed] - 1
    apart = squares - np.take_along_axis(squares, own[:, None], axis=1)
    variance = WIDENING * _variance(apart, own)
    result = np.full(len(labels), np.nan, dtype=np.float32)
    with np.errstate(over="ignore"):  # a tile that is not of its nearest zone, by far, has the confidence 0
        result[placed] = 1 / np.exp(-apart / (2 * variance)).sum(axis=1)
    return result


def _variance(apart: Float64, own: npt.NDArray[np.int64]) -> float:
    """Return the variance within zones along the line from a zone to the next one, the mean over the tiles.

    Parameters
    ----------
    apart
        float64 (tile, zone): d_b² − d_a² of each zone b and a tile's own zone a.
    own
        int64 (tile,): a, 0…K−1.

    Notes
    -----
    The mean of d_b² − d_a² over the tiles of a is the squared distance m² of the two centroids, and the position of a
    tile along the line between them, from its own centroid, is (m² − (d_b² − d_a²)) / 2m.
    """
    total, count = 0.0, 0
    for zone in range(apart.shape[1]):
        rows = apart[own == zone]
        means = rows.mean(axis=0) if len(rows) else np.empty(0)
        others = np.flatnonzero(means > 0)
        others = others[others != zone]
        if not len(others):
            continue
        nearest = others[means[others].argmin()]
        positions = (means[nearest] - rows[:, nearest]) / (2 * np.sqrt(means[nearest]))
        total, count = total + float(np.square(positions).sum()), count + len(rows)
    return max(total / count, 1e-30) if count else 1.0
