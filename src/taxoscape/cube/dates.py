"""When a scene was taken.

Authorities, the highest first: a CSV of the caller, the file's name, its tags of the acquisition, the folders that hold
it (the nearest first), and last the TIFF tag DateTime, which by its definition is when the file was written. A name is
read by patterns in a fixed order, the ones that say most first: a product's own naming (Sentinel-2, Landsat, MODIS),
then a full date, year and day of year, year and month (its first day). A bare year is no date, and neither is a month
in a name that holds two different ones, a number with a unit (``2019_10m``), a month in the future (``tile_2048_12``)
or the time of a product's processing. The clock time is dropped: what was taken on one day is one date.
"""

from __future__ import annotations

import calendar
import csv
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from taxoscape.cube.rasters import Header
from taxoscape.cube.wording import counted, named, shortened, shown
from taxoscape.errors import InputError

FOLDERS_READ = 3
"""Folders above a file whose names are looked at."""
MANY_BANDS = 10
"""Bands from which a file without date may hold its dates as bands."""

_YEAR = r"(?:19[5-9]\d|20\d\d)"
_PRODUCTS = (
    # Landsat collections: acquisition, then processing
    re.compile(r"(?<![A-Za-z])L[COTEM]\d{2}_L\w{2,4}_\d{6}_(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})(?!\d)"),
    # Landsat before collections, also as ordered from ESPA: path, row, year, day of year, then station and version
    re.compile(rf"(?<![A-Za-z])L[COTEM](?:0\d|\d)\d{{6}}(?P<y>{_YEAR})(?P<j>\d{{3}})(?=[A-Z]{{3}}\d{{2}}|[-_.]|$)"),
    # Landsat collections as ordered from ESPA: path, row, day, collection, tier
    re.compile(rf"(?<![A-Za-z])L[COTEM]0\d\d{{6}}(?P<y>{_YEAR})(?P<m>\d{{2}})(?P<d>\d{{2}})\d{{2}}(?:T\d|RT)"),
    # Sentinel-2 before 2016-12: V marks the sensing time, other times are of processing
    re.compile(r"_V(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})T\d{6}"),
    # MODIS, VIIRS: A marks the acquisition, the last number is the processing time
    re.compile(rf"(?<![A-Za-z0-9])A(?P<y>{_YEAR})(?P<j>\d{{3}})(?!\d)"),
    # AppEEARS, ECOSTRESS: doy marks year and day of year, the clock follows
    re.compile(rf"(?<![A-Za-z])doy(?P<y>{_YEAR})(?P<j>\d{{3}})(?:\d{{6}})?(?!\d)", re.IGNORECASE),
)
_PROCESSED = re.compile(r"(?<![A-Za-z0-9])SC\d{14}(?!\d)")
"""When ESPA made a Landsat product."""
_UNDATED = re.compile(r"S2[A-D]_(?:OPER|USER)_")
"""Names of Sentinel-2 in which times are of the processing."""
_UNIT = r"(?i:[kc]?m|bands?|bits?)(?![a-zA-Z])"
_FULL = re.compile(
    rf"(?<!\d)(?P<y>{_YEAR})(?:(?P<s>[-_.:])(?P<m>\d{{2}})(?P=s)(?P<d>\d{{2}})(?!\d|{_UNIT})"
    r"|(?P<m2>\d{2})(?P<d2>\d{2})(?:(?=T\d)|(?:\d{4}|\d{6})?(?!\d)))"
)
_DAY_OF_YEAR = re.compile(rf"(?<!\d)(?P<y>{_YEAR})(?P<j>\d{{3}})(?:(?=T\d)|(?!\d))")
_WEAK = (
    # year, separator, day of year; not 2019_256_256, the size of a picture
    re.compile(rf"(?<!\d)(?P<y>{_YEAR})[-_.](?P<j>\d{{3}})(?:(?=T\d)|(?![\da-zA-Z]))(?![-_.]\d{{3}}(?![\da-zA-Z]))"),
    # year, month; not the first two of three numbers
    re.compile(rf"(?<!\d)(?P<y>{_YEAR})(?P<s>[-_.]?)(?P<m>\d{{2}})(?![\da-zA-Z])(?!(?P=s)\d{{1,2}}(?![\da-zA-Z]))"),
)
"""What is a date only where a name holds no other one of the kind, and none in the future."""
_TAGS = (
    "DATE_ACQUIRED", "ACQUISITION_DATE", "ACQUISITIONDATE", "ACQUISITION_DATETIME", "SENSING_TIME",
    "PRODUCT_START_TIME", "TIME_COVERAGE_START", "RANGEBEGINNINGDATE", "DATETIME", "DATE",
)  # fmt: skip
_WRITTEN = "TIFFTAG_DATETIME"
"""When the file was written."""
_RANGE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


