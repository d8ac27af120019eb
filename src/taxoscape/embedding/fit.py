"""From a cube to an encoder: draw, train, judge.

`train_encoder` is the whole way for a caller who does not want to stop in between. A runner that saves states takes
the same steps one by one: `draw`, `training.train`, `encoder_from`, `with_statistics`, `judge`; and for the second
training, on triplets from clusters, `refinement_settings`, `refinement_triplets`, `training.train`, `encoder_from`,
`blended`, `with_statistics`. `untrained` leaves the training out, to show what it brings.
"""

from __future__ import annotations

import copy
import warnings
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from taxoscape.config import TRAINING_FREE, EncoderSettings, RefineSettings
from taxoscape.embedding.encoder import Encoder, Recipe
from taxoscape.embedding.features import equal_shares, fit_features, sample_tiles
from taxoscape.embedding.networks import TILENET_FEATURES, check_network
from taxoscape.embedding.scaling import SAMPLE_TILES, learn_scaling
from taxoscape.embedding.tiles import TileReader, as_reader
from taxoscape.embedding.training import TrainState, total_steps, train
from taxoscape.embedding.triplets import Triplets, cluster_triplets, geographic_triplets
from taxoscape.errors import InputError
from taxoscape.progress import Track, silent

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from taxoscape.grid import Grid

COLLAPSED = 1e-3
"""Spread of embeddings below which an encoder is held to have collapsed; see `collapse_of`."""
HELD_OUT = 512
"""Triplets, drawn anew, by which an encoder is judged."""


class CollapseWarning(UserWarning):
    """An encoder gives nearly the same vector for every tile, so zones made from it mean nothing."""


def train_encoder(
    cube: xr.DataArray | TileReader,
    *,
    tile_size: int = 100,
    settings: EncoderSettings | None = None,
    rng: int | np.random.Generator = 0,
    min_valid: float = 0.5,
    track: Track = silent,
    device: str = "cpu",
) -> Encoder:
    """Train f^g: an encoder under which tiles that are near on the ground are near; or make one without training.

    Parameters
    ----------
    cube
        Cube (time, band, y, x) with the coordinate ``valid``, or a reader of its tiles.
    tile_size
        Edge of a tile in pixels.
    settings
        Network, triplets and training; None: the defaults. With ``encoder="stats"``, ``"rcf"`` or ``"embeddings"``,
        what `features.fit_features` makes; settings of networks and training then have nothing to apply to.
    rng
        Seed or generator. The same seed gives the same encoder on the same machine with as many threads.
    min_valid
        Share of valid pixels that a tile has at least to be trained on.
    track
        Told of the progress.
    device
        Where the network runs.

    Returns
    -------
    Encoder
        Its ``metadata["training"]`` holds what `judge` measured.

    Warns
    -----
    CollapseWarning
        Where all embeddings are alike.

    Raises
    ------
    InputError
        Where the region or its valid part is too small, or the network does not take such tiles.
    TrainingError
        Where the loss stops being a number.

    Notes
    -----
    Memory: the cube, where it is below 2 GiB (give a `TileReader` for another bound), else windows of it; and a batch
    of tiles with its maps. Source: METHOD steps 1 and 2; the default network and loss differ from the paper's,
    ``config.PRESETS["paper"]`` has those.
    """
    settings = settings or EncoderSettings()
    seed = seed_of(rng)
    reader = as_reader(cube, tile_size)
    if settings.encoder in TRAINING_FREE:
        made = fit_features(
            reader, tile_size=tile_size, settings=settings, rng=seed, min_valid=min_valid, device=device
        )
        return judge(made, reader, seed=seed, min_valid=min_valid)
    triplets = draw(reader, settings, seed=seed, min_valid=min_valid)
    steps = train(reader, triplets, settings, rng=seed, device=device)
    (state,) = deque(track(steps, "training the encoder", total_steps(triplets, settings)), maxlen=1)
    encoder = encoder_from(state)
    if settings.carries_statistics():
        encoder = with_statistics(encoder, reader, seed=seed, min_valid=min_valid)
    return judge(encoder, reader, seed=seed, min_valid=min_valid)


