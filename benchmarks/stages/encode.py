"""Encoding from a cube on disk to a series on disk.

The paper's network is measured beside a bare matrix product, the default network by itself, and both beside a plain
loop that encodes one tile after the other in float32.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stages.making import region
from stages.measuring import Measure, paired, peak_gib, repeated

if TYPE_CHECKING:
    import xarray as xr

    from taxoscape.embedding.encoder import Encoder

TILE = 100
EDGE = 4096
"""Of the matrices of the bare product."""
NAMES = {"tilenet": "paper's network", "fast": "default network"}


def measure(*, small: bool) -> list[Measure]:
    """Return rows for both networks; the bars are those of two cores."""
    import taxoscape as tx
    from taxoscape.cube.store import read_cube, write_cube

    size, dates, edge, turns = (200, 1, 512, 1) if small else (2048, 4, EDGE, 5)
    with region(size, dates) as home:
        write_cube(tx.open_cube(str(home / "scenes/*.tif")), home / "cube.zarr")
        cube = read_cube(home / "cube.zarr")
        paper = cube[:1, :, : size // 2, : size // 2] if not small else cube[:1]
        return [
            *beside_product(cube[:2], home, edge=edge, turns=min(turns, 3)),  # so many that folding weighs little
            *alone(cube, home, turns=turns),
            beside_loop("tilenet", paper, home, tiles=2 if small else 10, turns=min(turns, 3)),
            beside_loop("fast", cube, home, tiles=4 if small else 400, turns=min(turns, 3)),
        ]


def beside_product(cube: xr.DataArray, home: Path, *, edge: int, turns: int) -> list[Measure]:
    """Return the operations of the paper's network a second, beside those of a matrix product as narrow as its maps."""
    import torch

    from taxoscape.embedding.machine import operations, settled_precision

    precision = settled_precision("auto", "tilenet")
    left, right = (torch.randn(edge, edge).to(getattr(torch, precision)) for _ in range(2))
    times = 24

    def product() -> None:
        for _ in range(times):
            torch.mm(left, right)

    own, encoder, n = encoding("tilenet", cube, home)
    counted = n * operations(encoder.recipe.build(), tile_px=TILE, n_bands=3)
    seconds, ratio = paired(own, product, turns=turns)
    ratio *= counted / (times * 2 * edge**3)
    what = f"paper's network, {n} tiles of {TILE} × {TILE} × 3, Zarr to Zarr, {precision}"
    peer = f"a bare product of matrices of {edge} × {edge}, {precision}"
    return [
        Measure(
            stage="encode", what=what, rate=counted / seconds / 1e9, unit="GFLOP/s", peer=peer, ratio=ratio, bar=0.9,
            peak_gib=peak_gib(own), turns=turns,
        ),
        Measure(stage="encode", what=what, rate=n / seconds, unit="tiles/s", turns=turns),
    ]  # fmt: skip


def alone(cube: xr.DataArray, home: Path, *, turns: int) -> list[Measure]:
    """Return tiles a second of the default network, as settled and in bfloat16."""
    from taxoscape.embedding.machine import has_bfloat16, settled_precision

    found = []
    for precision in dict.fromkeys((settled_precision("auto", "fast"), "bfloat16" if has_bfloat16() else "float32")):
        own, _, n = encoding("fast", cube, home, precision=precision)
        what = f"default network with statistics, {n} tiles of {TILE} × {TILE} × 3, Zarr to Zarr, {precision}"
        seconds = repeated(own, turns=turns)
        found.append(
            Measure(
                stage="encode", what=what, rate=n / seconds, unit="tiles/s", bar=None if found else 300.0,
                peak_gib=peak_gib(own), turns=turns,
            )
        )  # fmt: skip
    return found


def beside_loop(network: str, cube: xr.DataArray, home: Path, *, tiles: int, turns: int) -> Measure:
    """Return tiles a second of a network, beside a plain loop over some tiles of a cube that is in memory."""
    import torch

    own, encoder, n = encoding(network, cube, home)
    values, across = cube.to_numpy(), cube.sizes["x"] // TILE
    corners = [(i // across * TILE, i % across * TILE) for i in range(min(tiles, n))]

    def loop() -> None:
        with torch.inference_mode():
            for row, col in corners:
                tile = values[0, :, row : row + TILE, col : col + TILE]
                encoder.network(torch.from_numpy(tile[None] / 255.0).float())

    seconds, ratio = paired(own, loop, turns=turns)
    return Measure(
        stage="encode", what=f"{NAMES[network]}, {n} tiles of {TILE} × {TILE} × 3, Zarr to Zarr", rate=n / seconds,
        unit="tiles/s", peer="a plain loop, one tile after the other from memory, float32",
        ratio=ratio * n / len(corners), turns=turns,
    )  # fmt: skip


def encoding(
    network: str, cube: xr.DataArray, home: Path, *, precision: str = "auto"
) -> tuple[Callable[[], None], Encoder, int]:
    """Return what encodes a cube with an untrained network to a store, the encoder, and the number of tiles."""
    from taxoscape.embedding.encoding import blocks_for
    from taxoscape.embedding.fit import untrained, with_statistics
    from taxoscape.embedding.tiles import TileReader
    from taxoscape.grid import Grid, Lattice
    from taxoscape.run.blocks import Encoding, SeriesWriter
    from taxoscape.run.outcome import Place
    from taxoscape.run.store import CHUNK_BYTES, create_series, finish_series

    encoder = untrained(cube, network=network, tile_size=TILE)
    if network == "fast":
        encoder = with_statistics(encoder, TileReader(cube, TILE), seed=0)
    grid, series, note = Grid.over(Lattice.of(cube), tile_size=TILE), home / "series.zarr", home / "digest"
    note.write_text("measured", encoding="utf-8")
    times = cube["time"].to_numpy()
    blocks = blocks_for(encoder, grid, len(times), n_bands=cube.sizes["band"], block_bytes=CHUNK_BYTES)
    about = Encoding(
        place=Place(run=str(home), note=str(note), digest="measured"), encoder="", series=str(series),
        grid=grid.to_json(), step=len(blocks[0]), min_valid=0.5, fill=False, device="cpu", precision=precision,
        batch_size=None,
    )  # fmt: skip

    def own() -> None:
        shutil.rmtree(series, ignore_errors=True)
        series.with_name(f"{series.name}.begun").unlink(missing_ok=True)
        create_series(series, grid, times, encoder.n_features, about.step)
        writer = SeriesWriter(reader=TileReader(cube, TILE), times=times, encoder=encoder, about=about)
        for _ in writer.write(range(len(blocks))):
            pass
        finish_series(series, grid, times, {"grid": about.grid, "min_valid": about.min_valid})

    return own, encoder, grid.n_tiles * cube.sizes["time"]
