from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.embedding.losses import contrastive_loss, triplet_loss


def vectors(n: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed)) * scale


@given(n=st.integers(1, 9), seed=st.integers(0, 999), margin=st.floats(0.1, 60), penalty=st.floats(0, 1))
def test_the_triplet_loss_is_the_papers(n: int, seed: int, margin: float, penalty: float) -> None:
    a, p, d = (vectors(n, seed + i, 10.0) for i in range(3))
    total = 0.0
    for i in range(n):
        near = math.sqrt(sum(float(a[i, k] - p[i, k]) ** 2 for k in range(5)))
        far = math.sqrt(sum(float(a[i, k] - d[i, k]) ** 2 for k in range(5)))
        total += max(0.0, near - far + margin)
    whole = sum(math.sqrt(sum(float(v) ** 2 for v in m.flatten())) for m in (a, p, d))
    found = triplet_loss(a, p, d, margin=margin, norm_penalty=penalty)
    assert float(found) == pytest.approx(total / n + penalty * whole, rel=1e-4)


@given(n=st.integers(1, 7), far=st.integers(0, 5), seed=st.integers(0, 999), temperature=st.floats(0.05, 2))
def test_the_contrastive_loss_is_the_cross_entropy_of_finding_ones_partner(
    n: int, far: int, seed: int, temperature: float
) -> None:
    a, p, d = vectors(n, seed), vectors(n, seed + 1), vectors(far, seed + 2)
    near = np.random.default_rng(seed).random((2 * n, 2 * n + far)) < 0.3
    unit = [v / np.linalg.norm(v) for v in torch.cat([a, p, d]).double().numpy()]
    total = 0.0
    for i in range(2 * n):
        partner = i + n if i < n else i - n
        others = [j for j in range(2 * n + far) if j == partner or (j != i and not near[i, j])]
        scores = {j: math.exp(unit[i] @ unit[j] / temperature) for j in others}
        total -= math.log(scores[partner] / sum(scores.values()))
    found = contrastive_loss(a, p, d if far else None, temperature=temperature, near=torch.from_numpy(near))
    assert float(found) == pytest.approx(total / (2 * n), rel=1e-4, abs=1e-5)


def test_the_contrastive_loss_of_tiles_that_are_all_near_is_nothing_and_has_a_finite_gradient() -> None:
    a, p = vectors(4, 0).requires_grad_(), vectors(4, 1)
    loss = contrastive_loss(a, p, None, temperature=0.1, near=torch.ones(8, 8, dtype=torch.bool))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()


def test_losses_have_finite_gradients_where_all_vectors_are_one() -> None:
    a = torch.ones(3, 5, requires_grad=True)
    triplet_loss(a, a * 1.0, a * 1.0, margin=1.0, norm_penalty=0.01).backward()  # type: ignore[no-untyped-call]
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()
