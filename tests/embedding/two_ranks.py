"""What `test_ranks` starts in two processes: steps and trainings by two ranks beside the same by one. Writes JSON."""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from taxoscape.config import EncoderSettings
from taxoscape.embedding.losses import contrastive_loss
from taxoscape.embedding.networks import build_network
from taxoscape.embedding.ranks import ALONE, Ranks, ranks_of_this_run
from taxoscape.embedding.tiles import TileReader
from taxoscape.embedding.training import follow, train
from taxoscape.embedding.triplets import geographic_triplets
from tests.embedding.cubes import a_cube

NETWORKS = {"fast": (9, 8), "tilenet": (49, 512)}
"""Tile size and length of a vector."""


def step(network: nn.Module, tiles: torch.Tensor, ranks: Ranks) -> float:
    """Run a step on this rank's share of tiles: anchors, then neighbours; leave the gradients in the network."""
    n = len(tiles) // 2
    own = torch.cat([part[ranks.share(n)] for part in (tiles[:n], tiles[n:])])
    vectors = [ranks.gathered(part, n) for part in torch.tensor_split(network(own), 2)]
    loss = contrastive_loss(*vectors, None, temperature=0.1, near=torch.eye(2 * n, dtype=torch.bool))
    loss.backward()
    ranks.sum_gradients(network)
    return loss.item()


def off_by(name: str, n: int, ranks: Ranks) -> float:
    """Return the largest difference of gradients and buffers of a step in double precision, over the largest value."""
    size, length = NETWORKS[name]
    alone = build_network(name, n_bands=2, tile_size=size, n_features=length).double().train()
    together = copy.deepcopy(alone)
    ranks.joined(together)
    tiles = torch.rand(2 * n, 2, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    losses = [step(alone, tiles, ALONE), step(together, tiles, ranks)]
    pairs = [(p.grad, q.grad) for p, q in zip(alone.parameters(), together.parameters(), strict=True)]
    pairs += list(zip(alone.buffers(), together.buffers(), strict=True))
    found = [float((a - b).abs().max() / a.abs().max().clamp(min=1e-9)) for a, b in pairs if a is not None]
    return max(abs(losses[0] - losses[1]), *found)


def trainings(ranks: Ranks) -> dict[str, list[float]]:
    """Return the loss and the difference of weights, over their size, of trainings by two ranks and by one."""
    values = np.random.default_rng(3).normal(60, 6, (3, 2, 60, 82))
    values[:, 0, :, 41:] += 60
    reader = TileReader(a_cube(values.clip(1, 255).astype(np.uint8)), 8)
    if ranks.number:
        follow(lambda size: reader, ranks)
        return {}
    triplets = geographic_triplets(reader, tile_size=8, n=99, rng=1)
    usual = EncoderSettings(triplets=99, epochs=2, batch_size=17, n_features=8)
    found = {}
    for loss in ("contrastive", "triplet"):
        settings = replace(usual, loss=loss)
        *_, alone = train(reader, triplets, settings, rng=1)
        *_, together = train(reader, triplets, settings, rng=1, ranks=ranks)
        one, two = (torch.cat([p.flatten() for p in state.network.parameters()]) for state in (alone, together))
        names = [list(state.network.state_dict()) for state in (alone, together)]
        assert names[0] == names[1]
        found[loss] = [alone.loss, together.loss, float((one - two).norm() / one.norm())]
    return found


def main(path: str) -> None:
    torch.set_num_threads(1)
    with ranks_of_this_run() as ranks:
        ranks._connect("cpu")
        steps = {f"{name} {n}": off_by(name, n, ranks) for name, n in (("fast", 8), ("fast", 5), ("tilenet", 3))}
        found = trainings(ranks)
    if ranks.number == 0:
        with open(path, "w") as file:
            json.dump({"steps": steps, "trainings": found, "count": ranks.count}, file)


if __name__ == "__main__":
    main(sys.argv[1])
