"""What zones are called: numbers 1…K by falling size, and the dtype that holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Int = npt.NDArray[np.int64]


def number_by_size(labels: Int, k: int, areas: npt.NDArray[np.float64]) -> tuple[Int, Int]:
    """Renumber clusters 0…k−1 to 1…k by falling area, ties by the first row.

    Parameters
    ----------
    labels
        int64 (row,), 0…k−1.
    k
        Number of clusters.
    areas
        float64 (row,): area of each row's cell; ones, to number by rows.

    Returns
    -------
    The new labels, and ``order`` with the old cluster of each new one: new label ``i + 1`` was ``order[i]``.
    """
    sizes = np.bincount(labels, weights=areas, minlength=k)
    scale = sizes.max(initial=0.0) or 1.0
    first = np.array([np.argmax(labels == cluster) for cluster in range(k)])
    order = np.lexsort((first, -np.round(sizes / scale, 9)))  # equal areas are equal whatever the order of sums
    rank = np.empty(k, dtype=np.int64)
    rank[order] = np.arange(1, k + 1)
    return rank[labels], order


def label_dtype(k: int) -> type[np.uint8] | type[np.uint16]:
    """Return the dtype of labels 0…k: uint8, above 255 zones uint16."""
    return np.uint8 if k <= 255 else np.uint16
