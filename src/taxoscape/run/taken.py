"""Zones that are taken from another run: checked, assigned to the tiles that are here, and shown as they are there."""

from __future__ import annotations

import json
import logging
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.analysis.centroids import seen_centroids
from taxoscape.areas import ground_size_km
from taxoscape.config import Settings
from taxoscape.contracts import grid_of
from taxoscape.cube.wording import counted
from taxoscape.errors import InputError, RunFolderError
from taxoscape.publish.colour import SeriesColours, series_colours, zone_colours
from taxoscape.run.folder import RunFolder
from taxoscape.run.names import current_names
from taxoscape.run.outcome import Context, Outcome
from taxoscape.run.request import read_run
from taxoscape.run.results import last_result
from taxoscape.run.store import read_dataset, read_series, write_dataset
from taxoscape.zones.assign import assign

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from taxoscape.grid import Lattice

log = logging.getLogger("taxoscape")

NAME = "taken.zarr"
"""How the zones look in the run that they were taken from."""
MADE_IN = ("train", "encode", "cluster", "refine", "tree")
"""Stages of a run that make what is taken from it."""
MANY_UNLIKE = 0.05
"""Share of tiles unlike anything seen from which zones are of little use here."""
PIXELS_NEAR, PIXELS_FAR = 1.02, 1.25
"""Ratios of pixel sizes on the ground up to which they count as the same, and above which zones mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How zones and tiles look in the run that zones were taken from."""

    names: tuple[str, ...]
    """What the zones are called there."""
    zones: npt.NDArray[np.uint8]
    """uint8 (zone, 3)."""
    tiles: SeriesColours
    """What is needed to colour other tiles alike; its ``rgb`` is empty."""


def state_of(run: RunFolder) -> dict[str, Any]:
    """Return what tells whether the zones of a run are still what they were, as ``run.toml`` can hold it."""
    markers = {stage: run.marker(stage) or {} for stage in MADE_IN}
    return {stage: str(marker.get("digest", "")) for stage, marker in markers.items()}


def check_taken(settings: Settings, lattice: Lattice) -> None:
    """Raise `InputError` where zones cannot be taken from the run that settings name, for scenes on a lattice.

    Raises
    ------
    RunFolderError
        Where that run is not there or has no zones.
    InputError
        Where other zones are asked for than it has, or pixels are of another size.
    """
    run = RunFolder(str(settings.zones.of))
    if not run.exists:
        raise RunFolderError(
            f"{run.path}, whose zones are to be taken, is no run folder of taxoscape: put it back there, or say where "
            "it is (zones.of in run.toml); publish, cut and evaluate work without it"
        )
    _, zones = last_result(run)
    own, asked = (zones.sizes["zone"], zones.attrs["clusterer"]), (settings.zones.zones, settings.zones.clusterer)
    if asked != own:
        raise InputError(
            f"the zones are those of {run.path}, {own[0]} by '{own[1]}': other zones cannot be asked for here; cut "
            "them (taxoscape cut), or make a run of its own (taxoscape run)"
        )
    there = [
        length / n
        for lattice_ in (grid_of(zones).lattice, lattice)
        for length, n in zip(ground_size_km(lattice_), (lattice_.height, lattice_.width), strict=True)
    ]
    ratio = max(max(new / old, old / new) for old, new in zip(there[:2], there[2:], strict=True))
    told = (
        f"the scenes have pixels of {1e3 * there[3]:.4g} × {1e3 * there[2]:.4g} m on the ground, those of {run.path} "
        f"{1e3 * there[1]:.4g} × {1e3 * there[0]:.4g} m"
    )
    if ratio > PIXELS_FAR:
        raise InputError(f"{told}: a tile would show another piece of land; resample the scenes (gdalwarp -tr)")
    if ratio > PIXELS_NEAR:
        log.warning("%s: tiles show a little more or less land, and zones are less sure", told)


def refuse_other(run: RunFolder, folder: RunFolder) -> None:
    """Refuse the zones of a run that are not those that the run in ``folder`` was begun with."""
    if state_of(run) != folder.read_document().get("taken"):
        raise RunFolderError(
            f"the zones of {run.path} are not those that this run was begun with: make that run as it was, or begin "
            "anew (taxoscape apply … --overwrite)"
        )


def take_zones(context: Context, name: str) -> Outcome:
    """Assign the tiles to the zones of another run, and keep how these look there."""
    run = RunFolder(str(context.settings.zones.of))
    refuse_other(run, context.folder)
    learned_from, zones = last_result(run)
    learned_from = learned_from.load()
    series = read_series(context.folder / "series_geographic.zarr").load()
    found = assign(
        series,
        zones,
        learned_from,
        levels=context.settings.zones.levels,
        rng=context.settings.run.seed,
        track=context.track,
    )
    write_dataset(context.folder / name, found)
    write_dataset(context.folder / NAME, _look_of(run, learned_from, zones))
    placed = found["labels"].to_numpy() > 0
    unlike, n = int((found["outlyingness"].to_numpy()[placed] > 1).sum()), int(placed.sum())
    if unlike > MANY_UNLIKE * n:
        warnings.warn(
            f"{unlike / n:.0%} of the tiles are unlike anything that the zones of {run.path} were made of "
            "(unlike.tif): other land, or scenes of another season or processing; their zones mean little",
            stacklevel=2,
        )
    here = len(np.unique(found["labels"].to_numpy()[placed]))
    summary = (
        f"{here} of the {counted(zones.sizes['zone'], 'zone')} of {run.path.name}; {unlike} of {counted(n, 'tile')} "
        "are unlike anything they were made of"
    )
    notes = {"n_clusters": zones.sizes["zone"], "tiles_without_data": int((~placed).sum()), "n_unlike": unlike}
    return Outcome(outputs=(name, NAME), summary=summary, notes={**notes, "taken_from": str(run.path)})


def taken_look(folder: RunFolder) -> Look | None:
    """Return how the zones of a run look where they were taken from; None where they are its own."""
    path = folder / NAME
    if not path.exists():
        return None
    stored = read_dataset(path)
    tiles = SeriesColours(
        rgb=np.zeros((0, 3), dtype=np.uint8),
        seen=np.zeros(0, dtype=np.bool_),
        explained_variance=stored["explained_variance"].to_numpy(),
        date_means=stored["date_means"].to_numpy(),
        components=stored["components"].to_numpy(),
        ranges=stored["ranges"].to_numpy(),
    )
    return Look(names=tuple(json.loads(stored.attrs["names"])), zones=stored["zones"].to_numpy(), tiles=tiles)


def _look_of(run: RunFolder, series: xr.Dataset, zones: xr.Dataset) -> xr.Dataset:
    """Return how zones look in the run that they are of, as `taken_look` reads it."""
    import xarray as xr

    settings, _, _ = read_run(run)
    colours = series_colours(series, rng=settings.run.seed)
    return xr.Dataset(
        {
            "zones": (("zone", "rgb"), zone_colours(seen_centroids(zones), colours).rgb),
            "explained_variance": ("rgb", colours.explained_variance),
            "date_means": (("time", "feature"), colours.date_means),
            "components": (("rgb", "column"), colours.components),
            "ranges": (("rgb", "end"), colours.ranges),
        },
        attrs={"names": json.dumps(current_names(run, zones.sizes["zone"]))},
    )
