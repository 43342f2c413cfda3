"""The wall time of a run, all of it, kept over calls that end in any way."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from pneumoscope.core.comparison import REST
from pneumoscope.core.progress import silent
from pneumoscope.train import environment
from pneumoscope.train.environment import Clock, whole


def spent(path: Path) -> dict[str, float]:
    return dict(json.loads(path.read_text())["seconds"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "recipe.json").write_text("{}")
    return tmp_path / "environment.json"


def test_what_no_kind_counts_is_counted_and_added_up(path: Path) -> None:
    start = time.monotonic()
    for calls in (1, 2):
        with whole(path, silent):
            clock = Clock(path, {"python": "3"})
            with clock.of("fitting"):
                time.sleep(0.05)
            clock.save()
            time.sleep(0.1)
        found = spent(path)
        assert set(found) == {"fitting", REST}
        assert 0.05 * calls <= found["fitting"] < 0.1 * calls + 0.05
        assert 0.09 * calls <= found[REST]
        assert sum(found.values()) <= time.monotonic() - start + 0.02
    assert json.loads(path.read_text())["python"] == "3"


def test_a_call_that_is_stopped_keeps_its_time(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole(path, silent):
        time.sleep(0.05)
        raise KeyboardInterrupt
    assert spent(path)[REST] > 0.04
    clock = Clock(path, {})
    assert clock.seconds[REST] == spent(path)[REST]


def test_a_call_that_is_killed_keeps_what_it_told_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "EVERY", 0.0)
    told = []
    with whole(path, lambda what, done, total: told.append(what)) as progress:
        time.sleep(0.02)
        progress("fold", 1, 2)
        assert spent(path)[REST] >= 0.01
    assert told == ["fold"]


def test_a_folder_that_is_no_run_yet_is_left_alone(tmp_path: Path) -> None:
    with whole(tmp_path / "out" / "environment.json", silent):
        pass
    assert not (tmp_path / "out").exists()
