"""The road as one table: which stage needs what, depends on which settings, and makes which files.

A stage is done again only when its digest changes: the sha256 over its version, the settings it depends on, and the
digests of the stages it needs (for ``cube``, the checksums and dates of the scenes), and what it reads from elsewhere.

Some stages have no command of their own: ``statistics``, ``evidence``, ``tree`` and ``baselines`` are done with
``analyse``, and ``evidence`` with ``cluster`` where it chooses the number of zones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxoscape.config import Settings, to_dict
from taxoscape.errors import InputError
from taxoscape.run.folder import digest_of
from taxoscape.run.request import Inputs, with_paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of the road."""

    name: str
    """The command that does it."""
    needs: tuple[str, ...]
    """Stages whose results it reads."""
    own: tuple[str, ...]
    """Settings, or whole sections, that are first used here; the command of the stage takes them as options."""
    also: tuple[str, ...] = ()
    """Further settings that it depends on."""
    outputs: tuple[str, ...]
    """What it may make in the run folder."""
    with_stage: str | None = None
    """The stage whose command does this one too, where it has no command of its own."""
    version: int = 1
    """Raised when the stage would give another result from the same input."""


FIGURES = (
    "maps", "regions", "strips", "cards", *(f"layer_{number}" for number in range(1, 100)), "graph", "interpolation",
    "tree", "projections", "paths", "dates", "confidence", "unlike", "refinement", "moves", "sweep", "baselines",
)  # fmt: skip
"""Names of the figures that a run may have; others in their folder are the user's."""

STAGES: tuple[Stage, ...] = (
    Stage(name="cube", needs=(), own=("cube",), outputs=("cube.zarr", "cube.json", "cubes")),
    Stage(
        name="train",
        needs=("cube",),
        own=("grid.tile_size", "grid.min_valid", "encoder", "run.seed"),
        also=("grid.partial",),
        outputs=("encoder_geographic.safetensors",),
        version=2,
    ),
    Stage(
        name="encode",
        needs=("cube", "train"),
        own=("grid.stride", "grid.partial", "grid.fill", "run.precision"),
        also=("grid",),
        outputs=("series_geographic.zarr",),
        version=2,
    ),
    Stage(
        name="statistics",
        needs=("cube", "encode"),
        own=(),
        outputs=("statistics.zarr",),
        with_stage="analyse",
    ),
    Stage(
        name="evidence",
        needs=("encode",),
        own=("analysis.evidence", "analysis.most_zones"),
        also=("run.seed", "zones.clusterer"),
        outputs=("evidence.zarr",),
        with_stage="analyse",
        version=4,
    ),
    Stage(
        name="cluster", needs=("encode",), own=("zones",), also=("run.seed",),
        outputs=("partition_geographic.zarr", "taken.zarr"), version=5,
    ),
    Stage(
        name="refine",
        needs=("cube", "train", "encode", "cluster"),
        own=("refine",),
        also=("run.seed", "encoder", "zones.starts"),
        outputs=("encoder.safetensors", "series.zarr", "partition.zarr"),
        version=7,
    ),
    Stage(
        name="tree", needs=("encode", "cluster", "refine"), own=(), also=("run.seed",), outputs=("tree.zarr",),
        with_stage="analyse",
    ),
    Stage(
        name="baselines",
        needs=("cube", "encode", "statistics", "cluster", "refine"),
        own=("analysis.baselines",),
        also=("run.seed", "grid", "zones.starts"),
        outputs=("baselines.zarr",),
        with_stage="analyse",
        version=4,
    ),
    Stage(
        name="analyse",
        needs=("encode", "statistics", "evidence", "cluster", "refine", "tree", "baselines"),
        own=("analysis.layers", "analysis.truth", "analysis.min_share"),
        also=("run.seed",),
        outputs=(
            "metrics.json", "analysis.json", "sweep.csv", "baselines.csv", "projections.csv", "dates.csv",
            "layers.zarr", "regions.zarr",
        ),
        version=6,
    ),
    Stage(
        name="publish",
        needs=("cube", "encode", "cluster", "refine", "tree", "analyse"),
        own=("publish",),
        also=("run.seed",),
        outputs=(
            "zones.tif", "zones.tif.aux.xml", "zones_geographic.tif", "zones_geographic.tif.aux.xml", "zones.qml",
            "zones_geographic.qml", "moved.tif", "moved.tif.aux.xml", "moved.qml", "confidence.tif", "unlike.tif",
            "zones.gpkg", "colours.tif", "regions", "zones_tree.json", "zones_tree.tif", "zones_tree.tif.aux.xml",
            *(f"figures/{name}.png" for name in FIGURES),
            "cards.csv", "curves.csv", "graph.graphml", "graph.json", "report.html",
        ),
        version=6,
    ),
)  # fmt: skip
"""In the order in which `run` does them."""

