"""What refinement did to the zones: which tiles moved, from where to where (P^g against P^c).

Any two partitions of the same tiles can be compared. A tile takes part where both give it a zone; it has *moved* where
the two numbers differ, so the second partition must carry the numbers of the first (`taxoscape.zones.matching`). The
contingency, ARI and NMI do not depend on the numbering.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    Int = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The tiles that went from one zone to another."""

    before: int
    """Zone they were in."""
    after: int
    """Zone they are in now."""
    n_tiles: int
    """Number of tiles."""
    area_km2: float
    """Sum of the areas of their cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneChange:
    """What one zone kept, gained and lost, in tiles; tiles without a zone before or after take no part."""

    zone: int
    """Its number."""
    kept: int
    """Tiles that were in it and still are."""
    gained: int
    """Tiles that came from other zones."""
    lost: int
    """Tiles that went to other zones."""
    kept_km2: float
    """Area of the tiles kept."""
    gained_km2: float
    """Area of the tiles gained."""
    lost_km2: float
    """Area of the tiles lost."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Changes:
    """Two partitions of the same tiles, one against the other."""

    tiles: npt.NDArray[np.int64]
    """int64 (zone before, zone after): tiles by both zones, of 1…K each."""
    areas_km2: npt.NDArray[np.float64]
    """float64 (zone before, zone after): the same in km²."""
    n_tiles: int
    """Tiles with a zone in both."""
    n_moved: int
    """Of these, tiles whose number differs."""
    moved_share: float
    """``n_moved / n_tiles``, 0…1; NaN where no tile has a zone in both."""
    moved_km2: float
    """Area of the tiles that moved."""
    ari: float
    """Adjusted Rand index of the two partitions; NaN where no tile has a zone in both."""
    nmi: float
    """Normalised mutual information (arithmetic mean of the entropies); NaN like ``ari``."""
    moves: tuple[Move, ...]
    """Every pair of different zones with tiles that went from one to the other, by falling area."""
    zones: tuple[ZoneChange, ...]
    """What happened to each zone that has a number in either partition, in the order of the numbers."""


def changes(before: Int, after: Int, areas_km2: npt.NDArray[np.floating[Any]]) -> Changes:
    """Compare a partition with the one that came after it.

    Parameters
    ----------
    before, after
        Integer (tile,): zones 1…K, 0 = none. The numbers of zones may differ.
    areas_km2
        Real (tile,): area of each tile's cell (`taxoscape.areas.cell_areas_km2`).

    Returns
    -------
    Changes

    Raises
    ------
    InputError
        Where the three are not of the same tiles, or labels are not integers from 0 on.

    Notes
    -----
    One pass over the tiles, and tables of K × K. ARI and NMI are scikit-learn's. Source: METHOD step 6 gives P^g and
    P^c; the prototype does not compare them.
    """
    before, after, areas = _checked(before, after, areas_km2)
    k_before, k_after = int(before.max(initial=0)), int(after.max(initial=0))
    both = (before > 0) & (after > 0)
    old, new, size = before[both], after[both], areas[both]
    cell = (old - 1) * k_after + (new - 1)
    shape = (k_before, k_after)
    tiles = np.bincount(cell, minlength=k_before * k_after).reshape(shape).astype(np.int64)
    km2 = np.bincount(cell, weights=size, minlength=k_before * k_after).reshape(shape).astype(np.float64)
    moved = old != new
    ari, nmi = _indices(old, new)
    return Changes(
        tiles=tiles,
        areas_km2=km2,
        n_tiles=len(old),
        n_moved=int(moved.sum()),
        moved_share=float(moved.mean()) if len(old) else float("nan"),
        moved_km2=float(size[moved].sum()),
        ari=ari,
        nmi=nmi,
        moves=_moves(tiles, km2),
        zones=_zones(tiles, km2),
    )


def _moves(tiles: npt.NDArray[np.int64], km2: npt.NDArray[np.float64]) -> tuple[Move, ...]:
    found = [
        Move(before=int(a) + 1, after=int(b) + 1, n_tiles=int(tiles[a, b]), area_km2=float(km2[a, b]))
        for a, b in np.argwhere(tiles)
        if a != b
    ]
    return tuple(sorted(found, key=lambda move: (-move.area_km2, -move.n_tiles, move.before, move.after)))


def _zones(tiles: npt.NDArray[np.int64], km2: npt.NDArray[np.float64]) -> tuple[ZoneChange, ...]:
    k = max(tiles.shape)
    count, area = np.zeros((k, k), dtype=np.int64), np.zeros((k, k))
    count[: tiles.shape[0], : tiles.shape[1]], area[: tiles.shape[0], : tiles.shape[1]] = tiles, km2
    other = ~np.eye(k, dtype=bool)
    return tuple(
        ZoneChange(
            zone=z + 1,
            kept=int(count[z, z]),
            gained=int(count[other[:, z], z].sum()),
            lost=int(count[z, other[z]].sum()),
            kept_km2=float(area[z, z]),
            gained_km2=float(area[other[:, z], z].sum()),
            lost_km2=float(area[z, other[z]].sum()),
        )
        for z in range(k)
    )


def _indices(old: Int, new: Int) -> tuple[float, float]:
    """Return the adjusted Rand index and the normalised mutual information; NaN without tiles."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    if not len(old):
        return float("nan"), float("nan")
    return float(adjusted_rand_score(old, new)), float(normalized_mutual_info_score(old, new))


def _checked(
    before: Int, after: Int, areas_km2: npt.NDArray[np.floating[Any]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    before, after, areas = np.asarray(before), np.asarray(after), np.asarray(areas_km2, dtype=np.float64)
    if before.ndim != 1 or not before.shape == after.shape == areas.shape:
        raise InputError(
            f"the zones before {before.shape}, after {after.shape} and the areas {areas.shape} are not one value per "
            "tile of one grid: compare partitions of the same run"
        )
    for name, labels in (("before", before), ("after", after)):
        if labels.dtype.kind not in "ui" or labels.min(initial=0) < 0:
            raise InputError(f"the zones {name} are not whole numbers from 0 on (0: none), but {labels.dtype}")
    return before.astype(np.int64), after.astype(np.int64), areas
