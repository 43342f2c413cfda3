"""Every recipe goes the whole way on a few synthetic patients: train, bundle, verify, predict, explain, report.

With random weights and one epoch it learns nothing; what is tested is that nothing of a recipe stands in the way.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fixtures_trained import MAPPING, write_roles

from pneumoscope import api, phantoms
from pneumoscope.core.resolve import resolve
from pneumoscope.errors import LeakError
from pneumoscope.recipes import recipes

# the smallest network of each recipe, or the one with most of its own parts, so that this stays a matter of seconds
SMALLEST = {"szalay2021": "unfrozen", "berrimi2021": "new-densenet"}
LAYERS = {"mobilenetv2": "net.blocks.2", "cnn12": "features.7"}
# for a network that takes minutes, in every stage that has it; its own is built in the recipe's test
QUICKER = {"densenet121": "mobilenetv2", "vgg16": "mobilenetv2", "resnet50": "mobilenetv2"}


def tiny(name: str, variant: str | None) -> dict[str, str]:
    recipe = resolve(recipes().resolve(name), variant=variant)
    values = {f"stages.{s.name}.epochs": "1" for s in recipe.stages}
    values |= {f"stages.{s.name}.init": "random" for s in recipe.stages if s.init == "imagenet"}
    values |= {f"roles.{r.name}.validation": "4" for r in recipe.roles if r.validation}
    values |= {f"stages.{s.name}.net": QUICKER[s.net] for s in recipe.stages if s.net in QUICKER}
    if recipe.of_studies:
        values |= {f"stages.{s.name}.head.hidden": "[16]" for s in recipe.stages if s.level == "slice"}
    return values | {"prep.resize.size": "64", "protocols.honest.folds": "2"}


def data_of(name: str, tiny_data: Path, folder: Path) -> tuple[list[str | Path], dict[str, str]]:
    """What is given for --data, and for --map."""
    recipe = recipes().resolve(name)
    if recipe.of_studies:
        main = phantoms.write_cts(folder / "main", patients=18, seed=33, size=64, slices=8)
        pretrain = phantoms.write_cts(folder / "pretrain", patients=6, seed=34, size=64, slices=8)
        return [main, f"pretrain={pretrain}"], {}
    if len(recipe.roles) > 1:
        return write_roles(folder), {}
    return [tiny_data], MAPPING if name == "szalay2021" else {}


# methods of volumes have a test of their own
@pytest.mark.parametrize("name", [name for name in recipes() if not recipes().resolve(name).of_volumes])
def test_it_goes_the_whole_way(name: str, tiny_data: Path, xray_png: Path, one_series: Path, tmp_path: Path) -> None:
    variant = SMALLEST.get(name)
    recipe = resolve(recipes().resolve(name), variant=variant)
    looks = [s for s in recipe.stages if s.level in ("image", "slice")][-1]  # the last network that sees pixels
    asked = f"{name}:{variant}" if variant else name
    run, screened = tmp_path / "run", one_series if recipe.of_studies else xray_png
    data, mapping = data_of(name, tiny_data, tmp_path / "roles")
    (evaluation,) = api.train(asked, data, out=run, mapping=mapping, overrides=tiny(name, variant))
    assert 0 <= evaluation.metrics["accuracy"].value <= 1  # type: ignore[union-attr]
    bundle = str(run / "bundle")
    assert api.verify(bundle) < 1e-3
    (prediction,) = api.predict(bundle, [screened], out=tmp_path / "screened", explain=True)
    assert prediction.accepted
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert set(prediction.probabilities) == set(recipe.classes.names)
    layer = LAYERS[QUICKER.get(looks.net, looks.net)]
    explained = api.explain(bundle, screened, out=tmp_path / "explained", layer=layer, features=True)
    assert [Path(file).is_file() for kind, file in explained.outputs.items() if kind.endswith("overlay")]
    assert all(Path(file).is_file() for file in explained.outputs.values())
    assert f"features/{layer}" in explained.outputs
    # the graph's own map is of the last feature map, which may be the head's
    explains = json.loads((run / "bundle" / "bundle.json").read_text())["explains"]
    assert explains == ("head.maps" if looks.head.convolution else "features")
    for role, folder in (str(d).split("=") for d in data if "=" in str(d)):
        assert (run / f"role_{role}" / "split.json").is_file()
        with pytest.raises(LeakError, match="expected images that the bundle has not seen"):
            api.evaluate(bundle, [folder], out=tmp_path / "seen")
    for report in (run / "report.html", tmp_path / "screened" / "report.html"):
        assert asked in report.read_text()
    assert json.loads((run / "bundle" / "bundle.json").read_text())["recipe"]["variant"] == variant


def test_a_bundle_of_studies_is_evaluated_on_others(study_bundle: Path, tmp_path: Path) -> None:
    others = phantoms.write_cts(tmp_path / "others", patients=3, seed=35, size=64, slices=8)
    found = api.evaluate(str(study_bundle), [others], out=tmp_path / "evaluated")
    assert (found.n_images, found.n_patients) == (3, 3)
    assert (tmp_path / "evaluated" / "report.html").is_file()