NAMES = tuple(stage.name for stage in STAGES)
COMMANDS = tuple(stage.name for stage in STAGES if stage.with_stage is None)
"""Stages that have a command; the others are done with one of these."""


def stage_named(name: str) -> Stage:
    """Return the stage of a command."""
    return next(stage for stage in STAGES if stage.name == name)


def needs_of(stage: Stage, settings: Settings) -> tuple[str, ...]:
    """Return the stages whose results a stage reads: where the number of zones is chosen, that choice too."""
    if stage.name == "cluster" and settings.zones.zones == "auto":
        return (*stage.needs, "evidence")
    return stage.needs


def done_with(names: Sequence[str], settings: Settings) -> tuple[str, ...]:
    """Return the stages that commands do, in order: those named, and those without a command that they need."""
    found = set(names)
    for name in names:
        found.update(need for need in needs_of(stage_named(name), settings) if stage_named(need).with_stage)
    return tuple(name for name in NAMES if name in found)


def before(stage: Stage, settings: Settings) -> tuple[Stage, ...]:
    """Return all stages that a stage stands on, in order."""
    found: set[str] = set()
    ahead = list(needs_of(stage, settings))
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += needs_of(stage_named(name), settings)
    return tuple(other for other in STAGES if other.name in found)


def owned_by(command: str) -> tuple[str, ...]:
    """Return the settings, or whole sections, that the command of a stage takes as options."""
    return tuple(key for stage in STAGES if command in (stage.name, stage.with_stage) for key in stage.own)


def digests(settings: Settings, inputs: Inputs) -> dict[str, str]:
    """Return the digest of every stage.

    Parameters
    ----------
    settings
        Settings of the run.
    inputs
        sha256 and date of each scene file.
    """
    dated = sorted([checksum, inputs.dates.get(path, "")] for path, checksum in inputs.items())
    values = with_paths(to_dict(settings), lambda path: Path(path).name)  # what lies there counts, not where
    values["encoder"].pop("statistics", None)
    if settings.encoder.encoder != "embeddings":
        del values["encoder"]["deviation"]
    if settings.encoder.carries_statistics(settings.zones.clusterer):
        values["encoder"]["statistics"] = True
    if not settings.cube.calendar:  # nothing to lay scenes on: the same cube as ever
        del values["cube"]["calendar"], values["cube"]["match"]
    if settings.cube.period == "dates":
        del values["cube"]["period"], values["cube"]["composite"]
    if not settings.zones.of:
        del values["zones"]["levels"]
    result: dict[str, str] = {}
    for stage in STAGES:
        result[stage.name] = digest_of(
            {
                "stage": stage.name,
                "version": stage.version,
                "settings": {key: _pick(values, key) for key in _told_by(stage, settings)},
                "needs": {need: result[need] for need in needs_of(stage, settings)},
                "inputs": dated if stage.name == "cube" else [],
                "files": inputs.others.get(stage.name, {}),
            }
        )
    return result


def _told_by(stage: Stage, settings: Settings) -> tuple[str, ...]:
    """Return the settings that a stage's result depends on: evidence that chooses is made whether asked for or not."""
    keys = (*stage.own, *stage.also)
    return tuple(key for key in keys if settings.zones.zones != "auto" or key != "analysis.evidence")


def check_owned(command: str, explicit: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse settings that belong to the command of another stage.

    Raises
    ------
    InputError
        Naming the stage to give them to.
    """
    owned = owned_by(command)
    for section, values in explicit.items():
        for name in values:
            key = f"{section}.{name}"
            if section not in owned and key not in owned:
                owner = next((s.with_stage or s.name for s in STAGES if section in s.own or key in s.own), "run")
                raise InputError(f"the setting {key} belongs to the stage '{owner}', not to '{command}': give it there")


def _pick(values: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.partition(".")
    return values[section].get(name) if name else values[section]
