"""The report: everything in it, nothing outside it, everything escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from taxoscape.publish.report import ReportContext, ReportFigure, ReportInput, TruthScore, render_report, write_report
from taxoscape.publish.wording import METRICS, duration, metric_lines, number

EVIL = "<script>alert('x')</script>\"&'><img src=http://x.example/y onerror=z>"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "rect", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_a_network_that_is_not_the_papers_is_told(context):
    assert "another loss than the paper" not in render_report(context)
    assert "another loss than the paper" in render_report(replace(context, as_in_paper=False))


@pytest.fixture
def context(tmp_path, make, grid, labels):
    (tmp_path / "a.png").write_bytes(PNG)
    return ReportContext(
        title="Zones of Nordspanien",
        summary=("77 tiles of 1 km².", "They fall into 4 zones."),
        facts=(("77 km²", "area"),),
        zones=make.table(grid, labels, ["Wiese", EVIL, "Zone 3", "Äcker"]),
        figures=(ReportFigure(path=tmp_path / "a.png", title="The map", caption="What one sees.", alt="A map"),),
        metrics={"silhouette_flat": 0.2788, "silhouette_flat_geographic": 0.21, "map_patches": 31, "n_tiles": 77},
        truth=(TruthScore(partition="P^c", nmi=0.81, ari=0.7, purity=0.88),),
        truth_note="77 tiles scored.",
        warnings=("12 tiles have no data",),
        notes=("refinement moved 3 % of tiles",),
        settings={"grid": {"tile_size": 10, "stride": None, "rgb": ("B04", "B03")}},
        versions={"numpy": "2.4"},
        inputs=(ReportInput(file="scene_20200105.tif", date="2020-01-05", note="clouds"),),
        durations={"encode": 75.0},
        files=(("zones.tif", "the map"),),
        command="taxoscape run run.toml",
    )


def changed(context, **values):
    return ReportContext(**{**{n: getattr(context, n) for n in context.__slots__}, **values})


def test_everything_given_is_on_the_page(context):
    text = Page(render_report(context)).text
    for words in (
        "Zones of Nordspanien", "They fall into 4 zones.", "77 km²", "Wiese", "What one sees.", "0.2788", "0.2100",
        "31", "0.810", "77 tiles scored.", "12 tiles have no data", "refinement moved 3 % of tiles", "tile_size",
        "B04, B03",
        "numpy", "scene_20200105.tif", "2020-01-05", "clouds", "1 min 15 s", "zones.tif", "taxoscape run run.toml",
    ):  # fmt: skip
        assert words in text, words


def test_each_distance_based_metric_names_its_distance(context):
    for name, text in METRICS.items():
        if "silhouette" in name or "inertia" in name or "calinski" in name:
            assert text.distance, name
            page = Page(render_report(changed(context, metrics={name: 0.5}))).text
            assert text.distance in page
            assert text.meaning in page


def test_each_picture_is_embedded_with_its_alternative_text(context):
    images = [attrs for tag, attrs in Page(render_report(context)).tags if tag == "img"]
    assert [image["alt"] for image in images] == ["A map"]
    head, _, body = images[0]["src"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == PNG


def test_the_page_runs_nothing_and_asks_for_nothing(context):
    html = render_report(context)
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on") or name == "style"]
        for name in ("src", "href"):
            assert attrs.get(name, "#").startswith(("#", "data:image/png")), (tag, attrs)
    assert "url(" not in html
    assert "@import" not in html


def test_the_policy_names_the_hash_of_the_style_and_forbids_the_rest(context):
    html = render_report(context)
    style = re.search(r"<style>(.*)</style>", html, re.DOTALL).group(1)
    policy = next(a["content"] for t, a in Page(html).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in policy


def test_every_text_from_outside_is_escaped(context, tmp_path):
    evil = ReportContext(
        title=EVIL, summary=(EVIL,), facts=((EVIL, EVIL),), zones=context.zones,
        figures=(ReportFigure(path=tmp_path / "a.png", title=EVIL, caption=EVIL, alt=EVIL),), metrics={EVIL: 1.5},
        truth=(TruthScore(partition=EVIL, nmi=0, ari=0, purity=0),), truth_note=EVIL, warnings=(EVIL,), notes=(EVIL,),
        settings={EVIL: {EVIL: EVIL}}, versions={EVIL: EVIL}, inputs=(ReportInput(file=EVIL, date=EVIL, note=EVIL),),
        durations={EVIL: 1.0}, files=((EVIL, EVIL),), command=EVIL,
    )  # fmt: skip
    html = render_report(evil)
    page = Page(html)
    assert page.open == []
    assert not [tag for tag, attrs in page.tags if tag == "script" or "onerror" in attrs]
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 1
    assert page.text.count("<script>alert('x')</script>") >= 20


def test_an_almost_empty_report_is_a_whole_page():
    page = Page(render_report(ReportContext(title="Nothing yet")))
    assert page.open == []
    assert "Nothing yet" in page.text
    assert "The zones" not in page.text
    assert "How well it holds" not in page.text


def test_300_zones_fit_into_the_table(make):
    grid = make.grid(n_rows=20, n_cols=30)
    labels = (np.arange(600) % 300 + 1).astype(np.uint16)
    page = Page(render_report(ReportContext(title="many", zones=make.table(grid, labels))))
    assert len([tag for tag, _ in page.tags if tag == "tr"]) == 301


def test_zones_without_tiles_are_not_listed(make, grid, labels, context):
    assert "Zone 9" not in Page(render_report(changed(context, zones=()))).text


def test_the_same_context_gives_the_same_bytes(context, tmp_path):
    for name in ("a.html", "b.html"):
        write_report(tmp_path / name, context)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_metrics_are_paired_with_their_twins_and_known_ones_come_first():
    lines = metric_lines({"zeta": 1.0, "map_patches": 3, "inertia_mean_geographic": 2.0})
    assert [(line.name, line.value, line.geographic) for line in lines] == [
        ("inertia_mean", "", "2"), ("map_patches", "3", ""), ("zeta", "1", ""),
    ]  # fmt: skip


def test_numbers_and_spans_of_time_read_well():
    assert [number(v) for v in (None, float("inf"), -0.0312, 1e6, 12.3456)] == [
        "–",
        "–",
        "−0.0312",
        "1\u202f000\u202f000",
        "12.35",
    ]
    assert [duration(v) for v in (0.0, 59.9, 3599.9, 7200)] == ["0.0 s", "1 min 00 s", "1 h 00 min", "2 h 00 min"]
