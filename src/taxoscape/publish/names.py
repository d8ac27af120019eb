"""The names of the zones in a TOML that people edit and later runs keep.

A table per zone. ``name`` is what maps, legend and report use; ``proposed`` is what taxoscape made of the zone's card.
A name that differs from the proposed one is the user's, and stays with the zone as long as the zone does; one that does
not differ follows the proposal. Other keys in a zone's table stay too. Comments, keys outside the tables and the names
of zones that are gone cannot be kept in a file that is written anew: then the file as it was lies beside it, as
``zones.toml.bak`` (``.bak2`` and so on), which is never written over.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from taxoscape.analysis.cards import ZoneCard
from taxoscape.analysis.names import ProposedName
from taxoscape.cube.wording import shown
from taxoscape.errors import InputError
from taxoscape.files import write_text

NAMES_FILE = "zones.toml"
"""The file in a run folder."""

HEAD = """\
# What the zones are called. Edit a "name": maps, legend and report will use it (taxoscape publish RUN), and later runs
# keep it as long as the zone is there. "proposed" and "evidence" are written anew each time.
"""
"""Comment at the start of the file."""

PARTITION = "partition"
"""Key of the id of the zones that the file names."""
_OWN = ("name", "proposed", "evidence", "area_km2")


@dataclass(frozen=True, slots=True, kw_only=True)
class NameRow:
    """The names of a zone."""

    zone: int
    """Label, 1…K."""
    name: str
    """What the zone is called."""
    proposed: str
    """What taxoscape would call it."""
    evidence: str = ""
    """The numbers behind the proposed name."""
    area_km2: float = 0.0
    """Area on the ground."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Other keys that the user wrote into the zone's table."""

    @property
    def edited(self) -> bool:
        """Whether the name is the user's."""
        return self.name != self.proposed


def proposal_rows(cards: Sequence[ZoneCard], proposed: Sequence[ProposedName]) -> tuple[NameRow, ...]:
    """Return the rows of zones that nobody has named yet."""
    return tuple(
        NameRow(zone=card.zone, name=p.name, proposed=p.name, evidence=p.evidence, area_km2=card.area_km2)
        for card, p in zip(cards, proposed, strict=True)
    )


def merge_names(
    old: Sequence[NameRow], order: Mapping[int, int] | None, proposals: Sequence[NameRow]
) -> tuple[NameRow, ...]:
    """Return the proposals with the user's names kept.

    Parameters
    ----------
    old
        The rows of the file as it is.
    order
        New number of each old zone that is still there (largest overlap of tiles); None: the same partition, so the
        numbers are the same.
    proposals
        The rows of the zones as they are now, all unedited.

    Returns
    -------
    One row per proposal, in their order: with the name of the old zone where that was edited, and its other keys.
    Where several old zones became one, the lowest edited one gives its name.
    """
    kept: dict[int, NameRow] = {}
    for row in sorted(old, key=lambda row: (not row.edited, row.zone)):
        number = row.zone if order is None else order.get(row.zone)
        if number is not None:
            kept.setdefault(number, row)
    merged = []
    for proposal in proposals:
        before = kept.get(proposal.zone)
        if before is None:
            merged.append(proposal)
        else:
            name = before.name if before.edited else proposal.name
            merged.append(replace(proposal, name=name, extra=before.extra))
    return tuple(merged)


def names_text(rows: Sequence[NameRow], partition: str = "") -> str:
    """Return the text of the file; ``partition`` is an id of the zones that it names."""
    import tomli_w

    parts = [HEAD, *([tomli_w.dumps({PARTITION: partition})] if partition else [])]
    for row in rows:
        own = {"name": row.name, "proposed": row.proposed, "evidence": row.evidence, "area_km2": round(row.area_km2, 3)}
        parts.append(tomli_w.dumps({"zone": {str(row.zone): {**own, **row.extra}}}))
    return "\n".join(parts)


def parse_names(text: str, where: str = NAMES_FILE) -> tuple[NameRow, ...]:
    """Return the rows of the text of the file, by rising zone.

    Parameters
    ----------
    text
        TOML.
    where
        What messages call the file.

    Raises
    ------
    InputError
        Where it is no TOML, or a table or value is not what it must be; the file is left as it is.
    """
    mend = f"mend it, or move {where} away to start from the proposed names"
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where} is no valid TOML ({error}): the names in it cannot be used; {mend}") from None
    tables = document.get("zone", {})
    if not isinstance(tables, dict):
        raise InputError(f"{where}: 'zone' holds no tables: write [zone.1] and the name below it; {mend}")
    rows = []
    for key, table in tables.items():
        if not (key.isascii() and key.isdigit() and int(key) > 0) or not isinstance(table, dict):
            raise InputError(f"{where}: [zone.{key}] is no zone: zones are tables numbered from 1, [zone.1]; {mend}")
        rows.append(_row(int(key), table, where, mend))
    return tuple(sorted(rows, key=lambda row: row.zone))


