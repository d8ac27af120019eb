"""What training and encoding with a network cost: operations, counted, and time on this machine, measured.

An operation is a multiplication or an addition of a convolution or a fully connected layer; norms and activations,
below 1 %, are not counted. A step forwards and backwards is taken as three times the step forwards: the gradient of the
weights and that of the input each cost as much as the layer itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from taxoscape.config import TRAINING_FREE, EncoderSettings, Settings

if TYPE_CHECKING:
    from taxoscape.embedding.networks import Network

TRAINED = "tile2vec"
"""The encoder that is trained; any other is taken as it is."""
PROBE_PX = 52
"""Largest tile on which TileNet is measured: its operations a second hardly depend on the tile."""
PROBE_TILES = {"fast": 64, "tilenet": 3}
"""Tiles on which a network is measured."""
GPU_TILES = 64
"""The same on a GPU, which few tiles do not fill."""
ONE_PASS_RATE = 0.7
"""Operations a second where overlapping tiles are encoded in one pass, as a share of those tile by tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCost:
    """What the network of a run costs."""

    tile: float
    """Operations to encode one tile."""
    train: float
    """Operations of the training on geography; 0 where an encoder is taken."""
    refine: float
    """Operations of the training on zones in all rounds; 0 without refinement."""
    encode: float
    """Operations of encoding every tile on every date, under f^g and, where it is refined, once a round under f^c."""
    encodings: int
    """How often every tile is encoded, at most."""
    train_rate: float
    """Operations a second of a training step on this machine."""
    encode_rate: float
    """Operations a second of encoding on this machine."""

    @property
    def train_seconds(self) -> float:
        """Seconds of the training on geography on this machine."""
        return self.train / self.train_rate

    @property
    def refine_seconds(self) -> float:
        """Seconds of the training on zones on this machine."""
        return self.refine / self.train_rate

    @property
    def encode_seconds(self) -> float:
        """Seconds of all encoding on this machine."""
        return self.encode / self.encode_rate


def cost_of_network(settings: Settings, *, n_tiles: int, n_times: int, n_bands: int) -> NetworkCost:
    """Count the operations of training, refinement and encoding, and measure how fast this machine does them.

    Parameters
    ----------
    settings
        The settings of a run; its network must take its tiles.
    n_tiles, n_times, n_bands
        Tiles of the grid, dates and bands of the cube.

    Returns
    -------
    NetworkCost

    Notes
    -----
    Measured here and now in about 2 seconds (TileNet on one core of 2020s kind) on the device and with the threads that
    the run will use. A machine that is busy now, or slows down later, makes it wrong; expect a factor of two.
    """
    from taxoscape.embedding.dense import is_dense, share_of_work
    from taxoscape.embedding.machine import BACK_AND_FORTH

    settings = as_used(settings)
    encoder, refine = settings.encoder, settings.refine
    if encoder.encoder in TRAINING_FREE:
        return _without_training(settings, n_tiles=n_tiles, n_times=n_times, n_bands=n_bands)
    tile = operations(settings, tile_px=settings.grid.tile_size, n_bands=n_bands)
    per_triplet = (3 if encoder.loss == "triplet" else 2) * BACK_AND_FORTH * tile
    settled = refine.after(encoder)
    rounds = settled.rounds if refine.refine else 0
    again = rounds * refine.per_date(n_times, encoder) * n_times * settled.epochs
    train_rate, encode_rate = _rates(settings, n_bands)
    network, size, stride = encoder.network, settings.grid.tile_size, settings.grid.stride or settings.grid.tile_size
    return NetworkCost(
        tile=tile,
        train=encoder.triplets * encoder.epochs * per_triplet if encoder.encoder == TRAINED else 0.0,
        refine=again * per_triplet,
        encode=n_tiles * n_times * tile * share_of_work(network, tile_size=size, stride=stride) * (1 + rounds),
        encodings=1 + rounds,
        train_rate=train_rate,
        encode_rate=encode_rate * (ONE_PASS_RATE if is_dense(network, tile_size=size, stride=stride) else 1),
    )


