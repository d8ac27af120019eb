"""The report: one HTML file with everything in it, that opens without a network and runs nothing.

Pictures are embedded, the style is inline and named by its hash in a content security policy that forbids the rest:
no script, no font, no request. Every text is escaped, since names of zones, files and bands come from outside.

The page says first what was found, then shows it, then says how well it holds, and last how it was made.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from taxoscape.files import write_text
from taxoscape.publish import canvas, wording
from taxoscape.publish.table import ZoneRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTable:
    """A table of the report, below a picture or in place of one."""

    head: Sequence[str]
    """Names of the columns."""
    rows: Sequence[Sequence[str]]
    """Cells as they are shown; the first of a row names it."""
    text: Sequence[int] = (0,)
    """Columns that hold text; the others are numbers, set to the right."""
    note: str = ""
    """What the columns mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFigure:
    """A part of the report: a picture, a table, or both."""

    path: str | os.PathLike[str] | None
    """The PNG, which is embedded; None: no picture."""
    title: str
    """Heading above it."""
    caption: str
    """What one sees and how to read it."""
    alt: str = ""
    """What it shows, for who cannot see it."""
    table: ReportTable | None = None
    """Numbers that belong to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInput:
    """A file that the run was made from."""

    file: str
    """Its name."""
    date: str
    """The date it was taken for, ISO."""
    note: str = ""
    """Anything to say about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthScore:
    """Agreement of one partition with a known truth."""

    partition: str
    """Which partition: ``Refined zones (P^c)``, ``K-means on tile mean colours``."""
    nmi: float
    """Normalised mutual information, 0…1."""
    ari: float
    """Adjusted Rand index, at most 1."""
    purity: float
    """Share of tiles whose label is the commonest of their zone, 0…1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContext:
    """All that a report says. Every number comes from outside; the report computes nothing."""

    title: str
    """Heading of the page."""
    summary: Sequence[str] = ()
    """Sentences that say what was found: area, tiles, dates, zones."""
    encoder: str = "an encoder that learnt, without labels, that near places are alike"
    """What turned tiles into numbers, as a part of a sentence."""
    carries_statistics: bool = False
    """Whether the mean and the deviation of each band stand beside what the encoder has learnt."""
    learned_metric: bool = False
    """Whether the zones were made in a metric that was learned with them."""
    as_in_paper: bool = True
    """False: the network and the loss are others than the paper's, and the report says so."""
    facts: Sequence[tuple[str, str]] = ()
    """A few numbers in large type, as (value, what it is): ``("48 400 km²", "area")``."""
    zones: Sequence[ZoneRow] = ()
    """The table of zones."""
    figures: Sequence[ReportFigure] = ()
    """Pictures in reading order; the table of zones follows the first one."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """As in ``metrics.json``; names that end in ``_geographic`` become the column of the first zones."""
    truth: Sequence[TruthScore] = ()
    """Scores against a known truth, where there is one."""
    truth_note: str = ""
    """Which truth, how many tiles were scored."""
    warnings: Sequence[str] = ()
    """What a reader must know before trusting the map."""
    notes: Sequence[str] = ()
    """What a reader may want to know."""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings by section."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Version by program."""
    inputs: Sequence[ReportInput] = ()
    """Files that the run was made from."""
    durations: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage."""
    files: Sequence[tuple[str, str]] = ()
    """Result files beside the report, as (name, what it is)."""
    command: str = ""
    """The command that repeats the run."""


def write_report(path: str | os.PathLike[str], context: ReportContext) -> None:
    """Write the report.

    Parameters
    ----------
    path
        The ``.html``.
    context
        What it says.

    Notes
    -----
    As large as its pictures times 4/3. The same context and pictures give the same bytes.
    """
    write_text(Path(path), render_report(context))


def render_report(context: ReportContext) -> str:
    """Return the report as HTML."""
    from jinja2 import Environment, StrictUndefined

    templates = files("taxoscape") / "publish" / "templates"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": wording.number, "duration": wording.duration, "share": canvas.share_text}
    style = (templates / "report.css").read_text(encoding="utf-8")
    present = [row for row in context.zones if row.n_tiles]
    largest = max((row.area_km2 for row in present), default=0.0)
    lines = wording.metric_lines(context.metrics)
    page = environment.from_string((templates / "report.html.j2").read_text(encoding="utf-8"))
    return page.render(
        c=context,
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        figures=[(figure, _embedded(figure.path)) for figure in context.figures],
        zones=present,
        areas={row.zone: canvas.area_text(row.area_km2, largest) for row in present},
        widest=max((row.share for row in present), default=1.0) or 1.0,
        metrics=[line for line in lines if line.name not in ("n_tiles", "n_dates", "n_clusters")],
        has_geographic=any(line.geographic for line in lines),
        best_nmi=max((score.nmi for score in context.truth), default=0.0),
        settings={name: {k: _plain(v) for k, v in values.items()} for name, values in context.settings.items()},
        total_seconds=sum(context.durations.values()),
    )


def _embedded(path: str | os.PathLike[str] | None) -> str:
    if path is None:
        return ""
    return "data:image/png;base64," + base64.b64encode(Path(path).read_bytes()).decode()


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(v) for v in value) or "–"
    return str(value) or "–"
