"""What a run would use and cost, before it makes anything (``--dry-run``)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from taxoscape.config import TRAINING_FREE, Settings, resolve
from taxoscape.grid import Grid
from taxoscape.run.budget import BLOCKS_BYTES, LIBRARIES_BYTES, budget_of
from taxoscape.run.cost import (
    NetworkCost,
    announcement,
    as_used,
    cost_of_network,
    duration,
    overlap_advice,
    vector_length,
)
from taxoscape.run.prepare import refuse_idle, refuse_impossible
from taxoscape.run.regions import Plans, plan_all, tiles_inside
from taxoscape.run.request import Request
from taxoscape.zones.metric import LEAST_AXES

SAMPLES = ((2_000, 32), (4_096, 16), (5_000, 16))
"""Series that are held whatever the memory, and bytes a value: for the axes of the metric, the colours, and the
stability."""


def describe_plan(request: Request) -> str:
    """Return what would be used, what is left out and why, and about how long, how much memory and disk it would take.

    Parameters
    ----------
    request
        Scenes and settings.

    Raises
    ------
    InputError
        Where scenes or settings cannot be used, exactly as a run would.

    Notes
    -----
    The time of the network is measured here and now on a few random tiles; the rest is arithmetic. Expect it to be
    right within a factor of two.
    """
    settings = resolve(request.explicit, request.preset)
    refuse_idle(settings)
    plans = plan_all(request.scenes, request.regions, settings)
    plan = plans.first
    grid = refuse_impossible(settings, plans.lattice, plan.bands, plans.placements)
    n_tiles = sum(place.grid.n_tiles for place in plans.placements) or grid.n_tiles
    counting = tiles_inside(plans, grid, settings)
    encoded = n_tiles if counting is None else counting
    cost = cost_of_network(settings, n_tiles=encoded, n_times=len(plan.dates), n_bands=len(plan.bands))
    laid = f"in {len(plans.placements)} regions" if plans.placements else f"({grid.n_rows} × {grid.n_cols})"
    lines = [plans.describe(), f"tiles     {n_tiles} of {grid.tile_size} px {laid}"]
    if counting is not None:
        least = settings.grid.min_valid
        lines.append(f"          {counting} of them can count: at least {least:.0%} of them is in the area of interest")
    seconds = _seconds(plans, encoded, settings, cost)
    memory, disk = _bytes(plans, grid, settings)
    lines += [
        f"time      about {duration(sum(seconds.values()))} on this machine: "
        + ", ".join(f"{name} {duration(value)}" for name, value in seconds.items())
    ]
    lines += [
        f"memory    about {_size(memory)}{_beside(memory, settings.run.memory)}",
        f"disk      about {_size(disk)} in the run folder",
    ]
    notes = (announcement(settings, cost), overlap_advice(settings))
    return "\n".join([*lines, *(f"note      {told}" for told in notes if told)])


def _seconds(plans: Plans, n_tiles: int, settings: Settings, cost: NetworkCost) -> dict[str, float]:
    times, bands = len(plans.first.dates), len(plans.first.bands)
    flat = n_tiles * times * vector_length(settings, bands)
    zones = 8 if settings.zones.zones == "auto" else settings.zones.zones
    kmeans = settings.zones.starts * 20 * flat * zones * 2 / 2e9
    learned = settings.zones.clusterer == "learned"
    rounds_of_axes = n_tiles * LEAST_AXES * zones * settings.zones.starts * 160
    own = (2 * flat * LEAST_AXES + rounds_of_axes) / 2e9 if learned else kmeans
    refines = settings.refine.refine and settings.encoder.encoder not in TRAINING_FREE
    once = cost.encode_seconds / cost.encodings
    swept = n_tiles * LEAST_AXES if learned else flat
    sweep = 14 * 5 * 20 * swept * 16 / 2e9 if settings.analysis.evidence or settings.zones.zones == "auto" else 0
    result = {"train": cost.train_seconds, "encode": once, "cluster": own}
    if refines:
        result["refine"] = cost.refine_seconds + (cost.encodings - 1) * (once + own)
    if settings.analysis.baselines:
        result["baselines"] = 6 * kmeans + _tilenet_seconds(settings, n_tiles, times, bands)
    return {**result, "analyse": sweep + 30}


def _tilenet_seconds(settings: Settings, n_tiles: int, n_times: int, n_bands: int) -> float:
    """Return the seconds of an untrained TileNet, by far the slowest of the baselines; 0 where tiles do not fit it."""
    from taxoscape.embedding.networks import TILENET_FEATURES, TILENET_SIZES

    low, high = TILENET_SIZES
    if not low <= settings.grid.tile_size <= high:
        return 0.0
    encoder = replace(settings.encoder, encoder="tile2vec", network="tilenet", n_features=TILENET_FEATURES)
    other = replace(settings, encoder=encoder, refine=replace(settings.refine, refine=False))
    return cost_of_network(other, n_tiles=n_tiles, n_times=n_times, n_bands=n_bands).encode_seconds


def _bytes(plans: Plans, grid: Grid, settings: Settings) -> tuple[int, int]:
    """Return bytes of memory and of disk, rounded up.

    Memory: the most of what training, encoding and what is done with the series take, with what is loaded whole.
    """
    from taxoscape.embedding.tiles import CACHE

    times, bands = len(plans.first.dates), len(plans.first.bands)
    cube = times * plans.n_pixels * (bands * np.dtype(plans.first.dtype).itemsize + 1)
    columns = times * vector_length(settings, bands)
    series = grid.n_tiles * columns * 4
    budget = budget_of(settings)
    held_cube = cube if cube <= budget.cube else CACHE
    held_series = series if series <= budget.series else 0
    batch = settings.encoder.batch_size * 3 * bands * grid.tile_size**2 * 4 * 60
    samples = max(min(rows, grid.n_tiles) * columns * width for rows, width in SAMPLES)
    parts = held_cube + batch, held_series + min(BLOCKS_BYTES, 6 * series) + samples
    used = as_used(settings).encoder
    refines = settings.refine.refine and used.encoder not in TRAINING_FREE
    rounds = settings.refine.after(used).rounds if refines else 0
    clustering = held_cube + held_series + samples if refines else 0  # between rounds the cube is still there
    return LIBRARIES_BYTES + max(*parts, clustering), cube + series * (1 + rounds)


def _beside(memory: int, given: int | None) -> str:
    """Return how the memory that is needed stands to what is given, in words."""
    if given is None:
        return ""
    if memory <= given:
        return f" of {_size(given)}"
    return f", more than the {_size(given)} given: a smaller batch (encoder.batch_size) or fewer dates take less"


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(1, round(count / 2**20))} MiB"