def as_used(settings: Settings) -> Settings:
    """Return settings in which an encoder that is taken from a file stands with its own network, loss and triplets."""
    from taxoscape.embedding.encoder import load_encoder
    from taxoscape.embedding.fixed import READY_MADE

    if settings.encoder.encoder in (TRAINED, *TRAINING_FREE):
        return settings
    taken = load_encoder(settings.encoder.encoder)
    first, own = settings.encoder, taken.metadata.get("settings", {})
    if taken.trainable:
        known = EncoderSettings(**{
            **own, "encoder": first.encoder, "network": taken.recipe.network, "n_features": taken.recipe.n_features,
            "statistics": bool(taken.recipe.weights),
        })  # fmt: skip
    elif taken.recipe.network in READY_MADE:
        known = replace(first, encoder="embeddings", deviation=taken.n_features > len(taken.bands))
    else:
        filters = max(1, (taken.n_features - len(taken.bands)) // 2)
        known = replace(first, encoder=taken.recipe.network, filters=filters)
    return replace(settings, encoder=known)


def vector_length(settings: Settings, n_bands: int) -> int:
    """Return the length of the vectors that a run's encoder will make."""
    encoder = as_used(settings).encoder
    carried = 2 * n_bands if encoder.carries_statistics(settings.zones.clusterer) else 0
    made = {
        "stats": 2 * n_bands, "rcf": n_bands + 2 * encoder.filters,
        "embeddings": n_bands * (1 + encoder.deviation),
    }  # fmt: skip
    return made.get(encoder.encoder, encoder.n_features + carried)


def _without_training(settings: Settings, *, n_tiles: int, n_times: int, n_bands: int) -> NetworkCost:
    """Return the cost of an encoder without training, which is that of encoding once; measured as tiles a second."""
    from taxoscape.embedding.fixed import PATCH_PX, POSITIONS
    from taxoscape.embedding.machine import masked_seconds, torch_threads
    from taxoscape.embedding.networks import build_network

    size, name = settings.grid.tile_size, settings.encoder.encoder
    length = vector_length(settings, n_bands)
    network = build_network(name, n_bands=n_bands, tile_size=size, n_features=length)
    n = PROBE_TILES["fast"]
    with torch_threads(settings.run.threads):
        seconds = masked_seconds(network, n_tiles=n, tile_px=size, n_bands=n_bands)
    tile = float(4 * n_bands * size**2)
    if name == "rcf":
        edge = min(PATCH_PX, size)
        step = max(1, min(edge, size // POSITIONS))
        tile = 2.0 * settings.encoder.filters * n_bands * edge**2 * ((size - edge) // step + 1) ** 2
    rate = n * tile / seconds
    return NetworkCost(
        tile=tile, train=0.0, refine=0.0, encode=n_tiles * n_times * tile, encodings=1,
        train_rate=rate, encode_rate=rate,
    )  # fmt: skip


def announce(settings: Settings, *, n_tiles: int, n_times: int, n_bands: int) -> str:
    """Return one line on what training the paper's network will cost; "" where a run does not train it.

    Parameters
    ----------
    settings, n_tiles, n_times, n_bands
        As `cost_of_network` takes them.
    """
    if not uses_tilenet(settings):
        return ""
    return announcement(settings, cost_of_network(settings, n_tiles=n_tiles, n_times=n_times, n_bands=n_bands))


def announcement(settings: Settings, cost: NetworkCost) -> str:
    """Return the line of `announce` for a cost that is known already."""
    if not uses_tilenet(settings):
        return ""
    steps = (
        ("training", cost.train, cost.train_seconds), ("refining", cost.refine, cost.refine_seconds),
        ("encoding", cost.encode, cost.encode_seconds),
    )  # fmt: skip
    parts = [f"{name} {count:.1e} operations, about {duration(seconds)}" for name, count, seconds in steps if count]
    line = f"the paper's network (TileNet) on this machine: {'; '.join(parts).replace('e+', 'e')}"
    return f"{line}; lower it with --triplets and --epochs, or take --preset fast" if cost.train else line


def overlap_advice(settings: Settings) -> str:
    """Return what overlapping tiles cost, in words, where they cost much for want of another stride; else ""."""
    from taxoscape.embedding.dense import advice

    encoder, shape = as_used(settings).encoder, settings.grid
    if encoder.encoder in TRAINING_FREE:
        return ""
    return advice(encoder.network, tile_size=shape.tile_size, stride=shape.stride or shape.tile_size)


def network_of(settings: Settings) -> str:
    """Return the name of the network that a run encodes with."""
    encoder = as_used(settings).encoder
    return encoder.encoder if encoder.encoder in TRAINING_FREE else encoder.network


def precision_of(settings: Settings) -> Literal["float32", "bfloat16"]:
    """Return the precision that a run encodes in, settled for its network and the machine."""
    from taxoscape.embedding.machine import settled_device, settled_precision

    return settled_precision(settings.run.precision, network_of(settings), settled_device(settings.run.device))


def uses_tilenet(settings: Settings) -> bool:
    """Whether a run has the paper's network, which takes long."""
    return network_of(settings) == "tilenet"


def operations(settings: Settings, *, tile_px: int, n_bands: int) -> float:
    """Return the operations with which a run's network encodes one tile (`taxoscape.embedding.machine.operations`)."""
    from taxoscape.embedding import machine

    return machine.operations(_network(settings, n_bands, tile_px), tile_px=tile_px, n_bands=n_bands)


def duration(seconds: float) -> str:
    """Return a time for people.

    Examples
    --------
    >>> duration(0.2), duration(600), duration(9000), duration(2e6)
    ('1 s', '10 min', '2.5 h', '23 days')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def _rates(settings: Settings, n_bands: int) -> tuple[float, float]:
    """Return operations a second of training and of encoding, measured on random tiles."""
    from taxoscape.embedding.dense import is_dense
    from taxoscape.embedding.machine import (
        BACK_AND_FORTH,
        settled_device,
        settled_precision,
        step_seconds,
        torch_threads,
    )
    from taxoscape.embedding.quick import quick_network, seconds_a_tile, usual_batch

    name, size = settings.encoder.network, settings.grid.tile_size
    size = min(size, PROBE_PX) if name == "tilenet" else size
    device = settled_device(settings.run.device)
    n = PROBE_TILES[name] if device == "cpu" else GPU_TILES
    tile = operations(settings, tile_px=size, n_bands=n_bands)
    network = _network(settings, n_bands, size)
    with torch_threads(settings.run.threads):
        training, encoding = step_seconds(network, n_tiles=n, tile_px=size, n_bands=n_bands, device=device)
        rate = n * tile / encoding
        if device == "cpu" and not is_dense(name, tile_size=size, stride=settings.grid.stride or size):
            quick = quick_network(network.to(device), settled_precision(settings.run.precision, name, device))
            batch = settings.run.batch_tiles or usual_batch(quick, size)
            rate = tile / seconds_a_tile(quick, batch, tile_px=size, n_bands=n_bands)
    return BACK_AND_FORTH * n * tile / training, rate


def best_batch(settings: Settings, *, n_bands: int) -> int | None:
    """Return the tiles that a run's network is best given at once when it encodes, measured; None where it matters not.

    It does not for encoders without training, for overlapping tiles in one pass, and on a GPU, which many tiles fill.
    """
    from taxoscape.embedding.dense import is_dense
    from taxoscape.embedding.machine import torch_threads
    from taxoscape.embedding.quick import measured_batch, quick_network

    used, size = as_used(settings), settings.grid.tile_size
    dense = is_dense(used.encoder.network, tile_size=size, stride=settings.grid.stride or size)
    if used.encoder.encoder in TRAINING_FREE or settings.run.device != "cpu" or dense:
        return None
    network = quick_network(_network(used, n_bands, size), precision_of(settings))
    with torch_threads(settings.run.threads):
        return measured_batch(network, tile_px=size, n_bands=n_bands)


def _network(settings: Settings, n_bands: int, tile_px: int) -> Network:
    from taxoscape.embedding.networks import build_network

    encoder = settings.encoder
    return build_network(encoder.network, n_bands=n_bands, tile_size=tile_px, n_features=encoder.n_features)
