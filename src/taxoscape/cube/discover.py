"""Which rasters a caller means by files, folders and globs.

A path that exists is taken as it is, brackets and all; only what does not exist is tried as a glob. Folders are
searched to the bottom. What is no raster is passed over, with a reason that `--dry-run` shows; but a file that is
called like an image and is none (empty, an HTML page, a VRT) is refused, because its date would be missing unnoticed.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from taxoscape.cube.rasters import LOOKS, sniff
from taxoscape.cube.wording import shortened, shown, together
from taxoscape.errors import InputError

Scenes = str | Path | Sequence[str | Path]
"""Files, folders and globs."""

IMAGE_ENDINGS = frozenset({".tif", ".tiff", ".gtiff", ".jp2", ".j2k", ".jpx"})
"""Endings by which a file claims to be an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What lies where the caller pointed."""

    rasters: tuple[Path, ...]
    """Rasters, absolute, in the order of their paths."""
    skipped: tuple[tuple[str, str], ...]
    """Path and reason of each file that was passed over."""


def find_rasters(scenes: Scenes) -> Found:
    """Find the rasters that files, folders and globs mean; only the first bytes of files are read.

    Parameters
    ----------
    scenes
        A path or glob, or several. Folders are searched recursively; hidden files and folders, Zarr stores and run
        folders in them are passed over.

    Raises
    ------
    InputError
        Where a path does not exist, a file that is called like an image is none, or there is no raster at all. All
        such files are named at once.
    """
    given = [scenes] if isinstance(scenes, str | os.PathLike) else list(scenes)
    if not given:
        raise InputError("no scenes are given: name files, folders or globs")
    files, skipped, faults = _expand(given)
    rasters: list[Path] = []
    for path in files:
        reason, fault = _judge(path)
        if fault:
            faults.append(fault)
        elif reason:
            skipped.append((str(path), reason))
        else:
            rasters.append(path)
    if faults:
        raise InputError(together(faults[:10] + ([f"and {len(faults) - 10} more"] if len(faults) > 10 else [])))
    if not rasters:
        others = shortened([f"{shown(path)} {reason}" for path, reason in skipped]) or "there is no file at all"
        raise InputError(f"no GeoTIFF or JPEG 2000 in {shortened([str(item) for item in given])}: {others}")
    return Found(rasters=tuple(rasters), skipped=tuple(skipped))


def _expand(given: Iterable[str | Path]) -> tuple[list[Path], list[tuple[str, str]], list[str]]:
    """Return the files that are meant, each once and sorted, folders passed over, and what was not found."""
    files: set[Path] = set()
    skipped: dict[str, str] = {}
    faults = []
    for item in given:
        path = Path(os.path.abspath(Path(item).expanduser()))
        matches = [path] if os.path.lexists(path) else [Path(p) for p in glob.glob(str(path), recursive=True)]  # noqa: PTH207
        if not matches:
            faults.append(f"there is no file, folder or match for {shown(path)}")
        for match in matches:
            files.update(_below(match, skipped) if match.is_dir() else [match])
    return sorted(files, key=str), list(skipped.items()), faults


def _below(folder: Path, skipped: dict[str, str]) -> list[Path]:
    """Return all files below a folder; folders that hold no scenes are noted in ``skipped``."""
    files: list[Path] = []
    for root, folders, names in os.walk(folder):
        for name in list(folders):
            reason = _no_scenes_in(Path(root) / name)
            if reason:
                skipped[str(Path(root) / name)] = reason
                folders.remove(name)
        files.extend(Path(root) / name for name in names)
    return files


def _no_scenes_in(folder: Path) -> str | None:
    """Return why a folder is not searched, or None."""
    if folder.name.startswith("."):
        return "a hidden folder"
    if any((folder / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray")):
        return "a Zarr store: open it from Python (taxoscape.open_cube)"
    return "a run folder of taxoscape" if (folder / "run.toml").is_file() else None


def _judge(path: Path) -> tuple[str | None, str | None]:
    """Return (reason to pass over a file, fault that refuses it); both None for a raster."""
    if path.name.startswith("."):
        return "a hidden file", None
    if not path.is_file():
        return None, f"{shown(path)} is no file: a broken link?"
    try:
        kind = sniff(path)
    except InputError as error:
        return None, str(error)
    if kind in ("tiff", "jp2"):
        return None, None
    if path.suffix.lower() in IMAGE_ENDINGS:
        return None, f"{shown(path)} is not a GeoTIFF or JPEG 2000: it {LOOKS[kind]}; fetch it anew or take it away"
    if kind in ("hdf5", "netcdf"):
        return f"{LOOKS[kind]}: open it from Python (taxoscape.open_cube)", None
    return LOOKS[kind], None
