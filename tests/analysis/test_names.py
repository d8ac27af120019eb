"""Proposed names: they say what the numbers show, no more, and differ from each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taxoscape.analysis.cards import LayerFacts, zone_cards
from taxoscape.analysis.names import propose_name, propose_names
from taxoscape.analysis.season import greenness
from tests.analysis.test_cards import BANDS, DATES, made
from tests.builders import a_grid

YEAR = np.datetime64("2020-01-15", "ns") + (np.arange(6) * 61).astype("timedelta64[D]")


def plain_card(**more):
    means = np.ones((4, 6, 3), np.float32)
    card = zone_cards(means, means, YEAR, ("B02", "B03", "B04"), np.ones(4, int), a_grid(1, 4))[0]
    return replace(card, **more)


def with_ndvi(values, **more):
    values = np.array(values, dtype=float)
    card = plain_card(**more)
    return replace(
        card, ndvi=card.curves[0], greenness=greenness(values, YEAR[: len(values)]), dates=YEAR[: len(values)]
    )


def name(card):
    return propose_name(card, [card]).name


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (plain_card(), "like the region on average"),
        (plain_card(brightness_z=-0.7, texture_z=1.4), "dark, very rough"),
        (plain_card(tints=(("red", -1.0), ("green", 1.4), ("blue", 0.2)), texture_z=-0.6), "green-tinted, smooth"),
        (plain_card(tints=(("red", 1.1), ("green", -1.4), ("blue", 1.2))), "little green"),
        (plain_card(tints=(("red", -1.8), ("green", 1.6), ("blue", 1.6)), brightness_z=-1.5), "very dark, little red"),
        (plain_card(tints=(("red", 0.6), ("green", -0.8), ("blue", 0.2))), "like the region on average"),
        (plain_card(tints=(("red", -1.2), ("green", -1.1), ("blue", 1.2))), "blue-tinted"),
        (plain_card(seasonality_z=0.9), "changing much over the year"),
        (with_ndvi([0.6, 0.7, 0.8, 0.8, 0.7, 0.6], brightness_z=0.6), "green all year, bright"),
        (with_ndvi([0.6, 0.7]), "green on all dates"), (with_ndvi([0.6]), "green"),
        (with_ndvi([0.1, 0.05, 0.1, 0.12, 0.1, 0.1]), "hardly any green"),
        (with_ndvi([0.2, 0.3, 0.8, 0.5, 0.2, 0.2], ndvi_z=0.7),
         "strongly seasonal, greenest in May, greener than average"),
        (with_ndvi([0.2, 0.3, 0.45, 0.3, 0.2, 0.2]), "seasonal, greenest in May"),
        (with_ndvi([0.3, 0.8, 0.3]), "greenest in March"),
        (with_ndvi([0.1, 0.2, 0.25, 0.2, 0.2, 0.2]), "sparse green"),
        (plain_card(n_tiles=0), "no tiles"),
    ],
)  # fmt: skip
def test_a_name_says_what_the_card_shows(card, expected):
    assert name(card) == expected


def test_layers_give_words_and_evidence():
    high = LayerFacts(name="elevation", n_tiles=4, unit="m", mean=1240.0, low=900.0, high=1500.0, z=1.0)
    wood = LayerFacts(name="cover", n_tiles=4, classes=(("forest", 0.8, 0.3), ("fields", 0.2, 0.6)))
    proposed = propose_name(plain_card(layers=(high, wood)), [plain_card(layers=(high, wood))])
    assert proposed.name == "high elevation (1\u202f240 m), mostly forest (cover)"
    assert "Elevation 1\u202f240 m on average, 10 to 90 % of its tiles 900 to 1\u202f500 m (+1.0)" in proposed.evidence
    assert "cover: forest 80 % of its tiles (region 30 %), fields 20 % of its tiles (region 60 %)" in proposed.evidence
    everywhere = replace(wood, classes=(("forest", 0.8, 0.75),))
    assert name(plain_card(layers=(everywhere, replace(high, z=0.3)))) == "like the region on average"
    nothing = plain_card(layers=(LayerFacts(name="cover", n_tiles=0),))
    assert propose_name(nothing, [nothing]).evidence == "Cover: no data."


def test_with_colours_alone_nothing_is_said_of_vegetation():
    means, deviations, labels, grid = made(bands=("B02", "B03", "B04"))
    for proposal in propose_names(zone_cards(means, deviations, DATES, ("B02", "B03", "B04"), labels, grid)):
        assert not {"NDVI", "season", "greenest", "evergreen"} & set(proposal.evidence.split())
        assert "all year" not in proposal.name


def test_an_ndvi_in_whole_numbers_gets_no_words_of_level():
    card = plain_card()
    season = greenness(np.array([6000.0, 6500, 8000, 7000, 6000, 6000]), YEAR, unit=8000)
    assert name(replace(card, ndvi=card.curves[0], greenness=season)) == "greenest in May"


@given(seed=st.integers(0, 300))
@settings(max_examples=25)
def test_names_are_unique_and_evidence_is_one_sentence_of_one_line(seed):
    means, deviations, labels, grid = made(seed)
    cards = zone_cards(means, deviations, DATES, BANDS, labels, grid)
    proposed = propose_names(cards)
    assert [p.zone for p in proposed] == [c.zone for c in cards]
    assert len({p.name for p in proposed}) == len(proposed)
    assert all(p.evidence.endswith(".") and "\n" not in p.evidence and "nan" not in p.evidence for p in proposed)
    assert proposed[0] == propose_name(cards[0], cards)


def test_what_is_true_of_all_zones_is_in_no_name():
    cards = [replace(plain_card(), zone=z, brightness_z=1.0, texture_z=t) for z, t in ((1, 0.8), (2, -0.8), (3, 0.1))]
    assert [p.name for p in propose_names(cards)] == ["rough", "smooth", "like the region on average"]
    assert propose_names(cards[:1])[0].name == "bright, rough"  # nothing to compare with


def test_zones_with_the_same_words_are_told_by_the_trait_that_sets_them_farthest_apart():
    cards = [replace(plain_card(), zone=z, texture_z=t, brightness_z=0.1 * z) for z, t in ((1, 0.4), (2, -0.4), (3, 0))]
    same = "like the region on average"
    assert [p.name for p in propose_names(cards[:2])] == [
        f"{same}, rougher than the other",
        f"{same}, smoother than the other",
    ]
    assert [p.name for p in propose_names(cards)] == [
        f"{same}, rougher than the others",
        f"{same}, smoother than the others",
        same,
    ]


def test_zones_with_the_same_words_and_numbers_are_numbered():
    cards = [plain_card(), replace(plain_card(), zone=2)]
    assert [p.name for p in propose_names(cards)] == [
        "like the region on average (1)",
        "like the region on average (2)",
    ]
    assert propose_names(cards)[0].evidence == "Nothing to compare: the region is the same everywhere."
    assert propose_names([]) == ()
