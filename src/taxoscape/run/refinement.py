"""The stage ``refine``: rounds of zones that teach the embedding, each of which goes on where it was killed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from taxoscape.contracts import grid_of
from taxoscape.run.budget import budget_of
from taxoscape.run.outcome import Context, Outcome
from taxoscape.run.results import open_cube, open_encoder
from taxoscape.run.store import read_dataset, read_series, write_dataset

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

    from taxoscape.config import Settings
    from taxoscape.embedding.encoder import Encoder
    from taxoscape.embedding.tiles import TileReader
    from taxoscape.zones.rounds import Settled

ENCODER, SERIES, PARTITION = "encoder.safetensors", "series.zarr", "partition.zarr"


def refine(context: Context) -> Outcome:
    """Train f^c with the zones as neighbourhoods, encode and cluster again: P^c. Nothing with ``--no-refine``."""
    from taxoscape.embedding.fit import refinement_settings
    from taxoscape.embedding.tiles import TileReader
    from taxoscape.run.resume import move
    from taxoscape.zones.rounds import in_rounds

    folder, settings = context.folder, context.settings
    zones = read_dataset(folder / "partition_geographic.zarr")
    first = open_encoder(folder, settings, geographic=True)
    reason = _nothing_to_refine(first, zones, settings)
    if reason:
        return Outcome(outputs=(), summary=f"left out: {reason}", notes={"left_out": reason})
    cube, settled = open_cube(folder), settings.refine.after(refinement_settings(first, None, settings.refine))
    budget = budget_of(settings)
    reader = TileReader(cube, first.tile_size, memory=budget.cube)
    found = in_rounds(
        zones,
        lambda number, stands: _series_of_round(context, number, first, stands, reader, cube),
        rounds=settled.rounds,
        accept=settled.accept,
        starts=settings.zones.starts,
        rng=settings.run.seed,
        memory=budget.series,
        track=context.track,
        execute=context.execute,
    )
    notes = _notes(found, zones)
    if not found.kept:
        return Outcome(outputs=(), summary=f"the first zones stand: {notes['left_out']}", notes=notes)
    write_dataset(folder / PARTITION, found.zones)
    for name in (SERIES, ENCODER):
        move(_round(context, found.kept) / name, folder / name)
    rounds = "1 round" if found.kept == 1 else f"{found.kept} rounds"
    return Outcome(
        outputs=(ENCODER, SERIES, PARTITION),
        summary=f"{notes['moved_share']:.1%} of the tiles changed their zone in {rounds}",
        notes=notes,
    )


def _nothing_to_refine(first: Encoder, zones: xr.Dataset, settings: Settings) -> str:
    """Return why there is no f^c, in words, or "" where there will be one."""
    from taxoscape.embedding.fit import untrainable
    from taxoscape.embedding.triplets import nothing_to_refine

    if settings.zones.of:
        return f"the zones are taken from {settings.zones.of}"
    if not settings.refine.refine:
        return "as asked"
    return untrainable(first) or nothing_to_refine(zones["labels"].to_numpy(), zones["counts"].to_numpy())


def _series_of_round(
    context: Context, number: int, first: Encoder, zones: xr.Dataset, reader: TileReader, cube: xr.DataArray
) -> xr.Dataset:
    """Train on the zones that stand, and encode; what lies there of an earlier attempt is kept."""
    from taxoscape.embedding.encoder import load_encoder
    from taxoscape.run.resume import encode_to_end

    settings, work = context.settings, _round(context, number)
    if not (work / ENCODER).exists():
        work.mkdir(exist_ok=True)
        _train_on_zones(context, number, first, zones, reader).save(work / ENCODER)
    encoder = load_encoder(work / ENCODER, device=settings.run.device)
    encode_to_end(context, reader, cube, encoder, grid_of(zones), file=work / ENCODER, path=work / SERIES)
    return read_series(work / SERIES)


def _train_on_zones(context: Context, number: int, first: Encoder, zones: xr.Dataset, reader: TileReader) -> Encoder:
    """Return f^c: f^g trained on with triplets from zones, blended, and judged."""
    from taxoscape.run.resume import train_to_end
    from taxoscape.zones.refine import second_training

    settings, device = context.settings, str(context.settings.run.device)
    training = second_training(first, zones, settings.refine, seed=settings.run.seed, number=number)
    state = train_to_end(
        lambda state: training.steps(reader, state, device=device, ranks=context.ranks),
        training.n_steps,
        _round(context, number) / "state.safetensors",
        device=device,
        track=context.track,
        label="training on zones" if number == 1 else f"training on zones, round {number}",
        ranks=context.ranks,
    )
    return training.outcome(state, reader)


def _round(context: Context, number: int) -> Path:
    """Return the folder in which a round is made."""
    return context.work / f"round-{number}"


def _notes(found: Settled, zones: xr.Dataset) -> dict[str, Any]:
    """Return what is kept of the rounds with the stage."""
    placed = zones["labels"].to_numpy() > 0
    moved = float((found.zones["labels"].to_numpy() != zones["labels"].to_numpy())[placed].mean())
    told = {"rounds": [{**asdict(row), "reason": row.reason} for row in found.rounds], "kept": found.kept}
    reason = found.rounds[-1].reason
    return {**told, "moved_share": moved} if found.kept else {**told, "left_out": reason}
