"""How sharp borders of zones get with overlapping tiles, and what they cost: a table of ``docs/evidence.md``.

    .venv/bin/python benchmarks/sharpness.py

On the built-in region (2 000 × 2 000 px, 8 dates, 8 zones): for each tile size one run of tiles side by side, with
default settings and the true number of zones; then, under its encoder (f^c), tiles at smaller strides, encoded and
clustered. Every map is compared with the truth pixel by pixel, on the ground that all maps of a tile size cover, after
zones and truth are matched one to one. A pixel is near a border where the truth has another zone within so many pixels.
How far drawn borders are off is the distance of their pixels to the nearest true border, in the median: some of them
are around tiles inside a zone that are wrong.

Seconds are those of the processor, so that other work on the machine counts little, and so are tiles a second. What a
tile alone costs is measured on the tiles side by side. By how much vectors of one pass differ from those of tiles alone
is measured on `ALONE` tiles of each grid.

Results go to ``benchmarks/results/sharpness.json``, with the commit; ``--folder`` keeps scenes and runs, ``--table``
measures nothing and writes the documentation from what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from child import measured
from evidence import BEGIN, DOCS, END, commit, write_docs

from taxoscape.analysis.agreement import agreement
from taxoscape.contracts import grid_of
from taxoscape.cube.labels import read_labels_on_grid
from taxoscape.embedding.encoder import Encoder, load_encoder
from taxoscape.embedding.encoding import encode
from taxoscape.embedding.tiles import TileReader
from taxoscape.grid import Grid
from taxoscape.run.folder import RunFolder
from taxoscape.run.results import open_cube
from taxoscape.testing.region import Region
from taxoscape.testing.writing import write_region
from taxoscape.zones.clustering import cluster
from taxoscape.zones.matching import overlap_order

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    Pixels = npt.NDArray[np.integer[Any]]

RESULTS = Path(__file__).resolve().parent / "results" / "sharpness.json"
MARKS = (BEGIN.replace("table", "sharpness"), END.replace("table", "sharpness"))
STRIDES = {48: (48, 24, 16), 64: (64, 32, 16)}
"""Strides by tile size, the tile size first."""
ALONE = 2_000
"""Tiles of a grid, on one date each, that are encoded alone too."""
COLUMNS = (
    ("tile_size", "tile, px", "d"), ("stride", "stride, px", "d"), ("n_tiles", "tiles", ",d"),
    ("encode_seconds", "encoding, s", ".1f"), ("times_whole", "× side by side", ".1f"),
    ("times_faster", "× faster a tile", ".1f"), ("difference", "vectors differ by", ".0e"), ("nmi", "NMI", ".3f"),
    ("right", "pixels right", ".3f"), ("right_near", "within a tile of a border", ".3f"),
    ("right_at", "within ¼ tile", ".3f"), ("off_px", "border off, px", ".1f"),
)  # fmt: skip
"""Name, title and format of what the table shows."""


def painted(labels: Pixels, grid: Grid) -> Pixels:
    """Return the zone of each pixel of the region, that of the cell that it lies in; 0 where there is none: (y, x)."""
    margin = (grid.tile_size - grid.stride) // 2
    top, left = (int(v) + margin for v in grid.corners[0])
    image = np.kron(grid.to_map(labels), np.ones((grid.stride, grid.stride), labels.dtype))
    out = np.zeros((grid.lattice.height, grid.lattice.width), labels.dtype)
    out[top : top + image.shape[0], left : left + image.shape[1]] = image
    return out


def borders(zones: Pixels) -> npt.NDArray[np.bool_]:
    """Return the pixels that have another zone to the right or below: bool (y, x)."""
    found = np.zeros(zones.shape, np.bool_)
    found[:, :-1] |= zones[:, :-1] != zones[:, 1:]
    found[:-1] |= zones[:-1] != zones[1:]
    return found


def sharpness(drawn: Pixels, truth: Pixels, *, tile_size: int) -> dict[str, float]:
    """Compare a map of zones with the truth, both (y, x) without a 0.

    Returns
    -------
    ``right``: share of pixels of the true zone; ``right_near``, ``right_at``: the same of those less than a tile, and a
    quarter of a tile, from a true border; ``off_px``: median distance of drawn borders to the nearest true border.
    """
    from scipy.ndimage import distance_transform_edt

    k = int(max(drawn.max(), truth.max()))
    number = np.concatenate([[0], overlap_order(truth.ravel(), drawn.ravel(), k)])
    right = number[drawn] == truth
    far: npt.NDArray[np.float64] = distance_transform_edt(~borders(truth))
    return {
        "right": float(right.mean()),
        "right_near": float(right[far < tile_size].mean()),
        "right_at": float(right[far < tile_size / 4].mean()),
        "off_px": float(np.median(far[borders(drawn)])),
    }


def difference(series: xr.Dataset, reader: TileReader, encoder: Encoder) -> float:
    """Return by how much vectors of a series differ at most from those of tiles alone, as a share of their length."""
    grid, rng = grid_of(series), np.random.default_rng(0)
    tiles, times = (rng.integers(n, size=ALONE) for n in (grid.n_tiles, reader.n_times))
    found = series["embedding"].to_numpy()[tiles, times]
    alone = encoder.embed(*reader.read(np.column_stack([grid.corners[tiles], times])))
    known = np.isfinite(found).all(axis=1)
    apart = np.linalg.norm(found[known] - alone[known], axis=1) / np.linalg.norm(alone[known], axis=1)
    return float(apart.max(initial=0))


def measure(run: Path, truth_file: Path, truth: Pixels, strides: tuple[int, ...], *, seed: int) -> list[dict[str, Any]]:
    """Encode, cluster and compare at each stride, under the encoder of a run of tiles side by side."""
    cube, encoder = open_cube(RunFolder(run)).load(), load_encoder(_encoder_of(run))
    size, rows, maps = encoder.tile_size, [], []
    for stride in strides:
        begun = time.process_time()
        series = encode(cube, encoder, stride=stride)
        seconds = time.process_time() - begun
        grid = grid_of(series)
        labels = cluster(series, n_clusters=int(truth.max()), rng=seed)["labels"].to_numpy().astype(np.int64)
        true = read_labels_on_grid(truth_file, grid).astype(np.int64)
        maps.append(painted(labels, grid))
        rows.append({
            "tile_size": size, "stride": stride, "seed": seed, "n_tiles": grid.n_tiles, "encode_seconds": seconds,
            "difference": difference(series, TileReader(cube, size), encoder), "nmi": agreement(labels, true)["nmi"],
        })  # fmt: skip
    covered = np.all([image > 0 for image in maps], axis=0)
    ys, xs = (slice(axis.min(), axis.max() + 1) for axis in np.nonzero(covered))
    whole = rows[0]
    for row, image in zip(rows, maps, strict=True):
        row |= sharpness(image[ys, xs], truth[ys, xs].astype(np.int64), tile_size=size)
        row["times_whole"] = row["encode_seconds"] / whole["encode_seconds"]
        row["times_faster"] = row["n_tiles"] / whole["n_tiles"] / row["times_whole"]
    return rows


def _encoder_of(run: Path) -> Path:
    """Return the encoder that a run ends with: f^c, or f^g without refinement."""
    refined = run / "encoder.safetensors"
    return refined if refined.exists() else run / "encoder_geographic.safetensors"


def run_seed(
    seed: int,
    home: Path,
    *,
    size: int,
    strides: dict[int, tuple[int, ...]],
    n_zones: int = 8,
    more: tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """Make a region, run on tiles side by side of each size, and measure; ``more`` are options of the runs."""
    region, rows = Region(seed=seed, height=size, width=size, n_zones=n_zones), list[dict[str, Any]]()
    files = write_region(region, home, threads=2)
    for tile_size, own in strides.items():
        run = home / f"run-{tile_size}"
        options = ["--tile-size", str(tile_size), "--zones", str(n_zones), "--seed", str(seed), "--no-evidence", *more]
        measured("run", str(home / "scenes"), "--out", str(run), *options)
        rows += measure(run, files.truth, region.truth(), own, seed=seed)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the means over the seeds by tile size and stride as Markdown, and what they say in a sentence each."""
    kinds = dict.fromkeys((row["tile_size"], row["stride"]) for row in rows)
    lines = ["| " + " | ".join(title for _, title, _ in COLUMNS) + " |", "|" + "---:|" * len(COLUMNS)]
    means: dict[tuple[int, int], dict[str, Any]] = {}
    for kind in kinds:
        own = [row for row in rows if (row["tile_size"], row["stride"]) == kind]
        found = {name: statistics.mean(row[name] for row in own) for name, _, _ in COLUMNS}
        means[kind] = found | {"difference": max(row["difference"] for row in own)}
        cells = [format(int(means[kind][name]) if "d" in how else means[kind][name], how) for name, _, how in COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    told = []
    for size in dict.fromkeys(size for size, _ in kinds):
        whole, fine = means[size, size], means[size, min(stride for own, stride in kinds if own == size)]
        told.append(
            f"Tiles of {size} px every {fine['stride']:.0f} px: of the pixels within a tile of a border "
            f"{1 - fine['right_near']:.1%} are wrong in the place of {1 - whole['right_near']:.1%}, and borders are "
            f"off by {fine['off_px']:.1f} px in the place of {whole['off_px']:.1f}, for {fine['times_whole']:.1f} "
            f"times the encoding (tile by tile: {(size / fine['stride']) ** 2:.0f} times)."
        )
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(row["seed"] for row in rows))
    return "\n".join([f"Means over the seeds {seeds}:", "", *lines, "", "\n\n".join(told)])


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--folder", type=Path, help="keeps scenes and runs here")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    for seed in [] if given.table else given.seeds:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) if given.folder is None else given.folder / f"built-in-{seed}"
            home.mkdir(parents=True, exist_ok=True)
            new = run_seed(seed, home, size=2000, strides=STRIDES)
        rows = [row for row in rows if row["seed"] != seed] + [row | {"commit": commit()} for row in new]
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps({"cores": os.cpu_count(), "rows": rows}, indent=1) + "\n")
    text = table(rows)
    print(text)
    write_docs(DOCS, text, marks=MARKS)


if __name__ == "__main__":
    main()
