"""Which bands files hold, what they are called, and which of them are wanted.

Names come from the descriptions inside the files where these agree, else, for files of one band each, from a token of
the file name (``B02``, ``SR_B4``, ``red``, ``NDVI``) or from the end by which the names of files of one date and place
differ (``20200101_albedo``, ``20200101_lst``), else bands are numbered. Files of one band with different names are the
bands of one scene as separate files; where wanted bands are such files, files that hold others or tell none are passed
over.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from taxoscape.cube.rasters import Header
from taxoscape.cube.wording import counted, named, shortened
from taxoscape.errors import InputError

_BAND = (
    r"(?:(?:SR|ST|TOA|BOA)_)?B\d{1,2}A?|band_?\d{1,2}|red[_-]?edge[_-]?\d?|red\d?|green\d?|blue\d?|nir\d{0,2}"
    r"|swir[_-]?\d{0,2}|coastal|cirrus|pan|tir\d{0,2}|vv|vh|hh|hv|ndvi|evi2?|savi|ndwi|mndwi|ndmi|nbr|ndfi|lai|fapar"
    r"|scl|fmask|cfmask|qa_pixel|qa_radsat|clm|cld|snw|tci|aot|wvp|pvi"
)
_NAME = re.compile(_BAND, re.IGNORECASE)
_WORD = re.compile(r"[a-z][a-z_\-]*", re.IGNORECASE)
_TOKEN = re.compile(rf"(?:^|[_\-. ])({_BAND})(?=$|[_\-. ])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """The bands of a set of files."""

    names: tuple[str, ...]
    """Bands of the cube, in order."""
    indexes: dict[Path, tuple[tuple[str, int], ...]]
    """For each file: (name, 1-based number in the file) of the wanted bands that it holds; it may hold none."""


def arrange_bands(
    headers: Sequence[Header], wanted: Sequence[str] = (), dates: Mapping[Path, date] | None = None
) -> Bands:
    """Name the bands of files and pick the wanted ones.

    Parameters
    ----------
    headers
        The files.
    wanted
        Names (upper or lower case, ``B2`` is ``B02``) or 1-based numbers, in the order wanted; empty: all.
    dates
        When each file was taken, where it is known.

    Raises
    ------
    InputError
        Where files differ in their bands (the odd ones are named), or a wanted band is not there.
    """
    concerned = _concerned(headers, wanted)
    alike = len({h.n_bands for h in concerned}) == 1
    held = _alike(concerned, dates or {}) if alike else _described(concerned, wanted)
    names = _in_order(held)
    picked = pick_bands(names, wanted)
    numbers = {
        h.path: tuple((name, h.numbers[held[h.path].index(name)]) for name in picked if name in held[h.path])
        if h.path in held
        else ()
        for h in headers
    }
    return Bands(names=picked, indexes=numbers)


def pick_bands(names: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Pick bands by name or 1-based number.

    Raises
    ------
    InputError
        Where one is not there or is asked for twice.

    Examples
    --------
    >>> pick_bands(("B02", "B03", "B8A"), ("b3", "1"))
    ('B03', 'B02')
    """
    if not wanted:
        return tuple(names)
    exact = {name.casefold(): name for name in names}
    loose = {_loose(name): name for name in names}
    numbers = {str(i): name for i, name in enumerate(names, start=1)}
    picked: list[str] = []
    missing: list[str] = []
    for text in wanted:
        key = text.strip()
        name = exact.get(key.casefold()) or numbers.get(key) or loose.get(_loose(key))
        (missing if name is None else picked).append(text if name is None else name)
    if missing:
        raise InputError(
            f"there is no band {', '.join(missing)}: the scenes have {', '.join(names)}, which are numbers 1 to "
            f"{len(names)} (--bands)"
        )
    twice = [name for name, n in Counter(picked).items() if n > 1]
    if twice:
        raise InputError(f"the band {', '.join(twice)} is asked for more than once (--bands)")
    return tuple(picked)


