"""What is known of the zones as tables and as a graph, for other programs, under the names that they have now."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.analysis.cards import ZoneCard
from taxoscape.analysis.graph import to_graphml, to_json
from taxoscape.files import write_text

if TYPE_CHECKING:
    from taxoscape.publish.table import ZoneRow
    from taxoscape.run.reading import Reading

TABLES = ("cards.csv", "curves.csv", "graph.graphml", "graph.json")
"""The files."""


def write_tables(reading: Reading, table: Sequence[ZoneRow]) -> None:
    """Write the cards of the zones, their curves over the dates, and the semantic graph."""
    folder = reading.folder
    names = [row.name for row in table]
    palette = np.array([row.colour for row in table], dtype=np.uint8)
    evidence = {row["zone"]: row["evidence"] for row in reading.found["names"]}
    cards = [card_row(card, row, evidence.get(card.zone, "")) for card, row in zip(reading.cards, table, strict=True)]
    write_text(folder / "cards.csv", csv_text(cards))
    write_text(folder / "curves.csv", csv_text([row for card in reading.cards for row in curve_rows(card)]))
    write_text(folder / "graph.graphml", to_graphml(reading.graph, names, palette))
    write_text(folder / "graph.json", to_json(reading.graph, names, palette))


def card_row(card: ZoneCard, row: ZoneRow, evidence: str) -> dict[str, Any]:
    """Return the card of a zone as a row of a table."""
    season = card.greenness
    known = {"mean": math.nan, "amplitude": math.nan, "season_days": math.nan}
    known = known if season is None else {name: getattr(season, name) for name in known}
    peak = "" if season is None or season.peak is None else str(season.peak)[:10]
    numbers = {
        f"{f.name}_{key}": getattr(f, key) for f in card.layers if not f.classes for key in ("mean", "low", "high")
    }
    classes = {f"{f.name}_class": f.classes[0][0] for f in card.layers if f.classes}
    return {
        "zone": card.zone, "name": row.name, "tiles": card.n_tiles, "area_km2": row.area_km2,
        "brightness": card.brightness, "brightness_z": card.brightness_z,
        "texture": card.texture, "texture_z": card.texture_z,
        "seasonality": card.seasonality, "seasonality_z": card.seasonality_z, "ndvi_z": card.ndvi_z,
        **{f"ndvi_{name}": value for name, value in known.items()}, "ndvi_peak": peak,
        **numbers, **classes, "evidence": evidence,
    }  # fmt: skip


def curve_rows(card: ZoneCard) -> list[dict[str, Any]]:
    """Return the curves of a zone, a row for each date and band, and for the NDVI where it is known."""
    curves = dict(zip(card.bands, card.curves, strict=True))
    if card.ndvi is not None and "NDVI" not in curves:
        curves["NDVI"] = card.ndvi
    return [
        {"zone": card.zone, "date": str(date)[:10], "band": band, "mean": float(curve.mean[t]),
         "low": float(curve.low[t]), "high": float(curve.high[t])}
        for band, curve in curves.items() for t, date in enumerate(card.dates)
    ]  # fmt: skip


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: NaN and infinities become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV: a column for every key of any row, in the order of their appearance; NaN is empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if value is None or value != value else value for key, value in plain(row).items()})
    return text.getvalue()
