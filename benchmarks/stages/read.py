"""Reading scenes as a cube, beside GDAL's bare reading and decompressing of the same blocks."""

from __future__ import annotations

from pathlib import Path

from stages.making import region
from stages.measuring import Measure, paired, peak_gib

BLOCK = 512


def measure(*, small: bool) -> list[Measure]:
    """Return MiB of pixels a second, masked and aligned, and how that compares with GDAL alone."""
    import taxoscape as tx

    size, dates = (1024, 2) if small else (4096, 4)
    with region(size, dates) as home:
        scenes = sorted((home / "scenes").glob("*.tif"))
        cube = tx.open_cube([str(scene) for scene in scenes])
        mib = cube.nbytes / 2**20

        def ours() -> None:
            for time in range(dates):
                for top in range(0, size, BLOCK):
                    for left in range(0, size, BLOCK):
                        window = cube[time, :, top : top + BLOCK, left : left + BLOCK]
                        window.to_numpy()
                        window.coords["valid"].to_numpy()

        seconds, ratio = paired(ours, lambda: bare(scenes), turns=3)
        peak = peak_gib(ours)
    what = f"{dates} GeoTIFFs of {size} × {size} × 3, 8 bits, in blocks of {BLOCK} px, with the mask of valid pixels"
    peer = "GDAL alone, the same blocks"
    return [
        Measure(
            stage="read", what=what, rate=mib / seconds, unit="MiB/s", peer=peer, ratio=ratio, peak_gib=peak, turns=3
        )
    ]


def bare(scenes: list[Path]) -> None:
    """Read all blocks of scenes by rasterio alone."""
    import rasterio
    from rasterio.windows import Window

    for scene in scenes:
        with rasterio.open(scene) as file:
            for top in range(0, file.height, BLOCK):
                for left in range(0, file.width, BLOCK):
                    file.read(window=Window(left, top, BLOCK, BLOCK))
