from __future__ import annotations

import time

import pytest

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