def band_in(name: str) -> str | None:
    """Return the band that a file's name tells, or None.

    Examples
    --------
    >>> band_in("T30TXN_20190105T110431_B8A_20m"), band_in("LC08_L2SP_200030_20210714_20210721_02_T1_SR_B4")
    ('B8A', 'SR_B4')
    """
    found = _TOKEN.findall(name)
    return found[-1] if found else None


def _concerned(headers: Sequence[Header], wanted: Sequence[str]) -> Sequence[Header]:
    """Return the files that may hold wanted bands: all of them, unless some are files of one wanted band each.

    Then files of one band that name none are left out, and files of several (a picture in colours) that name others.
    """
    keys = {_loose(name) for name in wanted}
    told = {h.path: _told(h) for h in headers}
    if not any(h.n_bands == 1 and told[h.path] & keys for h in headers):
        return headers
    return [h for h in headers if told[h.path] & keys or bool(told[h.path]) == (h.n_bands == 1)]


def _told(header: Header) -> set[str]:
    """Return the bands that a file tells by its name and descriptions."""
    names = [band_in(header.path.stem), *map(_name, header.descriptions)]
    if header.n_bands > 1 and _names_bands(header.descriptions):
        names += header.descriptions
    return {_loose(name) for name in names if name}


def _alike(headers: Sequence[Header], dates: Mapping[Path, date]) -> dict[Path, tuple[str, ...]]:
    """Return the names of the bands of files that all have the same number of them."""
    separate = _separate(headers, dates) if headers[0].n_bands == 1 else None
    if separate:
        return _spelled_alike({path: (name,) for path, name in separate.items()})
    described = [h for h in headers if _names_bands(h.descriptions)]
    if len(described) == len(headers):
        for naming in (str, lambda name: band_in(name) or name):
            held = {h.path: tuple(naming(str(name)) for name in h.descriptions) for h in headers}
            kinds = {frozenset(map(_fold, names)) for names in held.values()}
            if len(kinds) == 1 and all(_names_bands(names) for names in held.values()):
                return _spelled_alike(held)
    if _contradict(described, in_order=len(described) < len(headers)):
        raise InputError(_differing(described))
    return {h.path: tuple(str(i + 1) for i in range(h.n_bands)) for h in headers}


def _separate(headers: Sequence[Header], dates: Mapping[Path, date]) -> Mapping[Path, str] | None:
    """Return the band of each of some files of one band, or None where names do not tell them apart."""
    said = {h.path: _name(h.descriptions[0]) for h in headers}
    if all(said.values()):
        return _if_all(said) if len({_fold(name) for name in said.values()}) > 1 else None
    return _if_all({h.path: band_in(h.path.stem) or said[h.path] for h in headers}) or _by_ending(headers, dates)


def _if_all(names: Mapping[Path, str | None]) -> dict[Path, str] | None:
    """Return names if each file has one."""
    found = {path: name for path, name in names.items() if name}
    return found if len(found) == len(names) else None


def _by_ending(headers: Sequence[Header], dates: Mapping[Path, date]) -> dict[Path, str] | None:
    """Return bands by the ends in which the names of files of one date and place differ, or None.

    Ends are bands if they are words, and one is there on several dates or is known as a band.
    """
    places: dict[Any, list[Path]] = defaultdict(list)
    for h in headers:
        places[dates.get(h.path, h.path), h.corner, h.height, h.width, h.path.parent].append(h.path)
    ends: dict[Path, str] = {}
    for paths in places.values():
        start = os.path.commonprefix([path.stem for path in paths])  # noqa: RUF071
        length = max(start.rfind(mark) for mark in "_-. ") + 1
        ends.update((path, path.stem[length:]) for path in paths if len(paths) > 1)
    times = Counter(map(_fold, ends.values()))
    for path in (h.path for h in headers if h.path not in ends):
        known = [end for end in times if re.search(rf"(?:^|[_\-. ]){re.escape(end)}$", _fold(path.stem))]
        ends[path] = max(known, key=len, default="")
    are_words = all(_WORD.fullmatch(end) or _NAME.fullmatch(end) for end in ends.values())
    are_bands = any(n > 1 for n in times.values()) or any(_NAME.fullmatch(end) for end in times)
    return ends if are_words and are_bands else None


