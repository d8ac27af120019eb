from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxoscape import memory
from taxoscape.errors import InputError


@given(st.integers(1, 10**6), st.sampled_from(["", "k", "M", "g", "T"]), st.sampled_from(["", "b", "iB", " "]))
def test_a_size_is_its_number_times_a_power_of_1024(number, unit, end):
    assert memory.bytes_of(f"{number}{unit}{end}") == number * 1024 ** " kmgt".index(unit.lower() or " ")


@pytest.mark.parametrize("text", ["", "much", "-4G", "4X", "4 G B", "1e9", "0x10", "4GG"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(InputError, match="such as 4G, 512M or 8GiB"):
        memory.bytes_of(text)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 8 GiB available and no control group."""
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "GROUP", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "groups")
    (tmp_path / "meminfo").write_text(f"MemTotal: {16 * 2**20} kB\nMemAvailable: {8 * 2**20} kB\n")
    (tmp_path / "cgroup").write_text("0::/jobs/mine\n")
    return tmp_path


def limit(folder, *, most, used, files=0, old=False):
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if old else ("memory.max", "memory.current")
    (folder / names[0]).write_text(f"{most}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {files}\n")


def test_without_a_limit_what_is_available_is_free_and_half_of_it_is_the_default(machine):
    assert memory.free_memory() == 8 * 2**30
    assert memory.half_of_free() == 4 * 2**30


def test_the_control_group_limits_what_is_free(machine):
    limit(machine / "groups/jobs/mine", most=2**30, used=2**29, files=2**20)
    assert memory.free_memory() == 2**29 + 2**20


def test_a_limit_of_a_group_above_counts_too(machine):
    limit(machine / "groups/jobs/mine", most="max", used=5)
    limit(machine / "groups/jobs", most=2**30, used=0)
    assert memory.free_memory() == 2**30


def test_groups_of_the_older_kind_are_read(machine):
    (machine / "cgroup").write_text("9:memory:/jobs\n3:cpu:/jobs\n")
    limit(machine / "groups/memory/jobs", most=2**30, used=2**28, old=True)
    assert memory.free_memory() == 2**30 - 2**28


def test_where_nothing_is_told_half_of_the_machine_is_free(machine):
    for name in ("meminfo", "cgroup"):
        (machine / name).unlink()
    assert 0 < memory.free_memory() == memory._whole() // 2
