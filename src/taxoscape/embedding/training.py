"""The training loop, as a generator of states.

`train` yields a `TrainState` after every step; whoever drives it decides when to save one. Passing a state back goes on
from there, and the result is the same, bit for bit, as without the break, because nothing is remembered but the
weights, the moments of Adam and the number of the step: the order of triplets is a function of (seed, epoch) and the
turns and flips of tiles are one of (seed, step).

A batch of the contrastive loss holds anchors of one date, so that the date is no help in telling tiles apart; dates
with too few anchors for a batch of their own share one. A batch of the triplet loss is any triplets, as in the paper.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from taxoscape.config import EncoderSettings
from taxoscape.embedding import weights
from taxoscape.embedding.encoder import Encoder, Recipe
from taxoscape.embedding.feed import ahead, on_device
from taxoscape.embedding.losses import contrastive_loss, triplet_loss
from taxoscape.embedding.order import Storage, interleaved, storage_of, windows_of
from taxoscape.embedding.ranks import ALONE, Ranks
from taxoscape.embedding.scaling import learn_scaling
from taxoscape.embedding.tiles import TileReader
from taxoscape.embedding.triplets import Triplets
from taxoscape.errors import InputError, TaxoscapeError

if TYPE_CHECKING:
    import numpy.typing as npt

Index: TypeAlias = "npt.NDArray[np.intp]"

KIND = "training state"
BETAS = (0.5, 0.999)
"""Adam's decay rates (METHOD step 2)."""
MOMENTS = ("exp_avg", "exp_avg_sq")
"""Names that Adam gives to its moments, each of the shape of the parameter."""
WARM_UP = 0.1
"""Share of the steps in which the step size of the contrastive loss rises."""
LARGEST_GRADIENT = 5.0
"""Norm at which gradients of the contrastive loss are cut."""


class TrainingError(TaxoscapeError):
    """Training cannot go on: the loss is no longer a number."""


@dataclass(slots=True, eq=False)
class TrainState:
    """Where training is. Yielded by `train`; it changes with the next step, so save it before."""

    step: int
    """Steps done."""
    total_steps: int
    """Steps in all."""
    loss: float
    """Loss of the last step; NaN before the first."""
    recipe: Recipe
    """The encoder in the making."""
    task: dict[str, Any]
    """What is being trained on: ``settings``, ``seed`` and the digest of the ``triplets``."""
    network: nn.Module
    """The network, in training mode."""
    optimiser: torch.optim.Adam
    """Adam with its moments."""

    def to_bytes(self) -> bytes:
        """Return the state as the bytes of a safetensors file."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            for moment, tensor in self.optimiser.state[parameter].items():
                tensors[f"adam.{moment}.{name}"] = tensor
        loss = None if math.isnan(self.loss) else self.loss
        header = {"step": self.step, "total_steps": self.total_steps, "loss": loss, "task": self.task}
        return weights.pack(KIND, tensors, {**header, "recipe": asdict(self.recipe)})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to a safetensors file, whole or not at all."""
        weights.write(path, self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes, *, device: str = "cpu", name: str = "the state") -> TrainState:
        """Return the state that `to_bytes` wrote; ``name`` is how errors call it.

        Raises
        ------
        InputError
            As `weights.unpack` does.
        """
        tensors, about = weights.unpack(data, KIND, name)
        recipe = Recipe.from_dict(about["recipe"])
        network = _on(recipe.build(), device)
        network.load_state_dict(_under("network.", tensors))
        optimiser = _adam(network)
        for key, parameter in network.named_parameters():
            if f"adam.step.{key}" in tensors:
                moments = {m: torch.zeros_like(parameter).copy_(tensors[f"adam.{m}.{key}"]) for m in MOMENTS}
                optimiser.state[parameter] = {"step": tensors[f"adam.step.{key}"], **moments}
        loss = math.nan if about["loss"] is None else float(about["loss"])
        return cls(about["step"], about["total_steps"], loss, recipe, about["task"], network, optimiser)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str = "cpu") -> TrainState:
        """Return the state in a file that `save` wrote.

        Raises
        ------
        InputError
            Where the file is missing, cut off, altered, or something else.
        """
        return cls.from_bytes(weights.read(path, KIND), device=device, name=str(path))


