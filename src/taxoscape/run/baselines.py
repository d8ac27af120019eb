"""Plain pixels and training-free encoders beside the result: the same tiles, as many zones.

A map of zones is worth its training only where it beats what costs nothing. Each method here makes a partition of the
run's own tiles into as many zones as the run has, by plain K-means; every one is measured in its own series and on the
map. A method that is done is kept while others are still at work, so that a killed run goes on with the next.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.analysis.pixels import PixelZones, pixel_zones
from taxoscape.analysis.quality import map_quality, quality
from taxoscape.contracts import grid_of
from taxoscape.errors import InputError
from taxoscape.files import write_text
from taxoscape.run.budget import budget_of
from taxoscape.run.folder import RunFolder
from taxoscape.run.outcome import Context, Outcome
from taxoscape.run.results import last_result, open_cube
from taxoscape.run.store import read_dataset, write_dataset
from taxoscape.zones.clustering import cluster
from taxoscape.zones.matching import overlap_order

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from taxoscape.grid import Grid

SMALL_PX = 8
"""Edge of the small tiles of raw pixels (METHOD step 12)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What one method gave."""

    name: str
    """Short name, as in files and metrics."""
    title: str
    """Name for people."""
    n_features: int
    """Numbers per tile and date that were clustered; 0 where nothing was."""
    seconds: float
    """Seconds from the cube to the partition."""
    measuring_seconds: float = 0.0
    """Seconds that its measures took after that."""
    metrics: dict[str, float | None] = field(default_factory=dict)
    """As `taxoscape.analysis.quality.quality`, in the method's own series; of raw pixels without silhouettes."""
    note: str = ""
    """What a reader must know; why it was left out, where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What every method works with."""

    cube: xr.DataArray
    grid: Grid
    statistics: xr.Dataset
    k: int
    context: Context


_Partition = tuple["npt.NDArray[Any]", int, dict[str, float], str]
"""Labels (tile,), features, metrics with seconds of ``measuring`` and spent ``before``, note."""


def make_baselines(context: Context) -> Outcome:
    """Partition the region by every method of `METHODS`; nothing unless asked for."""
    if not context.settings.analysis.baselines:
        return Outcome(outputs=(), summary="left out: not asked for (--baselines)", notes={"left_out": "not asked for"})
    _, zones = last_result(context.folder)
    grid = grid_of(zones)
    task = _Task(
        cube=open_cube(context.folder),
        grid=grid,
        statistics=read_dataset(context.folder / "statistics.zarr"),
        k=zones.sizes["zone"],
        context=context,
    )
    found = [_one(name, title, make, task) for name, title, make in METHODS]
    labels = np.stack([labels for _, labels in found])
    rows = [asdict(baseline) for baseline, _ in found]
    write_dataset(
        context.folder / "baselines.zarr",
        zones[["labels"]].drop_vars("labels").assign(labels=(("method", "tile"), labels)).assign_attrs(
            grid=grid.to_json(), baselines=json.dumps(rows)
        ),
    )  # fmt: skip
    done = sum(bool((part > 0).any()) for part in labels)
    return Outcome(outputs=("baselines.zarr",), summary=f"{done} partitions to compare with")


def read_baselines(folder: RunFolder) -> list[tuple[Baseline, npt.NDArray[np.int64]]]:
    """Return the baselines of a run with their labels (tile,), 0 = none; none where they were not asked for."""
    path = folder / "baselines.zarr"
    if not path.exists():
        return []
    stored = read_dataset(path)
    rows = [Baseline(**row) for row in json.loads(stored.attrs["baselines"])]
    return list(zip(rows, stored["labels"].to_numpy().astype(np.int64), strict=True))


def _one(
    name: str, title: str, make: Callable[[_Task], _Partition], task: _Task
) -> tuple[Baseline, npt.NDArray[np.int64]]:
    """Do one method, or take what an interrupted attempt has done."""
    note, array = task.context.work / f"{name}.json", task.context.work / f"{name}.npy"
    if note.is_file() and array.is_file():
        return Baseline(**json.loads(note.read_text(encoding="utf-8"))), np.load(array)
    begun = time.monotonic()
    try:
        labels, n_features, metrics, text = make(task)
    except InputError as error:
        labels, n_features, metrics, text = np.zeros(task.grid.n_tiles, np.int64), 0, {}, f"left out: {error}"
    measuring, before = (metrics.pop(name, 0.0) for name in ("measuring", "before"))
    seconds = round(time.monotonic() - begun - measuring + before, 2)
    plain = {
        key: None if np.isnan(value) else value if isinstance(value, int) else float(value)
        for key, value in metrics.items()
    }
    row = Baseline(
        name=name, title=title, n_features=n_features, seconds=seconds,
        measuring_seconds=round(measuring, 2), metrics=plain, note=text,
    )  # fmt: skip
    np.save(array, labels.astype(np.int64))
    write_text(note, json.dumps(asdict(row)))
    return row, labels.astype(np.int64)


