"""The run folder: one place for everything that a run makes, safe to kill at any moment.

``run.toml`` holds every setting and input; ``stages/<stage>.json`` is the marker of a finished stage, written last,
with the digest of what the stage was made from and the sizes and checksums of what it made. Work in progress lies under
``.work/<stage>/`` and is taken up again when the digest written there still fits.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli_w

from taxoscape.errors import InputError, RunFolderError
from taxoscape.files import write_text

SETTINGS_FILE = "run.toml"
LOG_FILE = "run.log"
STAGES_FOLDER = "stages"
WORK_FOLDER = ".work"
DIGEST_FILE = "digest"
"""In the folder of a stage's unfinished work: what it is being made from."""
HASHED_BYTES = 64 * 2**20
"""Files and folders up to this size are checked by content when a stage is skipped, larger ones by size."""


class RunFolder:
    """A run folder on disk.

    Parameters
    ----------
    path
        The folder; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __truediv__(self, name: str) -> Path:
        """Return the path of something in the folder."""
        return self.path / name

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return (self / SETTINGS_FILE).is_file()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the folder while the block runs.

        Raises
        ------
        RunFolderError
            Where another process works in the folder, or it cannot be written to.
        """
        from filelock import FileLock, Timeout

        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self / ".lock")
            lock.acquire(timeout=0)
        except Timeout:
            raise RunFolderError(
                f"{self.path}: another taxoscape works in this folder; wait for it or stop it"
            ) from None
        except (NotADirectoryError, FileExistsError):
            raise InputError(f"{self.path} is a file, not a folder: give another --out") from None
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot write here: {error.strerror}; give another --out") from None
        try:
            yield
        finally:
            lock.release()

    def read_document(self) -> dict[str, Any]:
        """Return ``run.toml`` as nested dictionaries.

        Raises
        ------
        RunFolderError
            Where there is none, or it cannot be read.
        """
        return read_toml(self / SETTINGS_FILE)

    def write_document(self, document: Mapping[str, Any]) -> None:
        """Replace ``run.toml``."""
        write_text(self / SETTINGS_FILE, _HEADER + tomli_w.dumps(dict(document)))

    def marker(self, stage: str) -> dict[str, Any] | None:
        """Return the marker of a finished stage, or None."""
        path = self / STAGES_FOLDER / f"{stage}.json"
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            whole = {"digest": str, "seconds": float | int, "outputs": dict, "notes": dict}
            return found if all(isinstance(found[name], kind) for name, kind in whole.items()) else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def finish(self, stage: str, digest: str, outputs: list[str], seconds: float, notes: Mapping[str, Any]) -> None:
        """Mark a stage as done: the last thing that a stage does."""
        content = {
            "stage": stage,
            "digest": digest,
            "seconds": round(seconds, 2),
            "outputs": {name: describe(self / name) for name in outputs},
            "notes": dict(notes),
        }
        write_text(self / STAGES_FOLDER / f"{stage}.json", json.dumps(content, indent=1))

    def renew(self, stage: str) -> None:
        """Take what lies there now as what a finished stage made, where that was added to on purpose."""
        marker = self.marker(stage)
        if marker is not None:
            self.finish(stage, marker["digest"], list(marker["outputs"]), marker["seconds"], marker["notes"])

    def is_done(self, stage: str, digest: str) -> bool:
        """Whether the stage was finished from just these settings and inputs, and what it made is still there."""
        return self.fault(stage, digest) is None

    def fault(self, stage: str, digest: str) -> str | None:
        """Return why a stage has to be done (again), or None where it is done."""
        marker = self.marker(stage)
        if marker is None:
            return "not done"
        if marker["digest"] != digest:
            return "stale: settings or inputs changed since"
        for name, recorded in marker["outputs"].items():
            if not (self / name).exists():
                return f"{name} is missing"
            if describe(self / name) != recorded:
                return f"{name} was changed or damaged"
        return None

    def forget(self, stage: str) -> None:
        """Take back the marker of a stage."""
        (self / STAGES_FOLDER / f"{stage}.json").unlink(missing_ok=True)

    def work(self, stage: str, digest: str) -> Path:
        """Return the folder for a stage's unfinished work, emptied unless it was begun under the same digest."""
        folder = self / WORK_FOLDER / stage
        note = folder / DIGEST_FILE
        if not (note.is_file() and note.read_text() == digest):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            write_text(note, digest)
        return folder

    def clear_work(self, stage: str) -> None:
        """Delete the unfinished work of a stage."""
        shutil.rmtree(self / WORK_FOLDER / stage, ignore_errors=True)

    def remove(self, names: list[str]) -> None:
        """Delete outputs by name, files and folders alike."""
        for name in names:
            path = self / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


_HEADER = (
    "# Every setting of this run. `taxoscape run run.toml` repeats it, here or with another --out.\n"
    "# Paths are relative to this file.\n\n"
)


def read_toml(path: Path) -> dict[str, Any]:
    """Return a TOML file as nested dictionaries.

    Raises
    ------
    InputError
        Where there is none, or it is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: is {path.parent} a run folder of taxoscape?") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no valid TOML: {error}") from None


def describe(path: Path, *, given: bool = False) -> dict[str, Any]:
    """Return what tells whether a file or folder is still what it was: its size and, unless huge, its sha256.

    A huge file that was ``given`` to a run, rather than made by it, is told by its time of change as well.
    """
    if path.is_dir():
        files = sorted(entry for entry in path.rglob("*") if entry.is_file())
        size = sum(entry.stat().st_size for entry in files)
        about: dict[str, Any] = {"files": len(files), "bytes": size}
        if size <= HASHED_BYTES:
            sha = hashlib.sha256()
            for entry in files:
                sha.update(f"{entry.relative_to(path).as_posix()}\0".encode() + entry.read_bytes())
            about["sha256"] = sha.hexdigest()
        return about
    size = path.stat().st_size
    if size > HASHED_BYTES:
        return {"bytes": size, **({"changed": path.stat().st_mtime_ns} if given else {})}
    return {"bytes": size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def digest_of(value: Any) -> str:
    """Return the sha256 of a JSON-able value, the same for equal values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
