"""Which content files have: the sha256 of each, not computed twice for a file that did not change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, MutableMapping
from pathlib import Path

from taxoscape.cube.wording import shown
from taxoscape.errors import InputError

CHUNK_BYTES = 1 << 20


def fingerprint(paths: Iterable[str | Path], cache: MutableMapping[str, str] | None = None) -> dict[str, str]:
    """Return the sha256 of files.

    Parameters
    ----------
    paths
        The files.
    cache
        Digests known from before, by size, time of change and path; new ones are added. It holds only text, so it can
        be kept as JSON. None: all are computed.

    Returns
    -------
    dict
        Hexadecimal digest by path, as the path was given.

    Raises
    ------
    InputError
        Where a file cannot be read.

    Notes
    -----
    Streams a megabyte at a time; about a second for a gigabyte. A file that was changed without a change of its size
    and its time of change passes for unchanged where a cache is given.
    """
    known = {} if cache is None else cache
    digests = {}
    for path in paths:
        file = Path(path)
        try:
            status = file.stat()
            key = f"{status.st_size}:{status.st_mtime_ns}:{file.absolute()}"
            if key not in known:
                known[key] = _sha256(file)
        except OSError as error:
            raise InputError(f"{shown(file)} cannot be read: {error.strerror}") from None
        digests[str(path)] = known[key]
    return digests


def _sha256(path: Path) -> str:
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            sha.update(chunk)
    return sha.hexdigest()
