"""`pneumoscope compare` as a user meets it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from fixtures_trained import MAPPING

WORDS = (
    *("--vary", "stages.head.head.hidden=[8],[8,4]"),
    *("--set", "prep.resize.size=32", "--set", "stages.head.epochs=1", "--set", "protocols.honest.folds=2"),
    *(word for label, name in MAPPING.items() for word in ("--map", f"{label}={name}")),
)


def test_the_ranking_and_what_was_left_out_are_printed(command, tiny_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    recipes = "szalay2021:cnn", "szalay2021:vgg16"
    code, printed, err = command("compare", *recipes, "--data", tiny_data, "--out", out, *WORDS)
    assert code == 0, err
    parts = json.loads((out / "comparison.json").read_text())["parts"]
    assert [p["name"] for p in parts] in (
        [f"szalay2021:cnn hidden={a}" for a in order] for order in (("[8]", "[8,4]"), ("[8,4]", "[8]"))
    )
    assert f"First by balanced accuracy: {parts[0]['name']}" in printed
    assert "left out: szalay2021:vgg16 hidden=[8]: pretrained weights: expected vgg16.safetensors" in printed
    assert f"report: {out / 'report.html'}" in printed
    assert "part 1 of 2: szalay2021:cnn hidden=[8]" in err
    (line,) = (line for line in printed.splitlines() if line.startswith("a bundle of the first"))
    given = shlex.split(line.partition("commands): ")[2])
    assert given[:3] == ["pneumoscope", "train", "szalay2021:cnn"]
    assert given[given.index("--out") + 1] == str(out / parts[0]["folder"])
    assert {f"stages.head.head.hidden={parts[0]['varied']['stages.head.head.hidden']}"} < set(given)


def test_errors_are_one_line(command, tiny_data: Path, tmp_path: Path) -> None:
    for words, says in (
        (("szalay2021:cnn",), "compare: expected at least two parts, found 1"),
        (("szalay2021:cnn", "--vary", "stages.head.batch"), "--vary: expected NAME=VALUE"),
        (("szalay2021:cnn", "--vary", "stages.head.batch=16"), "expected at least two values"),
        (("szalay2021:cnn", "--vary", "a=1,2", "--vary", "a=3,4"), "--vary: expected each name once"),
    ):
        code, printed, err = command("compare", *words, "--data", tiny_data, "--out", tmp_path / "out")
        assert (code, printed) == (2, "")
        assert err.startswith("error: ")
        assert says in err
        assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_both_protocols_at_once_are_not_offered(command, tmp_path: Path) -> None:
    code, _, err = command("compare", "szalay2021:all", "--data", "x", "--out", tmp_path / "out", "--protocol", "both")
    assert code == 2
    assert "both" in err
