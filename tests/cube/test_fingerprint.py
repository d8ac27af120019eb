import hashlib
import json
import os
from pathlib import Path

import pytest

from taxoscape.cube import fingerprint as module
from taxoscape.cube.fingerprint import fingerprint
from taxoscape.errors import InputError


def test_a_fingerprint_is_the_sha256_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 3_000_001)
    assert fingerprint([path]) == {str(path): hashlib.sha256(path.read_bytes()).hexdigest()}


def test_an_unchanged_file_is_not_read_again_and_a_changed_one_is(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    cache: dict[str, str] = {}
    before = fingerprint([path], cache)
    cache = json.loads(json.dumps(cache))
    monkeypatch.setattr(module, "_sha256", lambda _: pytest.fail("read again"))
    assert fingerprint([path], cache) == before
    monkeypatch.undo()
    path.write_bytes(b"two")
    os.utime(path, ns=(0, 1))
    assert fingerprint([path], cache) != before


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone cannot be read: No such file"):
        fingerprint([tmp_path / "gone"])
