"""The command line as a user meets it: output, exit codes, one-line errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fixtures_trained import MAPPING, RECIPE, TINY
from typer.testing import CliRunner

from pneumoscope import __version__
from pneumoscope import bundle as bundles
from pneumoscope.app.cli import READER_GONE, STOPPED, app
from pneumoscope.recipes import recipes

COMMANDS = (
    ("demo",),
    ("predict",),
    ("explain",),
    ("train",),
    ("evaluate",),
    ("audit",),
    ("tune",),
    ("compare",),
    ("recipes", "list"),
    ("recipes", "show"),
    ("bundle", "show"),
    ("bundle", "verify"),
    ("bundle", "card"),
    ("weights", "list"),
    ("weights", "add"),
    ("doctor",),
    ("data", "list"),
    ("data", "import"),
    ("data", "fetch"),
    ("data", "describe"),
)


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_has_help_with_an_example(command, words: tuple[str, ...]) -> None:
    code, out, _ = command(*words, "--help")
    assert code == 0
    assert f"Example: pneumoscope {' '.join(words)}" in " ".join(out.split())


def test_every_command_is_in_the_list_above() -> None:
    def names(at, before: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
        own = {(*before, c.name or c.callback.__name__) for c in at.registered_commands}
        return own.union(*(names(g.typer_instance, (*before, g.name)) for g in at.registered_groups), own)

    assert names(app) == set(COMMANDS)


def test_the_version_is_the_packages(command) -> None:
    assert command("--version")[:2] == (0, f"pneumoscope {__version__}\n")


def test_predict_prints_json(command, made_run: Path, xray_png: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    code, out, _ = command("predict", made_run / "bundle", xray_png, tmp_path / "bad.png", "--json")
    good, bad = json.loads(out)
    assert code == 0
    keys = {"path", "accepted", "reasons", "warnings", "probabilities", "decision", "threshold", "seconds", "outputs"}
    assert keys <= set(good)
    assert good["accepted"] is True
    assert sum(good["probabilities"].values()) == pytest.approx(1)
    assert bad["accepted"] is False
    assert bad["reasons"]


def test_nothing_accepted_is_exit_3(command, made_run: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    code, out, _ = command("predict", made_run / "bundle", tmp_path / "bad.png")
    assert code == 3
    assert "refused" in out


def test_predict_writes_a_report_and_says_where(command, made_run: Path, xray_png: Path, tmp_path: Path) -> None:
    code, out, _ = command("predict", made_run / "bundle", xray_png, "--out", tmp_path / "out", "--explain")
    assert code == 0
    assert f"report: {tmp_path / 'out' / 'report.html'}" in out
    assert len(list((tmp_path / "out" / "maps").iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("predict", "nowhere", "x.png"), 3, "error: bundle: expected a folder, a zip or a built-in name"),
        (("train", "szalay2020", "--data", "x", "--out", "y"), 2, "Did you mean 'szalay2021'"),
        (("train", "szalay2021:vgg", "--data", "x", "--out", "y"), 2, "Did you mean 'vgg"),
        (("train", "szalay2021", "--data", "x", "--out", "y", "--map", "a"), 2, "--map: expected NAME=VALUE"),
        (("train", "szalay2021", "--data", "x", "--out", "y", "--map=a=b", "--map=a=c"), 2, "found 'a' twice"),
        (("train", "szalay2021", "--data", "x", "--out", "y", "--set", "epochs=1"), 2, "expected a field of"),
        (("train", "szalay2021", "--data", "nowhere", "--out", "y"), 3, "nowhere: expected a folder with labels.csv"),
        (("recipes", "show", "x"), 2, "Known: basu2020, berrimi2021, garg2021, szalay2021"),
        (("weights", "add", "vgg16", "nowhere.safetensors"), 3, "nowhere.safetensors"),
    ],
)
def test_an_error_is_one_line_with_its_exit_code(command, arguments: tuple[str, ...], code: int, says: str) -> None:
    found, out, err = command(*arguments)
    assert found == code
    assert says in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert out == ""


def test_an_unknown_option_is_exit_2(command) -> None:
    code, _, err = command("predict", "phantom", "x.png", "--explian")
    assert code == 2
    assert "--explian" in err


def test_a_flipped_byte_is_exit_4(command, tiny_bundle: Path) -> None:
    assert command("bundle", "verify", tiny_bundle)[0] == 0
    path = tiny_bundle / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    code, _, err = command("bundle", "verify", tiny_bundle)
    assert code == 4
    assert err.startswith("error: bundle: weights.safetensors: expected SHA-256")


def test_missing_weights_are_exit_5(command, tiny_data: Path, tmp_path: Path) -> None:
    code, _, err = command(
        "train", "szalay2021", "--data", tiny_data, "--out", tmp_path / "run", "--map=normal=non-covid",
        "--set=prep.resize.size=32",
    )  # fmt: skip
    assert code == 5
    assert "vgg16.safetensors" in err


def test_recipes_show_every_number_and_its_place_in_the_paper(command) -> None:
    code, out, _ = command("recipes", "show", "szalay2021:xception")
    assert code == 0
    for text in ("stages.head.net", "xception", "299", "assumed", "section 4"):
        assert text in out
    shown = json.loads(command("recipes", "show", "szalay2021", "--json")[1])
    assert shown["stages"][0]["net"] == "vgg16"
    assert [r["name"] for r in json.loads(command("recipes", "list", "--json")[1])] == list(recipes())


def test_a_bundle_shows_itself(command, made_run: Path) -> None:
    code, out, _ = command("bundle", "show", made_run / "bundle")
    assert code == 0
    assert "synthetic" in out
    assert json.loads(command("bundle", "show", made_run / "bundle", "--json")[1])["format"] == bundles.FORMAT
    assert command("bundle", "card", made_run / "bundle")[1].startswith("# ")
    listed = command("bundle", "card", made_run / "bundle", "--checklist")[1]
    assert "## CLAIM 2024" in listed
    assert "## TRIPOD+AI" in listed
    code, _, err = command("bundle", "card", made_run / "bundle", "--external", made_run)
    assert (code, "expected --checklist beside it" in err) == (2, True)
    code, _, err = command("bundle", "card", made_run / "bundle", "--checklist", "--external", made_run)
    assert (code, "found one of a run" in err) == (2, True)


def test_doctor_finds_the_built_in_bundle_well(command) -> None:
    code, out, _ = command("doctor", "--json")
    findings = json.loads(out)
    assert code == 0
    assert any(f["what"] == "bundle phantom" and f["fine"] for f in findings)


def test_the_demo_screens_synthetic_patients(command, tmp_path: Path) -> None:
    code, out, _ = command("demo", "--out", tmp_path / "demo")
    assert code == 0
    report = tmp_path / "demo" / "screening" / "report.html"
    assert f"report: {report}" in out
    assert len(json.loads((report.parent / "predictions.json").read_text())) == 6


def test_a_shell_completes_commands() -> None:
    asked = {"_PNEUMOSCOPE_COMPLETE": "complete_bash", "COMP_WORDS": "pneumoscope pre", "COMP_CWORD": "1"}
    assert CliRunner().invoke(app, prog_name="pneumoscope", env=asked).output.split() == ["predict"]


def started(*arguments: object, unbuffered: bool = False, **options: Any) -> subprocess.Popen[str]:
    """The whole command in a process of its own, in which Ctrl-C works even where the tests run in the background."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pneumoscope.app.cli import main; main()"
    )
    environment = os.environ | {"PYTHONUNBUFFERED": "1" if unbuffered else ""}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], text=True, env=environment, **pipes)


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("arguments", [("recipes", "show", "szalay2021"), ("recipes", "list", "--json"), ("--help",)])
def test_a_reader_that_leaves_early_ends_the_command_quietly(arguments: tuple[str, ...], unbuffered: bool) -> None:
    with started(*arguments, unbuffered=unbuffered) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # long before the command has imported what it needs to print
        assert process.stderr.read() == ""
        assert process.wait() == READER_GONE


