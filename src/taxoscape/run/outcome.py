"""What a stage works with, and what it says it did."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from taxoscape.config import Settings
from taxoscape.errors import InputError, RunFolderError
from taxoscape.executor import Executor, in_process
from taxoscape.progress import Track
from taxoscape.run.folder import DIGEST_FILE, RunFolder

if TYPE_CHECKING:
    from taxoscape.embedding.ranks import Ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a stage is being done, as a worker finds it: on a file system that all share."""

    run: str
    """The run folder, absolute."""
    note: str
    """File in the folder of unfinished work that holds the digest of what is being made."""
    digest: str
    """What it held when the work was handed out."""

    def check(self) -> None:
        """Raise an error where the run folder cannot be seen, or the work was begun anew since."""
        try:
            now = Path(self.note).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise InputError(
                f"the worker on {socket.gethostname()} sees no {self.note}: run folder and scenes have to lie on a "
                "file system that all workers share, under the same path"
            ) from None
        if now != self.digest:
            raise RunFolderError(f"{self.run}: this work was begun anew under other settings; what was left is dropped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a stage works with."""

    folder: RunFolder
    """The run folder."""
    settings: Settings
    """Settings of the run; paths absolute."""
    scenes: tuple[str, ...]
    """Files, folders and globs; absolute."""
    work: Path
    """Folder for unfinished work, kept from a killed attempt under the same settings."""
    track: Track
    """Told of the progress."""
    execute: Executor = in_process
    """Does the blocks of a stage."""
    worker_device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where networks run on workers; ``auto``: each decides."""

    ranks: Ranks | None = None
    """Processes that train together; None: this one alone."""

    @property
    def place(self) -> Place:
        """Where the stage is being done, for workers."""
        note = (self.work / DIGEST_FILE).resolve()
        return Place(run=str(self.folder.path.resolve()), note=str(note), digest=note.read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a stage did."""

    outputs: tuple[str, ...]
    """What it made, by name in the run folder."""
    summary: str
    """One line for people."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Facts for status and report."""
