"""Small GeoTIFFs to plan cubes from."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

Write = Callable[..., Path]


def write_tif(
    path: Path | str,
    pixels: Any = None,
    *,
    at: tuple[float, float] = (0, 0),
    pixel: float = 10.0,
    crs: int | None = 32630,
    nodata: float | None = None,
    names: tuple[str, ...] = (),
    tags: dict[str, str] | None = None,
    transform: Affine | None = None,
    **profile: Any,
) -> Path:
    """Write a GeoTIFF whose first pixel lies ``at`` (row, col) of a lattice with its corner at (500 000, 4 000 000)."""
    pixels = np.arange(12, dtype="uint8").reshape(3, 4) if pixels is None else np.asarray(pixels)
    pixels = pixels if pixels.ndim == 3 else pixels[None]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if transform is None:
        transform = Affine(pixel, 0, 500_000 + at[1] * pixel, 0, -pixel, 4_000_000 - at[0] * pixel)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", count=pixels.shape[0], height=pixels.shape[1], width=pixels.shape[2],
            dtype=pixels.dtype, nodata=nodata, crs=None if crs is None else f"EPSG:{crs}", transform=transform,
            **profile,
        ) as file:  # fmt: skip
            file.write(pixels)
            if names:
                file.descriptions = names
            if tags:
                file.update_tags(**tags)
    return path


@pytest.fixture
def write() -> Write:
    """Return `write_tif`."""
    return write_tif


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Return a folder with three dates of two bands, 20 × 30 pixels, int16, nodata -1, some holes."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "scenes"
    for month in (5, 3, 4):
        pixels = rng.integers(0, 2000, (2, 20, 30)).astype("int16")
        pixels[:, rng.random((20, 30)) < 0.1] = -1
        write_tif(folder / f"S2_2020-{month:02d}-01.tif", pixels, nodata=-1, names=("B04", "B08"))
    return folder
