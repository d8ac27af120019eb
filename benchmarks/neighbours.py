"""What encoders make of photographs of kinds of land: nearest-neighbour accuracy, the table of ``docs/evidence.md``.

    .venv/bin/python benchmarks/neighbours.py

1 400 photographs of RSSCN7 in ``17_rsscn7_half_a`` of ``TAXOSCAPE_REAL_DATA`` or ``../shared/data`` (RGB, 100 × 100 px,
seven classes of 200, four scales of ground). The photographs are laid beside each other as one scene, one invalid pixel
between them. Each encoder that is trained learns from crops of 50 px: two crops of one photograph are neighbours, crops
of two photographs are distant. It never sees a class.

The vector of a photograph is the mean of those of its four quarters. A photograph is right where the commonest class of
the five nearest other photographs is its own (a tie goes to the class that is nearest first); distances are Euclidean.
For every encoder alike this is done twice: with the vectors as they are, and with each feature standardised over the
photographs. Chance is 1 in 7.

Results go to ``benchmarks/results/neighbours.json`` after every encoder. What is there at this commit is not done
again; ``--table`` only prints what is there, and writes it into the documentation.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from evidence import BEGIN, DATA, DOCS, END, commit, write_docs
from evidence import RESULTS as EVIDENCE

from taxoscape.config import PRESETS, EncoderSettings
from taxoscape.contracts import spatial_ref
from taxoscape.embedding.encoder import Encoder
from taxoscape.embedding.features import fit_features
from taxoscape.embedding.fit import encoder_from, untrained, with_statistics
from taxoscape.embedding.quick import quickened
from taxoscape.embedding.tiles import TileReader
from taxoscape.embedding.training import train
from taxoscape.embedding.triplets import Triplets
from taxoscape.grid import Lattice

RESULTS = EVIDENCE.with_name("neighbours.json")
MARKS = (BEGIN.replace("table", "neighbours"), END.replace("table", "neighbours"))
PHOTOGRAPHS = DATA / "17_rsscn7_half_a"
TILE_PX = 50
"""Edge of a crop."""
NEIGHBOURS = 5
"""k of the nearest neighbours."""
WHOLE = 1.0
"""Share of valid pixels of what an encoder learns its scaling from: no crop across two photographs."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Album:
    """Photographs laid beside each other."""

    reader: TileReader
    """The scene, read in crops."""
    corners: Array
    """Int32 (photograph, 2): row and column of the top-left pixel of each."""
    classes: Array
    """Int (photograph,)."""
    edge: int
    """Edge of a photograph in pixels."""


