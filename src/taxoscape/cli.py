"""The command line: one command per verb. It parses, calls and prints; there is no logic here.

Nothing heavy is imported before a command needs it, so that ``taxoscape --help`` answers at once.

Exit codes: 0 done; 2 wrong use or bad input; 1 a fault of ours; 130 interrupted, and the same command goes on.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from taxoscape import __version__
from taxoscape.errors import TaxoscapeError
from taxoscape.executor import on_scheduler
from taxoscape.run.folder import RunFolder
from taxoscape.run.options import APPLY_OPTIONS, OPTIONS, Option, explicit_settings, numbers_of, options_of
from taxoscape.run.table import COMMANDS, owned_by

log = logging.getLogger("taxoscape")

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

INTERRUPTED = 130
"""Exit code of an interrupt, as shells have it."""
QUIET_SECONDS = 2.0
"""A step shorter than this shows no bar."""

_TYPES: dict[str, Any] = {"integer": click.INT, "number": click.FLOAT}


def main() -> None:
    """Run the command line and exit with its code.

    Threads of OpenMP (PyTorch, scikit-learn) wait asleep unless the user has chosen. Measured on training steps on two
    cores: no difference alone, 1.85 s in the place of 2.8 to 3.3 s each where two processes share them.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    code = run_command(sys.argv[1:])
    if code == INTERRUPTED:
        # An interrupt that came inside an `exec` (as dataclasses and imports do) makes Python end itself by a signal,
        # although it was caught, and the exit code would be lost.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run_command(arguments: list[str]) -> int:
    """Run one command and return its exit code; every error that a user can cause is one line on stderr."""
    debug = "--debug" in arguments
    if follows() and not {"run", *COMMANDS}.intersection(arguments[:1]):
        return 0  # rank 0 does it alone
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a sign shows another
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    try:
        return int(app.main(arguments, prog_name="taxoscape", standalone_mode=False) or 0)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        return _complain(error.format_message() + _hint(error), 2)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED if follows() else _complain("interrupted; run the same command again to go on", INTERRUPTED)
    except BrokenPipeError:
        return 0
    except Exception as error:
        if debug:
            raise
        if isinstance(error, TaxoscapeError | MemoryError | OSError):
            return _complain(_one_line(error), 2)
        return _complain(f"a fault of ours: {type(error).__name__}: {_one_line(error)} (--debug shows where)", 1)


class _Tracker:
    """Progress bars on stderr, with the time left, for steps longer than two seconds."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet

    def __call__(self, things: Iterable[T], label: str, total: int, done: int = 0) -> Iterator[T]:
        from tqdm import tqdm

        terminal = sys.stderr.isatty()
        yield from tqdm(
            things, desc=f"  {label}", total=total, initial=done, delay=QUIET_SECONDS, disable=self.quiet,
            leave=False, mininterval=0.2 if terminal else 10, maxinterval=10, dynamic_ncols=terminal,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}, {remaining} left]",
        )  # fmt: skip


def _settings_options(options: tuple[Option, ...]) -> Callable[[Command], Command]:
    """Add options from the table to a command."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            kind = click.Choice(option.choices) if option.choices else _TYPES.get(option.kind, click.STRING)
            value: dict[str, Any] = {} if option.kind == "switch" else {"type": kind, "metavar": option.metavar}
            if option.kind == "pairs":
                value["multiple"] = True
            command = click.option(option.flag, default=None, help=option.help, **value)(command)
        return command

    return add


def _scheduled(command: Command) -> Command:
    return click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Do the blocks on the workers of this Dask scheduler, tcp://host:port. [default: in this process]",
    )(command)


def _common(command: Command) -> Command:
    command = click.option("--quiet", is_flag=True, help="Print only the result and errors.")(command)
    return click.option("--debug", is_flag=True, help="Show where an error comes from.")(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="taxoscape")
def app() -> None:
    """Find what kinds of land there are in a region, where, and how they change.

    taxoscape turns a folder of dated satellite images into a map of land zones, without labels. Begin with
    `taxoscape demo`, then `taxoscape run SCENES... --out RUN`.
    """


