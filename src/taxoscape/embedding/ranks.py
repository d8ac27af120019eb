"""Training by several processes at once, with the result of one: the ranks of PyTorch's distributed runtime.

``torchrun`` starts the processes and tells each its rank. In a step each rank reads and runs its share of the triplets;
together they do what one process would: batch norms take their statistics over the tiles of all ranks (`SharedNorm`),
the loss is taken over the vectors of all (`Ranks.gathered`), and gradients are summed (`Ranks.sum_gradients`). Sums are
then made in another order, which is all that differs.

Rank 0 is the one that works in the run folder. The others wait until it begins a training (`Ranks.tell`, `Ranks.hear`),
take part in it, and wait again, for hours where need be, on the store that ``torchrun`` keeps, where waiting costs
nothing and has no time limit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn import functional as F

from taxoscape.errors import InputError, TaxoscapeError
from taxoscape.memory import processes_here

if TYPE_CHECKING:
    from collections.abc import Iterator

STEP_SECONDS = 600
"""Seconds that a rank waits for the others within a step."""
LOOK_SECONDS = 0.2
"""Seconds from one look whether the next training has begun to the next."""


class Ranks:
    """The processes that train together; this class is the one that trains alone.

    Attributes
    ----------
    number, count : int
        Rank of this process, and how many there are.
    """

    number = 0
    count = 1

    def share(self, n: int) -> slice:
        """Return which of ``n`` things are this rank's: nearly equal parts, in order, larger ones first."""
        return slice(-(-self.number * n // self.count), -(-(self.number + 1) * n // self.count))

    def tell(self, task: Callable[[], Any], device: str) -> None:
        """Tell the other ranks, where this is rank 0, that a training begins; they `hear` what ``task`` returns."""

    def hear(self) -> tuple[Any, str] | None:
        """Wait for rank 0 to begin a training: what it told and on which device it trains; None where none is to come.

        Raises
        ------
        InputError
            Where it trains on a GPU, and this rank has none.
        """
        return None

    def end(self) -> None:
        """Tell the other ranks, where this is rank 0, that no training is to come."""

    def threads(self, count: int) -> int:
        """Return the threads of this rank where ``count`` are for all those on its machine."""
        return max(1, count // processes_here())

    def joined(self, network: nn.Module) -> None:
        """Let the batch norms of a network in training see the tiles of all ranks."""

    def gathered(self, own: Tensor, n: int) -> Tensor:
        """Return the vectors (n, feature) of all ranks, of which this one's `share` is ``own``; with gradients."""
        del n
        return own

    def sum_gradients(self, network: nn.Module) -> None:
        """Replace the gradients of a network by their sums over all ranks."""


ALONE = Ranks()
"""Training by this process alone."""


class SeveralRanks(Ranks):
    """Processes that ``torchrun`` has started.

    Parameters
    ----------
    number, count
        As in `Ranks`.
    store
        Where ranks leave word for each other.
    """

    def __init__(self, number: int, count: int, store: Store) -> None:
        self.number, self.count, self.store = number, count, store
        self.told = 0

    def tell(self, task: Callable[[], Any], device: str) -> None:
        """See `Ranks.tell`."""
        if self.number == 0:
            self.told += 1
            self.store.set(f"training/{self.told}", device)
            self._connect(device)
            dist.broadcast_object_list([task()], src=0, device=torch.device("cpu"))

    def end(self) -> None:
        """See `Ranks.end`."""
        if self.number == 0:
            self.told += 1
            with suppress(RuntimeError):  # the store has gone before
                self.store.set(f"training/{self.told}", "end")

    def hear(self) -> tuple[Any, str] | None:
        """See `Ranks.hear`."""
        self.told += 1
        try:
            while not self.store.check([f"training/{self.told}"]):
                time.sleep(LOOK_SECONDS)  # the store itself would wait deaf to signals
            device = self.store.get(f"training/{self.told}").decode()
        except RuntimeError:  # the store has gone with rank 0
            return None
        if device == "end":
            return None
        self._connect(device)
        box: list[Any] = [None]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0], device

    def _connect(self, device: str) -> None:
        """Make the group of all ranks, once."""
        if device == "cuda":
            local = int(os.environ.get("LOCAL_RANK", "0"))
            if local >= torch.cuda.device_count():
                raise InputError(
                    f"rank {self.number} has no GPU of its own: start as many ranks on a machine as it has GPUs "
                    f"(--nproc-per-node {max(1, torch.cuda.device_count())}), or train on processors (--device cpu)"
                )
            torch.cuda.set_device(local)
        if not dist.is_initialized():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo",
                store=PrefixStore("group", self.store), rank=self.number, world_size=self.count,
                timeout=timedelta(seconds=STEP_SECONDS),
            )  # fmt: skip

    def joined(self, network: nn.Module) -> None:
        """See `Ranks.joined`."""
        for part in list(network.modules()):
            for name, norm in part.named_children():
                if isinstance(norm, nn.BatchNorm2d) and not isinstance(norm, SharedNorm):
                    setattr(part, name, SharedNorm(norm))

    def gathered(self, own: Tensor, n: int) -> Tensor:
        """See `Ranks.gathered`."""
        vectors: Tensor = _Gathered.apply(own, self.share(n), n)  # type: ignore[no-untyped-call]
        return vectors

    def sum_gradients(self, network: nn.Module) -> None:
        """See `Ranks.sum_gradients`."""
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, part in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


@contextmanager
def ranks_of_this_run() -> Iterator[Ranks]:
    """Return the ranks that ``torchrun`` has started; `ALONE` where it has not. The others are told when it is over.

    Raises
    ------
    InputError
        Where the environment speaks of several processes, and they do not find each other.
    TaxoscapeError
        Where a rank is lost.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield ALONE
        return
    try:
        store, number, count = next(rendezvous("env://"))
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"WORLD_SIZE says that several processes train together, but they do not find each other ({error}): start "
            "them with torchrun, or unset WORLD_SIZE"
        ) from None
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    ranks = SeveralRanks(number, count, PrefixStore(f"taxoscape/{attempt}", store))
    try:
        yield ranks
    except (dist.DistError, RuntimeError) as error:
        if not isinstance(error, TaxoscapeError) and _is_of_a_connection(error):
            raise TaxoscapeError(
                f"rank {number} of {count} has lost another one: run the same command again, it goes on from the state "
                "saved last"
            ) from error
        raise
    finally:
        ranks.end()
        if dist.is_initialized():
            dist.destroy_process_group()


def _is_of_a_connection(error: Exception) -> bool:
    """Whether an error says that another rank does not answer."""
    text = str(error).casefold()
    return isinstance(error, dist.DistError) or any(
        word in text for word in ("gloo", "connection", "nccl", "timed out")
    )


class SharedNorm(nn.BatchNorm2d):
    """A batch norm whose batch is the tiles of all ranks; in evaluation it is the norm that it was made of.

    Parameters
    ----------
    norm
        The norm, whose parameters and buffers are taken over, not copied.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.reach: int | None = getattr(norm, "REACH", None)  # of `networks.SteadyBatchNorm`
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """Return normed maps of maps (n, channel, y, x); n may differ from rank to rank, and be 0."""
        if not self.training:
            return super().forward(x)
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        mean, variance, n = _moments(x)
        momentum = 1 / min(self.reach, int(self.num_batches_tracked) + 1) if self.reach else self.momentum
        assert momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (n / max(1.0, n - 1)), momentum)
        normed: Tensor = _Normed.apply(x, self.weight, self.bias, mean, variance, n, self.eps)  # type: ignore[no-untyped-call]
        return normed