def read_album(folder: Path, *, tile_size: int = TILE_PX) -> Album:
    """Lay the photographs ``folder/CLASS/*.jpg`` out in the order of their names, by a fixed shuffle."""
    paths = sorted(folder.glob("*/*.jpg"))
    if not paths:
        raise SystemExit(f"there are no photographs CLASS/*.jpg in {folder}: set TAXOSCAPE_REAL_DATA")
    paths = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        images = [read_image(path) for path in paths]
    edge, across = images[0].shape[-1], int(np.ceil(np.sqrt(len(images))))
    places = np.arange(len(images))
    corners = np.column_stack([places // across, places % across]).astype(np.int32) * (edge + 1)
    height, width = (int(end) + edge for end in corners.max(axis=0))
    pixels, valid = np.zeros((1, 3, height, width), np.uint8), np.zeros((1, height, width), bool)
    for image, (row, col) in zip(images, corners, strict=True):
        window = (..., slice(row, row + edge), slice(col, col + edge))
        pixels[window], valid[window] = image, True
    names = [path.parent.name for path in paths]
    return Album(TileReader(scene(pixels, valid), tile_size), corners, np.unique(names, return_inverse=True)[1], edge)


def read_image(path: Path) -> Array:
    """Return the pixels (band, y, x) of a photograph."""
    with rasterio.open(path) as file:
        pixels: Array = file.read()
    return pixels


def scene(pixels: Array, valid: Array) -> xr.DataArray:
    """Return pixels (1, band, y, x) with their mask as a cube of one made-up date and place."""
    lattice = Lattice(
        crs=rasterio.CRS.from_epsg(32630).to_wkt(), x0=0.0, y0=0.0, dx=1.0, dy=1.0,
        height=pixels.shape[2], width=pixels.shape[3],
    )  # fmt: skip
    y, x = lattice.coordinates()
    coordinates: dict[str, Any] = {
        "time": np.array(["2020-01-01"], "datetime64[ns]"), "band": ["red", "green", "blue"], "y": y, "x": x,
        "valid": (("time", "y", "x"), valid), "spatial_ref": spatial_ref(lattice),
    }  # fmt: skip
    return xr.DataArray(pixels, dims=("time", "band", "y", "x"), coords=coordinates)


def crop_triplets(album: Album, n: int, *, rng: np.random.Generator) -> Triplets:
    """Draw triplets: two different crops of one photograph, and a crop of another one."""
    free, size = album.edge - album.reader.tile_size + 1, len(album.corners)
    own = rng.integers(size, size=n)
    other = (own + rng.integers(1, size, size=n)) % size
    first = rng.integers(free**2, size=n)
    second = (first + rng.integers(1, free**2, size=n)) % free**2
    far = rng.integers(free**2, size=n)

    def table(photograph: Array, place: Array) -> Array:
        offsets = np.column_stack([place // free, place % free])
        return np.column_stack([album.corners[photograph] + offsets, np.zeros(n)]).astype(np.int32)

    return Triplets(table(own, first), table(own, second), table(other, far))


def trained(album: Album, seed: int, settings: EncoderSettings) -> Encoder:
    """Return an encoder trained on crops of the photographs, with statistics beside it where the settings say so."""
    triplets = crop_triplets(album, settings.triplets, rng=np.random.default_rng([seed, 2]))
    (state,) = deque(train(album.reader, triplets, settings, rng=seed), maxlen=1)
    encoder = encoder_from(state)
    carried = settings.carries_statistics()
    return with_statistics(encoder, album.reader, seed=seed, min_valid=WHOLE) if carried else encoder


def fixed(album: Album, seed: int, kind: str) -> Encoder:
    """Return an encoder that is made without training."""
    return fit_features(
        album.reader, tile_size=album.reader.tile_size, settings=EncoderSettings(encoder=kind), rng=seed,
        min_valid=WHOLE,
    )  # fmt: skip


def as_begun(album: Album, seed: int, network: str) -> Encoder:
    """Return an untrained network; TileNet made quick."""
    made = untrained(album.reader, network=network, tile_size=album.reader.tile_size, rng=seed, min_valid=WHOLE)
    return quickened(made) if network == "tilenet" else made


def paper(**settings: Any) -> EncoderSettings:
    """Return settings with the paper's loss and its step size, batch and margin."""
    names = ("loss", "batch_size", "learning_rate", "margin", "norm_penalty")
    own = {name: PRESETS["paper"]["encoder"][name] for name in names}
    return EncoderSettings(**{**own, "statistics": False, **settings})


def vectors(album: Album, encoder: Encoder) -> Array:
    """Return the vector of each photograph: float64 (photograph, feature), the mean of its four quarters."""
    far = album.edge - album.reader.tile_size
    parts = []
    for offset in ((0, 0), (0, far), (far, 0), (far, far)):
        places = np.column_stack([album.corners + offset, np.zeros(len(album.corners))]).astype(np.int32)
        parts.append([encoder.embed(*album.reader.read(places[i : i + 512])) for i in range(0, len(places), 512)])
    return np.mean([np.concatenate(part) for part in parts], axis=0, dtype=np.float64)


def accuracy(rows: Array, classes: Array, *, standardised: bool) -> float:
    """Return the share of rows whose class is the commonest of the nearest other rows; see the module's note."""
    from sklearn.neighbors import NearestNeighbors

    if standardised:
        spread = rows.std(axis=0)
        rows = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1)
    nearest = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(rows).kneighbors(return_distance=False)
    weights = 1 + np.linspace(0.1, 0, NEIGHBOURS)  # ranks decide ties alone: their sum is below one vote
    votes = (np.eye(classes.max() + 1)[classes[nearest]] * weights[:, None]).sum(axis=1)
    return float(np.mean(votes.argmax(axis=1) == classes))


Make = Callable[[Album, int, dict[str, Any]], Encoder]
METHODS: dict[str, tuple[str, Make]] = {
    "fast_statistics": ("FastNet, contrastive, statistics beside (the default)",
                        lambda a, s, m: trained(a, s, EncoderSettings(**m))),
    "fast_triplet": ("FastNet, the paper's triplet loss", lambda a, s, m: trained(a, s, paper(**m))),
    "rcf": ("Random convolutional features", lambda a, s, _: fixed(a, s, "rcf")),
    "untrained_fast": ("FastNet, untrained", lambda a, s, _: as_begun(a, s, "fast")),
    "stats": ("Tile means and deviations", lambda a, s, _: fixed(a, s, "stats")),
    "untrained_tilenet": ("TileNet, untrained", lambda a, s, _: as_begun(a, s, "tilenet")),
    "tilenet_triplet": ("TileNet, the paper's triplet loss, {triplets} triplets, {epochs} epoch",
                        lambda a, s, m: trained(a, s, paper(network="tilenet", n_features=512, **SHORT | m))),
}  # fmt: skip
"""Title, and what makes the encoder of an album, a seed and settings other than the default."""
PARTS = {
    "fast_statistics": ("fast", "FastNet, contrastive, no statistics beside", EncoderSettings().n_features),
    "stats": ("means", "Tile means", 3),
}
"""What the first so many features of an encoder are, measured on their own."""
TITLES = {name: title for name, (title, _) in METHODS.items()} | {name: title for name, title, _ in PARTS.values()}
SHORT = {"triplets": 400, "epochs": 1}
"""Training of TileNet for a processor; the paper's is 100 000 triplets and 50 epochs, on a GPU."""


def measure(album: Album, name: str, seed: int, more: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return what an encoder reached, and its part in `PARTS`; ``more`` are settings other than the default."""
    begun = time.monotonic()
    rows = vectors(album, METHODS[name][1](album, seed, more or {}))
    seconds, kinds = time.monotonic() - begun, [(name, rows)]
    if name in PARTS:
        part, _, length = PARTS[name]
        kinds.append((part, rows[:, :length]))
    return [
        {
            "method": kind, "seed": seed, "n_features": part.shape[1], "seconds": seconds,
            "as_they_are": accuracy(part, album.classes, standardised=False),
            "standardised": accuracy(part, album.classes, standardised=True),
        }
        for kind, part in kinds
    ]  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """Return mean and deviation over the seeds by encoder as Markdown, the best first."""
    lines = ["| encoder | features | as they are | standardised | seeds | seconds |", "|---|---:|---:|---:|---:|---:|"]
    by_method = {name: [row for row in rows if row["method"] == name] for name in TITLES}
    order = [name for name, own in by_method.items() if own]
    order.sort(key=lambda name: -statistics.mean(row["standardised"] for row in by_method[name]))
    for name in order:
        own = by_method[name]
        cells = [spread([row[key] for row in own]) for key in ("as_they_are", "standardised")]
        seconds = statistics.mean(row["seconds"] for row in own)
        title = TITLES[name].format(**SHORT)
        lines.append(f"| {title} | {own[0]['n_features']} | {' | '.join(cells)} | {len(own)} | {seconds:.0f} |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """Return the mean of values and their deviation."""
    about = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{about}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--table", action="store_true", help="measure nothing")
    given = parser.parse_args()
    rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    wanted = [] if given.table else [(name, seed) for seed in given.seeds for name in given.methods]
    now, album = commit(), read_album(PHOTOGRAPHS) if wanted else None
    for name, seed in wanted:
        if album is None or any((row["method"], row["seed"], row["commit"]) == (name, seed, now) for row in rows):
            continue
        new = [{**row, "commit": now} for row in measure(album, name, seed)]
        made = {row["method"] for row in new}
        rows = [row for row in rows if row["seed"] != seed or row["method"] not in made] + new
        RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
        print(json.dumps(new), flush=True)
    text = table(rows)
    print(text)
    write_docs(DOCS, text, marks=MARKS)


if __name__ == "__main__":
    main()
