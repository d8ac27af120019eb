"""What a user asks for, from the command line or from a run file, and what a run folder remembers of it.

A run file (``region.toml``, or the ``run.toml`` of a run) is TOML: ``scenes``, optionally ``out`` and ``preset``, and a
section of settings per stage as in `taxoscape.config`. In place of ``scenes`` there may be several blocks
``[[region]]``, each with a ``name`` and its ``scenes``: then all regions get one encoder and one partition. Paths are
relative to the file.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from taxoscape.config import TRAINING_FREE, Settings, from_dict
from taxoscape.cube.area import area_digest
from taxoscape.errors import InputError
from taxoscape.publish.names import NAMES_FILE, edited_names
from taxoscape.run.folder import SETTINGS_FILE, RunFolder, describe, read_toml

Explicit = Mapping[str, Mapping[str, Any]]

OTHER_KEYS = ("scenes", "out", "preset", "taxoscape", "versions", "input", "region", "taken", "area")
"""Keys of a run file that are not sections of settings."""


PATHS = (("cube", "dates"), ("cube", "aoi"), ("encoder", "encoder"), ("zones", "of"), ("analysis", "truth"))
"""Settings that may hold a path, as section and name; `ENCODERS` are none."""
ENCODERS = ("tile2vec", *TRAINING_FREE)
"""Encoders known by name."""


def with_paths(sections: Explicit, change: Callable[[str], str]) -> dict[str, dict[str, Any]]:
    """Return settings by section in which every path is changed by a function."""
    result = {name: dict(values) if isinstance(values, Mapping) else values for name, values in sections.items()}
    for section, name in PATHS:
        values = result.get(section)
        if isinstance(values, dict) and isinstance(values.get(name), str) and values[name] not in ENCODERS:
            values[name] = change(values[name])
    layers = result.get("analysis", {}).get("layers") if isinstance(result.get("analysis"), dict) else None
    if isinstance(layers, dict):
        result["analysis"]["layers"] = {name: _layer_path(path, change) for name, path in layers.items()}
    return result


def _layer_path(text: Any, change: Callable[[str], str]) -> Any:
    """Change the path of a layer, which may name an attribute after ``#``."""
    if not isinstance(text, str):
        return text
    path, mark, attribute = text.partition("#")
    return change(path) + mark + attribute


def layer_file(text: str) -> Path:
    """Return the file of a layer, which may name an attribute after ``#``, as `taxoscape.cube.layers` takes it."""
    path = Path(text)
    return path if path.exists() or "#" not in text else Path(text.rpartition("#")[0])


class Inputs(dict[str, str]):
    """The scene files of a run: sha256 by absolute path."""

    dates: Mapping[str, str]
    """When each was taken (ISO) by path, where ``run.toml`` tells."""
    others: Mapping[str, Any]
    """What tells whether other files that a stage reads are still what they were, by stage."""
    area: str | None
    """sha256 of the file of the area of interest that the run was begun with; None: none."""

    def __init__(
        self,
        sums: Mapping[str, str],
        dates: Mapping[str, str],
        others: Mapping[str, Any] | None = None,
        area: str | None = None,
    ) -> None:
        super().__init__(sums)
        self.dates = dates
        self.others = others or {}
        self.area = area


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a user asked for, before anything is looked at."""

    scenes: tuple[str, ...]
    """Files, folders, globs; empty where there are ``regions``."""
    explicit: Explicit
    """Settings given, by section."""
    preset: str = "fast"
    """Name of the preset underneath."""
    inputs: Inputs | None = None
    """The scene files that a ``run.toml`` was made from, where one is repeated."""
    regions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Scenes by the name of their region, where there are several regions."""