@app.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("taxoscape-demo"), show_default=True)
@click.option("--seed", type=click.INT, default=0, show_default=True, help="Seed of the region and of the run.")
@click.option("--size", type=click.INT, default=2000, show_default=True, help="Edge of the region in pixels.")
@_common
def demo(out: Path, seed: int, size: int, quiet: bool, debug: bool) -> None:
    """Make the built-in region, run the main job on it, and score the zones against its known truth."""
    from taxoscape.demo import run_demo

    _listen(quiet=quiet)
    result = run_demo(out, seed=seed, size=size, track=_Tracker(quiet=quiet))
    click.echo(result.table)
    click.echo(f"report: {result.report}")


@app.command()
@click.argument("scenes", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), help="The run folder.")
@click.option(
    "--preset", type=click.Choice(["fast", "paper"]), help="Settings underneath the given ones. [default: fast]"
)
@click.option("--overwrite", is_flag=True, help="Start anew where the folder holds another run.")
@click.option("--dry-run", is_flag=True, help="Say what would be used, and what it would cost; make nothing.")
@_settings_options(OPTIONS)
@_scheduled
@_common
def run(scenes: tuple[str, ...], out: Path | None, **given: Any) -> None:
    """Turn SCENES (files, folders, globs), or a region.toml that names them, into zones."""
    _begin(scenes, out, given, everything=True)


@app.command()
@click.argument("scenes", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), help="The run folder.")
@click.option(
    "--preset", type=click.Choice(["fast", "paper"]), help="Settings underneath the given ones. [default: fast]"
)
@click.option("--overwrite", is_flag=True, help="Start anew where the folder holds another run.")
@click.option("--dry-run", is_flag=True, help="Say what would be used, and what it would cost; make nothing.")
@_settings_options(OPTIONS)
@_scheduled
@_common
def cube(scenes: tuple[str, ...], out: Path | None, **given: Any) -> None:
    """Make the run folder; read and align SCENES. The first stage of `run`."""
    _begin(scenes, out, given, everything=False)


def _begin(scenes: tuple[str, ...], out: Path | None, given: dict[str, Any], *, everything: bool) -> None:
    from taxoscape.run import pipeline
    from taxoscape.run.estimate import describe_plan
    from taxoscape.run.prepare import prepare
    from taxoscape.run.request import request_of

    request, folder_path = request_of(scenes, out, explicit_settings(given, OPTIONS), given["preset"])
    if given["dry_run"]:
        if not follows():
            click.echo(describe_plan(request))
        return
    if follows():
        pipeline.take_part(RunFolder(folder_path))
        return
    _listen(quiet=given["quiet"])
    track, scheduler = _Tracker(quiet=given["quiet"]), given["scheduler"]
    with on_scheduler(scheduler) as execute:
        folder = prepare(
            request, folder_path, overwrite=given["overwrite"], track=track, workers=scheduler is not None
        )  # fmt: skip
        pipeline.advance(folder, COMMANDS if everything else ["cube"], track=track, execute=execute)
    click.echo(f"report: {folder / 'report.html'}" if everything else f"run folder: {folder.path}")


