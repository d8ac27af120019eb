"""One date twice over the same pixels: a copy is left out, a contradiction is refused.

Scenes of one date with exactly the same extent are compared pixel by pixel. The same content: the later path is left
out. Parts of one image that fill each other's holes: both are kept and mosaicked. Different values where both are
valid: nobody can tell which is right, so they are refused. Scenes that overlap in part are neighbours and need no
comparison: the first valid pixel by path wins.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Literal

import numpy as np

from taxoscape.cube.box import Box, blocks
from taxoscape.cube.mosaic import Scene, scenes_of, valid_pixels
from taxoscape.cube.planned import CubePlan
from taxoscape.cube.wording import named, shown, together
from taxoscape.errors import InputError

PIXELS_AT_ONCE = 1 << 22
"""Pixels of a band that are compared at a time."""

Verdict = Literal["same", "apart", "different"]


def settle_duplicates(plan: CubePlan) -> CubePlan:
    """Return a plan without copies.

    Raises
    ------
    InputError
        Where two scenes of a date and extent differ in pixels that are valid in both; both are named.
    """
    faults: list[str] = []
    dropped: dict[str, str] = {}
    for day, scenes in scenes_of(plan.files).items():
        for one, other in combinations(scenes, 2):
            if one.box != other.box or {one.files[0].path, other.files[0].path} & dropped.keys():
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
    """Compare two scenes of the same extent, block by block.

    Returns
    -------
    str
        ``same``: same values and same holes; ``different``: other values where both are valid; ``apart``: else.
    """
    box = one.box
    same = True
    for block in blocks((box.height, box.width), block=256, pixels=PIXELS_AT_ONCE):
        window = Box(block.row + box.row, block.col + box.col, block.height, block.width)
        values, valids = [], []
        for scene in (one, other):
            pixels = scene.read(window, plan.bands, np.dtype(plan.dtype))
            valid = valid_pixels(pixels, plan.nodata)
            mask = scene.read_mask(window)
            values.append(pixels)
            valids.append(valid if mask is None else valid & mask)
        both = valids[0] & valids[1]
        if ((values[0] != values[1]).any(axis=0) & both).any():
            return "different"
        same = same and bool((valids[0] == valids[1]).all())
    return "same" if same else "apart"
