"""What stages are measured on: a built-in region as files, made in a folder that goes again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def region(size: int, dates: int, *, n_zones: int = 8) -> Iterator[Path]:
    """Make a square region; give a folder with ``scenes`` and ``truth``."""
    from taxoscape.testing.region import Region
    from taxoscape.testing.writing import write_region

    with tempfile.TemporaryDirectory() as temporary:
        made = Region(seed=1, height=size, width=size, n_zones=n_zones, dates=dates)
        write_region(made, temporary, threads=os.cpu_count() or 1)
        yield Path(temporary)
