"""Long work in pieces: training and encoding that go on where they were killed, with the same result."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from taxoscape.embedding.encoding import blocks_for
from taxoscape.embedding.machine import get_threads, torch_threads
from taxoscape.embedding.training import TrainState
from taxoscape.errors import InputError
from taxoscape.run.blocks import Encoding, SeriesWriter, encode_there
from taxoscape.run.store import CHUNK_BYTES, create_series, finish_series, written

if TYPE_CHECKING:
    import xarray as xr

    from taxoscape.embedding.encoder import Encoder
    from taxoscape.embedding.ranks import Ranks
    from taxoscape.embedding.tiles import TileReader
    from taxoscape.grid import Grid
    from taxoscape.progress import Track
    from taxoscape.run.outcome import Context

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
    ranks: Ranks | None = None,
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
    ranks
        Processes that train together, and share the threads of their machine; None: this one alone.
    """
    threads = ranks.threads(get_threads()) if ranks else None
    before = _saved_state(saved, device)
    state = before
    last, cost = time.monotonic(), 0.0
    with torch_threads(threads):
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
    context: Context, reader: TileReader, cube: xr.DataArray, encoder: Encoder, grid: Grid, *, file: Path, path: Path
) -> None:
    """Write the series of a grid to ``path``, block by block; blocks that lie there already are kept.

    Parameters
    ----------
    context
        Settings, who does the blocks, and who is told.
    reader, cube
        The cube, and a reader of it.
    encoder, file
        What turns tiles into vectors, and its file, for workers.
    grid
        The tiles.
    path
        The store to write.

    Raises
    ------
    InputError
        Where cube, encoder and grid do not fit each other.
    """
    times = cube["time"].to_numpy()
    size = len(blocks_for(encoder, grid, len(times), n_bands=cube.sizes["band"], block_bytes=CHUNK_BYTES)[0])
    create_series(path, grid, times, encoder.n_features, size)
    rule, execute = context.settings.grid, context.execute
    about = Encoding(
        place=context.place, encoder=str(file.resolve()), series=str(path.resolve()), grid=grid.to_json(), step=size,
        min_valid=rule.min_valid, fill=rule.fill, device=context.worker_device,
        precision=context.settings.run.precision, batch_size=context.settings.run.batch_tiles,
    )  # fmt: skip
    n_blocks = -(-grid.n_tiles // size)
    left = [number for number in range(n_blocks) if not written(path, number)]
    if execute.elsewhere:
        made: Iterator[object] = execute(partial(encode_there, about), left)
    else:
        made = SeriesWriter(reader=reader, times=times, encoder=encoder, about=about).write(left)
    for _ in context.track(made, "encoding", n_blocks, done=n_blocks - len(left)):
        pass
    finish_series(
        path, grid, times,
        {"grid": grid.to_json(), "min_valid": rule.min_valid, **({"filled": 1} if rule.fill else {})},
    )  # fmt: skip


def move(work: Path, final: Path) -> None:
    """Put a finished file or folder in its place, instead of what may lie there."""
    if final.is_dir():
        shutil.rmtree(final)
    work.replace(final)
