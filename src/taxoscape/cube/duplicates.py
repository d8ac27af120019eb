"""One date twice over the same pixels: a copy is left out, a contradiction is refused.

Scenes of one date whose extents are the same, or nearly so (what they share is 90 % of each), are compared pixel by
pixel where both lie. The same content and extent: the later path is left out. Parts of one image that fill each other's
holes: both are kept and mosaicked. Different values where both are valid: nobody can tell which is right, so they are
refused. Scenes that overlap less are neighbours and need no comparison: the first valid pixel by path wins.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np

from taxoscape.cube.box import Box, blocks
from taxoscape.cube.mosaic import Scene, scenes_of
from taxoscape.cube.planned import CubePlan
from taxoscape.cube.wording import named, shown, together
from taxoscape.errors import InputError

BYTES_AT_ONCE = 1 << 25
"""Bytes of a scene, all bands, that are compared at a time."""
NEARLY = 0.9
"""Share of each of two extents from which they are taken for the same."""

Verdict = Literal["same", "apart", "different"]


def settle_duplicates(plan: CubePlan) -> CubePlan:
    """Return a plan without copies.

    Raises
    ------
    InputError
        Where two scenes of a date and nearly one extent differ in pixels that are valid in both; both are named.
    """
    faults: list[str] = []
    dropped: dict[str, str] = {}
    for day, scenes in scenes_of(plan.files).items():
        for one, other in combinations(scenes, 2):
            if not _nearly_same(one.box, other.box) or {one.files[0].path, other.files[0].path} & dropped.keys():
                continue
            verdict = compare(one, other, plan)
            if verdict == "different":
                paths = named([*(f.path for f in one.files[:1]), *(f.path for f in other.files[:1])])
                faults.append(
                    f"{day} is there twice with different content over the same pixels: {paths}; nothing tells which "
                    "is right: leave one out, or give them their dates (--dates CSV)"
                )
            elif verdict == "same":
                dropped.update(
                    (copy.path, f"a copy of {shown(kept.path)}")
                    for kept, copy in zip(one.files, other.files, strict=True)
                )
    if faults:
        raise InputError(together(faults[:5] + ([f"and {len(faults) - 5} more"] if len(faults) > 5 else [])))
    if not dropped:
        return plan
    return replace(
        plan,
        files=tuple(file for file in plan.files if file.path not in dropped),
        skipped=tuple(sorted([*plan.skipped, *dropped.items()])),
    )


def compare(one: Scene, other: Scene, plan: CubePlan) -> Verdict:
    """Compare what two scenes share, block by block.

    Returns
    -------
    str
        ``same``: same extent, values and holes; ``different``: other values where both are valid; ``apart``: else.

    Notes
    -----
    Reads both scenes, once in a process as long as their files do not change.
    """
    states = tuple(_state(file.path) for scene in (one, other) for file in scene.files)
    nodata = math.nan if plan.nodata is not None and math.isnan(plan.nodata) else plan.nodata  # one NaN for the cache
    return _compare(one, other, plan.bands, plan.dtype, nodata, states)


@lru_cache(maxsize=4096)
def _compare(
    one: Scene,
    other: Scene,
    bands: tuple[str, ...],
    dtype: str,
    nodata: float | None,
    states: tuple[Any, ...],  # noqa: ARG001
) -> Verdict:
    """Compare two scenes whose files are in given states; these are for the cache alone."""
    box = one.box.intersect(other.box)
    same = one.box == other.box
    pixels_at_once = BYTES_AT_ONCE // (len(bands) * np.dtype(dtype).itemsize)
    for block in blocks((box.height, box.width), block=256, pixels=pixels_at_once):
        window = Box(block.row + box.row, block.col + box.col, block.height, block.width)
        values = [scene.read(window, bands, np.dtype(dtype)) for scene in (one, other)]
        valids = [scene.valid(v, window, bands, nodata) for scene, v in zip((one, other), values, strict=True)]
        if ((values[0] != values[1]).any(axis=0) & valids[0] & valids[1]).any():
            return "different"
        same = same and bool((valids[0] == valids[1]).all())
    return "same" if same else "apart"


def _nearly_same(one: Box, other: Box) -> bool:
    shared = one.intersect(other)
    largest = max(one.height * one.width, other.height * other.width)
    return shared.height * shared.width >= NEARLY * largest


def _state(path: str) -> tuple[int, int] | None:
    """Return what tells whether a file changed, or None where it is gone."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