def date_in(text: str) -> date | None:
    """Return the date that a name holds, or None.

    Examples
    --------
    >>> date_in("T30TXN_20190105T110431_TCI_10m"), date_in("NDVI_2017214")
    (datetime.date(2019, 1, 5), datetime.date(2017, 8, 2))
    >>> date_in("NDVI_2010-07"), date_in("sinop-crop-class_2000_9_2001_8")
    (datetime.date(2010, 7, 1), None)
    """
    text = _PROCESSED.sub("", text)
    for pattern in _PRODUCTS:
        found = _first(pattern, text)
        if found:
            return found
    if _UNDATED.search(text):
        return None
    today = datetime.now(UTC).date()
    found = _first(_FULL, text) or _first(_DAY_OF_YEAR, text, last=today)
    if found:
        return found
    for pattern in _WEAK:
        days = {day for match in pattern.finditer(text) if (day := _date(match)) and day <= today}
        if days:
            return days.pop() if len(days) == 1 else None
    return None


def date_of(header: Header) -> date | None:
    """Return the date of a raster by its name, its tags, its folders or when it was written, or None."""
    found = date_in(header.path.stem)
    if found:
        return found
    tags = {name.upper(): value for name, value in header.tags.items()}
    for name in _TAGS:
        found = _first(_FULL, tags.get(name, ""))
        if found:
            return found
    for folder in list(header.path.parents)[:FOLDERS_READ]:
        found = date_in(folder.name)
        if found:
            return found
    return _first(_FULL, tags.get(_WRITTEN, ""))


def date_rasters(headers: Sequence[Header], table: str | None) -> tuple[dict[Path, date], list[str]]:
    """Date rasters; return their dates by path, and the faults: of rasters without one, of lines that mean no raster.

    Parameters
    ----------
    headers
        The rasters.
    table
        Path of a CSV file with the columns ``file`` and ``date``; a file is meant by its name or by the end of its
        path.

    Raises
    ------
    InputError
        Where the CSV cannot be read.
    """
    given = read_table(Path(table)) if table else {}
    dates: dict[Path, date] = {}
    undated: list[Header] = []
    for header in headers:
        found = _listed(header.path, given) or date_of(header)
        if found:
            dates[header.path] = found
        else:
            undated.append(header)
    return dates, _unmatched(headers, given) + ([_undated(undated)] if undated else [])


