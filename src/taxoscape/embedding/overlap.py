"""The default network on tiles that overlap: one pass of its convolutions, and every tile as if it came alone.

A tile that comes alone has zeros around it, at every layer. So a position of a layer's maps is the same in all tiles
that have it, but for those so near to an edge of their tile that they see zeros there. A layer is therefore made of
shared positions, one convolution over the ground that the tiles cover, and of own positions, which each row and column
of tiles has for itself along the edges of its tiles. Both together are a map with more rows and columns than the
ground has, in which a position of any tile has its place; which, is told by an `Axis` for each direction, as rows and
columns do not interfere. The result is the same as tile by tile, but for rounding.

The farther apart tiles are in positions of a layer, the more is shared; where nothing would be won, all positions of a
layer are own. Shared positions lie on a lattice that fits both the network's steps and the stride of the tiles. Where
that is finer than the steps, the convolution leaves out what lies between (à trous: Holschneider et al. 1989).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    import numpy.typing as npt

    from taxoscape.embedding.networks import FastNet

    Int: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The positions of a layer along one direction: shared ones first, then the own ones of each line of tiles."""

    lines: int
    """Rows or columns of tiles."""
    stride: int
    """Pixels from one line to the next."""
    n: int
    """Positions in a tile."""
    pace: int
    """Pixels from one position of a tile to the next."""
    spacing: int
    """Pixels from one shared position to the next, a divisor of ``pace`` and ``stride``; 0: none is shared."""
    first: int
    """Own positions at the beginning of a tile."""
    last: int
    """Own positions at its end."""

    @classmethod
    def of_pixels(cls, *, lines: int, stride: int, tile_size: int) -> Axis:
        """Return the positions of the pixels themselves, which tiles share."""
        return cls(lines=lines, stride=stride, n=tile_size, pace=1, spacing=1, first=0, last=0)

    @property
    def shared(self) -> int:
        """Number of shared positions."""
        return ((self.lines - 1) * self.stride + (self.n - 1) * self.pace) // self.spacing + 1 if self.spacing else 0

    @property
    def size(self) -> int:
        """Number of all positions; as a place it is that of the zeros around a tile."""
        return self.shared + self.lines * (self.first + self.last)

    @property
    def per_line(self) -> int:
        """Positions that one more line of tiles adds."""
        return (self.stride // self.spacing if self.spacing else 0) + self.first + self.last

    def after(self, kernel: int, step: int) -> Axis:
        """Return the positions of the next layer: a convolution that is padded to keep the size, every ``step``."""
        half, n, pace = kernel // 2, -(-self.n // step), self.pace * step
        first = min(-(-(self.first + half) // step), n)
        last = min(max(n - ((self.n - 1 - self.last - half) // step + 1), 0), n - first)
        spacing = gcd(pace, self.stride)
        if not self.spacing or self.stride // spacing + first + last >= n:
            spacing, first, last = 0, n, 0
        return Axis(
            lines=self.lines, stride=self.stride, n=n, pace=pace, spacing=spacing, first=first, last=last
        )  # fmt: skip

    def places(self, local: Int) -> Int:
        """Return where positions of tiles are, int64 (line, …), by their number in a tile; `size` outside of it."""
        line = np.arange(self.lines).reshape(-1, *[1] * local.ndim)
        at_end = local >= self.n - self.last
        own = np.where(at_end, local - (self.n - self.last - self.first), local)
        own = self.shared + line * (self.first + self.last) + own
        among = (line * self.stride + local * self.pace) // max(self.spacing, 1)
        found = np.where((local < self.first) | at_end, own, among)
        return np.where((local >= 0) & (local < self.n), found, self.size)

    def seen_by(self, following: Axis, kernel: int) -> Int:
        """Return the places that each own position of the next layer sees: int64 (position, kernel)."""
        step = following.pace // self.pace
        own = np.array([*range(following.first), *range(following.n - following.last, following.n)], dtype=np.int64)
        return self.places(own[:, None] * step + np.arange(kernel) - kernel // 2).reshape(-1, kernel)

    def sums(self, x: Tensor) -> Tensor:
        """Return the sums of each line over its positions: float64 (line, …) of (position, …)."""
        own = x[self.shared : self.size].reshape(self.lines, self.first + self.last, *x.shape[1:])
        total = own.sum(dim=1, dtype=torch.float64)
        for local in range(self.first, self.n - self.last):
            start, step = local * self.pace // self.spacing, self.stride // self.spacing
            total += x[start : start + (self.lines - 1) * step + 1 : step]
        return total


def share_of_operations(
    layers: list[tuple[int, int]], widths: tuple[int, ...], *, tile_size: int, stride: int
) -> float:
    """Return the operations of a tile among many as a share of those of a tile alone, 0…1.

    Parameters
    ----------
    layers
        Kernel and step of each convolution.
    widths
        Number of bands, then the maps of each layer.
    tile_size, stride
        Of the tiles, in pixels.
    """
    axis, among, alone = Axis.of_pixels(lines=1, stride=stride, tile_size=tile_size), 0, 0
    for (kernel, step), n_in, n_out in zip(layers, widths, widths[1:], strict=False):
        axis = axis.after(kernel, step)
        work = kernel**2 * n_in * n_out
        among += work * axis.per_line**2
        alone += work * axis.n**2
    return among / alone


def overlapping_moments(network: FastNet, x: Tensor, *, rows: Axis, cols: Axis) -> tuple[Tensor, Tensor]:
    """Return mean and variance of the network's maps over each tile.

    Parameters
    ----------
    network
        In evaluation mode.
    x
        The ground of the tiles as the network sees it: float32 (1, band, y, x).
    rows, cols
        Its pixels by rows and by columns of tiles.

    Returns
    -------
    Each float64 (row · col of tiles, map).

    Notes
    -----
    In float64 from sums of values and of squares, lest the difference of two large numbers be all error.
    """
    maps = nn.functional.pad(x[0].permute(1, 2, 0), (0, 0, 0, 1, 0, 1))
    for convolution in _convolutions(network):
        kernel, step = convolution.kernel_size[0], convolution.stride[0]
        following = rows.after(kernel, step), cols.after(kernel, step)
        maps = _layer(convolution, maps, (rows, cols), following)
        rows, cols = following
    exact = maps[:-1, :-1].double()
    mean, square = (_means(part, rows, cols) for part in (exact, exact.square()))
    return mean, (square - mean.square()).clamp(min=0)


def _means(maps: Tensor, rows: Axis, cols: Axis) -> Tensor:
    """Return the means over each tile, (row · col of tiles, map), of maps (row position, col position, map)."""
    sums = cols.sums(rows.sums(maps).transpose(0, 1)).transpose(0, 1)
    return sums.flatten(0, 1) / (rows.n * cols.n)


def _convolutions(network: FastNet) -> list[nn.Conv2d]:
    """Return the network's convolutions, each with the batch norm behind it, as it is in evaluation, in its weights."""
    stages = list(network.maps)
    pairs = zip(cast("list[nn.Conv2d]", stages[::3]), cast("list[nn.BatchNorm2d]", stages[1::3]), strict=True)
    return [fuse_conv_bn_eval(convolution, norm) for convolution, norm in pairs]


def _layer(convolution: nn.Conv2d, maps: Tensor, axes: tuple[Axis, Axis], following: tuple[Axis, Axis]) -> Tensor:
    """Return the following maps, (row position, col position, channel) and a row and a column of zeros behind them.

    ``maps`` are those before, alike.
    """
    down, across = (_ways(axis, after, convolution.kernel_size[0]) for axis, after in zip(axes, following, strict=True))
    shape = (following[0].size + 1, following[1].size + 1, convolution.out_channels)
    made, flat = maps.new_empty(shape), maps.reshape(-1, maps.shape[2])
    made[-1], made[:, -1] = 0, 0
    for vertical in down:
        for horizontal in across:
            places = (vertical.seen[:, None] * maps.shape[1] + horizontal.seen).reshape(-1).to(maps.device)
            seen = flat.index_select(0, places).view(1, len(vertical.seen), len(horizontal.seen), -1)
            found = nn.functional.conv2d(
                seen.permute(0, 3, 1, 2), convolution.weight, convolution.bias,
                stride=(vertical.stride, horizontal.stride), padding=(vertical.padding, horizontal.padding),
                dilation=(vertical.dilation, horizontal.dilation),
            )[0, :, : vertical.count, : horizontal.count].relu_()  # fmt: skip
            made[vertical.made, horizontal.made] = found.permute(1, 2, 0)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How a convolution goes along one direction over the shared or over the own positions of the next layer."""

    seen: Tensor
    """The places that it is to see, int64: all shared ones, or those of each own position one after the other."""
    made: slice
    """The places that it makes."""
    stride: int
    padding: int
    dilation: int

    @property
    def count(self) -> int:
        """Positions that it makes."""
        return int(self.made.stop - self.made.start)


def _ways(axis: Axis, following: Axis, kernel: int) -> list[_Way]:
    """Return the ways of a convolution to the shared and to the own following positions, where there are such."""
    ways, shared = [], following.shared
    if shared:
        holes, step = axis.pace // axis.spacing, following.spacing // axis.spacing
        ways.append(
            _Way(
                seen=torch.arange(axis.shared), made=slice(0, shared), stride=step, padding=kernel // 2 * holes,
                dilation=holes,
            )
        )  # fmt: skip
    own = torch.from_numpy(axis.seen_by(following, kernel))
    if len(own):
        made = slice(shared, shared + len(own))
        ways.append(_Way(seen=own.reshape(-1), made=made, stride=kernel, padding=0, dilation=1))
    return ways
