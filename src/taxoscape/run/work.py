"""The work of each stage: read what it needs from the run folder, call the plain functions, write what they return."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.analysis.quality import quality
from taxoscape.analysis.representatives import representatives
from taxoscape.config import Settings
from taxoscape.contracts import grid_of
from taxoscape.errors import InputError
from taxoscape.files import write_text
from taxoscape.grid import Grid, Lattice
from taxoscape.progress import Track
from taxoscape.run.folder import RunFolder, describe
from taxoscape.run.request import ENCODERS, read_run
from taxoscape.run.store import read_series, read_zones, write_zones
from taxoscape.zones.kmeans import cluster

if TYPE_CHECKING:
    import xarray as xr

    from taxoscape.embedding.encoder import Encoder

REPRESENTATIVES = 4
"""Tiles shown for each zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a stage works with."""

    folder: RunFolder
    """The run folder."""
    settings: Settings
    """Settings of the run; paths absolute."""
    scenes: tuple[str, ...]
    """Files, folders and globs; absolute."""
    work: Path
    """Folder for unfinished work, kept from a killed attempt under the same settings."""
    track: Track
    """Told of the progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a stage did."""

    outputs: tuple[str, ...]
    """What it made, by name in the run folder."""
    summary: str
    """One line for people."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Facts for status and report."""


def open_cube(folder: RunFolder) -> xr.DataArray:
    """Return the cube of a run, lazily, stored or read in place."""
    from taxoscape.cube.lazy import lazy_cube
    from taxoscape.cube.pointer import read_pointer
    from taxoscape.cube.store import read_cube

    pointer = folder / "cube.json"
    if pointer.exists():
        return lazy_cube(read_pointer(pointer))
    return read_cube(folder / "cube.zarr")


def open_encoder(folder: RunFolder, settings: Settings, *, geographic: bool) -> Encoder:
    """Return f^g or f^c of a run, on the run's device."""
    from taxoscape.embedding.encoder import load_encoder

    name = "encoder_geographic.safetensors" if geographic else "encoder.safetensors"
    return load_encoder(folder / name, device=settings.run.device)


def make_cube(context: Context) -> Outcome:
    """Read and align the scenes: stored as Zarr, or a pointer where the files are tiled well already."""
    from taxoscape.cube.lazy import lazy_cube
    from taxoscape.cube.plan import plan_cube
    from taxoscape.cube.planned import can_read_in_place
    from taxoscape.cube.pointer import write_pointer
    from taxoscape.cube.store import write_cube

    plan = plan_cube(context.scenes, context.settings.cube)
    cube = lazy_cube(plan)
    if can_read_in_place(plan):
        name = "cube.json"
        _, _, inputs = read_run(context.folder)
        write_pointer(context.folder / name, plan, inputs)
    else:
        name = "cube.zarr"
        write_cube(cube, context.folder / name, overwrite=True, track=context.track)
    times, bands, height, width = cube.shape
    summary = f"{times} dates × {bands} bands × {height} × {width} px"
    return Outcome(outputs=(name,), summary=summary, notes={"skipped": [list(entry) for entry in plan.skipped]})


def train(context: Context) -> Outcome:
    """Train f^g on triplets from geography, or take the encoder that was given."""
    from taxoscape.embedding.fit import draw, encoder_from, judge
    from taxoscape.embedding.tiles import TileReader
    from taxoscape.embedding.training import total_steps
    from taxoscape.embedding.training import train as train_steps
    from taxoscape.run.resume import train_to_end

    settings, seed = context.settings, context.settings.run.seed
    cube, target = open_cube(context.folder), context.folder / "encoder_geographic.safetensors"
    if settings.encoder.encoder not in ENCODERS:
        return _take_encoder(Path(settings.encoder.encoder), cube, settings, target)
    reader = TileReader(cube, settings.grid.tile_size)
    triplets = draw(reader, settings.encoder, seed=seed, min_valid=settings.grid.min_valid)
    state = train_to_end(
        lambda state: train_steps(
            reader, triplets, settings.encoder, rng=seed, state=state, device=str(settings.run.device)
        ),
        total_steps(triplets, settings.encoder),
        context.work / "state.safetensors",
        device=settings.run.device,
        track=context.track,
        label="training on geography",
    )
    encoder = judge(encoder_from(state), reader, seed=seed, min_valid=settings.grid.min_valid)
    encoder.save(target)
    learnt = encoder.metadata["training"]
    accuracy = learnt.get("held_out_accuracy")
    told = "" if accuracy is None else f"; {accuracy:.0%} of new ones on one date told apart"
    return Outcome(outputs=(target.name,), summary=f"{len(triplets)} triplets{told}", notes=learnt)


