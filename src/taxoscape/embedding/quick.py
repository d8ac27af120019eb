"""A frozen network made quicker.

Norms are folded into the convolutions before them, each convolution goes with what follows it in one pass, maps lie
channels last, and in bfloat16 where the machine multiplies it.

Vectors are those of the network but for rounding. In float32 they differ by less than `CLOSE` of their length; in
bfloat16, whose numbers have eight bits, by less than `NEAR`. Maps alone are narrow: pixels are scaled, statistics
taken and maps pooled in float32, and the last layer multiplied in more. Tiles then go into the same zones to an
adjusted Rand index of 0.99 and more. Zones that are made anew are the same to as much under the paper's network; under
the default one they may hang on less, so that it is in float32 unless asked for (`machine.settled_precision`).

oneDNN, which PyTorch brings along, adds, rectifies and stores in one pass what it has convolved. PyTorch offers that to
its compiler and not to its users, so it is tried once on a small example, and where it is missing or not what it should
be, the plain steps are taken.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from taxoscape.embedding.encoder import BATCH, GPU_BATCH, GPU_PIXELS, Encoder
from taxoscape.embedding.machine import fastest, random_tiles, settled_precision
from taxoscape.embedding.networks import Block, FastNet, TileNet

if TYPE_CHECKING:
    from taxoscape.config import Precision

CLOSE = 1e-5
"""Most by which a vector in float32 differs from that of the network itself, as a share of its length."""
NEAR = 0.01
"""The same in bfloat16."""
LEAST, MOST = 4, 128
"""Tiles in a usual batch, at least and at most."""
PATIENCE = 0.3
"""Seconds that a batch may take to be measured."""
BETTER = 0.9
"""Share of the time of the usual batch that another one may take to be taken in its place."""


def quickened(encoder: Encoder, precision: Precision = "auto") -> Encoder:
    """Return an encoder that gives the same vectors but for rounding, sooner. It cannot be saved or trained.

    Parameters
    ----------
    encoder
        Any encoder; it stays as it is. One without convolutions to fold, or quickened before, is returned.
    precision
        What maps are held and multiplied in, see `machine.settled_precision`.

    Notes
    -----
    Cost: a copy of the weights. Tiles of 100 × 100 × 3 on two cores that multiply bfloat16 in tiles (AMX): TileNet 80 a
    second instead of 10; the default network 2 100 instead of 1 100 in float32, 5 300 in bfloat16.
    """
    made = quick_network(encoder.network, settled_precision(precision, encoder.recipe.network, encoder.device.type))
    return encoder if made is encoder.network else replace(encoder, network=made)


def quick_network(network: nn.Module, precision: Literal["float32", "bfloat16"]) -> nn.Module:
    """Return a network for evaluation alone that makes the same vectors, sooner; one with nothing to gain as it is."""
    dtype = getattr(torch, precision)
    if isinstance(network, TileNet):
        return _QuickTileNet(network, dtype).eval()
    return _QuickFastNet(network, dtype).eval() if isinstance(network, FastNet) else network


def usual_batch(network: nn.Module, tile_px: int, *, device: str = "cpu") -> int:
    """Return how many tiles a quick network is best given at once, where it was not measured (`measured_batch`)."""
    if device != "cpu":
        return max(1, min(GPU_BATCH, GPU_PIXELS // tile_px**2))
    pixels = next((n for kind, n in PIXELS.items() if isinstance(network, kind)), 0)
    return max(LEAST, min(MOST, pixels // tile_px**2)) if pixels else BATCH


def measured_batch(network: nn.Module, *, tile_px: int, n_bands: int) -> int:
    """Return how many tiles a quick network is best given at once on this processor, measured on random tiles.

    The usual number, unless half or twice as many take less than `BETTER` of the time a tile. To find it takes about a
    second at most, `PATIENCE` seconds a batch, and milliseconds where tiles are small.
    """
    usual = usual_batch(network, tile_px)
    if not isinstance(network, tuple(PIXELS)):
        return usual
    first = seconds_a_tile(network, usual, tile_px=tile_px, n_bands=n_bands)
    least, best = first * BETTER, usual
    for size in (usual // 2, usual * 2):
        if size and size * first < PATIENCE:
            seconds = seconds_a_tile(network, size, tile_px=tile_px, n_bands=n_bands)
            least, best = (seconds, size) if seconds < least else (least, best)
    return best


def seconds_a_tile(network: nn.Module, batch: int, *, tile_px: int, n_bands: int) -> float:
    """Return the seconds in which a network makes the vector of a random tile, so many at once."""
    tiles = random_tiles(batch, tile_px, n_bands)
    with torch.inference_mode():
        return fastest(lambda: network(tiles), most_seconds=0.2) / batch


def folded(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode whose batch norms are part of the convolutions registered right before them."""
    whole = copy.deepcopy(network).eval()
    for part in list(whole.modules()):
        before = ""
        for name, layer in list(part.named_children()):
            if isinstance(layer, nn.BatchNorm2d):
                setattr(part, before, fuse_conv_bn_eval(cast("nn.Conv2d", getattr(part, before)), layer))
                setattr(part, name, nn.Identity())
            before = name
    return whole


class _QuickFastNet(nn.Module):
    """`FastNet` in evaluation.

    The last layer is multiplied in float64 and rounded: its float32 would depend on how many tiles there are.
    """

    def __init__(self, network: FastNet, dtype: torch.dtype) -> None:
        super().__init__()
        whole = cast("FastNet", folded(network))
        self.dtype = dtype
        self.layers = nn.ModuleList(_Layer(layer, dtype) for layer in whole.maps if isinstance(layer, nn.Conv2d))
        self.end = whole.double()

    def forward(self, x: Tensor) -> Tensor:
        """Return vectors, float32 (n, feature), of tiles (n, band, y, x)."""
        x = _laid_out(x, self.dtype)
        for layer in self.layers:
            x = layer(x)
        maps = x.float().permute(0, 2, 3, 1).flatten(1, 2)  # (n, y · x, 128): as it lies in memory
        mean = maps.mean(dim=1, keepdim=True)
        variance = (maps - mean).square_().mean(dim=1)
        return self.end.vectors_of(mean[:, 0].double(), variance.double()).float()


