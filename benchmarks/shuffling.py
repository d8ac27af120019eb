"""What shuffling by blocks of storage costs an encoder: the built-in region, drawn from whole and in windows.

    .venv/bin/python benchmarks/shuffling.py [--seeds 1 2] [--size 400]

Blocks are as much smaller than those of a large cube as the region is smaller than a scene of 10 980 pixels, so that a
date has about as many and a window is the same share of it (42 of 484). Prints one row a seed and way: the share of
tiles in a batch that are too near to an anchor to be told from it, beside its own neighbour; accuracy on fresh
triplets; and agreement of zones, as many as there are true ones, with the truth.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

TILE = 20
ZONES = 6
DATES = 4
BLOCKS = 22
"""Blocks along an edge of the region."""
SHARE = 42 / 484
"""Share of the blocks of a date in a window."""


@contextmanager
def by_block(size: int) -> Iterator[None]:
    """Let triplets of the region be drawn as those of a large cube are."""
    from taxoscape.embedding import order

    def storage(reader: object) -> order.Storage:  # noqa: ARG001
        return order.Storage(edge_px=-(-size // BLOCKS), at_once=round(SHARE * BLOCKS**2))

    with mock.patch("taxoscape.embedding.training.storage_of", storage):
        yield


def measured(seed: int, size: int, *, windows: bool, triplets: int, epochs: int) -> dict[str, float]:
    """Return the figures of a seed under one way of shuffling."""
    import taxoscape as tx
    from taxoscape.analysis.agreement import agreement
    from taxoscape.config import EncoderSettings
    from taxoscape.embedding import training
    from taxoscape.testing.region import Region, region_cube

    region = Region(seed=seed, height=size, width=size, n_zones=ZONES, dates=DATES)
    settings, shares = EncoderSettings(triplets=triplets, epochs=epochs), list[float]()
    near = training.near

    def counted(*given: Any, **how: Any) -> Any:
        hidden = near(*given, **how)
        shares.append(float((hidden.sum(axis=1) - 2).clip(0).mean() / (hidden.shape[1] - 2)))
        return hidden

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(training, "near", counted))
        if windows:
            stack.enter_context(by_block(size))
        encoder = tx.train_encoder(region_cube(region).load(), tile_size=TILE, settings=settings, rng=0)
    zones = tx.cluster(tx.encode(region_cube(region), encoder), n_clusters=ZONES, rng=0)
    n = size // TILE
    tiles = region.truth()[: n * TILE, : n * TILE].reshape(n, TILE, n, TILE).transpose(0, 2, 1, 3).reshape(n * n, -1)
    truth = np.array([np.bincount(pixels).argmax() for pixels in tiles])
    found = agreement(zones["labels"].to_numpy(), truth)
    return {
        "near": float(np.mean(shares)),
        "accuracy": encoder.metadata["training"]["held_out_accuracy"],
        "nmi": found["nmi"],
        "ari": found["ari"],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--size", type=int, default=400)
    parser.add_argument("--triplets", type=int, default=2_000)
    parser.add_argument("--epochs", type=int, default=2)
    given = parser.parse_args()
    print("| seed | drawn from | near | held-out accuracy | NMI | ARI |\n|---|---|---:|---:|---:|---:|")
    for seed in given.seeds:
        for windows in (False, True):
            row = measured(seed, given.size, windows=windows, triplets=given.triplets, epochs=given.epochs)
            figures = f"{row['near']:.2%} | {row['accuracy']:.3f} | {row['nmi']:.3f} | {row['ari']:.3f}"
            print(f"| {seed} | {'windows' if windows else 'the whole date'} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
