"""How much memory there is, how many processes of ours share it, and sizes of memory as people write them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from taxoscape.errors import InputError

MEMINFO = Path("/proc/meminfo")
GROUP, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""The control group of this process, which a container or a batch system may have limited, and where groups are told
of."""
_LIMITS = (("memory.max", "memory.current", "memory.stat"),
           ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"))  # fmt: skip
LEAST = 5 * 2**28
"""Bytes that a run takes at least: Python, its libraries, and the blocks that they work on."""
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def free_memory() -> int:
    """Return the bytes of memory that this process can still take.

    What the system says is available, or less where the control group of the process allows less. Where neither is
    known, half of what the machine has.
    """
    known = [_available(), _left_in_group()]
    found = [size for size in known if size is not None]
    return max(0, min(found)) if found else _whole() // 2


def half_of_free() -> int:
    """Return half of `free_memory`, which is what is used where nothing else is said."""
    return free_memory() // 2


def processes_here() -> int:
    """Return how many processes ``torchrun`` has started on this machine; 1 where it has not."""
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def bytes_of(text: str) -> int:
    """Return a size of memory that is written as a number and a unit, in bytes.

    ``K``, ``M``, ``G`` and ``T`` are powers of 1 024, with or without ``B`` or ``iB``; a number alone is bytes.

    Examples
    --------
    >>> bytes_of("4G"), bytes_of("512 MiB"), bytes_of("1.5gb"), bytes_of("1000000")
    (4294967296, 536870912, 1610612736, 1000000)

    Raises
    ------
    InputError
        Where the text is anything else.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", text, re.IGNORECASE)
    if found is None:
        raise InputError(f"a size of memory is a number with a unit, such as 4G, 512M or 8GiB, not '{text}' (--memory)")
    return round(float(found[1]) * 2.0 ** (10 * _UNITS[found[2].casefold()]))


def _available() -> int | None:
    """Return what the system could give without swapping; None where it does not tell."""
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return 1024 * int(found[0]) if found else None


def _left_in_group() -> int | None:
    """Return what the control groups of this process leave it; None where they set no limit."""
    try:
        lines = GROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    left = []
    for line in lines:
        _, _, name = line.split(":", 2)
        for root in (GROUPS, GROUPS / "memory"):
            here = root / name.strip("/")
            for folder in (here, *(parent for parent in here.parents if parent.is_relative_to(root))):
                left += [size for names in _LIMITS if (size := _left(folder, names)) is not None]
    return min(left) if left else None


def _left(folder: Path, names: tuple[str, str, str]) -> int | None:
    """Return what the limit of one control group leaves, with what it could let go of its files."""
    try:
        limit, used = ((folder / name).read_text(encoding="ascii").strip() for name in names[:2])
        stat = dict(line.split() for line in (folder / names[2]).read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return None
    if not limit.isdigit() or int(limit) >= 2**60:
        return None
    return int(limit) - int(used) + int(stat.get("inactive_file", 0))


def _whole() -> int:
    """Return the memory of the machine; where that is not known, 4 GiB."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 4 * 2**30
