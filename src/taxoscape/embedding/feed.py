"""What a network is fed with: tiles read ahead while it computes, and brought to where it runs.

On a GPU, raw pixels travel and are scaled there, 8-bit scenes at a byte a value in the place of four, so that the
processor is free to read. On a processor `Scaling` scales them as ever.
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
    Float32 (n, band, y, x), channels last, and bool (n, 1, y, x). On a GPU as `Scaling.apply` and `Scaling.usable` but
    for rounding.
    """
    if device.type == "cpu":
        tiles, usable = torch.from_numpy(scaling.apply(values, valid)), torch.from_numpy(scaling.usable(values, valid))
        return tiles.contiguous(memory_format=torch.channels_last), usable
    return _scaled_there(scaling, values, valid, device)


def _scaled_there(
    scaling: Scaling, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Bring raw tiles and their mask to a device and scale them there; see `on_device`."""
    raw = _brought(_known_to_torch(values), device)
    narrow = values.dtype.itemsize <= 2 or values.dtype == np.float32
    tiles = raw.to(torch.float32 if narrow else torch.float64)
    usable = torch.ones(len(values), 1, *values.shape[2:], dtype=torch.bool, device=device)
    if valid is not None:
        usable = _brought(valid[:, None], device)
    if values.dtype.kind == "f":
        usable = usable & torch.isfinite(tiles).all(dim=1, keepdim=True)
    mean, offset, scale = (
        torch.tensor(part, dtype=tiles.dtype, device=device)[:, None, None]
        for part in (scaling.mean, scaling.offset, scaling.scale)
    )
    tiles = torch.where(usable, (tiles - offset) / scale, (mean - offset) / scale).clamp(-LIMIT, LIMIT).float()
    return tiles.contiguous(memory_format=torch.channels_last), usable


def _brought(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return an array as a tensor on a device; towards a GPU from pinned memory, without waiting."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _known_to_torch(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values of a type that PyTorch computes with: it has no unsigned integers above one byte."""
    wider = {"u2": np.int32, "u4": np.int64, "u8": np.float64}.get(values.dtype.str[1:])
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    return np.ascontiguousarray(native if wider is None else native.astype(wider))
