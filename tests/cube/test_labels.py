import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from taxoscape.cube.labels import read_labels_on_grid
from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice

from .conftest import write_tif


def lattice_of(height: int, width: int, *, row: int = 0, col: int = 0, pixel: float = 10.0) -> Lattice:
    from pyproj import CRS

    return Lattice(
        crs=CRS(32630).to_wkt(), x0=500_000 + col * pixel, y0=4_000_000 - row * pixel, dx=pixel, dy=pixel,
        height=height, width=width,
    )  # fmt: skip


def naive(
    pixels: np.ndarray, at: tuple[int, int], grid: Grid, min_share: float, nodata: int | None, cells: bool = False
) -> list[int]:
    labels = []
    size = grid.stride if cells else grid.tile_size
    for row, col in (grid.corners + (grid.tile_size - size) // 2).tolist():
        counts: Counter[int] = Counter()
        for y in range(row, row + size):
            for x in range(col, col + size):
                i, j = y - at[0], x - at[1]
                if 0 <= i < pixels.shape[0] and 0 <= j < pixels.shape[1] and pixels[i, j] not in (0, nodata):
                    counts[int(pixels[i, j])] += 1
        best = min(counts, key=lambda label: (-counts[label], label), default=0)
        labels.append(best if best and counts[best] / size**2 >= min_share else 0)
    return labels


@given(
    size=st.integers(1, 5), stride=st.integers(1, 5), partial=st.sampled_from(["drop", "keep"]),
    at=st.tuples(st.integers(-5, 8), st.integers(-5, 8)), shape=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    min_share=st.sampled_from([0.0, 0.25, 0.5, 0.6, 1.0]), nodata=st.sampled_from([None, 2, 255]),
    seed=st.integers(0, 99), cells=st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_labels_equal_a_naive_count(size, stride, partial, at, shape, min_share, nodata, seed, cells) -> None:
    grid = Grid.over(lattice_of(9, 11), tile_size=size, stride=min(size, stride), partial=partial)
    pixels = np.random.default_rng(seed).integers(0, 4, shape).astype("uint8")
    with tempfile.TemporaryDirectory() as folder:
        path = write_tif(Path(folder) / "labels.tif", pixels, at=at, nodata=nodata)
        labels = read_labels_on_grid(path, grid, min_share=min_share, cells=cells)
    assert labels.dtype == np.int32
    assert labels.tolist() == naive(pixels, at, grid, min_share, nodata, cells)


def test_labels_of_half_the_pixel_size_are_laid_on_the_lattice_by_nearest_neighbour(tmp_path: Path, write) -> None:
    blocks = np.random.default_rng(0).integers(1, 5, (6, 8)).astype("uint8")
    path = write(tmp_path / "labels.tif", np.kron(blocks, np.ones((6, 6), "uint8")), pixel=5)
    grid = Grid.over(lattice_of(18, 24), tile_size=3)
    assert grid.to_map(read_labels_on_grid(path, grid, min_share=1)).shape == (grid.n_rows, grid.n_cols)
    same = write(tmp_path / "same.tif", np.kron(blocks, np.ones((3, 3), "uint8")))
    assert read_labels_on_grid(path, grid).tolist() == read_labels_on_grid(same, grid).tolist()


def test_labels_upside_down_and_in_another_crs_are_laid_on_the_lattice(tmp_path: Path, write) -> None:
    from rasterio.warp import transform_bounds

    blocks = np.kron(np.arange(1, 7, dtype="uint8").reshape(2, 3), np.ones((50, 50), "uint8"))
    upside = write(tmp_path / "upside.tif", blocks[::-1], transform=Affine(10, 0, 500_000, 0, 10, 4_000_000 - 1000))
    grid = Grid.over(lattice_of(100, 150), tile_size=10)
    expected = read_labels_on_grid(write(tmp_path / "same.tif", blocks), grid)
    assert read_labels_on_grid(upside, grid).tolist() == expected.tolist()
    west, south, east, north = transform_bounds(32630, 4326, 500_000, 3_999_000, 501_500, 4_000_000)
    degrees = Affine((east - west) / 150, 0, west, 0, (south - north) / 100, north)
    other = read_labels_on_grid(write(tmp_path / "degrees.tif", blocks, crs=4326, transform=degrees), grid)
    assert (other == expected).mean() > 0.9


@pytest.mark.parametrize("kind", ["mask", "alpha"])
@pytest.mark.parametrize("pixel", [10, 5])
@pytest.mark.parametrize("nodata", [None, 7])
def test_what_a_mask_or_an_alpha_band_hides_is_no_label(tmp_path: Path, write, kind, pixel, nodata) -> None:
    import rasterio
    from rasterio.enums import ColorInterp

    pixels = np.full((40 // pixel, 60 // pixel), 3, "uint8")
    seen = np.full_like(pixels, 255)
    seen[:, 20 // pixel :] = 0
    path = tmp_path / "labels.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write(path, np.stack([pixels, seen]) if kind == "alpha" else pixels, pixel=pixel, nodata=nodata)
        with rasterio.open(path, "r+") as file:
            if kind == "alpha":
                file.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
            else:
                file.write_mask(seen)
    grid = Grid.over(lattice_of(4, 6), tile_size=2)
    assert grid.to_map(read_labels_on_grid(path, grid)).tolist() == [[3, 0, 0], [3, 0, 0]]


def test_negative_labels_are_labels(tmp_path: Path, write) -> None:
    path = write(tmp_path / "labels.tif", np.array([[-3, -3], [0, -3]], "int16"))
    assert read_labels_on_grid(path, Grid.over(lattice_of(2, 2), tile_size=2)).tolist() == [-3]


def test_labels_elsewhere_label_nothing(tmp_path: Path, write) -> None:
    grid = Grid.over(lattice_of(9, 9), tile_size=3)
    for at in ((100, 0), (0.5, 200.5)):
        path = write(tmp_path / "labels.tif", np.ones((5, 5), "uint8"), at=at)
        assert not read_labels_on_grid(path, grid, min_share=0).any()


def test_a_share_is_counted_exactly(tmp_path: Path, write) -> None:
    pixels = np.zeros((10, 10), "uint8")
    pixels.flat[:57] = 9
    path = write(tmp_path / "labels.tif", pixels)
    grid = Grid.over(lattice_of(10, 10), tile_size=10)
    assert read_labels_on_grid(path, grid, min_share=0.57).tolist() == [9]
    assert read_labels_on_grid(path, grid, min_share=0.58).tolist() == [0]


def test_whole_numbers_stored_as_reals_are_labels(tmp_path: Path, write) -> None:
    path = write(tmp_path / "labels.tif", np.array([[3.0, 3.0], [np.nan, 3.0]], "float32"))
    assert read_labels_on_grid(path, Grid.over(lattice_of(2, 2), tile_size=2)).tolist() == [3]


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        (np.zeros((2, 2, 2), "uint8"), {}, "has 2 bands: a raster of labels has one"),
        (np.zeros((2, 2), "uint8"), {"crs": None}, "have no georeference"),
        (np.full((2, 2), 1.5, "float32"), {}, "holds other than whole numbers"),
        (np.full((2, 2), 2**31, "uint32"), {}, "holds other than whole numbers of 32 bits"),
        (np.full((2, 2), -(2.0**63), "float64"), {}, "holds other than whole numbers of 32 bits"),
        (np.full((2, 2), 1e300, "float64"), {}, "holds other than whole numbers of 32 bits"),
    ],
)
def test_a_raster_that_holds_no_labels_is_refused_by_name(tmp_path: Path, write, pixels, options, message) -> None:
    path = write(tmp_path / "labels.tif", pixels, **options)
    with pytest.raises(InputError, match=rf"labels\.tif {message}"):
        read_labels_on_grid(path, Grid.over(lattice_of(2, 2), tile_size=2))


def test_a_share_beyond_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="between 0 and 1, not at 60"):
        read_labels_on_grid(tmp_path / "x.tif", Grid.over(lattice_of(2, 2), tile_size=2), min_share=60)
