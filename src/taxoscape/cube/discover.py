"""Which rasters a caller means by files, folders and globs.

A path that exists is taken as it is, brackets and all, hidden or not; only what does not exist is tried as a glob.
Folders are searched to the bottom, also behind links, each once. What is no raster is passed over, with a reason that
`--dry-run` shows; but a file that is called like an image and is none (empty, an HTML page, a VRT) is refused, because
its date would be missing unnoticed.
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

BESIDE = {".ovr": "holds overviews of the file beside it", ".msk": "holds the mask of the file beside it"}
"""TIFFs that are no scenes, by ending, in words that follow "it"."""
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
        Where a path does not exist, a folder cannot be searched, a file that is called like an image is none, or there
        is no raster at all. All such files are named at once.
    """
    given = [scenes] if isinstance(scenes, str | os.PathLike) else list(scenes)
    if not given:
        raise InputError("no scenes are given: name files, folders or globs")
    files, skipped, faults = _expand(given)
    rasters: list[Path] = []
    for path, is_meant in sorted(files.items(), key=lambda item: str(item[0])):
        reason, fault = _judge(path, is_meant=is_meant)
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


def _expand(given: Iterable[str | Path]) -> tuple[dict[Path, bool], list[tuple[str, str]], list[str]]:
    """Return the files that are meant, each with whether it was named itself, folders passed over, and faults."""
    files: dict[Path, bool] = {}
    skipped: dict[str, str] = {}
    faults: list[str] = []
    searched: set[str] = set()
    for item in given:
        path = Path(os.path.abspath(Path(item).expanduser()))
        is_meant = os.path.lexists(path)
        matches = [path] if is_meant else [Path(p) for p in glob.glob(str(path), recursive=True)]  # noqa: PTH207
        if not matches:
            faults.append(f"there is no file, folder or match for {shown(path)}")
        for match in matches:
            if match.is_dir():
                for file in _below(match, searched, skipped, faults):
                    files.setdefault(file, False)
            else:
                files[match] = is_meant or files.get(match, False)
    return files, list(skipped.items()), faults


def _below(folder: Path, searched: set[str], skipped: dict[str, str], faults: list[str]) -> list[Path]:
    """Return all files below a folder, also behind links, but of no folder that was ``searched`` before.

    Folders that hold no scenes are noted in ``skipped``, those that cannot be searched in ``faults``.
    """

    def refuse(error: OSError) -> None:
        faults.append(
            f"{shown(error.filename)} cannot be searched: {error.strerror}; scenes in it would be missing unnoticed: "
            "make it readable or take it away"
        )

    files: list[Path] = []
    for root, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        place = os.path.realpath(root)
        if place in searched:
            folders.clear()
            continue
        searched.add(place)
        folders.sort()
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
    if any(os.path.isfile(folder / name) for name in ("zarr.json", ".zgroup", ".zarray")):  # noqa: PTH113
        return "a Zarr store: open it from Python (taxoscape.open_cube)"
    return "a run folder of taxoscape" if os.path.isfile(folder / "run.toml") else None  # noqa: PTH113


def _judge(path: Path, *, is_meant: bool) -> tuple[str | None, str | None]:
    """Return (reason to pass over a file, fault that refuses it); both None for a raster."""
    if path.name.startswith(".") and not is_meant:
        return "a hidden file", None
    if not path.is_file():
        return None, f"{shown(path)} is no file: a broken link?"
    try:
        kind = sniff(path)
    except InputError as error:
        return None, str(error)
    if kind in ("tiff", "jp2"):
        return BESIDE.get(path.suffix.lower()), None
    if path.suffix.lower() in IMAGE_ENDINGS:
        return None, f"{shown(path)} is not a GeoTIFF or JPEG 2000: it {LOOKS[kind]}; fetch it anew or take it away"
    if kind in ("hdf5", "netcdf"):
        return f"{LOOKS[kind]}: open it from Python (taxoscape.open_cube)", None
    return LOOKS[kind], None
