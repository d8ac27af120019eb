"""Gathering triplets from a Zarr cube that is too large to be held, in the order of training, beside the training.

The reader keeps as few blocks as it would of a cube many times as large. Beside it stands the rate at which training
steps take tiles that are in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from stages.making import region
from stages.measuring import Measure, paired, peak_gib

if TYPE_CHECKING:
    import xarray as xr

KEPT = 1 / 4
"""Blocks that the reader may keep, as a share of those that the cube has."""
BAR = 3.0


def measure(*, small: bool) -> list[Measure]:
    """Return rows for some tile sizes, and one in the order of small cubes, which large ones once had too."""
    import taxoscape as tx
    from taxoscape.config import EncoderSettings
    from taxoscape.cube.store import read_cube, write_cube

    size, dates, turns = (640, 1, 1) if small else (4096, 3, 3)
    with region(size, dates) as home:
        write_cube(tx.open_cube(str(home / "scenes/*.tif")), home / "cube.zarr")
        cube = read_cube(home / "cube.zarr")
        sizes = {"turns": turns, "steps": 2 if small else 6, "batch": 8 if small else EncoderSettings().batch_size}
        rows = [gathered(cube, tile, per_block, by_block=True, **sizes) for tile, per_block in ((100, 1), (50, 10))]
        rows.append(gathered(cube, 50, 10, by_block=False, **sizes))
    return rows


def gathered(
    cube: xr.DataArray, tile: int, per_block: int, *, turns: int, steps: int, by_block: bool, batch: int
) -> Measure:
    """Return tiles a second gathered for batches of training, beside the tiles a second that training takes."""
    import numpy as np

    from taxoscape.config import EncoderSettings
    from taxoscape.embedding import order, training
    from taxoscape.embedding.ranks import ALONE
    from taxoscape.embedding.tiles import TileReader
    from taxoscape.embedding.triplets import geographic_triplets

    blocks = int(np.prod([-(-n // 512) for n in cube.shape[2:]])) * cube.sizes["time"]
    settings = EncoderSettings(triplets=max(2 * batch, per_block * blocks), epochs=1, batch_size=batch)
    with keeping(cube, KEPT), patched(order, "WHOLE", 0 if by_block else order.WHOLE):
        reader = TileReader(cube, tile, memory=0)
        triplets = geographic_triplets(reader, tile_size=tile, n=settings.triplets, rng=np.random.default_rng(0))
        state = training._begin(reader, triplets, settings, task={"seed": 0}, start=None, device="cpu")

        def feed() -> Iterator[Any]:
            return training._batches(state, reader, triplets, settings, 0, ALONE)

        stream, held = feed(), list(islice(feed(), 2))
        n = sum(len(batch.values) for batch in held) / len(held)

        def gather() -> None:
            nonlocal stream
            for _ in range(steps):
                if next(stream, None) is None:
                    stream = feed()

        def train() -> None:
            for number in range(len(held)):
                loss = training._loss(state, held[number], triplets, settings, ALONE)
                state.optimiser.zero_grad(set_to_none=True)
                loss.backward()
                state.optimiser.step()

        seconds, ratio = paired(gather, train, turns=turns)
        peak = peak_gib(gather)
    way = "by block" if by_block else "from all of a date"
    return Measure(
        stage="feed", rate=steps * n / seconds, unit="tiles/s", ratio=ratio * steps / len(held), turns=turns,
        what=f"batches {way} of {settings.triplets} triplets, {per_block} a block, tiles of {tile} × {tile} × 3, "
        f"Zarr, {KEPT:.0%} of its blocks kept",
        peer="training steps of the default network on tiles in memory", bar=BAR if by_block else None, peak_gib=peak,
    )  # fmt: skip


@contextmanager
def keeping(cube: xr.DataArray, share: float) -> Iterator[None]:
    """Let readers keep a share of the blocks of a cube."""
    from taxoscape.embedding import order, tiles

    kept = int(cube.nbytes * share)
    with patched(tiles, "CACHE", kept), patched(order, "CACHE", kept):
        yield


@contextmanager
def patched(module: Any, name: str, value: object) -> Iterator[None]:
    """Let a name of a module have another value."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
