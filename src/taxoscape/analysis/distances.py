"""Distances between series, with missing dates.

Two distances, and every number says which it is under:

* ``flat``: Euclidean on the flattened series, √(Σ_t ‖x_t − y_t‖²). K-means minimises its square.
* ``sumnorm``: d(x, y) = Σ_t ‖x_t − y_t‖, METHOD step 7, the distance of the paper's silhouette and graph.

With missing dates both are taken over the dates S that two series share and scaled to all T dates: T/|S| under the sum
(under the root for ``flat``). Two series that share no date have no distance: NaN, and such pairs take no part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Float = npt.NDArray[np.floating]
    Float64 = npt.NDArray[np.float64]
    Bool = npt.NDArray[np.bool_]

Metric = Literal["flat", "sumnorm"]


def pairwise(left: Float, right: Float, *, metric: Metric) -> Float64:
    """Return the distances between two sets of series.

    Parameters
    ----------
    left, right
        float (n, time, feature) and float (m, time, feature); a date whose first feature is NaN is missing.
    metric
        ``"flat"`` or ``"sumnorm"``.

    Returns
    -------
    float64 (n, m); NaN where two series share no date.

    Notes
    -----
    One matrix product per date on features centred by date, in float64: O(n · m · T · F) time, O(n · m) memory. Small
    distances between long vectors keep about 1e-7 of the vectors' spread.
    """
    total = np.zeros((len(left), len(right)))
    shared = np.zeros((len(left), len(right)))
    for time in range(left.shape[1]):
        a, b = left[:, time].astype(np.float64), right[:, time].astype(np.float64)
        seen = np.isfinite(a[:, :1]) & np.isfinite(b[:, 0])
        if not seen.any():
            continue
        centre = np.nanmean(b, axis=0)
        a, b = np.nan_to_num(a - centre), np.nan_to_num(b - centre)
        squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
        np.maximum(squares, 0, out=squares)
        total += np.where(seen, np.sqrt(squares) if metric == "sumnorm" else squares, 0)
        shared += seen
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.where(shared > 0, total * (left.shape[1] / shared), np.nan)
    return scaled if metric == "sumnorm" else np.sqrt(scaled)


def silhouette_of(distances: Float64, labels: npt.NDArray[np.integer]) -> float:
    """Return the mean silhouette of labelled points from their distances.

    Parameters
    ----------
    distances
        float64 (n, n), symmetric; NaN where a pair has none. Such pairs take no part in a mean.
    labels
        Integer (n,).

    Returns
    -------
    Mean of (b − a) / max(a, b), a the mean distance to the own zone, b the smallest mean distance to another; 0 for a
    point alone in its zone, as in scikit-learn. NaN with fewer than two zones.

    Notes
    -----
    Source: Rousseeuw, *Silhouettes*, J. Comput. Appl. Math. 20 (1987).
    """
    zones, index = np.unique(labels, return_inverse=True)
    if len(zones) < 2:
        return float("nan")
    member = np.eye(len(zones))[index]
    known = np.isfinite(distances)
    np.fill_diagonal(known, val=False)
    sums, counts = np.where(known, distances, 0) @ member, known.astype(np.float64) @ member
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(counts > 0, sums / counts, np.nan)
    rows = np.arange(len(labels))
    own = means[rows, index].copy()
    means[rows, index] = np.inf
    other = np.where(np.isnan(means), np.inf, means).min(axis=1)
    defined = np.isfinite(own) & np.isfinite(other)
    larger = np.maximum(own, other)
    score = np.zeros(len(labels))
    np.divide(other - own, larger, out=score, where=defined & (larger > 0))
    return float(score.mean())
