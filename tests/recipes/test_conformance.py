"""Every recipe goes the whole way on a few synthetic patients: train, bundle, verify, predict, explain, report.

With random weights and one epoch it learns nothing; what is tested is that nothing of a recipe stands in the way.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fixtures_trained import MAPPING

from pneumoscope import api
from pneumoscope.core.resolve import resolve
from pneumoscope.recipes import recipes

# the smallest network of each recipe, so that this stays a matter of seconds
SMALLEST = {"szalay2021": "mobilenetv2"}


def tiny(name: str, variant: str | None) -> dict[str, str]:
    recipe = resolve(recipes().resolve(name), variant=variant)
    values = {f"stages.{s.name}.epochs": "1" for s in recipe.stages}
    values |= {f"stages.{s.name}.init": "random" for s in recipe.stages if s.init == "imagenet"}
    return values | {"prep.resize.size": "64", "protocols.honest.folds": "2"}


@pytest.mark.parametrize("name", list(recipes()))
def test_it_goes_the_whole_way(name: str, tiny_data: Path, xray_png: Path, tmp_path: Path) -> None:
    variant = SMALLEST.get(name)
    asked = f"{name}:{variant}" if variant else name
    run = tmp_path / "run"
    (evaluation,) = api.train(asked, [tiny_data], out=run, mapping=MAPPING, overrides=tiny(name, variant))
    assert 0 <= evaluation.metrics["accuracy"].value <= 1  # type: ignore[union-attr]
    bundle = str(run / "bundle")
    assert api.verify(bundle) < 1e-3
    (prediction,) = api.predict(bundle, [xray_png], out=tmp_path / "screened", explain=True)
    assert prediction.accepted
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert set(prediction.probabilities) == set(recipes().resolve(name).classes.names)
    explained = api.explain(bundle, xray_png, out=tmp_path / "explained", layer="net.blocks.2")
    assert Path(explained.outputs["overlay"]).is_file()
    for report in (run / "report.html", tmp_path / "screened" / "report.html"):
        assert asked in report.read_text()
    assert json.loads((run / "bundle" / "bundle.json").read_text())["recipe"]["variant"] == variant
