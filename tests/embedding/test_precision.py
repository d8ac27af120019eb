"""Zones of series encoded in bfloat16 are those in float32."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import adjusted_rand_score

from taxoscape.config import EncoderSettings
from taxoscape.embedding.encoder import Encoder
from taxoscape.embedding.encoding import encode
from taxoscape.embedding.fit import train_encoder, untrained
from taxoscape.embedding.machine import NARROW
from taxoscape.embedding.quick import NEAR
from taxoscape.testing.region import Region, region_cube
from taxoscape.zones.assign import assign
from taxoscape.zones.clustering import cluster

SAME = 0.99


@pytest.fixture(scope="module")
def cube() -> xr.DataArray:
    return region_cube(Region(seed=2, height=500, width=600, n_zones=4, dates=2)).load()


@pytest.fixture(scope="module", params=["fast", "tilenet"])
def encoder(request: pytest.FixtureRequest, cube: xr.DataArray) -> Encoder:
    if request.param == "tilenet":
        return untrained(cube, network="tilenet", tile_size=50, rng=0)
    return train_encoder(cube, tile_size=20, settings=EncoderSettings(triplets=1500, epochs=2), rng=0)


def test_tiles_go_into_the_same_zones_in_bfloat16_and_zones_are_the_same_where_it_is_the_rule(
    cube: xr.DataArray, encoder: Encoder
) -> None:
    wide, narrow = (encode(cube, encoder, precision=how) for how in ("float32", "bfloat16"))  # type: ignore[arg-type]
    seen = np.isfinite(wide["embedding"].values).all(axis=2)
    apart, lengths = (
        np.linalg.norm(values[seen], axis=1)
        for values in (narrow["embedding"].values - wide["embedding"].values, wide["embedding"].values)
    )
    assert 0 < (apart / lengths).max() <= NEAR
    zones = cluster(wide, n_clusters=4, rng=0)
    if encoder.recipe.network in NARROW:
        assert adjusted_rand_score(zones["labels"], cluster(narrow, n_clusters=4, rng=0)["labels"]) >= SAME
    assert adjusted_rand_score(zones["labels"], assign(narrow, zones, wide)["labels"]) >= SAME
