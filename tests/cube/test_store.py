import hashlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from taxoscape.cube import store
from taxoscape.cube.lazy import lazy_cube
from taxoscape.cube.plan import plan_cube
from taxoscape.cube.store import read_cube, write_cube
from taxoscape.errors import InputError
from taxoscape.grid import Lattice


@pytest.fixture
def cube(series: Path) -> xr.DataArray:
    return lazy_cube(plan_cube(series))


def digest(folder: Path) -> str:
    """Return one digest of all files of a folder, names and bytes."""
    sha = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        sha.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return sha.hexdigest()


def assert_same(one: xr.DataArray, other: xr.DataArray) -> None:
    xr.testing.assert_identical(one.load(), other.load())
    assert one.dtype == other.dtype
    assert Lattice.of(one) == Lattice.of(other)


def test_a_store_gives_back_the_cube_bit_by_bit(cube: xr.DataArray, tmp_path: Path) -> None:
    write_cube(cube, tmp_path / "cube.zarr", block_px=8)
    assert_same(read_cube(tmp_path / "cube.zarr"), cube)


@pytest.mark.parametrize("nodata", [None, np.nan, 0])
def test_a_store_keeps_nan_and_nodata(tmp_path: Path, write, nodata) -> None:
    pixels = np.array([[[1.5, np.nan, 0], [np.inf, -0.0, 2]]], "float32")
    write(tmp_path / "20200101.tif", pixels, nodata=nodata)
    cube = lazy_cube(plan_cube(tmp_path / "20200101.tif"))
    write_cube(cube, tmp_path / "cube.zarr")
    again = read_cube(tmp_path / "cube.zarr")
    assert again.to_numpy().tobytes() == cube.to_numpy().tobytes()
    np.testing.assert_equal(again.attrs["nodata"], nodata)
    np.testing.assert_array_equal(again.valid, cube.valid)


def test_a_store_is_read_lazily_by_window_date_and_band(cube: xr.DataArray, tmp_path: Path) -> None:
    write_cube(cube, tmp_path / "cube.zarr", block_px=8)
    again = read_cube(tmp_path / "cube.zarr")
    for key in [(0,), (slice(None), 1, slice(3, 17, 2)), (np.array([2, 0]), np.array([1]), -1, slice(5, 2, -1))]:
        np.testing.assert_array_equal(again[key], cube[key])
    assert again.to_numpy().flags.writeable


def test_a_store_opens_with_plain_xarray(cube: xr.DataArray, tmp_path: Path) -> None:
    write_cube(cube, tmp_path / "cube.zarr")
    dataset = xr.open_zarr(tmp_path / "cube.zarr", chunks=None, consolidated=False, decode_coords="all")
    assert dataset.scenes.dtype == cube.dtype
    np.testing.assert_array_equal(dataset.scenes, cube)
    np.testing.assert_array_equal(dataset.scenes.valid, cube.valid)
    assert (dataset.time == cube.time).all()
    assert dataset.scenes.spatial_ref.attrs["crs_wkt"] == cube.spatial_ref.attrs["crs_wkt"]
    assert dataset.attrs["bands"] == ["B04", "B08"]


def test_every_chunk_has_a_checksum_and_is_stored_even_when_empty(tmp_path: Path, write) -> None:
    import zarr

    write(tmp_path / "20200101.tif", np.zeros((16, 16), "uint8"))
    write_cube(lazy_cube(plan_cube(tmp_path / "20200101.tif")), tmp_path / "cube.zarr", block_px=8)
    for name in ("scenes", "valid"):
        array = zarr.open_array(tmp_path / "cube.zarr" / name, mode="r")
        assert array.compressors[0].to_dict()["configuration"]["checksum"] is True
        assert len(list((tmp_path / "cube.zarr" / name / "c").rglob("*"))) >= 4
        assert array.nchunks_initialized == 4


class KilledError(Exception):
    """Stands for a kill."""


def killed_after(number: int):
    def track(things, label, total, done=0):
        for count, thing in enumerate(things):
            if count == number:
                raise KilledError
            yield thing

    return track