def lost_in_rewriting(text: str, rows: Sequence[NameRow]) -> list[str]:
    """Return what of the user's a file written anew from ``rows`` would no longer hold; empty: nothing.

    Parameters
    ----------
    text
        The file as it is, valid.
    rows
        What is to be written.
    """
    lost = []
    own = set(HEAD.splitlines())
    if any(_has_comment(line) for line in text.splitlines() if line not in own):
        lost.append("comments")
    if set(tomllib.loads(text)) - {"zone", PARTITION}:
        lost.append("keys outside the zones")
    now = {row.name for row in rows}
    held = [row.extra for row in rows]
    for row in parse_names(text):
        if row.edited and row.name not in now:
            lost.append(f"the name '{row.name}' of the former zone {row.zone}")
        elif row.extra and row.extra not in held:
            lost.append(f"other keys of the former zone {row.zone}")
    return lost


def read_names(path: Path) -> tuple[NameRow, ...]:
    """Return the rows of a file; none where there is no file.

    Raises
    ------
    InputError
        Where it cannot be read or is not valid.
    """
    text = _text(path)
    return () if text is None else parse_names(text, shown(path))


def edited_names(path: Path) -> dict[str, str]:
    """Return the user's own names in a file by zone number, as text; none where there is no file."""
    return {str(row.zone): row.name for row in read_names(path) if row.edited}


def partition_of(path: Path) -> str:
    """Return the id of the zones that a file names, which `save_names` was given; "" where it tells none."""
    text = _text(path)
    return "" if text is None else str(tomllib.loads(text).get(PARTITION, ""))


def save_names(path: Path, rows: Sequence[NameRow], *, partition: str = "") -> list[str]:
    """Write the file, and first put aside what it would lose.

    Returns
    -------
    What of the user's the new file does not hold; the old file lies beside it then, with ``.bak`` after its name. Empty
    where nothing was lost.

    Raises
    ------
    InputError
        Where the file that is there is not valid; nothing is written then.

    Notes
    -----
    All or nothing; a file that would not change is not touched.
    """
    before, text = _text(path), names_text(rows, partition)
    if before == text:
        return []
    lost: list[str] = []
    if before is not None:
        parse_names(before, shown(path))
        lost = lost_in_rewriting(before, rows)
        if lost:
            write_text(_free(path), before)
    write_text(path, text)
    return lost


def _row(zone: int, table: Mapping[str, Any], where: str, mend: str) -> NameRow:
    words = {}
    for key in ("name", "proposed", "evidence"):
        value = table.get(key, "")
        if not isinstance(value, str):
            raise InputError(f'{where}: {key} of [zone.{zone}] is text, as in {key} = "dark, smooth"; {mend}')
        words[key] = " ".join(value.splitlines()).strip()
    area = table.get("area_km2", 0.0)
    known = isinstance(area, int | float) and not isinstance(area, bool)
    return NameRow(
        zone=zone, name=words["name"] or words["proposed"], proposed=words["proposed"], evidence=words["evidence"],
        area_km2=float(area) if known else 0.0, extra={k: v for k, v in table.items() if k not in _OWN},
    )  # fmt: skip


def _has_comment(line: str) -> bool:
    """Whether a line of TOML ends in a comment; a # inside a quoted text is none."""
    quote = ""
    escaped = False
    for letter in line:
        if quote:
            if escaped:
                escaped = False
            elif letter == "\\" and quote == '"':
                escaped = True
            elif letter == quote:
                quote = ""
        elif letter in "\"'":
            quote = letter
        elif letter == "#":
            return True
    return False


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise InputError(f"{shown(path)} is no UTF-8 text: save it as UTF-8, or move it away") from None
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read: {error.strerror}") from None


def _free(path: Path) -> Path:
    """Return a name for a copy beside a file that is not taken."""
    number = 1
    while True:
        copy = path.with_name(f"{path.name}.bak{'' if number == 1 else number}")
        if not copy.exists():
            return copy
        number += 1
