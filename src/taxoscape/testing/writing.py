"""A region as files: one GeoTIFF per date, and the truth in a folder of its own.

Block by block: the ground of a block is surveyed once, then exposed on every date, so memory depends on the block and
not on the region. With several threads blocks are made side by side and written in order: the files are the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from taxoscape.errors import InputError
from taxoscape.progress import Track, silent
from taxoscape.testing.region import GENERATOR_VERSION, Region, Window
from taxoscape.testing.scenes import NODATA

if TYPE_CHECKING:
    from rasterio.io import DatasetWriter

BLOCK_PX = 512
"""Edge of the blocks that a region is made and written in."""
_CACHE_MB = 128
"""Memory that GDAL keeps blocks in before it writes them, MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionFiles:
    """The files of a region."""

    scenes: tuple[Path, ...]
    """GeoTIFFs of the scenes, one per date, in ``scenes/``."""
    truth: Path
    """GeoTIFF of the zones, uint8 1…n_zones, 0 = none, in ``truth/``."""


def write_region(
    region: Region, folder: str | Path, *, track: Track = silent, threads: int = 1, block_px: int = BLOCK_PX
) -> RegionFiles:
    """Write the scenes of a region and its truth as GeoTIFFs.

    Parameters
    ----------
    region
        What to write.
    folder
        Gets the folders ``scenes`` (``scene_2023-03-12.tif`` …) and ``truth`` (``truth.tif``). Files of the same names
        are replaced, others left alone.
    track
        Told of every block.
    threads
        Blocks made side by side.
    block_px
        Edge of a block, a multiple of 256.

    Raises
    ------
    InputError
        Where ``threads`` is below 1 or ``block_px`` is no multiple of 256.

    Notes
    -----
    About 0.2 µs per pixel and date and 0.5 µs per pixel on one core; 200 MiB with eight dates of three bands, whatever
    the size of the region, and 25 MiB per further thread.
    """
    import rasterio

    if threads < 1 or block_px < 256 or block_px % 256:
        raise InputError(f"threads are at least 1 and block_px is a multiple of 256, not {threads} and {block_px}")
    home = Path(folder)
    scenes = tuple(home / "scenes" / f"scene_{day.isoformat()}.tif" for day in region.days)
    truth = home / "truth" / "truth.tif"
    windows = _blocks(region, block_px)
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_MB), ExitStack() as stack:
        tags = [{"ACQUISITION_DATE": day.isoformat()} for day in region.days]
        files = [
            stack.enter_context(_open(path, region, region.bands, tag)) for path, tag in zip(scenes, tags, strict=True)
        ]
        files.append(stack.enter_context(_open(truth, region, ("zone",), {})))
        made = _in_order(lambda window: _make(region, window), windows, threads)
        for window, images in track(zip(windows, made, strict=True), "making the built-in region", len(windows)):
            for file, image in zip(files, images, strict=True):
                _write(file, image, window)
    for path in (*scenes, truth):
        _partial(path).replace(path)
    return RegionFiles(scenes=scenes, truth=truth)


def _make(region: Region, window: Window) -> list[npt.NDArray[Any]]:
    """Return the images (band, y, x) of a block on every date, and its zones last."""
    ground = region.survey(window)
    images: list[npt.NDArray[Any]] = [region.expose(ground, index, window) for index in range(len(region.days))]
    return [*images, ground.zones[None]]


def _blocks(region: Region, block_px: int) -> list[Window]:
    """Return windows that cover the region, row by row."""
    return [
        (row, col, min(block_px, region.height - row), min(block_px, region.width - col))
        for row in range(0, region.height, block_px)
        for col in range(0, region.width, block_px)
    ]


def _in_order(
    make: Callable[[Window], list[npt.NDArray[Any]]], windows: Sequence[Window], threads: int
) -> Iterator[list[npt.NDArray[Any]]]:
    """Yield ``make(window)`` in the order of the windows, made by several threads, few of them ahead."""
    if threads == 1:
        yield from map(make, windows)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[list[npt.NDArray[Any]]]] = deque()
        for window in windows:
            waiting.append(pool.submit(make, window))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _open(path: Path, region: Region, bands: tuple[str, ...], tags: dict[str, str]) -> DatasetWriter:
    """Create a GeoTIFF under a temporary name."""
    import rasterio

    path.parent.mkdir(parents=True, exist_ok=True)
    many = len(bands) > 1
    file = rasterio.open(
        _partial(path), "w", driver="GTiff", height=region.height, width=region.width, count=len(bands),
        dtype=region.camera.dtype if many else "uint8", crs=rasterio.CRS.from_epsg(32630),
        transform=region.lattice.transform, nodata=NODATA, tiled=True, blockxsize=256, blockysize=256,
        compress="deflate", zlevel=1, interleave="band" if many else "pixel", BIGTIFF="IF_SAFER",
    )  # fmt: skip
    file.descriptions = bands
    file.update_tags(GENERATOR=f"taxoscape.testing {GENERATOR_VERSION}", SEED=str(region.seed), **tags)
    return file


def _write(file: DatasetWriter, image: npt.NDArray[Any], window: Window) -> None:
    """Write the block of a file."""
    from rasterio.windows import Window as FileWindow

    row, col, height, width = window
    file.write(np.ascontiguousarray(image), window=FileWindow(col, row, width, height))


def _partial(path: Path) -> Path:
    """Return the name of a file while it is being written."""
    return path.with_name(f".{path.name}.partial")
