"""One region or several: what their scenes are, and where the cubes of several lie in a run.

A run with several regions (``[[region]]`` in its run file) has a cube per region under ``cubes/``; all later stages
work on one joined cube (`taxoscape.cube.joined`), and what is handed over is split by region again.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from taxoscape.config import Settings
from taxoscape.cube.area import inside_shares
from taxoscape.cube.lazy import lazy_cube
from taxoscape.cube.plan import plan_cube
from taxoscape.cube.planned import CubePlan, PlannedFile, can_read_in_place
from taxoscape.cube.pointer import read_pointer, write_pointer
from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice

if TYPE_CHECKING:
    import xarray as xr

    from taxoscape.cube.joined import Joined, Placement
    from taxoscape.run.outcome import Context

CUBES = "cubes"
"""Folder of the cubes of several regions in a run."""
ONLY = ""
"""Name of the region of a run that has only one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """What the cubes of a run will be made of."""

    by_region: Mapping[str, CubePlan]
    """Plan by the name of the region; one with the name `ONLY` where there is only one."""
    lattice: Lattice
    """Pixels of the region, or of the joined cube."""
    placements: tuple[Placement, ...] = ()
    """Where regions lie in the joined cube, where there are several."""

    @property
    def n_pixels(self) -> int:
        """Pixels of one date of all regions."""
        return sum(plan.lattice.height * plan.lattice.width for plan in self.by_region.values())

    @property
    def files(self) -> list[PlannedFile]:
        """The files of all regions."""
        return [file for plan in self.by_region.values() for file in plan.files]

    @property
    def first(self) -> CubePlan:
        """The plan of the first region; bands, dtype and number of dates are those of all."""
        return next(iter(self.by_region.values()))

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Path and reason of each file that is left out."""
        return [entry for plan in self.by_region.values() for entry in plan.skipped]

    def describe(self) -> str:
        """Return what would be used and what is left out, for people."""
        parts = [
            plan.describe() if name == ONLY else f"region '{name}'\n{plan.describe()}"
            for name, plan in self.by_region.items()
        ]
        return "\n".join(parts)


def plan_all(scenes: Sequence[str], regions: Mapping[str, Sequence[str]], settings: Settings) -> Plans:
    """Plan the cubes of a run.

    Parameters
    ----------
    scenes
        Files, folders and globs of the only region.
    regions
        The same by the name of the region, where there are several.
    settings
        Settings of the run.

    Raises
    ------
    InputError
        Where scenes cannot be used, or regions do not go together.
    """
    if not regions:
        plan = plan_cube(scenes, settings.cube)
        return Plans(by_region={ONLY: plan}, lattice=plan.lattice)
    if settings.grid.stride not in (None, settings.grid.tile_size):
        raise InputError("several regions are laid side by side tile by tile: leave --stride out")
    plans = {}
    for name, own in regions.items():
        try:
            plans[name] = plan_cube(own, settings.cube)
        except InputError as error:
            raise InputError(f"region '{name}': {error}") from None
    if settings.cube.period != "dates" and not settings.cube.calendar:  # dates of regions are paired by their order
        dates = tuple(sorted({day for plan in plans.values() for day in plan.dates}))
        plans = {name: replace(plan, dates=dates) for name, plan in plans.items()}
    joined = _join({name: lazy_cube(plan) for name, plan in plans.items()}, settings)
    return Plans(by_region=plans, lattice=Lattice.of(joined.cube), placements=joined.placements)


def tiles_inside(plans: Plans, grid: Grid, settings: Settings) -> int | None:
    """Return how many tiles have enough of them in the area of interest to count; None: there is no such area.

    Raises
    ------
    InputError
        Where none has.
    """
    grids = {place.name: place.grid for place in plans.placements} or {ONLY: grid}
    least = max(settings.grid.min_valid, 1e-9)
    found = [
        int((inside_shares(plan.area, grids[name]) >= least).sum())
        for name, plan in plans.by_region.items()
        if plan.area is not None
    ]
    if found and not sum(found):
        raise InputError(
            f"no tile of {grid.tile_size} × {grid.tile_size} pixels has {least:.0%} of them in the area of interest: "
            "take a smaller --tile-size, a lower --min-valid, or a larger area (--aoi)"
        )
    return sum(found) if found else None


def store_cube(plan: CubePlan, path: Path, context: Context) -> None:
    """Store the cube of a plan, here or by workers, who find the plan in the folder of unfinished work."""
    from taxoscape.cube.store import write_cube

    pointer = context.work / f"{path.name}.json"
    write_pointer(pointer, plan)
    write_cube(
        lazy_cube(read_pointer(pointer)), path, overwrite=True, track=context.track, execute=context.execute,
        pointer=pointer,
    )  # fmt: skip


def write_cubes(folder: Path, plans: Plans, inputs: Mapping[str, str], context: Context) -> None:
    """Store the cube of each region below a folder, or a pointer where its files are tiled well already."""
    shutil.rmtree(folder, ignore_errors=True)  # a pointer of an earlier attempt would hide a cube stored now
    folder.mkdir(parents=True)
    for name, plan in plans.by_region.items():
        if can_read_in_place(plan):
            own = {file.path: inputs[file.path] for file in plan.files if file.path in inputs}
            write_pointer(folder / f"{name}.json", plan, own)
        else:
            store_cube(plan, folder / f"{name}.zarr", context)


def open_region(folder: Path, name: str) -> xr.DataArray:
    """Return the cube of one region that `write_cubes` wrote, lazily."""
    from taxoscape.cube.store import read_cube

    pointer = folder / f"{name}.json"
    return lazy_cube(read_pointer(pointer)) if pointer.exists() else read_cube(folder / f"{name}.zarr")


def open_joined(folder: Path, names: Sequence[str], settings: Settings) -> Joined:
    """Return the joined cube of the regions that `write_cubes` wrote."""
    return _join({name: open_region(folder, name) for name in names}, settings)


def _join(cubes: Mapping[str, xr.DataArray], settings: Settings) -> Joined:
    from taxoscape.cube.joined import join_cubes

    return join_cubes(
        cubes,
        tile_size=settings.grid.tile_size,
        neighbourhood_px=settings.encoder.neighbourhood_px,
        partial=settings.grid.partial,
    )
