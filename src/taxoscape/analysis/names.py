"""A plain name for each zone, proposed from its card, with the numbers that it rests on.

A name says only what the numbers show. Words of degree (bright, rough, high) compare a zone with its own region: half a
standard deviation of the region's tiles earns the word, one and a quarter a "very". Words about green need an NDVI,
words about the year need dates over most of it. Nothing is called forest, field or town unless a layer of the user's
says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from taxoscape.analysis.cards import LayerFacts, ZoneCard
from taxoscape.analysis.season import LEAST_DATES

SOME, MUCH = 0.5, 1.25
"""Standard deviations of the region's tiles that earn a word, and a "very"."""
MOST_WORDS = 4
"""Traits that a name joins."""
STRONG_SEASON, SOME_SEASON = 0.35, 0.2
"""Rise of the NDVI over the dates that makes a zone strongly seasonal, and seasonal."""
GREEN, BARE = 0.5, 0.15
"""NDVI above which a zone is called green on a date, and below which it has hardly any."""
APART = 0.2
"""Standard deviations of the region's tiles from which one of several zones of the same name is told by a trait."""
COMPARED = (
    ("ndvi_z", "greener", "less green"), ("brightness_z", "brighter", "darker"), ("texture_z", "rougher", "smoother"),
    ("seasonality_z", "changing more", "changing less"),
)  # fmt: skip
"""Traits by which zones of the same name are told apart: score, and words above and below."""
MOSTLY = 0.6
"""Share of a zone's tiles from which a class of a layer names it."""
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedName:
    """A name for a zone, and why."""

    zone: int
    """Label, 1…K."""
    name: str
    """Plain words, different for each zone."""
    evidence: str
    """The numbers behind it, in one sentence."""


def propose_names(cards: Sequence[ZoneCard]) -> tuple[ProposedName, ...]:
    """Propose a name for each zone.

    What is true of all zones is left out. Of zones that would get the same name, the two that lie farthest apart in a
    trait are told by it, and those that are still alike are numbered in their order.

    Parameters
    ----------
    cards
        The cards of all zones of a region.
    """
    traits = [_traits(card, _year(cards)) for card in cards]
    present = [set(words) for card, words in zip(cards, traits, strict=True) if card.n_tiles]
    shared = set.intersection(*present) if len(present) > 1 else set()
    own = [[word for word in words if word not in shared][:MOST_WORDS] for words in traits]
    plain_names = [
        ", ".join(words) or ("like the region on average" if card.n_tiles else "no tiles")
        for card, words in zip(cards, own, strict=True)
    ]
    names = _told_apart(plain_names, cards)
    times, seen = Counter(names), Counter[str]()
    proposed = []
    for card, name in zip(cards, names, strict=True):
        seen[name] += 1
        unique = f"{name} ({seen[name]})" if times[name] > 1 else name
        proposed.append(ProposedName(zone=card.zone, name=unique, evidence=evidence(card)))
    return tuple(proposed)


def propose_name(card: ZoneCard, cards: Sequence[ZoneCard]) -> ProposedName:
    """Propose the name of one zone among all of them, as `propose_names` does."""
    return next(proposal for proposal in propose_names(cards) if proposal.zone == card.zone)


def evidence(card: ZoneCard) -> str:
    """Return the numbers behind the name of a zone in one sentence."""
    if not card.n_tiles:
        return "The zone has no tiles."
    facts, tints = [_ndvi_evidence(card)], card.tints if card.ndvi is None else ()
    scores = [
        f"{name} {_signed(value)}"
        for name, value in (
            ("NDVI", card.ndvi_z), ("brightness", card.brightness_z), ("texture", card.texture_z),
            ("change over the dates", card.seasonality_z), *((f"share of {name}", value) for name, value in tints),
        )
        if np.isfinite(value)
    ]  # fmt: skip
    if scores:
        facts.append(f"{', '.join(scores)} (standard deviations of the region's tiles from their mean)")
    facts += [_layer_evidence(facts_of) for facts_of in card.layers]
    text = "; ".join(fact for fact in facts if fact)
    return f"{text[0].upper()}{text[1:]}." if text else "Nothing to compare: the region is the same everywhere."


def _traits(card: ZoneCard, year: str) -> list[str]:
    """Return the traits of a zone in the order: green and season, layers, light, tint, texture; none without tiles."""
    if not card.n_tiles:
        return []
    greener = _degree(card.ndvi_z, "greener than average", "less green than average", much="much")
    green = [word for word in (_green_word(card, year), greener) if word]
    span = "over the year" if year == "all year" else "between dates"
    layers = [word for word in map(_layer_word, card.layers) if word][:2]
    light = [
        word
        for word in (
            "" if green else _degree(card.seasonality_z, f"changing much {span}", f"changing little {span}", much=""),
            _degree(card.brightness_z, "bright", "dark"),
            "" if green else _tint_word(card),
            _degree(card.texture_z, "rough", "smooth"),
        )
        if word
    ]
    return [*green, *layers, *light]


