"""The options of the command line: one table, from flag to setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from taxoscape.errors import InputError
from taxoscape.memory import bytes_of

Kind = Literal["integer", "number", "text", "list", "switch", "zones", "pairs", "size"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option and the setting that it gives."""

    flag: str
    """As typed: ``--tile-size``."""
    setting: str
    """The setting, as ``section.name``."""
    kind: Kind = "text"
    """How its value is read."""
    choices: tuple[str, ...] = ()
    """Words allowed, where only some are."""
    metavar: str | None = None
    """What the help shows for the value."""
    help: str
    """One line for the help."""


OPTIONS: tuple[Option, ...] = (
    Option(
        flag="--bands",
        setting="cube.bands",
        kind="list",
        metavar="B02,B03,B04",
        help="Bands to take, by name or 1-based number. [default: all]",
    ),
    Option(
        flag="--dates",
        setting="cube.dates",
        metavar="CSV",
        help="CSV with the columns file,date; beats dates in names and tags.",
    ),
    Option(
        flag="--nodata",
        setting="cube.nodata",
        kind="number",
        metavar="V",
        help="Value that means no data. [default: as the files say]",
    ),
    Option(flag="--start", setting="cube.start", metavar="DATE", help="First date to take."),
    Option(flag="--end", setting="cube.end", metavar="DATE", help="Last date to take."),
    Option(
        flag="--calendar",
        setting="cube.period",
        metavar="dates|month|10d|P16D",
        help="A date for each day of a scene, or for each period; periods begin anew with each year. [default: dates]",
    ),
    Option(
        flag="--composite",
        setting="cube.composite",
        choices=("median", "best", "first"),
        help="What stands for a pixel in a period: the median of its valid days, the day nearest to the middle, or the "
        "first. [default: median]",
    ),
    Option(
        flag="--aoi",
        setting="cube.aoi",
        metavar="FILE",
        help="Polygons (GeoPackage, GeoJSON, shapefile; FILE#LAYER) outside of which nothing counts; tiles on their "
        "edge count by --min-valid. [default: all that the scenes cover]",
    ),
    Option(
        flag="--tile-size",
        setting="grid.tile_size",
        kind="integer",
        metavar="N",
        help="Edge of a tile in pixels. [default: 100]",
    ),
    Option(
        flag="--stride",
        setting="grid.stride",
        kind="integer",
        metavar="N",
        help="Pixels from tile to tile. [default: the tile size]",
    ),
    Option(
        flag="--partial",
        setting="grid.partial",
        choices=("drop", "keep"),
        help="Tiles that reach over the edge. [default: drop]",
    ),
    Option(
        flag="--min-valid",
        setting="grid.min_valid",
        kind="number",
        metavar="SHARE",
        help="Valid share from which a tile counts on a date. [default: 0.5]",
    ),
    Option(
        flag="--fill/--no-fill",
        setting="grid.fill",
        kind="switch",
        help="Fill the dates that a tile misses along time, in place of doing without. [default: no-fill]",
    ),
    Option(
        flag="--encoder",
        setting="encoder.encoder",
        metavar="tile2vec|stats|rcf|embeddings|PATH",
        help="Train a network; or none, and take means and deviations, or random convolutional features, or means of "
        "bands that are features already; or take the encoder in a file. [default: tile2vec]",
    ),
    Option(
        flag="--deviation/--no-deviation",
        setting="encoder.deviation",
        kind="switch",
        help="With --encoder embeddings: the deviation of each band besides. [default: no-deviation]",
    ),
    Option(
        flag="--triplets",
        setting="encoder.triplets",
        kind="integer",
        metavar="N",
        help="Triplets drawn from geography.",
    ),
    Option(flag="--epochs", setting="encoder.epochs", kind="integer", metavar="N", help="Passes over the triplets."),
    Option(flag="--seed", setting="run.seed", kind="integer", metavar="N", help="Seed of all randomness. [default: 0]"),
    Option(
        flag="--zones", setting="zones.zones", kind="zones", metavar="K|auto", help="Number of zones. [default: auto]"
    ),
    Option(
        flag="--clusterer",
        setting="zones.clusterer",
        choices=("learned", "kmeans"),
        help="How series become zones: in units of what varies within them, or as they are. [default: learned]",
    ),
    Option(
        flag="--refine/--no-refine",
        setting="refine.refine",
        kind="switch",
        help="Train on with the zones as neighbourhoods. [default: refine]",
    ),
    Option(
        flag="--rounds",
        setting="refine.rounds",
        kind="integer",
        metavar="N",
        help="Most rounds of that; they end where the zones come to rest. [default: 3]",
    ),
    Option(
        flag="--accept/--no-accept",
        setting="refine.accept",
        kind="switch",
        help="Keep a round only where neighbouring tiles stay together. [default: accept]",
    ),
    Option(
        flag="--baselines/--no-baselines",
        setting="analysis.baselines",
        kind="switch",
        help="Put plain pixels and training-free encoders beside the result. [default: no-baselines]",
    ),
    Option(
        flag="--evidence/--no-evidence",
        setting="analysis.evidence",
        kind="switch",
        help="Measure other numbers of zones, too. [default: evidence]",
    ),
    Option(
        flag="--most-zones",
        setting="analysis.most_zones",
        kind="integer",
        metavar="K",
        help="Largest number of zones that evidence and auto look at. [default: 15]",
    ),
    Option(
        flag="--layer",
        setting="analysis.layers",
        kind="pairs",
        metavar="NAME=PATH",
        help="Raster or polygons to read the zones by; also NAME:categorical=FILE, NAME=FILE#ATTRIBUTE. Repeatable; "
        "those given take the place of earlier ones, none takes them out.",
    ),
    Option(
        flag="--truth",
        setting="analysis.truth",
        metavar="LABELS",
        help="Label raster to compare every partition with.",
    ),
    Option(
        flag="--min-share",
        setting="analysis.min_share",
        kind="number",
        metavar="SHARE",
        help="Share of a tile that its label in --truth must hold. [default: 0.5]",
    ),
    Option(
        flag="--rgb",
        setting="publish.rgb",
        kind="list",
        metavar="R,G,B",
        help="Bands for pictures. [default: by name, else the first]",
    ),
    Option(
        flag="--memory",
        setting="run.memory",
        kind="size",
        metavar="SIZE",
        help="Memory to take, such as 4G: what does not fit is read in blocks. [default: half of what is free]",
    ),
    Option(flag="--threads", setting="run.threads", kind="integer", metavar="N", help="Threads. [default: all cores]"),
    Option(
        flag="--device",
        setting="run.device",
        choices=("auto", "cpu", "cuda"),
        help="Where networks run. [default: auto]",
    ),
    Option(
        flag="--precision",
        setting="run.precision",
        choices=("auto", "float32", "bfloat16"),
        help="What networks encode in; auto: bfloat16 for TileNet where the machine multiplies it. [default: auto]",
    ),
)
"""In the order in which the help shows them."""


