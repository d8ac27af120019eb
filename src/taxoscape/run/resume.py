"""Long work in pieces: training and encoding that go on where they were killed, with the same result."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from taxoscape.embedding.encoding import Block, blocks_for, encode_blocks
from taxoscape.embedding.training import TrainState
from taxoscape.errors import InputError
from taxoscape.run.store import CHUNK_BYTES, create_series, finish_series, written

if TYPE_CHECKING:
    import xarray as xr

    from taxoscape.config import Precision
    from taxoscape.embedding.encoder import Encoder
    from taxoscape.embedding.tiles import TileReader
    from taxoscape.grid import Grid
    from taxoscape.progress import Track

log = logging.getLogger("taxoscape")

SAVE_SECONDS = 5.0
"""Seconds of training between two saved states, at least."""
TIMES_COST = 10.0
"""How often the time that a save takes lies between two saves, at least."""


def train_to_end(
    steps: Callable[[TrainState | None], Iterator[TrainState]],
    total: int,
    saved: Path,
    *,
    device: str,
    track: Track,
    label: str,
) -> TrainState:
    """Drive a training to its end, saving its state on the way, from the state saved before where there is one.

    Parameters
    ----------
    steps
        Given a state or None, the training from there on.
    total
        Steps in all.
    saved
        File of the state.
    device
        Where the network runs.
    track, label
        Told of each step.
    """
    before = _saved_state(saved, device)
    state = before
    last, cost = time.monotonic(), 0.0
    for state in track(steps(before), label, total, done=0 if before is None else before.step):
        if time.monotonic() - last > max(SAVE_SECONDS, TIMES_COST * cost):
            begun = time.monotonic()
            state.save(saved)
            last = time.monotonic()
            cost = last - begun
    if state is None:
        raise InputError("there is nothing to train on")
    return state


def _saved_state(saved: Path, device: str) -> TrainState | None:
    """Return a state saved before, or None where there is none or it is damaged: then training starts anew."""
    if not saved.exists():
        return None
    try:
        return TrainState.load(saved, device=device)
    except InputError as error:
        log.warning("the saved state of the training is damaged, it starts anew: %s", error)
        return None


def encode_to_end(
    reader: TileReader,
    cube: xr.DataArray,
    encoder: Encoder,
    grid: Grid,
    path: Path,
    *,
    min_valid: float,
    fill: bool,
    precision: Precision = "auto",
    batch_size: int | None = None,
    track: Track,
) -> None:
    """Write the series of a grid to ``path``, block by block; blocks that lie there already are kept.

    Raises
    ------
    InputError
        Where cube, encoder and grid do not fit each other.
    """
    times = cube["time"].to_numpy()
    size = len(blocks_for(encoder, grid, len(times), n_bands=cube.sizes["band"], block_bytes=CHUNK_BYTES)[0])
    blocks = [Block(start, min(start + size, grid.n_tiles)) for start in range(0, grid.n_tiles, size)]
    store_embedding, store_valid = create_series(path, grid, times, encoder.n_features, size)
    left = [block for number, block in enumerate(blocks) if not written(path, number)]
    made = encode_blocks(
        reader, encoder, grid, left, min_valid=min_valid, fill=times if fill else None, precision=precision,
        batch_size=batch_size,
    )  # fmt: skip
    for block in track(left, "encoding", len(blocks), done=len(blocks) - len(left)):
        embedding, valid = next(made)
        store_embedding[block.start : block.stop] = embedding
        store_valid[block.start : block.stop] = valid
    finish_series(
        path, grid, times, {"grid": grid.to_json(), "min_valid": min_valid, **({"filled": 1} if fill else {})}
    )


def move(work: Path, final: Path) -> None:
    """Put a finished file or folder in its place, instead of what may lie there."""
    if final.is_dir():
        shutil.rmtree(final)
    work.replace(final)
