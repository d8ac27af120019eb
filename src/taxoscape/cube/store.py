"""The cube kept as Zarr v3: written block by block, resumable, and read so that no loss goes unseen.

Layout: a group with the arrays ``scenes`` (time, band, y, x; chunks of one date, all bands, a square of pixels),
``valid`` (time, y, x; the same chunks) and the coordinates. Every chunk carries a checksum, because the default codecs
let flipped bits through, and every chunk is stored, also an empty one, because a missing chunk reads as zeros: opening
counts them, and reading looks for those it needs. Band names are an attribute besides, since Zarr has no settled type
for text; xarray still opens the group as it is.

Writing goes to ``<path>.part`` and ends with one rename. A note in it says of which source it is; a second call goes on
with the blocks whose chunks are not all there. A block covers whole chunks, so what is written twice is written alike,
and blocks may be written in any order, by workers too.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from taxoscape.contracts import check_cube
from taxoscape.cube.box import Box, blocks
from taxoscape.cube.layout import FORMAT, UNITS, lay_out
from taxoscape.cube.lazy import assemble, is_straight, lazy_cube
from taxoscape.cube.pointer import read_pointer
from taxoscape.cube.wording import shortened, shown
from taxoscape.errors import InputError
from taxoscape.executor import Executor, in_process, kept_open
from taxoscape.files import write_text
from taxoscape.grid import Lattice
from taxoscape.progress import Track, silent

if TYPE_CHECKING:
    import numpy.typing as npt
    import zarr

BLOCK_PX = 512
"""Edge of a chunk in pixels."""
WRITE_BYTES = 64 * 2**20
"""Bytes of pixels that are read and written at a time; memory peaks at about three times that."""
SOURCE = "source.json"
"""In an unfinished store: the digest of what it is made of."""


def write_cube(
    cube: xr.DataArray,
    path: str | Path,
    *,
    block_px: int = BLOCK_PX,
    overwrite: bool = False,
    track: Track = silent,
    execute: Executor = in_process,
    pointer: Path | None = None,
) -> Path:
    """Write a cube as a Zarr v3 group; a call that was cut short goes on where it was, one that was done is no work.

    Parameters
    ----------
    cube
        (time, band, y, x) with ``valid``, lazy or not.
    path
        Where the group will lie; while it is written, ``<path>.part`` lies beside it.
    block_px
        Edge of a chunk in pixels.
    overwrite
        Whether a store that is there already gives way, whatever it holds; only once the new one is whole.
    track
        Told of each block.
    execute
        Writes the blocks: here, or on workers.
    pointer
        Where workers find the cube: the file that `taxoscape.cube.pointer` made it of. Needed for workers alone.

    Returns
    -------
    Path
        The path given.

    Raises
    ------
    InputError
        Where something else lies at the path (with ``overwrite``: a file), or a file of the cube cannot be read.

    Notes
    -----
    Memory: about 200 MB, whatever the size of the scenes. Only lazy cubes made from files are resumed, since only of
    these it is known that they are still the same; others start anew.
    """
    check_cube(cube)
    target = Path(path)
    identity = _identity(cube, block_px)
    if target.is_file():
        raise InputError(f"{shown(target)} is a file, a cube is a folder: take it away or choose another place")
    if target.exists() and not overwrite:
        if identity is not None and is_stored_cube(target) and _attributes(target).get("identity") == identity:
            _check_chunks(target)
            return target
        raise InputError(
            f"{shown(target)} is there already and holds something else: take it away or choose another place "
            "(overwrite=True)"
        )
    part = target.with_name(target.name + ".part")
    if not _is_begun(part, identity):
        shutil.rmtree(part, ignore_errors=True)
        lay_out(cube, part, block_px, identity)
        write_text(part / SOURCE, json.dumps({"identity": identity}))
    writer = _Writer(cube, part, block_px)
    left = [number for number in range(len(writer.jobs)) if not writer.wrote(number)]
    done = len(writer.jobs) - len(left)
    if execute.elsewhere and pointer is not None and identity is not None:
        there = _There(str(pointer.resolve()), str(part.resolve()), block_px, identity)
        for _ in track(execute(partial(_write_there, there), left), "writing the cube", len(writer.jobs), done):
            pass
    else:
        for number in track(left, "writing the cube", len(writer.jobs), done):
            writer.write(number)
    (part / SOURCE).unlink()
    _put_in_place(part, target)
    return target


class _Writer:
    """Writes a cube into an unfinished store, block by block.

    Parameters
    ----------
    cube, part, block_px
        What, where to, in chunks of which edge.
    """

    def __init__(self, cube: xr.DataArray, part: Path, block_px: int) -> None:
        self.cube, self.part = cube, part
        self.jobs = _jobs(cube, block_px)
        self.scenes, self.valid = (_open_array(part, name, "r+") for name in ("scenes", "valid"))

    def wrote(self, number: int) -> bool:
        """Whether a block is there: the chunks of ``valid`` are written last."""
        time, box = self.jobs[number]
        chunks = (self.part / "valid" / "c" / f"{time}" / f"{row}" / f"{col}" for row, col in _met(self.valid, box))
        return all(chunk.is_file() and chunk.stat().st_size > 0 for chunk in chunks)

    def write(self, number: int) -> None:
        """Read and write a block."""
        time, box = self.jobs[number]
        window = self.cube[time, :, box.slices[0], box.slices[1]]
        self.scenes[time, :, *box.slices] = window.to_numpy()
        self.valid[time, *box.slices] = window.coords["valid"].to_numpy()


@dataclass(frozen=True, slots=True)
class _There:
    """A store in the making, in words that a worker understands."""

    pointer: str
    """What the cube is made of."""
    part: str
    """The unfinished store."""
    block_px: int
    """Edge of its chunks."""
    identity: str
    """Digest of its source."""


def _write_there(about: _There, number: int) -> None:
    """Write a block of a store, on a worker, unless another cube has been begun there since."""
    writer = kept_open(_open_writer, about)
    if not _is_begun(Path(about.part), about.identity):
        raise InputError(
            f"{shown(Path(about.part))} is not there, or was begun anew since, as this worker sees it: all workers "
            "have to share the file system that the run and the scenes lie on"
        )
    writer.write(number)


def _open_writer(about: _There) -> _Writer:
    cube = lazy_cube(read_pointer(Path(about.pointer)))
    if _identity(cube, about.block_px) != about.identity:
        raise InputError(
            f"a worker sees other scenes behind {about.pointer} than were planned, or has another version of "
            "taxoscape: install the same one everywhere, and begin anew (--overwrite)"
        )
    return _Writer(cube, Path(about.part), about.block_px)


def read_cube(path: str | Path) -> xr.DataArray:
    """Open a cube that `write_cube` wrote; pixels are read when they are indexed.

    Returns
    -------
    DataArray (time, band, y, x)
        As `taxoscape.cube.lazy.lazy_cube`.

    Raises
    ------
    InputError
        Where there is no such store, it is not finished, of another version, or chunks are lost (they are named). When
        pixels are read: where a chunk is damaged.
    """
    folder = Path(path)
    attributes = _attributes(folder)
    if attributes.get("taxoscape_cube") != FORMAT:
        raise InputError(
            f"{shown(folder)} is no cube of this version of taxoscape: make it anew (taxoscape cube), or open it with "
            "taxoscape.open_cube if somebody else wrote it"
        )
    reader = _Stored(folder)
    _check_chunks(folder)
    lattice = Lattice(**json.loads(attributes["lattice"]))
    nodata = attributes["nodata"]
    return assemble(
        reader,
        dtype=str(reader.scenes.dtype),
        times=_times(folder),
        bands=attributes["bands"],
        lattice=lattice,
        nodata=None if nodata is None else float(nodata),
    )


def _times(folder: Path) -> npt.NDArray[np.datetime64]:
    """Read the dates of a store."""
    array = _open_array(folder, "time")
    unit = next(unit for unit, name in UNITS.items() if str(array.attrs["units"]).startswith(name))
    return np.asarray(array[:]).astype(f"datetime64[{unit}]")


def is_stored_cube(path: Path) -> bool:
    """Whether a folder is a store that `write_cube` finished."""
    return (path / "zarr.json").is_file() and "taxoscape_cube" in _attributes(path)


class _Stored:
    """Reads windows of a store; `taxoscape.cube.lazy.Reader`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scenes = _open_array(folder, "scenes")
        self.mask = _open_array(folder, "valid")

    def __reduce__(self) -> tuple[Any, ...]:
        return _Stored, (self.folder,)

    def values(self, time: int, bands: Sequence[int], box: Box) -> npt.NDArray[Any]:
        """Read bands of a date in a window: (band, row, col)."""
        pixels = self._get("scenes", (time, slice(None), *box.slices))
        return pixels if list(bands) == list(range(len(pixels))) else pixels[list(bands)]

    def valid(self, time: int, box: Box) -> npt.NDArray[np.bool_]:
        """Read which pixels of a date can be used in a window: bool (row, col)."""
        return self._get("valid", (time, *box.slices))

    def _get(self, name: str, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        array = self.scenes if name == "scenes" else self.mask
        try:
            self._look_for_chunks(array, name, key)
            return np.asarray(array[key])
        except (RuntimeError, ValueError, OSError) as error:
            where = (
                f"date {key[0] + 1}, rows {key[-2].start} to {key[-2].stop}, columns {key[-1].start} to {key[-1].stop}"
            )
            raise InputError(
                f"{shown(self.folder)} is damaged in '{name}', {where} ({error}): delete it and make it anew "
                "(taxoscape cube)"
            ) from error

    def _look_for_chunks(self, array: zarr.Array[Any], name: str, key: tuple[Any, ...]) -> None:
        """Raise `FileNotFoundError` where a chunk of a window is not there."""
        band = () if name == "valid" else (0,)
        rows, cols = key[-2:]
        box = Box(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
        for row, col in _met(array, box):
            chunk = "/".join(["c", *map(str, (key[0], *band, row, col))])
            if not (self.folder / name / chunk).is_file():
                raise FileNotFoundError(f"the chunk {chunk} is lost")


def _met(array: zarr.Array[Any], box: Box) -> Iterator[tuple[int, int]]:
    """Return the row and the column of each chunk of an array (…, y, x) that a window meets."""
    rows, cols = (
        range(s.start // n, (s.stop - 1) // n + 1) for s, n in zip(box.slices, array.chunks[-2:], strict=True)
    )
    return product(rows, cols)


def _jobs(cube: xr.DataArray, block_px: int) -> list[tuple[int, Box]]:
    """Return (date, window) of what is written at a time, in the order of writing; windows cover whole chunks."""
    times, bands, height, width = cube.shape
    windows = blocks((height, width), block=block_px, pixels=WRITE_BYTES // (bands * cube.dtype.itemsize))
    return [(time, box) for time in range(times) for box in windows]


def _identity(cube: xr.DataArray, block_px: int) -> str | None:
    """Return a digest of all that decides what is written, or None where the source's content is not known.

    It is known only of a cube, or a part of one, whose pixels and mask are still read from the files.
    """
    source = cube.encoding.get("source_digest")
    if source is None or not is_straight(cube):
        return None
    sha = hashlib.sha256(f"{FORMAT} {block_px} {WRITE_BYTES} {source} {cube.shape} {cube.dtype}".encode())
    for name in ("time", "y", "x"):
        sha.update(np.ascontiguousarray(cube[name].to_numpy()).tobytes())
    sha.update("\0".join(map(str, cube["band"].to_numpy())).encode())
    sha.update(repr(cube.attrs.get("nodata")).encode())
    return sha.hexdigest()


def _is_begun(part: Path, identity: str | None) -> bool:
    """Whether an unfinished store is of the very same cube, as far as that can be known."""
    try:
        note = json.loads((part / SOURCE).read_text(encoding="utf-8"))
        return identity is not None and bool(note["identity"] == identity)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _put_in_place(part: Path, target: Path) -> None:
    """Rename a finished store to where it belongs, after sweeping what a killed writer left."""
    for orphan in [*part.rglob("*.partial"), *part.rglob(".*.tmp*")]:
        orphan.unlink(missing_ok=True)  # a worker that is late may end its writing meanwhile
    _check_chunks(part)
    if target.exists():
        old = target.with_name(target.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        os.replace(target, old)  # noqa: PTH105
        os.replace(part, target)  # noqa: PTH105
        shutil.rmtree(old)
    else:
        os.replace(part, target)  # noqa: PTH105


def _attributes(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "zarr.json").read_text(encoding="utf-8")).get("attributes", {}))
    except FileNotFoundError:
        part = folder.with_name(folder.name + ".part")
        if part.is_dir():
            raise InputError(f"{shown(folder)} is not finished: run the same command again, it goes on") from None
        raise InputError(f"there is no cube at {shown(folder)}: make one (taxoscape cube)") from None
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{shown(folder)} is damaged ({error}): delete it and make it anew (taxoscape cube)") from None


def _open_array(folder: Path, name: str, mode: Literal["r", "r+"] = "r") -> zarr.Array[Any]:
    """Open an array of a store; empty chunks are written, not left away."""
    import zarr

    try:
        array = zarr.open_array(folder / name, mode=mode, zarr_format=3)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{shown(folder)} lacks the array '{name}' ({error}): delete it and make it anew (taxoscape cube)"
        ) from None
    return array.with_config({"write_empty_chunks": True})


def _check_chunks(folder: Path) -> None:
    """Raise `InputError` where a chunk is lost: Zarr itself would read zeros there."""
    for name in ("scenes", "valid", "time", "y", "x"):
        array = _open_array(folder, name)
        lost = [key for key in _chunk_keys(array) if not (folder / name / key).is_file()]
        if lost:
            raise InputError(
                f"{shown(folder)} has lost {len(lost)} of {math.prod(array.cdata_shape)} chunks of '{name}': "
                f"{shortened(lost)}; they would read as zeros: delete it and make it anew (taxoscape cube)"
            )


def _chunk_keys(array: zarr.Array[Any]) -> Iterator[str]:
    for index in np.ndindex(array.cdata_shape):
        yield "/".join(["c", *map(str, index)])
