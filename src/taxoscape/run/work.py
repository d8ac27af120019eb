"""The work of each stage: read what it needs from the run folder, call the plain functions, write what they return."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from taxoscape.analysis.baselines import tile_statistics
from taxoscape.config import TRAINING_FREE, Settings
from taxoscape.contracts import grid_of
from taxoscape.cube.planned import can_read_in_place
from taxoscape.cube.pointer import write_pointer
from taxoscape.cube.wording import counted
from taxoscape.errors import InputError
from taxoscape.grid import Grid, Lattice
from taxoscape.run.baselines import make_baselines
from taxoscape.run.blocks import Measuring, measure_there
from taxoscape.run.budget import budget_of
from taxoscape.run.evidence import read_evidence, weigh_numbers
from taxoscape.run.findings import analyse
from taxoscape.run.folder import describe
from taxoscape.run.outcome import Context, Outcome
from taxoscape.run.refinement import refine
from taxoscape.run.regions import CUBES, ONLY, plan_all, store_cube, write_cubes
from taxoscape.run.request import ENCODERS, read_regions, read_run
from taxoscape.run.results import open_cube, open_encoder
from taxoscape.run.store import read_series, write_dataset
from taxoscape.run.taken import take_zones
from taxoscape.run.tree import make_tree
from taxoscape.zones.clustering import cluster

if TYPE_CHECKING:
    from datetime import date

    import xarray as xr

    from taxoscape.embedding.encoder import Encoder
    from taxoscape.embedding.tiles import TileReader
    from taxoscape.zones.evidence import Evidence

log = logging.getLogger("taxoscape")

WRONG_SCALE = 0.01
"""Share of values beyond the range of a scaling, or size of nearly all scaled values, from which a scaling is wrong."""


def make_cube(context: Context) -> Outcome:
    """Read and align the scenes: stored as Zarr, or a pointer where the files are tiled well already."""
    _, _, inputs = read_run(context.folder)
    plans = plan_all(context.scenes, read_regions(context.folder), context.settings)
    times, bands, height, width = plans.first.shape
    summary = f"{counted(times, 'date')} × {counted(bands, 'band')}"
    notes: dict[str, Any] = {"skipped": [list(entry) for entry in plans.skipped]}
    dated = sorted({file.date for file in plans.files})
    if context.settings.cube.period != "dates":
        notes |= {"period": context.settings.cube.period, "composite": context.settings.cube.composite}
    if context.settings.cube.calendar:
        stand_for = {str(day): _days_of([file.day for file in plans.files if file.date == day]) for day in dated}
        without = [str(day) for day in plans.first.dates if str(day) not in stand_for]
        notes |= {"stand_for": stand_for, "without_scene": without}
        summary += f" ({len(without)} of the dates without a scene)" if without else ""
    if ONLY not in plans.by_region:
        name = CUBES
        summary = f"{counted(len(plans.by_region), 'region')}, {summary}"
        write_cubes(context.folder / name, plans, inputs, context)
    elif can_read_in_place(plans.first):
        name = "cube.json"
        write_pointer(context.folder / name, plans.first, inputs)
    else:
        name = "cube.zarr"
        store_cube(plans.first, context.folder / name, context)
    size = "" if name == CUBES else f" × {height} × {width} px"
    return Outcome(outputs=(name,), summary=summary + size, notes=notes)


def _days_of(days: Sequence[date]) -> str:
    """Return days in words: one, or the first and the last of a period's."""
    return str(days[0]) if len(set(days)) == 1 else f"{min(days)} to {max(days)}"


def train(context: Context) -> Outcome:
    """Train f^g on triplets from geography, make it without training, or take the encoder that was given."""
    from taxoscape.embedding.fit import draw, encoder_from, judge, with_statistics
    from taxoscape.embedding.tiles import TileReader
    from taxoscape.embedding.training import total_steps
    from taxoscape.embedding.training import train as train_steps
    from taxoscape.run.resume import train_to_end

    settings, seed = context.settings, context.settings.run.seed
    cube, target = open_cube(context.folder), context.folder / "encoder_geographic.safetensors"
    _announce(cube, settings)
    if settings.encoder.encoder not in ENCODERS:
        return _take_encoder(Path(settings.encoder.encoder), cube, settings, target)
    if settings.encoder.encoder in TRAINING_FREE:
        return _make_encoder(cube, settings, target)
    reader = TileReader(cube, settings.grid.tile_size, memory=budget_of(settings).cube)
    triplets = draw(reader, settings.encoder, seed=seed, min_valid=settings.grid.min_valid)
    state = train_to_end(
        lambda state: train_steps(
            reader,
            triplets,
            settings.encoder,
            rng=seed,
            state=state,
            device=str(settings.run.device),
            ranks=context.ranks,
        ),
        total_steps(triplets, settings.encoder),
        context.work / "state.safetensors",
        device=settings.run.device,
        track=context.track,
        label="training on geography",
        ranks=context.ranks,
    )
    encoder = encoder_from(state)
    if settings.encoder.carries_statistics(settings.zones.clusterer):
        encoder = with_statistics(encoder, reader, seed=seed, min_valid=settings.grid.min_valid)
    encoder = judge(encoder, reader, seed=seed, min_valid=settings.grid.min_valid)
    encoder.save(target)
    learnt = encoder.metadata["training"]
    accuracy = learnt.get("held_out_accuracy")
    told = "" if accuracy is None else f"; {accuracy:.0%} of new ones on one date told apart"
    return Outcome(outputs=(target.name,), summary=f"{len(triplets)} triplets{told}", notes=learnt)


