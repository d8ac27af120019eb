"""The zones of a run, and what is read off them at once: areas, cards, layers, graph, changes.

What takes longer is made by the stage ``analyse`` (`taxoscape.run.findings`) and kept in ``analysis.json``. In a run
with several regions everything here is on the joined grid (`taxoscape.cube.joined`); only areas, layers and a truth are
taken on the regions' own grids.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.analysis.association import Association
from taxoscape.analysis.cards import ZoneCard, zone_cards
from taxoscape.analysis.changes import Changes, changes
from taxoscape.analysis.graph import SemanticGraph, semantic_graph
from taxoscape.analysis.projections import Projection, Projections
from taxoscape.analysis.regions import RegionPartition
from taxoscape.areas import cell_areas_km2
from taxoscape.config import Settings
from taxoscape.contracts import grid_of
from taxoscape.cube.labels import read_labels_on_grid
from taxoscape.cube.layers import Layer, parse_layer, read_layer
from taxoscape.errors import InputError
from taxoscape.grid import Grid
from taxoscape.run.budget import budget_of
from taxoscape.run.folder import RunFolder
from taxoscape.run.results import is_refined, last_result, open_regions
from taxoscape.run.store import read_dataset, read_series
from taxoscape.run.tree import read_tree
from taxoscape.zones.confidence import confidence
from taxoscape.zones.rows import held

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    import xarray as xr

    from taxoscape.cube.joined import Joined, Placement
    from taxoscape.zones.tree import ZoneTree

LAYERS, REGIONS = "layers.zarr", "regions.zarr"
"""Layers on the tiles; where there are several regions, the zones that each makes of itself."""


class Reading:
    """The zones that a run ends with, and what is read off them.

    Parameters
    ----------
    folder
        A run whose stages up to ``refine`` are done.
    settings
        Its settings.
    """

    def __init__(self, folder: RunFolder, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        series, self.zones = last_result(folder)
        self.series = held(series, budget_of(settings).series)  # read once, not by every part of the analysis
        self.grid: Grid = grid_of(self.zones)

    @property
    def labels(self) -> npt.NDArray[np.integer]:
        """Integer (tile,): zones 1…K, 0 = none."""
        return np.asarray(self.zones["labels"].to_numpy())

    @property
    def k(self) -> int:
        """Number of zones."""
        return int(self.zones.sizes["zone"])

    @cached_property
    def joined(self) -> Joined | None:
        """The joined cube, where the run has several regions."""
        return open_regions(self.folder)

    @property
    def placements(self) -> tuple[Placement, ...]:
        """Where the regions lie, where there are several."""
        return self.joined.placements if self.joined is not None else ()

    @cached_property
    def areas_km2(self) -> npt.NDArray[np.float64]:
        """float64 (tile,): area of each tile's cell on the ground; 0 between regions."""
        if not self.placements:
            return cell_areas_km2(self.grid)
        return self._by_region(lambda own: cell_areas_km2(own), np.zeros(self.grid.n_tiles))

    @property
    def parts(self) -> npt.NDArray[np.int64] | None:
        """int64 (tile,): number of the region of each tile, 0 between regions; None where there is only one."""
        if not self.placements:
            return None
        parts = np.zeros(self.grid.n_tiles, np.int64)
        for number, placement in enumerate(self.placements, start=1):
            parts[placement.tiles(self.grid)] = number
        return parts

    @cached_property
    def geographic(self) -> tuple[xr.Dataset, xr.Dataset] | None:
        """Series under f^g and P^g, where there is a P^c beside it."""
        if not is_refined(self.folder):
            return None
        return read_series(self.folder / "series_geographic.zarr"), read_dataset(
            self.folder / "partition_geographic.zarr"
        )

    @cached_property
    def confidence(self) -> npt.NDArray[np.float32]:
        """float32 (tile,): how sure each tile is of its zone; NaN where it has none."""
        return confidence(self.zones)

    @property
    def outlyingness(self) -> npt.NDArray[np.float32] | None:
        """float32 (tile,), see `taxoscape.zones.assign.assign`; None where the zones are the run's own."""
        found = self.zones.get("outlyingness")
        return None if found is None else np.asarray(found.to_numpy())

    @cached_property
    def statistics(self) -> xr.Dataset:
        """Mean and deviation of each band in each tile on each date."""
        return read_dataset(self.folder / "statistics.zarr")

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that the run was given, on its tiles, as the stage ``analyse`` stored them."""
        path = self.folder / LAYERS
        return _stored_layers(read_dataset(path)) if path.exists() else ()

    @cached_property
    def cards(self) -> tuple[ZoneCard, ...]:
        """What each zone is like."""
        found = self.statistics
        return zone_cards(
            found["mean"].to_numpy(),
            found["deviation"].to_numpy(),
            found["time"].to_numpy(),
            tuple(str(band) for band in found["band"].to_numpy()),
            self.labels,
            self.grid,
            layers=self.layers,
            areas_km2=self.areas_km2,
            n_zones=self.k,
        )

    @cached_property
    def graph(self) -> SemanticGraph:
        """The minimum spanning tree of the zones."""
        return semantic_graph(self.zones, areas_km2=self.areas_km2)

    @cached_property
    def tree(self) -> ZoneTree:
        """The tree of zones."""
        return read_tree(self.folder)

    @cached_property
    def changes(self) -> Changes | None:
        """P^g against P^c."""
        if self.geographic is None:
            return None
        return changes(self.geographic[1]["labels"].to_numpy(), self.labels, self.areas_km2)

    @cached_property
    def regions(self) -> tuple[RegionPartition, ...]:
        """What each of several regions makes of itself, as the stage ``analyse`` kept it; none where there is one."""
        if not self.placements:
            return ()
        own, found = read_dataset(self.folder / REGIONS)["own"].to_numpy(), []
        for placement, row in zip(self.placements, numbers(self.found["regions"]), strict=True):
            tiles = placement.tiles(self.grid)
            found.append(
                RegionPartition.from_dict(row, grid=placement.grid, overall=self.labels[tiles], own=own[tiles])
            )
        return tuple(found)

    @cached_property
    def found(self) -> dict[str, Any]:
        """What the stage ``analyse`` kept."""
        found: dict[str, Any] = json.loads((self.folder / "analysis.json").read_text(encoding="utf-8"))
        return found

    def truth(self, path: str | Path, *, min_share: float = 0.5, cells: bool = False) -> npt.NDArray[np.int64]:
        """Return the label of each tile, or of its cell, in a label raster: int64 (tile,), 0 = none."""

        def read(grid: Grid) -> npt.NDArray[np.int32]:
            return read_labels_on_grid(path, grid, min_share=min_share, cells=cells)

        if not self.placements:
            return read(self.grid).astype(np.int64)
        return self._by_region(read, np.zeros(self.grid.n_tiles, np.int64))

    def read_layers(self) -> tuple[Layer, ...]:
        """Read the layers that the run was given from their files."""
        found = []
        for key, path in self.settings.analysis.layers.items():
            name, kind, where = parse_layer(f"{key}={path}")
            if not self.placements:
                found.append(read_layer(where, self.grid, name=name, kind=kind))
            else:
                parts = _overlapping(where, self.placements, name, kind)
                found.append(_joined_layer(parts, self.placements, self.grid))
        return tuple(found)

    def _by_region(self, make: Any, into: npt.NDArray[Any]) -> npt.NDArray[Any]:
        for placement in self.placements:
            into[placement.tiles(self.grid)] = make(placement.grid)
        return into


def layers_dataset(layers: tuple[Layer, ...]) -> xr.Dataset:
    """Return layers as a dataset that `Reading.layers` reads back."""
    import xarray as xr

    about = [
        {"name": layer.name, "kind": layer.kind, "classes": list(layer.classes), "unit": layer.unit} for layer in layers
    ]
    values = np.stack([layer.values.astype(np.float64) for layer in layers])
    share = np.stack([layer.share for layer in layers])
    variables = {"values": (("layer", "tile"), values), "share": (("layer", "tile"), share)}
    return xr.Dataset(variables, attrs={"layers": json.dumps(about)})


def _stored_layers(dataset: xr.Dataset) -> tuple[Layer, ...]:
    values, shares = dataset["values"].to_numpy(), dataset["share"].to_numpy()
    found = []
    for about, row, share in zip(json.loads(dataset.attrs["layers"]), values, shares, strict=True):
        dtype = np.int32 if about["kind"] == "categorical" else np.float64
        found.append(Layer(**{**about, "classes": tuple(about["classes"])}, values=row.astype(dtype), share=share))
    return tuple(found)


def _overlapping(path: str, placements: tuple[Placement, ...], name: str, kind: Any) -> list[Layer | None]:
    """Read a layer on the grid of each region; None where it does not reach it."""
    parts: list[Layer | None] = []
    fault: InputError | None = None
    for placement in placements:
        try:
            parts.append(read_layer(path, placement.grid, name=name, kind=kind))
        except InputError as error:
            fault = error
            parts.append(None)
    if fault is not None and not any(part is not None for part in parts):
        raise fault
    return parts


def _joined_layer(parts: list[Layer | None], placements: tuple[Placement, ...], grid: Grid) -> Layer:
    """Put the layer of each region onto the joined grid; classes with one name are one class."""
    known = [part for part in parts if part is not None]
    first = known[0]
    classes = tuple(dict.fromkeys(name for part in known for name in part.classes))
    categorical = first.kind == "categorical"
    values = np.zeros(grid.n_tiles, np.int32) if categorical else np.full(grid.n_tiles, np.nan)
    share = np.zeros(grid.n_tiles)
    for part, placement in zip(parts, placements, strict=True):
        if part is None:
            continue
        codes = np.array([0, *(classes.index(name) + 1 for name in part.classes)], np.int32)
        values[placement.tiles(grid)] = codes[part.values] if categorical else part.values
        share[placement.tiles(grid)] = part.share
    return Layer(name=first.name, kind=first.kind, values=values, share=share, classes=classes, unit=first.unit)


def stored_projections(reading: Reading) -> Projections:
    """Return the projections that the stage ``analyse`` kept in ``projections.csv``."""
    about = reading.found["projections"]
    with (reading.folder / "projections.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    table = np.array([[float(cell or "nan") for cell in row] for row in rows]).reshape(len(rows), len(head))
    parts = {}
    for name in ("pca", "tsne", "mds"):
        columns = [index for index, title in enumerate(head) if title.startswith(f"{name}_")]
        known = np.isfinite(table[:, columns]).all(axis=1) & bool(columns)
        tiles = table[known, head.index("tile")].astype(np.int64)
        parts[name] = Projection(tiles=tiles, coordinates=table[known][:, columns])
    return Projections(
        **parts,
        explained_variance=np.array(about["explained_variance"], dtype=np.float64),
        perplexity=_number(about["perplexity"]),
        stress=_number(about["stress"]),
    )


def associations(reading: Reading) -> dict[str, Association]:
    """Return how strongly zones and each layer go together, as the stage ``analyse`` kept it."""
    stored = reading.found.get("associations", {})
    return {name: Association(**numbers([row])[0]) for name, row in stored.items()}


def numbers(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as JSON held them with what was null as NaN."""
    return [{name: float("nan") if value is None else value for name, value in row.items()} for row in rows]


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
