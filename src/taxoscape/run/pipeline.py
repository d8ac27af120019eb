"""Do the stages of a run folder in order, skipping what is done.

Nothing here computes: the work of each stage is in `taxoscape.run.work`, the table of stages in `taxoscape.run.table`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from taxoscape.config import Settings, differences, from_dict, to_dict
from taxoscape.errors import InputError, RunFolderError
from taxoscape.executor import Executor, in_process
from taxoscape.files import write_text
from taxoscape.grid import Lattice
from taxoscape.progress import Track, silent
from taxoscape.run.budget import budget_of
from taxoscape.run.cost import precision_of
from taxoscape.run.folder import LOG_FILE, SETTINGS_FILE, WORK_FOLDER, RunFolder
from taxoscape.run.outcome import Context
from taxoscape.run.prepare import refuse_impossible
from taxoscape.run.request import OTHER_KEYS, Explicit, read_run, with_paths
from taxoscape.run.results import open_cube, open_regions
from taxoscape.run.settling import settle_later, with_encoder_at_hand
from taxoscape.run.table import COMMANDS, STAGES, Stage, before, check_owned, digests, done_with, needs_of, stage_named
from taxoscape.run.work import WORK

log = logging.getLogger("taxoscape")


def existing(path: str | Path) -> RunFolder:
    """Return the run folder at a path.

    Raises
    ------
    InputError
        Where there is no run.
    """
    folder = RunFolder(path)
    if not folder.exists:
        raise InputError(
            f"{path} is no run folder of taxoscape (it has no {SETTINGS_FILE}): make one with taxoscape run"
        )
    return folder


def advance(
    folder: RunFolder,
    names: Sequence[str] = COMMANDS,
    *,
    track: Track = silent,
    execute: Executor = in_process,
    together: bool = True,
) -> None:
    """Do stages of a run in order, skipping those that are done.

    Parameters
    ----------
    folder
        A prepared run folder.
    names
        The stages to do; what they need must be done. Stages without a command come with those that need them.
    track
        Told of the progress inside each stage.
    execute
        Does the blocks of stages: here, or on workers.
    together
        Whether the processes that ``torchrun`` has started train together, the others by `take_part`; no: this one
        waits for none.

    Raises
    ------
    RunFolderError
        Where a stage that is needed is not done.
    """
    from taxoscape.embedding.ranks import ALONE, ranks_of_this_run

    training = ranks_of_this_run() if together else contextlib.nullcontext(ALONE)
    with folder.locked():
        settle_later(folder)
        settings, scenes, inputs = read_run(folder)
        wanted = done_with(names, settings)
        with _logging_to(folder / LOG_FILE), training as ranks, _threads(settings.run.threads):
            for stage in STAGES:
                if stage.name in wanted:
                    settings, scenes, inputs = read_run(folder)  # a stage may move the names that a later one reads
                    current = digests(settings, inputs)
                    _refuse_unmet(folder, stage, settings, current)
                    context = Context(
                        folder=folder, settings=_here(settings), scenes=scenes, work=folder / WORK_FOLDER / stage.name,
                        track=track, execute=execute, worker_device=settings.run.device, ranks=ranks,
                    )  # fmt: skip
                    _do(stage, current[stage.name], context)


def take_part(folder: RunFolder) -> None:
    """Take part in the trainings of a run that another process, rank 0 of several, advances; write nothing."""
    from taxoscape.embedding.machine import torch_threads
    from taxoscape.embedding.ranks import ranks_of_this_run
    from taxoscape.embedding.tiles import TileReader
    from taxoscape.embedding.training import follow

    @cache
    def reader_of(tile_size: int) -> TileReader:
        settings, _, _ = read_run(folder)
        open_for_good.enter_context(torch_threads(ranks.threads(settings.run.threads or 1)))
        return TileReader(open_cube(folder), tile_size, memory=budget_of(settings).cube)

    with ranks_of_this_run() as ranks, contextlib.ExitStack() as open_for_good:
        follow(reader_of, ranks)


def change(folder: RunFolder, name: str, explicit: Explicit) -> None:
    """Write settings given to a stage into ``run.toml``; later stages become stale by themselves.

    Raises
    ------
    InputError
        Where a setting belongs to another stage or cannot be used.
    """
    given = {section: dict(values) for section, values in explicit.items() if values}
    if not given:
        return
    check_owned(name, given)
    base = folder.path.resolve()
    given = with_paths(given, lambda path: os.path.relpath(path, base))
    with folder.locked():
        document = folder.read_document()
        if given.get("zones", {}).get("clusterer"):  # another clusterer does not ask for another encoder here
            now = from_dict({key: value for key, value in document.items() if key not in OTHER_KEYS})
            document.setdefault("encoder", {})["statistics"] = now.encoder.carries_statistics(now.zones.clusterer)
        for section, values in given.items():
            document.setdefault(section, {}).update(values)
        sections = {key: value for key, value in document.items() if key not in OTHER_KEYS}
        settings = from_dict(with_paths(sections, lambda path: os.path.normpath(base / path)))
        known = with_encoder_at_hand(folder, settings)
        if given.get("run", {}).get("precision") == "auto" and known is not None:
            sections["run"]["precision"] = precision_of(known)
        of = settings.zones.of
        gone = of is not None and not RunFolder(of).exists  # whose zones these are: its own copy is enough
        if not gone and any((folder / made).exists() for made in stage_named("cube").outputs):
            cube = open_cube(folder)
            joined = open_regions(folder)
            bands = tuple(str(band) for band in cube["band"].to_numpy())
            refuse_impossible(settings, Lattice.of(cube), bands, joined.placements if joined is not None else ())
        document.update(to_dict(from_dict(sections)))
        folder.write_document(document)


def status(folder: RunFolder) -> list[dict[str, Any]]:
    """Return for each stage its ``name``, ``state`` ("done" or why not), ``seconds`` and ``notes``."""
    settings, _, inputs = read_run(folder)
    current = digests(settings, inputs)
    rows = []
    stale = set[str]()
    for stage in STAGES:
        fault = folder.fault(stage.name, current[stage.name])
        marker = folder.marker(stage.name) or {}
        if fault is None and stale.intersection(needs_of(stage, settings)):
            fault = "needs an earlier stage"
        if fault is not None:
            stale.add(stage.name)
        rows.append(
            {
                "name": stage.name,
                "state": fault or "done",
                "seconds": marker.get("seconds") if fault is None else None,
                "notes": marker.get("notes", {}) if fault is None else {},
            }
        )
    return rows


def status_text(folder: RunFolder) -> str:
    """Return what `status` finds as a table for people, with the settings that are not the default."""
    lines = []
    for row in status(folder):
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f} s"
        why = row["notes"].get("reason") or row["notes"].get("left_out")
        lines.append(f"{row['name']:<11}{seconds:>10}  {row['state']}" + (f": {why}" if why else ""))
    settings, _, inputs = read_run(folder)
    lines.append(f"{len(inputs)} scenes; settings other than the default:")
    lines += [
        f"  {line.partition(' → ')[0].partition(':')[0]} = {line.rpartition(' → ')[2]}"
        for line in differences(Settings(), settings)
    ]
    return "\n".join(lines)


def _here(settings: Settings) -> Settings:
    """Return settings with the device of this machine, where it was left to each."""
    from taxoscape.embedding.machine import settled_device

    return replace(settings, run=replace(settings.run, device=settled_device(settings.run.device)))


def _do(stage: Stage, digest: str, context: Context) -> None:
    folder = context.folder
    if folder.is_done(stage.name, digest):
        log.info("%-8s done before", stage.name)
        return
    folder.forget(stage.name)
    work = folder.work(stage.name, digest)
    begun = time.monotonic()
    clock = work / "seconds"
    before = _seconds_before(clock)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            outcome = WORK[stage.name](context)
    except BaseException as error:
        with contextlib.suppress(OSError):
            if work.is_dir():
                write_text(clock, str(before + time.monotonic() - begun))
        if isinstance(error, RuntimeError) and "decompress" in str(error):
            for need in stage.needs:
                folder.forget(need)
            raise RunFolderError(
                f"a result that the stage '{stage.name}' reads is damaged ({error}): run  taxoscape run "
                f"{folder / SETTINGS_FILE}, which makes it anew"
            ) from error
        raise
    seconds = before + time.monotonic() - begun
    said = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    for warning in caught:
        if not issubclass(warning.category, UserWarning):
            log.debug("%s: %s (%s:%d)", warning.category.__name__, warning.message, warning.filename, warning.lineno)
    for message in said:
        log.warning("%-8s %s", stage.name, message)
    folder.remove([name for name in stage.outputs if name not in outcome.outputs])
    folder.finish(stage.name, digest, list(outcome.outputs), seconds, {**outcome.notes, "warnings": said})
    folder.clear_work(stage.name)
    log.info("%-8s %s (%.1f s)", stage.name, outcome.summary, seconds)


def _seconds_before(clock: Path) -> float:
    """Return the seconds that earlier attempts at a stage took, 0 where that is not known."""
    try:
        return float(clock.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.0


def _refuse_unmet(folder: RunFolder, stage: Stage, settings: Settings, current: Mapping[str, str]) -> None:
    """Refuse a stage while one that it needs is not done, naming the first command to run."""
    for earlier in before(stage, settings):
        fault = folder.fault(earlier.name, current[earlier.name])
        if fault is not None:
            again, verb = folder.path / SETTINGS_FILE, earlier.with_stage or earlier.name
            command = f"taxoscape run {again}" if verb == "cube" else f"taxoscape {verb} {folder.path}"
            raise RunFolderError(
                f"the stage '{stage.name}' needs '{earlier.name}', which is not ready ({fault}): run  {command}  "
                f"first, or all of them with  taxoscape run {again}"
            )


class _LogFile(logging.FileHandler):
    """A log file that keeps silent where it cannot be written to: what fails then is told by the stage."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Tell nobody."""


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Write the log to a file as well, with the time and with what goes wrong."""
    from taxoscape import __version__

    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    log.debug("taxoscape %s: %s", __version__, " ".join(sys.argv))
    try:
        yield
    except KeyboardInterrupt:
        log.debug("interrupted")
        raise
    except Exception:
        log.debug("stopped by an error", exc_info=True)
        raise
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        handler.close()


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Hold every numerical library to a number of threads: with another number, last digits may differ."""
    from threadpoolctl import threadpool_limits

    from taxoscape.embedding.machine import torch_threads

    with torch_threads(count), threadpool_limits(count):
        yield
