"""What a run would use and cost, before it makes anything (``--dry-run``)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.config import Settings, resolve
from taxoscape.cube.plan import plan_cube
from taxoscape.grid import Grid
from taxoscape.run.prepare import refuse_impossible
from taxoscape.run.request import ENCODERS, Request

if TYPE_CHECKING:
    from taxoscape.cube.planned import CubePlan

LIBRARIES_BYTES = 600 * 2**20
"""Memory that Python and the libraries take."""
SAMPLE = 64
"""Tiles whose time is measured."""
FEW = 4
"""The same for the paper's network, which is slow."""


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
    plan = plan_cube(request.scenes, settings.cube)
    grid = refuse_impossible(settings, plan.lattice, plan.bands)
    lines = [plan.describe(), f"tiles     {grid.n_tiles} of {grid.tile_size} px ({grid.n_rows} × {grid.n_cols})"]
    seconds = _seconds(plan, grid, settings)
    memory, disk = _bytes(plan, grid, settings)
    lines += [
        f"time      about {_duration(sum(seconds.values()))} on this machine: "
        + ", ".join(f"{name} {_duration(value)}" for name, value in seconds.items())
    ]
    lines += [f"memory    about {_size(memory)}", f"disk      about {_size(disk)} in the run folder"]
    return "\n".join(lines)


def _seconds(plan: CubePlan, grid: Grid, settings: Settings) -> dict[str, float]:
    times, bands = len(plan.dates), len(plan.bands)
    encoder, refine = settings.encoder, settings.refine
    step, embed = _measure(bands, grid.tile_size, settings)
    tiles = grid.n_tiles * times
    flat = tiles * encoder.n_features
    zones = 8 if settings.zones.zones == "auto" else settings.zones.zones
    kmeans = settings.zones.starts * 20 * flat * zones * 2 / 2e9
    result = {
        "train": step * encoder.triplets * encoder.epochs if encoder.encoder in ENCODERS else 0.0,
        "encode": embed * tiles,
        "cluster": kmeans + (14 * 3 * 20 * flat * 16 / 2e9 if settings.zones.zones == "auto" else 0),
    }
    if refine.refine:
        result["refine"] = (
            step * refine.per_date(times, encoder.triplets) * times * refine.epochs + embed * tiles + kmeans
        )
    return result


def _measure(bands: int, tile_size: int, settings: Settings) -> tuple[float, float]:
    """Return seconds per triplet of training and per tile of encoding, measured on random tiles."""
    import torch

    from taxoscape.embedding.networks import build_network

    network = build_network(
        settings.encoder.network, n_bands=bands, tile_size=tile_size, n_features=settings.encoder.n_features, seed=0
    )
    sample = SAMPLE if settings.encoder.network == "fast" else FEW
    tiles = torch.rand(sample, bands, tile_size, tile_size).to(memory_format=torch.channels_last)

    def forward() -> None:
        with torch.inference_mode():
            network(tiles)

    def both() -> None:
        network(tiles).square().mean().backward()

    per_triplet = 3 if settings.encoder.loss == "triplet" else 2
    network.train()
    training = _median(both)
    network.eval()
    return training / sample * per_triplet, _median(forward) / sample


def _median(action: Callable[[], None]) -> float:
    action()
    found = []
    for _ in range(3):
        begun = time.perf_counter()
        action()
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


def _bytes(plan: CubePlan, grid: Grid, settings: Settings) -> tuple[int, int]:
    """Return bytes of memory and of disk, rounded up."""
    from taxoscape.embedding.tiles import MEMORY

    times, bands = len(plan.dates), len(plan.bands)
    pixels = times * plan.lattice.height * plan.lattice.width
    cube = pixels * (bands * np.dtype(plan.dtype).itemsize + 1)
    series = grid.n_tiles * times * settings.encoder.n_features * 4
    batch = settings.encoder.batch_size * 3 * bands * grid.tile_size**2 * 4 * 60
    memory = LIBRARIES_BYTES + (cube if cube <= MEMORY else MEMORY // 4) + batch + 4 * series
    return memory, cube + series * (2 if settings.refine.refine else 1)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(1, round(count / 2**20))} MiB"
