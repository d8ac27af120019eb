"""Make the run folder of a request, or find that a folder holds this very run and goes on."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taxoscape.config import TRAINING_FREE, AnalysisSettings, Settings, differences, resolve, to_dict
from taxoscape.cube import wording
from taxoscape.cube.area import area_digest
from taxoscape.cube.fingerprint import fingerprint
from taxoscape.cube.labels import check_labels
from taxoscape.cube.layers import check_layer, parse_layer
from taxoscape.errors import InputError, RunFolderError
from taxoscape.grid import Grid, Lattice
from taxoscape.progress import Track, silent
from taxoscape.run.folder import RunFolder
from taxoscape.run.pictures import picture_bands
from taxoscape.run.regions import Plans, plan_all, tiles_inside
from taxoscape.run.request import ENCODERS, Request, read_regions, read_run, with_paths
from taxoscape.run.settling import settle_later, settle_machine
from taxoscape.run.table import STAGES
from taxoscape.run.taken import check_taken, state_of
from taxoscape.run.work import check_encoder

if TYPE_CHECKING:
    from taxoscape.cube.joined import Placement

log = logging.getLogger("taxoscape")

LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "xarray", "zarr", "rasterio", "pyproj")


def prepare(
    request: Request, out: str | Path, *, overwrite: bool = False, track: Track = silent, workers: bool = False
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
    track
        Told of the progress of reading the files' checksums.
    workers
        Whether workers on other machines take part: the device ``auto`` is then left to each machine.

    Raises
    ------
    RunFolderError
        Where the folder holds a run with other settings or inputs (named), or something else.
    InputError
        Where scenes or settings cannot be used.
    """
    folder = RunFolder(out)
    settings = resolve(request.explicit, request.preset)
    _refuse_itself(folder, settings)
    plans = plan_all(request.scenes, request.regions, settings)
    grid = refuse_impossible(settings, plans.lattice, plans.first.bands, plans.placements)
    tiles_inside(plans, grid, settings)
    with folder.locked():
        if folder.exists and not overwrite:
            _refuse_other_run(folder, request, settings, plans, track)
            _take_memory(folder, settings)
            settle_later(folder, len(plans.first.bands))
            return folder
        refuse_idle(settings)
        _refuse_foreign(folder)
        _clear(folder)
        settings = replace(settings, run=settle_machine(settings, n_bands=len(plans.first.bands), workers=workers))
        inputs = _fingerprint([file.path for file in plans.files], track)
        _warn_of_other_inputs(request, settings, plans, inputs)
        folder.write_document(_document(folder, request, settings, plans, inputs))
    return folder


def _refuse_itself(folder: RunFolder, settings: Settings) -> None:
    """Refuse to begin a run in the folder of the very run that its zones or its encoder are taken from."""
    taken = [] if settings.encoder.encoder in ENCODERS else [Path(settings.encoder.encoder).parent]
    taken += [Path(settings.zones.of)] if settings.zones.of else []
    if folder.path.resolve() in [path.resolve() for path in taken]:
        what = "zones are" if settings.zones.of else "encoder is"
        raise InputError(
            f"{folder.path} is the run whose {what} to be taken, and would be cleared: give another folder (--out)"
        )


def refuse_impossible(
    settings: Settings, lattice: Lattice, bands: tuple[str, ...], placements: Sequence[Placement] = ()
) -> Grid:
    """Raise `InputError` for what can be known to fail before anything is made; return the grid of tiles."""
    shape, encoder, zones = settings.grid, settings.encoder, settings.zones.zones
    grid = Grid.over(lattice, tile_size=shape.tile_size, stride=shape.stride, partial=shape.partial)
    if settings.zones.of:
        check_taken(settings, lattice)
    elif zones != "auto" and zones > grid.n_tiles:
        raise InputError(f"{zones} zones were asked for, but the region has only {grid.n_tiles} tiles: lower --zones")
    if encoder.encoder in ENCODERS:
        from taxoscape.embedding.networks import check_network

        if encoder.encoder not in TRAINING_FREE:
            check_network(encoder.network, tile_size=shape.tile_size, n_features=encoder.n_features)
    else:
        _refuse_encoder(Path(encoder.encoder), bands, shape.tile_size)
    picture_bands(bands, settings.publish.rgb)
    _refuse_strangers(settings.analysis, [placement.grid for placement in placements] or [grid])
    if settings.run.device == "cuda":
        from taxoscape.embedding.machine import has_gpu

        if not has_gpu():
            raise InputError("no GPU can be used here: take --device cpu, or auto")
    return grid


