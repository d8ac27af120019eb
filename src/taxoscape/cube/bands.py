"""Which bands files hold, what they are called, and which of them are wanted.

Names come from the descriptions inside the files where these agree, else, for files of one band each, from a token of
the file name (``B02``, ``SR_B4``, ``red``, ``NDVI``), else bands are numbered. Files of one band with different
names are the bands of one scene as separate files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from taxoscape.cube.rasters import Header
from taxoscape.cube.wording import counted, named, shortened
from taxoscape.errors import InputError

_BAND = (
    r"(?:(?:SR|ST|TOA|BOA)_)?B\d{1,2}A?|band_?\d{1,2}|red[_-]?edge[_-]?\d?|red\d?|green\d?|blue\d?|nir\d{0,2}"
    r"|swir[_-]?\d{0,2}|coastal|cirrus|pan|tir\d{0,2}|vv|vh|hh|hv|ndvi|evi2?|savi|ndwi|mndwi|ndmi|nbr|ndfi|lai|fapar"
    r"|scl|fmask|cfmask|qa_pixel|qa_radsat|clm|cld|snw|tci|aot|wvp|pvi"
)
_NAME = re.compile(_BAND, re.IGNORECASE)
_TOKEN = re.compile(rf"(?:^|[_\-. ])({_BAND})(?=$|[_\-. ])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """The bands of a set of files."""

    names: tuple[str, ...]
    """Bands of the cube, in order."""
    indexes: dict[Path, tuple[tuple[str, int], ...]]
    """For each file: (name, 1-based number in the file) of the wanted bands that it holds; it may hold none."""


def arrange_bands(headers: Sequence[Header], wanted: Sequence[str] = ()) -> Bands:
    """Name the bands of files and pick the wanted ones.

    Parameters
    ----------
    headers
        The files.
    wanted
        Names (upper or lower case, ``B2`` is ``B02``) or 1-based numbers, in the order wanted; empty: all.

    Raises
    ------
    InputError
        Where files differ in their bands (the odd ones are named), or a wanted band is not there.
    """
    held = _described(headers, wanted) if len({h.n_bands for h in headers}) > 1 else _alike(headers)
    names = _in_order(held)
    picked = pick_bands(names, wanted)
    numbers = {
        path: tuple((name, bands.index(name) + 1) for name in picked if name in bands) for path, bands in held.items()
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


def _alike(headers: Sequence[Header]) -> dict[Path, tuple[str, ...]]:
    """Return the names of the bands of files that all have the same number of them."""
    n = headers[0].n_bands
    descriptions = [h.descriptions for h in headers]
    if n == 1:
        said = [_name(h.descriptions[0]) for h in headers]
        tokens = said if all(said) else [band_in(h.path.stem) for h in headers]
        if all(tokens) and (tokens is not said or len({_fold(t) for t in tokens}) > 1):
            return _spelled_alike({h.path: (token or "",) for h, token in zip(headers, tokens, strict=True)})
    if all(_names_bands(names) for names in descriptions):
        if len({frozenset(map(_fold, names)) for names in descriptions}) == 1:
            return _spelled_alike({h.path: tuple(map(str, h.descriptions)) for h in headers})
        if n > 1 and all(_name(name) for names in descriptions for name in names):
            raise InputError(_differing(headers))
    return {h.path: tuple(str(i + 1) for i in range(n)) for h in headers}


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
    usual = Counter(frozenset(map(_fold, h.descriptions)) for h in headers).most_common(1)[0][0]
    odd = [h for h in headers if frozenset(map(_fold, h.descriptions)) != usual]
    most = next(h for h in headers if frozenset(map(_fold, h.descriptions)) == usual)
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
