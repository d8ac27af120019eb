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
from taxoscape.errors import InputError, RunFolderError
from taxoscape.grid import Grid
from taxoscape.run.folder import SETTINGS_FILE, RunFolder
from taxoscape.run.request import ENCODERS, Request, read_run, with_paths
from taxoscape.run.table import STAGES
from taxoscape.run.work import check_encoder

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
    refuse_impossible(settings, plan)
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


def refuse_impossible(settings: Settings, plan: CubePlan) -> Grid:
    """Raise `InputError` for what can be known to fail before anything is made; return the grid of tiles."""
    shape, encoder, zones = settings.grid, settings.encoder, settings.zones.zones
    grid = Grid.over(plan.lattice, tile_size=shape.tile_size, stride=shape.stride, partial=shape.partial)
    if zones != "auto" and zones > grid.n_tiles:
        raise InputError(f"{zones} zones were asked for, but the region has only {grid.n_tiles} tiles: lower --zones")
    if encoder.encoder in ENCODERS:
        from taxoscape.embedding.networks import check_network

        check_network(encoder.network, tile_size=shape.tile_size, n_features=encoder.n_features)
    else:
        _refuse_encoder(Path(encoder.encoder), plan.bands, shape.tile_size)
    return grid


def _refuse_encoder(path: Path, bands: tuple[str, ...], tile_size: int) -> None:
    from taxoscape.embedding.encoder import load_encoder

    if not path.is_file():
        raise InputError(
            f"there is no encoder file {path}: give one that a run has made (encoder.safetensors), or one of "
            f"{', '.join(ENCODERS)} (--encoder)"
        )
    check_encoder(load_encoder(path), path, bands, tile_size)


def _refuse_other_run(folder: RunFolder, settings: Settings, plan: CubePlan) -> None:
    """Refuse to go on in a folder whose run has other settings or inputs than asked for, naming the differences."""
    old, _, inputs = read_run(folder)
    asked = replace(settings, run=replace(
        settings.run,
        threads=settings.run.threads or old.run.threads,
        device=old.run.device if settings.run.device == "auto" else settings.run.device,
    ))  # fmt: skip
    found = differences(old, asked)
    now = {os.path.abspath(file.path) for file in plan.files}
    found += [f"scene no longer there: {path}" for path in sorted(set(inputs) - now)]
    found += [f"new scene: {path}" for path in sorted(now - set(inputs))]
    days = {os.path.abspath(file.path): str(file.date) for file in plan.files}
    found += [
        f"date of {path}: {day} → {days[path]}" for path, day in inputs.dates.items() if days.get(path, day) != day
    ]
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

    values = with_paths(to_dict(settings), lambda path: _relative(path, folder.path))
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
