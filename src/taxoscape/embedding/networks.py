"""The networks that are trained: the paper's TileNet, and FastNet, which is the default; and all networks by name.

Both turn tiles, float32 (n, band, y, x) as `Scaling` makes them, into float32 (n, feature), and both treat a tile in
evaluation alike whatever other tiles are in its batch.

TileNet is kept to the letter, names included, so that the weights that the authors published fit. It costs 12 GFLOP
per tile of 100 × 100 × 3.

FastNet is three convolutions and pooled statistics. What tells kinds of land apart is the distribution of colours and
small textures in a tile, not the place of anything in it, so the network stays shallow and ends in the mean and the
deviation of its maps over the tile. Both are defined for any tile size; how often the maps are halved depends on it,
so that a tile of 4 px is not shrunk away and one of 100 px costs less than 0.1 GFLOP. Batch norm does better here than
group norm or none by a wide margin, although, or because, a batch of the default training holds a single date;
evaluation uses statistics averaged over many dates.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from taxoscape.embedding.fixed import READY_MADE, FeatureMeans, RandomFeatures, TileStatistics
from taxoscape.errors import InputError

Network = nn.Module
"""Any of the networks here, for those that do not know PyTorch."""
TILENET_FEATURES = 512
"""Length of TileNet's vector."""
TILENET_SIZES = (49, 112)
"""Smallest and largest tile, in pixels, of which TileNet makes one vector of 512."""


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut (METHOD step 2)."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (n, n_out, y / stride, x / stride) of maps (n, n_in, y, x)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class TileNet(nn.Module):
    """The paper's network: 20 873 280 parameters for 3 bands, vectors of 512.

    Of a tile of 100 px the last maps are 7 × 7, and the pooling, sized for 50 px, sees only the 4 × 4 at their top
    left: a fault of the prototype that is kept, because the published weights were trained with it.
    """

    def __init__(self, n_bands: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_bands, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, 1)
        self.layer2 = _stage(64, 128, 2)
        self.layer3 = _stage(128, 256, 2)
        self.layer4 = _stage(256, 512, 2)
        self.layer5 = _stage(512, TILENET_FEATURES, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return vectors (n, 512) of tiles (n, band, y, x)."""
        x = torch.relu(self.bn1(self.conv1(x)))  # (n, 64, y, x)
        x = self.layer3(self.layer2(self.layer1(x)))  # (n, 256, y / 4, x / 4)
        x = self.layer5(self.layer4(x))  # (n, 512, y / 16, x / 16)
        return torch.flatten(nn.functional.avg_pool2d(x, 4), 1)


class FastNet(nn.Module):
    """The default network; see the module's note.

    Parameters
    ----------
    n_bands, n_features
        Number of bands, length of the vectors.
    tile_size
        Edge of the tiles in pixels; decides how often the maps are halved.
    """

    WIDTHS = (32, 64, 128)
    STRIDES: ClassVar = {0: (1, 1, 1), 8: (1, 2, 1), 24: (2, 2, 1), 48: (2, 2, 2)}
    """Strides of the three convolutions, by the smallest tile in pixels that has them."""

    def __init__(self, n_bands: int, n_features: int, tile_size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        n_in = n_bands
        for n_out, (kernel, stride) in zip(self.WIDTHS, self.layers_for(tile_size), strict=True):
            convolution = nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=False)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            layers += [convolution, SteadyBatchNorm(n_out), nn.ReLU()]
            n_in = n_out
        self.maps = nn.Sequential(*layers)
        self.head = nn.Linear(2 * n_in, n_features)

    def forward(self, x: Tensor) -> Tensor:
        """Return vectors (n, n_features) of tiles (n, band, y, x)."""
        x = self.maps(x)  # (n, 128, y / 8, x / 8) for tiles of 48 px and more
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0)  # each (n, 128)
        return self.vectors_of(mean, variance)

    def vectors_of(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return vectors (n, n_features) of tiles whose maps have these means and variances, each (n, 128)."""
        vectors: Tensor = self.head(torch.cat([mean, torch.sqrt(variance + 1e-5)], dim=1))
        return vectors

    @classmethod
    def layers_for(cls, tile_size: int) -> list[tuple[int, int]]:
        """Return the kernel and the stride of each of the three convolutions for tiles of a size."""
        strides = cls.STRIDES[max(edge for edge in cls.STRIDES if edge <= tile_size)]
        return list(zip((5 if tile_size >= 16 else 3, 3, 3), strides, strict=True))


class SteadyBatchNorm(nn.BatchNorm2d):
    """Batch norm whose running statistics are a plain mean at first and then reach far back.

    PyTorch's own start at zero and one, which a short training never forgets, and reach ten batches back, which are ten
    dates of many.
    """

    REACH = 50
    """Batches that the running statistics reach back."""

    def forward(self, x: Tensor) -> Tensor:
        """Return normed maps of maps (n, channel, y, x)."""
        if self.training and self.num_batches_tracked is not None:
            self.momentum = 1 / min(self.REACH, int(self.num_batches_tracked) + 1)
        return super().forward(x)


def build_network(name: str, *, n_bands: int, tile_size: int, n_features: int, seed: int = 0) -> nn.Module:
    """Return a network by name: untrained, its weights drawn from ``seed`` and from nothing else, or a fixed one.

    ``rcf`` comes with filters of zeros, as many as the length of the vector asks for, to be put in.

    Raises
    ------
    InputError
        Where the network does not take tiles of that size or make vectors of that length, or is unknown.
    """
    if name in ("stats", "rcf", *READY_MADE):
        return _fixed(name, n_bands, n_features, tile_size)
    check_network(name, tile_size=tile_size, n_features=n_features)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TileNet(n_bands) if name == "tilenet" else FastNet(n_bands, n_features, tile_size)


def check_network(name: str, *, tile_size: int, n_features: int) -> None:
    """Raise `InputError` where a network does not take such tiles, does not make such vectors, or cannot be trained."""
    if name not in ("tilenet", "fast"):
        raise InputError(f"there is no network '{name}': take fast or tilenet")
    if name == "fast":
        return
    low, high = TILENET_SIZES
    if not low <= tile_size <= high:
        raise InputError(
            f"TileNet takes tiles of {low} to {high} px, not {tile_size} (--tile-size): below it has no output, above "
            "it has more than one vector; or take the fast network (--preset fast)"
        )
    if n_features != TILENET_FEATURES:
        raise InputError(f"TileNet makes vectors of {TILENET_FEATURES}, not {n_features} (n_features)")


def _fixed(name: str, n_bands: int, n_features: int, tile_size: int) -> nn.Module:
    if name == "stats" and n_features == 2 * n_bands:
        return TileStatistics()
    if name in READY_MADE and n_features in (n_bands, 2 * n_bands):
        return FeatureMeans(n_bands, deviation=n_features > n_bands, squared=name == "alphaearth")
    n_filters, odd = divmod(n_features - n_bands, 2)
    if name == "rcf" and n_filters > 0 and not odd:
        return RandomFeatures(n_bands, n_filters, tile_size)
    raise InputError(f"there are no vectors of {n_features} features under the encoder '{name}' with {n_bands} bands")


def _stage(n_in: int, n_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(Block(n_in, n_out, stride), Block(n_out, n_out, 1))
