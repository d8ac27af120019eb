"""Give the zones of one partition the numbers of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr


def overlap_order(reference: npt.NDArray[Any], labels: npt.NDArray[Any], k: int) -> npt.NDArray[np.int64]:
    """Return the new number of each zone so that as many tiles as possible keep the number of the reference.

    Parameters
    ----------
    reference, labels
        Integer (tile,), 0 = none.
    k
        Number of zones of ``labels``; the reference may have more or fewer.

    Returns
    -------
    int64 (k,): ``order[i]`` is the new number, 1…k, of zone ``i + 1``.

    Notes
    -----
    Of all ways to number k zones 1…k, one with the largest total overlap (Hungarian method,
    `scipy.optimize.linear_sum_assignment`). Zones that share no tile with the reference take the numbers left.
    """
    from scipy.optimize import linear_sum_assignment

    both = (labels > 0) & (reference > 0) & (reference <= k)
    table = np.zeros((k, k), dtype=np.int64)
    np.add.at(table, (labels[both].astype(np.int64) - 1, reference[both].astype(np.int64) - 1), 1)
    _, columns = linear_sum_assignment(table, maximize=True)
    return np.asarray(columns, dtype=np.int64) + 1


def match_zones(reference: xr.Dataset, zones: xr.Dataset) -> xr.Dataset:
    """Return ``zones`` renumbered so that its numbers agree with those of ``reference`` on as many tiles as possible.

    Parameters
    ----------
    reference, zones
        Datasets of `taxoscape.cluster` on the same grid.
    """
    order = overlap_order(reference["labels"].to_numpy(), zones["labels"].to_numpy(), zones.sizes["zone"])
    old = np.argsort(order)
    renumbered = zones.isel(zone=old).assign_coords(zone=np.arange(1, len(order) + 1))
    lookup = np.concatenate([[0], order]).astype(zones["labels"].dtype)
    labels = zones["labels"]
    return renumbered.assign(labels=labels.copy(data=lookup[labels.to_numpy()]))
