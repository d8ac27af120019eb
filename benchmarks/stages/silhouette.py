"""The silhouette of a sample of tiles against all, beside the bare products that its distances are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.measuring import Measure, paired, peak_gib
from stages.series import a_grid, made_up

ZONES = 8


def measure(*, small: bool) -> list[Measure]:
    """Return pairs of tiles a second under both distances, and how that compares with one product over all columns."""
    from taxoscape.analysis.silhouette import silhouettes

    edge, times, features, sample = (40, 4, 64, 200) if small else (220, 20, 512, 1000)
    grid = a_grid(edge)
    values = np.concatenate(list(made_up(grid, times, features, zones=ZONES, tiles=1000)))
    labels = (np.arange(grid.n_tiles) * ZONES // grid.n_tiles + 1)[:, None]
    chosen = values[np.sort(np.random.default_rng(0).choice(len(values), sample, replace=False))]
    rows = []
    for metric in ("flat", "sumnorm"):
        ours: Any = lambda metric=metric: silhouettes(values, labels, metric=metric, rng=0, most=sample)  # noqa: E731
        if not np.isfinite(ours()[0].value):
            raise ValueError("there was no silhouette to measure: the labels made up are of less than two zones")
        seconds, ratio = paired(ours, lambda: products(chosen, values), turns=2)
        rows.append(Measure(
            stage="silhouette", what=f"{metric}, {sample} of {len(values)} tiles against all, {times} × {features}",
            rate=sample * len(values) / seconds, unit="pairs/s", peer="the float32 products alone", ratio=ratio,
            peak_gib=peak_gib(ours), turns=2,
        ))  # fmt: skip
    return rows


def products(some: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> None:
    """Multiply some rows with all, in blocks of 1 024."""
    left = some.reshape(len(some), -1)
    for begin in range(0, len(values), 1024):
        left @ values[begin : begin + 1024].reshape(-1, left.shape[1]).T
