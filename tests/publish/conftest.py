"""A small made-up region that keeps the contracts: 7 rows and 11 columns of tiles, 5 dates, 4 features."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from taxoscape.contracts import tile_coordinates
from taxoscape.grid import Grid
from taxoscape.publish.table import ZoneRow, zone_table
from tests.builders import make_grid


def make_labels(grid: Grid, n_zones: int = 4, seed: int = 0, gaps: bool = True) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return blobs of zones numbered by falling size, with a few tiles of no data."""
    rng = np.random.default_rng(seed)
    row, col = np.divmod(np.arange(grid.n_tiles), grid.n_cols)
    seeds = rng.uniform((0, 0), (grid.n_rows, grid.n_cols), (n_zones, 2))
    nearest = ((row[:, None] - seeds[:, 0]) ** 2 + (col[:, None] - seeds[:, 1]) ** 2).argmin(axis=1)
    order = np.argsort(np.argsort(-np.bincount(nearest, minlength=n_zones), kind="stable"))
    labels = (order[nearest] + 1).astype(np.uint8 if n_zones <= 255 else np.uint16)
    if gaps:
        labels[rng.choice(grid.n_tiles, max(1, grid.n_tiles // 25), replace=False)] = 0
    return labels


def make_series(grid: Grid, labels: Any, n_dates: int = 5, n_features: int = 4, seed: int = 1) -> xr.Dataset:
    """Return a series in which tiles of a zone are alike; tiles of label 0 have no date, some others lack some."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(int(labels.max(initial=0)) + 1, n_dates, n_features)) * 3
    embedding = (centres[labels] + rng.normal(size=(grid.n_tiles, n_dates, n_features))).astype(np.float32)
    valid = np.ones((grid.n_tiles, n_dates), dtype=np.float32)
    valid[rng.random(valid.shape) < 0.1] = 0.0
    valid[:, 0] = np.where(valid.sum(axis=1) == 0, 1.0, valid[:, 0])
    valid[labels == 0] = 0.0
    embedding[valid == 0] = np.nan
    times = pd.date_range("2020-01-05", periods=n_dates, freq="23D").to_numpy()
    return xr.Dataset(
        {"embedding": (("tile", "time", "feature"), embedding), "valid": (("tile", "time"), valid)},
        coords={"time": times, **tile_coordinates(grid)},
        attrs={"grid": grid.to_json(), "min_valid": 0.5},
    )


def make_table(grid: Grid, labels: Any, names: list[str] | None = None) -> tuple[ZoneRow, ...]:
    """Return the table of zones with colours of a fixed random kind."""
    colours = np.random.default_rng(3).integers(40, 200, (int(labels.max(initial=0)), 3), dtype=np.uint8)
    return zone_table(labels, grid, colours, names)


@pytest.fixture
def make() -> SimpleNamespace:
    """Give the makers above: grid, labels, series, table."""
    return SimpleNamespace(grid=make_grid, labels=make_labels, series=make_series, table=make_table)


@pytest.fixture
def grid() -> Grid:
    return make_grid()


@pytest.fixture
def labels(grid: Grid) -> Any:
    return make_labels(grid)


@pytest.fixture
def table(grid: Grid, labels: Any) -> tuple[ZoneRow, ...]:
    return make_table(grid, labels)
