"""What a run holds, opened: its cube, encoders, series and partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taxoscape.config import Settings
from taxoscape.run.folder import RunFolder
from taxoscape.run.regions import CUBES, open_joined
from taxoscape.run.request import read_regions, read_run
from taxoscape.run.store import read_dataset, read_series
from taxoscape.zones.assign import levelled

if TYPE_CHECKING:
    import xarray as xr

    from taxoscape.cube.joined import Joined
    from taxoscape.embedding.encoder import Encoder


def open_cube(folder: RunFolder) -> xr.DataArray:
    """Return the cube of a run, lazily, stored or read in place; the joined one where it has several regions."""
    joined = open_regions(folder)
    if joined is not None:
        return joined.cube
    pointer = folder / "cube.json"
    if pointer.exists():
        from taxoscape.cube.lazy import lazy_cube
        from taxoscape.cube.pointer import read_pointer

        return lazy_cube(read_pointer(pointer))
    from taxoscape.cube.store import read_cube

    return read_cube(folder / "cube.zarr")


def open_regions(folder: RunFolder) -> Joined | None:
    """Return the joined cube of a run with several regions and where they lie in it; None where it has only one."""
    names = read_regions(folder)
    if not names:
        return None
    settings, _, _ = read_run(folder)
    return open_joined(folder / CUBES, tuple(names), settings)


def open_encoder(folder: RunFolder, settings: Settings, *, geographic: bool) -> Encoder:
    """Return f^g or f^c of a run, on the run's device."""
    from taxoscape.embedding.encoder import load_encoder

    name = "encoder_geographic.safetensors" if geographic else "encoder.safetensors"
    return load_encoder(folder / name, device=settings.run.device)


def is_refined(folder: RunFolder) -> bool:
    """Whether a run has P^c beside P^g."""
    return (folder / "partition.zarr").exists()


def last_result(folder: RunFolder) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the series and the zones that a run ends with: P^c, or P^g where it was not refined.

    The series of a run whose zones are another run's is levelled, as they were assigned.
    """
    end = "" if is_refined(folder) else "_geographic"
    series, zones = read_series(folder / f"series{end}.zarr"), read_dataset(folder / f"partition{end}.zarr")
    if "level_shifts" in zones:  # zones of another run
        values = levelled(series["embedding"].to_numpy(), zones["level_shifts"].to_numpy())
        series = series.assign(embedding=series["embedding"].copy(data=values))
    return series, zones