def train(
    reader: TileReader,
    triplets: Triplets,
    settings: EncoderSettings,
    *,
    rng: int = 0,
    start: Encoder | None = None,
    state: TrainState | None = None,
    device: str = "cpu",
    ranks: Ranks | None = None,
) -> Iterator[TrainState]:
    """Train a network on triplets, one step at a time.

    Parameters
    ----------
    reader
        The cube, read in tiles.
    triplets
        From geography or from clusters.
    settings
        Network, loss, batch size, epochs, step size.
    rng
        Seed of weights, order and augmentation.
    start
        Encoder to train further; None: a new network, whose scaling is learnt from the triplets' tiles.
    state
        State of an earlier call with the same arguments, to go on from; it is taken over, not copied.
    device
        Where the network runs.
    ranks
        Processes that share each step (`taxoscape.embedding.ranks`), of which the others `follow` rank 0; None: alone.

    Yields
    ------
    TrainState
        After each step, the same object each time. Where no steps are left, the state once.

    Raises
    ------
    InputError
        Where there are no triplets, the cube's bands are not the encoder's, or the state is of another training.
    TrainingError
        Where the loss stops being a finite number.

    Notes
    -----
    Cost of a step: two tiles per triplet (contrastive) or three, each encoded forwards and backwards. Source: METHOD
    steps 2 and 6. The triplet loss keeps the paper's constant step size; the contrastive one rises and falls
    (`step_size`). On a GPU that has bfloat16 the network runs in it under the contrastive loss.
    """
    if not len(triplets):
        raise InputError("there are no triplets to train on")
    seed, ranks = int(rng), ranks or ALONE
    task = {"settings": asdict(settings), "seed": seed, "triplets": triplets.digest}
    if state is None:
        state = _begin(reader, triplets, settings, task=task, start=start, device=device)
    elif state.task != task:
        raise InputError("the saved state is of another training (settings, seed or triplets differ): start anew")
    if state.recipe.bands != reader.bands:
        raise InputError(
            f"the encoder was made for the bands {state.recipe.bands}, the cube has {reader.bands} (--bands)"
        )
    if state.recipe.tile_size != reader.tile_size:
        raise InputError(
            f"the encoder takes tiles of {state.recipe.tile_size} px, the reader cuts {reader.tile_size} px "
            "(--tile-size)"
        )
    if state.step >= state.total_steps:
        yield state
    ranks.tell(lambda: (state.to_bytes(), triplets, settings, seed), device)
    ranks.joined(state.network)
    feed = _batches(state, reader, triplets, settings, seed, ranks)
    for batch in ahead(feed, depth=0 if torch.device(device).type == "cpu" and reader.in_memory else 3):
        state.network.train()
        for group in state.optimiser.param_groups:
            group["lr"] = step_size(state.step, state.total_steps, settings)
        loss = _loss(state, batch, triplets, settings, ranks)
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        ranks.sum_gradients(state.network)
        if settings.loss == "contrastive":
            nn.utils.clip_grad_norm_(state.network.parameters(), LARGEST_GRADIENT)
        state.optimiser.step()
        state.step, state.loss = state.step + 1, loss.item()
        if not math.isfinite(state.loss):
            raise TrainingError(
                f"the loss is {state.loss} after step {state.step} of {state.total_steps}: lower learning_rate "
                f"(now {settings.learning_rate:g}) and start the training anew"
            )
        yield state


def follow(reader_of: Callable[[int], TileReader], ranks: Ranks) -> None:
    """Take part in the trainings that rank 0 begins, until it says that no more are to come.

    Parameters
    ----------
    reader_of
        Given a tile size, a reader of the cube that rank 0 trains on.
    ranks
        As in `train`.
    """
    while (heard := ranks.hear()) is not None:
        (data, triplets, settings, seed), device = heard
        state = TrainState.from_bytes(data, device=device)
        reader = reader_of(state.recipe.tile_size)
        for _ in train(reader, triplets, settings, rng=seed, state=state, device=device, ranks=ranks):
            pass


