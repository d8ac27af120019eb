"""The table of zones: one row per zone, shared by maps, polygons, style, figures and report, so that none disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from taxoscape.areas import cell_areas_km2
from taxoscape.errors import InputError
from taxoscape.grid import Grid

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneRow:
    """What is known of one zone."""

    zone: int
    """Label, 1…K."""
    name: str
    """Name for people."""
    colour: tuple[int, int, int]
    """Red, green, blue, 0…255."""
    n_tiles: int
    """Number of its tiles."""
    area_km2: float
    """Sum of the areas of its cells on the ground."""
    share: float
    """Its share of the area of all zones, 0…1."""
    patches: int
    """Number of its pieces; cells that touch only at a corner are separate."""

    @property
    def hex(self) -> str:
        """The colour as ``#rrggbb``."""
        return "#{:02x}{:02x}{:02x}".format(*self.colour)


def zone_table(
    labels: npt.NDArray[Any], grid: Grid, colours: npt.NDArray[np.uint8], names: Sequence[str] | None = None
) -> tuple[ZoneRow, ...]:
    """Return a row for each zone, in the order of the labels.

    Parameters
    ----------
    labels
        Integer (tile,): 1…K, 0 = none.
    grid
        The grid of the tiles.
    colours
        uint8 (zone, 3).
    names
        One name per zone; where not given ``Zone 1`` and so on.

    Raises
    ------
    InputError
        Where labels, grid, colours and names do not fit each other.
    """
    n_zones = len(colours)
    names = default_names(n_zones) if names is None else names
    check_zone_labels(labels, grid, n_zones, names)
    areas = np.bincount(labels, weights=cell_areas_km2(grid), minlength=n_zones + 1)[1:]
    counts = np.bincount(labels, minlength=n_zones + 1)[1:]
    patches = _count_patches(grid.to_map(labels), n_zones)
    total = float(areas.sum())
    return tuple(
        ZoneRow(
            zone=k + 1,
            name=str(names[k]),
            colour=(int(colours[k][0]), int(colours[k][1]), int(colours[k][2])),
            n_tiles=int(counts[k]),
            area_km2=float(areas[k]),
            share=float(areas[k]) / total if total > 0 else 0.0,
            patches=int(patches[k]),
        )
        for k in range(n_zones)
    )


def largest_zones(table: Sequence[ZoneRow], most: int) -> tuple[list[ZoneRow], list[ZoneRow]]:
    """Split the zones that have tiles into the ``most`` largest and the rest, each in the order of their labels."""
    present = [row for row in table if row.n_tiles]
    largest = {row.zone for row in sorted(present, key=lambda row: (-row.area_km2, row.zone))[:most]}
    return [row for row in present if row.zone in largest], [row for row in present if row.zone not in largest]


def default_names(n_zones: int) -> tuple[str, ...]:
    """Return ``("Zone 1", "Zone 2", …)``."""
    return tuple(f"Zone {k}" for k in range(1, n_zones + 1))


def check_zone_labels(labels: npt.NDArray[Any], grid: Grid, n_zones: int, names: Sequence[str]) -> None:
    """Raise `InputError` unless labels fit the grid and each label has a colour and a name."""
    if labels.shape != (grid.n_tiles,) or labels.dtype.kind not in "ui":
        raise InputError(
            f"labels are integers, one per tile of the grid ({grid.n_tiles}); these are {labels.dtype} {labels.shape}"
        )
    if len(names) != n_zones:
        raise InputError(f"there are {n_zones} zones with colours but {len(names)} names: give one name per zone")
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if low < 0 or high > n_zones:
        raise InputError(
            f"labels run from {low} to {high}, but the {n_zones} zones have the labels 1…{n_zones}, 0 = none"
        )


def _count_patches(zone_map: npt.NDArray[Any], n_zones: int) -> npt.NDArray[np.int64]:
    """Return the number of 4-connected pieces of each zone: int64 (zone,)."""
    counts = np.zeros(n_zones, dtype=np.int64)
    for index, box in enumerate(ndimage.find_objects(zone_map.astype(np.int32), max_label=n_zones)):
        if box is not None:
            counts[index] = ndimage.label(zone_map[box] == index + 1)[1]
    return counts