def read_table(path: Path) -> dict[str, date]:
    """Read a CSV file with the columns ``file`` and ``date`` (ISO; a bare year is its first day): dates by file.

    Raises
    ------
    InputError
        Where it cannot be read, lacks a column, or holds dates that are none; lines are numbered.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            rows = [(reader.line_num, row) for row in reader]
            columns = [(name or "").strip().lower() for name in reader.fieldnames or ()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the dates in {shown(path)} cannot be read: {error} (--dates)") from None
    if not {"file", "date"} <= set(columns):
        raise InputError(
            f"{shown(path)} has the columns {', '.join(columns)}: its first line must have 'file' and 'date' (--dates)"
        )
    dates: dict[str, date] = {}
    faults = []
    for line, row in rows:
        cells = {(name or "").strip().lower(): value for name, value in row.items() if isinstance(value, str)}
        name, text = cells.get("file", "").strip(), cells.get("date", "").strip()
        found = date(int(text), 1, 1) if re.fullmatch(_YEAR, text) else date_in(text)
        if not name or found is None:
            faults.append(f"line {line}: '{name}' has the date '{text}'")
        elif dates.setdefault(_plain(name), found) != found:
            faults.append(f"line {line}: '{name}' has a second date '{text}'")
    if faults:
        raise InputError(
            f"dates in {shown(path)} that cannot be used: {'; '.join(faults[:5])} (--dates; write 2020-03-01)"
        )
    return dates


def within(day: date, start: str | None, end: str | None) -> bool:
    """Whether a date lies between two dates, both included; ``2020`` and ``2020-03`` mean the whole year or month."""
    first = _range(start, "--start")[0] if start else date.min
    last = _range(end, "--end")[1] if end else date.max
    if first > last:
        raise InputError(f"no date lies between {start} and {end}: the start is after the end (--start, --end)")
    return first <= day <= last


def _range(text: str, option: str) -> tuple[date, date]:
    match = _RANGE.fullmatch(text.strip())
    try:
        if not match:
            raise ValueError
        year, month, day = int(match[1]), int(match[2] or 0), int(match[3] or 0)
        first = date(year, month or 1, day or 1)
    except ValueError:
        raise InputError(f"'{text}' is no date: write 2020-03-01, 2020-03 or 2020 ({option})") from None
    if day:
        return first, first
    last_month = month or 12
    return first, date(year, last_month, calendar.monthrange(year, last_month)[1])


def _first(pattern: re.Pattern[str], text: str, *, last: date = date.max) -> date | None:
    """Return the first match of a pattern that is a day of the calendar and not after the last one."""
    for match in pattern.finditer(text):
        found = _date(match)
        if found and found <= last:
            return found
    return None


def _date(match: re.Match[str]) -> date | None:
    parts = match.groupdict()
    year = int(parts["y"])
    try:
        if parts.get("j"):
            day = date(year, 1, 1) + timedelta(days=int(parts["j"]) - 1)
            return day if day.year == year else None
        return date(year, int(parts.get("m") or parts.get("m2") or 0), int(parts.get("d") or parts.get("d2") or 1))
    except ValueError:
        return None


def _listed(path: Path, given: Mapping[str, date]) -> date | None:
    """Return the date of a file in a table, by the longest end of its path that the table holds."""
    return next((given[end] for end in _ends(path) if end in given), None)


def _ends(path: Path) -> list[str]:
    """Return the ways in which a table may call a file: the ends of its path, the longest first."""
    return ["/".join(path.parts[start:]).replace("//", "/") for start in range(len(path.parts))]


def _unmatched(headers: Sequence[Header], given: Mapping[str, date]) -> list[str]:
    """Return the fault of files of a table that are none of the rasters."""
    lost = set(given).difference(*(_ends(header.path) for header in headers)) if given else set()
    if not lost:
        return []
    return [
        f"{counted(len(lost), 'line')} of the table of dates without a scene: {shortened(sorted(lost))}; a scene whose "
        "name is misspelt there would silently get another date: correct those lines or take them out (--dates)"
    ]


def _plain(name: str) -> str:
    name = name.replace("\\", "/")
    return name[2:] if name.startswith("./") else name


def _undated(headers: Sequence[Header]) -> str:
    text = (
        f"{counted(len(headers), 'file')} without a date in name, tags or folder: {named(h.path for h in headers)}; "
        "put it into the names (2020-03-01) or give a table with the columns file,date (--dates CSV)"
    )
    stacked = [h for h in headers if h.n_bands >= MANY_BANDS]
    if stacked:
        text += (
            f"; {shown(stacked[0].path)} has {stacked[0].n_bands} bands: dates stored as bands of one file cannot be "
            "read yet, split it into a file per date"
        )
    return text