def _pixels(size_px: int | None) -> Callable[[_Task], _Partition]:
    def make(task: _Task) -> _Partition:
        settings, tile_size = task.context.settings, task.grid.tile_size
        size = size_px or tile_size
        if size_px and size_px >= tile_size:
            raise InputError(f"tiles of {tile_size} px are no larger than {size_px} px")
        result = pixel_zones(
            task.cube,
            task.grid,
            size_px=size,
            n_clusters=task.k,
            min_valid=settings.grid.min_valid,
            starts=settings.zones.starts,
            rng=settings.run.seed,
            memory=budget_of(settings).cube,
            track=task.context.track,
        )
        begun = time.monotonic()
        metrics = {"inertia_mean": result.inertia_mean, "stability_ari": result.stability_ari}
        metrics |= map_quality(task.grid.to_map(result.labels), rng=settings.run.seed)
        metrics["measuring"] = result.stability_seconds + time.monotonic() - begun
        return result.labels, size**2 * task.cube.sizes["band"], metrics, _told(result, own=size == tile_size)

    return make


def _told(result: PixelZones, *, own: bool) -> str:
    """Return what a reader must know of zones from pixels."""
    kind = "tiles" if own else "small tiles"
    parts = [f"stability of {result.stability_tiles} {kind}; no silhouette: all pixels at once are too many"]
    if not own:
        parts.insert(0, "each tile takes the commonest zone of its small tiles")
    if not result.converged:
        parts.insert(0, f"stopped after {result.passes} passes over the scenes")
    return "; ".join(parts)


def _means(task: _Task) -> _Partition:
    """Cluster the mean colours of tiles."""
    statistics = task.statistics
    series = statistics[["mean", "valid"]].rename({"mean": "embedding", "band": "feature"}).drop_vars("feature")
    labels, n_features, metrics, note = _clustered(series, task)
    marker = task.context.folder.marker("statistics")
    metrics["before"] = marker["seconds"] if marker else 0.0  # the means are its work
    return labels, n_features, metrics, note


def _encoded(kind: str) -> Callable[[_Task], _Partition]:
    def make(task: _Task) -> _Partition:
        from taxoscape.config import EncoderSettings
        from taxoscape.embedding.encoding import encode
        from taxoscape.embedding.features import fit_features
        from taxoscape.embedding.fit import untrained
        from taxoscape.embedding.machine import settled_precision

        settings = task.context.settings
        seed, size, min_valid = settings.run.seed, task.grid.tile_size, settings.grid.min_valid
        if kind in ("tilenet", "fast"):
            encoder = untrained(task.cube, network=kind, tile_size=size, rng=seed, min_valid=min_valid)
        else:
            encoder = fit_features(
                task.cube,
                tile_size=size,
                settings=EncoderSettings(encoder=kind, filters=settings.encoder.filters),
                rng=seed,
                min_valid=min_valid,
            )
        series = encode(task.cube, encoder, grid=task.grid, min_valid=min_valid, track=task.context.track)
        labels, n_features, metrics, _ = _clustered(series, task)
        narrow = settled_precision("auto", kind, encoder.device.type) == "bfloat16"
        return labels, n_features, metrics, "encoded in bfloat16" if narrow else ""

    return make


def _clustered(series: xr.Dataset, task: _Task) -> _Partition:
    settings = task.context.settings
    track = task.context.track
    zones = cluster(
        series, n_clusters=task.k, starts=settings.zones.starts, rng=settings.run.seed, clusterer="kmeans", track=track
    )
    begun = time.monotonic()
    metrics = quality(series, zones, rng=settings.run.seed, track=track)
    metrics["measuring"] = time.monotonic() - begun
    return zones["labels"].to_numpy(), series.sizes["feature"], metrics, ""


METHODS: tuple[tuple[str, str, Callable[[_Task], _Partition]], ...] = (
    ("pixels_small", f"Raw pixels, tiles of {SMALL_PX} px", _pixels(SMALL_PX)),
    ("pixels", "Raw pixels, whole tiles", _pixels(None)),
    ("means", "Tile means", _means),
    ("stats", "Tile means and deviations", _encoded("stats")),
    ("rcf", "Random convolutional features", _encoded("rcf")),
    ("untrained_tilenet", "TileNet, untrained", _encoded("tilenet")),
    ("untrained_fast", "Small network, untrained", _encoded("fast")),
)
"""Short name, name for people, and what makes the partition (METHOD step 12; the training-free encoders besides)."""


def compared_labels(folder: RunFolder, zones: npt.NDArray[np.integer]) -> dict[str, npt.NDArray[np.int64]]:
    """Return the labels (tile,) of each baseline of a run, numbered like the zones that they share most tiles with."""
    found = {}
    for row, labels in read_baselines(folder):
        k = max(int(zones.max(initial=0)), int(labels.max(initial=0)))
        found[row.name] = np.concatenate([[0], overlap_order(zones, labels, k)])[labels]
    return found
