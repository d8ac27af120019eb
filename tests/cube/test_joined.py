"""Several regions as one cube: against a naive paste, and through triplets and an encoder."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from taxoscape.areas import cell_areas_km2
from taxoscape.contracts import check_cube, check_series, check_zones, grid_of, spatial_ref
from taxoscape.cube.joined import (
    STAND_IN_CRS,
    Joined,
    join_cubes,
    placements_from_json,
    placements_to_json,
    split,
)
from taxoscape.embedding.encoder import Encoder, Recipe
from taxoscape.embedding.encoding import encode
from taxoscape.embedding.scaling import Scaling
from taxoscape.embedding.tiles import TileReader
from taxoscape.embedding.triplets import geographic_triplets
from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice
from taxoscape.testing.laziness import assert_lazy, counted
from tests.builders import a_lattice, wkt
from tests.builders import plain_cluster as cluster


def a_region(
    height: int = 30, width: int = 40, *, times: int = 2, bands: int = 2, dtype: str = "uint8", seed: int = 0,
    at: tuple[int, int] = (0, 0), crs: int = 32630, px: float = 10.0, holes: float = 0.0, year: int = 2023,
    nodata: float | None = 0,
) -> xr.DataArray:  # fmt: skip
    """Return a cube whose first pixel lies ``at`` (row, col) from a multiple of every small tile size."""
    rng = np.random.default_rng(seed)
    col, row = (42000 + at[1], -42000 + at[0]) if px >= 1 else (at[1], -42000 + at[0])
    lattice = Lattice(crs=wkt(f"EPSG:{crs}"), x0=col * px, y0=-row * px, dx=px, dy=px, height=height, width=width)
    y, x = lattice.coordinates()
    return xr.DataArray(
        rng.integers(1, 200, (times, bands, height, width)).astype(dtype),
        dims=("time", "band", "y", "x"),
        coords={
            "time": np.datetime64(f"{year}-01-05", "ns") + np.arange(times) * np.timedelta64(40, "D"),
            "band": [f"B{i + 1}" for i in range(bands)],
            "y": y,
            "x": x,
            "valid": (("time", "y", "x"), rng.random((times, height, width)) >= holes),
            "spatial_ref": spatial_ref(lattice),
        },
        attrs={"nodata": nodata},
    )


def paste(cubes: dict[str, xr.DataArray], joined: Joined, tile_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Lay the whole tiles of every region on the joined pixels, pixel by pixel."""
    values = np.zeros(joined.cube.shape, joined.cube.dtype)
    valid = np.zeros((values.shape[0], *values.shape[2:]), bool)
    for placement in joined.placements:
        cube, grid = cubes[placement.name], placement.grid
        scenes, mask = cube.to_numpy(), cube["valid"].to_numpy()
        for tile, (row, col) in enumerate(grid.corners.tolist()):
            i, j = divmod(tile, grid.n_cols)
            for dy, dx in np.ndindex(tile_size, tile_size):
                y, x = row + dy, col + dx
                if 0 <= y < cube.sizes["y"] and 0 <= x < cube.sizes["x"]:
                    down, across = (placement.row + i) * tile_size + dy, (placement.col + j) * tile_size + dx
                    values[:, :, down, across] = scenes[:, :, y, x]
                    valid[:, down, across] = mask[:, y, x]
    return values, valid


@st.composite
def regions(draw, *, most: int = 3):
    """Draw (tile size, neighbourhood or None, partial, cubes by name) of odd sizes at odd places."""
    tile_size = draw(st.integers(1, 7))
    times, bands = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    dtype = draw(st.sampled_from(["uint8", "int16", "float32"]))
    cubes = {}
    for name in "abc"[: draw(st.integers(1, most))]:
        height, width = draw(st.integers(2 * tile_size, 24)), draw(st.integers(2 * tile_size, 24))
        at = (draw(st.integers(-9, 9)), draw(st.integers(-9, 9)))
        seed, crs = draw(st.integers(0, 99)), draw(st.sampled_from([32630, 32631]))
        holes = draw(st.sampled_from([0.0, 0.3, 1.0]))
        cubes[name] = a_region(height, width, times=times, bands=bands, dtype=dtype, seed=seed, at=at, crs=crs,
                               holes=holes)  # fmt: skip
    reach = draw(st.sampled_from([None, 1, tile_size, 3 * tile_size + 1]))
    return tile_size, reach, draw(st.sampled_from(["drop", "keep"])), cubes