@app.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("scenes", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The new run folder.")
@click.option("--overwrite", is_flag=True, help="Start anew where the folder holds another run.")
@_settings_options(APPLY_OPTIONS)
@_scheduled
@_common
def apply(
    run: Path, scenes: tuple[str, ...], out: Path, overwrite: bool, scheduler: str | None, quiet: bool, **given: Any
) -> None:
    """Map SCENES of another year or area under the encoder and the zones of RUN; say which tiles are unlike them."""
    from taxoscape.run import pipeline
    from taxoscape.run.apply import apply_request
    from taxoscape.run.prepare import prepare

    _listen(quiet=quiet)
    request = apply_request(pipeline.existing(run), scenes, explicit_settings(given, APPLY_OPTIONS))
    track = _Tracker(quiet=quiet)
    with on_scheduler(scheduler) as execute:
        folder = prepare(request, out, overwrite=overwrite, track=track, workers=scheduler is not None)
        pipeline.advance(folder, COMMANDS, track=track, execute=execute, together=False)
    click.echo(f"report: {folder / 'report.html'}")


def _add_stage(name: str, text: str) -> None:
    """Add the command of one later stage."""
    options = options_of(owned_by(name))

    @app.command(name, help=text)
    @click.argument("run", type=click.Path(path_type=Path))
    @_settings_options(options)
    @_scheduled
    @_common
    def command(run: Path, scheduler: str | None, quiet: bool, debug: bool, **given: Any) -> None:
        from taxoscape.run import pipeline

        folder = pipeline.existing(run)
        if follows():
            pipeline.take_part(folder)
            return
        _listen(quiet=quiet)
        pipeline.change(folder, name, explicit_settings(given, options))
        with on_scheduler(scheduler) as execute:
            pipeline.advance(folder, [name], track=_Tracker(quiet=quiet), execute=execute)


for _name, _text in (
    ("train", "Train the embedding f^g on triplets from geography."),
    ("encode", "Turn each tile into a series of embeddings."),
    ("cluster", "Partition the series into zones P^g."),
    ("refine", "Train on with the zones as neighbourhoods; encode and cluster again: f^c, P^c."),
    ("analyse", "Measure, describe and compare the zones: quality, number, cards, layers, baselines."),
    ("publish", "Write maps, tables, figures and the report."),
):
    _add_stage(_name, _text)


@app.command("import-weights")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The encoder file to write.")
@click.option("--tile-size", type=click.INT, default=100, show_default=True, help="Edge of a tile in pixels.")
@click.option("--bands", default="", metavar="R,G,B", help="Names of the bands. [default: their numbers]")
@click.option(
    "--scale", default="255", show_default=True, metavar="S,…", help="What values are divided by, or per band."
)
@click.option("--offset", default="0", show_default=True, metavar="O,…", help="What is taken from values first.")
@_common
def import_weights(
    checkpoint: Path, out: Path, tile_size: int, bands: str, scale: str, offset: str, quiet: bool, debug: bool
) -> None:
    """Turn published weights of the paper's TileNet, CHECKPOINT, into an encoder for `run --encoder`."""
    from taxoscape.embedding.checkpoints import import_weights as read

    names = tuple(name.strip() for name in bands.split(",") if name.strip())
    divisor, shift = numbers_of("--scale", scale), numbers_of("--offset", offset)
    read(checkpoint, tile_size=tile_size, bands=names, scale=divisor, offset=shift).save(out)
    click.echo(f"encoder: {out}")


@app.command()
@click.argument("run", type=click.Path(path_type=Path))
@_common
def status(run: Path, quiet: bool, debug: bool) -> None:
    """Say what is done in RUN, with what settings, and how long it took."""
    from taxoscape.run import pipeline

    click.echo(pipeline.status_text(pipeline.existing(run)))


@app.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--truth", type=click.Path(), required=True, help="Label raster; 0 and nodata are no label.")
@click.option(
    "--min-share", type=click.FLOAT, default=0.5, show_default=True, help="Share of a tile that its label must hold."
)
@_common
def evaluate(run: Path, truth: str, min_share: float, quiet: bool, debug: bool) -> None:
    """Compare the zones of RUN with a label raster; JSON on stdout."""
    from taxoscape.run import pipeline
    from taxoscape.run.evaluate import evaluate_run

    click.echo(json.dumps(evaluate_run(pipeline.existing(run), truth, min_share=min_share), indent=1))


@app.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--zones", type=click.INT, required=True, metavar="K", help="Number of zones.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The GeoTIFF to write.")
@_common
def cut(run: Path, zones: int, out: Path, quiet: bool, debug: bool) -> None:
    """Map RUN with another number of zones: its tree of zones, cut. Numbers and colours stay."""
    from taxoscape.run import pipeline
    from taxoscape.run.cut import cut_run

    for path in cut_run(pipeline.existing(run), zones, out):
        click.echo(f"map: {path}")


def follows() -> bool:
    """Whether this is one of several processes that train together (``torchrun``), and not the first, which tells."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and os.environ.get("RANK", "0") != "0"


def _listen(*, quiet: bool) -> None:
    """Send the log to stderr."""
    log.propagate = False
    for handler in list(log.handlers):
        log.removeHandler(handler)
    console = logging.StreamHandler()
    console.setLevel(logging.WARNING if quiet else logging.INFO)
    console.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(console)
    log.setLevel(logging.INFO)


def _complain(message: str, code: int) -> int:
    if "RANK" in os.environ:  # torchrun ends the others where one has failed: not before they have said why
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    click.echo(f"taxoscape: {message}", err=True)
    return code


def _hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see: {context.command_path} --help)" if context is not None else ""


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}"
    if isinstance(error, MemoryError) and not str(error):
        return "out of memory: take larger tiles, fewer dates or a machine with more memory"
    return " ".join(str(error).split())
