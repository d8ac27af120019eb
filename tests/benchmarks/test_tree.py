"""The benchmark of the tree of zones: what its table says, on made-up results."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def tree(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import tree

    yield tree
    for name in ("tree", "evidence"):
        sys.modules.pop(name, None)


def a_row(k, flat, own, ward, *, true=False):
    through = {f"through {number}": own for number in (6, 12, 20)}
    return {"run": "made-0", "k": k, "true": true, "flat": flat, "true tree": own, "ward": ward, "ari": 0.5, **through}


def test_the_table_has_a_line_for_each_number_of_zones_and_says_which_is_the_true_one(tree):
    lines = tree.table([a_row(6, 0.8, 0.9, 0.7), a_row(8, 0.5, 0.5, 0.4, true=True)]).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| made-0 | 6 | 0.800 | 0.900 |")
    assert "8 (true)" in lines[3]


def test_the_verdict_compares_with_the_flat_partition_off_the_true_number_only(tree):
    told = tree.verdict([a_row(6, 0.8, 0.9, 0.7), a_row(8, 0.5, 0.4, 0.3, true=True)])
    assert "cut at others, +0.100 (above it in 1 of 1)" in told
    assert "cut at the true one, -0.100" in told
    assert "Ward alone -0.150" in told
