"""The benchmark of encoder settings: variants differ from the default in one thing, and the table compares with it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import encoders

    yield encoders
    for name in ("encoders", "evidence"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("tile_size", [1, 50])
def test_each_variant_changes_one_setting(module, tile_size):
    usual, *others = (asdict(settings) for settings in module.variants(tile_size).values())
    for other in others:
        assert sum(usual[name] != other[name] for name in usual) == 1


def test_the_table_shows_the_mean_difference_to_the_default_and_leaves_out_what_is_not_there(module):
    def row(run, variant, nmi):
        return {"run": run, "variant": variant, "nmi": nmi, "seconds": 10.0}

    lines = module.table(
        [row("a-1", "default", 0.5), row("b-1", "default", 0.7), row("a-1", "other", 0.6)]
    ).splitlines()
    assert lines[2] == "| default | 0.500 | 0.700 |  | 10 |"
    assert lines[3] == "| other | 0.600 | – | +0.100 | 10 |"
