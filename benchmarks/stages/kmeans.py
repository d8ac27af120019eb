"""K-means: in memory beside faiss and tslearn, from the same centres; over stored series beside reading them.

The rate of a pass out of core is that of the blocks it read; a pass that skips blocks ends sooner, not faster.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from stages.measuring import Measure, paired, peak_gib
from stages.series import a_grid, made_up, stored_series

K, ITERATIONS = 20, 5
STARTS = 10
AT_LEAST_AS_FAST = 1 / 1.2
READING = 0.7
"""Least share of the bare reading rate."""


def measure(*, small: bool) -> list[Measure]:
    """Return rows a second and iteration in memory, and MiB a second out of core."""
    edge, times, features = (40, 4, 64) if small else (220, 20, 512)
    return [
        *_in_memory(edge, times, features, small=small),
        *_out_of_core(*((48, 8, 256, 16) if small else (edge, times, features, 64)), turns=2 if small else 3),
    ]


def _in_memory(edge: int, times: int, features: int, *, small: bool) -> list[Measure]:
    grid = a_grid(edge)
    values = np.empty((grid.n_tiles, times, features), np.float32)
    begin = 0
    for block in made_up(grid, times, features, zones=K, tiles=1000):
        values[begin : begin + len(block)] = block
        begin += len(block)
    centres = values.reshape(len(values), -1)[np.random.default_rng(1).choice(len(values), K, replace=False)].copy()
    some = values[:: 1 if small else 10]
    peers: list[tuple[str, Any, Any, float | None]] = [
        ("faiss", values, by_faiss, AT_LEAST_AS_FAST),
        ("tslearn", some, by_tslearn, AT_LEAST_AS_FAST),
    ]
    rows = []
    for name, part, other, bar in peers:
        peer = other(part, centres)
        if peer is None:
            print(f"kmeans: {name} is not installed, its row is left out", file=sys.stderr)
            continue
        ours = lambda part=part: by_us(part, centres)  # noqa: E731
        seconds, ratio = paired(ours, peer, turns=3)
        rows.append(Measure(
            stage="kmeans",
            what=f"in memory, {len(part)} × {times * features}, k = {K}, {ITERATIONS} iterations, the same start",
            rate=len(part) * ITERATIONS / seconds, unit="rows/s", peer=name, ratio=ratio, bar=bar,
            peak_gib=peak_gib(ours), turns=3,
        ))  # fmt: skip
    return rows


def by_us(values: np.ndarray[Any, Any], centres: np.ndarray[Any, Any]) -> Any:
    """Run the iterations of taxoscape."""
    from taxoscape.zones.lloyd import Source, lloyd

    middle = centres.mean(axis=0, dtype=np.float64)
    source = Source(values, np.ones(values.shape[:2], dtype=bool), middle=middle)
    return lloyd(source, [centres], tolerance=0, most=ITERATIONS)


def by_faiss(values: np.ndarray[Any, Any], centres: np.ndarray[Any, Any]) -> Callable[[], object] | None:
    """Return the iterations of faiss over all rows; None where it is not installed."""
    try:
        import faiss
    except ImportError:
        return None
    matrix = values.reshape(len(values), -1)

    def run() -> None:
        model = faiss.Kmeans(
            matrix.shape[1], K, niter=ITERATIONS, max_points_per_centroid=10**9, min_points_per_centroid=1
        )
        model.train(matrix, init_centroids=centres)

    return run


def by_tslearn(values: np.ndarray[Any, Any], centres: np.ndarray[Any, Any]) -> Callable[[], object] | None:
    """Return the iterations of tslearn under Euclidean distance; None where it is not installed."""
    try:
        from tslearn.clustering import TimeSeriesKMeans
    except ImportError:
        return None
    start = centres.reshape(K, *values.shape[1:])

    def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            TimeSeriesKMeans(K, metric="euclidean", init=start, max_iter=ITERATIONS, tol=0).fit(values)

    return run


def _out_of_core(edge: int, times: int, features: int, chunk: int, *, turns: int) -> list[Measure]:
    with stored_series(edge, times, features, zones=8, chunk=chunk) as path:
        one = _pass(path, turns)
        whole = [_clustered(path, clusterer) for clusterer in ("kmeans", "learned")]
    return [one, *whole]


def _pass(path: Path, turns: int) -> Measure:
    """Measure full passes of K-means over a stored series against reading alone."""
    from taxoscape.run.store import read_series
    from taxoscape.zones.lloyd import Source, lloyd
    from taxoscape.zones.rows import StoredRows, rows_of

    series = read_series(path)
    rows = rows_of(series)
    assert isinstance(rows, StoredRows)
    n, per_row = len(rows), 4 * rows.shape[1] * rows.shape[2]
    centres = rows[np.sort(np.random.default_rng(1).choice(n, K, replace=False))].reshape(K, -1)
    middle, seen = centres.mean(axis=0, dtype=np.float64), np.ones(rows.shape[:2], dtype=bool)
    found: list[tuple[float, float]] = []

    def ours() -> float:
        source, begun = Source(rows, seen, middle=middle), time.perf_counter()
        read = lloyd(source, [centres], tolerance=0, most=2).blocks
        return read / len(source.parts) / (time.perf_counter() - begun)

    for _ in range(turns + 1):  # the first one warms up
        begun = time.perf_counter()
        bare(series["embedding"].variable, Source(rows, seen, middle=middle).parts)
        alone = 1 / (time.perf_counter() - begun)
        found.append((ours(), alone))
    mib = n * per_row / 2**20
    return Measure(
        stage="kmeans", what=f"out of core, passes over {n} × {per_row // 4} in chunks of {rows._chunk()}, k = {K}",
        rate=mib * median(own for own, _ in found[1:]), unit="MiB/s", peer="reading and decompressing the same chunks",
        ratio=median(own / peer for own, peer in found[1:]), bar=READING, peak_gib=peak_gib(ours), turns=turns,
    )  # fmt: skip


def bare(variable: Any, parts: list[slice]) -> None:
    """Read and decompress all chunks, as many at a time as a pass does."""
    for part in parts:
        variable[part].to_numpy()


def _clustered(path: Path, clusterer: Any) -> Measure:
    """Measure a whole clustering out of core."""
    from taxoscape.run.store import read_series
    from taxoscape.zones.clustering import cluster

    series, seconds = read_series(path), []

    def ours() -> None:
        begun = time.perf_counter()
        cluster(series, n_clusters=8, starts=STARTS, rng=0, clusterer=clusterer, memory=0)
        seconds.append(time.perf_counter() - begun)

    peak = peak_gib(ours)
    n, columns = series.sizes["tile"], series.sizes["time"] * series.sizes["feature"]
    return Measure(
        stage="kmeans", what=f"out of core, {clusterer}, {n} × {columns}, 8 zones, {STARTS} starts, from end to end",
        rate=n / seconds[-1], unit="rows/s", peak_gib=peak,
    )  # fmt: skip
