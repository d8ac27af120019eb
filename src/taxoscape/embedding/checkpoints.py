"""Weights that others published, as encoders of ours.

The authors of the method and those of Tile2Vec published PyTorch state dicts of TileNet. A state dict is a pickle; it
is read with PyTorch's restricted unpickler, which executes nothing, whichever of PyTorch's two file formats it is in
and wherever its tensors lay. What it does not say, and a network needs, is given by the caller: the bands, the tile
size and the scaling, by default the paper's (three bands, 100 px, 8-bit values divided by 255).
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from taxoscape.config import PRESETS, EncoderSettings
from taxoscape.embedding.encoder import Encoder, Recipe
from taxoscape.embedding.networks import TILENET_FEATURES, build_network
from taxoscape.embedding.scaling import Scaling
from taxoscape.errors import InputError

PAPER_TILE_SIZE = 100
"""Edge of a tile in the paper, in pixels."""
EIGHT_BIT = 255.0
"""What the prototype divides 8-bit values by."""
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts put a state dict beside other things."""
COUNTER = "num_batches_tracked"
"""A counter of batch norm that PyTorch before 0.4.1 did not save and evaluation does not use."""


def import_weights(
    path: str | os.PathLike[str],
    *,
    tile_size: int = PAPER_TILE_SIZE,
    bands: Sequence[str] = (),
    scale: float | Sequence[float] = EIGHT_BIT,
    offset: float | Sequence[float] = 0.0,
) -> Encoder:
    """Return the encoder that a published checkpoint of TileNet is.

    Parameters
    ----------
    path
        State dict of PyTorch (``.ckpt``, ``.pt``, ``.pth``), zip or older format, with the names of the prototype's
        TileNet: ``conv1``, ``bn1``, ``layer1`` … ``layer5``.
    tile_size
        Edge of the tiles it was trained on, in pixels: 49 to 112.
    bands
        Names of the bands, as the scenes will have them; empty: numbers, as scenes without names have.
    scale, offset
        What the network saw is ``(value - offset) / scale``: one number, or one per band.

    Returns
    -------
    Encoder
        float32 vectors of 512, not normalised. An invalid pixel is taken for one of the middle of the scale.

    Raises
    ------
    InputError
        Where the file is missing or no state dict, holds anything but tensors, is not a TileNet (what is missing, left
        over or of another shape is named), or the options do not fit it.

    Notes
    -----
    Source: METHOD, steps 2 and the faults marked P; the names are those of the prototype. Nothing in the file is
    executed (``torch.load(weights_only=True)``).
    """
    tensors = _only_tensors(_load(Path(path)), path)
    n_bands = _bands_of(tensors, path)
    names = tuple(bands) or tuple(str(i + 1) for i in range(n_bands))
    if len(names) != n_bands:
        raise InputError(
            f"the weights in {path} are for {n_bands} bands, {len(names)} were named: {', '.join(names)} (--bands)"
        )
    divisor, shift = _per_band(scale, n_bands, "--scale"), _per_band(offset, n_bands, "--offset")
    if not all(value > 0 for value in divisor):
        raise InputError(f"what values are divided by is positive, not {min(divisor):g} (--scale)")
    network = build_network("tilenet", n_bands=n_bands, tile_size=tile_size, n_features=TILENET_FEATURES)
    _check_fit(tensors, network.state_dict(), path)
    network.load_state_dict(tensors, strict=False)
    middle = tuple(shift[i] + divisor[i] / 2 for i in range(n_bands))
    recipe = Recipe(
        network="tilenet",
        tile_size=tile_size,
        bands=names,
        n_features=TILENET_FEATURES,
        scaling=Scaling(mean=middle, offset=shift, scale=divisor),
        normalised=False,
    )
    paper = asdict(EncoderSettings(**PRESETS["paper"]["encoder"]))
    return Encoder(recipe, network, {"settings": paper, "imported_from": Path(path).name})


def _load(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except pickle.UnpicklingError as error:
        reason = str(error).split("\n")[0].removesuffix(" ")
        raise InputError(
            f"{path} is no plain state dict: it holds objects that would have to be executed to be read, which is "
            f"refused ({reason}); save the weights alone: torch.save(model.state_dict(), ...)"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"{path} cannot be read as a PyTorch checkpoint: {reason or type(error).__name__}") from None


def _only_tensors(found: Any, path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return a state dict as float32 tensors by name, unwrapped, without the prefix of ``DataParallel``."""
    for key in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found or not all(isinstance(v, Tensor) for v in found.values()):
        raise InputError(f"{path} holds no state dict (names and tensors): save it with torch.save(model.state_dict())")
    tensors = {str(name).removeprefix("module."): tensor for name, tensor in found.items()}
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _bands_of(tensors: Mapping[str, Tensor], path: str | os.PathLike[str]) -> int:
    first = tensors.get("conv1.weight")
    if first is None or first.dim() != 4:
        raise InputError(f"{path} is not a TileNet: it has no 'conv1.weight', but {', '.join(list(tensors)[:4])} …")
    return int(first.shape[1])


def _check_fit(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    missing = [name for name in wanted if name not in tensors and not name.endswith(COUNTER)]
    extra = [name for name in tensors if name not in wanted]
    wrong = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in tensors and tensors[name].shape != wanted[name].shape
    ]
    bad = [name for name in wanted if name in tensors and not torch.isfinite(tensors[name]).all()]
    faults = [
        f"{what}: {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
        for what, names in (
            ("missing", missing), ("not of TileNet", extra), ("of another shape", wrong), ("not finite", bad),
        )
        if names
    ]  # fmt: skip
    if faults:
        raise InputError(f"{path} is not a TileNet of the paper; {'; '.join(faults)}")


def _per_band(value: float | Sequence[float], n_bands: int, option: str) -> tuple[float, ...]:
    values = [float(v) for v in value] if isinstance(value, Sequence) else [float(value)]
    if len(values) == 1:
        values *= n_bands
    if len(values) != n_bands:
        raise InputError(f"{option} has {len(values)} numbers for {n_bands} bands: give one, or one per band")
    return tuple(values)