MATCH = Option(
    flag="--match",
    setting="cube.match",
    choices=("season", "order"),
    help="Pair scenes with the dates of RUN by the time of the year, or in order, where there are as many. "
    "[default: season]",
)
_APPLIED = (
    "cube.bands", "cube.dates", "cube.nodata", "cube.start", "cube.end", "cube.aoi", "grid.partial", "grid.min_valid",
    "analysis.layers", "analysis.truth", "analysis.min_share", "publish.rgb", "run.threads", "run.device",
    "run.precision", "run.memory",
)  # fmt: skip
LEVELS = Option(
    flag="--levels/--no-levels",
    setting="zones.levels",
    kind="switch",
    help="Take out what all tiles of a date have in common that those of RUN had not: haze, light, gain. "
    "[default: levels]",
)
_APPLIED_HELP = {
    "run.memory": "Memory to take, such as 4G, beside the series of RUN and those made here, which are held whole: "
    "what else does not fit is read in blocks. [default: half of what is free]",
    "run.precision": "What networks encode in; auto: as this machine does best. [default: as in RUN]",
}
APPLY_OPTIONS: tuple[Option, ...] = (
    MATCH,
    LEVELS,
    *(replace(o, help=_APPLIED_HELP.get(o.setting, o.help)) for o in OPTIONS if o.setting in _APPLIED),
)
"""Options of `apply`: the encoder and the zones are those of the run."""


def options_of(owned: tuple[str, ...] | None = None) -> tuple[Option, ...]:
    """Return the options whose setting, or its section, is among ``owned``; all where that is None."""
    if owned is None:
        return OPTIONS
    return tuple(o for o in OPTIONS if o.setting in owned or o.setting.partition(".")[0] in owned)


def explicit_settings(given: Mapping[str, Any], options: tuple[Option, ...]) -> dict[str, dict[str, Any]]:
    """Return the settings that were given on the command line, by section.

    Parameters
    ----------
    given
        Value by option name as Python spells it (``tile_size``); None: not given.
    options
        The options of the command.
    """
    result: dict[str, dict[str, Any]] = {}
    for option in options:
        value = given.get(python_name(option))
        if value is None or (option.kind == "pairs" and not value):
            continue
        section, _, name = option.setting.partition(".")
        result.setdefault(section, {})[name] = _read(option, value)
    return result


def numbers_of(flag: str, text: str) -> float | tuple[float, ...]:
    """Return the number that an option holds, or one per band, parted by commas.

    Examples
    --------
    >>> numbers_of("--scale", "255"), numbers_of("--scale", "3000, 3000,4000")
    (255.0, (3000.0, 3000.0, 4000.0))

    Raises
    ------
    InputError
        Where it holds anything else.
    """
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{flag} is a number, or one per band parted by commas, not '{text}'") from None
    return found[0] if len(found) == 1 else found


def python_name(option: Option) -> str:
    """Return the name of an option's value: ``--tile-size`` is ``tile_size``."""
    return option.flag.partition("/")[0].lstrip("-").replace("-", "_")


def _read(option: Option, value: Any) -> Any:
    if option.kind == "list":
        parts = tuple(part.strip() for part in value.split(",") if part.strip())
        if not parts:
            raise InputError(f"{option.flag} names nothing: give a list such as {option.metavar}, or leave it out")
        return parts
    if option.kind == "pairs":
        if tuple(value) == ("none",):
            return {}
        pairs = [text.partition("=")[::2] for text in value]
        if not all(name.strip() and path.strip() for name, path in pairs):
            raise InputError(
                f"{option.flag} takes a name and a path, as in  {option.flag} elevation=dem.tif; or none, for no layers"
            )
        names = [name.strip().partition(":")[0] for name, _ in pairs]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise InputError(f"two of {option.flag} are called '{twice[0]}': give each a name of its own")
        return {name.strip(): path.strip() for name, path in pairs}
    if option.kind == "size":
        return bytes_of(value)
    if option.kind == "zones":
        return int(value) if value.lstrip("+-").isdigit() else value
    return value