def _make_encoder(cube: xr.DataArray, settings: Settings, target: Path) -> Outcome:
    """Put an encoder that needs no training in the place of f^g."""
    from taxoscape.embedding.fit import train_encoder
    from taxoscape.embedding.tiles import TileReader

    encoder = train_encoder(
        TileReader(cube, settings.grid.tile_size, memory=budget_of(settings).cube),
        tile_size=settings.grid.tile_size,
        settings=settings.encoder,
        rng=settings.run.seed,
        min_valid=settings.grid.min_valid,
        device=str(settings.run.device),
    )
    encoder.save(target)
    measured = encoder.metadata.get("training", {})
    accuracy = measured.get("held_out_accuracy")
    told = "" if accuracy is None else f"; {accuracy:.0%} of triplets on one date told apart"
    name = encoder.recipe.network
    summary = f"'{name}' made without training, {encoder.n_features} features{told}"
    return Outcome(outputs=(target.name,), summary=summary, notes={"without_training": name, **measured})


def encode(context: Context) -> Outcome:
    """Turn every tile of the grid into its series under f^g."""
    from taxoscape.embedding.dense import advice
    from taxoscape.embedding.tiles import TileReader
    from taxoscape.run.resume import encode_to_end, move

    settings, name = context.settings, "series_geographic.zarr"
    cube = open_cube(context.folder)
    encoder = open_encoder(context.folder, settings, geographic=True)
    grid = Grid.over(
        Lattice.of(cube), tile_size=encoder.tile_size, stride=settings.grid.stride, partial=settings.grid.partial
    )
    told = advice(encoder.recipe.network, tile_size=grid.tile_size, stride=grid.stride)
    if told:
        warnings.warn(told, stacklevel=2)
    reader = TileReader(cube, encoder.tile_size, memory=budget_of(settings).cube)
    file = context.folder / "encoder_geographic.safetensors"
    encode_to_end(context, reader, cube, encoder, grid, file=file, path=context.work / name)
    move(context.work / name, context.folder / name)
    return Outcome(
        outputs=(name,), summary=f"{grid.n_tiles} tiles ({grid.n_rows} × {grid.n_cols}) on {len(cube)} dates"
    )


def measure_tiles(context: Context) -> Outcome:
    """Take the mean and the deviation of each band in every tile on every date."""
    folder, name = context.folder, "statistics.zarr"
    grid = grid_of(read_series(folder / "series_geographic.zarr"))
    min_valid, memory = context.settings.grid.min_valid, budget_of(context.settings).cube
    about = Measuring(place=context.place, grid=grid.to_json(), min_valid=min_valid)
    found = tile_statistics(
        open_cube(folder), grid, min_valid=min_valid, memory=memory, track=context.track, execute=context.execute,
        there=partial(measure_there, about),
    )  # fmt: skip
    write_dataset(folder / name, found)
    return Outcome(outputs=(name,), summary="mean and deviation of each band in each tile")


def cluster_geographic(context: Context) -> Outcome:
    """Partition the series under f^g: P^g."""
    settings, name = context.settings, "partition_geographic.zarr"
    if settings.zones.of:
        return take_zones(context, name)
    zones = cluster(
        read_series(context.folder / "series_geographic.zarr"),
        n_clusters=_wanted(context),
        starts=settings.zones.starts,
        rng=settings.run.seed,
        clusterer=settings.zones.clusterer,
        memory=budget_of(settings).series,
        track=context.track,
        execute=context.execute,
    )
    write_dataset(context.folder / name, zones)
    left_out = int((zones["labels"] == 0).sum()) if not read_regions(context.folder) else 0  # gaps are no tiles
    empty = f"; {left_out} tiles have no data on any date" if left_out else ""
    summary = counted(zones.sizes["zone"], "zone") + empty
    return Outcome(
        outputs=(name,), summary=summary, notes={"n_clusters": zones.sizes["zone"], "tiles_without_data": left_out}
    )


