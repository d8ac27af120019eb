import os
from pathlib import Path

import numpy as np
import pytest

from taxoscape.cube.fingerprint import fingerprint
from taxoscape.cube.open import open_cube
from taxoscape.cube.plan import plan_cube, plan_to_json
from taxoscape.cube.pointer import read_pointer, write_pointer
from taxoscape.errors import InputError


@pytest.fixture
def scene(tmp_path: Path, write) -> Path:
    return write(tmp_path / "2020-01-01.tif", np.arange(12, dtype="uint8").reshape(3, 4))


@pytest.fixture
def pointer(scene: Path) -> Path:
    path = scene.with_name("cube.json")
    write_pointer(path, plan_cube(scene), fingerprint([scene]))
    return path


def touch(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))


def test_a_pointer_gives_back_the_plan(scene: Path, pointer: Path) -> None:
    assert read_pointer(pointer) == plan_cube(scene)


def test_a_scene_that_is_gone_is_refused_by_name(scene: Path, pointer: Path) -> None:
    scene.unlink()
    for opened in (read_pointer, open_cube):
        with pytest.raises(InputError, match=r"01-01\.tif is gone, .*taxoscape run .*run\.toml --overwrite"):
            opened(pointer)


@pytest.mark.parametrize("shape", [(3, 4), (3, 5)])
def test_a_scene_that_was_changed_is_refused_by_name(scene: Path, pointer: Path, write, shape) -> None:
    write(scene, np.zeros(shape, "uint8"))
    touch(scene)
    with pytest.raises(
        InputError, match=r"01-01\.tif, which .*cube\.json reads in place, was changed since: .* --overwrite"
    ):
        read_pointer(pointer)


def test_a_scene_that_was_touched_passes_only_where_its_content_is_known(scene: Path, pointer: Path) -> None:
    unknown = scene.with_name("unknown.json")
    write_pointer(unknown, plan_cube(scene))
    read_pointer(unknown)
    touch(scene)
    assert read_pointer(pointer) == plan_cube(scene)
    with pytest.raises(InputError, match="was changed"):
        read_pointer(unknown)


def test_a_plan_without_the_state_of_its_files_is_a_pointer(scene: Path) -> None:
    path = scene.with_name("plain.json")
    path.write_text(plan_to_json(plan_cube(scene)))
    assert read_pointer(path) == plan_cube(scene)
