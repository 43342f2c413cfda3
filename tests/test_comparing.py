"""Comparing methods: parts, their folders, what is reused, and what is refused before anything is trained."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
from fixtures_trained import MAPPING

from pneumoscope import bundle, comparing, phantoms, planning, tuning
from pneumoscope.app.cli import main
from pneumoscope.core.comparison import REST, Comparison
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.serial import from_json
from pneumoscope.core.stage import Stage
from pneumoscope.errors import (
    DataError,
    IntegrityError,
    LeakError,
    MissingError,
    PneumoscopeError,
    RecipeError,
    UsageError,
)
from pneumoscope.nets.build import build
from pneumoscope.nets.weights import cache_folder
from pneumoscope.recipes import find
from pneumoscope.train import stages

CNN = "szalay2021:cnn"
LR = "stages.head.optim.lr"
SMALL = {
    "prep.resize.size": "32",
    "stages.head.epochs": "1",
    "stages.head.head.hidden": "[8]",
    "protocols.honest.folds": "2",
}


def compare(data: list[str | Path], out: Path, recipes: tuple[str, ...] = (CNN,), **changed: Any) -> Comparison:
    given: dict[str, Any] = {"vary": {LR: ("0.01", "0.0001")}, "mapping": MAPPING, "overrides": SMALL}
    return comparing.compare(recipes, data, out=out, **(given | changed))


@pytest.fixture(scope="module")
def made(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison of two learning rates; to be read only."""
    out = tmp_path_factory.mktemp("comparison") / "out"
    compare([tiny_data], out)
    return out


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


def read(out: Path) -> Comparison:
    return from_json(Comparison, json.loads((out / "comparison.json").read_text()))


def fitted(out: Path) -> dict[str, int]:
    """When each fold was answered."""
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in out.glob("parts/*/fold_*/answers.json")}


def test_each_part_is_a_run_with_the_figures_of_its_own_evaluation(made: Path) -> None:
    comparison = read(made)
    assert {p.name for p in comparison.parts} == {"lr=0.01", "lr=0.0001"}
    assert {p.folder for p in comparison.parts} == {"parts/szalay2021-cnn_lr=0.01", "parts/szalay2021-cnn_lr=0.0001"}
    assert {path.name for path in made.iterdir()} == comparing.OWN
    for part in comparison.parts:
        run = made / part.folder
        kept = json.loads((run / "evaluation.json").read_text())
        assert not (run / "bundle").exists()
        assert (run / "report.html").exists()
        for name in ("accuracy", "balanced_accuracy", "auc"):
            found = dataclasses.asdict(part.metrics[name])
            assert found == pytest.approx(kept["metrics"][name])
        assert [list(row) for row in part.confusion] == kept["confusion"]
        assert part.seconds["fitting"] > 0
        assert part.seconds[REST] > 0
        assert part.overrides == {**SMALL, LR: part.varied[LR]}
    assert comparison.n_images == comparison.parts[0].n_images
    assert comparison.parts[0].standing == "first"
    assert sorted(p.made for p in comparison.parts) == [(), ("reading",)]
    assert next(p for p in comparison.parts if p.made).name == "lr=0.01"  # which was run first
    assert comparison.vary == {LR: ("0.01", "0.0001")}
    split = [json.loads((made / p.folder / "split.json").read_text()) for p in comparison.parts]
    assert split[0] == split[1]
    assert comparison.parts[0].learned == sum(len(f["train"]) for f in split[0]["folds"]) / 2


