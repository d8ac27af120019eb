"""Where real imagery lies. Tests that need it skip, and say so, where it is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("TAXOSCAPE_REAL_DATA") or Path(__file__).parents[3] / "shared" / "data").resolve()
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder ``real``, and skip it where there is no imagery."""
    missing = pytest.mark.skip(reason=f"no real imagery at {DATA}: name its folder in TAXOSCAPE_REAL_DATA")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.real)
            if not DATA.is_dir():
                item.add_marker(missing)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the real imagery."""
    return DATA
