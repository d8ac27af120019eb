"""Another year or area under the encoder and the zones of a finished run.

What is asked for becomes an ordinary run whose settings name the first one: its encoder is taken in the place of
training, its zones in the place of clustering (``zones.of``), and its scenes are laid on the dates of that run
(``cube.calendar``). So the new run folder can be stopped, resumed, scored and published like any other.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from taxoscape.config import to_dict
from taxoscape.errors import InputError, RunFolderError
from taxoscape.run.cost import precision_of
from taxoscape.run.folder import RunFolder
from taxoscape.run.request import Explicit, Request, read_run, with_paths
from taxoscape.run.results import is_refined, last_result
from taxoscape.run.table import STAGES, digests

NEEDED = tuple(stage.name for stage in STAGES if stage.name != "publish")
"""Stages of a run that must be done before it can be applied."""


def apply_request(run: RunFolder, scenes: Sequence[str], explicit: Explicit) -> Request:
    """Return what it means to apply a run to other scenes.

    Parameters
    ----------
    run
        A run whose stages up to ``analyse`` are done.
    scenes
        Files, folders and globs of another year or area.
    explicit
        Settings given, by section: they beat those of the run.

    Raises
    ------
    RunFolderError
        Where the run is not finished.
    InputError
        Where its zones are another run's.
    """
    settings, _, inputs = read_run(run)
    if settings.zones.of:
        raise InputError(f"{run.path} has its zones from {settings.zones.of}: apply that one")
    current = digests(settings, inputs)
    for stage in NEEDED:
        fault = run.fault(stage, current[stage])
        if fault is not None:
            raise RunFolderError(
                f"{run.path} is not finished ({stage}: {fault}), so there are no zones to apply: run  taxoscape run "
                f"{run / 'run.toml'}  first"
            )
    encoder = run / ("encoder.safetensors" if is_refined(run) else "encoder_geographic.safetensors")
    given = with_paths(explicit, os.path.abspath)
    taken = replace(settings, encoder=replace(settings.encoder, encoder=str(encoder)))
    sections = _settings_from(run, to_dict(settings), encoder)
    sections["run"]["precision"] = precision_of(taken)  # zones and the series that they are laid on are rounded alike
    if given.get("cube", {}).get("aoi"):  # tiles on its edge are kept unless this very command says otherwise
        sections["grid"].pop("partial", None)
    names = {*sections, *given}
    return Request(
        scenes=tuple(os.path.abspath(scene) for scene in scenes),
        explicit={name: {**sections.get(name, {}), **given.get(name, {})} for name in names},
    )


def _settings_from(run: RunFolder, values: dict[str, Any], encoder: Path) -> dict[str, dict[str, Any]]:
    """Return the settings of an applied run that come from the first one."""
    from taxoscape.embedding.encoder import load_encoder

    _, zones = last_result(run)
    days = np.datetime_as_string(zones["time"].to_numpy(), unit="D").tolist()
    kept = ("nodata",) if values["cube"]["period"] == "dates" else ("nodata", "period", "composite")
    cube = {name: values["cube"][name] for name in kept if name in values["cube"]}
    return {
        "cube": {**cube, "bands": tuple(load_encoder(encoder).bands), "calendar": tuple(days)},
        "grid": values["grid"],
        "encoder": {"encoder": os.path.abspath(encoder)},
        "zones": {**values["zones"], "zones": int(zones.sizes["zone"]), "of": os.path.abspath(run.path)},
        "refine": {"refine": False},
        "analysis": {"evidence": False},
        "publish": values["publish"],
        "run": {"seed": values["run"]["seed"]},
    }
