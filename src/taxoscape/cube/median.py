"""The median of the days on which a pixel is valid, as one of the values that were seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def lower_median(
    values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return the median of each band over the days on which a pixel is valid, the lower of two in the middle.

    Parameters
    ----------
    values
        (day, band, row, col), integers or reals; overwritten. Valid pixels are finite.
    valid
        bool (day, row, col).

    Returns
    -------
    (values, valid)
        (band, row, col) of the same dtype, of any value where no day is valid; bool (row, col).
    """
    last = np.inf if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    np.copyto(values, values.dtype.type(last), where=~valid[:, None])
    values.sort(axis=0)
    count = valid.sum(axis=0)
    middle = np.maximum(count - 1, 0) // 2
    return np.take_along_axis(values, middle[None, None], axis=0)[0], count > 0
