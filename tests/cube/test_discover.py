import os
from pathlib import Path

import numpy as np
import pytest

from taxoscape.cube.discover import find_rasters
from taxoscape.cube.plan import plan_cube
from taxoscape.cube.rasters import open_raster, read_header, sniff
from taxoscape.errors import InputError


def names(paths) -> list[str]:
    return [Path(path).name for path in paths]


def test_folders_are_searched_to_the_bottom_and_files_come_once_in_the_order_of_their_paths(
    tmp_path: Path, write
) -> None:
    write(tmp_path / "b" / "deep" / "2.TIF")
    write(tmp_path / "a" / "1.tif")
    found = find_rasters([tmp_path, tmp_path / "a" / "1.tif", str(tmp_path / "**" / "*.tif")])
    assert names(found.rasters) == ["1.tif", "2.TIF"]


@pytest.mark.parametrize(
    "name", ["a [1].tif", "ä ö 漢.tif", "-rf.tif", "50%.tif", "a!b#c.tif", "new\nline.tif", "x" * 240 + ".tif"]
)
def test_any_name_of_a_file_works(tmp_path: Path, write, name: str) -> None:
    path = write(tmp_path / "2020-01-01" / name)
    assert find_rasters(path).rasters == (path,)
    assert plan_cube(path).files[0].path == str(path)


def test_relative_paths_and_globs_mean_the_current_folder(tmp_path: Path, write, monkeypatch) -> None:
    write(tmp_path / "x" / "1.tif")
    monkeypatch.chdir(tmp_path)
    assert find_rasters("x").rasters == find_rasters("x/*.tif").rasters == (tmp_path / "x" / "1.tif",)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("README.md", b"# Scenes", "looks like text"),
        ("a.tif.aux.xml", b"<PAMDataset/>", "looks like XML"),
        ("a.vrt", b"<VRTDataset/>", "is a VRT, which points to other files: give those files themselves"),
        ("preview.png", b"\x89PNG\r\n\x1a\n", "is a PNG picture"),
        ("preview.jpg", b"\xff\xd8\xff\xe0", "is a JPEG picture"),
        ("dates.csv", b"file,date\n", "looks like text"),
        ("empty.txt", b"", "is empty"),
        ("shapes.gpkg", b"SQLite format 3\0", "is an SQLite or GeoPackage file"),
        ("cube.nc", b"\x89HDF\r\n\x1a\n", "is an HDF5 or NetCDF-4 file: open it from Python (taxoscape.open_cube)"),
        ("unknown.bin", b"\0\1\2\3", "is of no kind that is known here"),
        (".hidden.tif", b"\0\1\2\3", "a hidden file"),
    ],
)
def test_files_that_are_no_images_are_passed_over_with_a_reason(tmp_path: Path, write, name, content, reason) -> None:
    write(tmp_path / "2020-01-01.tif")
    (tmp_path / name).write_bytes(content)
    found = find_rasters(tmp_path)
    assert names(found.rasters) == ["2020-01-01.tif"]
    assert found.skipped == ((str(tmp_path / name), reason),)


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "looks like HTML"),
        (b"\n<html>", "looks like HTML"),
        (b"<VRTDataset rasterXSize='1'/>", "is a VRT"),
        (b"<?xml version='1.0'?><VRTDataset/>", "is a VRT"),
        (b"Not found", "looks like text"),
        (b"PK\x03\x04", "is a ZIP archive"),
    ],
)
def test_a_file_that_is_called_like_an_image_and_is_none_is_refused_by_name(
    tmp_path: Path, write, content, looks
) -> None:
    write(tmp_path / "2020-01-01.tif")
    (tmp_path / "2020-02-01.tif").write_bytes(content)
    with pytest.raises(InputError, match=rf"2020-02-01\.tif is not a GeoTIFF or JPEG 2000: it {looks}"):
        find_rasters(tmp_path)
    with pytest.raises(InputError, match=looks), open_raster(tmp_path / "2020-02-01.tif"):
        pass


