"""Another number of zones of a finished run, without clustering again: the tree of zones, cut."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.errors import InputError, RunFolderError
from taxoscape.publish.qgis import write_zone_style
from taxoscape.publish.rasters import write_zone_map
from taxoscape.publish.table import zone_table
from taxoscape.run.folder import RunFolder
from taxoscape.run.products import table_of
from taxoscape.run.reading import Reading
from taxoscape.run.request import read_run
from taxoscape.run.table import STAGES, digests
from taxoscape.run.tree import names_of_cut, palette_of, read_tree

if TYPE_CHECKING:
    import numpy.typing as npt

    from taxoscape.grid import Grid


def cut_run(folder: RunFolder, k: int, out: str | Path) -> list[Path]:
    """Write the zones of a run cut into another number.

    Parameters
    ----------
    folder
        A run whose stage ``analyse`` is done.
    k
        Number of zones, 1 to the leaves of its tree.
    out
        The GeoTIFF to write, like ``zones.tif`` with colour table and names, its ``.aux.xml`` and ``.qml`` beside it;
        where the run has several regions, one of each for every region, its name before the ending.

    Returns
    -------
    The GeoTIFFs.

    Raises
    ------
    RunFolderError
        Where the tree is not made yet.
    InputError
        Where the tree has not so many zones, or ``out`` is no path of a GeoTIFF, or one of the run's own maps.
    """
    path = Path(out)
    if path.suffix.casefold() not in (".tif", ".tiff"):
        raise InputError(f"a cut is written as a GeoTIFF, and {path} ends in '{path.suffix}': give --out zones.tif")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} to write {path.name} into: make it first (--out)")
    products = {name for stage in STAGES for name in stage.outputs}
    if path.parent.resolve() == folder.path.resolve() and path.name in products:
        raise InputError(f"{path} is a map of the run itself, of its own number of zones: give another name (--out)")
    settings, _, inputs = read_run(folder)
    current = digests(settings, inputs)
    for stage in ("tree", "analyse"):
        fault = folder.fault(stage, current[stage])
        if fault is not None:
            raise RunFolderError(
                f"{folder.path} has no tree of its present zones ({stage}: {fault}): run  taxoscape run "
                f"{folder / 'run.toml'}"
            )
    tree, reading = read_tree(folder), Reading(folder, settings)
    table = table_of(reading)
    ids, names, colours = tree.ids(k), names_of_cut(tree, k, table), palette_of(tree, table)
    labels = tree.cut(k)
    titles = [f"Zone {number}" for number in range(1, int(ids[-1]) + 1)]  # numbers between are of no tile
    for number, name in zip(ids.tolist(), names, strict=True):
        titles[number - 1] = name
    parts: list[tuple[Path, Grid, npt.NDArray[np.integer]]] = [(path, reading.grid, labels)]
    if reading.placements:
        parts = [
            (path.with_name(f"{path.stem}_{p.name}{path.suffix}"), p.grid, labels[p.tiles(reading.grid)])
            for p in reading.placements
        ]
    for where, grid, own in parts:
        write_zone_map(where, own, grid, colours[: len(titles)], titles)
        rows = zone_table(own, grid, colours[: len(titles)], titles)
        write_zone_style(where.with_suffix(".qml"), [row for row in rows if row.zone in ids])
    return [where for where, _, _ in parts]
