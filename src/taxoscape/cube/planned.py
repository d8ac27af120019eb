"""What a cube will be made of, before a pixel is read.

A `CubePlan` is a plain value: which file gives which bands of which date to which pixels. It can be printed, kept as
JSON (``cube.json``, a cube that is read in place) and read by `taxoscape.cube.mosaic`.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np

from taxoscape.cube.area import Area
from taxoscape.cube.box import Box
from taxoscape.cube.wording import counted, shortened, shown
from taxoscape.errors import InputError
from taxoscape.grid import Lattice

Day = date
JSON_VERSION = 1
"""Version of the layout of ``cube.json``."""
BLOCK_IN_PLACE = (128, 1024)
"""Smallest and largest internal block with which a file is read in place as fast as a store."""
LAYOUTS_IN_PLACE = frozenset({"GTiff/none", "GTiff/deflate", "GTiff/zstd", "GTiff/lzw", "GTiff/uncompressed"})
"""Drivers and compressions that are quick to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """One file of a cube."""

    path: str
    """Absolute path."""
    date: date
    """Day on which it was taken, or the date of a calendar or the first day of a period that it stands for."""
    scene: int
    """Number of its scene among those of the date: where scenes overlap, the lowest number with a valid pixel wins."""
    bands: tuple[str, ...]
    """Names of the bands that are taken from it."""
    indexes: tuple[int, ...]
    """1-based numbers of those bands in the file."""
    box: Box
    """Where it lies in the cube, in pixels."""
    flipped: bool
    """Whether its first row is the southernmost."""
    masked: bool
    """Whether it carries a mask of its own."""
    block: tuple[int, int]
    """Rows and columns of its internal blocks."""
    layout: str
    """Driver and compression, as ``GTiff/deflate``."""
    taken: Day | None = None
    """Day on which it was taken, where ``date`` is another one that it stands for (`taxoscape.cube.periods`,
    `taxoscape.cube.laid`)."""

    @property
    def day(self) -> Day:
        """Day on which it was taken."""
        return self.taken or self.date


@dataclass(frozen=True, slots=True, kw_only=True)
class CubePlan:
    """A cube to be: made by `taxoscape.cube.plan.plan_cube`."""

    files: tuple[PlannedFile, ...]
    """Files used, by date, scene and path."""
    skipped: tuple[tuple[str, str], ...]
    """Path and reason of each file that is left out."""
    dates: tuple[date, ...]
    """Days, rising and unique."""
    bands: tuple[str, ...]
    """Names of the bands, in order."""
    lattice: Lattice
    """Pixels of the bounding box of all scenes."""
    dtype: str
    """NumPy name of the pixel type, as read."""
    nodata: float | None
    """Value that means "no data"; NaN may be one."""
    area: Area | None = None
    """The polygons outside of which no pixel is valid; None: none."""
    period: str = "dates"
    """The calendar, as `taxoscape.cube.periods.period_of` takes it."""
    composite: str = "first"
    """What stands for a pixel that is valid on several days of a date: ``median``, or else the first by scene."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Size of the cube (time, band, y, x)."""
        return len(self.dates), len(self.bands), self.lattice.height, self.lattice.width

    @property
    def n_bytes(self) -> int:
        """Bytes of the cube, uncompressed, with its mask."""
        dates, bands, height, width = self.shape
        return dates * height * width * (bands * np.dtype(self.dtype).itemsize + 1)

    @property
    def n_scenes(self) -> int:
        """Number of scenes: images of one date and place, be they one file or one for each band."""
        return len({(file.date, file.scene) for file in self.files})

    def describe(self) -> str:
        """Return the plan in words, for people: a few lines."""
        dates, bands, height, width = self.shape
        east, north = _kilometres(self.lattice)
        span = str(self.dates[0]) if dates == 1 else f"{self.dates[0]} … {self.dates[-1]}"
        nodata = "none declared" if self.nodata is None else f"{self.nodata:g}"
        lines = [
            f"scenes   {counted(self.n_scenes, 'scene')} in {counted(len(self.files), 'file')}, "
            f"{counted(dates, 'date')}: {span}",
            f"bands    {bands}: {shortened(self.bands, 15)}",
            f"area     {height} × {width} pixels (rows × columns), {north:.4g} × {east:.4g} km (north × east)",
            f"values   {self.dtype}, no data: {nodata}, {_bytes(self.n_bytes)} uncompressed",
        ]
        if self.area is not None:
            held = counted(self.area.n_features, "polygon")
            lines.insert(3, f"aoi      {self.area.name}: cropped to {held}, nothing outside counts")
        if self.period != "dates":
            days = counted(len({file.day for file in self.files}), "day")
            lines.insert(1, f"calendar {self.period}: {days}, of each period the {self.composite} valid pixel")
        reasons: dict[str, list[str]] = defaultdict(list)
        for path, reason in self.skipped:
            reasons[reason].append(shown(path))
        if reasons:
            lines.append(f"left out {counted(len(self.skipped), 'file')}:")
            lines.extend(f"  {shortened(paths)}: {reason}" for reason, paths in reasons.items())
        return "\n".join(lines)


