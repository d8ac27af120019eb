"""The one gate that opens rasters.

A file is what its first bytes say, never what it is called: a TIFF (classic or big) or a JPEG 2000 is opened with
that one GDAL driver named, so a VRT in disguise, a URL or a sub-dataset string opens nothing, and a JPEG 2000 that is
called ``.tif`` is read all the same. Sidecar files are ignored, because they can move an image or declare another
nodata without a trace in the image; only one that holds the image's mask makes it refused. Headers are checked for what
would hurt later: blocks that do not fit in memory, files that end before their last block, and several images in a
file. Whatever GDAL raises becomes an `InputError` that names the file.

An alpha band is no band but a mask. GDAL calls the fourth of four 8-bit bands alpha when nobody says otherwise, be it
near infrared or not, so the interpretation alone is not believed: in an alpha band most pixels are nothing or full.

Files are opened per read and closed at once: reads are independent of each other, so threads need no lock.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from taxoscape.cube.box import Box
from taxoscape.cube.wording import shown
from taxoscape.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

MAX_BLOCK_BYTES = 1 << 30
"""Largest block of a file that is read: one pixel of it costs a whole block of memory."""

ALPHA_ROWS = 5
"""Rows of pixels that are looked at to tell an alpha band from an image."""

GDAL_OPTIONS = {
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
}
"""Nothing beside the file itself is looked at."""

_DRIVERS = {"tiff": "GTiff", "jp2": "JP2OpenJPEG"}
_MAGIC = (
    (b"II*\0", "tiff"), (b"MM\0*", "tiff"), (b"II+\0", "tiff"), (b"MM\0+", "tiff"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"), (b"\xff\x4f\xff\x51", "jp2"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"), (b"CDF", "netcdf"), (b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpeg"),
    (b"PK\x03\x04", "zip"), (b"\x1f\x8b", "gzip"), (b"%PDF", "pdf"), (b"SQLite format 3", "sqlite"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a raster file says about itself, without its pixels."""

    path: Path
    """Where the file lies."""
    height: int
    """Rows of pixels."""
    width: int
    """Columns of pixels."""
    numbers: tuple[int, ...]
    """1-based numbers of its bands in the file; an alpha band is none."""
    dtype: str
    """NumPy name of the pixel type; of all bands alike."""
    nodata: float | None
    """Declared value for "no data"; NaN may be one."""
    crs: str | None
    """Coordinate reference system as WKT 2."""
    transform: tuple[float, float, float, float, float, float]
    """Affine a, b, c, d, e, f from (column, row) to CRS coordinates."""
    descriptions: tuple[str | None, ...]
    """Name of each band, where it has one."""
    tags: dict[str, str]
    """Metadata of the file."""
    block: tuple[int, int]
    """Rows and columns of an internal block."""
    layout: str
    """Driver and compression, as ``GTiff/deflate``."""
    scaling: tuple[tuple[float, float], ...]
    """Declared (scale, offset) of each band; they are not applied."""
    masked: bool
    """Whether the file carries a mask of its own beside nodata, or an alpha band."""

    @property
    def n_bands(self) -> int:
        """Number of bands."""
        return len(self.numbers)

    @property
    def is_referenced(self) -> bool:
        """Whether the file says where on Earth it lies."""
        return self.crs is not None and self.transform != (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

    @property
    def is_upright(self) -> bool:
        """Whether rows and columns run along the axes of the CRS and columns run eastwards."""
        a, b, _, d, e, _ = self.transform
        return b == 0 and d == 0 and a > 0 and e != 0

    @property
    def is_flipped(self) -> bool:
        """Whether the first row is the southernmost (a bottom-up raster)."""
        return self.transform[4] > 0

    @property
    def pixel(self) -> tuple[float, float]:
        """Width and height of a pixel, both positive."""
        return self.transform[0], abs(self.transform[4])

    @property
    def corner(self) -> tuple[float, float]:
        """North-western corner (x, y) in CRS coordinates."""
        _, _, x, _, e, y = self.transform
        return x, y + max(e, 0.0) * self.height


def sniff(path: Path) -> str:
    """Say what a file is by its first bytes: a key of `LOOKS`.

    Raises
    ------
    InputError
        Where the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read: {error.strerror}") from None
    if not start:
        return "empty"
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            return kind
    words = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if words.startswith((b"<!doctype html", b"<html")) or b"<html" in words:
        return "html"
    if words.startswith((b"<?xml", b"<vrtdataset", b"<")):
        return "vrt" if b"<vrtdataset" in words else "xml"
    return "text" if b"\0" not in start else "unknown"


@contextmanager
def open_raster(path: Path) -> Iterator[Any]:
    """Open a GeoTIFF or JPEG 2000 for reading; yields a rasterio dataset.

    Raises
    ------
    InputError
        Where the file is neither, or GDAL fails on it, also later inside the ``with`` block; it names the file.
    """
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    kind = sniff(path)
    if kind not in _DRIVERS:
        raise InputError(f"{shown(path)} is not a GeoTIFF or JPEG 2000: it {LOOKS[kind]}")
    try:
        with rasterio.Env(**GDAL_OPTIONS), rasterio.open(Path(path), driver=_DRIVERS[kind]) as source:
            yield source
    except (RasterioError, CPLE_BaseError, OSError) as error:
        cause = error.__cause__ or error
        reason = str(cause).replace("\n", " ")
        raise InputError(
            f"{shown(path)} cannot be read: damaged or cut off? ({reason}); fetch it anew or leave it out"
        ) from error


LOOKS = {
    "tiff": "is a TIFF", "jp2": "is a JPEG 2000", "hdf5": "is an HDF5 or NetCDF-4 file", "netcdf": "is a NetCDF file",
    "empty": "is empty", "html": "looks like HTML (a failed download?)", "xml": "looks like XML",
    "vrt": "is a VRT, which points to other files: give those files themselves", "text": "looks like text",
    "unknown": "is of no kind that is known here", "png": "is a PNG picture", "jpeg": "is a JPEG picture",
    "zip": "is a ZIP archive", "gzip": "is a gzip archive", "pdf": "is a PDF",
    "sqlite": "is an SQLite or GeoPackage file",
}  # fmt: skip
"""What `sniff` says, in words that follow "it"."""


def read_header(path: Path) -> Header:
    """Read what a raster says about itself; no pixel is decoded.

    Raises
    ------
    InputError
        Where the file cannot be opened, is cut off, holds several images or other than integers or real numbers, has
        its mask in a file beside it, or declares blocks that no memory should be asked for.

    Notes
    -----
    Reads no pixels, but for a sample of a band that may be alpha.
    """
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with open_raster(path) as source:
            _check_alone(path, source)
            _check_numbers(path, source)
            _check_whole(path, source)
            alpha = _alpha(source)
            numbers = tuple(i for i in source.indexes if i != alpha)
            compression = source.compression.value.lower() if source.compression else "none"
            return Header(
                path=path,
                height=source.height,
                width=source.width,
                numbers=numbers,
                dtype=source.dtypes[0],
                nodata=None if source.nodata is None else float(source.nodata),
                crs=source.crs.to_wkt(version="WKT2_2019") if source.crs else None,
                transform=tuple(source.transform)[:6],
                descriptions=tuple((source.descriptions[i - 1] or "").strip() or None for i in numbers),
                tags=dict(source.tags()),
                block=source.block_shapes[0],
                layout=f"{source.driver}/{compression}",
                scaling=tuple((source.scales[i - 1], source.offsets[i - 1]) for i in numbers),
                masked=alpha is not None or _has_mask(source),
            )


def read_box(
    path: Path, indexes: Sequence[int], box: Box, *, shape: tuple[int, int], flipped: bool = False
) -> npt.NDArray[Any]:
    """Read a window of some bands.

    Parameters
    ----------
    path
        The file.
    indexes
        1-based numbers of the bands.
    box
        The window in pixels of the file as it lies on the ground, north up.
    shape
        Rows and columns that the file had when it was planned.
    flipped
        Whether the first row in the file is the southernmost.

    Returns
    -------
    ndarray (band, row, col)
        North up, dtype as in the file.

    Raises
    ------
    InputError
        Where the file is gone, damaged or of another size by now.
    """
    with open_raster(path) as source:
        pixels = source.read(list(indexes), window=_window(source, path, box, shape, flipped=flipped))
    return pixels[:, ::-1] if flipped else pixels  # type: ignore[no-any-return]


def read_mask(path: Path, box: Box, *, shape: tuple[int, int], flipped: bool = False) -> npt.NDArray[np.bool_]:
    """Read a window of the mask that a file carries: bool (row, col), True where the pixel counts."""
    with open_raster(path) as source:
        mask = mask_in(source, _window(source, path, box, shape, flipped=flipped))
    return mask[::-1] if flipped else mask


def mask_in(source: Any, window: Any) -> npt.NDArray[np.bool_]:
    """Return where neither the mask nor the alpha band of an open file that has one hides a pixel: bool (row, col)."""
    has_mask = _has_mask(source)
    alpha = _alpha(source, sure=not has_mask)
    seen = np.ones((window.height, window.width), np.bool_) if alpha is None else source.read(alpha, window=window) > 0
    return seen & (source.read_masks(1, window=window) > 0) if has_mask else seen


def _has_mask(source: Any) -> bool:
    from rasterio.enums import MaskFlags

    flags = source.mask_flag_enums[0]
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags


def _alpha(source: Any, *, sure: bool = False) -> int | None:
    """Return the 1-based number of the alpha band of an open file, or None; ``sure``: what is called so is one."""
    from rasterio.enums import ColorInterp
    from rasterio.windows import Window

    if source.count < 2 or ColorInterp.alpha not in source.colorinterp:
        return None
    number = int(source.colorinterp.index(ColorInterp.alpha)) + 1
    name = source.descriptions[number - 1]
    if sure or (name and "alpha" not in name.casefold()):
        return number if sure else None
    rows = np.unique(np.linspace(0, source.height - 1, ALPHA_ROWS).astype(int))
    sample = np.stack([source.read(number, window=Window(0, int(row), source.width, 1)) for row in rows])
    seen = sample[sample != 0]
    full = (255, np.iinfo(sample.dtype).max) if sample.dtype.kind in "ui" else (1, 255)
    return number if seen.size == 0 or np.isin(seen, full).mean() >= 0.5 else None


def _window(source: Any, path: Path, box: Box, shape: tuple[int, int], *, flipped: bool) -> Any:
    from rasterio.windows import Window

    if source.shape != shape:
        was, now = (" × ".join(map(str, pair)) for pair in (shape, source.shape))
        raise InputError(
            f"{shown(path)} has changed: it had {was} pixels (rows × columns) and has {now}; plan the cube anew"
        )
    row = source.height - box.row - box.height if flipped else box.row
    return Window(box.col, row, box.width, box.height)


def _check_alone(path: Path, source: Any) -> None:
    """Raise `InputError` where a file holds several images, or its mask lies in a file beside it."""
    mask = path.with_name(path.name + ".msk")
    if mask.exists():
        raise InputError(
            f"the mask of {shown(path)} lies in a file of its own, {mask.name}, which is not read: holes would be taken"
            " for land; put it inside (gdal_translate --config GDAL_TIFF_INTERNAL_MASK YES IN.tif OUT.tif)"
        )
    pages = len(source.subdatasets) if source.driver == "GTiff" else 0
    if pages > 1:
        raise InputError(
            f"{shown(path)} holds {pages} images (pages), of which only the first would be read: split it into a file "
            f"each (gdal_translate GTIFF_DIR:2:{path.name} OUT.tif)"
        )


def _check_numbers(path: Path, source: Any) -> None:
    if len(set(source.dtypes)) > 1 or np.dtype(source.dtypes[0]).kind not in "uif":
        raise InputError(
            f"{shown(path)} holds {', '.join(sorted(set(source.dtypes)))}: bands must be integers or reals of one type"
        )
    rows, cols = source.block_shapes[0]
    together = source.count if str(source.interleaving).endswith("pixel") else 1
    size = rows * cols * together * np.dtype(source.dtypes[0]).itemsize
    if size > MAX_BLOCK_BYTES:
        raise InputError(
            f"{shown(path)} is one internal block of {rows} × {cols} pixels or made of such blocks: reading a single "
            f"pixel would take {size / 2**30:.1f} GiB; rewrite it in tiles (gdal_translate -co TILED=YES)"
        )


def _check_whole(path: Path, source: Any) -> None:
    """Raise `InputError` where a file ends before its last block."""
    size = path.stat().st_size
    end = _tiff_end(source) if source.driver == "GTiff" else _jp2_end(path, size)
    if end > size:
        raise InputError(
            f"{shown(path)} is cut off: it has {size} bytes of at least {end}; fetch it anew or leave it out"
        )


def _tiff_end(source: Any) -> int:
    """Return the byte after the block that lies last in the file, wherever in the image it is."""
    rows, cols = source.block_shapes[0]
    bands = range(1, 2 if str(source.interleaving).endswith("pixel") else source.count + 1)
    end = 0
    for band in bands:
        for block in product(range((source.width - 1) // cols + 1), range((source.height - 1) // rows + 1)):
            offset, length = (
                source.get_tag_item(f"BLOCK_{name}_{block[0]}_{block[1]}", "TIFF", bidx=band)
                for name in ("OFFSET", "SIZE")
            )
            if offset and length:
                end = max(end, int(offset) + int(length))
    return end


def _jp2_end(path: Path, size: int) -> int:
    """Return the byte after the last box of a JPEG 2000, or after what an open end lacks."""
    with path.open("rb") as file:
        position = 0
        while position < size:
            length, kind = _jp2_box(file, position)
            if (kind == b"jp2c" and length == 0) or kind == b"\xff\x4f":
                file.seek(max(0, size - 2))
                return size if file.read(2) == b"\xff\xd9" else size + 2
            if length < 8:
                return size
            position += length
    return position


def _jp2_box(file: BinaryIO, position: int) -> tuple[int, bytes]:
    """Return (length in bytes, kind) of the box at a position; the kind of a bare codestream is its first two bytes."""
    file.seek(position)
    start = file.read(16).ljust(16, b"\0")
    if start[:2] == b"\xff\x4f":
        return 0, b"\xff\x4f"
    length, kind = struct.unpack(">I4s", start[:8])
    return (struct.unpack(">Q", start[8:16])[0] if length == 1 else length), kind