def _wanted(context: Context) -> int | Literal["auto"] | Evidence:
    """Return the number of zones asked for, or the evidence by which it is chosen."""
    wanted = context.settings.zones.zones
    return (read_evidence(context.folder) or wanted) if wanted == "auto" else wanted


def publish(context: Context) -> Outcome:
    """Write maps, tables, figures and the report."""
    from taxoscape.run.products import write_products

    names = write_products(context.folder, context.settings, track=context.track)
    return Outcome(outputs=names, summary=f"{len(names)} products, report.html among them")


WORK: dict[str, Callable[[Context], Outcome]] = {
    "cube": make_cube,
    "train": train,
    "encode": encode,
    "statistics": measure_tiles,
    "evidence": weigh_numbers,
    "cluster": cluster_geographic,
    "refine": refine,
    "tree": make_tree,
    "baselines": make_baselines,
    "analyse": analyse,
    "publish": publish,
}
"""The work of each stage in `taxoscape.run.table.STAGES`."""


def _announce(cube: xr.DataArray, settings: Settings) -> None:
    """Say what a long training will cost before it starts."""
    from taxoscape.run.cost import announce

    shape = settings.grid
    grid = Grid.over(Lattice.of(cube), tile_size=shape.tile_size, stride=shape.stride, partial=shape.partial)
    told = announce(settings, n_tiles=grid.n_tiles, n_times=cube.sizes["time"], n_bands=cube.sizes["band"])
    if told:
        log.info("%-8s %s", "train", told)
    own = settings.encoder
    if own.encoder == "tile2vec" and own.network == "tilenet" and (cube.dtype != np.uint8 or cube.sizes["band"] != 3):
        have = f"{counted(cube.sizes['band'], 'band')} of {cube.dtype}"
        warnings.warn(
            f"the paper's network was made for 3 bands of 8 bits, these scenes have {have}: values that are not 8-bit "
            "are standardised instead of divided by 255",
            stacklevel=2,
        )


def _take_encoder(path: Path, cube: xr.DataArray, settings: Settings, target: Path) -> Outcome:
    """Put the encoder of a file, which `taxoscape.run.prepare` has found to fit, in the place of f^g."""
    from taxoscape.embedding.encoder import load_encoder
    from taxoscape.embedding.fit import judge
    from taxoscape.embedding.tiles import TileReader

    encoder = load_encoder(path, device=settings.run.device)
    check_encoder(encoder, path, tuple(str(band) for band in cube["band"].to_numpy()), settings.grid.tile_size)
    reader = TileReader(cube, encoder.tile_size, memory=budget_of(settings).cube)
    _warn_of_scale(encoder, reader, path, settings)
    if not settings.zones.of:
        encoder = judge(encoder, reader, seed=settings.run.seed, min_valid=settings.grid.min_valid)
    metadata = {**encoder.metadata, "taken_from": {"name": path.name, **describe(path)}}
    replace(encoder, metadata=metadata).save(target)
    return Outcome(outputs=(target.name,), summary=f"taken from {path}", notes={"taken_from": str(path)})


def _warn_of_scale(encoder: Encoder, reader: TileReader, path: Path, settings: Settings) -> None:
    """Say where the values of the scenes are not those that an encoder from elsewhere is scaled for."""
    from taxoscape.embedding.features import sample_tiles
    from taxoscape.embedding.scaling import LIMIT

    generator = np.random.default_rng([settings.run.seed, 5])
    values, valid = reader.read(sample_tiles(reader, 64, rng=generator, min_valid=settings.grid.min_valid))
    scaling = encoder.recipe.scaling
    seen = np.abs(scaling.apply(values, valid)[np.broadcast_to(valid[:, None], values.shape)])
    cut, most = float((seen >= LIMIT).mean()), float(np.quantile(seen, 0.99))
    if cut > WRONG_SCALE or most < WRONG_SCALE:
        told = f"{cut:.0%} of the values are cut off" if cut > WRONG_SCALE else "nearly all values are near 0"
        warnings.warn(
            f"the encoder in {path} was made for values of another scale than these scenes have: scaled as it asks, "
            f"{told}, and its zones mean little; import the weights again with --scale and --offset for these scenes",
            stacklevel=2,
        )


def check_encoder(encoder: Encoder, path: Path, bands: tuple[str, ...], tile_size: int) -> None:
    """Raise `InputError` where an encoder is for other bands or tiles than a run has."""
    if encoder.bands != bands or encoder.tile_size != tile_size:
        raise InputError(
            f"the encoder in {path} is for the bands {', '.join(encoder.bands)} and tiles of {encoder.tile_size} px, "
            f"this run has the bands {', '.join(bands)} and tiles of {tile_size} px: set --bands and --tile-size, "
            f"or import its weights again with --bands {','.join(bands)}"
        )
