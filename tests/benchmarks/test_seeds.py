"""The benchmark of seeds: what it compares, and that a seed changes all that it should."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from taxoscape.cli import run_command
from taxoscape.embedding import encoder, fit
from taxoscape.testing.region import Region
from taxoscape.testing.writing import write_region
from taxoscape.zones import starts

HERE = Path(__file__).resolve().parents[2] / "benchmarks"
TINY = ("--triplets", "100", "--epochs", "1", "--tile-size", "30")


@pytest.fixture
def seeds(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import seeds

    yield seeds
    for name in ("seeds", "evidence", "child"):
        sys.modules.pop(name, None)


def test_maps_are_compared_in_pairs_where_both_have_zones(seeds):
    one = np.array([[1, 1, 2], [2, 0, 3]])
    renamed = np.array([[3, 3, 1], [1, 2, 2]])
    other = np.array([[1, 2, 1], [2, 1, 2]])
    found = seeds.pairwise([one, renamed, other])
    assert found[0] == 1.0
    assert found[1] == found[2] < 0.5


def test_the_table_has_mean_and_least_of_the_pairs(seeds):
    row = {"region": "lombardy", "zones": 8, "seeds": [0, 1, 2], "geographic": [0.9, 0.8, 1.0], "refined": [1.0] * 3}
    assert seeds.table([row]).splitlines()[-1] == (
        "| Lombardy: MODIS NDVI | 8 | 0, 1, 2 | 0.900 | 0.800 | 1.000 | 1.000 |"
    )


def test_every_region_that_may_be_kept_has_a_title(seeds):
    assert set(seeds.TITLES) == {"built-in", *seeds.REAL}


def test_runs_of_one_region_are_compared(seeds, tmp_path):
    runs = seeds.run_built_in([0, 1], tmp_path, size=300, more=TINY)
    row = seeds.compared("built-in", runs, [0, 1])
    assert row["zones"] == 8
    assert len(row["geographic"]) == len(row["refined"]) == 1
    assert -0.5 < row["refined"][0] < 1
    again = seeds.compared("built-in", [runs[0], runs[0]], [0, 0])
    assert again["refined"] == [1.0]


def test_the_seed_of_a_run_changes_first_weights_triplets_of_both_trainings_and_starts(monkeypatch, tmp_path):
    seen: dict[str, list[str]] = {}

    def spy(module, name, told):
        real = getattr(module, name)

        def instead(*args, **more):
            made = real(*args, **more)
            seen.setdefault(name, []).append(told(made, args, more))
            return made

        monkeypatch.setattr(module, name, instead)

    def weights(network, args, more):
        return hashlib.sha256(b"".join(part.numpy().tobytes() for part in network.state_dict().values())).hexdigest()

    spy(encoder, "build_network", weights)
    spy(fit, "geographic_triplets", lambda triplets, args, more: triplets.digest)
    spy(fit, "cluster_triplets", lambda triplets, args, more: triplets.digest)
    spy(starts, "fit", lambda part, args, more: str(args[3]))
    write_region(Region(seed=1, height=300, width=300, n_zones=3, dates=2), tmp_path)
    found = []
    for seed in (0, 1):
        seen.clear()
        options = ["--zones", "3", "--no-evidence", "--seed", str(seed), "--out", str(tmp_path / f"run-{seed}"), *TINY]
        assert run_command(["run", str(tmp_path / "scenes"), *options, "--quiet"]) == 0
        found.append({name: told[0] for name, told in seen.items()})
    assert set(found[0]) == {"build_network", "geographic_triplets", "cluster_triplets", "fit"}
    assert all(found[0][name] != found[1][name] for name in found[0])
