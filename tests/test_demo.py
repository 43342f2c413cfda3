"""The demo's long way: it ends with a report, and the same call goes on where it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures_trained import TINY

from pneumoscope import demo
from pneumoscope.core.progress import silent
from pneumoscope.errors import UsageError


def test_it_goes_the_whole_way_and_is_not_done_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "OVERRIDES", TINY)
    out = tmp_path / "demo"
    said: list[str] = []
    first = demo.with_training(out, progress=silent, say=said.append, patients=36)
    for report in ("run", "evaluation", "screening"):
        assert (out / report / "report.html").is_file()
    assert [Path(p.path).name for p in first] == sorted(p.name for p in (out / "patients").iterdir())
    assert any("measuring" in s for s in said)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")}
    again = demo.with_training(out, progress=silent, say=said.append, patients=36)
    assert [p.probabilities for p in again] == [p.probabilities for p in first]
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")} == before


def test_a_folder_in_use_by_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "screening").mkdir()
    (tmp_path / "screening" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="expected a new or empty folder"):
        demo.screening(tmp_path, progress=silent)
