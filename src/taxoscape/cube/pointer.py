"""A cube that is read in place: ``cube.json``, the plan of it and what its files were when it was made.

Later stages read the files anew, so a file that has become another one since would mix two states of a region. Size
and time of change tell that at once; where only the time differs, the content decides if its sha256 is known.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from taxoscape.cube.fingerprint import fingerprint
from taxoscape.cube.planned import CubePlan, plan_from_json, plan_to_json
from taxoscape.cube.wording import shown
from taxoscape.errors import InputError
from taxoscape.files import write_text


def write_pointer(path: Path, plan: CubePlan, sums: Mapping[str, str] | None = None) -> None:
    """Write a plan and the state of its files.

    Parameters
    ----------
    path
        Where to.
    plan
        What is read in place.
    sums
        sha256 of the files by path, where it is known.

    Raises
    ------
    InputError
        Where a file is gone.
    """
    state = {_from(path, file.path): [*_state(Path(file.path)), (sums or {}).get(file.path)] for file in plan.files}
    plan = replace(plan, files=tuple(replace(file, path=_from(path, file.path)) for file in plan.files))
    write_text(path, json.dumps({**json.loads(plan_to_json(plan)), "state": state}, indent=1))


def read_pointer(path: Path) -> CubePlan:
    """Read the plan that `write_pointer` wrote.

    Raises
    ------
    InputError
        Where it is no such plan, or one of its files is gone or was changed since; the file is named.

    Notes
    -----
    Looks at each file without opening it; one with another time of change, but of the same size, is read whole.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{shown(path)} cannot be read: {error}") from None
    home = path.resolve().parent
    plan = plan_from_json(text)
    plan = replace(plan, files=tuple(replace(file, path=os.path.normpath(home / file.path)) for file in plan.files))
    state: dict[str, list[Any]] = json.loads(text).get("state", {})
    for name, (size, changed, checksum) in state.items():
        file = home / name
        file = Path(os.path.normpath(file))
        mend = f"put it back as it was, or begin anew (taxoscape run {shown(_run_file(path))} --overwrite)"
        if not file.exists():
            raise InputError(f"the scene {shown(file)} is gone, which {shown(path)} reads in place: {mend}")
        now = _state(file)
        if now == (size, changed):
            continue
        if now[0] != size or checksum is None or fingerprint([file])[str(file)] != checksum:
            raise InputError(
                f"the scene {shown(file)}, which {shown(path)} reads in place, was changed since: what was made of it "
                f"before and what will be would not fit; {mend}"
            )
    return plan


def _run_file(pointer: Path) -> Path:
    """Return the run file of the run that a pointer lies in: beside it, or above it where the run has regions."""
    beside, above = pointer.parent / "run.toml", pointer.parent.parent / "run.toml"
    return above if above.exists() and not beside.exists() else beside


def _from(pointer: Path, file: str) -> str:
    """Return the path of a file from the folder of a pointer, so that both can be moved together."""
    try:
        return Path(os.path.relpath(file, pointer.resolve().parent)).as_posix()
    except ValueError:  # another drive
        return file


def _state(file: Path) -> tuple[int, int]:
    """Return (size in bytes, time of change in ns) of a file."""
    try:
        status = file.stat()
    except OSError as error:
        raise InputError(f"{shown(file)} cannot be read: {error.strerror}") from None
    return status.st_size, status.st_mtime_ns