def test_all_such_files_are_named_at_once(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.tif").touch()
    with pytest.raises(InputError, match=r"3 faults: \(1\) .*0\.tif.* \(2\) .*1\.tif.* \(3\) .*2\.tif"):
        find_rasters(tmp_path)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file, folder or match for .*gone"):
        find_rasters([tmp_path / "gone"])
    with pytest.raises(InputError, match="no scenes are given"):
        find_rasters([])


def test_a_broken_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").symlink_to(tmp_path / "gone.tif")
    with pytest.raises(InputError, match="is no file: a broken link"):
        find_rasters(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"no GeoTIFF or JPEG 2000 in .*notes\.txt looks like text"):
        find_rasters(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, write) -> None:
    write(tmp_path / "a.tif").chmod(0)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        find_rasters(tmp_path)


def test_folders_behind_links_are_searched_once_and_cycles_end(tmp_path: Path, write) -> None:
    write(tmp_path / "elsewhere" / "1.tif")
    (tmp_path / "scenes" / "deep").mkdir(parents=True)
    for name, target in (
        ("a", tmp_path / "elsewhere"),
        ("b", tmp_path / "elsewhere"),
        ("deep/up", tmp_path / "scenes"),
    ):
        (tmp_path / "scenes" / name).symlink_to(target)
    assert find_rasters(tmp_path / "scenes").rasters == (tmp_path / "scenes" / "a" / "1.tif",)


def test_a_folder_that_cannot_be_searched_is_refused_by_name(tmp_path: Path, write, monkeypatch) -> None:
    write(tmp_path / "1.tif")
    (tmp_path / "closed").mkdir()
    original = os.scandir

    def scandir(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(
        InputError, match=r"closed cannot be searched: Permission denied; scenes in it would be missing"
    ):
        find_rasters(tmp_path)


def test_a_hidden_file_is_used_where_it_is_named_itself(tmp_path: Path, write) -> None:
    hidden = write(tmp_path / ".2020-01-01.tif")
    write(tmp_path / "2020-02-01.tif")
    assert names(find_rasters(tmp_path).rasters) == ["2020-02-01.tif"]
    assert names(find_rasters([tmp_path, hidden]).rasters) == [".2020-01-01.tif", "2020-02-01.tif"]


@pytest.mark.parametrize(
    ("ending", "reason"),
    [(".ovr", "holds overviews of the file beside it"), (".msk", "holds the mask of the file beside it")],
)
def test_overviews_and_masks_of_other_files_are_passed_over_with_a_reason(
    tmp_path: Path, write, ending, reason
) -> None:
    write(tmp_path / "2020-01-01.tif")
    beside = write(tmp_path / f"2020-01-01.tif{ending}")
    found = find_rasters(tmp_path)
    assert (names(found.rasters), found.skipped) == (["2020-01-01.tif"], ((str(beside), reason),))


def test_an_image_whose_mask_lies_beside_it_is_refused_by_name(tmp_path: Path, write) -> None:
    import rasterio

    path = write(tmp_path / "2020-01-01.tif")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
        file.write_mask(np.zeros((3, 4), "uint8"))
    with pytest.raises(
        InputError, match=r"mask of .*01-01\.tif lies in a file of its own, 2020-01-01\.tif\.msk, .*INTER"
    ):
        plan_cube(tmp_path)


def test_a_file_of_several_images_is_refused_by_name(tmp_path: Path, write) -> None:
    path = write(tmp_path / "2020-01-01.tif")
    write(path, APPEND_SUBDATASET="YES")
    with pytest.raises(InputError, match=r"01-01\.tif holds 2 images \(pages\), of which only the first would be read"):
        plan_cube(tmp_path)


def test_urls_and_gdal_strings_open_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("http://127.0.0.1:1/a.tif", "/vsicurl/http://127.0.0.1:1/a.tif", "GTIFF_DIR:1:a.tif", "vrt://a.tif"):
        with pytest.raises(InputError, match="there is no file"):
            find_rasters(text)


def test_a_jpeg_2000_that_is_called_tif_is_opened_by_what_it_is(tmp_path: Path, write) -> None:
    from rasterio.shutil import copy

    pixels = np.arange(64 * 64, dtype="uint16").reshape(64, 64)
    source = write(tmp_path / "source.tif", pixels)
    copy(source, tmp_path / "x.jp2", driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    (tmp_path / "x.jp2").rename(tmp_path / "2020-01-01.tif")
    header = read_header(tmp_path / "2020-01-01.tif")
    assert (header.layout.split("/")[0], header.dtype, header.width) == ("JP2OpenJPEG", "uint16", 64)


def test_a_cut_off_jpeg_2000_is_refused_by_name(tmp_path: Path, write) -> None:
    from rasterio.shutil import copy

    source = write(tmp_path / "source.tif", np.random.default_rng(0).integers(0, 999, (64, 64)).astype("uint16"))
    path = tmp_path / "x.jp2"
    copy(source, path, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    read_header(path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"x\.jp2 (is cut off|cannot be read)"):
        read_header(path)


@pytest.mark.parametrize(
    "layout", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}, {"interleave": "band"}]
)
@pytest.mark.parametrize("lost", [10, 400])
def test_a_cut_off_tiff_is_refused_by_name_before_pixels_are_read(tmp_path: Path, write, layout, lost) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 40, 40)).astype("uint8")
    path = write(tmp_path / "2020-01-01.tif", pixels, **layout)
    read_header(path)
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(InputError, match=r"2020-01-01\.tif (is cut off: it has \d+ bytes of at least|cannot be read)"):
        plan_cube(path)