def _moments(x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Return mean and variance of each channel over the maps of all ranks, (channel,), and over how many pixels."""
    with torch.no_grad():
        wide = _wide(x)
        own = wide.sum((0, 2, 3)).double()
        sums = torch.cat([own, own.new_tensor([x.numel() / x.shape[1]])])
        dist.all_reduce(sums)
        n = float(sums[-1])
        mean = (sums[:-1] / n).to(wide)
        squares = (wide - mean[:, None, None]).square_().sum((0, 2, 3)).double()
        dist.all_reduce(squares)
        return mean, (squares / n).to(wide), n


def _wide(x: Tensor) -> Tensor:
    """Return numbers in the precision of statistics: float32, or their own where that is more."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class _Normed(torch.autograd.Function):
    """Maps less their mean over their deviation, where the mean and the deviation are of the maps of all ranks."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, n: float, eps: float
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(variance + eps))
        ctx.n = n
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        of_y = _wide(gradients[0])
        normed = (_wide(x) - mean[:, None, None]) * scale[:, None, None]
        of_bias, of_weight = of_y.sum((0, 2, 3)), (of_y * normed).sum((0, 2, 3))
        sums = torch.stack([of_bias, of_weight]).double()
        dist.all_reduce(sums)
        shift, slope = (sums / ctx.n).to(of_y)[:, :, None, None]
        of_x = (of_y - shift - normed * slope) * (weight * scale)[:, None, None]
        return of_x.to(x.dtype), of_weight, of_bias, None, None, None, None


class _Gathered(torch.autograd.Function):
    """Rows of all ranks. Each rank takes the same loss of all rows, so the gradient of its own rows is whole there."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, part: slice, n: int) -> Tensor:
        ctx.part = part
        rows = own.new_zeros(n, *own.shape[1:])
        rows[part] = own
        dist.all_reduce(rows)
        return rows

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return gradients[0][ctx.part], None, None
