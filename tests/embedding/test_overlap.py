"""One pass over overlapping tiles against the network on each tile alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.embedding.networks import FastNet, build_network
from taxoscape.embedding.overlap import Axis, overlapping_moments, share_of_operations

WIDTHS = (3, *FastNet.WIDTHS)


def a_network(tile_size: int, bands: int = 2) -> torch.nn.Module:
    """Return a default network whose batch norms do something, as after a training."""
    network = build_network("fast", n_bands=bands, tile_size=tile_size, n_features=5, seed=tile_size).eval()
    generator = torch.Generator().manual_seed(2)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.4, 0.4, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
            layer.weight.data.uniform_(0.5, 1.5, generator=generator)
            layer.bias.data.uniform_(-0.5, 0.5, generator=generator)
    return network


def moments_of_each_tile(network: torch.nn.Module, x: torch.Tensor, size: int, stride: int) -> torch.Tensor:
    """Cut the tiles out and send each through the network: (row · col, 2 · map)."""
    parts = []
    for row in range(0, x.shape[2] - size + 1, stride):
        for col in range(0, x.shape[3] - size + 1, stride):
            maps = network.maps(x[:, :, row : row + size, col : col + size])[0].double()
            parts.append(torch.cat([maps.mean((1, 2)), maps.var((1, 2), correction=0)]))
    return torch.stack(parts)


@given(size=st.integers(1, 60), stride=st.integers(1, 60), rows=st.integers(1, 4), cols=st.integers(1, 4))
def test_one_pass_gives_the_moments_of_each_tile_alone(size: int, stride: int, rows: int, cols: int) -> None:
    stride = min(stride, size)
    network = a_network(size)
    down, across = (Axis.of_pixels(lines=n, stride=stride, tile_size=size) for n in (rows, cols))
    x = torch.randn(1, 2, down.size, across.size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        mean, variance = overlapping_moments(network, x, rows=down, cols=across)
        expected = moments_of_each_tile(network, x, size, stride)
    torch.testing.assert_close(torch.cat([mean, variance], dim=1), expected, rtol=1e-4, atol=1e-5)


@given(size=st.integers(1, 120), stride=st.integers(1, 120), lines=st.integers(1, 5))
def test_every_position_of_a_tile_has_one_place_and_tiles_share_none_of_their_own(
    size: int, stride: int, lines: int
) -> None:
    axis = Axis.of_pixels(lines=lines, stride=min(stride, size), tile_size=size)
    for kernel, step in FastNet.layers_for(size):
        axis = axis.after(kernel, step)
        places = axis.places(np.arange(axis.n))
        assert places.shape == (lines, axis.n)
        assert ((places >= 0) & (places < axis.size)).all()
        assert all(len(set(line)) == axis.n for line in places.tolist())
        own = places[places >= axis.shared]
        assert sorted(own.tolist()) == list(range(axis.shared, axis.size))
        assert (axis.places(np.array([-1, axis.n])) == axis.size).all()


@pytest.mark.parametrize("size", [4, 10, 16, 30, 48, 50, 64, 100])
def test_one_pass_never_takes_more_operations_than_tile_by_tile(size: int) -> None:
    shares = [
        share_of_operations(FastNet.layers_for(size), WIDTHS, tile_size=size, stride=stride)
        for stride in range(1, size)
    ]
    assert max(shares) <= 1


def test_a_quarter_of_a_tile_takes_a_sixth_of_the_operations() -> None:
    share = share_of_operations(FastNet.layers_for(64), WIDTHS, tile_size=64, stride=16)
    assert share == pytest.approx(0.176, abs=0.002)


def test_positions_in_the_middle_are_shared_and_those_that_see_an_edge_are_not() -> None:
    axis = Axis.of_pixels(lines=3, stride=16, tile_size=48)
    for kernel, step in FastNet.layers_for(48):
        axis = axis.after(kernel, step)
    assert (axis.n, axis.pace, axis.spacing, axis.first, axis.last) == (6, 8, 8, 1, 1)
    assert axis.places(np.arange(6)).tolist() == [
        [10, 1, 2, 3, 4, 11],
        [12, 3, 4, 5, 6, 13],
        [14, 5, 6, 7, 8, 15],
    ]