def _told_apart(names: Sequence[str], cards: Sequence[ZoneCard]) -> list[str]:
    """Add to the first and the last of the zones of one name, in the trait that sets them farthest apart, its words."""
    told = list(names)
    for name, count in Counter(names).items():
        among = [index for index, other in enumerate(names) if other == name and cards[index].n_tiles]
        if count < 2 or len(among) < 2:
            continue
        scores = {trait: [getattr(cards[index], trait) for index in among] for trait, _, _ in COMPARED}
        apart = {trait: max(values) - min(values) for trait, values in scores.items() if np.isfinite(values).all()}
        trait = max(apart, key=lambda trait: apart[trait], default=None)
        if trait is None or apart[trait] < APART:
            continue
        above, below = next(words for known, *words in COMPARED if known == trait)
        rest = "the other" if len(among) == 2 else "the others"
        told[among[int(np.argmax(scores[trait]))]] += f", {above} than {rest}"
        told[among[int(np.argmin(scores[trait]))]] += f", {below} than {rest}"
    return told


def _green_word(card: ZoneCard, year: str) -> str:
    """Return what the NDVI says of a zone, or an empty text."""
    season = card.greenness
    if season is None:
        return ""
    absolute = season.lowest >= -1.05 and season.highest <= 1.05
    if absolute and season.highest < BARE:
        return "hardly any green"
    if absolute and season.lowest >= GREEN:
        return f"green {year}" if season.n_dates > 1 else "green"
    if season.peak is None:
        return ""
    month = MONTHS[int(season.peak.astype("datetime64[M]").astype(int)) % 12]
    if season.n_dates < LEAST_DATES or not absolute:
        return f"greenest in {month}"
    if season.amplitude < SOME_SEASON:
        return "green changing little" if season.mean >= GREEN else "sparse green" if season.mean < 0.3 else ""
    return f"{'strongly ' if season.amplitude >= STRONG_SEASON else ''}seasonal, greenest in {month}"


def _layer_word(facts: LayerFacts) -> str:
    """Return what a layer says of a zone, or an empty text."""
    if facts.classes:
        name, share, everywhere = facts.classes[0]
        return f"mostly {name} ({facts.name})" if share >= MOSTLY and share > 1.25 * everywhere else ""
    word = _degree(facts.z, f"high {facts.name}", f"low {facts.name}")
    return f"{word} ({plain(facts.mean)}{f' {facts.unit}' if facts.unit else ''})" if word else ""


def _tint_word(card: ZoneCard) -> str:
    """Return the colour of which a zone has much more or much less than its region, or an empty text."""
    known = sorted(((score, name) for name, score in card.tints if np.isfinite(score)), reverse=True)
    if len(known) < 2:
        return ""
    (most, colour), (next_most, _), (next_least, _), (least, lacking) = known[0], known[1], known[-2], known[-1]
    if most >= 2 * SOME and most - next_most >= SOME:
        return f"{colour}-tinted"
    return f"little {lacking}" if least <= -2 * SOME and next_least - least >= SOME else ""


def _degree(score: float, above: str, below: str, *, much: str = "very") -> str:
    """Return the word for a score above or below the region's mean, or an empty text near it."""
    if not np.isfinite(score) or abs(score) < SOME:
        return ""
    return f"{much} {above if score > 0 else below}".strip() if abs(score) >= MUCH else above if score > 0 else below


def _year(cards: Sequence[ZoneCard]) -> str:
    """Return "all year" where dates leave no gap of more than four months in the circle of the year."""
    dates = cards[0].dates.astype("datetime64[D]") if cards else np.empty(0, "datetime64[D]")
    if not len(dates):
        return "on all dates"
    days = np.unique((dates - dates.astype("datetime64[Y]").astype("datetime64[D]")).astype(int))
    gaps = np.diff([*days.tolist(), int(days[0]) + 365])
    return "all year" if gaps.max() <= 125 else "on all dates"


def _ndvi_evidence(card: ZoneCard) -> str:
    season = card.greenness
    if season is None:
        return "" if card.ndvi is None else "no date has data for the NDVI"
    if season.n_dates == 1:
        return f"NDVI {plain(season.mean)} on the one date with data"
    text = f"mean NDVI from {plain(season.lowest)} to {plain(season.highest)} over {season.n_dates} dates"
    if season.peak is not None:
        day = season.peak.astype("datetime64[D]").item()
        text += f", highest on {day.day} {MONTHS[day.month - 1]} {day.year}"
    if np.isfinite(season.season_days):
        text += f", above half of its rise for about {season.season_days:.0f} days"
    return text


def _layer_evidence(facts: LayerFacts) -> str:
    if not facts.n_tiles:
        return f"{facts.name}: no data"
    if facts.classes:
        top = facts.classes[:3]
        parts = [f"{name} {_percent(share)} of its tiles (region {_percent(mean)})" for name, share, mean in top]
        return f"{facts.name}: {', '.join(parts)}"
    unit = f" {facts.unit}" if facts.unit else ""
    return f"{facts.name} {plain(facts.mean)}{unit} on average, 10 to 90 % of its tiles {plain(facts.low)} to " + (
        f"{plain(facts.high)}{unit} ({_signed(facts.z)})" if np.isfinite(facts.z) else f"{plain(facts.high)}{unit}"
    )


def plain(value: float) -> str:
    """Return a number for people: three digits, thin spaces between thousands.

    Examples
    --------
    >>> plain(1239.7), plain(0.31234), plain(-12.34), plain(0.0), plain(float("nan"))
    ('1\u202f240', '0.31', '−12.3', '0', '–')
    """
    if not np.isfinite(value):
        return "–"
    digits = 2 if abs(value) < 1 else 3
    rounded = float(f"{value:.{digits}g}") if abs(value) < 10_000 else float(round(value))
    text = f"{rounded:,.10g}" if abs(rounded) >= 1e-4 else f"{rounded:g}"
    return text.replace(",", "\u202f").replace("-", "−")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")