@pytest.mark.parametrize("number", [0, 1, 4, 8])
def test_a_call_that_was_cut_short_goes_on_and_gives_the_same_bytes(cube, tmp_path: Path, monkeypatch, number) -> None:
    monkeypatch.setattr(store, "WRITE_BYTES", 30 * 8 * 4)
    whole, cut = tmp_path / "whole.zarr", tmp_path / "cut.zarr"
    write_cube(cube, whole, block_px=8)
    with pytest.raises(KilledError):
        write_cube(cube, cut, block_px=8, track=killed_after(number))
    assert not cut.exists()
    with pytest.raises(InputError, match="is not finished: run the same command again, it goes on"):
        read_cube(cut)
    told = []

    def track(things, label, total, done=0):
        told.append((label, total, done))
        yield from things

    write_cube(cube, cut, block_px=8, track=track)
    assert told == [("writing the cube", 9, number)]
    assert digest(cut) == digest(whole)
    assert not list(tmp_path.glob("*.part"))


def test_a_process_that_was_killed_leaves_nothing_that_harms(series: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(store, "WRITE_BYTES", 30 * 8 * 4)
    target = tmp_path / "cube.zarr"
    code = f"""
        import os, signal
        from taxoscape.cube import store
        from taxoscape.cube.lazy import lazy_cube
        from taxoscape.cube.plan import plan_cube
        store.WRITE_BYTES = 30 * 8 * 4
        def track(things, label, total, done=0):
            for count, thing in enumerate(things):
                yield thing
                if count == 4:
                    os.kill(os.getpid(), signal.SIGKILL)
        store.write_cube(lazy_cube(plan_cube({str(series)!r})), {str(target)!r}, block_px=8, track=track)
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert result.returncode == -signal.SIGKILL
    part = tmp_path / "cube.zarr.part"
    (part / "scenes" / "c" / "0" / "0" / "0" / "0.abc.partial").write_bytes(b"orphan")
    cube = lazy_cube(plan_cube(series))
    write_cube(cube, target, block_px=8)
    write_cube(cube, tmp_path / "whole.zarr", block_px=8)
    assert digest(target) == digest(tmp_path / "whole.zarr")


def test_a_chunk_that_a_late_worker_ends_while_orphans_are_swept_does_no_harm(
    cube, tmp_path: Path, monkeypatch
) -> None:
    unlink, ended = Path.unlink, []

    def late(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".partial":
            ended.append(path.rename(path.with_name("ended")))  # by the worker, as it is about to be swept
        unlink(path, missing_ok=missing_ok)
        for other in ended:
            unlink(other, missing_ok=True)

    part, target = tmp_path / "cube.zarr", tmp_path / "swept.zarr"
    write_cube(cube, part, block_px=8)
    (part / "scenes" / "c" / "0" / "0" / "0" / "0.abc.partial").write_bytes(b"late")
    monkeypatch.setattr(Path, "unlink", late)
    store._put_in_place(part, target)
    assert ended
    assert_same(read_cube(target), cube)


def test_what_was_begun_of_another_cube_is_begun_anew(cube, series: Path, tmp_path: Path, write) -> None:
    with pytest.raises(KilledError):
        write_cube(cube, tmp_path / "cube.zarr", track=killed_after(2))
    write(series / "S2_2020-03-01.tif", np.ones((2, 20, 30), "int16"), nodata=-1, names=("B04", "B08"))
    changed = lazy_cube(plan_cube(series))
    write_cube(changed, tmp_path / "cube.zarr")
    assert (read_cube(tmp_path / "cube.zarr")[0] == 1).all()


def test_arrays_in_memory_are_never_resumed(cube, tmp_path: Path) -> None:
    one, two = cube.load().copy(), cube.load().copy() + 1
    one.encoding, two.encoding = {}, {}
    with pytest.raises(KilledError):
        write_cube(one, tmp_path / "cube.zarr", track=killed_after(2))
    write_cube(two, tmp_path / "cube.zarr")
    np.testing.assert_array_equal(read_cube(tmp_path / "cube.zarr"), two)


def test_a_part_of_a_cube_is_another_cube(cube, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        write_cube(cube[:, :, :10, :10], tmp_path / "cube.zarr", track=killed_after(2))
    write_cube(cube[:, :, 10:, 10:20], tmp_path / "cube.zarr")
    again, part = read_cube(tmp_path / "cube.zarr"), cube[:, :, 10:, 10:20]
    np.testing.assert_array_equal(again, part)
    assert Lattice.of(again) == Lattice.of(part)


def test_a_store_that_is_done_is_not_written_again(cube, tmp_path: Path) -> None:
    write_cube(cube, tmp_path / "cube.zarr")
    write_cube(cube, tmp_path / "cube.zarr", track=killed_after(0))
    (tmp_path / "cube.zarr" / "valid" / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(InputError, match="has lost 1 of 3 chunks"):
        write_cube(cube, tmp_path / "cube.zarr")


@pytest.mark.parametrize(
    "change",
    [
        lambda cube: cube.copy(data=cube.to_numpy() + 1),
        lambda cube: cube.assign_coords(valid=~cube.valid),
        lambda cube: cube.assign_coords(valid=cube.valid.copy(data=np.zeros(cube.valid.shape, bool))),
    ],
)
def test_a_cube_whose_pixels_or_mask_were_replaced_is_another_cube(cube, tmp_path: Path, change) -> None:
    changed = change(cube)
    changed.encoding = dict(cube.encoding)
    with pytest.raises(KilledError):
        write_cube(cube, tmp_path / "cube.zarr", track=killed_after(2))
    write_cube(changed, tmp_path / "cube.zarr")
    again = read_cube(tmp_path / "cube.zarr")
    np.testing.assert_array_equal(again, changed)
    np.testing.assert_array_equal(again.valid, changed.valid)


def test_a_store_that_lost_or_damaged_a_chunk_is_made_anew_by_overwriting(cube, tmp_path: Path) -> None:
    write_cube(cube, tmp_path / "cube.zarr")
    (tmp_path / "cube.zarr" / "valid" / "c" / "0" / "0" / "0").unlink()
    (tmp_path / "cube.zarr" / "scenes" / "c" / "1" / "0" / "0" / "0").write_bytes(b"")
    write_cube(cube, tmp_path / "cube.zarr", overwrite=True)
    assert_same(read_cube(tmp_path / "cube.zarr"), cube)


def test_times_of_day_survive_to_the_nanosecond(cube, tmp_path: Path) -> None:
    times = np.array(["2020-03-01T10:11:12.123456789", "2020-03-01T10:11:13", "2020-05-01"], "datetime64[ns]")
    write_cube(cube.assign_coords(time=times), tmp_path / "cube.zarr")
    assert (read_cube(tmp_path / "cube.zarr").time.to_numpy() == times).all()
    dataset = xr.open_zarr(tmp_path / "cube.zarr", chunks=None, consolidated=False)
    assert (dataset.time.to_numpy() == times).all()


def test_a_store_that_is_there_is_not_overwritten_unless_told(cube, tmp_path: Path) -> None:
    write_cube(cube, tmp_path / "cube.zarr")
    with pytest.raises(InputError, match=r"cube\.zarr is there already and holds something else"):
        write_cube(cube[:1], tmp_path / "cube.zarr")
    write_cube(cube[:1], tmp_path / "cube.zarr", overwrite=True)
    assert read_cube(tmp_path / "cube.zarr").shape[0] == 1
    assert sorted(path.name for path in tmp_path.glob("cube*")) == ["cube.zarr"]


@pytest.mark.parametrize("lost", ["scenes/c/1/0/0/1", "valid/c/2/0/0", "x/c/0"])
def test_a_lost_chunk_is_named(cube, tmp_path: Path, lost: str) -> None:
    write_cube(cube, tmp_path / "cube.zarr", block_px=16)
    (tmp_path / "cube.zarr" / lost).unlink()
    name, key = lost.split("/", 1)
    with pytest.raises(InputError, match=rf"has lost 1 of \d+ chunks of '{name}': {key}; they would read as zeros"):
        read_cube(tmp_path / "cube.zarr")


@pytest.mark.parametrize(("name", "lost"), [("scenes", "c/1/0/1/0"), ("valid", "c/1/1/0")])
def test_a_chunk_lost_after_opening_does_not_read_as_zeros(cube, tmp_path: Path, name: str, lost: str) -> None:
    write_cube(cube, tmp_path / "cube.zarr", block_px=8)
    again = read_cube(tmp_path / "cube.zarr")
    (tmp_path / "cube.zarr" / name / lost).unlink()
    array = again if name == "scenes" else again.valid
    array[1, ..., :8, :].to_numpy()
    array[1, ..., 8:, 8:].to_numpy()
    with pytest.raises(InputError, match=rf"damaged in '{name}', date 2, rows 7 to 9, .* {lost} is lost"):
        array[1, ..., 7:9, :].to_numpy()


def test_a_file_is_never_overwritten_by_a_store(cube, tmp_path: Path) -> None:
    (tmp_path / "cube.zarr").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"cube\.zarr is a file, a cube is a folder"):
            write_cube(cube, tmp_path / "cube.zarr", overwrite=overwrite)
    assert (tmp_path / "cube.zarr").read_text() == "years of work"


def test_a_flipped_bit_is_noticed_wherever_it_is(cube, tmp_path: Path) -> None:
    write_cube(cube, tmp_path / "cube.zarr", block_px=16)
    path = tmp_path / "cube.zarr" / "scenes" / "c" / "1" / "0" / "0" / "1"
    content = path.read_bytes()
    again = read_cube(tmp_path / "cube.zarr")
    for position in np.random.default_rng(3).integers(0, len(content), 20):
        flipped = bytearray(content)
        flipped[position] ^= 1 << int(position) % 8
        path.write_bytes(flipped)
        with pytest.raises(InputError, match="is damaged in 'scenes', date 2, rows 0 to 20"):
            again[1].to_numpy()


@pytest.mark.parametrize("length", [0, 10])
def test_a_cut_off_chunk_is_noticed(cube, tmp_path: Path, length: int) -> None:
    write_cube(cube, tmp_path / "cube.zarr")
    path = tmp_path / "cube.zarr" / "scenes" / "c" / "1" / "0" / "0" / "0"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r"cube\.zarr is damaged in 'scenes', date 2"):
        read_cube(tmp_path / "cube.zarr").to_numpy()


def test_what_is_no_store_is_refused(tmp_path: Path, cube) -> None:
    with pytest.raises(InputError, match="there is no cube at"):
        read_cube(tmp_path / "cube.zarr")
    xr.Dataset({"a": ("x", [1])}).to_zarr(tmp_path / "other.zarr", consolidated=False, zarr_format=3)
    with pytest.raises(InputError, match="is no cube of this version"):
        read_cube(tmp_path / "other.zarr")
    (tmp_path / "other.zarr" / "zarr.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        read_cube(tmp_path / "other.zarr")
    write_cube(cube, tmp_path / "cube.zarr")
    shutil.rmtree(tmp_path / "cube.zarr" / "valid")
    with pytest.raises(InputError, match="lacks the array 'valid'"):
        read_cube(tmp_path / "cube.zarr")


def test_writing_takes_bounded_memory(tmp_path: Path, monkeypatch) -> None:
    import rasterio

    for day in (1, 2):
        with rasterio.open(
            tmp_path / f"2020010{day}.tif", "w", driver="GTiff", width=2500, height=2500, count=3, dtype="uint8",
            nodata=0, crs="EPSG:32630", transform=rasterio.Affine(10, 0, 0, 0, -10, 0), tiled=True,
            sparse_ok=True, compress="deflate",
        ):  # fmt: skip
            pass
    cube = lazy_cube(plan_cube(tmp_path))
    monkeypatch.setattr(store, "WRITE_BYTES", 2 * 2**20)
    write_cube(cube[:, :, :10, :10], tmp_path / "warm.zarr")
    tracemalloc.start()
    try:
        write_cube(cube, tmp_path / "cube.zarr", block_px=256)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert cube.nbytes > 37e6
    assert peak < 16e6


def test_a_damaged_scene_is_named_while_writing_and_nothing_half_is_left_in_place(tmp_path: Path, write) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64)).astype("uint8")
    path = write(tmp_path / "20200101.tif", pixels, compress="deflate")
    cube = lazy_cube(plan_cube(path))
    content = bytearray(path.read_bytes())
    content[-900:-100] = bytes(800)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"20200101\.tif cannot be read"):
        write_cube(cube, tmp_path / "cube.zarr")
    assert not (tmp_path / "cube.zarr").exists()
    assert os.path.isdir(tmp_path / "cube.zarr.part")
