"""The benchmark of the documentation: what its tables say, on made-up results, and one case of a tiny region."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import rasterio

HERE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def evidence(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import evidence

    yield evidence
    sys.modules.pop("evidence", None)


def method(name: str, nmi: float | None, **more: object) -> dict[str, object]:
    agreement = {"nmi": nmi, "ari": nmi, "purity": nmi}
    measures = {"seconds": 12.4, "map_patches": 7.0, "stability_ari": None, "map_join_share": 0.5}
    return {"name": name, "title": name.upper(), **agreement, **measures, "note": "", **more}


def rows() -> list[dict[str, object]]:
    def run(seed: int, *methods: dict[str, object]) -> dict[str, object]:
        about = {"case": "built-in", "seed": seed, "seconds": 100.0, "peak_gib": 1.0, "n_labelled_tiles": 9}
        return {**about, "methods": [*methods]}

    lost = method("untrained_tilenet", None, note="left out: tiles are small")
    return [
        run(1, method("refined", 0.9), method("means", 0.5), method("stats", 0.4), lost),
        run(2, method("refined", 0.7), method("means", 0.6), method("stats", 0.7), lost),
    ]


def test_methods_stand_by_their_mean_nmi_and_what_loses_is_told(evidence):
    lines = evidence.table(rows()).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| REFINED", "| MEANS", "| STATS", "| UNTRAINED_TILENET"]
    assert "| 0.800 |" in lines[2]
    assert lines[2].endswith("| 2 of 2 |")
    assert lines[4].endswith("| 1 of 2 |")
    assert "left out: tiles are small" in lines[5]
    assert "| – |" in lines[2]  # the stability that is not defined


def test_the_means_over_the_seeds_are_in_the_last_row(evidence):
    told = [{**row, "methods": [*row["methods"], method("geographic", 0.8)]} for row in rows()]
    assert evidence.by_seed(told).splitlines()[-1] == "| mean | **0.550** | **0.800** | **0.800** |"


def test_the_tables_go_between_the_marks_of_the_page(evidence, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{evidence.BEGIN}\nold\n{evidence.END}\nafter\n")
    evidence.write_docs(page, "new")
    assert page.read_text() == f"before\n{evidence.BEGIN}\nnew\n{evidence.END}\nafter\n"


def test_drawn_seeds_are_digits_of_the_sha256_of_the_commit(evidence, monkeypatch):
    monkeypatch.setattr(evidence, "commit", lambda: "abc")
    assert evidence.drawn_seeds(2) == [0xBA78, 0x16BF]  # sha256("abc") = ba7816bf…


def test_the_sentence_tells_what_wins_and_what_loses(evidence):
    told = evidence.verdict([{**row, "methods": [*row["methods"], method("geographic", 0.85)]} for row in rows()])
    assert told == (
        "The refined zones (NMI 0.800) lose to: GEOGRAPHIC (+0.050). They win over: MEANS (-0.250), STATS (-0.250)."
    )
    alone = evidence.verdict([{**rows()[0], "methods": [method("refined", 0.9)]}])
    assert alone == "The refined zones (NMI 0.900) lose to: nothing here. They win over: nothing here."


def test_paired_differences_have_an_interval_from_three_seeds_on(evidence):
    assert evidence.margin([0.1, 0.2]) == ""
    assert evidence.margin([0.1, 0.2, 0.3]) == " ± 0.248"  # 4.303 · 0.1 / √3


def test_where_the_zones_stand_between_plain_means_and_a_supervised_reference(evidence):
    told = [{**row, "auto_zones": 5, "methods": [*row["methods"], method("supervised", 0.95)]} for row in rows()]
    assert evidence.where_it_stands(told) == (
        "From K-means on tile means to the supervised reference, 63% of the way. Zones that auto picks: 5, 5."
    )
    assert "an unknown share of the way" in evidence.where_it_stands(rows())


def test_the_front_page_tells_of_real_imagery_too(evidence):
    told = evidence.short([*rows(), {**rows()[0], "case": "lombardy"}])
    assert told.startswith("| seed | tile means |")
    line = "| Lombardy: MODIS NDVI, 9 labelled tiles of 8 px, 8 groups of land cover | 0.500 | – | – | 0.900 |"
    assert told.splitlines()[-1] == line


def test_a_method_that_is_not_defined_on_a_seed_has_no_mean(evidence):
    half = [rows()[0], {**rows()[1], "methods": [method("refined", 0.7), method("means", None)]}]
    assert evidence.by_seed(half).splitlines()[-1] == "| mean | **–** | **–** | **0.800** |"
    assert "MEANS (-0.400)" in evidence.verdict(half)  # on the one seed that has both


def test_a_case_gives_every_method_its_measures(evidence):
    found = evidence.run_case("built-in", 1, size=300, more=("--triplets", "100", "--epochs", "1"))
    methods = {row["name"]: row for row in found["methods"]}
    assert {"geographic", "refined", "means", "stats", "rcf", "pixels"} < set(methods)
    assert all(0 <= methods[name]["nmi"] <= 1 for name in ("geographic", "refined", "means", "stats", "rcf"))
    assert 30 <= found["n_labelled_tiles"] <= 36  # some lie across borders
    assert {"means_learned", "stats_learned", "means_tied", "refined_kmeans", "refined_alone"} < set(methods)
    assert methods["supervised"]["nmi"] > methods["means"]["nmi"]
    assert found["auto_zones"] >= 2
    assert found["seconds"] > 0
    assert 0 < found["peak_gib"] < 8
    assert "| Tile means |" in evidence.table([found])


def test_under_clouds_the_scenes_have_gaps_and_zones_are_scored_all_the_same(evidence, tmp_path):
    options = ("--triplets", "100", "--epochs", "1")
    found = evidence.run_case("clouds", 1, size=300, more=options, baselines=False, keep=tmp_path)
    missing = []
    for path in (tmp_path / "clouds-1" / "scenes").glob("*.tif"):
        with rasterio.open(path) as scene:
            missing.append(float((scene.read_masks(1) == 0).mean()))
    assert len(missing) == 8
    assert 0.1 < sum(missing) / 8 < 0.5
    assert max(missing) - min(missing) > 0.1
    methods = {row["name"]: row for row in found["methods"]}
    assert {"geographic", "refined", "means", "means_tied", "supervised"} <= set(methods)
    assert "rcf" not in methods
    assert 0 <= methods["refined"]["nmi"] <= 1


def test_clouds_are_no_real_imagery_on_the_front_page(evidence):
    told = evidence.short([*rows(), {**rows()[0], "case": "clouds"}])
    assert told == evidence.short(rows())