def read_request(path: Path) -> tuple[Request, Path]:
    """Read a run file (``region.toml`` or the ``run.toml`` of a run).

    Returns
    -------
    The request, its paths made absolute, and the run folder it means: the key ``out``; for a ``run.toml``, the folder
    it lies in; else a folder beside the file with the file's stem as name.

    Raises
    ------
    InputError
        Where the file is missing, is no TOML or names no scenes.
    """
    document = read_toml(path)
    base = path.resolve().parent
    regions = _regions(document, path)
    scenes = () if regions else _scenes(document, str(path))
    explicit = _sections(document, path)
    explicit = with_paths(explicit, lambda path: os.path.normpath(base / path))
    if not isinstance(document.get("out", "run"), str) or not document.get("out", "run"):
        raise InputError(f'{path}: out is the path of a run folder, as in  out = "run"')
    out = base / document["out"] if "out" in document else base if path.name == SETTINGS_FILE else base / path.stem
    request = Request(
        scenes=tuple(str(base / scene) for scene in scenes),
        explicit=explicit,
        preset=str(document.get("preset", "fast")),
        inputs=_inputs(document, path) if "input" in document else None,
        regions={name: tuple(os.path.normpath(base / scene) for scene in own) for name, own in regions.items()},
    )
    return request, out


