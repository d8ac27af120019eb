"""The names of the zones of a run: kept from run to run, in ``zones.toml``.

With the file go the labels of the zones that it names, so that a name follows its zone when the partition changes: to
the new zone that holds most of its tiles.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.analysis.names import propose_names
from taxoscape.publish.names import NAMES_FILE, merge_names, proposal_rows, read_names, save_names
from taxoscape.run.folder import STAGES_FOLDER, RunFolder
from taxoscape.zones.matching import overlap_order

if TYPE_CHECKING:
    import numpy.typing as npt

    from taxoscape.analysis.cards import ZoneCard
    from taxoscape.publish.names import NameRow

NAMED = "named.npy"
"""Labels of the zones that the file names, beside the markers of the stages."""


def update_names(folder: RunFolder, cards: Sequence[ZoneCard], labels: npt.NDArray[np.integer]) -> tuple[NameRow, ...]:
    """Propose names for the zones and write them, with those kept that the user gave.

    Parameters
    ----------
    folder
        The run.
    cards
        What each zone is like.
    labels
        Integer (tile,): zones 1…K, 0 = none.

    Raises
    ------
    InputError
        Where the file of names is no longer what it must be; it stays as it is.
    """
    path, named = folder / NAMES_FILE, folder / STAGES_FOLDER / NAMED
    rows = proposal_rows(cards, propose_names(cards))
    old = read_names(path)
    if old:
        rows = merge_names(old, _order(named, labels, len(cards)), rows)
    lost = save_names(path, rows)
    if lost:
        text = f"{path} was written anew without {', '.join(lost)}; as it was, it lies beside it (.bak)"
        warnings.warn(text, stacklevel=2)
    named.parent.mkdir(exist_ok=True)
    np.save(named, labels)
    return rows


def current_names(folder: RunFolder, k: int) -> list[str]:
    """Return the name of each zone of a run, as its file of names says now; "Zone 1" where it says nothing."""
    known = {row.zone: row.name for row in read_names(folder / NAMES_FILE)}
    return [known.get(zone, f"Zone {zone}") for zone in range(1, k + 1)]


def _order(named: Any, labels: npt.NDArray[np.integer], k: int) -> dict[int, int] | None:
    """Return the new number of each zone that was named; None where the partition is the same or not known."""
    try:
        before = np.load(named)
    except (OSError, ValueError):
        return None
    if before.shape != labels.shape:
        return {}
    if np.array_equal(before, labels):
        return None
    most = max(k, int(before.max(initial=0)))
    order = overlap_order(labels, before, most)
    overlaps = {zone: int(((before == zone) & (labels == order[zone - 1])).sum()) for zone in range(1, most + 1)}
    return {zone: int(order[zone - 1]) for zone, shared in overlaps.items() if shared and order[zone - 1] <= k}
