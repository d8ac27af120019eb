"""What a run settles once about the machine that it is begun on, and keeps when it goes on.

Threads, the device, the precision and the tiles in a batch are chosen when a run is begun. A run file that lacks the
last two, as earlier ones do, gets them before the stages are looked at: the precision is part of what a series is, and
would make it stale if it were settled in between.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from taxoscape.config import RunSettings, Settings
from taxoscape.run.cost import best_batch, precision_of
from taxoscape.run.folder import RunFolder
from taxoscape.run.request import ENCODERS, read_run
from taxoscape.run.results import open_cube
from taxoscape.run.table import digests


def settle_machine(settings: Settings, *, n_bands: int, workers: bool) -> RunSettings:
    """Return what a run that begins settles: threads, device, precision, and tiles in a batch.

    Parameters
    ----------
    settings
        What was asked for.
    n_bands
        Bands of the cube.
    workers
        Whether workers on other machines take part: the device ``auto`` is then left to each machine.
    """
    from taxoscape.embedding.machine import settled_device

    device = settings.run.device if workers else settled_device(settings.run.device)
    threads = settings.run.threads or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else [0])
    settled = replace(settings.run, device=device, threads=threads)
    return _with_encoding(replace(settings, run=settled), n_bands)


def settle_later(folder: RunFolder, n_bands: int | None = None) -> None:
    """Settle precision and tiles in a batch of a run that was begun without them; the caller has locked the folder.

    A series that is made already stays what it is: nothing is settled then. Neither is it where the encoder is to be
    taken from a file that is gone, of which the training tells.

    Parameters
    ----------
    folder
        The run folder; its ``run.toml`` is written where something is settled.
    n_bands
        Bands of the cube; None: as in the cube that is made, and before it is made the tiles are left open.
    """
    settings, _, inputs = read_run(folder)
    if settings.run.precision != "auto" and (settings.run.batch_tiles or settings.run.device == "auto"):
        return
    current = digests(settings, inputs)
    known = with_encoder_at_hand(folder, settings)
    if known is None or folder.is_done("encode", current["encode"]):
        return
    if n_bands is None and folder.is_done("cube", current["cube"]):
        n_bands = open_cube(folder).sizes["band"]
    settled = _with_encoding(known, n_bands)
    if settled != settings.run:
        document = folder.read_document()
        batch = {"batch_tiles": settled.batch_tiles} if settled.batch_tiles else {}
        document.setdefault("run", {}).update({"precision": settled.precision, **batch})
        folder.write_document(document)


def with_encoder_at_hand(folder: RunFolder, settings: Settings) -> Settings | None:
    """Return settings whose encoder can be read: the run's own copy where the file given is gone; None: neither."""
    taken, own = settings.encoder.encoder, folder / "encoder_geographic.safetensors"
    if taken in ENCODERS or Path(taken).is_file():
        return settings
    return replace(settings, encoder=replace(settings.encoder, encoder=str(own))) if own.is_file() else None


def _with_encoding(settings: Settings, n_bands: int | None) -> RunSettings:
    """Return the settings of the run with precision and, where bands are known, tiles in a batch settled."""
    settled = replace(settings.run, precision=precision_of(settings))
    if n_bands is None or settled.device == "auto" or settled.batch_tiles:  # each machine its own, or as asked for
        return settled
    return replace(settled, batch_tiles=best_batch(replace(settings, run=settled), n_bands=n_bands))
