"""Strategies and laziness checks do what they say."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import find, given, settings

from taxoscape.contracts import check_cube
from taxoscape.testing import Region, region_cube
from taxoscape.testing.laziness import assert_lazy, counted
from taxoscape.testing.strategies import cubes


@settings(max_examples=40, deadline=None)
@given(cube=cubes())
def test_drawn_cubes_keep_the_contract_and_hold_nodata_where_invalid(cube: xr.DataArray) -> None:
    check_cube(cube)
    nodata, invalid = cube.attrs["nodata"], ~cube.valid.values
    same = np.isnan(cube.values) if nodata is not None and np.isnan(nodata) else cube.values == nodata
    if nodata is None:
        assert not invalid.any()
    else:
        np.testing.assert_array_equal(same.all(axis=1), invalid)


@pytest.mark.parametrize(
    "claim",
    [
        lambda cube: cube.dtype == np.float32 and bool(np.isnan(cube).any()),
        lambda cube: cube.sizes["time"] > 1 and bool((~cube.valid).all(("y", "x")).any()) and bool(cube.valid.any()),
        lambda cube: cube.sizes["y"] != cube.sizes["x"] and cube.sizes["y"] % 2 == 1,
    ],
)
def test_the_hard_cases_are_among_the_drawn(claim) -> None:  # type: ignore[no-untyped-def]
    find(cubes(max_px=5), claim, settings=settings(max_examples=2000, deadline=None, database=None))


def test_a_counted_cube_is_the_same_cube_and_counts_reads() -> None:
    cube = region_cube(Region(height=30, width=40, n_zones=2, dates=2))
    lazy, reads = counted(cube)
    check_cube(lazy)
    assert reads.count == 0
    corner = lazy.isel(y=slice(3, 9), x=[1, 5])
    assert reads.count == 0
    np.testing.assert_array_equal(corner.values, cube.isel(y=slice(3, 9), x=[1, 5]).values)
    assert reads.count >= 1
    assert reads.largest < cube.size
    xr.testing.assert_identical(lazy.load(), cube)


def test_reading_within_assert_lazy_is_an_error() -> None:
    lazy, reads = counted(region_cube(Region(height=30, width=40, n_zones=2, dates=1)))
    with pytest.raises(AssertionError, match="none was expected"), assert_lazy(reads):
        lazy.mean().item()