def encode(context: Context) -> Outcome:
    """Turn every tile of the grid into its series under f^g."""
    from taxoscape.embedding.tiles import TileReader
    from taxoscape.run.resume import encode_to_end, move

    settings, name = context.settings, "series_geographic.zarr"
    cube = open_cube(context.folder)
    encoder = open_encoder(context.folder, settings, geographic=True)
    grid = Grid.over(
        Lattice.of(cube), tile_size=encoder.tile_size, stride=settings.grid.stride, partial=settings.grid.partial
    )
    reader = TileReader(cube, encoder.tile_size)
    encode_to_end(
        reader, cube, encoder, grid, context.work / name, min_valid=settings.grid.min_valid, track=context.track
    )
    move(context.work / name, context.folder / name)
    return Outcome(
        outputs=(name,), summary=f"{grid.n_tiles} tiles ({grid.n_rows} × {grid.n_cols}) on {len(cube)} dates"
    )


def cluster_geographic(context: Context) -> Outcome:
    """Partition the series under f^g: P^g."""
    settings, name = context.settings, "partition_geographic.zarr"
    zones = cluster(
        read_series(context.folder / "series_geographic.zarr"),
        n_clusters=settings.zones.zones,
        starts=settings.zones.starts,
        rng=settings.run.seed,
        track=context.track,
    )
    write_zones(context.folder / name, zones)
    left_out = int((zones["labels"] == 0).sum())
    summary = f"{zones.sizes['zone']} zones" + (f"; {left_out} tiles have no data on any date" if left_out else "")
    return Outcome(
        outputs=(name,), summary=summary, notes={"n_clusters": zones.sizes["zone"], "tiles_without_data": left_out}
    )


def refine(context: Context) -> Outcome:
    """Train f^c with the zones as neighbourhoods, encode and cluster again: P^c. Nothing with ``--no-refine``."""
    from taxoscape.embedding.encoder import load_encoder
    from taxoscape.embedding.fit import (
        encoder_from,
        judge,
        refine_encoder,
        refinement_settings,
        refinement_triplets,
    )
    from taxoscape.embedding.tiles import TileReader
    from taxoscape.embedding.training import total_steps
    from taxoscape.embedding.triplets import nothing_to_refine
    from taxoscape.run.resume import encode_to_end, move, train_to_end
    from taxoscape.zones.refine import cluster_again, core_labels

    folder, settings, seed = context.folder, context.settings, context.settings.run.seed
    zones = read_zones(folder / "partition_geographic.zarr")
    reason = "" if settings.refine.refine else "as asked"
    reason = reason or nothing_to_refine(zones["labels"].to_numpy(), zones["counts"].to_numpy())
    if reason:
        return Outcome(outputs=(), summary=f"left out: {reason}", notes={"left_out": reason})
    cube, grid = open_cube(folder), grid_of(zones)
    first = open_encoder(folder, settings, geographic=True)
    reader = TileReader(cube, first.tile_size)
    labels, counts = core_labels(zones, settings.refine.core_share), zones["counts"].to_numpy()
    unfinished = context.work / "encoder.safetensors"
    if not unfinished.exists():
        training = refinement_settings(first, None, settings.refine)
        triplets = refinement_triplets(grid, labels, counts, settings=training, refine=settings.refine, rng=seed)
        state = train_to_end(
            lambda state: refine_encoder(
                reader, first, grid, labels, counts, refine=settings.refine, rng=seed, state=state,
                device=str(settings.run.device),
            ),
            total_steps(triplets, training),
            context.work / "state.safetensors",
            device=settings.run.device,
            track=context.track,
            label="training on zones",
        )  # fmt: skip
        judge(encoder_from(state), reader, seed=seed, min_valid=settings.grid.min_valid).save(unfinished)
    encoder = load_encoder(unfinished, device=settings.run.device)
    encode_to_end(
        reader,
        cube,
        encoder,
        grid,
        context.work / "series.zarr",
        min_valid=settings.grid.min_valid,
        track=context.track,
    )
    refined = cluster_again(
        read_series(context.work / "series.zarr"), zones, starts=settings.zones.starts, rng=seed, track=context.track
    )
    write_zones(folder / "partition.zarr", refined)
    move(context.work / "series.zarr", folder / "series.zarr")
    move(unfinished, folder / "encoder.safetensors")
    moved = float((refined["labels"].to_numpy() != zones["labels"].to_numpy()).mean())
    return Outcome(
        outputs=("encoder.safetensors", "series.zarr", "partition.zarr"),
        summary=f"{moved:.1%} of the tiles changed their zone",
        notes={"moved_share": moved},
    )


