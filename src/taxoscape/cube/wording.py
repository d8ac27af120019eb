"""How this package speaks of files and faults: named, but shortened."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

NAMES_SHOWN = 3
"""Files that a message names before it says how many more there are."""


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path as people read it: from the current folder where it lies below it."""
    full = os.path.abspath(path)
    here = str(Path.cwd())
    if full != here and Path(full).is_relative_to(here):
        full = os.path.relpath(full, here)
    return full.encode("utf-8", "backslashreplace").decode().replace("\n", "\\n")


def named(paths: Iterable[str | os.PathLike[str]], limit: int = NAMES_SHOWN) -> str:
    """Return some paths in words: the first ones, how many more, and the folder that holds them all.

    Examples
    --------
    >>> named(["/scenes/a.tif"])
    '/scenes/a.tif'
    >>> named(["/scenes/a", "/scenes/b", "/scenes/c", "/scenes/d", "/scenes/e"])
    'a, b, c and 2 more in /scenes'
    """
    words = [shown(path) for path in paths]
    if len(words) == 1:
        return words[0]
    alike = len({Path(word).is_absolute() for word in words}) == 1
    folder = os.path.commonpath([str(Path(word).parent) for word in words]) if alike else ""
    if folder in ("", ".", "/"):
        return shortened(words, limit)
    return f"{shortened([os.path.relpath(word, folder) for word in words], limit)} in {folder}"


def shortened(words: Sequence[str], limit: int = NAMES_SHOWN) -> str:
    """Return words joined by commas, the first ``limit`` of them, and how many more there are."""
    if len(words) <= limit + 1:
        return ", ".join(words)
    return f"{', '.join(words[:limit])} and {len(words) - limit} more"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not one.

    Examples
    --------
    >>> counted(1, "file"), counted(26, "file")
    ('1 file', '26 files')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def together(faults: Sequence[str]) -> str:
    """Return several faults as one line, numbered where there is more than one.

    Examples
    --------
    >>> together(["no date", "no CRS"])
    '2 faults: (1) no date (2) no CRS'
    """
    if len(faults) == 1:
        return faults[0]
    return f"{len(faults)} faults: " + " ".join(f"({i}) {fault}" for i, fault in enumerate(faults, start=1))
