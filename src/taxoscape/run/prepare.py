"""Make the run folder of a request, or find that a folder holds this very run and goes on."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from taxoscape.config import RunSettings, Settings, differences, resolve, to_dict
from taxoscape.cube.fingerprint import fingerprint
from taxoscape.cube.plan import plan_cube
from taxoscape.cube.planned import CubePlan
from taxoscape.errors import RunFolderError
from taxoscape.grid import Grid
from taxoscape.run.folder import SETTINGS_FILE, RunFolder
from taxoscape.run.request import Request, read_run
from taxoscape.run.table import STAGES

LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "xarray", "zarr", "rasterio", "pyproj")


def prepare(
    request: Request, out: str | Path, *, overwrite: bool = False, cache: dict[str, Any] | None = None
) -> RunFolder:
    """Make the run folder of a request, or find that the folder holds this very run.

    Parameters
    ----------
    request
        Scenes and settings.
    out
        The run folder.
    overwrite
        Start anew where the folder holds another run; only files that taxoscape makes are deleted.
    cache
        Checksums of files seen before, see `taxoscape.cube.fingerprint.fingerprint`.

    Raises
    ------
    RunFolderError
        Where the folder holds a run with other settings or inputs (named), or something else.
    InputError
        Where scenes or settings cannot be used.
    """
    folder = RunFolder(out)
    settings = resolve(request.explicit, request.preset)
    plan = plan_cube(request.scenes, settings.cube)
    grid = settings.grid
    Grid.over(plan.lattice, tile_size=grid.tile_size, stride=grid.stride, partial=grid.partial)
    with folder.locked():
        if folder.exists and not overwrite:
            _refuse_other_run(folder, settings, plan)
            return folder
        _refuse_foreign(folder)
        _clear(folder)
        settings = replace(settings, run=_settle_machine(settings))
        inputs = fingerprint([file.path for file in plan.files], cache)
        folder.write_document(_document(folder, request.scenes, settings, plan, inputs))
    return folder


def _refuse_other_run(folder: RunFolder, settings: Settings, plan: CubePlan) -> None:
    """Refuse to go on in a folder whose run has other settings or inputs than asked for, naming the differences."""
    old, _, inputs = read_run(folder)
    asked = replace(settings, run=replace(
        settings.run,
        threads=settings.run.threads or old.run.threads,
        device=old.run.device if settings.run.device == "auto" else settings.run.device,
    ))  # fmt: skip
    if asked.cube.dates is not None:
        asked = replace(asked, cube=replace(asked.cube, dates=os.path.abspath(asked.cube.dates)))
    found = differences(old, asked)
    now = {os.path.abspath(file.path) for file in plan.files}
    found += [f"scene no longer there: {path}" for path in sorted(set(inputs) - now)]
    found += [f"new scene: {path}" for path in sorted(now - set(inputs))]
    if not found:
        sums = fingerprint(sorted(now), None)
        found = [f"scene changed: {path}" for path in sorted(now) if sums[path] != inputs[path]]
    if found:
        shown = "; ".join(found[:6]) + (f"; and {len(found) - 6} more" if len(found) > 6 else "")
        raise RunFolderError(
            f"{folder.path} holds a run with other settings or inputs ({shown}): give another --out, the same "
            "settings, --overwrite to start anew, or give the option to its stage (taxoscape cluster RUN --zones K)"
        )


def _refuse_foreign(folder: RunFolder) -> None:
    """Refuse a folder with things in it that taxoscape did not make."""
    if folder.exists:
        return
    known = {SETTINGS_FILE, ".lock", "run.log", "stages", ".work"} | {
        name for stage in STAGES for name in stage.outputs
    }
    strange = sorted(entry.name for entry in folder.path.iterdir() if entry.name not in known)
    if strange:
        raise RunFolderError(
            f"{folder.path} is no run folder and is not empty ({', '.join(strange[:3])}): give an empty or new --out"
        )


def _clear(folder: RunFolder) -> None:
    for stage in STAGES:
        folder.forget(stage.name)
        folder.clear_work(stage.name)
        folder.remove(list(stage.outputs))


def _settle_machine(settings: Settings) -> RunSettings:
    """Choose threads and device once; they are kept on resume."""
    device = settings.run.device
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    threads = settings.run.threads or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else [0])
    return replace(settings.run, device=device, threads=threads)


def _document(
    folder: RunFolder, scenes: Sequence[str], settings: Settings, plan: CubePlan, inputs: Mapping[str, str]
) -> dict[str, Any]:
    from taxoscape import __version__

    values = to_dict(settings)
    if settings.cube.dates is not None:
        values["cube"]["dates"] = _relative(settings.cube.dates, folder.path)
    dates = {str(file.path): str(file.date)[:10] for file in plan.files}
    return {
        "taxoscape": __version__,
        "scenes": [_relative(scene, folder.path) for scene in scenes],
        **values,
        "versions": {"python": platform.python_version(), **_versions()},
        "input": [
            {"path": _relative(path, folder.path), "date": dates[str(path)], "sha256": digest}
            for path, digest in inputs.items()
        ],
    }


def _relative(path: str | Path, base: Path) -> str:
    """Return a path relative to a folder; absolute where there is no way from one to the other."""
    try:
        return Path(os.path.relpath(os.path.abspath(path), base.resolve())).as_posix()
    except ValueError:  # another drive
        return os.path.abspath(path)


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