def _scenes(document: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Return the scenes of a run file or of one of its regions."""
    scenes = document.get("scenes")
    if isinstance(scenes, str):
        scenes = [scenes]
    if not isinstance(scenes, list) or not scenes or not all(isinstance(scene, str) for scene in scenes):
        raise InputError(f'{where} names no scenes: add a line such as  scenes = ["scenes/*.tif"]')
    return tuple(scenes)


def _regions(document: Mapping[str, Any], path: Path) -> dict[str, tuple[str, ...]]:
    """Return the scenes of each region of a run file by its name; none where it has no ``[[region]]``."""
    blocks = document.get("region", [])
    if not isinstance(blocks, list) or not all(isinstance(block, Mapping) for block in blocks):
        raise InputError(f"{path}: regions are blocks that begin with  [[region]]  and have a name and scenes")
    if blocks and "scenes" in document:
        raise InputError(f"{path} has scenes of its own and [[region]] blocks: put all scenes into blocks, or none")
    found: dict[str, tuple[str, ...]] = {}
    for number, block in enumerate(blocks, start=1):
        name = block.get("name")
        if not isinstance(name, str) or not re.fullmatch(r"[\w][\w .-]*", name):
            raise InputError(
                f"{path}: region {number} needs a name of letters, digits, spaces, dots and hyphens, as in  "
                'name = "north"'
            )
        if name in found:
            raise InputError(f"{path}: two regions are called '{name}': give each a name of its own")
        strange = sorted(set(block) - {"name", "scenes"})
        if strange:
            raise InputError(f"{path}: region '{name}' has {strange[0]}: a region has a name and scenes, nothing else")
        found[name] = _scenes(block, f"{path}: region '{name}'")
    return found


def request_of(
    scenes: Sequence[str], out: str | Path | None, explicit: Explicit, preset: str | None = None
) -> tuple[Request, Path]:
    """Return the request and the run folder that a command line means.

    Parameters
    ----------
    scenes
        Files, folders and globs, or one run file; settings given beat those of the file.
    out
        The run folder; needed unless a run file names it.
    explicit
        Settings given, by section.
    preset
        The preset given.

    Raises
    ------
    InputError
        Where no run folder is known, or the run file cannot be used.
    """
    explicit = with_paths(explicit, os.path.abspath)
    if len(scenes) == 1 and scenes[0].endswith(".toml"):
        request, meant = read_request(Path(scenes[0]))
        if preset is not None and request.inputs is not None:
            raise InputError(
                f"{scenes[0]} holds every setting of a run, which beat a preset: leave --preset out, or give the scenes"
            )
        sections = {*request.explicit, *explicit}
        merged = {name: {**request.explicit.get(name, {}), **explicit.get(name, {})} for name in sections}
        return replace(request, explicit=merged, preset=preset or request.preset), Path(out) if out else meant
    if not out:
        raise InputError("no run folder was given: add --out RUN")
    return Request(scenes=tuple(os.path.abspath(s) for s in scenes), explicit=explicit, preset=preset or "fast"), Path(
        out
    )


def read_regions(folder: RunFolder) -> dict[str, tuple[str, ...]]:
    """Return the scenes (absolute paths) of each region of a run by its name; none where it has one region only."""
    base = folder.path.resolve()
    regions = _regions(folder.read_document(), folder / SETTINGS_FILE)
    return {name: tuple(os.path.normpath(base / scene) for scene in own) for name, own in regions.items()}


def read_run(folder: RunFolder) -> tuple[Settings, tuple[str, ...], Inputs]:
    """Return the settings, scenes (absolute paths) and inputs that ``run.toml`` holds."""
    document = folder.read_document()
    path = folder / SETTINGS_FILE
    sections = _sections(document, path)
    base = folder.path.resolve()
    settings = from_dict(with_paths(sections, lambda path: os.path.normpath(base / path)))
    scenes = document.get("scenes", [])
    if not isinstance(scenes, list) or not all(isinstance(scene, str) for scene in scenes):
        raise InputError(f'{path}: scenes is a list of paths, as in  scenes = ["scenes/*.tif"]')
    inputs = _inputs(document, path)
    inputs.others = _others(folder, settings, inputs.area)
    return settings, tuple(os.path.normpath(base / scene) for scene in scenes), inputs


def _scenes_by_region(document: Mapping[str, Any]) -> list[Any]:
    """Return the name of each of several regions and the checksums of its scenes; nothing where there is one region.

    Paths are no part of it, so that a folder that is moved together with its scenes stays what it was.
    """
    entries = document.get("input", [])
    names = [str(block.get("name")) for block in document.get("region", []) if isinstance(block, dict)]
    return [
        [name, sorted(str(entry["sha256"]) for entry in entries if name in entry.get("regions", []))] for name in names
    ]


def _others(folder: RunFolder, settings: Settings, area: str | None) -> dict[str, Any]:
    """Return what tells whether the area, the encoder, the layers, the truth and the names are still what they were."""
    analysis, encoder = settings.analysis, settings.encoder.encoder
    files = {name: layer_file(path) for name, path in analysis.layers.items()}
    if analysis.truth:
        files["truth of the run"] = Path(analysis.truth)
    found: dict[str, Any] = {"analyse": {name: _state(path) for name, path in files.items() if path.exists()}}
    if settings.zones.of:  # as it was when they were taken: the run that they are of may be elsewhere by now
        found["train"] = found["cluster"] = found["tree"] = folder.read_document().get("taken", {})
    elif encoder not in ENCODERS and Path(encoder).exists():
        found["train"] = _state(Path(encoder))
    found["publish"] = edited_names(folder / NAMES_FILE)
    found["cube"] = _scenes_by_region(folder.read_document())
    if settings.cube.aoi:  # a cube holds its polygons, so that their file may be gone
        found["cube"] = {"regions": found["cube"], "area": area_digest(settings.cube.aoi) or area}
    return found


def _state(path: Path) -> dict[str, Any]:
    """Return what tells whether a file given to a run is still what it was; of a shapefile, all its parts."""
    parts = sorted(path.parent.glob(f"{glob.escape(path.stem)}.*")) if path.suffix.casefold() == ".shp" else [path]
    return {part.suffix: describe(part, given=True) for part in parts}


def _sections(document: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the sections of settings of a run file."""
    sections = {key: value for key, value in document.items() if key not in OTHER_KEYS}
    for name, values in sections.items():
        if not isinstance(values, Mapping):
            raise InputError(f"{path}: {name} is no section of settings: write  [{name}]  and settings below it")
    return sections


def _inputs(document: Mapping[str, Any], path: Path) -> Inputs:
    """Return the scene files that a run file lists, by absolute path."""
    base = path.resolve().parent
    try:
        entries = {os.path.normpath(base / entry["path"]): entry for entry in document.get("input", [])}
        sums = {file: str(entry["sha256"]) for file, entry in entries.items()}
    except (TypeError, KeyError):
        raise InputError(
            f"{path}: an entry of [[input]] lacks its path or sha256: take the file as taxoscape wrote it, or start "
            "anew with --overwrite"
        ) from None
    dates = {file: str(entry["date"]) for file, entry in entries.items() if "date" in entry}
    area = document.get("area")
    return Inputs(sums, dates, area=str(area.get("sha256")) if isinstance(area, Mapping) else None)
