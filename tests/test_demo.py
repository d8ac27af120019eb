from __future__ import annotations

import json
from dataclasses import replace

from taxoscape import demo
from taxoscape.cli import run_command
from taxoscape.run.folder import RunFolder
from taxoscape.run.pipeline import status


def test_the_demo_scores_itself_and_can_be_run_again(tmp_path, capsys, monkeypatch):
    def hasty(request, out):
        return prepare(replace(request, explicit={**request.explicit, "encoder": {"triplets": 300}}), out)

    prepare = demo.prepare
    monkeypatch.setattr(demo, "prepare", hasty)
    out = tmp_path / "demo"
    command = ["demo", "--out", str(out), "--size", "400", "--quiet"]
    assert run_command(command) == 0
    said = capsys.readouterr().out
    assert "NMI" in said
    assert f"report: {out / 'run' / 'report.html'}" in said
    scores = json.loads((out / "scores.json").read_text())
    assert set(scores) == {"K-means on mean colours", "first zones (geography)", "refined zones"}
    assert {row["state"] for row in status(RunFolder(out / "run"))} == {"done"}
    report = (out / "run" / "report.html").read_text()
    assert f"{scores['refined zones']['nmi']:.2f}" in report
    before = (out / "run" / "zones.tif").read_bytes()
    assert run_command(command) == 0
    assert (out / "run" / "zones.tif").read_bytes() == before
    capsys.readouterr()
    assert run_command([*command, "--seed", "1"]) == 2  # another region
    assert "a demo of another region" in capsys.readouterr().err
    assert (out / "run" / "zones.tif").read_bytes() == before
