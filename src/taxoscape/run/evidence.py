"""The evidence for the number of zones in a run folder: made once, read by ``cluster`` and by ``analyse``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from taxoscape.run.budget import budget_of
from taxoscape.run.outcome import Context, Outcome
from taxoscape.run.store import read_dataset, read_series, write_dataset
from taxoscape.zones.clustering import evidence
from taxoscape.zones.evidence import Evidence

if TYPE_CHECKING:
    import xarray as xr

    from taxoscape.run.folder import RunFolder

NAME = "evidence.zarr"
MEASURES = ("inertia_mean", "stability", "stability_error", "strength")
"""What is known of each number of zones."""


def weigh_numbers(context: Context) -> Outcome:
    """Partition the series under f^g into every number of zones, as evidence for one; nothing unless it is wanted."""
    settings = context.settings
    if not settings.analysis.evidence and settings.zones.zones != "auto":
        return Outcome(outputs=(), summary="left out: as asked", notes={"left_out": "as asked"})
    series = read_series(context.folder / "series_geographic.zarr")
    found = evidence(
        series,
        most=settings.analysis.most_zones,
        clusterer=settings.zones.clusterer,
        rng=settings.run.seed,
        memory=budget_of(settings).series,
        track=context.track,
        execute=context.execute,
    )
    write_dataset(context.folder / NAME, _dataset(found))
    return Outcome(outputs=(NAME,), summary=found.reason, notes={"chosen": found.chosen, "reason": found.reason})


def read_evidence(folder: RunFolder) -> Evidence | None:
    """Return the evidence that a run has; None where it was left out."""
    path = folder / NAME
    if not path.exists():
        return None
    stored = read_dataset(path)
    return Evidence(
        ks=stored["k"].to_numpy().astype(np.int64),
        **{name: stored[name].to_numpy() for name in ("labels", *MEASURES)},
        chosen=int(stored.attrs["chosen"]),
        reason=str(stored.attrs["reason"]),
    )


def _dataset(found: Evidence) -> xr.Dataset:
    import xarray as xr

    return xr.Dataset(
        {
            "labels": (("tile", "k"), found.labels),
            **{name: ("k", getattr(found, name)) for name in MEASURES},
        },
        coords={"k": found.ks},
        attrs={"chosen": found.chosen, "reason": found.reason},
    )