class _QuickTileNet(nn.Module):
    """`TileNet` in evaluation."""

    def __init__(self, network: TileNet, dtype: torch.dtype) -> None:
        super().__init__()
        whole = cast("TileNet", folded(network))
        self.dtype, self.first = dtype, _Layer(whole.conv1, dtype)
        stages = (whole.layer1, whole.layer2, whole.layer3, whole.layer4, whole.layer5)
        self.blocks = nn.ModuleList(_QuickBlock(cast("Block", block), dtype) for stage in stages for block in stage)

    def forward(self, x: Tensor) -> Tensor:
        """Return vectors, float32 (n, 512), of tiles (n, band, y, x)."""
        x = self.first(_laid_out(x, self.dtype))
        for block in self.blocks:
            x = block(x)
        return torch.flatten(nn.functional.avg_pool2d(x.float(), 4), 1)


class _QuickBlock(nn.Module):
    """`networks.Block` in evaluation."""

    def __init__(self, block: Block, dtype: torch.dtype) -> None:
        super().__init__()
        self.first, self.second = _Layer(block.conv1, dtype), _Layer(block.conv2, dtype)
        changes = isinstance(block.shortcut, nn.Sequential) and len(block.shortcut) > 0
        self.shortcut = _Layer(cast("nn.Conv2d", block.shortcut[0]), dtype, rectified=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of maps, both (n, channel, y, x). Those given may be overwritten."""
        beside = x if self.shortcut is None else self.shortcut(x)
        made: Tensor = self.second(self.first(x), beside)
        return made


class _Layer(nn.Module):
    """A convolution, what is added to it, and a ReLU unless it is not ``rectified``.

    Weights are brought into the order in which oneDNN wants them for maps of a shape when such maps first come.
    """

    def __init__(self, convolution: nn.Conv2d, dtype: torch.dtype, *, rectified: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(convolution.weight.to(dtype, memory_format=torch.channels_last), requires_grad=False)
        self.bias = nn.Parameter(cast("Tensor", convolution.bias).to(dtype), requires_grad=False)
        padding, stride, dilation = (
            [int(n) for n in cast("tuple[int, int]", pair)]
            for pair in (convolution.padding, convolution.stride, convolution.dilation)
        )
        self.how = (padding, stride, dilation, 1)
        self.rectified = rectified
        self.ordered: tuple[torch.Size | None, Any] = (None, None)

    def forward(self, x: Tensor, beside: Tensor | None = None) -> Tensor:
        """Return maps (n, channel, y, x) of maps; where maps ``beside`` are added, they are overwritten."""
        padding, stride, dilation, groups = self.how
        if x.device.type == "cpu" and _has_one_pass(x.dtype):
            after, weight = "relu" if self.rectified else "none", self._ordered_for(x)
            if beside is None:
                made = torch.ops.mkldnn._convolution_pointwise(x, weight, self.bias, *self.how, after, [], "")
            else:
                made = torch.ops.mkldnn._convolution_pointwise_.binary(
                    beside, x, weight, self.bias, *self.how, "add", 1.0, after, [], ""
                )
            return cast("Tensor", made)
        made = nn.functional.conv2d(x, self.weight, self.bias, stride, padding, dilation, groups)
        made = made if beside is None else made.add_(beside)
        return made.relu_() if self.rectified else made

    def _ordered_for(self, x: Tensor) -> Tensor:
        shape, weight = self.ordered
        if shape != x.shape:
            weight = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *self.how, list(x.shape))
            self.ordered = (x.shape, weight)
        return cast("Tensor", weight)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "ordered": (None, None)}  # that order is for this process


PIXELS: dict[type[nn.Module], int] = {_QuickFastNet: 32 * 100**2, _QuickTileNet: 8 * 100**2}
"""Pixels of a band in a usual batch on a processor, by the network: its maps then stay in the caches."""


@cache
def _has_one_pass(dtype: torch.dtype) -> bool:
    """Whether oneDNN's convolutions with what follows are there, and do what the plain steps do."""
    generator = torch.Generator().manual_seed(0)
    x, beside = (torch.randn(2, 8, 6, 6, generator=generator) for _ in range(2))
    layer = _Layer(nn.Conv2d(8, 8, 3, padding=1), dtype)
    laid, padding = _laid_out(x, dtype), layer.how[0]
    try:
        weight = layer._ordered_for(laid)
        made = torch.ops.mkldnn._convolution_pointwise_.binary(
            _laid_out(beside, dtype), laid, weight, layer.bias, *layer.how, "add", 1.0, "relu", [], ""
        )
        alone = torch.ops.mkldnn._convolution_pointwise(laid, weight, layer.bias, *layer.how, "none", [], "")
    except (AttributeError, RuntimeError, TypeError):
        return False
    plain = nn.functional.conv2d(laid.float(), layer.weight.float(), layer.bias.float(), padding=padding)
    bound = 0.05 if dtype == torch.bfloat16 else 1e-4
    return bool(
        torch.allclose(alone.float(), plain, rtol=0, atol=bound)
        and torch.allclose(made.float(), (plain + beside).relu(), rtol=0, atol=bound)
    )


def _laid_out(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return maps of a type, channels last; the type first, for both at once take twice as long."""
    return x.to(dtype).contiguous(memory_format=torch.channels_last)
