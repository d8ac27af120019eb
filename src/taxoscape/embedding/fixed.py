"""Networks with nothing to train: statistics, random convolutional features, and means of features made elsewhere.

All take a tile as `Scaling` makes it and the mask of its valid pixels (``wants_mask``), so that what is invalid takes
no part. All treat a tile alike whatever other tiles are in its batch. How their tensors are made of a cube is the
matter of `features`.

The two halves of `RandomFeatures` answer two questions. Its filters do not see the mean of a window, band by band, so
their responses are about texture only; the band means beside them are about colour only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PATCH_PX = 5
"""Edge of a filter in pixels; that of the tile where the tile is smaller."""
POSITIONS = 16
"""Windows along an edge of a tile, about, that filters are applied to; windows always meet or overlap."""
FILTERS_AT_ONCE = 32
"""Filters whose responses are held at once."""


READY_MADE = ("embeddings", "alphaearth")
"""Networks of scenes whose bands are features that another model made: as they are, and of AlphaEarth's 8-bit ones."""


class TileStatistics(nn.Module):
    """Mean and deviation of each band over the valid pixels of a tile: vectors of twice the number of bands.

    Has no tensors: the scaling of the bands is in the recipe. A tile without a valid pixel gets zeros. Tiles are to lie
    band after band, else it takes many times as long.
    """

    wants_mask = True

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return means, then deviations, (n, 2 · band), of tiles (n, band, y, x) with masks (n, 1, y, x)."""
        whole = valid.flatten(1).all(dim=1)
        of_whole = _moments(x)
        if whole.all():
            return of_whole
        return torch.where(whole[:, None], of_whole, _moments_of_valid(x, valid))


class FeatureMeans(nn.Module):
    """Mean of each band over the valid pixels of a tile, in the band's own units; the deviation besides, if asked.

    Parameters
    ----------
    n_bands
        Number of bands.
    deviation
        Whether deviations follow the means.
    squared
        Whether a value v stands for v · |v|: 8-bit embeddings of AlphaEarth, scaled to ±1, keep the root (`features`).

    Attributes
    ----------
    unit : Tensor
        Float32 (1,): what a scaled value is multiplied by to be in its own units again.
    """

    wants_mask = True

    def __init__(self, n_bands: int, *, deviation: bool, squared: bool) -> None:
        super().__init__()
        self.n_bands, self.deviation, self.squared = n_bands, deviation, squared
        self.unit: Tensor
        self.register_buffer("unit", torch.ones(1))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return means, then deviations, (n, band) or (n, 2 · band), of tiles (n, band, y, x), masks (n, 1, y, x)."""
        x = x * self.unit
        x = x * x.abs() if self.squared else x
        moments = _moments_of_valid(x, valid)
        return moments if self.deviation else moments[:, : self.n_bands]


class RandomFeatures(nn.Module):
    """Band means, and how strongly a tile answers to filters that were drawn, not learnt.

    Parameters
    ----------
    n_bands, n_filters
        Number of bands and of filters; a vector has ``n_bands + 2 · n_filters`` features.
    tile_size
        Edge of a tile in pixels.

    Attributes
    ----------
    filters : Tensor
        Float32 (filter, band, y, x), each with the sum 0 in every band: see `features.draw_filters`.
    block_weights : Tensor
        Float32 (2,): what the means and the answers are multiplied by; see `features.fit_features`.

    Notes
    -----
    Filters are applied to windows that lie inside the tile, every `stride` pixels. Because a filter's sum is 0 in each
    band, its response is that of the window with its own band means taken off. Positive and negative responses are
    averaged apart, over the windows without an invalid pixel. In a tile without such a window all windows count, by
    their share of valid pixels, and an invalid pixel is one of the tile's mean colour.

    Source: Rolf et al. (2021), Nature Communications 12, 4392 (MOSAIKS); Coates and Ng (2011). They cut responses at a
    bias, in MOSAIKS of 1. There is none here: that did better on synthetic land and a MODIS region, and a little worse
    on fields of crops.
    """

    wants_mask = True

    def __init__(self, n_bands: int, n_filters: int, tile_size: int) -> None:
        super().__init__()
        edge = min(PATCH_PX, tile_size)
        self.stride = max(1, min(edge, tile_size // POSITIONS))
        self.filters: Tensor
        self.block_weights: Tensor
        self.register_buffer("filters", torch.zeros(n_filters, n_bands, edge, edge))
        self.register_buffer("block_weights", torch.ones(2))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return vectors (n, band + 2 · filter) of tiles (n, band, y, x) with masks (n, 1, y, x)."""
        mean, _ = _masked_mean(x, valid)
        x = torch.where(valid, x, mean[:, :, None, None])
        weight = self._window_weights(valid)  # (n, 1, y', x')
        above, below = [], []
        for some in torch.split(self.filters, FILTERS_AT_ONCE):
            response = nn.functional.conv2d(x, some, stride=self.stride)  # (n, some, y', x')
            above.append((response.relu() * weight).sum((2, 3)))
            below.append(((-response).relu() * weight).sum((2, 3)))
        answers = torch.cat([*above, *below], dim=1)
        return torch.cat([mean * self.block_weights[0], answers * self.block_weights[1]], dim=1)

    def _window_weights(self, valid: Tensor) -> Tensor:
        """Return the weight of each window in the average of its tile; the sum is 1, or 0 where nothing is valid."""
        edge = self.filters.shape[-1]
        count = nn.functional.avg_pool2d(valid.float(), edge, self.stride, divisor_override=1)
        whole = (count > edge**2 - 0.5).float()
        weight = torch.where(whole.sum((2, 3), keepdim=True) > 0, whole, count)
        return weight / weight.sum((2, 3), keepdim=True).clamp(min=1)


def _moments(x: Tensor) -> Tensor:
    """Return means, then deviations, (n, 2 · band), over all pixels of tiles."""
    pixels = x.flatten(2)
    mean = pixels.mean(dim=2)
    return torch.cat([mean, torch.sqrt((pixels - mean[:, :, None]).square_().mean(dim=2))], dim=1)


def _moments_of_valid(x: Tensor, valid: Tensor) -> Tensor:
    """Return means, then deviations, (n, 2 · band), over the valid pixels of tiles."""
    seen = valid.to(x.dtype)
    count = seen.sum((2, 3)).clamp(min=1)
    mean = (x * seen).sum((2, 3)) / count
    residual = (x - mean[:, :, None, None]).mul_(seen)
    return torch.cat([mean, torch.sqrt(residual.square_().sum((2, 3)) / count)], dim=1)


def _masked_mean(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Return means over valid pixels (n, band), 0 where there are none, and their number (n, 1), 1 at least."""
    count = valid.sum((2, 3)).clamp(min=1)
    return torch.where(valid, x, 0).sum((2, 3)) / count, count