def join(drawn) -> Joined:
    tile_size, reach, partial, cubes = drawn
    return join_cubes(cubes, tile_size=tile_size, neighbourhood_px=reach, partial=partial)


def _index(n: int):
    return st.one_of(
        st.integers(-n, n - 1),
        st.slices(n).filter(lambda s: len(range(n)[s]) > 0),
        st.lists(st.integers(0, n - 1), min_size=1, max_size=4).map(np.array),
    )


@given(regions(), st.data())
@settings(max_examples=30)
def test_a_joined_cube_equals_a_naive_paste_however_it_is_indexed(drawn, data) -> None:
    joined = join(drawn)
    check_cube(joined.cube)
    values, valid = paste(drawn[3], joined, drawn[0])
    key = tuple(data.draw(_index(n)) for n in values.shape)
    oracle, mask = xr.DataArray(values, dims=joined.cube.dims)[key], xr.DataArray(valid)[(key[0], *key[2:])]
    np.testing.assert_array_equal(joined.cube[key].to_numpy(), oracle.to_numpy())
    np.testing.assert_array_equal(joined.cube["valid"][(key[0], *key[2:])].to_numpy(), mask.to_numpy())
    np.testing.assert_array_equal(joined.cube.to_numpy(), values)
    np.testing.assert_array_equal(joined.cube["valid"].to_numpy(), valid)


@given(regions())
@settings(max_examples=30)
def test_a_joined_tile_is_a_tile_of_one_region_or_has_no_valid_pixel(drawn) -> None:
    tile_size, _, partial, cubes = drawn
    joined = join(drawn)
    assert (joined.grid.first_row, joined.grid.first_col) == (0, 0)
    assert joined.grid == Grid.over(Lattice.of(joined.cube), tile_size=tile_size, partial="keep")
    reader, times = TileReader(joined.cube, tile_size), joined.cube.sizes["time"]
    rest = set(range(joined.grid.n_tiles))
    for placement in joined.placements:
        own = Grid.over(Lattice.of(cubes[placement.name]), tile_size=tile_size, partial=partial)
        assert placement.grid == own
        chosen = placement.tiles(joined.grid)
        assert len(chosen) == own.n_tiles
        assert rest.issuperset(chosen)
        rest -= set(chosen.tolist())
        alone = TileReader(cubes[placement.name], tile_size)
        for time in range(times):
            there, here = (
                source.read(np.column_stack([corners, np.full(len(corners), time)]))
                for source, corners in ((reader, joined.grid.corners[chosen]), (alone, own.corners))
            )
            np.testing.assert_array_equal(there[0], here[0])
            np.testing.assert_array_equal(there[1], here[1])
    empty = joined.grid.corners[sorted(rest)]
    for time in range(times):
        assert not reader.valid_share(np.column_stack([empty, np.full(len(empty), time)])).any()


