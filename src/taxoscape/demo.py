"""The demo: the built-in region through the main job, scored against the region's known truth."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from taxoscape.analysis.agreement import agreement
from taxoscape.analysis.baselines import tile_means
from taxoscape.contracts import grid_of
from taxoscape.cube.labels import read_labels_on_grid
from taxoscape.errors import RunFolderError
from taxoscape.files import write_text
from taxoscape.progress import Track, silent
from taxoscape.run.evaluate import evaluate_run
from taxoscape.run.folder import RunFolder
from taxoscape.run.page import Scores
from taxoscape.run.pipeline import advance
from taxoscape.run.prepare import prepare
from taxoscape.run.products import write_run_report
from taxoscape.run.request import Request, read_run
from taxoscape.run.results import last_result, open_cube
from taxoscape.testing.region import GENERATOR_VERSION, Region
from taxoscape.testing.writing import write_region
from taxoscape.zones.clustering import cluster

log = logging.getLogger("taxoscape")

TILE_SIZE = 50
MIN_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What the demo found."""

    report: Path
    """The report of the run."""
    scores: Scores
    """NMI, ARI and purity of K-means on mean colours, of P^g and of P^c."""

    @property
    def table(self) -> str:
        """The scores as a table for people."""
        width = max(len(name) for name in self.scores)
        lines = [f"{'agreement with the known truth':<{width}}    NMI    ARI  purity"]
        lines += [
            f"{name:<{width}}  {row['nmi']:.3f}  {row['ari']:.3f}   {row['purity']:.3f}"
            for name, row in self.scores.items()
        ]
        return "\n".join(lines)


def run_demo(out: str | Path, *, seed: int = 0, size: int = 2000, zones: int = 8, track: Track = silent) -> DemoResult:
    """Make the built-in region, run the main job on it, and score the zones against the known truth.

    Parameters
    ----------
    out
        Folder for ``scenes/``, ``truth/`` and the run folder ``run/``. A demo that was stopped goes on.
    seed
        Seed of the region and of the run.
    size
        Edge of the region in pixels of 10 m; tiles have 50.
    zones
        Number of zones of the region, and asked for.
    track
        Told of the progress of each step.

    Raises
    ------
    InputError
        Where the size does not hold one tile.
    RunFolderError
        Where ``out/run`` holds another run.
    """
    home = Path(out)
    region = Region(seed=seed, height=size, width=size, n_zones=zones)
    _refuse_other_demo(region, home)
    truth = _make_region(region, home, track)
    explicit = {
        "grid": {"tile_size": TILE_SIZE},
        "zones": {"zones": zones},
        "run": {"seed": seed},
    }
    folder = prepare(Request(scenes=(str((home / "scenes").resolve()),), explicit=explicit), home / "run")
    advance(folder, track=track, together=False)
    scores = score(folder, truth, track=track)
    write_text(home / "scores.json", json.dumps(scores, indent=1) + "\n")
    settings, _, _ = read_run(folder)
    report = write_run_report(folder, settings, scores=scores)
    folder.renew("publish")
    return DemoResult(report=report, scores=scores)


def score(folder: RunFolder, truth: Path, *, min_share: float = MIN_SHARE, track: Track = silent) -> Scores:
    """Return NMI, ARI and purity of K-means on mean colours, of P^g and of P^c of a run against a label raster."""
    found = evaluate_run(folder, truth, min_share=min_share)
    settings, _, _ = read_run(folder)
    _, zones = last_result(folder)
    grid = grid_of(zones)
    means = tile_means(open_cube(folder), grid, min_valid=settings.grid.min_valid, track=track)
    plain = cluster(
        means,
        n_clusters=zones.sizes["zone"],
        starts=settings.zones.starts,
        rng=settings.run.seed,
        clusterer="kmeans",
        track=track,
    )
    labels = read_labels_on_grid(truth, grid, min_share=min_share)
    scores = {"K-means on mean colours": agreement(plain["labels"].to_numpy(), labels)}
    if "geographic" in found:
        scores["first zones (geography)"] = found["geographic"]
        scores["refined zones"] = {name: found[name] for name in ("nmi", "ari", "purity", "n_tiles")}
    else:
        scores["zones"] = {name: found[name] for name in ("nmi", "ari", "purity", "n_tiles")}
    return scores


def _refuse_other_demo(region: Region, home: Path) -> None:
    """Refuse a folder with a demo of another region: its run would stand on scenes that it was not made from."""
    note = home / "region.json"
    if (home / "run" / "run.toml").exists() and not (
        note.is_file() and note.read_text(encoding="utf-8") == _note(region)
    ):
        raise RunFolderError(f"{home} holds a demo of another region (seed, size): give another --out, or delete it")


def _note(region: Region) -> str:
    """Return what tells one region from another."""
    return json.dumps({"generator": GENERATOR_VERSION, "region": repr(region)})


def _make_region(region: Region, home: Path, track: Track) -> Path:
    """Write the region unless just this one is there; return the path of its truth."""
    note = home / "region.json"
    meant = _note(region)
    truth = home / "truth" / "truth.tif"
    if note.is_file() and note.read_text(encoding="utf-8") == meant and truth.is_file():
        return truth
    log.info(
        "%-8s %d × %d px, %d zones, %d dates", "region", region.height, region.width, region.n_zones, len(region.days)
    )
    files = write_region(region, home, track=track, threads=2)
    write_text(note, meant)
    return files.truth
