"""The road as one table: which stage needs what, depends on which settings, and makes which files.

A stage is done again only when its digest changes: the sha256 over its version, the settings it depends on, and the
digests of the stages it needs (for ``cube``, the checksums and dates of the scenes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taxoscape.config import Settings, to_dict
from taxoscape.errors import InputError
from taxoscape.run.folder import digest_of
from taxoscape.run.request import Inputs


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
    version: int = 1
    """Raised when the stage would give another result from the same input."""


STAGES: tuple[Stage, ...] = (
    Stage(name="cube", needs=(), own=("cube",), outputs=("cube.zarr", "cube.json")),
    Stage(
        name="train",
        needs=("cube",),
        own=("grid.tile_size", "grid.min_valid", "encoder", "run.seed"),
        outputs=("encoder_geographic.safetensors",),
    ),
    Stage(
        name="encode",
        needs=("cube", "train"),
        own=("grid.stride", "grid.partial"),
        also=("grid",),
        outputs=("series_geographic.zarr",),
    ),
    Stage(
        name="cluster", needs=("encode",), own=("zones",), also=("run.seed",), outputs=("partition_geographic.zarr",)
    ),
    Stage(
        name="refine",
        needs=("cube", "train", "encode", "cluster"),
        own=("refine",),
        also=("run.seed", "encoder", "zones.starts"),
        outputs=("encoder.safetensors", "series.zarr", "partition.zarr"),
    ),
    Stage(
        name="analyse",
        needs=("encode", "cluster", "refine"),
        own=(),
        also=("run.seed",),
        outputs=("metrics.json", "analysis.json"),
    ),
    Stage(
        name="publish",
        needs=("cube", "encode", "cluster", "refine", "analyse"),
        own=("publish",),
        also=("run.seed",),
        outputs=(
            "zones.tif", "zones.tif.aux.xml", "zones_geographic.tif", "zones_geographic.tif.aux.xml", "zones.qml",
            "zones_geographic.qml", "zones.gpkg", "colours.tif", "figures/maps.png", "figures/strips.png",
            "figures/refinement.png", "report.html",
        ),
    ),
)  # fmt: skip
"""In the order in which `run` does them."""

NAMES = tuple(stage.name for stage in STAGES)


def stage_named(name: str) -> Stage:
    """Return the stage of a command."""
    return next(stage for stage in STAGES if stage.name == name)


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
    values = to_dict(settings)
    result: dict[str, str] = {}
    for stage in STAGES:
        result[stage.name] = digest_of(
            {
                "stage": stage.name,
                "version": stage.version,
                "settings": {key: _pick(values, key) for key in (*stage.own, *stage.also)},
                "needs": {need: result[need] for need in stage.needs},
                "inputs": dated if stage.name == "cube" else [],
            }
        )
    return result


def check_owned(stage: Stage, explicit: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse settings that belong to another stage.

    Raises
    ------
    InputError
        Naming the stage to give them to.
    """
    for section, values in explicit.items():
        for name in values:
            key = f"{section}.{name}"
            if section not in stage.own and key not in stage.own:
                owner = next((s.name for s in STAGES if section in s.own or key in s.own), "run")
                raise InputError(
                    f"the setting {key} belongs to the stage '{owner}', not to '{stage.name}': give it there"
                )


def _pick(values: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.partition(".")
    return values[section].get(name) if name else values[section]