def test_the_table_has_a_row_a_part(made: Path) -> None:
    with (made / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    first = read(made).parts[0]
    assert [row["rank"] for row in rows] == ["1", "2"]
    assert rows[0]["part"] == first.name
    assert rows[0][LR] == first.varied[LR]
    assert float(rows[0]["auc_low"]) == pytest.approx(first.metrics["auc"].low, abs=1e-6)
    assert float(rows[0]["difference_accuracy_high"]) == 0


def test_the_same_call_and_a_further_value_redo_nothing(copied: Path, tiny_data: Path) -> None:
    before, done = read(copied), fitted(copied)
    again = compare([tiny_data], copied)
    assert [(p.name, p.metrics) for p in again.parts] == [(p.name, p.metrics) for p in before.parts]
    assert [p.seconds[REST] for p in again.parts] == [p.seconds[REST] for p in before.parts]
    assert fitted(copied) == done
    more = compare([tiny_data], copied, vary={LR: ("0.001", "0.01", "0.0001")})
    assert len(more.parts) == 3
    assert next(p for p in more.parts if p.made).name == "lr=0.01"
    assert {name: at for name, at in fitted(copied).items() if name in done} == done
    assert len(list((copied / "cache").glob("prepared-*.f32"))) == 1


def test_the_train_command_goes_on_with_a_part(
    copied: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    comparison, done = read(copied), fitted(copied)
    part = comparison.parts[1]
    monkeypatch.setattr(sys, "argv", comparing.train_command(comparison, part, [tiny_data], copied))
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0, capfd.readouterr().err
    assert fitted(copied) == done
    made = bundle.load(str(copied / part.folder / "bundle"))
    assert made.facts.recipe.stages[0].optim.lr == float(part.varied[LR])
    compare([tiny_data], copied)  # a part that has its bundle is still one


def test_parts_whose_weights_are_missing_are_left_out_aloud(copied: Path, tiny_data: Path) -> None:
    done, said = fitted(copied), list[str]()
    found = compare([tiny_data], copied, (CNN, "szalay2021:vgg16"), say=said.append)
    assert {p.name for p in found.parts} == {f"{CNN} lr=0.01", f"{CNN} lr=0.0001"}
    assert [p.name for p in found.left_out] == ["szalay2021:vgg16 lr=0.01", "szalay2021:vgg16 lr=0.0001"]
    assert "vgg16.safetensors" in found.left_out[0].why
    assert "pneumoscope weights add vgg16" in found.left_out[0].why
    told = [line for line in said if line.startswith("left out: szalay2021:vgg16")]
    assert len(told) == 2
    assert "weights, or on timm's hub, found none; " in told[0]  # the folders looked in, and what the hub answered
    for name in ("comparison.json", "report.html"):
        text = (copied / name).read_text()
        assert str(cache_folder()) not in text
        assert "HF_HUB_OFFLINE" not in text
        assert "did not answer" not in text
    assert fitted(copied) == done
    assert read(copied).left_out == found.left_out
    assert "Left out" in (copied / "report.html").read_text()


@pytest.mark.parametrize(
    ("recipes", "error", "says"),
    [
        (("szalay2021:vgg16", "szalay2021:vgg19"), MissingError, r"vgg16\.safetensors"),
        ((CNN, "szalay2021:vgg16"), UsageError, r"weights are here, found 'szalay2021:cnn' alone\. .*vgg16\.safetens"),
    ],
)
def test_too_few_parts_with_weights_are_an_error(
    recipes: tuple[str, ...], error: type[PneumoscopeError], says: str, tiny_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says):
        compare([tiny_data], tmp_path / "out", recipes, vary=None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("recipes", "changed", "says"),
    [
        ((CNN,), {"vary": None}, "compare: expected at least two parts, found 1"),
        ((CNN,), {"vary": {LR: ("0.01",)}}, "expected at least two values, none empty, found '0.01'"),
        ((CNN,), {"vary": {"stages.head.lr": ("1", "2")}}, "expected a field of szalay2021, found 'stages.head.lr'"),
        (
            (CNN,),
            {"vary": {LR: ("0.01", "fast")}},
            "stages.head.optim.lr: expected a value of type float, found 'fast'",
        ),
        ((CNN,), {"vary": {LR: ("0.01", "-1")}}, "optim.lr: expected a finite number above 0, found -1"),
        ((CNN,), {"vary": {"stages.head.net": ("cnn", "vgg61")}}, "expected a registered name, found 'vgg61'"),
        ((CNN,), {"vary": {LR: ("0.01", "1e-2")}}, "each part once, found 'lr=0.01' and 'lr=1e-2', which are the same"),
        ((CNN, CNN), {"vary": None}, "each part once, found 'szalay2021:cnn' and 'szalay2021:cnn'"),
        (("szalay2021:all", CNN), {"vary": None}, "each part once, found 'szalay2021:cnn'"),
        (("szalay2021:cnm",), {}, "Did you mean 'cnn'"),
        ((CNN, "berrimi2021"), {"vary": None, "overrides": {}}, r"covid \(szalay2021:cnn\) and .*\(berrimi2021\)"),
        ((CNN,), {"protocol": "both"}, "--protocol: expected one of honest, paper, found 'both'"),
        ((CNN,), {"vary": {"protocols.paper.seed": ("1", "2")}}, "expected a field of the protocol 'honest' that runs"),
        ((CNN,), {"vary": {"protocols.honest.train_on": ('["a"]', '["b"]')}}, "train_on: expected data sets among"),
    ],
)
def test_what_does_not_fit_is_found_before_anything_is_trained(
    recipes: tuple[str, ...], changed: dict[str, Any], says: str, tiny_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=says):
        compare([tiny_data], tmp_path / "out", recipes, **changed)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_else_is_refused(copied: Path, tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="--out: expected a folder, found the file"):
        compare([tiny_data], tmp_path / "file")
    with pytest.raises(UsageError, match="other files in"):
        compare([tiny_data], tiny_data)
    done = fitted(copied)
    with pytest.raises(UsageError, match=r"'lr=0.01' as it is asked for now, found one by other settings"):
        compare(
            [tiny_data],
            copied,
            vary={LR: ("0.1", "0.01")},
            overrides={**SMALL, "stages.head.epochs": "2"},
        )
    assert fitted(copied) == done
    (copied / "parts" / "szalay2021-cnn_lr=0.01" / "recipe.json").write_text("[]")
    with pytest.raises(UsageError, match="found one by other settings"):
        compare([tiny_data], copied)


def test_all_parts_get_the_protocol_of_the_first(
    copied: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another recipe of the same classes, whose protocol differs; its runs lie beside those that are there."""

    def found(name: str) -> tuple[Recipe, str | None]:
        recipe, variant = find(name.replace("doe2021", "szalay2021"))
        if not name.startswith("doe2021"):
            return recipe, variant
        protocols = tuple(
            dataclasses.replace(p, folds=3, seed=9) if p.name == "honest" else p for p in recipe.protocols
        )
        return dataclasses.replace(recipe, name="doe2021", protocols=protocols), variant

    monkeypatch.setattr(comparing, "find", found)
    monkeypatch.setattr(planning, "find", found)
    done = fitted(copied)
    comparison = compare([tiny_data], copied, (CNN, "doe2021:cnn"), vary=None, overrides=SMALL | {LR: "0.01"})
    other = next(p for p in comparison.parts if p.recipe == "doe2021:cnn")
    assert other.overrides["protocols.honest.seed"] == "0"
    assert "doe2021:cnn: seed of the protocol set as in szalay2021:cnn, so that all parts are tested alike." in (
        comparison.notes
    )
    kept = json.loads((copied / other.folder / "recipe.json").read_text())["recipe"]
    assert kept["sources"]["protocols.honest.seed"] == "override"
    assert {name: at for name, at in fitted(copied).items() if name in done} == done


def test_a_part_that_is_done_stays_without_its_weights(
    copied: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, done = read(copied), fitted(copied)

    def missing(stage: Stage, *given: object, **named: object) -> object:
        if stage.optim.lr == 0.01:
            raise MissingError("weights: expected some, found none.")
        return build(stage, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(stages, "build", missing)
    said: list[str] = []
    again = compare([tiny_data], copied, say=said.append)
    assert [dataclasses.replace(p, seconds={}) for p in again.parts] == [
        dataclasses.replace(p, seconds={}) for p in before.parts
    ]
    assert again.notes == before.notes
    assert again.left_out == ()
    assert "lr=0.01: its pretrained weights are not here; what was run is taken as it is" in said
    assert fitted(copied) == done
    more = compare([tiny_data], copied, vary={LR: ("0.01", "0.0001", "0.001")})
    assert {p.name for p in more.parts} == {"lr=0.01", "lr=0.0001", "lr=0.001"}
    (copied / "parts" / "szalay2021-cnn_lr=0.01" / "split.json").write_text("[]")
    with pytest.raises(IntegrityError, match=r"split.json: expected a run's split, found something else"):
        compare([tiny_data], copied)


@pytest.mark.parametrize(
    "changed",
    [
        {"vary": {"protocols.honest.seed": ("0", "1")}, "overrides": SMALL | {"protocols.honest.folds": "1"}},
        {"vary": {"protocols.honest.test_share": ("0.2", "0.4")}, "overrides": SMALL | {"protocols.honest.folds": "1"}},
    ],
)
def test_one_hold_out_each_that_differ_are_found_before_anything_is_trained(
    changed: dict[str, Any], tiny_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="test parts: expected the same images in those of"):
        compare([tiny_data], tmp_path / "out", **changed)
    assert not (tmp_path / "out").exists()


def test_a_small_set_against_a_large_one_is_tested_alike(tiny_data: Path, tmp_path: Path) -> None:
    large = phantoms.write_xrays(tmp_path / "large", patients=30, seed=9, size=64)
    said: list[str] = []
    with pytest.raises(RecipeError, match="data sets among large, set, found sett"):
        compare(
            [tiny_data, large],
            tmp_path / "out",
            vary={"protocols.honest.train_on": ('["sett"]', '["set","large"]')},
            say=said.append,
        )
    assert not (tmp_path / "out").exists()
    found = compare(
        [tiny_data, large],
        tmp_path / "out",
        vary={"protocols.honest.train_on": ('["set"]', '["set","large"]')},
        overrides=SMALL | {LR: "0.01"},
    )
    learned = {p.varied["protocols.honest.train_on"]: p.learned for p in found.parts}
    assert learned['["set"]'] < learned['["set","large"]']
    assert {p.n_images for p in found.parts} == {found.n_images}
    for part in found.parts:
        assert set(part.by["data set"]) == {"set", "large"}
    assert "By data set" in (tmp_path / "out" / "report.html").read_text()


def test_data_of_a_role_goes_to_the_recipes_that_have_it() -> None:
    basu, szalay = find("basu2020")[0], find("szalay2021")[0]
    data: list[str | Path] = ["a", "source=b", Path("main=c"), "odd=d"]
    assert comparing._data_of(basu, data, [basu, szalay]) == data
    assert comparing._data_of(szalay, data, [basu, szalay]) == ["a", Path("main=c"), "odd=d"]


def one_picture_twice(tiny_data: Path, out: Path) -> Path:
    """The folder with one picture more: another one at 0.9 of its size, under a patient of its own."""
    folder = Path(shutil.copytree(tiny_data, out))
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    pixels = cv2.imread(str(folder / rows[0]["file"]), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(folder / "again.png"), cv2.resize(pixels, None, fx=0.9, fy=0.9, interpolation=cv2.INTER_AREA))
    rows.append(dict.fromkeys(rows[0], "") | {"file": "again.png", "label": rows[0]["label"], "patient_id": "another"})
    rows[-1] |= {key: "another" for key in ("group_id",) if key in rows[0]}
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return folder


def test_one_picture_under_two_patients_is_refused_or_joined(tiny_data: Path, tmp_path: Path) -> None:
    data = one_picture_twice(tiny_data, tmp_path / "data")
    with pytest.raises(LeakError, match=r"again\.png"):
        compare([data], tmp_path / "out")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("parts/*/fold_*"))
    with pytest.raises(LeakError, match=r"again\.png"):
        few = {name: value for name, value in SMALL.items() if not name.startswith("protocols")}
        tuning.tune(CNN, [data], out=tmp_path / "tuned", search={LR: "0.01,0.001"}, mapping=MAPPING, overrides=few)
    joined = compare([data], tmp_path / "joined", join_duplicates=True, mapping=MAPPING)
    assert joined.join_duplicates
    assert "--join-duplicates" in comparing.train_command(joined, joined.parts[0], ["DIR"], "OUT")
