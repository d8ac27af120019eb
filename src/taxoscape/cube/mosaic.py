"""Windows of a cube, read from the files of its plan.

The rules
---------
*Valid.* A pixel of a scene is valid where every band is finite and differs from nodata. One exception: where nodata
is 0 and a file holds several bands, dark pixels reach 0 in single bands, so there a pixel is invalid only where all
bands of the file are 0. Bands in files of their own are judged each by itself, because each file has its own holes.
Without nodata, integers are valid wherever a scene lies. A mask or alpha band inside a file counts too. The bands are
the ones of the cube: with one band picked and nodata 0, each 0 of it is invalid.

*Mosaic.* Where scenes of one date overlap, a pixel is that of the first scene in which it is valid, by the number of
the scene, which follows the sorted paths; where it is valid in none, that of the first scene there. Where no scene
lies, or outside of the area of interest, it is nodata where the dtype holds it, else NaN or 0, and it is invalid.

*Periods.* Where scenes of several days stand for one date (`taxoscape.cube.periods`), the same rule holds among them,
or the median of the days is taken, each mosaicked for itself; where no day is valid, it is then as where no scene lies.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.cube.area import Stencil
from taxoscape.cube.box import Box, blocks
from taxoscape.cube.median import lower_median
from taxoscape.cube.planned import CubePlan, PlannedFile
from taxoscape.cube.rasters import read_box, read_mask

if TYPE_CHECKING:
    import numpy.typing as npt

MEDIAN_BYTES = 128 * 2**20
"""Bytes of pixels of all days of a period that are held to take their median, unless a square has more."""
MEDIAN_PX = 512
"""Edge of the squares of which it is taken."""
REMEMBERED_BYTES = 128 * 2**20
"""Largest window that is remembered, so that asking for its values and then for its mask reads files once."""


def valid_pixels(values: npt.NDArray[Any], nodata: float | None) -> npt.NDArray[np.bool_]:
    """Return which pixels of an image can be used.

    Parameters
    ----------
    values
        (band, row, col), integers or reals.
    nodata
        Value that means "no data", or None.

    Returns
    -------
    ndarray
        bool (row, col), True where the pixel can be used.

    Notes
    -----
    The rule is in the module's docstring.
    """
    floating = values.dtype.kind == "f"
    valid = np.isfinite(values).all(axis=0) if floating else np.ones(values.shape[1:], dtype=np.bool_)
    if nodata is None or math.isnan(nodata) or not _holds(values.dtype, nodata):
        return valid
    differs = values != values.dtype.type(nodata)
    held: npt.NDArray[np.bool_] = differs.any(axis=0) if nodata == 0 else differs.all(axis=0)
    return valid & held


def fill_of(dtype: np.dtype[Any], nodata: float | None) -> Any:
    """Return the value of pixels where no scene lies: nodata where the dtype holds it, else NaN, or 0 for integers."""
    if nodata is not None and _holds(dtype, nodata):
        return dtype.type(nodata)
    return dtype.type(math.nan) if dtype.kind == "f" else dtype.type(0)


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    """Whether a dtype can hold a value."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return not math.isfinite(value) or bool(np.isfinite(dtype.type(value)))
    info = np.iinfo(dtype)
    return math.isfinite(value) and value == int(value) and info.min <= int(value) <= info.max