def refuse_idle(settings: Settings) -> None:
    """Raise `InputError` for a setting of a new run that nothing would come of, as it asks for something else."""
    if settings.cube.period == "dates" and settings.cube.composite != "median":
        raise InputError(
            f"'{settings.cube.composite}' says what stands for a pixel in a period, but each day of a scene is a date "
            "of its own: ask for periods (--calendar month), or leave --composite out"
        )


def _refuse_strangers(analysis: AnalysisSettings, grids: Sequence[Grid]) -> None:
    """Raise `InputError` for a layer or a truth of no use here, which would be found only after hours of training."""
    for key, text in analysis.layers.items():
        name, _, path = parse_layer(f"{key}={text}")
        check_layer(path, grids, name=name)
    if analysis.truth is not None:
        if not Path(analysis.truth).is_file():
            raise InputError(f"the truth is not there: no file {wording.shown(analysis.truth)} (--truth)")
        check_labels(analysis.truth, grids)


def _refuse_encoder(path: Path, bands: tuple[str, ...], tile_size: int) -> None:
    from taxoscape.embedding.encoder import load_encoder

    if not path.is_file():
        raise InputError(
            f"there is no encoder file {path}: give one that a run has made (encoder.safetensors), or one of "
            f"{', '.join(ENCODERS)} (--encoder)"
        )
    check_encoder(load_encoder(path), path, bands, tile_size)


def _refuse_other_run(folder: RunFolder, request: Request, settings: Settings, plans: Plans, track: Track) -> None:
    """Refuse to go on in a folder whose run has other settings or inputs than asked for, naming the differences."""
    old, _, inputs = read_run(folder)
    composite = old.cube.composite if settings.cube.period == "dates" else settings.cube.composite  # idle without any
    asked = replace(settings, cube=replace(settings.cube, composite=composite), run=replace(
        settings.run,
        threads=settings.run.threads or old.run.threads,
        device=old.run.device if settings.run.device == "auto" else settings.run.device,
        precision=old.run.precision if settings.run.precision == "auto" else settings.run.precision,
        batch_tiles=settings.run.batch_tiles or old.run.batch_tiles,
        memory=old.run.memory,  # changes no result
    ))  # fmt: skip
    found = differences(old, asked)
    if settings.zones.of and folder.read_document().get("taken") != state_of(RunFolder(settings.zones.of)):
        found.append(f"the zones of {settings.zones.of}: made anew since")
    before, after = read_regions(folder), request.regions
    if list(before) != list(after):
        found.append(f"regions: {', '.join(before) or 'one'} → {', '.join(after) or 'one'}")
    absolute = {name: [os.path.abspath(scene) for scene in scenes] for name, scenes in after.items()}
    found += [f"scenes of region '{name}'" for name, own in absolute.items() if list(before.get(name, own)) != own]
    now = {os.path.abspath(file.path) for file in plans.files}
    found += [f"scene no longer there: {path}" for path in sorted(set(inputs) - now)]
    found += [f"new scene: {path}" for path in sorted(now - set(inputs))]
    if settings.cube.aoi and settings.cube.aoi == old.cube.aoi and area_digest(settings.cube.aoi) != inputs.area:
        found.append(f"area of interest changed: {settings.cube.aoi}")
    days = {os.path.abspath(file.path): str(file.day) for file in plans.files}
    found += [
        f"date of {path}: {day} → {days[path]}" for path, day in inputs.dates.items() if days.get(path, day) != day
    ]
    if not found:
        sums = _fingerprint(sorted(now), track)
        found = [f"scene changed: {path}" for path in sorted(now) if sums[path] != inputs[path]]
    if found:
        shown = "; ".join(found[:6]) + (f"; and {len(found) - 6} more" if len(found) > 6 else "")
        raise RunFolderError(
            f"{folder.path} holds a run with other settings or inputs ({shown}): give another --out, the same "
            "settings, --overwrite to start anew, or give the option to its stage (taxoscape cluster RUN --zones K)"
        )


