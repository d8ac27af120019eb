"""How a stage tells how far it is, without knowing who listens.

A stage loops over ``track(things, label, total)``. By default nobody listens (`silent`); the command line passes a
tracker that draws a bar with the time left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Pass things through one by one and tell somebody how many of ``total`` are done."""

    def __call__(self, things: Iterable[T], label: str, total: int, done: int = 0) -> Iterator[T]:
        """Yield each of ``things``; ``label`` names the step, ``done`` of ``total`` were done before."""
        ...


def silent(things: Iterable[T], label: str, total: int, done: int = 0) -> Iterator[T]:  # noqa: ARG001
    """Yield each of ``things`` and tell nobody."""
    yield from things
