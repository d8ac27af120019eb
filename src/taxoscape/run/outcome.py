"""What a stage works with, and what it says it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taxoscape.config import Settings
from taxoscape.progress import Track
from taxoscape.run.folder import RunFolder


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a stage did."""

    outputs: tuple[str, ...]
    """What it made, by name in the run folder."""
    summary: str
    """One line for people."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Facts for status and report."""
