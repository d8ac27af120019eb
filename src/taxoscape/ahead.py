"""Read ahead: the next item is made by a thread while the one before is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")


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