def _take_memory(folder: RunFolder, settings: Settings) -> None:
    """Have a run go on with the memory that is given now; as before where none is."""
    document = folder.read_document()
    if settings.run.memory not in (None, document.get("run", {}).get("memory")):
        document.setdefault("run", {})["memory"] = settings.run.memory
        folder.write_document(document)


def _fingerprint(paths: Sequence[str], track: Track) -> dict[str, str]:
    """Return the sha256 of files by path."""
    return {path: fingerprint([path])[path] for path in track(paths, "checking the scenes", len(paths))}


def _warn_of_other_inputs(request: Request, settings: Settings, plans: Plans, inputs: Mapping[str, str]) -> None:
    """Say where a run file is repeated on scenes that are no longer what it was made from."""
    if request.inputs is None:
        return
    days = {file.path: str(file.day) for file in plans.files}
    other = [
        Path(path).name
        for path, digest in request.inputs.items()
        if inputs.get(path) != digest or days.get(path) != request.inputs.dates.get(path, days.get(path))
    ]
    area = settings.cube.aoi
    if area and request.inputs.area not in (None, area_digest(area)):
        other.append(Path(area).name)
    if other:
        shown = ", ".join(other[:3]) + (f" and {len(other) - 3} more" if len(other) > 3 else "")
        log.warning("%s changed since the run file was written: this run will not repeat that one", shown)


def _refuse_foreign(folder: RunFolder) -> None:
    """Refuse a folder with things in it that taxoscape did not make."""
    if folder.exists:
        return
    strange = sorted(entry.name for entry in folder.path.iterdir() if entry.name != ".lock")
    if strange:
        raise RunFolderError(
            f"{folder.path} is no run folder and is not empty ({', '.join(strange[:3])}): give an empty or new --out"
        )


def _clear(folder: RunFolder) -> None:
    for stage in STAGES:
        folder.forget(stage.name)
        folder.clear_work(stage.name)
        folder.remove([name for output in stage.outputs for name in (output, f"{output}.part")])


def _document(
    folder: RunFolder, request: Request, settings: Settings, plans: Plans, inputs: Mapping[str, str]
) -> dict[str, Any]:
    from taxoscape import __version__

    values = with_paths(to_dict(settings), lambda path: _relative(path, folder.path))
    dates = {str(file.path): str(file.day)[:10] for file in plans.files}
    stands_for = {str(file.path): str(file.date)[:10] for file in plans.files if file.taken}
    here = folder.path
    regions = {name: [_relative(scene, here) for scene in scenes] for name, scenes in request.regions.items()}
    return {
        "taxoscape": __version__,
        **({} if regions else {"scenes": [_relative(scene, here) for scene in request.scenes]}),
        **values,
        **({"taken": state_of(RunFolder(settings.zones.of))} if settings.zones.of else {}),
        **({"area": {"sha256": area_digest(settings.cube.aoi)}} if settings.cube.aoi else {}),
        "versions": {"python": platform.python_version(), **_versions()},
        **({"region": [{"name": name, "scenes": scenes} for name, scenes in regions.items()]} if regions else {}),
        "input": [
            {
                "path": _relative(path, folder.path),
                "date": dates[str(path)],
                **({"stands_for": stands_for[str(path)]} if str(path) in stands_for else {}),
                "sha256": digest,
                **({"regions": _regions_of(path, plans)} if regions else {}),
            }
            for path, digest in inputs.items()
        ],
    }


def _regions_of(path: str, plans: Plans) -> list[str]:
    """Return the names of the regions that a scene belongs to."""
    return [name for name, plan in plans.by_region.items() if any(file.path == path for file in plan.files)]


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
