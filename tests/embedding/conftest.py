from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import xarray as xr

from taxoscape.config import EncoderSettings
from taxoscape.embedding.tiles import TileReader
from taxoscape.embedding.triplets import Triplets, geographic_triplets
from tests.embedding.cubes import a_cube

SMALL = EncoderSettings(triplets=48, epochs=2, batch_size=16, n_features=8)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def cube() -> xr.DataArray:
    """Two halves of different brightness and texture on 3 dates, 2 bands, 44 × 62 pixels."""
    rng = np.random.default_rng(3)
    values = rng.normal(60, 6, (3, 2, 44, 62))
    values[:, 0, :, 31:] += 60
    values[:, 1, :, 31::2] += 30
    return a_cube(values.clip(1, 255).astype(np.uint8))


@pytest.fixture
def reader(cube: xr.DataArray) -> TileReader:
    return TileReader(cube, 8)


@pytest.fixture
def triplets(reader: TileReader) -> Triplets:
    return geographic_triplets(reader, tile_size=8, n=48, rng=1)