def analyse(context: Context) -> Outcome:
    """Measure the partitions; find the representatives of the zones."""
    from sklearn.metrics import adjusted_rand_score

    folder, seed = context.folder, context.settings.run.seed
    series, zones = last_result(folder)
    metrics = quality(series, zones, rng=seed, track=context.track)
    if is_refined(folder):
        before = read_zones(folder / "partition_geographic.zarr")
        old = quality(read_series(folder / "series_geographic.zarr"), before, rng=seed, track=context.track)
        metrics |= {f"{name}_geographic": value for name, value in old.items()}
        placed = zones["labels"].to_numpy() > 0  # the same tiles in both
        metrics["ari_geographic_refined"] = float(
            adjusted_rand_score(before["labels"].to_numpy()[placed], zones["labels"].to_numpy()[placed])
        )
    plain = {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in metrics.items()}
    write_text(folder / "metrics.json", json.dumps(plain, indent=1) + "\n")
    shown = representatives(series, zones, count=REPRESENTATIVES).tolist()
    write_text(folder / "analysis.json", json.dumps({"representatives": shown}, indent=1) + "\n")
    summary = ", ".join(
        f"{name} {metrics[name]:.3f}" for name in ("silhouette_flat", "map_join_share", "stability_ari")
    )
    return Outcome(outputs=("metrics.json", "analysis.json"), summary=summary)


def publish(context: Context) -> Outcome:
    """Write maps, tables, figures and the report."""
    from taxoscape.run.products import write_products

    names = write_products(context.folder, context.settings, track=context.track)
    return Outcome(outputs=names, summary=f"{len(names)} products, report.html among them")


def is_refined(folder: RunFolder) -> bool:
    """Whether a run has P^c beside P^g."""
    return (folder / "partition.zarr").exists()


def last_result(folder: RunFolder) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the series and the zones that a run ends with: P^c, or P^g where it was not refined."""
    end = "" if is_refined(folder) else "_geographic"
    return read_series(folder / f"series{end}.zarr"), read_zones(folder / f"partition{end}.zarr")


WORK: dict[str, Callable[[Context], Outcome]] = {
    "cube": make_cube,
    "train": train,
    "encode": encode,
    "cluster": cluster_geographic,
    "refine": refine,
    "analyse": analyse,
    "publish": publish,
}
"""The work of each stage in `taxoscape.run.table.STAGES`."""


def _take_encoder(path: Path, cube: xr.DataArray, settings: Settings, target: Path) -> Outcome:
    """Put the encoder of a file, which `taxoscape.run.prepare` has found to fit, in the place of f^g."""
    from taxoscape.embedding.encoder import load_encoder
    from taxoscape.embedding.fit import judge
    from taxoscape.embedding.tiles import TileReader

    encoder = load_encoder(path, device=settings.run.device)
    check_encoder(encoder, path, tuple(str(band) for band in cube["band"].to_numpy()), settings.grid.tile_size)
    reader = TileReader(cube, encoder.tile_size)
    encoder = judge(encoder, reader, seed=settings.run.seed, min_valid=settings.grid.min_valid)
    metadata = {**encoder.metadata, "taken_from": {"name": path.name, **describe(path)}}
    replace(encoder, metadata=metadata).save(target)
    return Outcome(outputs=(target.name,), summary=f"taken from {path}", notes={"taken_from": str(path)})


def check_encoder(encoder: Encoder, path: Path, bands: tuple[str, ...], tile_size: int) -> None:
    """Raise `InputError` where an encoder is for other bands or tiles than a run has."""
    if encoder.bands != bands or encoder.tile_size != tile_size:
        raise InputError(
            f"the encoder in {path} is for the bands {', '.join(encoder.bands)} and tiles of {encoder.tile_size} px, "
            f"this run has the bands {', '.join(bands)} and tiles of {tile_size} px: set --bands and --tile-size"
        )
