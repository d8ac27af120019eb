"""Write files so that a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; when the block ends well, put it in the place of ``path``.

    The temporary file has the same ending as ``path``, since some writers choose their format by it. Where the block
    raises, nothing is replaced and the temporary file is deleted.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with replacing(folder / "note.txt") as temporary:
    ...     _ = temporary.write_text("all or nothing")
    >>> (folder / "note.txt").read_text()
    'all or nothing'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp{path.suffix}")  # fits where a name of 255 bytes does
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        if os.name != "nt":
            _sync(path.parent)
    finally:
        for litter in ("", "-journal", "-wal", "-shm", ".aux.xml"):
            temporary.with_name(temporary.name + litter).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, all or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _sync(path: Path) -> None:
    """Force a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
