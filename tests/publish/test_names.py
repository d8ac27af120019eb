"""The TOML of names: what the user wrote is kept, or put aside, and never lost."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.errors import InputError
from taxoscape.publish.names import (
    HEAD,
    NameRow,
    edited_names,
    lost_in_rewriting,
    merge_names,
    names_text,
    parse_names,
    read_names,
    save_names,
)


def row(zone, name=None, *, proposed=None, **more):
    proposed = proposed or f"proposed {zone}"
    return NameRow(zone=zone, name=name or proposed, proposed=proposed, evidence="Because.", area_km2=1.5, **more)


LINE = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)


@given(names=st.lists(LINE, min_size=1, max_size=4), extra=st.dictionaries(LINE, st.integers(0, 9), max_size=2))
def test_what_is_written_is_read_again(names, extra):
    own = ("name", "proposed", "evidence", "area_km2")
    extra = {key: value for key, value in extra.items() if key not in own}
    rows = tuple(row(zone, name, extra=extra) for zone, name in enumerate(names, start=1))
    text = names_text(rows)
    assert parse_names(text) == rows
    assert text.startswith(HEAD)
    assert lost_in_rewriting(text, rows) == []


def test_an_edited_name_stays_with_its_zone_and_another_follows_the_proposal():
    old = (row(1, "Moor"), row(2), row(3, "Town"))
    new = merge_names(old, None, tuple(row(z, proposed=f"new {z}") for z in (1, 2, 3)))
    assert [r.name for r in new] == ["Moor", "new 2", "Town"]
    assert [r.proposed for r in new] == ["new 1", "new 2", "new 3"]


def test_names_go_with_their_zones_to_new_numbers_and_those_of_zones_that_are_gone_are_dropped():
    old = (row(1, "Moor", extra={"note": "wet"}), row(2, "Town"), row(3, "Lake"))
    new = merge_names(old, {1: 2, 3: 1}, (row(1), row(2)))
    assert [r.name for r in new] == ["Lake", "Moor"]
    assert new[1].extra == {"note": "wet"}
    assert lost_in_rewriting(names_text(old), new) == ["the name 'Town' of the former zone 2"]


def test_of_old_zones_that_became_one_the_lowest_edited_one_gives_its_name():
    old = (row(1), row(2, "Town"), row(3, "Lake"))
    assert merge_names(old, {1: 1, 2: 1, 3: 1}, (row(1),))[0].name == "Town"


def test_an_emptied_or_missing_name_is_the_proposed_one():
    text = '[zone.2]\nproposed = "dark"\n[zone.1]\nname = " "\nproposed = "bright"\n'
    assert [(r.zone, r.name, r.edited) for r in parse_names(text)] == [(1, "bright", False), (2, "dark", False)]
    assert parse_names("") == ()


def test_saving_twice_writes_once_and_edits_survive(tmp_path):
    path = tmp_path / "zones.toml"
    assert save_names(path, (row(1), row(2))) == []
    text = path.read_text().replace('name = "proposed 2"', 'name = "Moor"', 1)
    path.write_text(text)
    assert edited_names(path) == {"2": "Moor"}
    merged = merge_names(read_names(path), None, (row(1), row(2)))
    before = path.stat().st_mtime_ns
    assert save_names(path, merged) == []
    assert path.stat().st_mtime_ns == before
    assert save_names(path, merge_names(read_names(path), {2: 1}, (row(1), row(2)))) == []
    assert edited_names(path) == {"1": "Moor"}
    assert [p.name for p in tmp_path.iterdir()] == ["zones.toml"]


def test_what_cannot_be_kept_is_put_aside_and_no_copy_is_written_over(tmp_path):
    path = tmp_path / "zones.toml"
    first = 'author = "me"\n[zone.1]\nname = "Moor # 1"  # wet\nproposed = "x"\ncolour = "blue"\n'
    path.write_text(first)
    merged = merge_names(read_names(path), None, (row(1),))
    assert save_names(path, merged) == ["comments", "keys outside the zones"]
    assert (tmp_path / "zones.toml.bak").read_text() == first
    assert tomllib.loads(path.read_text())["zone"]["1"]["colour"] == "blue"
    assert read_names(path)[0].name == "Moor # 1"
    second = path.read_text()
    assert save_names(path, (row(1),)) == ["the name 'Moor # 1' of the former zone 1"]
    assert (tmp_path / "zones.toml.bak").read_text() == first
    assert (tmp_path / "zones.toml.bak2").read_text() == second
    path.write_text(names_text((row(1, extra={"note": "x"}),)))
    assert save_names(path, (row(1),)) == ["other keys of the former zone 1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[zone.1\nname = 3", "zones.toml is no valid TOML"),
        ("zone = 3", "'zone' holds no tables"),
        ('[zone.one]\nname = "x"', r"\[zone.one\] is no zone"),
        ('[zone.0]\nname = "x"', r"\[zone.0\] is no zone"),
        ("[zone.1]\nname = 3", r"name of \[zone.1\] is text"),
    ],
)
def test_a_bad_file_is_refused_and_left_as_it_is(tmp_path, text, message):
    path = tmp_path / "zones.toml"
    path.write_text(text)
    for action in (read_names, lambda p: save_names(p, (row(1),))):
        with pytest.raises(InputError, match=message) as error:
            action(path)
        assert "\n" not in str(error.value)
    assert path.read_text() == text
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "zones.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is no UTF-8 text"):
        read_names(tmp_path / "zones.toml")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_names(tmp_path / "folder")
    assert read_names(tmp_path / "none.toml") == ()
