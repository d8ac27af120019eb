"""Refinement: the first partition gives new neighbourhoods, which train the embedding further.

Source: METHOD steps 5 and 6. f^g, trained on geography, gave P^g. Triplets whose neighbours share a zone of P^g train
f^g on to f^c, and steps 3 and 4 under f^c give P^c. Both partitions are kept; P^c takes the zone numbers of P^g by
largest overlap.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.config import RefineSettings
from taxoscape.contracts import check_cube, check_zones
from taxoscape.embedding.encoding import encode
from taxoscape.embedding.fit import (
    blended,
    encoder_from,
    judge,
    refinement_settings,
    refinement_triplets,
    seed_of,
    with_statistics,
)
from taxoscape.embedding.tiles import as_reader
from taxoscape.embedding.training import total_steps, train
from taxoscape.progress import Track, silent
from taxoscape.zones.rounds import Round, in_rounds

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    import xarray as xr

    from taxoscape.config import EncoderSettings, Precision
    from taxoscape.embedding.encoder import Encoder
    from taxoscape.embedding.ranks import Ranks
    from taxoscape.embedding.tiles import TileReader
    from taxoscape.embedding.training import TrainState
    from taxoscape.embedding.triplets import Triplets


@dataclass(frozen=True, slots=True, kw_only=True)
class Refined:
    """What refinement gives: f^c, the series under it, and P^c (METHOD step 6)."""

    encoder: Encoder
    """f^c, the refined embedding."""
    series: xr.Dataset
    """The series under f^c: ``embedding`` float32 (tile, time, feature), ``valid`` float32 (tile, time)."""
    zones: xr.Dataset
    """P^c, the partition under f^c, as `taxoscape.cluster` returns it, numbered like the partition it came from."""
    rounds: tuple[Round, ...] = ()
    """What each round did. Where the first was not kept, all above are what they were before: f^g and P^g."""


def core_labels(zones: xr.Dataset, share: float) -> npt.NDArray[np.int64]:
    """Return the zones of the tiles that are least torn between two zones.

    Parameters
    ----------
    zones
        P^g, as `taxoscape.cluster` returns it.
    share
        Share of each zone's tiles that is kept, rounded up, two at least where the zone has them; 1: all.

    Returns
    -------
    int64 (tile,): the labels of ``zones``, 0 where a tile is not of the core.

    Notes
    -----
    A tile is torn the more, the nearer the ratio of its distances to the nearest and the second nearest centroid is to
    1. Borders between zones, where K-means errs most, then do not teach the network their errors: the usual guard of
    self-training (see `docs/method.md` for what it gains).
    """
    labels = zones["labels"].to_numpy().astype(np.int64)
    distances = zones["distances"].to_numpy().astype(np.float64)
    if share >= 1 or distances.shape[1] < 2:
        return labels
    nearest = np.partition(distances, 1, axis=1)
    torn = nearest[:, 0] / np.where(nearest[:, 1] > 0, nearest[:, 1], 1)
    core = np.zeros_like(labels)
    for zone in range(1, distances.shape[1] + 1):
        members = np.flatnonzero(labels == zone)
        kept = max(2, int(np.ceil(share * len(members))))
        core[members[np.argsort(torn[members], kind="stable")[:kept]]] = zone
    return core


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondTraining:
    """What is to be trained on zones, drawn and settled: from here on, all is a function of the steps done."""

    first: Encoder
    """f^g, from which it starts."""
    settings: EncoderSettings
    """Those of the first training, with epochs and step size of the refinement."""
    triplets: Triplets
    """Triplets whose neighbours share a zone."""
    blend: float
    """Share of the trained weights in those of f^c."""
    seed: int
    """Seed of order and augmentation."""
    min_valid: float
    """Share of valid pixels from which a tile counts."""

    @property
    def n_steps(self) -> int:
        """Steps to its end."""
        return total_steps(self.triplets, self.settings)

    def steps(
        self, reader: TileReader, state: TrainState | None = None, *, device: str, ranks: Ranks | None = None
    ) -> Iterator[TrainState]:
        """Train, from a state saved before where one is given, with other processes where there are some."""
        return train(
            reader, self.triplets, self.settings, rng=self.seed, start=self.first, state=state, device=device,
            ranks=ranks,
        )  # fmt: skip

    def outcome(self, state: TrainState, reader: TileReader) -> Encoder:
        """Return f^c of the last state: blended with f^g, and judged."""
        trained = blended(self.first, encoder_from(state), self.blend)
        if self.first.recipe.weights:
            trained = with_statistics(trained, reader, seed=self.seed, min_valid=self.min_valid)
        return judge(trained, reader, seed=self.seed, min_valid=self.min_valid)


def second_training(
    first: Encoder, zones: xr.Dataset, settings: RefineSettings, *, seed: int, number: int = 1
) -> SecondTraining:
    """Settle the training on zones and draw its triplets from the core of each zone.

    Parameters
    ----------
    first
        f^g.
    zones
        The partition that stands: P^g in the first round.
    settings
        How to refine.
    seed, number
        Seed of a run, and number of the round, which draws its own triplets.

    Raises
    ------
    InputError
        Where the encoder has nothing to train, or no date has two zones, one of them with two tiles.
    """
    training = refinement_settings(first, None, settings)
    settled = settings.after(training)
    if number > 1:
        seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    triplets = refinement_triplets(
        check_zones(zones),
        core_labels(zones, settled.core_share),
        zones["counts"].to_numpy(),
        settings=training,
        refine=settings,
        rng=seed,
    )
    return SecondTraining(
        first=first,
        settings=training,
        triplets=triplets,
        blend=settled.blend,
        seed=seed,
        min_valid=float(zones.attrs["min_valid"]),
    )


def refine(
    cube: xr.DataArray,
    encoder: Encoder,
    zones: xr.Dataset,
    *,
    settings: RefineSettings | None = None,
    starts: int = 10,
    rng: int | np.random.Generator = 0,
    track: Track = silent,
    device: str = "cpu",
    precision: Precision = "auto",
) -> Refined:
    """Train the embedding on with neighbourhoods taken from its own zones, encode and cluster again; in rounds.

    Parameters
    ----------
    cube
        The scenes: (time, band, y, x).
    encoder
        f^g, as `taxoscape.train_encoder` returns it.
    zones
        P^g, as `taxoscape.cluster` returns it.
    settings
        Rounds, triplets per date, epochs and step size.
    starts
        Random starts of the clustering.
    rng
        Seed or generator of triplets, training and K-means.
    track
        Told of the progress of each step.
    device
        Where the network is trained.
    precision
        What the network's maps are held in where tiles are encoded again, as `taxoscape.encode` takes it.

    Returns
    -------
    `Refined`: ``encoder``, ``series``, ``zones`` of the last round that was kept, and the ``rounds``.

    Warns
    -----
    CollapseWarning
        Where all embeddings under f^c are alike.

    Raises
    ------
    InputError
        Where there are fewer than two zones, or no date has two zones, one of them with two tiles; or where an argument
        breaks its contract.

    Notes
    -----
    Source: METHOD steps 5 and 6. How we differ: the distant tile is the one drawn, from another zone on the same date,
    where the prototype's loader put any tile in its place; triplets are drawn from the core of each zone alone
    (`core_labels`); f^c lies half way between f^g and what the training made of it
    (`taxoscape.embedding.fit.blended`); and there are several rounds, kept as `taxoscape.zones.rounds` says. The preset
    ``paper`` has none of these.
    """
    check_cube(cube)
    grid, seed, settings = check_zones(zones), seed_of(rng), settings or RefineSettings()
    settled = settings.after(refinement_settings(encoder, None, settings))
    reader = as_reader(cube, grid.tile_size)
    min_valid, fill = float(zones.attrs["min_valid"]), bool(zones.attrs.get("filled"))
    made: dict[int, tuple[Encoder, xr.Dataset]] = {}

    def encoded(by: Encoder) -> xr.Dataset:
        return encode(cube, by, grid=grid, min_valid=min_valid, fill=fill, precision=precision, track=track)

    def make(number: int, stands: xr.Dataset) -> xr.Dataset:
        training = second_training(encoder, stands, settings, seed=seed, number=number)
        steps = training.steps(reader, device=device)
        (state,) = deque(track(steps, "training on zones", training.n_steps), maxlen=1)
        refined = training.outcome(state, reader)
        made.pop(number - 2, None)  # the round before has been kept in its place
        made[number] = (refined, encoded(refined))
        return made[number][1]

    found = in_rounds(zones, make, rounds=settled.rounds, accept=settled.accept, starts=starts, rng=seed, track=track)
    if not found.kept:
        made[0] = (encoder, encoded(encoder))
    last, series = made[found.kept]
    return Refined(encoder=last, series=series, zones=found.zones, rounds=found.rounds)