def total_steps(triplets: Triplets, settings: EncoderSettings) -> int:
    """Return the number of steps that `train` takes from start to end."""
    return settings.epochs * len(batches(triplets, settings, seed=0, epoch=0))


def batches(
    triplets: Triplets, settings: EncoderSettings, *, seed: int, epoch: int, storage: Storage | None = None
) -> list[Index]:
    """Return the rows of the triplets in each step of an epoch, each row once.

    For the triplet loss: a random order, cut into batches. For the contrastive loss: by date, in a random order, each
    date cut into batches of nearly equal size; dates with less than a quarter of a batch are put together first. Where
    the cube is large, ``storage`` says how the batches of a date are made of blocks that lie near each other in it
    (`taxoscape.embedding.order`). Their number is the same.
    """
    rng = np.random.default_rng([seed, 0, epoch])
    rows = rng.permutation(len(triplets))
    if settings.loss == "triplet":
        return [rows[i : i + settings.batch_size] for i in range(0, len(rows), settings.batch_size)]
    dates = triplets.anchor[rows, 2]
    _, which, counts = np.unique(dates, return_inverse=True, return_counts=True)
    sparse = 4 * counts < settings.batch_size
    key = np.where(sparse[which], -1, which)
    found, windows = list[Index](), list[list[Index]]()
    for date in np.unique(key):
        members = rows[key == date]
        n = max(1, round(len(members) / settings.batch_size))
        if storage is None:
            found += np.array_split(members, n)
        else:
            windows += windows_of(members, triplets.anchor, n, storage, rng)
    return interleaved(windows, rng) if storage is not None else [found[i] for i in rng.permutation(len(found))]


def step_size(step: int, steps: int, settings: EncoderSettings) -> float:
    """Return Adam's step size: constant for the triplet loss; else a linear rise, then half a cosine to zero."""
    if settings.loss == "triplet":
        return settings.learning_rate
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return settings.learning_rate * (step + 1) / rise
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def augment(tiles: Tensor, how: npt.NDArray[np.int64]) -> Tensor:
    """Flip and turn each tile (n, band, y, x) by multiples of 90°, as ``how``, int64 (n,), says: 0…7."""
    out = torch.empty_like(tiles)
    for k in range(8):
        chosen = torch.from_numpy(np.flatnonzero(how == k)).to(tiles.device)
        turned = torch.rot90(tiles[chosen], k % 4, dims=(2, 3))
        out[chosen] = turned if k < 4 else turned.flip(3)
    return out


def near(triplets: Triplets, rows: Index, *, reach_px: int, with_distant: bool) -> npt.NDArray[np.bool_]:
    """Return which tiles of a batch are no evidence of difference, as `losses.contrastive_loss` takes it.

    From geography: those within ``reach_px`` of each other in both axes, on any date. From clusters: those of one zone.
    """
    tables = [triplets.anchor[rows], triplets.neighbour[rows], *([triplets.distant[rows]] if with_distant else [])]
    n = 2 * len(rows)
    if triplets.group is not None:
        own = triplets.group[rows, 0]
        zones = np.concatenate([own, own, *([triplets.group[rows, 1]] if with_distant else [])])
        hidden: npt.NDArray[np.bool_] = np.equal(zones[:n, None], zones)
        return hidden
    places = np.concatenate(tables)[:, :2].astype(np.int64)
    hidden = (np.abs(places[:n, None] - places) <= reach_px).all(axis=2)
    return hidden


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """What a step reads: raw tiles and how they are turned."""

    rows: Index
    """Triplets of the step, those of all ranks."""
    values: npt.NDArray[Any]
    """(n, band, y, x) in the scenes' units, of this rank's share."""
    valid: npt.NDArray[np.bool_]
    """(n, y, x)."""
    how: npt.NDArray[np.int64]
    """Turn and flip of each tile, 0…7."""


