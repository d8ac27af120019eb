"""A frozen network made quicker: norms folded into convolutions, bfloat16 where the processor has it.

Vectors are those of the network but for rounding: about 1e-6 of their size from the folding, half a per cent in
bfloat16. That is nothing to an untrained network, for which it is used today; zones of a trained one are made in
float32.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from taxoscape.embedding.encoder import Encoder


def quickened(encoder: Encoder) -> Encoder:
    """Return an encoder that gives the same vectors but for rounding, sooner. It cannot be saved or trained.

    Parameters
    ----------
    encoder
        Any encoder; it stays as it is.

    Notes
    -----
    TileNet on tiles of 100 px, one core with bfloat16: 13 tiles a second instead of 5.
    """
    network = folded(encoder.network)
    narrow = next(network.parameters()).device.type == "cuda" or has_bfloat16()
    return replace(encoder, network=_Narrow(network) if narrow else network)


def folded(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode whose batch norms are part of the convolutions before them.

    Pairs are found by their names: ``conv1`` and ``bn1``, ``conv2`` and ``bn2``, and the two parts of a ``shortcut``.
    """
    whole = copy.deepcopy(network).eval()
    for name, part in list(whole.named_modules()):
        for conv, norm in (("conv1", "bn1"), ("conv2", "bn2")):
            if hasattr(part, conv) and hasattr(part, norm):
                setattr(part, conv, fuse_conv_bn_eval(getattr(part, conv), getattr(part, norm)))
                setattr(part, norm, nn.Identity())
        if name.endswith("shortcut") and isinstance(part, nn.Sequential) and len(part) == 2:
            conv_1x1, norm_1x1 = part[0], part[1]
            assert isinstance(conv_1x1, nn.Conv2d)
            assert isinstance(norm_1x1, nn.BatchNorm2d)
            part[0], part[1] = fuse_conv_bn_eval(conv_1x1, norm_1x1), nn.Identity()
    return whole


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware."""
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


class _Narrow(nn.Module):
    """Runs a network in bfloat16; vectors come out as float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.to(torch.bfloat16)

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 vectors (n, feature) of tiles (n, band, y, x)."""
        vectors: Tensor = self.network(x.to(torch.bfloat16)).float()
        return vectors
