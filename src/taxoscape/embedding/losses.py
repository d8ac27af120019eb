"""What training makes small.

`triplet_loss` is the paper's, with Euclidean distances and a margin. `contrastive_loss` is the default: on the unit
sphere, a tile shall be told from all other tiles of its batch by its neighbour. A batch holds tiles of one date
(`training`), so the date does not give the answer away and what must be learnt is the land.

Both take vectors float32 (batch, feature) of anchors, neighbours and distant tiles, and return a scalar tensor.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def triplet_loss(anchor: Tensor, neighbour: Tensor, distant: Tensor, *, margin: float, norm_penalty: float) -> Tensor:
    """Return mean of max(0, ‖a − n‖ − ‖a − d‖ + m), plus λ (‖A‖ + ‖N‖ + ‖D‖) over the whole batch.

    Parameters
    ----------
    anchor, neighbour, distant
        Float32 (batch, feature).
    margin
        m, in units of the vectors.
    norm_penalty
        λ. As in the prototype the norms are of the whole batch (Frobenius), so that the term grows with the square
        root of the batch size.

    Notes
    -----
    Source: METHOD step 2; Jean et al. (2019), equation 1, with Euclidean distances instead of their squares.
    """
    near = torch.linalg.vector_norm(anchor - neighbour, dim=1)
    far = torch.linalg.vector_norm(anchor - distant, dim=1)
    hinge = F.relu(near - far + margin).mean()
    penalty = sum((torch.linalg.vector_norm(vectors) for vectors in (anchor, neighbour, distant)), hinge.new_zeros(()))
    return hinge + norm_penalty * penalty


def contrastive_loss(
    anchor: Tensor, neighbour: Tensor, distant: Tensor | None, *, temperature: float, near: Tensor
) -> Tensor:
    """Return the mean cross-entropy of finding each tile's partner among all tiles of the batch.

    Anchors look for their neighbours and neighbours for their anchors, by cosine similarity over ``temperature``.
    The others in question are the remaining anchors and neighbours and the distant tiles, but for those that are near.

    Parameters
    ----------
    anchor, neighbour, distant
        Float32 (batch, feature); distant (any number, feature) or None.
    temperature
        Divides the similarities.
    near
        Bool (2·batch, 2·batch + distant): whether tile i (anchors, then neighbours) and tile j (the same, then the
        distant ones) are near, so that they are no evidence of difference. The pairs themselves, and a tile with
        itself, may have any value.

    Notes
    -----
    The loss known as NT-Xent or InfoNCE (van den Oord et al. 2018; Chen et al. 2020), here with neighbours on the
    ground as positives instead of distorted copies.
    """
    n = len(anchor)
    pairs = F.normalize(torch.cat([anchor, neighbour]), dim=1)
    others = pairs if distant is None else torch.cat([pairs, F.normalize(distant, dim=1)])
    scores = pairs @ others.T / temperature  # (2n, 2n + distant)
    index = torch.arange(2 * n, device=scores.device)
    partner = (index + n) % (2 * n)
    hidden = near.clone()
    hidden[index, partner] = False
    hidden[index, index] = True
    return F.cross_entropy(scores.masked_fill(hidden, -torch.inf), partner)