def _batches(
    state: TrainState, reader: TileReader, triplets: Triplets, settings: EncoderSettings, seed: int, ranks: Ranks
) -> Iterator[_Batch]:
    """Read what each step from where the state is to the end needs; a function of (seed, step) alone."""
    with_distant, storage = _with_distant(triplets, settings), storage_of(reader)
    per_epoch = len(batches(triplets, settings, seed=seed, epoch=0))
    order: list[Index] = []
    for step in range(state.step, state.total_steps):
        epoch, position = divmod(step, per_epoch)
        if not order or position == 0:
            order = batches(triplets, settings, seed=seed, epoch=epoch, storage=storage)
        rows = order[position]
        tables = [triplets.anchor, triplets.neighbour, *([triplets.distant] if with_distant else [])]
        own = ranks.share(len(rows))
        values, valid = reader.read(np.concatenate([table[rows[own]] for table in tables]))
        how = np.random.default_rng([seed, 1, step]).integers(8, size=(len(tables), len(rows)))
        yield _Batch(rows, values, valid, how[:, own].ravel())


def _with_distant(triplets: Triplets, settings: EncoderSettings) -> bool:
    """Whether the distant tiles of triplets are read: in-batch contrast from geography has others."""
    return settings.loss == "triplet" or triplets.group is not None


def _loss(state: TrainState, batch: _Batch, triplets: Triplets, settings: EncoderSettings, ranks: Ranks) -> Tensor:
    device, rows = next(state.network.parameters()).device, batch.rows
    tables = 2 + _with_distant(triplets, settings)
    pixels, _ = on_device(state.recipe.scaling, batch.values, batch.valid, device)
    pixels = augment(pixels, batch.how)
    narrow = device.type == "cuda" and settings.loss == "contrastive" and torch.cuda.is_bf16_supported()
    with torch.autocast(device.type, torch.bfloat16, enabled=narrow):
        if settings.loss == "triplet":  # in three passes, each with its own batch statistics, as the prototype does
            vectors = [state.network(part).float() for part in torch.tensor_split(pixels, tables)]
        else:
            vectors = list(torch.tensor_split(state.network(pixels).float(), tables))
    vectors = [ranks.gathered(part, len(rows)) for part in vectors]
    if settings.loss == "triplet":
        return triplet_loss(*vectors, margin=settings.margin, norm_penalty=settings.norm_penalty)
    anchor, neighbour, *rest = vectors
    reach = max(settings.neighbourhood_px or state.recipe.tile_size, state.recipe.tile_size - 1)
    hidden = near(triplets, rows, reach_px=reach, with_distant=_with_distant(triplets, settings))
    return contrastive_loss(
        anchor, neighbour, rest[0] if rest else None, temperature=settings.temperature,
        near=torch.from_numpy(hidden).to(device),
    )  # fmt: skip


def _begin(
    reader: TileReader, triplets: Triplets, settings: EncoderSettings, *, task: dict[str, Any], start: Encoder | None,
    device: str,
) -> TrainState:  # fmt: skip
    if start is not None:
        recipe = start.recipe
        network = recipe.build()
        network.load_state_dict(start.network.state_dict())
    else:
        eight_bit = settings.network == "tilenet" and reader.dtype == np.uint8
        recipe = Recipe(
            network=settings.network,
            tile_size=reader.tile_size,
            bands=reader.bands,
            n_features=settings.n_features,
            scaling=learn_scaling(reader, triplets.anchor, eight_bit=eight_bit),
            normalised=settings.loss == "contrastive",
        )
        network = recipe.build(task["seed"])
    network = _on(network, device)
    steps = total_steps(triplets, settings)
    return TrainState(0, steps, math.nan, recipe, task, network, _adam(network))


def _on(network: nn.Module, device: str) -> nn.Module:
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.train()


def _adam(network: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=0.0, betas=BETAS)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