@given(regions(), st.integers(0, 99))
@settings(max_examples=25)
def test_reading_by_blocks_gives_the_pixels_of_reading_whole(drawn, seed) -> None:
    joined = join(drawn)
    whole, blocks = TileReader(joined.cube, drawn[0]), TileReader(joined.cube, drawn[0], memory=0)
    rng = np.random.default_rng(seed)
    corners = np.column_stack([rng.integers(-3, n, 12) for n in (whole.height, whole.width)] + [np.zeros(12, int)])
    for one, other in zip(whole.read(corners), blocks.read(corners), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_size_of_blocks_can_be_chosen() -> None:
    joined = join_cubes({"a": a_region(), "b": a_region(50, 20)}, tile_size=7)
    for variable in (joined.cube.variable, joined.cube["valid"].variable):
        variable.encoding["preferred_chunks"] = {"y": 11, "x": 13}
    reader = TileReader(joined.cube, 7, memory=0)
    assert reader._values.edges == (11, 13)  # type: ignore[attr-defined]
    corners = np.array([[row, 3, 1] for row in range(0, joined.cube.sizes["y"] - 7, 5)])
    np.testing.assert_array_equal(reader.read(corners)[0], TileReader(joined.cube, 7).read(corners)[0])


def region_of(joined: Joined, corners: np.ndarray, tile_size: int) -> list[set[int]]:
    """Return the regions that each tile touches."""
    found: list[set[int]] = []
    for row, col in corners[:, :2].tolist():
        touched = set()
        for i, place in enumerate(joined.placements):
            top, left = place.row * tile_size, place.col * tile_size
            down = top - tile_size < row < top + place.grid.n_rows * tile_size
            across = left - tile_size < col < left + place.grid.n_cols * tile_size
            if down and across:
                touched.add(i)
        found.append(touched)
    return found


@given(
    tile_size=st.integers(2, 7), reach=st.sampled_from([None, 1, 9, 20]), seed=st.integers(0, 99),
    partial=st.sampled_from(["drop", "keep"]), same_date=st.booleans(),
)  # fmt: skip
@settings(max_examples=30)
def test_anchor_and_neighbour_are_of_one_region_and_every_region_has_anchors(
    tile_size, reach, seed, partial, same_date
) -> None:
    cubes = {name: a_region(30 + 3 * i, 45 - 11 * i, at=(i, 5 * i), holes=0.2) for i, name in enumerate("abc")}
    joined = join_cubes(cubes, tile_size=tile_size, neighbourhood_px=reach, partial=partial)
    drawn = geographic_triplets(joined.cube, tile_size=tile_size, neighbourhood_px=reach, n=60, rng=seed,
                                min_valid=0.0, same_date=same_date)  # fmt: skip
    anchors, neighbours = (region_of(joined, table, tile_size) for table in (drawn.anchor, drawn.neighbour))
    assert all(len(touched) == 1 for touched in anchors)
    assert anchors == neighbours
    assert {min(touched) for touched in anchors} == {0, 1, 2}
    assert all(len(touched) == 1 for touched in region_of(joined, drawn.distant, tile_size))


ENCODER = Encoder(
    recipe := Recipe(
        network="fast", tile_size=10, bands=("B1", "B2"), n_features=6, normalised=True,
        scaling=Scaling(mean=(120.0, 90.0), offset=(120.0, 90.0), scale=(70.0, 50.0)),
    ),
    recipe.build(5),
    {},
)  # fmt: skip


@pytest.fixture(scope="module")
def two() -> tuple[dict[str, xr.DataArray], Joined, xr.Dataset]:
    """Two regions, one of them in part without data, joined and encoded."""
    cubes = {"north": a_region(47, 63, holes=0.1, at=(3, 4)), "south": a_region(38, 31, seed=1, crs=32631, year=2020)}
    hole = cubes["south"]["valid"].to_numpy().copy()
    hole[1, :20] = False
    hole[:, 20:, :10] = False
    cubes["south"] = cubes["south"].assign_coords(valid=(("time", "y", "x"), hole))
    joined = join_cubes(cubes, tile_size=10)
    return cubes, joined, encode(joined.cube, ENCODER)


def test_encoding_the_joined_cube_equals_encoding_each_region_alone(two) -> None:
    cubes, joined, series = two
    for placement in joined.placements:
        part, alone = split(series, placement), encode(cubes[placement.name], ENCODER)
        assert check_series(part) == check_series(alone)
        xr.testing.assert_identical(part, alone)


def test_split_zones_keep_their_numbers_and_centroids_on_the_grid_of_the_region(two) -> None:
    _, joined, series = two
    zones = cluster(series, n_clusters=3, starts=2, rng=0)
    parts = [split(zones, placement) for placement in joined.placements]
    for part, placement in zip(parts, joined.placements, strict=True):
        assert check_zones(part) == placement.grid
        assert part["time"].to_numpy().astype("datetime64[D]")[0] == np.datetime64(placement.dates[0], "D")
        np.testing.assert_array_equal(part["centroids"], zones["centroids"])
        np.testing.assert_array_equal(part["labels"], zones["labels"][placement.tiles(joined.grid)])
        np.testing.assert_array_equal(part["zone"], [1, 2, 3])
    counts = [int((part["labels"] > 0).sum()) for part in parts]
    assert sum(counts) == int((zones["labels"] > 0).sum())
    means = [part.attrs["inertia_mean"] for part in parts]
    assert np.average(means, weights=counts) == pytest.approx(zones.attrs["inertia_mean"])
    nothing = zones.assign(labels=zones["labels"] * 0)
    assert math.isnan(split(nothing, joined.placements[0]).attrs["inertia_mean"])


def test_splitting_leaves_a_lazy_series_lazy(two) -> None:
    _, joined, series = two
    lazy, reads = counted(series["embedding"])
    with assert_lazy(reads):
        part = split(series.assign(embedding=lazy), joined.placements[1])
    xr.testing.assert_identical(part.compute(), split(series, joined.placements[1]))


def test_joining_reads_nothing_and_a_window_reads_only_the_regions_it_meets() -> None:
    (north, north_reads), (south, south_reads) = (counted(a_region(30, 40, seed=i)) for i in range(2))
    with assert_lazy(north_reads), assert_lazy(south_reads):
        joined = join_cubes({"north": north, "south": south}, tile_size=10)
        gap = joined.cube[0, :, 30:50]
        assert not gap.to_numpy().any()
        assert not joined.cube["valid"][:, 30:50].to_numpy().any()
    with assert_lazy(south_reads):
        assert joined.cube[1, 0, 25:33, 3:9].to_numpy().shape == (8, 6)
    assert north_reads.sizes == [5 * 6]
    with assert_lazy(north_reads):
        joined.cube["valid"][1, 45:52, 35:].to_numpy()
    assert south_reads.sizes == [2 * 5]


def test_a_joined_cube_can_be_pickled() -> None:
    joined = join_cubes({"a": a_region(), "b": a_region(20, 20)}, tile_size=10)
    xr.testing.assert_identical(pickle.loads(pickle.dumps(joined.cube)).compute(), joined.cube.compute())


def test_the_joined_lattice_has_no_place_on_earth_and_says_whose_dates_it_has() -> None:
    joined = join_cubes({"here": a_region(), "there": a_region(crs=32631, year=2019)}, tile_size=10)
    lattice = Lattice.of(joined.cube)
    assert (lattice.crs, lattice.x0, lattice.y0, lattice.dx, lattice.dy) == (STAND_IN_CRS, 0, 0, 10, 10)
    assert joined.cube["time"].attrs["comment"].startswith("dates of 'here'")
    assert joined.cube["time"].dt.year.to_numpy().tolist() == [2023, 2023]
    assert joined.cube.attrs["regions"] == ["here", "there"]
    assert joined.placements[1].dates[0].startswith("2019-01-05")


@pytest.mark.parametrize(("crs", "px"), [(4326, 0.0001), (3857, 14.0), (2263, 30.0)])
def test_areas_on_the_joined_lattice_add_up_to_the_true_ones_whatever_the_CRS(crs, px) -> None:
    cubes = {"a": a_region(30, 40, crs=crs, px=px), "b": a_region(40, 40, crs=crs, px=px, at=(50, 0))}
    joined = join_cubes(cubes, tile_size=10)
    true = sum(cell_areas_km2(place.grid).sum() for place in joined.placements)
    chosen = np.concatenate([place.tiles(joined.grid) for place in joined.placements])
    assert cell_areas_km2(joined.grid)[chosen].sum() == pytest.approx(true, rel=1e-6)


def test_pixels_of_one_geographic_CRS_are_alike_at_any_latitude() -> None:
    far = {"a": a_region(crs=4326, px=0.0001), "b": a_region(crs=4326, px=0.0001, at=(-100_000, 0))}
    assert len(join_cubes(far, tile_size=10).placements) == 2


@pytest.mark.parametrize(
    ("values", "common"), [((0, 0), 0), ((0, None), None), ((0, 1), None), ((math.nan, math.nan), math.nan)]
)
def test_nodata_is_kept_where_all_regions_have_it(values, common) -> None:
    cubes = {str(i): a_region(dtype="float32", nodata=value) for i, value in enumerate(values)}
    found = join_cubes(cubes, tile_size=10).cube.attrs["nodata"]
    assert found == common or (math.isnan(found) and math.isnan(common))


@given(regions())
@settings(max_examples=20)
def test_placements_come_back_from_JSON(drawn) -> None:
    placements = join(drawn).placements
    assert placements_from_json(placements_to_json(placements)) == placements


@pytest.mark.parametrize("text", ["", "{}{", '[{"name": "a"}]', '[{"grid": 3, "dates": []}]', "[3]", "7"])
def test_a_text_that_holds_no_placements_is_refused(text) -> None:
    with pytest.raises(InputError, match="placements of the regions cannot be read"):
        placements_from_json(text)


def refuse(match: str, tile_size: int = 10, **cubes: xr.DataArray) -> None:
    with pytest.raises(InputError, match=match):
        join_cubes(cubes, tile_size=tile_size)


def test_no_region_is_refused() -> None:
    refuse("no region to join")


def test_regions_of_unequal_numbers_of_dates_are_refused() -> None:
    refuse(r"'a' has 2, 'b' has 3\): .* same number of scenes in season order", a=a_region(), b=a_region(times=3))


def test_regions_of_other_bands_are_refused() -> None:
    refuse("region 'b' has the bands B1, B2, B3, region 'a' has B1, B2: .*--bands", a=a_region(), b=a_region(bands=3))
    refuse("the same bands in the same order", a=a_region(), b=a_region().isel(band=[1, 0]))


def test_regions_of_another_type_are_refused() -> None:
    refuse("region 'b' holds int16, region 'a' holds uint8", a=a_region(), b=a_region(dtype="int16"))


def test_regions_of_another_pixel_size_are_refused() -> None:
    refuse(r"region 'b' has pixels of (19.9|20).* m on the ground.*gdalwarp", a=a_region(), b=a_region(px=20.0))
    refuse("region 'b' has pixels", a=a_region(), b=a_region(px=0.0001, crs=4326))
    join_cubes({"a": a_region(), "b": a_region(px=10.05)}, tile_size=10)


def test_a_region_without_a_whole_tile_is_refused_by_name() -> None:
    refuse("region 'b': not one whole tile of 30 × 30 pixels", 30, a=a_region(90, 90), b=a_region(20, 20))


def test_what_is_no_cube_is_refused_by_name() -> None:
    refuse("region 'b': a cube has", a=a_region(), b=a_region().drop_vars("valid"))


def test_a_result_of_another_grid_cannot_be_split(two) -> None:
    cubes, joined, series = two
    alone = encode(cubes["north"], ENCODER)
    with pytest.raises(InputError, match="the region 'north' lies at tile"):
        split(alone, joined.placements[0])
    with pytest.raises(InputError, match="the region 'south' lies at tile"):
        joined.placements[1].tiles(Grid.over(a_lattice(500, 500), tile_size=10))
    with pytest.raises(InputError, match="has 1 dates, the region 'north' has 2"):
        split(series.isel(time=[0]), joined.placements[0])
    assert grid_of(series) == joined.grid
