from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from taxoscape.embedding.networks import build_network
from taxoscape.errors import InputError


def build(name: str = "fast", **how: int) -> torch.nn.Module:
    settings = {"n_bands": 3, "tile_size": 50, "n_features": 512 if name == "tilenet" else 16, **how}
    return build_network(name, **settings)


def naive_tilenet(x: Tensor, w: dict[str, Tensor]) -> Tensor:
    """METHOD step 2, layer by layer, with running statistics."""

    def norm(x: Tensor, name: str) -> Tensor:
        return F.batch_norm(x, *(w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))

    x = F.relu(norm(F.conv2d(x, w["conv1.weight"], padding=1), "bn1"))
    for stage in range(1, 6):
        for block in range(2):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = F.relu(norm(F.conv2d(x, w[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1"))
            y = norm(F.conv2d(y, w[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
            if f"{name}.shortcut.0.weight" in w:
                x = norm(F.conv2d(x, w[f"{name}.shortcut.0.weight"], stride=stride), f"{name}.shortcut.1")
            x = F.relu(y + x)
    return x.unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5)).flatten(1)


@pytest.mark.parametrize("size", [49, 100])
def test_tilenet_is_the_papers_network_layer_by_layer(size: int) -> None:
    network = build("tilenet", tile_size=size).eval()
    generator = torch.Generator().manual_seed(1)
    for name, buffer in network.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5, generator=generator)
    x = torch.rand(2, 3, size, size, generator=generator)
    with torch.inference_mode():
        torch.testing.assert_close(network(x), naive_tilenet(x, network.state_dict()), rtol=1e-4, atol=1e-5)


def test_tilenet_has_20_873_280_parameters_for_3_bands() -> None:
    assert sum(p.numel() for p in build("tilenet").parameters()) == 20_873_280


def test_of_a_tile_of_100_px_tilenet_sees_only_the_top_left_part() -> None:
    network = build("tilenet", tile_size=100).eval()
    x = torch.rand(1, 3, 100, 100)
    changed = x.clone()
    changed[:, :, 99, 99] += 1
    with torch.inference_mode():
        assert network(x).shape == (1, 512)
        far = (network(x) - network(changed)).abs().max()
        changed[:, :, 20, 20] += 1
        assert far < (network(x) - network(changed)).abs().max()


@pytest.mark.parametrize("size", [48, 113])
def test_tilenet_refuses_tiles_of_which_it_makes_no_vector_of_512(size: int) -> None:
    with pytest.raises(InputError, match=f"tiles of 49 to 112 px, not {size}.*--tile-size"):
        build("tilenet", tile_size=size)


@pytest.mark.parametrize("bands", [1, 3, 13])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 10, 13, 25, 50, 101])
def test_the_fast_network_takes_any_bands_and_tile_sizes(bands: int, size: int) -> None:
    network = build(n_bands=bands, tile_size=size, n_features=7)
    vectors = network(torch.randn(2, bands, size, size))
    assert vectors.shape == (2, 7)
    vectors.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_the_fast_network_has_finite_gradients_on_a_constant_tile() -> None:
    network = build()
    network(torch.zeros(2, 3, 50, 50)).square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_the_fast_network_costs_at_most_a_quarter_gflop_per_tile_of_100_px() -> None:
    flops = 0

    def count(layer: torch.nn.Conv2d, _: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal flops
        flops += 2 * out.shape[2] * out.shape[3] * layer.weight.numel()

    network = build(tile_size=100)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    network(torch.zeros(1, 3, 100, 100))
    assert 1e7 < flops <= 2.5e8


@pytest.mark.parametrize("name", ["fast", "tilenet"])
def test_weights_come_from_the_seed_and_leave_the_global_generator_alone(name: str) -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first, again, other = (build_network(name, n_bands=2, tile_size=50, n_features=512, seed=s) for s in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    pairs = [(a, b, c) for a, b, c in zip(*(n.parameters() for n in (first, again, other)), strict=True) if a.dim() > 1]
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not any(torch.equal(a, c) for a, _, c in pairs)


@pytest.mark.parametrize(("name", "how", "message"), [
    ("tilenet", {"n_features": 64}, "vectors of 512, not 64"),
    ("resnet", {}, "no network 'resnet'"),
])  # fmt: skip
def test_networks_that_cannot_be_are_refused(name: str, how: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(name, **how)
