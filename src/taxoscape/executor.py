"""Who does the blocks of a stage: this process, or the workers of a Dask cluster.

A stage is planned as blocks, and a plain function does one of them. An executor passes it the blocks and yields what it
returned, each with the number of its block, as they are done, so in any order; `in_order` puts them back into order,
which sums of floating-point numbers need.

Nothing large travels. A function that is to run elsewhere is made of paths and numbers, opens what it needs where it
runs (`kept_open`), writes its own chunk, and may run twice: what it writes is written alike. So a worker that dies
costs the blocks that it had in hand, which others do again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from taxoscape.errors import InputError, TaxoscapeError

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger("taxoscape")

Item = TypeVar("Item")
Result = TypeVar("Result")
Key = TypeVar("Key", bound=Hashable)

BLOCKS_PER_THREAD = 2
"""Blocks that are with the scheduler at a time, for each thread of a worker: one in work and one in wait."""
RETRIES = 2
"""How often a block is tried again after an error that is none of taxoscape's, such as a file system that stumbles."""
ANSWER_SECONDS = 10
"""Seconds in which a scheduler has to answer."""
WORKER_SECONDS = 600
"""Seconds that are waited for the first worker, which may stand in the queue of a cluster."""


class Executor(Protocol):
    """Does the blocks of a stage."""

    @property
    def elsewhere(self) -> bool:
        """Whether blocks are done in other processes, which open by their paths what they need."""
        ...

    def __call__(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        """Yield the number of each item among ``items``, and what ``work`` made of it, as they are done."""
        ...


class _InProcess:
    """One block after the other, here."""

    elsewhere = False

    def __call__(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        """See `Executor`."""
        for number, item in enumerate(items):
            yield number, work(item)


in_process = _InProcess()
"""The executor that does blocks here, in order."""


class Dask:
    """Blocks on the workers of a Dask cluster. Make one with `on_scheduler`.

    Parameters
    ----------
    client
        Connected to the scheduler.
    """

    elsewhere = True

    def __init__(self, client: Client) -> None:
        self.client = client

    def __call__(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        """See `Executor`; a few blocks for each thread of the workers are with the scheduler at a time.

        Raises
        ------
        TaxoscapeError
            What ``work`` raised; or where a block has killed several workers, or the scheduler is lost.
        """
        from distributed import as_completed

        held = self.client.submit(_as_it_is, work, pure=False)  # sent once; should its holder die, the scheduler has it
        numbers: dict[Any, int] = {}
        waiting = iter(enumerate(items))
        running = as_completed(loop=self.client.loop)

        def hand_out() -> None:
            while len(numbers) < self._most() and (following := next(waiting, None)) is not None:
                number, item = following
                future = self.client.submit(_tried, held, item, pure=False, retries=RETRIES)
                numbers[future] = number
                running.add(future)

        try:
            hand_out()
            for future in running:
                number, result = numbers.pop(future), _result(future)
                future.release()
                hand_out()
                yield number, result
        finally:
            if self.client.status == "running":  # what nobody waits for any more is not begun
                self.client.cancel(list(numbers))

    def _most(self) -> int:
        """Return how many blocks are with the scheduler at most."""
        threads: dict[str, int] = self.client.nthreads()
        return BLOCKS_PER_THREAD * max(1, sum(threads.values()))


@contextmanager
def on_scheduler(address: str | None) -> Iterator[Executor]:
    """Connect to the workers of a Dask scheduler for as long as the block lasts.

    Parameters
    ----------
    address
        Of the scheduler, ``tcp://host:port``, or ``tls://host:port`` where Dask's configuration has the certificates;
        None: everything is done in this process.

    Raises
    ------
    InputError
        Where Dask is not installed, no scheduler answers there, or it has no workers.
    """
    if address is None:
        yield in_process
        return
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            "--scheduler needs Dask, which is not installed here: pip install 'distributed>=2026.1', there, too"
        ) from None
    try:
        client = Client(address, timeout=ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address} ({error}): start one ('dask scheduler') and give the address that "
            "it prints, or leave --scheduler out"
        ) from None
    with client:
        _await_workers(client, address)
        yield Dask(client)


def in_order(done: Iterable[tuple[int, Result]]) -> Iterator[Result]:
    """Yield results in the order of their blocks; those that are done early are held back.

    Examples
    --------
    >>> list(in_order([(1, "b"), (0, "a"), (2, "c")]))
    ['a', 'b', 'c']
    """
    early: dict[int, Result] = {}
    following = 0
    for number, result in done:
        early[number] = result
        while following in early:
            yield early.pop(following)
            following += 1


_open = threading.local()


def kept_open(opening: Callable[[Key], Result], key: Key) -> Result:
    """Return what ``opening(key)`` returns; in each thread the last one stays open for the next block, and no other.

    Examples
    --------
    >>> opened = []
    >>> def opening(name):
    ...     opened.append(name)
    ...     return name.upper()
    >>> [kept_open(opening, name) for name in ("a", "a", "b")], opened
    (['A', 'A', 'B'], ['a', 'b'])
    """
    held = _open.__dict__
    wanted = (f"{opening.__module__}.{opening.__qualname__}", key)
    if held.get("wanted") != wanted:
        held.clear()  # let go of the old one, of an earlier stage perhaps, before the new one takes memory
        held.update(open=opening(key), wanted=wanted)
    return cast("Result", held["open"])


@dataclass(frozen=True, slots=True)
class _Refused:
    """An error of taxoscape's on a worker: it would come again, so it is a result and not tried again."""

    error: TaxoscapeError


def _as_it_is(work: Item) -> Item:
    """Keep on a worker what all blocks are done by."""
    return work


def _tried(work: Callable[[Item], Result], item: Item) -> Result | _Refused:
    """Do a block, on a worker."""
    try:
        return work(item)
    except TaxoscapeError as error:
        return _Refused(error)


def _result(future: Any) -> Any:
    """Return what a block gave, or raise what it raised, in words of ours where Dask is the cause."""
    from concurrent.futures import CancelledError

    from distributed import KilledWorker

    try:
        result = future.result()
    except KilledWorker as error:
        raise TaxoscapeError(
            f"one block has cost {error.allowed_failures + 1} workers their life, most likely for want of memory: give "
            "the workers more (--memory-limit of 'dask worker') or fewer threads, and run the same command again"
        ) from error
    except CancelledError as error:
        raise TaxoscapeError(
            "the Dask scheduler was lost; start it and its workers anew and run the same command again, it goes on"
        ) from error
    except ImportError as error:
        raise InputError(
            f"a worker cannot do the work ({error}): install the same taxoscape there, with Dask"
        ) from error
    if isinstance(result, _Refused):
        raise result.error
    return result


def _await_workers(client: Client, address: str) -> None:
    """Wait for the first worker."""
    if not client.nthreads():
        log.info("the scheduler at %s has no workers yet: waiting for one", address)
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError:
            raise InputError(
                f"the scheduler at {address} has had no worker for {WORKER_SECONDS} s: start some ('dask worker "
                f"{address}')"
            ) from None
