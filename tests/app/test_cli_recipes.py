"""`pneumoscope recipes show` and `--set`: a stage of one variant is known in that variant alone."""

from __future__ import annotations

import json
from pathlib import Path


def test_a_stage_of_a_variant_is_shown_in_that_variant_alone(command) -> None:
    for name, expected in (("szalay2021", 1), ("szalay2021:xception", 1), ("szalay2021:unfrozen", 2)):
        code, out, _ = command("recipes", "show", name, "--json")
        assert code == 0
        assert len(json.loads(out)["stages"]) == expected
    assert "stages.unfreeze" not in command("recipes", "show", "szalay2021")[1]
    shown = command("recipes", "show", "szalay2021:unfrozen")[1]
    assert "stages.unfreeze" in shown
    assert "upper:3" in shown


def test_a_field_of_a_stage_that_the_variant_does_not_have_cannot_be_set(
    command, tiny_data: Path, tmp_path: Path
) -> None:
    words = ("train", "szalay2021", "--data", tiny_data, "--out", tmp_path / "run", "--set", "stages.unfreeze.epochs=2")
    code, _, err = command(*words)
    assert code == 2
    assert err.startswith("error: --set: expected a field of szalay2021, found 'stages.unfreeze.epochs'.")
    assert not (tmp_path / "run").exists()
