"""The partition of several regions at once, beside the one that each region makes of itself alone.

Source: METHOD step 13 (overall clustering). The paper reads the overall zones only; here each region is partitioned
again by itself, with as many zones as the overall partition has in it, and the two are compared. Where they agree,
the region's own structure is that of the whole; where they do not, the overall zones cut it in a way that only the
other regions explain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.analysis.agreement import agreement
from taxoscape.areas import cell_areas_km2
from taxoscape.contracts import check_series, check_zones
from taxoscape.cube.joined import Placement, split
from taxoscape.errors import InputError
from taxoscape.grid import Grid
from taxoscape.progress import Track, silent
from taxoscape.zones.clustering import Clusterer, cluster
from taxoscape.zones.matching import overlap_order
from taxoscape.zones.numbering import label_dtype

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionPartition:
    """What the overall partition makes of a region, and what the region makes of itself."""

    name: str
    """Name of the region."""
    grid: Grid
    """Its own grid of tiles."""
    overall: npt.NDArray[np.integer]
    """Integer (tile,): overall zone of each tile of the region, 1…K; 0 = none."""
    own: npt.NDArray[np.integer]
    """Integer (tile,): zone of its own partition, with the number of the overall zone that it matches; 0 = none."""
    n_own_zones: int
    """Zones of its own partition: as many as the overall one has in the region."""
    ari: float
    """Adjusted Rand index of both partitions: 1 alike, 0 no more than by chance; NaN where no tile is in a zone."""
    nmi: float
    """Normalised mutual information of both, 0…1; NaN where no tile is in a zone."""
    tiles: tuple[int, ...]
    """(overall zone,): tiles of each overall zone in the region."""
    areas_km2: tuple[float, ...]
    """(overall zone,): their area on the ground, from the region's own grid."""
    shares: tuple[float, ...]
    """(overall zone,): share of the area of the region's tiles that are in a zone, 0…1; 0 where none is."""

    @property
    def n_overall_zones(self) -> int:
        """Overall zones that have a tile in the region."""
        return sum(count > 0 for count in self.tiles)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, without those per tile, as plain Python values."""
        names = ("name", "n_own_zones", "n_overall_zones", "ari", "nmi", "tiles", "areas_km2", "shares")
        values = {name: getattr(self, name) for name in names}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(
        cls,
        values: Mapping[str, Any],
        *,
        grid: Grid,
        overall: npt.NDArray[np.integer],
        own: npt.NDArray[np.integer],
    ) -> RegionPartition:
        """Return the partition of `to_dict`'s numbers and what is per tile; NaN stands as a number."""
        known: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
        del known["n_overall_zones"]
        return cls(grid=grid, overall=overall, own=own, **known)


def region_partitions(
    series: xr.Dataset,
    zones: xr.Dataset,
    placements: Sequence[Placement],
    *,
    starts: int = 10,
    rng: int | np.random.Generator = 0,
    memory: int | None = None,
    track: Track = silent,
) -> tuple[RegionPartition, ...]:
    """Partition each region by itself and compare it with its part of the overall partition.

    Parameters
    ----------
    series, zones
        Datasets of `taxoscape.encode` and `taxoscape.cluster` on the joined grid.
    placements
        Where the regions lie on it, from `taxoscape.cube.joined.join_cubes`.
    starts
        Starts of K-means for each region.
    rng
        Seed or generator. With a seed, what a region gets does not depend on the other regions beside it.
    memory
        Bytes up to which the series of a region is loaded whole, as for `taxoscape.cluster`.
    track
        Told of each region done.

    Returns
    -------
    One `RegionPartition` for each placement, in order.

    Raises
    ------
    InputError
        Where series and zones are of different grids, or a placement is not on them.

    Notes
    -----
    The encoder and the clusterer are the common ones: only the partition is the region's own. It has as many zones as
    the overall partition has in the region, zones of a single tile among them; fewer where missing dates leave fewer
    different series. Its numbers are those of the overall zones that are present, given so that as many tiles as
    possible keep their number (`taxoscape.zones.matching`). ARI and NMI compare all tiles that are in a zone; they do
    not depend on numbers. A region with one overall zone is in one zone by itself, and its ARI is 1.

    Cost: that of clustering each region's series, one region at a time.
    """
    if check_series(series) != check_zones(zones):
        raise InputError("series and zones are of different grids: take zones that were made from these series")
    labels = zones["labels"]
    n_zones, clusterer = int(zones.sizes["zone"]), zones.attrs.get("clusterer", "kmeans")
    found = []
    for placement in track(placements, "each region by itself", len(placements)):
        part = split(series, placement)
        overall = labels.to_numpy()[placement.tiles(check_zones(zones))]
        found.append(_compare(placement, part, overall, n_zones, clusterer, starts, rng, memory))
    return tuple(found)


def _compare(
    placement: Placement,
    series: xr.Dataset,
    overall: npt.NDArray[np.integer],
    n_zones: int,
    clusterer: Clusterer,
    starts: int,
    rng: int | np.random.Generator,
    memory: int | None,
) -> RegionPartition:
    present = np.unique(overall[overall > 0]).astype(np.int64)
    own = np.zeros(len(overall), label_dtype(n_zones))
    ari = nmi = float("nan")
    if present.size:
        own = _matched(overall, _alone(series, present.size, clusterer, starts, rng, memory), present).astype(own.dtype)
        score = agreement(own, overall)
        ari, nmi = score["ari"], score["nmi"]
    counts = np.bincount(overall, minlength=n_zones + 1)[1:]
    areas = np.bincount(overall, weights=cell_areas_km2(placement.grid), minlength=n_zones + 1)[1:]
    total = float(areas.sum())
    return RegionPartition(
        name=placement.name,
        grid=placement.grid,
        overall=overall,
        own=own,
        n_own_zones=len(np.unique(own[own > 0])),
        ari=ari,
        nmi=nmi,
        tiles=tuple(int(count) for count in counts),
        areas_km2=tuple(float(area) for area in areas),
        shares=tuple(float(area) / total if total > 0 else 0.0 for area in areas),
    )


def _alone(
    series: xr.Dataset,
    n_clusters: int,
    clusterer: Clusterer,
    starts: int,
    rng: int | np.random.Generator,
    memory: int | None,
) -> npt.NDArray[np.integer]:
    """Return the labels of a region's own partition, with fewer clusters where its series do not allow as many.

    Two series that differ only in what they miss are one series where the region alone fills their gaps.
    """
    for n in range(n_clusters, 1, -1):
        try:
            own = cluster(series, n_clusters=n, starts=starts, rng=rng, clusterer=clusterer, memory=memory)
            return np.asarray(own["labels"].to_numpy())
        except InputError:
            continue
    return np.asarray(
        cluster(series, n_clusters=1, starts=1, rng=rng, clusterer=clusterer, memory=memory)["labels"].to_numpy()
    )


def _matched(
    overall: npt.NDArray[np.integer], own: npt.NDArray[np.integer], present: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Give own zones the numbers of the overall zones in ``present`` that they overlap most, each once."""
    ranks = np.where(overall > 0, np.searchsorted(present, overall) + 1, 0)
    order = overlap_order(ranks, own, present.size)
    return np.asarray(np.concatenate([[0], present[order - 1]])[own])