def untrained(
    cube: xr.DataArray | TileReader,
    *,
    network: str = "fast",
    tile_size: int = 100,
    n_features: int | None = None,
    rng: int | np.random.Generator = 0,
    min_valid: float = 0.5,
) -> Encoder:
    """Return the encoder that a training would start from: random weights, the scaling learnt from the cube.

    Parameters
    ----------
    cube
        Cube (time, band, y, x) with the coordinate ``valid``, or a reader of it.
    network
        ``fast`` or ``tilenet``.
    tile_size
        Edge of a tile in pixels.
    n_features
        Length of a vector; None: 512 for TileNet, else the default.
    rng
        Seed or generator, of the weights and of the tiles that the scaling is learnt from.
    min_valid
        Share of valid pixels that such a tile has at least.

    Returns
    -------
    Encoder
        Vectors are of length 1 for ``fast`` and free for ``tilenet``, as after a training by the preset of each.

    Raises
    ------
    InputError
        Where the network does not take such tiles, the region is smaller than a tile, or too little of it is valid.

    Notes
    -----
    Batch norm is as initialised (mean 0, variance 1), so it changes nothing. For scenes of 8 bits TileNet sees values
    divided by 255, as in its training.
    """
    settings = EncoderSettings()
    length = n_features or (TILENET_FEATURES if network == "tilenet" else settings.n_features)
    check_network(network, tile_size=tile_size, n_features=length)
    reader, seed = as_reader(cube, tile_size), seed_of(rng)
    sample = sample_tiles(reader, SAMPLE_TILES, rng=np.random.default_rng([seed, 2]), min_valid=min_valid)
    recipe = Recipe(
        network=network,
        tile_size=tile_size,
        bands=reader.bands,
        n_features=length,
        scaling=learn_scaling(reader, sample, eight_bit=network == "tilenet" and reader.dtype == np.uint8),
        normalised=network == "fast",
    )
    return Encoder(recipe, recipe.build(seed), {"untrained": {"seed": seed}})


def draw(reader: TileReader, settings: EncoderSettings, *, seed: int, min_valid: float = 0.5) -> Triplets:
    """Draw the triplets of the first training; a function of the cube's valid mask, the settings and the seed."""
    return geographic_triplets(
        reader,
        tile_size=reader.tile_size,
        neighbourhood_px=settings.neighbourhood_px,
        n=settings.triplets,
        rng=np.random.default_rng([seed, 2]),
        min_valid=min_valid,
    )


def encoder_from(state: TrainState) -> Encoder:
    """Return the encoder that a state of training stands for; later steps do not change it."""
    network = copy.deepcopy(state.network)
    network.zero_grad(set_to_none=True)
    training: dict[str, Any] = {"steps": state.step, "loss": state.loss, "seed": state.task["seed"]}
    return Encoder(state.recipe, network, {"settings": state.task["settings"], "training": training})


def blended(first: Encoder, refined: Encoder, share: float) -> Encoder:
    """Return the encoder half way, or another share of the way, from one to what further training made of it.

    Parameters
    ----------
    first, refined
        f^g, and what was trained on from it.
    share
        Share of the refined weights in the new ones, 0…1; so for the statistics of batch norms.

    Notes
    -----
    Source: Wortsman et al., *Robust fine-tuning of zero-shot models*, CVPR 2022: weights between those before and
    after a fine-tuning keep what both know. Refinement learns from zones that are partly wrong; half of it keeps more
    of the gain than of the error. METHOD step 6 takes the refined weights whole, as the preset ``paper`` does.
    """
    if share >= 1:
        return refined
    network = copy.deepcopy(refined.network)
    old, new = first.network.state_dict(), refined.network.state_dict()
    mixed = {
        name: torch.lerp(old[name].to(tensor), tensor, share) if tensor.is_floating_point() else tensor
        for name, tensor in new.items()
    }
    network.load_state_dict(mixed)
    return Encoder(refined.recipe, network, {**refined.metadata, "blend": share})


def with_statistics(encoder: Encoder, reader: TileReader, *, seed: int, min_valid: float = 0.5) -> Encoder:
    """Return the encoder with the mean and the deviation of each band beside what its network makes of a tile.

    The network's features, the means and the deviations are weighted so that each block varies as much as the others
    between the tiles of a date: total variance 1, measured on `scaling.SAMPLE_TILES` tiles.

    Notes
    -----
    A network that learns from neighbourhoods may forget plain colour, which on coarse scenes tells much of what there
    is to tell; see `docs/evidence.md` for what carrying it brings.
    """
    sample = sample_tiles(reader, SAMPLE_TILES, rng=np.random.default_rng([seed, 6]), min_valid=min_valid)
    bands = len(encoder.bands)
    plain = replace(encoder, recipe=replace(encoder.recipe, weights=(1.0, 1.0, 1.0)))
    weights = equal_shares(plain, reader, sample, (encoder.recipe.n_features, bands, bands))
    return replace(encoder, recipe=replace(encoder.recipe, weights=weights))


