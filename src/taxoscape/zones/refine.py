"""Refinement: the first partition gives new neighbourhoods, which train the embedding further.

Source: METHOD steps 5 and 6. f^g, trained on geography, gave P^g. Triplets whose neighbours share a zone of P^g train
f^g on to f^c, and steps 3 and 4 under f^c give P^c. Both partitions are kept; P^c takes the zone numbers of P^g by
largest overlap.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taxoscape.config import RefineSettings
from taxoscape.contracts import check_cube, check_zones
from taxoscape.embedding.encoding import encode
from taxoscape.embedding.fit import encoder_from, refine_encoder, refinement_settings, refinement_triplets
from taxoscape.embedding.training import total_steps
from taxoscape.errors import InputError
from taxoscape.progress import Track, silent
from taxoscape.zones.kmeans import cluster
from taxoscape.zones.matching import match_zones

if TYPE_CHECKING:
    import xarray as xr

    from taxoscape.embedding.encoder import Encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class Refined:
    """What refinement gives."""

    encoder: Encoder
    """f^c, the refined embedding."""
    series: xr.Dataset
    """The series under f^c."""
    zones: xr.Dataset
    """P^c, the partition under f^c, numbered like the partition it came from."""


def cluster_again(series: xr.Dataset, zones: xr.Dataset, *, starts: int, rng: int, track: Track = silent) -> xr.Dataset:
    """Return P^c: the series under f^c in as many zones as before, with the numbers of ``zones`` by largest overlap.

    The partition before is one more start of K-means, beside ``starts`` random ones.
    """
    again = cluster(
        series,
        n_clusters=zones.sizes["zone"],
        starts=starts,
        rng=rng,
        first_labels=zones["labels"].to_numpy(),
        track=track,
    )
    return match_zones(zones, again)


def refine(
    cube: xr.DataArray,
    encoder: Encoder,
    zones: xr.Dataset,
    *,
    settings: RefineSettings | None = None,
    starts: int = 10,
    rng: int = 0,
    track: Track = silent,
) -> Refined:
    """Train the embedding on with neighbourhoods taken from its own zones; encode and cluster again.

    Parameters
    ----------
    cube
        The scenes: (time, band, y, x).
    encoder
        f^g, as `taxoscape.train_encoder` returns it.
    zones
        P^g, as `taxoscape.cluster` returns it.
    settings
        Triplets per date, epochs and step size.
    starts
        Random starts of K-means.
    rng
        Seed of triplets, training and K-means.
    track
        Told of the progress of each step.

    Returns
    -------
    `Refined`: ``encoder``, ``series``, ``zones``.

    Raises
    ------
    InputError
        Where there are fewer than two zones, or an argument breaks its contract.
    """
    check_cube(cube)
    grid = check_zones(zones)
    if zones.sizes["zone"] < 2:
        raise InputError(
            "refinement needs at least two zones, to tell tiles of one from tiles of another (--no-refine)"
        )
    settings = settings or RefineSettings()
    labels, counts = zones["labels"].to_numpy(), zones["counts"].to_numpy()
    total = total_steps(
        refinement_triplets(grid, labels, counts, refine=settings, rng=rng),
        refinement_settings(encoder, None, settings),
    )
    steps = refine_encoder(cube, encoder, grid, labels, counts, refine=settings, rng=rng)
    (state,) = deque(track(steps, "training on zones", total), maxlen=1)
    refined = encoder_from(state)
    series = encode(cube, refined, stride=grid.stride, min_valid=float(zones.attrs["min_valid"]), track=track)
    return Refined(
        encoder=refined, series=series, zones=cluster_again(series, zones, starts=starts, rng=rng, track=track)
    )
