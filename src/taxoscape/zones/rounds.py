"""Rounds of refinement: zones teach the embedding, the embedding makes zones, until they come to rest.

Every round trains f^g on with triplets from the zones that stand, encodes, and makes zones anew. Starting from f^g each
time, and not from the embedding of the round before, keeps the errors of one round from being learnt by the next.

What a round makes is kept only where neighbouring tiles stay together: where the share of them that is of one zone does
not fall by more than `TOLERANCE`. A network that has learnt its own zones by heart makes tight zones that are found
again on any half of the tiles, whatever they are worth, but they fall to pieces on the map. `docs/evidence.md` has
which measures that need no label were tried, and which of them told good rounds from bad ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.contracts import check_zones
from taxoscape.embedding.triplets import nothing_to_refine
from taxoscape.executor import Executor, in_process
from taxoscape.progress import Track, silent
from taxoscape.zones.clustering import cluster
from taxoscape.zones.matching import match_zones
from taxoscape.zones.metric import by_chance, independent_share, neighbours

if TYPE_CHECKING:
    import xarray as xr

TOLERANCE = 0.03
"""By how much a round may lower the share of neighbouring tiles that are of one zone; on small maps more, by what
chance alone does (`taxoscape.zones.metric.by_chance`)."""
AT_REST = 0.02
"""Share of the tiles that move, below which zones have come to rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round did, and whether it was kept."""

    number: int
    """1, 2, …"""
    moved_share: float
    """Share of the tiles that are in another zone than before it."""
    together: float
    """Share of neighbouring tiles that are of one zone; NaN where there are none."""
    together_before: float
    """The most that it was before."""
    kept: bool
    """Whether its zones stand."""

    @property
    def reason(self) -> str:
        """Why it was not kept, in words; "" where it was."""
        if self.kept:
            return ""
        return (
            f"round {self.number} was not kept: of neighbouring tiles {self.together_before:.1%} were of one zone "
            f"before it, {self.together:.1%} after"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Where rounds of refinement come to rest."""

    kept: int
    """Number of the last round that was kept; 0: none."""
    zones: xr.Dataset
    """The zones that stand, numbered like those before the first round."""
    rounds: tuple[Round, ...]
    """All rounds that were made."""


def cluster_again(
    series: xr.Dataset,
    zones: xr.Dataset,
    *,
    starts: int,
    rng: int,
    memory: int | None = None,
    track: Track = silent,
    execute: Executor = in_process,
) -> xr.Dataset:
    """Return the series in as many zones as before, with the numbers of ``zones`` by largest overlap.

    By the clusterer of ``zones``, which are one more start beside ``starts`` random ones; ``memory`` and
    ``execute`` as for `cluster`.
    """
    again = cluster(
        series,
        n_clusters=zones.sizes["zone"],
        starts=starts,
        rng=rng,
        clusterer=zones.attrs.get("clusterer", "kmeans"),
        first_labels=zones["labels"].to_numpy(),
        memory=memory,
        track=track,
        execute=execute,
    )
    return match_zones(zones, again)


def in_rounds(
    zones: xr.Dataset,
    make: Callable[[int, xr.Dataset], xr.Dataset],
    *,
    rounds: int,
    accept: bool,
    starts: int,
    rng: int,
    memory: int | None = None,
    track: Track = silent,
    execute: Executor = in_process,
) -> Settled:
    """Refine a partition in rounds until it comes to rest, or a round makes it worse.

    Parameters
    ----------
    zones
        P^g.
    make
        Given the number of a round and the zones that stand, returns the series under the f^c that is trained on them.
    rounds
        Most rounds.
    accept
        Whether a round must hold, see `TOLERANCE`; else every round is kept.
    starts, rng
        Starts of the clustering, and their seed.
    memory, execute
        Bytes up to which a lazy series is loaded whole, and what larger ones are gone over by, as for
        `taxoscape.cluster`.
    track
        Told of the progress of each step.
    """
    made: list[Round] = []
    stands, kept, before = zones, 0, together(zones)
    grid = check_zones(zones)
    n_pairs = len(neighbours(grid, np.flatnonzero(zones["labels"].to_numpy()))) * independent_share(grid)
    for number in range(1, rounds + 1):
        if number > 1 and nothing_to_refine(stands["labels"].to_numpy(), stands["counts"].to_numpy()):
            break
        found = cluster_again(
            make(number, stands), stands, starts=starts, rng=rng, memory=memory, track=track, execute=execute
        )
        after = together(found)
        placed = zones["labels"].to_numpy() > 0
        moved = float((found["labels"].to_numpy() != stands["labels"].to_numpy())[placed].mean())
        good = not (accept and after < before - TOLERANCE - by_chance(before, n_pairs))
        made.append(Round(number=number, moved_share=moved, together=after, together_before=before, kept=good))
        if not good:
            break
        stands, kept, before = found, number, max(before, after)  # no falling by and by
        if moved < AT_REST:
            break
    return Settled(kept=kept, zones=stands, rounds=tuple(made))


def together(zones: xr.Dataset) -> float:
    """Return the share of neighbouring tiles that are of one zone; NaN where there are no neighbours.

    Overlapping tiles are no neighbours (`taxoscape.zones.metric.neighbours`).
    """
    labels = zones["labels"].to_numpy().astype(np.int64)
    pairs = neighbours(check_zones(zones), np.flatnonzero(labels))
    placed = labels[labels > 0]
    return float((placed[pairs[:, 0]] == placed[pairs[:, 1]]).mean()) if len(pairs) else math.nan