def judge(encoder: Encoder, reader: TileReader, *, seed: int, min_valid: float = 0.5) -> Encoder:
    """Measure an encoder on triplets that it was not trained on, write that into it, and warn of collapse.

    Returns
    -------
    Encoder
        The same network; ``metadata["training"]`` gains ``held_out_accuracy`` (share of fresh geographic triplets
        of one date each whose neighbour is nearer to the anchor than the distant tile; 0.5 is chance) and ``spread``
        (`collapse_of`). Both look within dates, for telling dates apart is no merit, and at the network alone, without
        the statistics that an encoder may carry. Where no date has valid ground for such triplets nothing is measured,
        and nothing gained.

    Warns
    -----
    CollapseWarning
        Where the spread is below `COLLAPSED`.
    """
    neighbourhood = encoder.metadata.get("settings", {}).get("neighbourhood_px")
    try:
        fresh = geographic_triplets(
            reader,
            tile_size=reader.tile_size,
            neighbourhood_px=neighbourhood,
            n=HELD_OUT,
            rng=np.random.default_rng([seed, 3]),
            min_valid=min_valid,
            same_date=True,
        )
    except InputError:
        return encoder
    alone = encoder.without_statistics()
    anchor, neighbour, distant = (_embed(alone, reader, t) for t in (fresh.anchor, fresh.neighbour, fresh.distant))
    near, far = (np.linalg.norm(anchor - other, axis=1) for other in (neighbour, distant))
    spread = _spread(anchor, fresh.anchor[:, 2])
    if spread < COLLAPSED:
        otherwise = (
            ", or train otherwise: more triplets (--triplets), a smaller learning_rate, the contrastive loss (--preset "
            "fast)"
        )
        warnings.warn(
            f"the encoder has collapsed: embeddings of different places on a date differ by only {spread:.2g} of "
            "their size, so zones would mean nothing. Look at the scenes (are they constant, or nearly all nodata?)"
            + (otherwise if encoder.trainable else ""),
            CollapseWarning,
            stacklevel=2,
        )
    accuracy = float(np.mean(near < far))
    training = {**encoder.metadata.get("training", {}), "held_out_accuracy": accuracy, "spread": spread}
    return replace(encoder, metadata={**encoder.metadata, "training": training})


def collapse_of(encoder: Encoder, reader: TileReader, corners: npt.NDArray[np.int32]) -> float:
    """Return how much the embeddings of tiles of a date differ: mean ‖z − z̄‖² over mean ‖z‖², 0…1.

    z̄ is the mean of the tile's date. 0 when all vectors of a date are one, however much dates differ; for vectors of
    length 1 on one date it is one less the squared length of their mean.
    """
    return _spread(_embed(encoder, reader, corners), corners[:, 2])


def untrainable(encoder: Encoder) -> str:
    """Return why an encoder cannot be refined, in words, or an empty text where it can."""
    return "" if encoder.trainable else f"the encoder '{encoder.recipe.network}' has nothing to train"


def refinement_triplets(
    grid: Grid,
    labels: npt.ArrayLike,
    counts: npt.ArrayLike,
    *,
    settings: EncoderSettings,
    refine: RefineSettings,
    rng: int,
) -> Triplets:
    """Draw the triplets of the second training; ``settings`` are those of `refinement_settings`."""
    per_date = refine.per_date(np.shape(counts)[1], settings)
    return cluster_triplets(grid, labels, counts, per_date=per_date, rng=np.random.default_rng([rng, 4]))


def refinement_settings(encoder: Encoder, settings: EncoderSettings | None, refine: RefineSettings) -> EncoderSettings:
    """Return the settings of the second training: the first one's, with epochs and step size of the refinement.

    Raises
    ------
    InputError
        Where the encoder has nothing to train.
    """
    if not encoder.trainable:
        raise InputError(f"{untrainable(encoder)}: take a trained one (--encoder tile2vec), or do not refine")
    if settings is None:
        settings = EncoderSettings(**encoder.metadata.get("settings", {}))
    settled = refine.after(settings)
    return replace(settings, epochs=settled.epochs, learning_rate=settled.learning_rate)


def seed_of(rng: int | np.random.Generator) -> int:
    """Return a seed: the integer itself, or one drawn from the generator."""
    return int(rng.integers(2**32)) if isinstance(rng, np.random.Generator) else int(rng)


def _embed(encoder: Encoder, reader: TileReader, corners: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    parts = [encoder.embed(*reader.read(corners[i : i + 64])) for i in range(0, len(corners), 64)]
    return np.concatenate(parts)


def _spread(vectors: npt.NDArray[np.float32], dates: npt.NDArray[np.integer]) -> float:
    exact = vectors.astype(np.float64)
    size = float(np.mean(np.sum(np.square(exact), axis=1)))
    for date in np.unique(dates):
        exact[dates == date] -= exact[dates == date].mean(axis=0)
    variance = float(np.mean(np.sum(np.square(exact), axis=1)))
    return variance / size if size > 0 else 0.0
