"""What this machine does for networks: its GPU, its threads, and how fast it runs a network, measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

if TYPE_CHECKING:
    from taxoscape.config import Precision

NARROW = ("tilenet",)
"""Networks whose cost is nearly all multiplication, which takes an eighth of the time in bfloat16."""
BACK_AND_FORTH = 3
"""Cost of a step forwards and backwards, in steps forwards."""


def has_gpu() -> bool:
    """Whether PyTorch can use a GPU here."""
    return torch.cuda.is_available()


def settled_device(wanted: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    """Return the device to use: the one that is wanted, or for ``auto`` the GPU where there is one."""
    if wanted != "auto":
        return wanted
    return "cuda" if has_gpu() else "cpu"


def get_threads() -> int:
    """Return how many threads PyTorch uses."""
    return torch.get_num_threads()


def has_bfloat16(device: str = "cpu") -> bool:
    """Whether the processor, or the GPU for ``cuda``, multiplies bfloat16 in hardware."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


def settled_precision(wanted: Precision, network: str, device: str = "cpu") -> Literal["float32", "bfloat16"]:
    """Return what the maps of a frozen network, by its name, are held in: as wanted, or for ``auto`` as it pays.

    ``auto`` is bfloat16 for the networks in `NARROW`, where the machine multiplies it, and else float32. The default
    network would be encoded in a little more than half the time, but zones that are made anew hang on less: in bfloat16
    they were those in float32 to an adjusted Rand index of 0.96 to 1.
    """
    if wanted != "auto":
        return wanted
    return "bfloat16" if network in NARROW and has_bfloat16(device) else "float32"


@contextmanager
def whole_float32(device: str) -> Iterator[None]:
    """Let a GPU convolve float32 as it is: PyTorch otherwise lets cuDNN cut it to the ten bits of TF32."""
    if device != "cuda":
        yield
        return
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Let PyTorch use a number of threads, None: as many as it does already."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def operations(network: nn.Module, *, tile_px: int, n_bands: int) -> float:
    """Return the operations, multiplications and additions of layers, with which a network encodes one tile.

    Parameters
    ----------
    network
        A network of convolutions and fully connected layers. It loses its weights: nothing is computed, its layers
        are told the shapes alone.
    tile_px, n_bands
        Shape of a tile.
    """
    count = 0

    def add(layer: nn.Module, _: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        nonlocal count
        weight = layer.get_parameter("weight")
        count += 2 * weight.numel() * (out.shape[2] * out.shape[3] if isinstance(layer, nn.Conv2d) else 1)

    with torch.device("meta"), torch.no_grad():
        for layer in network.to("meta").eval().modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(add)
        network(torch.empty(1, n_bands, tile_px, tile_px))
    return float(count)


def step_seconds(network: nn.Module, *, n_tiles: int, tile_px: int, n_bands: int, device: str) -> tuple[float, float]:
    """Return the seconds of a step forwards and backwards, and of one forwards, on random tiles."""
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    tiles = random_tiles(n_tiles, tile_px, n_bands).to(device, memory_format=torch.channels_last)

    def forward() -> None:
        with torch.inference_mode():
            network(tiles).sum().item()  # waits for a GPU

    def both() -> None:
        network(tiles).square().mean().backward()
        next(network.parameters()).sum().item()

    network.eval()
    encoding = fastest(forward)
    network.train()
    return fastest(both), encoding


def masked_seconds(network: nn.Module, *, n_tiles: int, tile_px: int, n_bands: int) -> float:
    """Return the seconds in which a network that takes a mask encodes random tiles without gaps."""
    tiles = random_tiles(n_tiles, tile_px, n_bands)
    mask = torch.ones(n_tiles, 1, tile_px, tile_px, dtype=torch.bool)
    network.eval()

    def forward() -> None:
        with torch.inference_mode():
            network(tiles, mask)

    return fastest(forward)


def random_tiles(n_tiles: int, tile_px: int, n_bands: int) -> torch.Tensor:
    """Return tiles of random values in 0…1: float32 (n_tiles, n_bands, tile_px, tile_px)."""
    return torch.rand(n_tiles, n_bands, tile_px, tile_px, generator=torch.Generator().manual_seed(0))


def fastest(action: Callable[[], object], *, most_seconds: float = 0.5) -> float:
    """Return the least seconds of an action over up to four times, fewer where it is slow; the first is a warm-up."""
    found: list[float] = []
    while len(found) < 4 and sum(found) < most_seconds:
        begun = time.perf_counter()
        action()
        found.append(time.perf_counter() - begun)
    return min(found)