def _contradict(headers: Sequence[Header], *, in_order: bool) -> bool:
    """Whether descriptions say that files hold different bands, or the same ``in_order``, rather than name images."""
    orders = {tuple(map(_fold, h.descriptions)) for h in headers}
    kinds = {frozenset(names) for names in orders}
    if len(kinds) < 2:
        return in_order and len(orders) > 1
    shared = Counter(name for names in kinds for name in names).most_common(1)[0][1] > 1
    return shared or any(band_in(name) for names in kinds for name in names)


def _described(headers: Sequence[Header], wanted: Sequence[str]) -> dict[Path, tuple[str, ...]]:
    """Return the names of the bands of files with different numbers of them: only wanted ones that all of them name."""
    held = {h.path: tuple(str(name) for name in h.descriptions) for h in headers}
    told = all(_names_bands(h.descriptions) for h in headers)
    keys = {_loose(name) for name in wanted}
    if wanted and told and all(keys <= {_loose(name) for name in names} for names in held.values()):
        kept = {path: tuple(name if _loose(name) in keys else "" for name in names) for path, names in held.items()}
        return _spelled_alike(kept)
    usual = Counter(h.n_bands for h in headers).most_common(1)[0][0]
    odd = [h for h in headers if h.n_bands != usual]
    counts = shortened([f"{named([h.path])} has {counted(h.n_bands, 'band')}" for h in odd])
    rest = f"the other {counted(len(headers) - len(odd), 'file')} {'has' if len(headers) - len(odd) == 1 else 'have'}"
    raise InputError(
        f"scenes with another number of bands: {counts}, {rest} {usual}; bands would be mixed up: leave those "
        "files out (by a glob or a list of files), or name bands that all files hold by description (--bands)"
    )


def _differing(headers: Sequence[Header]) -> str:
    orders = {h.path: tuple(map(_fold, h.descriptions)) for h in headers}
    sets = {path: frozenset(names) for path, names in orders.items()}
    kinds: Mapping[Path, Any] = sets if len(set(sets.values())) > 1 else orders
    usual = Counter(kinds.values()).most_common(1)[0][0]
    odd = [h for h in headers if kinds[h.path] != usual]
    most = next(h for h in headers if kinds[h.path] == usual)
    theirs, others = (", ".join(map(str, h.descriptions)) for h in (odd[0], most))
    return (
        f"scenes with other bands: {named(h.path for h in odd)} ({theirs}), the other "
        f"{counted(len(headers) - len(odd), 'file')} {others}; bands would be mixed up: leave those files out "
        "(by a glob or a list of files)"
    )


def _spelled_alike(held: dict[Path, tuple[str, ...]]) -> dict[Path, tuple[str, ...]]:
    """Return bands with each name spelled as it came first."""
    spelling: dict[str, str] = {}
    return {path: tuple(spelling.setdefault(_fold(name), name) for name in names) for path, names in held.items()}


def _in_order(held: dict[Path, tuple[str, ...]]) -> tuple[str, ...]:
    """Return all names: in the order of the first file, or naturally sorted where bands are separate files."""
    first, *others = held.values()
    if all(set(first) == set(other) for other in others):
        return tuple(name for name in first if name)
    return tuple(sorted({name for names in held.values() for name in names if name}, key=_natural))


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts B2, B8, B8A, B11 in this order."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", _fold(name)) if part]


def _names_bands(names: Iterable[str | None]) -> bool:
    """Whether descriptions are there and tell bands apart."""
    keys = [_fold(name) for name in names]
    return all(keys) and len(set(keys)) == len(keys)


def _name(text: str | None) -> str | None:
    """Return a description that is a band's name."""
    return text if text and _NAME.fullmatch(text) else None


def _fold(name: str | None) -> str:
    return (name or "").strip().casefold()


def _loose(name: str) -> str:
    """Return a name without upper case and leading zeros: ``B02`` is ``b2``."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", _fold(name))
