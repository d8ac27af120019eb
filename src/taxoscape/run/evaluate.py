"""Compare a run's zones with a label raster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from taxoscape.analysis.agreement import agreement
from taxoscape.errors import InputError, RunFolderError
from taxoscape.run.baselines import read_baselines
from taxoscape.run.folder import RunFolder
from taxoscape.run.reading import Reading
from taxoscape.run.request import read_run
from taxoscape.run.table import digests


def evaluate_run(folder: RunFolder, truth: str | Path, *, min_share: float = 0.5) -> dict[str, Any]:
    """Score the zones of a run against labels that it has never seen.

    Parameters
    ----------
    folder
        The run; its zones must be made.
    truth
        Label raster. A tile's label is its majority label where that holds at least ``min_share`` of all the tile's
        pixels; 0 and nodata are no label.
    min_share
        In 0…1.

    Returns
    -------
    ``nmi``, ``ari``, ``purity``, ``n_tiles`` (tiles with a zone and a label), ``min_share``; and, where the run was
    refined, the same of P^g under ``geographic``, and of each baseline that the run has under ``baselines``. Where
    tiles overlap, ``cells`` has the same of the map as it is drawn: zones against the majority labels of cells.

    Raises
    ------
    RunFolderError
        Where the zones are not made yet.
    InputError
        Where the raster cannot be read, or no tile has a label.
    """
    if not 0 <= min_share <= 1:
        raise InputError(f"--min-share is a share between 0 and 1, not {min_share}")
    settings, _, inputs = read_run(folder)
    current = digests(settings, inputs)
    for stage in ("cluster", "refine"):
        fault = folder.fault(stage, current[stage])
        if fault is not None:
            raise RunFolderError(
                f"{folder.path} has no zones of its present settings ({stage}: {fault}): run  taxoscape run "
                f"{folder / 'run.toml'}"
            )
    reading = Reading(folder, settings)
    labels = reading.truth(truth, min_share=min_share)
    result: dict[str, Any] = {**agreement(reading.labels, labels), "min_share": min_share}
    if reading.grid.stride < reading.grid.tile_size:
        result["cells"] = agreement(reading.labels, reading.truth(truth, min_share=min_share, cells=True))
    if reading.geographic is not None:
        result["geographic"] = agreement(reading.geographic[1]["labels"].to_numpy(), labels)
    others = read_baselines(folder) if folder.is_done("baselines", current["baselines"]) else []
    known = labels != 0
    found = {row.name: agreement(other, labels) for row, other in others if ((other > 0) & known).any()}
    return {**result, "baselines": found} if found else result
