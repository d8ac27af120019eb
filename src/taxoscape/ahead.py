"""Read ahead: the next item is made by a thread while the one before is worked on; and work spread over threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(items: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """Yield the items of an iterable in order, made by a thread that is up to ``depth`` items ahead.

    An error of the iterable is raised where its item would have come. Whoever stops early waits for the item in the
    making and for no other. With ``depth`` 0 there is no thread.
    """
    if not depth:
        yield from items
        return
    end, source = object(), iter(items)
    pool = ThreadPoolExecutor(1, thread_name_prefix="taxoscape-feed")
    try:
        waiting: deque[Future[Any]] = deque(pool.submit(next, source, end) for _ in range(depth))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, source, end))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)


def spread(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Yield what a function makes of items, in their order, by some threads; one item more than these is held.

    The items themselves are taken in the calling thread. With one worker there is no thread.
    """
    if workers <= 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="taxoscape-work") as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
