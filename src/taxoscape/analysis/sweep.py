"""The table beside the number of zones: what each partition of a sweep looks like by every other measure.

The rule of `taxoscape.zones.evidence` looks at resamples alone. Here its partitions are measured as those of a finished
run are (`taxoscape.analysis.quality`), so that a reader can see whether the other measures agree. All
partitions share one pass over the distances between tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.analysis.agreement import agreement
from taxoscape.analysis.quality import davies_bouldins, join_share, patches
from taxoscape.analysis.silhouette import silhouettes
from taxoscape.contracts import check_series
from taxoscape.errors import InputError
from taxoscape.progress import Track, silent
from taxoscape.zones.evidence import Evidence
from taxoscape.zones.rows import rows_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

SILHOUETTE_TILES = 2_000
"""Tiles whose silhouettes are taken, each against all; of fewer than twice as many, all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One number of zones, and how good its partition is. NaN: not defined."""

    n_clusters: int
    """Number of zones."""
    chosen: bool
    """Whether the rule chose it."""
    inertia_mean: float
    """Mean squared distance of a tile to its centre: ``flat``, missing dates filled, or in the metric of neighbours."""
    bootstrap_ari: float
    """Mean adjusted Rand index between partitions of bootstrap samples: `taxoscape.zones.evidence.Evidence.stability`.
    The ``stability_ari`` of `taxoscape.analysis.quality` is another number, of random halves."""
    bootstrap_ari_se: float
    """Its standard error."""
    prediction_strength: float
    """Share of the pairs of tiles of the weakest zone that stay together in those partitions."""
    silhouette_flat: float
    """Mean silhouette under the ``flat`` distance."""
    silhouette_flat_ci95: float
    """Half width of its 95 % confidence interval, 0 where it is exact."""
    silhouette_sumnorm: float
    """Mean silhouette under the ``sumnorm`` distance."""
    silhouette_sumnorm_ci95: float
    """Half width of its 95 % confidence interval, 0 where it is exact."""
    davies_bouldin_flat: float
    """Davies-Bouldin index under the ``flat`` distance; lower is better."""
    map_join_share: float
    """Share of pairs of neighbouring tiles, by edge, that are in one zone."""
    map_patches: int
    """Connected patches, by edge, of all zones."""
    nmi: float
    """Normalised mutual information with the truth; NaN where none was given."""
    ari: float
    """Adjusted Rand index with the truth; NaN where none was given."""


def sweep(
    series: xr.Dataset,
    found: Evidence,
    *,
    truth: npt.NDArray[np.integer] | None = None,
    rng: int | np.random.Generator = 0,
    track: Track = silent,
) -> tuple[SweepRow, ...]:
    """Measure each partition of a sweep over the number of zones.

    Parameters
    ----------
    series
        Dataset of `taxoscape.encode`.
    found
        `taxoscape.zones.evidence.evidence` of the same series.
    truth
        Integer (tile,): true class of each tile, 0 = none.
    rng
        Seed or generator of the sample of the silhouettes.
    track
        Told of each block of distances, and of each number of zones, done.

    Returns
    -------
    A `SweepRow` per number of zones, rising.

    Raises
    ------
    InputError
        Where ``found`` or ``truth`` is of another number of tiles, no tile has both a zone and a true class, or
        ``series`` breaks its contract.

    Notes
    -----
    Two passes over the distances from at most `SILHOUETTE_TILES` tiles (all, below twice as many) to all others, and
    two over the series. Beside the series, which is not loaded whole where it is lazy, memory as
    `taxoscape.analysis.silhouette` says.
    """
    grid = check_series(series)
    for name, given in (("evidence", found.labels), ("truth", truth)):
        if given is not None and len(given) != grid.n_tiles:
            raise InputError(
                f"the {name} is of {len(given)} tiles, the series has {grid.n_tiles}: they are of another grid"
            )
    values, labels = rows_of(series), found.labels
    seed = int(np.random.default_rng(rng).integers(2**31))  # one sample for both distances
    flat, sumnorm = (
        silhouettes(values, labels, metric="flat", rng=seed, most=SILHOUETTE_TILES, track=track),
        silhouettes(values, labels, metric="sumnorm", rng=seed, most=SILHOUETTE_TILES, track=track),
    )
    rows, scatter = [], davies_bouldins(values, labels.astype(np.int64))
    for index, k in enumerate(track(found.ks.tolist(), "measures of the numbers of zones", len(found.ks))):
        column = labels[:, index].astype(np.int64)
        zone_map = grid.to_map(column)
        agree: dict[str, Any] = {} if truth is None else agreement(column, truth)
        rows.append(
            SweepRow(
                n_clusters=k,
                chosen=k == found.chosen,
                inertia_mean=float(found.inertia_mean[index]),
                bootstrap_ari=float(found.stability[index]),
                bootstrap_ari_se=float(found.stability_error[index]),
                prediction_strength=float(found.strength[index]),
                silhouette_flat=flat[index].value,
                silhouette_flat_ci95=flat[index].half_width,
                silhouette_sumnorm=sumnorm[index].value,
                silhouette_sumnorm_ci95=sumnorm[index].half_width,
                davies_bouldin_flat=scatter[index],
                map_join_share=join_share(zone_map),
                map_patches=int(patches(zone_map).sum()),
                nmi=agree.get("nmi", float("nan")),
                ari=agree.get("ari", float("nan")),
            )
        )
    return tuple(rows)
