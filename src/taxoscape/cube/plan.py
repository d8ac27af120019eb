"""From files to a plan: everything that can be refused is refused here, before pixels are read.

The order: find rasters, read headers, date them, name their bands, place them on one lattice, group them into scenes.
Faults of one kind are told all at once. Only where two files of a date claim the same pixels are pixels compared.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from taxoscape.config import CubeSettings
from taxoscape.cube.align import georeference_faults, place
from taxoscape.cube.area import read_area
from taxoscape.cube.bands import Bands, arrange_bands
from taxoscape.cube.box import Box
from taxoscape.cube.crop import crop_plan
from taxoscape.cube.dates import date_rasters, within
from taxoscape.cube.discover import Scenes, find_rasters
from taxoscape.cube.duplicates import settle_duplicates
from taxoscape.cube.laid import lay_on
from taxoscape.cube.periods import lay_in_periods, period_of
from taxoscape.cube.planned import CubePlan, PlannedFile, can_read_in_place, plan_from_json, plan_to_json
from taxoscape.cube.rasters import Header, read_header
from taxoscape.cube.wording import counted, named, shortened, together
from taxoscape.errors import InputError

__all__ = ["CubePlan", "can_read_in_place", "plan_cube", "plan_from_json", "plan_to_json"]

Skipped = list[tuple[str, str]]


def plan_cube(scenes: Scenes, settings: CubeSettings | None = None) -> CubePlan:
    """Plan a cube: which file gives which bands of which date to which pixels.

    Parameters
    ----------
    scenes
        GeoTIFF and JPEG 2000 files, folders (searched to the bottom), globs, or several of these.
    settings
        Bands, dates, nodata, first and last date, area of interest, calendar.

    Returns
    -------
    CubePlan
        With the files used, those left out and why.

    Raises
    ------
    InputError
        Where the files cannot make one cube: unreadable or cut off, no date, no georeference, mixed CRS or pixel sizes,
        grids that lie between each other's pixels, differing bands, types, scales or nodata, a band that is missing,
        one date twice with other content; or an area of interest cannot be read or holds no scene
        (`taxoscape.cube.area.read_area`). Files are named, the first ones and how many more.

    Notes
    -----
    Reads headers only, about a millisecond a file. Files of one date and place that could be duplicates are read
    whole, block by block. How dates are found is written in `taxoscape.cube.dates`, how bands are named in
    `taxoscape.cube.bands`, what is valid and who wins where scenes overlap in `taxoscape.cube.mosaic`.
    """
    settings = settings or CubeSettings()
    period_of(date.min, settings.period)  # refused before files are read, if it is none
    found = find_rasters(scenes)
    headers = _headers(found.rasters)
    skipped: Skipped = list(found.skipped)
    headers, dates = _dated(headers, settings, skipped)
    bands = _bands(headers, settings.bands, dates, skipped)
    if isinstance(bands, str):
        faults, chosen = [bands], headers
    else:
        faults, chosen = [], [h for h in headers if bands.indexes[h.path]]
    placed, misplaced = place(chosen)
    nodata, contradiction = _nodata(chosen, settings.nodata)
    faults += misplaced + _mixed_types(chosen) + contradiction
    if not isinstance(bands, str):
        faults += _mixed_scaling(chosen, bands)
    if faults or placed is None or isinstance(bands, str):
        raise InputError(together(faults))
    files = _files(chosen, dates, bands, placed.boxes)
    _check_complete(files, bands.names)
    plan = CubePlan(
        files=files,
        skipped=tuple(sorted(skipped)),
        dates=tuple(sorted({file.date for file in files})),
        bands=bands.names,
        lattice=placed.lattice,
        dtype=chosen[0].dtype,
        nodata=nodata,
    )
    if settings.aoi is not None:
        plan = crop_plan(plan, read_area(settings.aoi, plan.lattice))
    plan = lay_in_periods(settle_duplicates(plan), settings.period, settings.composite)
    return lay_on(plan, _days(settings.calendar), settings.match) if settings.calendar else plan


def _days(calendar: Sequence[str]) -> list[date]:
    """Return the dates of a calendar."""
    try:
        days = [date.fromisoformat(day) for day in calendar]
    except ValueError:
        raise InputError(f"a calendar is a list of dates such as 2020-03-01, not {shortened(calendar, 5)}") from None
    if days != sorted(set(days)):
        raise InputError(f"the dates of a calendar rise and differ, not {shortened(calendar, 5)}")
    return days


def _bands(headers: Sequence[Header], wanted: Sequence[str], dates: dict[Path, date], skipped: Skipped) -> Bands | str:
    """Return the bands of files, or the fault in words, so that it can be told together with others."""
    try:
        bands = arrange_bands(headers, wanted, dates)
    except InputError as error:
        return str(error)
    skipped += [
        (str(h.path), "holds none of the bands asked for (--bands)") for h in headers if not bands.indexes[h.path]
    ]
    return bands


def _headers(paths: Sequence[Path]) -> list[Header]:
    headers, faults = [], []
    for path in paths:
        try:
            headers.append(read_header(path))
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError(together(faults[:10] + ([f"and {len(faults) - 10} more"] if len(faults) > 10 else [])))
    return headers


def _dated(
    headers: Sequence[Header], settings: CubeSettings, skipped: Skipped
) -> tuple[list[Header], dict[Path, date]]:
    """Return the files between start and end, with their dates; what lies outside is added to ``skipped``."""
    dates, faults = date_rasters(headers, settings.dates)
    outside = {path for path, day in dates.items() if not within(day, settings.start, settings.end)}
    kept = [h for h in headers if h.path not in outside]
    faults = georeference_faults(kept) + faults
    if faults:
        raise InputError(together(faults))
    if not kept:
        first, last = min(dates.values()), max(dates.values())
        raise InputError(
            f"no scene lies between {settings.start or 'the first'} and {settings.end or 'the last'}: the "
            f"{counted(len(headers), 'file')} are of {first} to {last} (--start, --end)"
        )
    skipped += [(str(path), "outside of the dates asked for (--start, --end)") for path in sorted(outside)]
    return kept, dates


def _mixed_types(headers: Sequence[Header]) -> list[str]:
    types: dict[str, list[Path]] = defaultdict(list)
    for header in headers:
        types[header.dtype].append(header.path)
    if len(types) == 1:
        return []
    parts = [f"{name} in {counted(len(paths), 'file')} ({named(paths)})" for name, paths in types.items()]
    return [
        f"mixed types of pixels: {shortened(parts)}; such files are scaled differently (8-bit pictures beside "
        "reflectance?): leave some of them out, or pick bands of one type (--bands)"
    ]


def _mixed_scaling(headers: Sequence[Header], bands: Bands) -> list[str]:
    """Return the fault of bands that some files store by another scale or offset than others."""
    ways: dict[str, dict[tuple[float, float], list[Path]]] = defaultdict(lambda: defaultdict(list))
    for header in headers:
        for name, number in bands.indexes[header.path]:
            ways[name][header.scaling[header.numbers.index(number)]].append(header.path)
    name, mixed = next(((name, way) for name, way in ways.items() if len(way) > 1), ("", {}))
    if not mixed:
        return []
    parts = [f"{s:g} and {o:g} in {counted(len(paths), 'file')} ({named(paths)})" for (s, o), paths in mixed.items()]
    return [
        f"different scale and offset of the band {name}: {shortened(parts)}; one number would mean different things: "
        "store all files alike (gdal_translate -unscale), or leave some of them out"
    ]


def _nodata(headers: Sequence[Header], given: float | None) -> tuple[float | None, list[str]]:
    """Return the nodata value (the given one, else the one that files declare) and the fault of those that differ."""
    if given is not None:
        return given, []
    declared: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        if header.nodata is not None:
            declared["nan" if math.isnan(header.nodata) else repr(header.nodata)].append(header)
    if not declared:
        return None, []
    if len(declared) == 1:
        return next(iter(declared.values()))[0].nodata, []
    parts = [
        f"{float(value):g} in {counted(len(m), 'file')} ({named(h.path for h in m)})" for value, m in declared.items()
    ]
    return None, [
        f"different values for no data: {shortened(parts)}; holes would be taken for land: give the one that "
        "holds (--nodata)"
    ]


def _files(
    headers: Sequence[Header], dates: dict[Path, date], bands: Bands, boxes: dict[Path, Box]
) -> tuple[PlannedFile, ...]:
    """Return the files with their scenes numbered: files of a date and place with different bands make one scene."""
    places: dict[tuple[date, Box], list[Header]] = defaultdict(list)
    for header in headers:
        places[dates[header.path], boxes[header.path]].append(header)
    scenes: dict[date, list[list[Header]]] = defaultdict(list)
    for (day, _), members in places.items():
        seen: Counter[str] = Counter()
        layers: dict[int, list[Header]] = defaultdict(list)
        for header in sorted(members, key=lambda h: str(h.path)):
            band = bands.indexes[header.path][0][0]
            layers[seen[band]].append(header)
            seen[band] += 1
        scenes[day].extend(layers.values())
    files = []
    for day, members_of in scenes.items():
        for number, scene in enumerate(sorted(members_of, key=lambda s: str(s[0].path))):
            files += [_planned(h, day, number, bands, boxes[h.path]) for h in scene]
    return tuple(sorted(files, key=lambda file: (file.date, file.scene, file.path)))


def _planned(header: Header, day: date, scene: int, bands: Bands, box: Box) -> PlannedFile:
    names, indexes = zip(*bands.indexes[header.path], strict=True)
    return PlannedFile(
        path=str(header.path), date=day, scene=scene, bands=names, indexes=indexes, box=box, flipped=header.is_flipped,
        masked=header.masked, block=header.block, layout=header.layout,
    )  # fmt: skip


def _check_complete(files: Sequence[PlannedFile], bands: Sequence[str]) -> None:
    """Raise `InputError` where a scene lacks a band."""
    held: dict[tuple[date, int], set[str]] = defaultdict(set)
    paths: dict[tuple[date, int], list[str]] = defaultdict(list)
    for file in files:
        held[file.date, file.scene].update(file.bands)
        paths[file.date, file.scene].append(file.path)
    lacking = [
        f"{day} has no {', '.join(band for band in bands if band not in names)} (it has {named(paths[day, scene])})"
        for (day, scene), names in sorted(held.items())
        if not set(bands) <= names
    ]
    if lacking:
        raise InputError(
            f"bands are missing on some dates: {shortened(lacking)}; every scene needs every band: add the files, take "
            "those dates out, or pick bands that all have (--bands)"
        )