def can_read_in_place(plan: CubePlan) -> bool:
    """Whether the files are as quick to read as a store made of them.

    They are where each date is one GeoTIFF that covers the whole area, cut into internal blocks of 128 to 1024 pixels
    and compressed by nothing slower than deflate.
    """
    _, _, height, width = plan.shape
    whole, (small, large) = Box(0, 0, height, width), BLOCK_IN_PLACE
    return len(plan.files) == len(plan.dates) == len({file.date for file in plan.files}) and all(
        file.box.intersect(whole) == whole
        and file.layout in LAYOUTS_IN_PLACE
        and not file.flipped
        and all(small <= edge <= large for edge in file.block)
        for file in plan.files
    )


def plan_to_json(plan: CubePlan) -> str:
    """Return a plan as JSON; `plan_from_json` is the inverse."""
    values = asdict(plan)
    values["nodata"] = "nan" if plan.nodata is not None and math.isnan(plan.nodata) else plan.nodata
    return json.dumps({"taxoscape_cube": JSON_VERSION, **values}, default=str, indent=1)


def plan_from_json(text: str) -> CubePlan:
    """Return the plan that `plan_to_json` wrote.

    Raises
    ------
    InputError
        Where the text is no such plan.
    """
    try:
        values = json.loads(text)
        if values.pop("taxoscape_cube") != JSON_VERSION:
            raise InputError("the cube was planned by another version of taxoscape: make it anew (taxoscape cube)")
        files = tuple(_file(**file) for file in values.pop("files"))
        nodata = values.pop("nodata")
        return CubePlan(
            files=files,
            skipped=tuple((path, reason) for path, reason in values["skipped"]),
            dates=tuple(date.fromisoformat(day) for day in values["dates"]),
            bands=tuple(values["bands"]),
            lattice=Lattice(**values["lattice"]),
            dtype=str(np.dtype(values["dtype"])),
            nodata=None if nodata is None else float(nodata),
            area=_area(values.get("area")),
            period=values.get("period", "dates"),
            composite=values.get("composite", "first"),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"this is no plan of a cube ({error}): make it anew (taxoscape cube)") from None


def _area(values: Any) -> Area | None:
    return None if values is None else Area(**{**values, "outlines": tuple(values["outlines"])})


def _file(**values: Any) -> PlannedFile:
    return PlannedFile(
        **{
            **values,
            "date": date.fromisoformat(values["date"]),
            "taken": date.fromisoformat(values["taken"]) if values.get("taken") else None,
            "bands": tuple(values["bands"]),
            "indexes": tuple(values["indexes"]),
            "box": Box(*values["box"]),
            "block": tuple(values["block"]),
        }
    )


def _kilometres(lattice: Lattice) -> tuple[float, float]:
    """Return (east-west, north-south) extent in km, along the middle of the area."""
    from pyproj import CRS, Geod

    system = CRS.from_wkt(lattice.crs)
    east, north = lattice.width * lattice.dx, lattice.height * lattice.dy
    if not system.is_geographic:
        factor = system.axis_info[0].unit_conversion_factor / 1000 if system.axis_info else 1e-3
        return east * factor, north * factor
    geod = system.get_geod() or Geod(ellps="WGS84")
    middle_x, middle_y = lattice.x0 + east / 2, lattice.y0 - north / 2
    along = geod.line_length([lattice.x0, middle_x, lattice.x0 + east], [middle_y] * 3)
    return along / 1000, geod.line_length([middle_x] * 2, [lattice.y0, lattice.y0 - north]) / 1000


def _bytes(number: int) -> str:
    size = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
