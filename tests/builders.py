"""Small datasets that keep the contracts, for tests of the stages that read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from pyproj import CRS

from taxoscape.contracts import tile_coordinates
from taxoscape.grid import Grid, Lattice
from taxoscape.zones.clustering import cluster, evidence
from taxoscape.zones.evidence import Evidence

UTM = "EPSG:32630"


def wkt(code: str = UTM) -> str:
    return CRS.from_user_input(code).to_wkt()


def a_lattice(height: int = 60, width: int = 90, *, dx: float = 10.0, dy: float = 10.0, crs: str = UTM) -> Lattice:
    return Lattice(crs=wkt(crs), x0=500_000.0, y0=4_700_000.0, dx=dx, dy=dy, height=height, width=width)


def a_grid(rows: int = 6, cols: int = 9, tile_size: int = 10) -> Grid:
    return Grid.over(a_lattice(rows * tile_size, cols * tile_size), tile_size=tile_size)


def make_grid(crs: Any = 32630, *, n_rows: int = 7, n_cols: int = 11, tile: int = 10, dx: float = 10.0,
              dy: float = 10.0, x0: float = 500_000.0, y0: float = 4_700_000.0) -> Grid:  # fmt: skip
    """Return a grid of ``n_rows`` × ``n_cols`` tiles whose first tile starts near (x0, y0)."""
    step_x, step_y = dx * tile, dy * tile
    lattice = Lattice(
        crs=CRS.from_user_input(crs).to_wkt(), x0=round(x0 / step_x) * step_x, y0=round(y0 / step_y) * step_y,
        dx=dx, dy=dy, height=n_rows * tile, width=n_cols * tile,
    )  # fmt: skip
    grid = Grid.over(lattice, tile_size=tile)
    assert (grid.n_rows, grid.n_cols) == (n_rows, n_cols)
    return grid


def a_series(values: np.ndarray, grid: Grid | None = None) -> xr.Dataset:
    """Return a series dataset around values (tile, time, feature); NaN is missing."""
    n, times, _ = values.shape
    grid = grid or a_grid(1, n)
    dates = np.datetime64("2023-01-05", "ns") + np.arange(times) * np.timedelta64(40, "D")
    return xr.Dataset(
        {
            "embedding": (("tile", "time", "feature"), values.astype(np.float32)),
            "valid": (("tile", "time"), np.isfinite(values[..., 0]).astype(np.float32)),
        },
        coords={**tile_coordinates(grid), "time": dates},
        attrs={"grid": grid.to_json(), "min_valid": 0.5},
    )


def blobs(
    sizes: tuple[int, ...], *, times: int = 3, features: int = 4, apart: float = 10.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return (values (tile, time, feature), true cluster 0…) of well separated clusters, shuffled."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = rng.normal(size=(len(sizes), times, features)) * apart
    return (centres[truth] + rng.normal(size=(len(truth), times, features))).astype(np.float32), truth


def plain_cluster(series: xr.Dataset, **options: Any) -> xr.Dataset:
    """Return zones by K-means on the series as they are: what analyses of Euclidean partitions are tested on."""
    return cluster(series, clusterer="kmeans", **options)


def plain_evidence(series: xr.Dataset, **options: Any) -> Evidence:
    """Return the evidence for the number of zones by K-means on the series as they are."""
    return evidence(series, clusterer="kmeans", **options)