@dataclass(frozen=True, slots=True)
class Scene:
    """What was seen of one place on one date, in one file or in one for each band."""

    files: tuple[PlannedFile, ...]
    """Files that together hold every band."""

    @property
    def box(self) -> Box:
        """Where the scene lies in the cube."""
        return self.files[0].box

    def read(self, box: Box, bands: Sequence[str], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Read bands in a window of the cube that lies in the scene: (band, row, col)."""
        values = np.empty((len(bands), box.height, box.width), dtype)
        for file in self.files:
            wanted = [(i, file.indexes[file.bands.index(band)]) for i, band in enumerate(bands) if band in file.bands]
            if wanted:
                rows, indexes = (list(column) for column in zip(*wanted, strict=True))
                values[rows] = read_box(
                    Path(file.path), indexes, box.relative_to(file.box), shape=file.box[2:], flipped=file.flipped
                )
        return values

    def valid(
        self, pixels: npt.NDArray[Any], box: Box, bands: Sequence[str], nodata: float | None
    ) -> npt.NDArray[np.bool_]:
        """Return which of the pixels (band, row, col) that `read` gave can be used: bool (row, col)."""
        if len(self.files) == 1:
            masks = [valid_pixels(pixels, nodata)]
        else:
            held = [[i for i, band in enumerate(bands) if band in file.bands] for file in self.files]
            masks = [valid_pixels(pixels[rows], nodata) for rows in held]
        masks += [
            read_mask(Path(file.path), box.relative_to(file.box), shape=file.box[2:], flipped=file.flipped)
            for file in self.files
            if file.masked
        ]
        return np.logical_and.reduce(masks)  # type: ignore[no-any-return]


def scenes_of(files: Sequence[PlannedFile]) -> dict[Any, list[Scene]]:
    """Return the scenes of files by date, in the order in which they are pasted."""
    ordered = sorted(files, key=lambda file: (file.date, file.scene, file.path))
    scenes: dict[Any, list[Scene]] = {}
    for (day, _), members in groupby(ordered, key=lambda file: (file.date, file.scene)):
        scenes.setdefault(day, []).append(Scene(tuple(members)))
    return scenes


@dataclass
class Mosaic:
    """Reads windows of a planned cube; only the files that lie there, only the pixels asked for.

    Safe to use from several threads, and to pickle.
    """

    plan: CubePlan
    """What to read."""
    _scenes: list[list[Scene]] = field(init=False, repr=False)
    _last: threading.local = field(init=False, repr=False)
    _stencil: Stencil | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_date = scenes_of(self.plan.files)
        self._scenes = [by_date.get(day, []) for day in self.plan.dates]
        self._last = threading.local()
        self._stencil = None if self.plan.area is None else Stencil(self.plan.area, self.plan.lattice)

    def __reduce__(self) -> tuple[Any, ...]:
        return Mosaic, (self.plan,)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return np.dtype(self.plan.dtype)

    @property
    def _is_median(self) -> bool:
        return self.plan.composite == "median"

    def values(self, time: int, bands: Sequence[int], box: Box) -> npt.NDArray[Any]:
        """Read bands of a date in a window: (band, row, col), dtype as in the files."""
        here = self._here(time, box)
        if len(bands) == len(self.plan.bands) or self._is_median or not _apart(here, box):
            return self._both(time, box)[0][list(bands)]
        names = [self.plan.bands[band] for band in bands]
        values = self._empty(len(names), box)
        for scene in here:
            part = scene.box.intersect(box)
            values[:, *part.relative_to(box).slices] = scene.read(part, names, self.dtype)
        self._blank(values, box)
        return values

    def valid(self, time: int, box: Box) -> npt.NDArray[np.bool_]:
        """Read which pixels of a date can be used in a window: bool (row, col)."""
        here = self._here(time, box)
        masked = any(file.masked for scene in here for file in scene.files)
        if self.dtype.kind in "ui" and self.plan.nodata is None and not masked:
            valid = np.zeros((box.height, box.width), np.bool_)
            for scene in here:
                valid[scene.box.intersect(box).relative_to(box).slices] = True
            return valid if self._stencil is None else valid & self._stencil(box)
        return self._both(time, box)[1].copy()

    def _both(self, time: int, box: Box) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Return (values of all bands, valid) of a window, from memory where it was the last one asked for."""
        if getattr(self._last, "key", None) == (time, box):
            return self._last.both  # type: ignore[no-any-return]
        both = self._assemble(time, box)
        if both[0].nbytes <= REMEMBERED_BYTES:
            self._last.key, self._last.both = (time, box), both
        return both

    def _assemble(self, time: int, box: Box) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        if self._stencil is not None and not self._stencil(box).any():
            return self._empty(len(self.plan.bands), box), np.zeros((box.height, box.width), np.bool_)
        here = self._here(time, box)
        values, valid = self._median(here, box) if self._is_median else self._paste(here, box)
        inside = self._blank(values, box)
        return values, valid if inside is None else valid & inside

    def _median(self, scenes: Sequence[Scene], box: Box) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Return the median over the days of scenes, square by square, so that few pixels of all days are held."""
        values = self._empty(len(self.plan.bands), box)
        valid = np.zeros(values.shape[1:], np.bool_)
        days = [list(members) for _, members in groupby(scenes, key=lambda scene: scene.files[0].day)]
        at_once = MEDIAN_BYTES // max(1, len(days) * len(values) * self.dtype.itemsize)
        for part in blocks((box.height, box.width), block=MEDIAN_PX, pixels=at_once):
            window = Box(box.row + part.row, box.col + part.col, part.height, part.width)
            seen = np.empty((len(days), len(values), part.height, part.width), self.dtype)
            usable = np.zeros((len(days), part.height, part.width), np.bool_)
            for i, day in enumerate(days):
                seen[i], usable[i] = self._paste([s for s in day if not s.box.intersect(window).is_empty], window)
            if days:
                values[:, *part.slices], valid[part.slices] = lower_median(seen, usable)
        values[:, ~valid] = fill_of(self.dtype, self.plan.nodata)
        return values, valid

    def _paste(self, scenes: Sequence[Scene], box: Box) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Return of each pixel that of the first scene in which it is valid."""
        values = self._empty(len(self.plan.bands), box)
        valid = np.zeros(values.shape[1:], np.bool_)
        covered = np.zeros_like(valid)
        for scene in scenes:
            part = scene.box.intersect(box)
            at = part.relative_to(box).slices
            if valid[at].all():
                continue
            pixels = scene.read(part, self.plan.bands, self.dtype)
            usable = scene.valid(pixels, part, self.plan.bands, self.plan.nodata)
            if covered[at].any():
                np.copyto(values[:, *at], pixels, where=(usable & ~valid[at]) | ~covered[at])
            else:
                values[:, *at] = pixels
            valid[at] |= usable
            covered[at] = True
        return values, valid

    def _blank(self, values: npt.NDArray[Any], box: Box) -> npt.NDArray[np.bool_] | None:
        """Make pixels outside of the area of interest those of no data; return which lie inside, None: all."""
        if self._stencil is None:
            return None
        inside = self._stencil(box)
        values[:, ~inside] = fill_of(self.dtype, self.plan.nodata)
        return inside

    def _here(self, time: int, box: Box) -> list[Scene]:
        return [scene for scene in self._scenes[time] if not scene.box.intersect(box).is_empty]

    def _empty(self, n_bands: int, box: Box) -> npt.NDArray[Any]:
        return np.full((n_bands, box.height, box.width), fill_of(self.dtype, self.plan.nodata), self.dtype)


def _apart(scenes: Sequence[Scene], box: Box) -> bool:
    """Whether no two scenes overlap in a window."""
    parts = [scene.box.intersect(box) for scene in scenes]
    return all(a.intersect(b).is_empty for i, a in enumerate(parts) for b in parts[:i])