def test_a_reader_of_errors_that_leaves_early_ends_the_command_too() -> None:
    with started("recipes", "show", "x") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.close()
        assert process.stdout.read() == ""
        assert process.wait() == READER_GONE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="expected /dev/full, found none on this system")
def test_results_that_cannot_be_written_are_an_error() -> None:
    with Path("/dev/full").open("w") as full, started("recipes", "list", stdout=full) as process:
        assert process.stderr is not None
        err = process.stderr.read()
        assert process.wait() == 3
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "No space left on device" in err


def test_a_place_that_cannot_be_written_is_exit_3(command, made_run: Path, xray_png: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file" / "x", tmp_path / ("x" * 300), Path("/dev/null/x"), Path("/proc/x/y")):
        code, said, err = command("predict", made_run / "bundle", xray_png, "--out", out)
        assert (code, said) == (3, "")
        assert err.count("\n") == 1
        assert f"error: {out}: expected a place that can be written" in err


def test_an_error_stays_on_one_line_and_steers_no_terminal(command, tmp_path: Path) -> None:
    code, _, err = command("bundle", "show", tmp_path / "a\nb\x1b[31m")
    assert code == 3
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_ctrl_c_ends_with_a_hint(tiny_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    settings = {**TINY, "stages.head.epochs": "100000"}
    arguments = [
        "train", RECIPE, "--data", tiny_data, "--out", out,
        *(f"--map={label}={name}" for label, name in MAPPING.items()),
        *(f"--set={field}={value}" for field, value in settings.items()),
    ]  # fmt: skip
    # a group of its own, since a terminal's Ctrl-C goes to every process of one
    with started(*arguments, start_new_session=True) as process:
        until = time.monotonic() + 120
        while not list(out.glob("fold_*")) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        said, err = process.communicate(timeout=60)
    assert process.returncode == STOPPED, err
    assert said == ""
    assert err.splitlines()[-1] == "stopped; what was stopped goes on with the same command"
    assert "Traceback" not in err
    assert not (out / "report.html").exists()