def test_a_cut_off_tiff_is_refused_whichever_block_lies_last(tmp_path: Path) -> None:
    import rasterio
    from rasterio.windows import Window

    path = tmp_path / "2020-01-01.tif"
    block = np.random.default_rng(0).integers(0, 255, (16, 16)).astype("uint8")
    with rasterio.open(
        path, "w", driver="GTiff", width=48, height=48, count=1, dtype="uint8", crs="EPSG:32630", tiled=True,
        transform=rasterio.Affine(10, 0, 0, 0, -10, 0), blockxsize=16, blockysize=16, sparse_ok=True,
    ) as file:  # fmt: skip
        for row, col in ((32, 32), (32, 16), (16, 0)):
            file.write(block, 1, window=Window(col, row, 16, 16))
    assert plan_cube(path).shape == (1, 1, 48, 48)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"2020-01-01\.tif is cut off: it has \d+ bytes of at least"):
        plan_cube(path)


def test_a_tiff_that_is_cut_off_in_its_header_is_refused_by_name(tmp_path: Path, write) -> None:
    path = write(tmp_path / "2020-01-01.tif")
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(InputError, match=r"2020-01-01\.tif cannot be read: damaged or cut off\?"):
        plan_cube(path)


def test_a_sparse_tiff_is_whole(tmp_path: Path, write) -> None:
    path = write(
        tmp_path / "2020-01-01.tif",
        np.zeros((64, 64), "uint8"),
        sparse_ok=True,
        tiled=True,
        blockxsize=16,
        blockysize=16,
    )
    assert plan_cube(path).shape == (1, 1, 64, 64)


def test_a_header_that_asks_for_a_huge_block_is_refused(tmp_path: Path) -> None:
    import rasterio

    path = tmp_path / "2020-01-01.tif"
    edge = 40_000
    with rasterio.open(
        path, "w", driver="GTiff", width=edge, height=edge, count=1, dtype="uint8", crs="EPSG:32630", tiled=True,
        transform=rasterio.Affine(10, 0, 0, 0, -10, 0), blockxsize=edge, blockysize=edge, sparse_ok=True,
        compress="deflate",
    ):  # fmt: skip
        pass
    with pytest.raises(InputError, match=r"reading a single pixel would take 1\.5 GiB"):
        plan_cube(path)


def test_complex_numbers_are_refused(tmp_path: Path, write) -> None:
    path = write(tmp_path / "2020-01-01.tif", np.zeros((2, 2), "complex64"))
    with pytest.raises(InputError, match="holds complex64: bands must be integers or reals"):
        plan_cube(path)


def test_sidecar_files_change_nothing(tmp_path: Path, write) -> None:
    path = write(tmp_path / "2020-01-01.tif")
    before = read_header(path)
    (tmp_path / "2020-01-01.tif.aux.xml").write_text(
        "<PAMDataset><GeoTransform>7,1,0,7,0,-1</GeoTransform>"
        "<PAMRasterBand band='1'><NoDataValue>3</NoDataValue></PAMRasterBand></PAMDataset>"
    )
    (tmp_path / "2020-01-01.tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    assert read_header(path) == before
    assert not list(tmp_path.glob("*.msk"))


def test_magic_bytes_tell_the_kinds_of_tiff(tmp_path: Path, write) -> None:
    assert sniff(write(tmp_path / "a.tif")) == "tiff"
    assert sniff(write(tmp_path / "b.tif", BIGTIFF="YES")) == "tiff"
    assert sniff(write(tmp_path / "c.tif", ENDIANNESS="BIG")) == "tiff"


def test_folders_that_hold_no_scenes_are_not_searched(tmp_path: Path, write) -> None:
    write(tmp_path / "2020-01-01.tif")
    for folder, marker in (("run", "run.toml"), ("cube.zarr", "zarr.json"), (".cache", "x")):
        write(tmp_path / folder / "zones.tif")
        (tmp_path / folder / marker).touch()
    found = find_rasters(tmp_path)
    assert names(found.rasters) == ["2020-01-01.tif"]
    assert {Path(path).name: reason for path, reason in found.skipped} == {
        "run": "a run folder of taxoscape",
        "cube.zarr": "a Zarr store: open it from Python (taxoscape.open_cube)",
        ".cache": "a hidden folder",
    }
