"""Training steps from tiles in memory, beside a plain PyTorch loop of the same network, loss and batch."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from stages.measuring import Measure, paired, peak_gib

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import xarray as xr

    from taxoscape.config import EncoderSettings


def measure(*, small: bool) -> list[Measure]:
    """Return a row for each network under the loss and in the batches of its preset."""
    from taxoscape.config import resolve
    from taxoscape.testing.region import Region, region_cube

    cube = region_cube(Region(seed=1, height=300 if small else 1200, width=300 if small else 1200, dates=2)).load()
    rows = []
    tiny = {"batch_size": 4, "network": "fast", "n_features": 8}
    few = {"fast": {}, "paper": {"batch_size": 4}}  # a whole batch of the paper's takes most of a minute on two cores
    for preset, steps in (("fast", 1 if small else 2), ("paper", 1)):
        settings = resolve({"encoder": tiny if small else few[preset]}, preset).encoder
        tile, turns = (20, 1) if small else (100, 3)
        rows.append(beside_loop(cube, settings, preset, tile=tile, steps=steps, turns=turns))
    return rows


def beside_loop(
    cube: xr.DataArray, settings: EncoderSettings, preset: str, *, tile: int, steps: int, turns: int
) -> Measure:
    """Return steps a second of training, reading included, beside the plain loop."""
    from dataclasses import replace

    import numpy as np

    from taxoscape.embedding.tiles import TileReader
    from taxoscape.embedding.training import train
    from taxoscape.embedding.triplets import geographic_triplets

    settings = replace(settings, triplets=settings.batch_size * (2 * steps * (turns + 3)), epochs=1)
    reader = TileReader(cube, tile)
    triplets = geographic_triplets(reader, tile_size=tile, n=settings.triplets, rng=np.random.default_rng(0))
    ours = train(reader, triplets, settings, rng=0)
    per_triplet = 3 if settings.loss == "triplet" else 2
    tiles = reader.read(triplets.anchor[: settings.batch_size])[0]
    plain = Plain(np.concatenate([tiles] * per_triplet), settings)

    def own() -> None:
        for _ in islice(ours, steps):
            pass

    seconds, ratio = paired(own, lambda: [plain.step() for _ in range(steps)], turns=turns)
    return Measure(
        stage="train", rate=steps / seconds, unit="steps/s", ratio=ratio, turns=turns, peak_gib=peak_gib(own),
        what=f"preset {preset}: {settings.batch_size} triplets a step, {per_triplet} tiles of {tile} × {tile} × 3 each",
        peer="a plain PyTorch loop, tiles scaled and in memory",
    )  # fmt: skip


class Plain:
    """A training loop as one writes it down first: no augmentation, no reading, PyTorch's own layout of maps."""

    def __init__(self, tiles: npt.NDArray[np.generic], settings: EncoderSettings) -> None:
        import torch

        from taxoscape.embedding.networks import build_network

        self.settings = settings
        self.tiles = torch.from_numpy(tiles / 255.0).float()
        self.network = build_network(
            settings.network, n_bands=tiles.shape[1], tile_size=tiles.shape[2], n_features=settings.n_features
        ).train()
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate, betas=(0.5, 0.999))

    def step(self) -> None:
        """Take one step."""
        import torch

        from taxoscape.embedding.losses import contrastive_loss, triplet_loss

        parts = torch.split(self.tiles, self.settings.batch_size)
        self.optimiser.zero_grad()
        if self.settings.loss == "triplet":
            vectors = [self.network(part) for part in parts]
            loss = triplet_loss(*vectors, margin=self.settings.margin, norm_penalty=self.settings.norm_penalty)
        else:
            anchor, neighbour = (torch.split(self.network(self.tiles), self.settings.batch_size))[:2]
            n = 2 * self.settings.batch_size
            nothing = torch.zeros(n, n, dtype=torch.bool)
            loss = contrastive_loss(anchor, neighbour, None, temperature=self.settings.temperature, near=nothing)
        loss.backward()
        self.optimiser.step()
