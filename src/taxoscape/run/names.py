"""The names of the zones of a run: kept from run to run, in ``zones.toml``.

With the file go the labels of the zones that it names, so that a name follows its zone when the partition changes: to
the new zone that holds most of its tiles. The file says by an id which labels these are, and they are written first: a
kill at any moment leaves names and labels that belong together.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.analysis.names import propose_names
from taxoscape.files import replacing
from taxoscape.publish.names import NAMES_FILE, merge_names, partition_of, proposal_rows, read_names, save_names
from taxoscape.run.folder import STAGES_FOLDER, RunFolder
from taxoscape.zones.matching import overlap_order

if TYPE_CHECKING:
    import numpy.typing as npt

    from taxoscape.analysis.cards import ZoneCard
    from taxoscape.publish.names import NameRow


def update_names(
    folder: RunFolder,
    cards: Sequence[ZoneCard],
    labels: npt.NDArray[np.integer],
    *,
    names: Sequence[str] | None = None,
) -> tuple[NameRow, ...]:
    """Propose names for the zones and write them, with those kept that the user gave.

    Parameters
    ----------
    folder
        The run.
    cards
        What each zone is like.
    labels
        Integer (tile,): zones 1…K, 0 = none.
    names
        What the zones are called in the run that they were taken from, in the place of proposals.

    Raises
    ------
    InputError
        Where the file of names is no longer what it must be; it stays as it is.
    """
    path = folder / NAMES_FILE
    proposed = propose_names(cards)
    if names is not None:
        proposed = tuple(replace(own, name=name) for own, name in zip(proposed, names, strict=True))
    rows = proposal_rows(cards, proposed)
    old, before = read_names(path), partition_of(path)
    if old:
        given = [row.zone for row in old if row.edited or row.extra]
        rows = merge_names(old, _order(folder, before, labels, len(cards), given), rows)
    now = _keep(folder, labels)
    lost = save_names(path, rows, partition=now)
    if lost:
        text = f"{path} was written anew without {', '.join(lost)}; as it was, it lies beside it (.bak)"
        warnings.warn(text, stacklevel=2)
    if before != now:
        _labels_path(folder, before).unlink(missing_ok=True)
    return rows


def current_names(folder: RunFolder, k: int) -> list[str]:
    """Return the name of each zone of a run, as its file of names says now; "Zone 1" where it says nothing."""
    known = {row.zone: row.name for row in read_names(folder / NAMES_FILE)}
    return [known.get(zone, f"Zone {zone}") for zone in range(1, k + 1)]


def _keep(folder: RunFolder, labels: npt.NDArray[np.integer]) -> str:
    """Keep the labels of zones that are about to be named, before the file of names tells of them; return their id."""
    content = np.ascontiguousarray(labels, dtype="<u2")
    partition = hashlib.sha256(content.tobytes()).hexdigest()[:16]
    path = _labels_path(folder, partition)
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, content)
    return partition


def _labels_path(folder: RunFolder, partition: str) -> Path:
    return folder / STAGES_FOLDER / f"named-{partition}.npy"


def _order(
    folder: RunFolder, partition: str, labels: npt.NDArray[np.integer], k: int, given: Sequence[int]
) -> dict[int, int] | None:
    """Return the new number of each zone that the user named; None where the partition is the same or not known.

    Zones with a proposed name do not compete: their tiles get a new proposal anyway.
    """
    try:
        before = np.load(_labels_path(folder, partition))
    except (OSError, ValueError, EOFError):
        return None
    if before.shape != labels.shape:
        return {}
    if np.array_equal(before, labels):
        return None
    most = max(k, int(before.max(initial=0)))
    before = np.where(np.isin(before, given), before, 0)
    order = overlap_order(labels, before, most)
    overlaps = {zone: int(((before == zone) & (labels == order[zone - 1])).sum()) for zone in range(1, most + 1)}
    return {zone: int(order[zone - 1]) for zone, shared in overlaps.items() if shared and order[zone - 1] <= k}
