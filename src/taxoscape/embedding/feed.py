"""What a network is fed with: tiles read ahead while it computes, and brought to where it runs.

Raw pixels travel and are scaled where the network runs: to a GPU 8-bit scenes go at a byte a value in the place of
four, and a processor scales with all its cores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from taxoscape.ahead import ahead as ahead
from taxoscape.embedding.scaling import LIMIT, Scaling

if TYPE_CHECKING:
    import numpy.typing as npt


def on_device(
    scaling: Scaling, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tiles as a network sees them, and which of their pixels are usable, where the network runs.

    Parameters
    ----------
    scaling
        From the scenes' units to what the network sees.
    values, valid
        As `Scaling.apply` takes them.
    device
        Where the network runs.

    Returns
    -------
    Float32 (n, band, y, x), channels last, and bool (n, 1, y, x); see `scaled_on`.
    """
    tiles, usable = scaled_on(scaling, values, valid, device)
    return tiles.contiguous(memory_format=torch.channels_last), usable


def scaled_on(
    scaling: Scaling, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what `on_device` does, but for the layout: band after band, as it is scaled and measured soonest.

    On a processor the values are those of `Scaling.apply` and `Scaling.usable`, bit for bit; on a GPU but for rounding.
    """
    raw = _brought(_native(values) if device.type == "cpu" else _known_to_gpu(values), device)
    narrow = values.dtype.itemsize <= 2 or values.dtype == np.float32
    kind = torch.float32 if narrow else torch.float64
    tiles = raw.to(kind, copy=True)
    usable = torch.ones(len(values), 1, *values.shape[2:], dtype=torch.bool, device=device)
    if valid is not None:
        usable = _brought(valid[:, None], device)
    if values.dtype.kind == "f":
        usable = usable & torch.isfinite(tiles).all(dim=1, keepdim=True)
    mean, offset, scale = (
        torch.tensor(part, dtype=kind, device=device)[:, None, None]
        for part in (scaling.mean, scaling.offset, scaling.scale)
    )
    tiles = tiles.sub_(offset).div_(scale)
    if device.type != "cpu" or not usable.all():  # to look would make a GPU wait
        tiles = torch.where(usable, tiles, (mean - offset) / scale)
    return tiles.clamp_(-LIMIT, LIMIT).float(), usable


def _brought(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return an array as a tensor on a device; towards a GPU from pinned memory, without waiting."""
    tensor = torch.from_numpy(np.require(array, requirements=["C", "W"]))  # PyTorch warns of what it may not write
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _known_to_gpu(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values of a type that a GPU converts: no unsigned integers above one byte."""
    wider = {"u2": np.int32, "u4": np.int64, "u8": np.float64}.get(values.dtype.str[1:])
    native = _native(values)
    return native if wider is None else native.astype(wider)


def _native(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values in the byte order of the machine."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)
