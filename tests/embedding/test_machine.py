from __future__ import annotations

import time

import pytest
import torch

from taxoscape.embedding import machine
from taxoscape.embedding.machine import fastest, settled_device


def test_a_slow_machine_is_measured_on_one_step_and_a_quick_one_on_four():
    done = []
    fastest(lambda: (done.append(1), time.sleep(0.02)), most_seconds=0.01)
    assert len(done) == 1
    fastest(lambda: done.append(1))
    assert len(done) == 5


@pytest.mark.parametrize(
    ("wanted", "gpu", "found"), [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu")]
)
def test_auto_takes_the_gpu_where_there_is_one(monkeypatch, wanted, gpu, found):
    monkeypatch.setattr(machine, "has_gpu", lambda: gpu)
    assert settled_device(wanted) == found


def test_auto_is_bfloat16_for_tilenet_where_the_machine_multiplies_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for has, settled in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(machine, "has_bfloat16", lambda device, has=has: has)
        assert machine.settled_precision("auto", "tilenet") == settled
        assert machine.settled_precision("auto", "fast") == "float32"
        for network in ("fast", "tilenet"):
            assert machine.settled_precision("float32", network) == "float32"
            assert machine.settled_precision("bfloat16", network) == "bfloat16"


def test_float32_on_a_gpu_is_not_cut_to_TF32_and_all_is_as_before_afterwards() -> None:
    before = torch.backends.cudnn.allow_tf32
    with machine.whole_float32("cuda"):
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before
    with machine.whole_float32("cpu"):
        assert torch.backends.cudnn.allow_tf32 == before
