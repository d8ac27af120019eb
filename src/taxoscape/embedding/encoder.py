"""An encoder: a network that knows its own preprocessing.

What an encoder needs to be rebuilt is its `Recipe`; what it went through is its ``metadata``. Both travel in the header
of one safetensors file beside the weights.

Vectors do not depend on how tiles are batched: `Encoder.embed` always runs batches of one size, the last filled up
with tiles of zeros, because matrix kernels may round differently for other sizes.

A network that says ``wants_mask`` is given the mask of valid pixels beside the tiles, bool (n, 1, y, x).

An encoder may carry statistics: behind what its network makes of a tile, its vector then has the mean and the deviation
of each band over the valid pixels, as the encoder ``stats`` makes them, each of the three blocks times its weight.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from taxoscape.embedding import weights
from taxoscape.embedding.feed import scaled_on
from taxoscape.embedding.fixed import TileStatistics
from taxoscape.embedding.machine import whole_float32
from taxoscape.embedding.networks import build_network
from taxoscape.embedding.scaling import Scaling
from taxoscape.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from taxoscape.config import Precision

KIND = "encoder"
BATCH = 64
"""Tiles in one batch of `Encoder.embed`."""
GPU_BATCH = 512
"""The same on a GPU, fewer where tiles are large."""
GPU_PIXELS = 512 * 100**2
"""Pixels of a band in a batch on a GPU, at most: TileNet holds about a kilobyte for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that an encoder is but for its weights."""

    network: str
    """Name of the network, as `networks.build_network` takes it."""
    tile_size: int
    """Edge of a tile in pixels."""
    bands: tuple[str, ...]
    """Names of the bands, in order."""
    n_features: int
    """Length of what the network makes of a tile."""
    scaling: Scaling
    """From the scenes' units to what the network sees."""
    normalised: bool
    """Whether what the network makes of a tile is scaled to length 1."""
    weights: tuple[float, ...] = ()
    """By what the network's features, the means and the deviations are multiplied; empty: the features alone."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Return the recipe that `dataclasses.asdict` took apart, also by way of JSON."""
        scaling = Scaling(**{name: tuple(axis) for name, axis in values["scaling"].items()})
        tuples = {name: tuple(values.get(name, ())) for name in ("bands", "weights")}
        return cls(**{**values, **tuples, "scaling": scaling})

    def build(self, seed: int = 0) -> nn.Module:
        """Return the network, untrained."""
        return build_network(
            self.network, n_bands=len(self.bands), tile_size=self.tile_size, n_features=self.n_features, seed=seed
        )


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """A network with its preprocessing. Make one with `train_encoder` or `load_encoder`."""

    recipe: Recipe
    """What the encoder is."""
    network: nn.Module
    """The network, in evaluation mode, on the device where it runs."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """How the encoder came to be, as JSON can hold it; ``training`` has what `fit.judge` measured."""

    def __post_init__(self) -> None:
        self.network.eval()
        self.network.requires_grad_(requires_grad=False)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def tile_size(self) -> int:
        """Edge of a tile in pixels."""
        return self.recipe.tile_size

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands, in order."""
        return self.recipe.bands

    @property
    def n_features(self) -> int:
        """Length of a vector."""
        return self.recipe.n_features + (2 * len(self.bands) if self.recipe.weights else 0)

    @property
    def trainable(self) -> bool:
        """Whether there is anything in it that training could change; there is not in ``stats`` and ``rcf``."""
        return any(True for _ in self.network.parameters())

    @property
    def description(self) -> dict[str, Any]:
        """Recipe and metadata as JSON can hold them."""
        return {"recipe": asdict(self.recipe), "metadata": self.metadata}

    def embed(
        self,
        tiles: npt.ArrayLike,
        valid: npt.ArrayLike | None = None,
        *,
        batch_size: int | None = None,
        precision: Precision | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return a vector for each tile.

        Parameters
        ----------
        tiles
            (n, band, y, x) in the scenes' own units; bands as in `bands`, y = x = `tile_size`.
        valid
            Bool (n, y, x), True where the pixel can be used; None: wherever all bands are finite. Pixels that are not
            finite never count.
        batch_size
            Tiles in one run of the network; None: `BATCH`, on a GPU `GPU_BATCH`. Change it for speed or memory; vectors
            may then differ by rounding.
        precision
            Maps in ``float32`` or ``bfloat16``, or ``auto``, by a quicker copy of the network that is made for the
            call (`quick.quickened`); None: by the network itself, in float32.

        Returns
        -------
        numpy.ndarray
            Float32 (n, feature). A tile without one valid pixel gets the vector of a tile of band means. In a tile with
            some, an invalid pixel counts as the band means; in ``stats`` and ``rcf`` it does not count.

        Raises
        ------
        InputError
            Where the shapes do not fit the encoder.

        Notes
        -----
        Equal tiles get equal vectors, bit for bit, whatever else is passed with them (see the module's note).
        """
        if precision is not None:
            from taxoscape.embedding.quick import quickened

            return quickened(self, precision).embed(tiles, valid, batch_size=batch_size)
        values = np.asarray(tiles)
        mask = None if valid is None else np.asarray(valid, dtype=bool)
        self._check(values, mask)
        device = self.device
        fitting = BATCH if device.type == "cpu" else max(1, min(GPU_BATCH, GPU_PIXELS // self.tile_size**2))
        size = batch_size or fitting
        out = np.empty((len(values), self.n_features), np.float32)
        for start in range(0, len(values), size):
            part = slice(start, start + size)
            known = None if mask is None else mask[part]
            with torch.inference_mode(), whole_float32(device.type):
                batch = scaled_on(self.recipe.scaling, values[part], known, device)
                vectors = self._vectors(*(_filled_up(tensor, size) for tensor in batch))
            out[part] = vectors[: len(values[part])].cpu().numpy()
        return out

    def without_statistics(self) -> Encoder:
        """Return the encoder without the statistics that it carries: what its network alone makes of tiles."""
        return replace(self, recipe=replace(self.recipe, weights=()))

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return next((tensor.device for tensor in self.network.state_dict().values()), torch.device("cpu"))

    def _vectors(self, tiles: torch.Tensor, usable: torch.Tensor) -> torch.Tensor:
        """Return float32 (n, feature) of tiles (n, band, y, x) as the network sees them; ``usable`` (n, 1, y, x)."""
        if getattr(self.network, "wants_mask", False):
            features: torch.Tensor = self.network(tiles, usable)
        else:
            features = self.network(tiles.contiguous(memory_format=torch.channels_last))
        return self.completed(features, TileStatistics()(tiles, usable) if self.recipe.weights else None)

    def completed(self, features: torch.Tensor, statistics: torch.Tensor | None) -> torch.Tensor:
        """Return the vectors of tiles, float32 (n, feature), of what the network makes of them and their statistics.

        Parameters
        ----------
        features
            (n, `Recipe.n_features`).
        statistics
            Means, then deviations of the bands, (n, 2 · band), as `fixed.TileStatistics` makes them; None where the
            encoder carries none.
        """
        vectors = features.float()
        if self.recipe.normalised:
            vectors = nn.functional.normalize(vectors, dim=1)
        if statistics is not None:
            lengths = torch.tensor((self.recipe.n_features, len(self.bands), len(self.bands)))
            factors = torch.repeat_interleave(torch.tensor(self.recipe.weights), lengths)
            vectors = torch.cat([vectors, statistics], dim=1) * factors.to(vectors.device)
        return vectors

    def to_bytes(self) -> bytes:
        """Return the encoder as the bytes of a safetensors file; the same encoder gives the same bytes."""
        return weights.pack(KIND, self.network.state_dict(), self.description)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the encoder to a safetensors file, whole or not at all."""
        weights.write(path, self.to_bytes())

    def _check(self, values: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None) -> None:
        wanted = (len(self.bands), self.tile_size, self.tile_size)
        if values.ndim != 4 or values.shape[1:] != wanted or values.dtype.kind not in "uif":
            raise InputError(
                f"the encoder takes tiles (n, {', '.join(map(str, wanted))}) of numbers with the bands "
                f"{', '.join(self.bands)}, not {values.dtype} {values.shape}"
            )
        if mask is not None and mask.shape != (len(values), *wanted[1:]):
            raise InputError(f"valid has the shape {mask.shape}, the tiles need {(len(values), *wanted[1:])}")


def _filled_up(rows: torch.Tensor, n: int) -> torch.Tensor:
    """Return ``n`` rows, those given and then zeros."""
    if len(rows) == n:
        return rows
    batch = torch.zeros((n, *rows.shape[1:]), dtype=rows.dtype, device=rows.device)
    batch[: len(rows)] = rows
    return batch


def load_encoder(path: str | os.PathLike[str], *, device: str = "cpu") -> Encoder:
    """Return the encoder in a file that `Encoder.save` wrote.

    Parameters
    ----------
    path
        Safetensors file.
    device
        Where the network shall run.

    Returns
    -------
    Encoder
        In evaluation mode, with its bands, scaling and tile size; its vectors are those of the encoder that was saved.

    Raises
    ------
    InputError
        Where the file is missing, cut off, altered, of another format, or no encoder.
    """
    tensors, about = weights.unpack(weights.read(path, KIND), KIND, str(path))
    recipe = Recipe.from_dict(about["recipe"])
    network = recipe.build()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"the weights in {path} do not fit its network '{recipe.network}': {error}") from None
    return Encoder(recipe, network.to(device), about["metadata"])
