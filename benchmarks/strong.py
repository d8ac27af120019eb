"""What the evidence sets beside the methods of ``--baselines``: strong baselines, ablations, a supervised reference.

All on the tiles of a run that is done, with the true number of zones:

* tile means by K-means, for runs without ``--baselines``;
* tile means, and means and deviations, in a learned metric: what the clusterer alone reaches without any training;
* tile means, tied: a Gaussian mixture with one covariance for all components after PCA to 20 axes, by scikit-learn, the
  mean of five starts; the strong baseline of the literature;
* the features of the refined network without the statistics beside them, by plain K-means and in a learned metric;
* the supervised reference: what a cross-validated logistic regression makes of tile means when every label is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from taxoscape.analysis.agreement import agreement
from taxoscape.analysis.quality import join_share, patches
from taxoscape.contracts import grid_of
from taxoscape.cube.labels import read_labels_on_grid
from taxoscape.embedding.encoder import load_encoder
from taxoscape.run.store import read_dataset, read_series
from taxoscape.zones.clustering import cluster, evidence
from taxoscape.zones.missing import counted, whole_rows

STARTS = 5
"""Starts over which the tied mixture is averaged."""
AXES = 20
"""Principal axes of the tied mixture."""
FOLDS = 5
"""Folds of the supervised reference."""


def strong_rows(run: Path, truth: str, *, min_share: float, k: int, seed: int) -> tuple[list[dict[str, Any]], int]:
    """Return a row for each further method, as those of ``analysis.json``, and the number of zones that auto picks."""
    geographic = read_series(run / "series_geographic.zarr")
    refined = read_series(run / "series.zarr") if (run / "series.zarr").exists() else geographic
    statistics = read_dataset(run / "statistics.zarr")
    grid = grid_of(geographic)
    labels = read_labels_on_grid(truth, grid, min_share=min_share)
    means = as_series(geographic, statistics["mean"])
    both = as_series(geographic, xr.concat([scaled(statistics[name]) for name in ("mean", "deviation")], "band"))
    name = "encoder.safetensors" if (run / "encoder.safetensors").exists() else "encoder_geographic.safetensors"
    carried = bool(load_encoder(run / name).recipe.weights)
    features = slice(-2 * statistics.sizes["band"]) if carried else slice(None)
    alone = as_series(geographic, refined["embedding"].isel(feature=features), "feature")

    def zones(series: xr.Dataset, clusterer: Any) -> Callable[[], list[Any]]:
        return lambda: [cluster(series, n_clusters=k, rng=seed, clusterer=clusterer)["labels"].to_numpy()]

    made = (
        ("means", "Tile means", zones(means, "kmeans")),
        ("means_learned", "Tile means, learned metric", zones(means, "learned")),
        ("stats_learned", "Tile means and deviations, learned metric", zones(both, "learned")),
        ("means_tied", f"Tile means, tied mixture ({STARTS} starts)", lambda: tied(means, k)),
        ("refined_kmeans", "f^c without statistics, K-means", zones(alone, "kmeans")),
        ("refined_alone", "f^c without statistics, learned metric", zones(alone, "learned")),
        ("supervised", "(Supervised, tile means, all labels given)", lambda: [supervised(means, labels)]),
    )
    rows = []
    for name, title, make in made:
        begun = time.monotonic()
        found = make()
        seconds = (time.monotonic() - begun) / len(found)
        scores = [agreement(part, labels) for part in found]
        row = {key: float(np.mean([score[key] for score in scores])) for key in ("nmi", "ari", "purity")}
        shapes = [grid.to_map(part.astype(np.int64)) for part in found]
        row["map_join_share"] = float(np.mean([join_share(shape) for shape in shapes]))
        row["map_patches"] = float(np.mean([patches(shape).sum() for shape in shapes]))
        rows.append({"name": name, "title": title, "seconds": seconds, "stability_ari": None, "note": "", **row})
    return rows, evidence(geographic, rng=seed).chosen


def as_series(like: xr.Dataset, values: xr.DataArray, dim: str = "band") -> xr.Dataset:
    """Return values (tile, time, band) as a series on the grid of another."""
    return like[["valid"]].assign(embedding=(("tile", "time", "feature"), values.transpose(..., dim).to_numpy()))


def scaled(values: xr.DataArray) -> xr.DataArray:
    """Return values with total variance 1 between the tiles of a date."""
    apart = values - values.mean("tile")
    return apart / float(np.sqrt(np.square(apart).sum("band").mean()))


def tied(series: xr.Dataset, k: int) -> list[np.ndarray[Any, Any]]:
    """Return the labels (tile,), 1…k, of a tied Gaussian mixture from several starts; 0 = no date."""
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    matrix, members = whole_rows(series["embedding"].to_numpy(), counted(series))
    rows = PCA(min(AXES, *matrix.shape)).fit_transform(matrix.astype(np.float64))
    found = []
    for start in range(STARTS):
        labels = np.zeros(series.sizes["tile"], np.int64)
        labels[members] = GaussianMixture(k, covariance_type="tied", random_state=start).fit_predict(rows) + 1
        found.append(labels)
    return found


def supervised(series: xr.Dataset, labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return what a logistic regression, trained on the other folds, makes of each labelled tile; 0 elsewhere."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    matrix, members = whole_rows(series["embedding"].to_numpy(), counted(series))
    given = labels[members] > 0
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    folds = KFold(FOLDS, shuffle=True, random_state=0)
    found = np.zeros(series.sizes["tile"], np.int64)
    found[members[given]] = cross_val_predict(model, matrix[given], labels[members][given], cv=folds)
    return found
