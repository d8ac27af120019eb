"""Writing the cube as Zarr, beside a bare loop that reads the same blocks with GDAL and writes them with zarr."""

from __future__ import annotations

import shutil
from pathlib import Path

from stages.making import region
from stages.measuring import Measure, paired, peak_gib

BLOCK = 512


def measure(*, small: bool) -> list[Measure]:
    """Return MiB of pixels a second from GeoTIFF to Zarr, and how that compares with the bare loop."""
    import taxoscape as tx
    from taxoscape.cube.store import write_cube

    size, dates = (1024, 2) if small else (4096, 4)
    with region(size, dates) as home:
        scenes = sorted((home / "scenes").glob("*.tif"))
        cube = tx.open_cube([str(scene) for scene in scenes])
        mib, ours, theirs = cube.nbytes / 2**20, home / "ours.zarr", home / "bare.zarr"

        def own() -> None:
            shutil.rmtree(ours, ignore_errors=True)
            write_cube(cube, ours)

        seconds, ratio = paired(own, lambda: bare(scenes, theirs), turns=3)
        peak = peak_gib(own)
    what = f"{dates} GeoTIFFs of {size} × {size} × 3 to Zarr, with mask, checksums and a journal"
    peer = "GDAL and zarr alone, pixels without a mask"
    return [
        Measure(
            stage="cube", what=what, rate=mib / seconds, unit="MiB/s", peer=peer, ratio=ratio, peak_gib=peak, turns=3
        )
    ]


def bare(scenes: list[Path], path: Path) -> None:
    """Read all blocks of scenes by rasterio alone and write them with zarr's own settings."""
    import rasterio
    import zarr
    from rasterio.windows import Window

    with rasterio.open(scenes[0]) as first:
        shape = (len(scenes), first.count, first.height, first.width)
        dtype = first.dtypes[0]
    array = zarr.create_array(
        path, shape=shape, chunks=(1, shape[1], BLOCK, BLOCK), dtype=dtype, overwrite=True, config={"order": "C"}
    )
    for time, scene in enumerate(scenes):
        with rasterio.open(scene) as file:
            for top in range(0, file.height, BLOCK):
                for left in range(0, file.width, BLOCK):
                    block = file.read(window=Window(left, top, BLOCK, BLOCK))
                    array[time, :, top : top + block.shape[1], left : left + block.shape[2]] = block
