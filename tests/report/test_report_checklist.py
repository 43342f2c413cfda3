"""Checklists: every item once, nothing said that the facts do not say, and no stranger's markup."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from report_examples import THREE, TWO, data_card, evaluation, facts, interval, recipe

from pneumoscope.bundle import Facts, Precision
from pneumoscope.core.files import write_json
from pneumoscope.core.interval import Curve
from pneumoscope.core.result import Benefit, Evaluation, Moved, Part, Transfer
from pneumoscope.core.stage import Head, Optim, Stage, Step
from pneumoscope.core.trust import Calibration, Calibrator, Scores, Trust
from pneumoscope.errors import InputError, UsageError
from pneumoscope.report.checklist import Item, answer, checklists, known_of
from pneumoscope.report.checklist_claim import CLAIM
from pneumoscope.report.checklist_tripod import TRIPOD_AI
from pneumoscope.report.from_run import Known

LISTS = (CLAIM, TRIPOD_AI)
CURVE = Benefit(prevalence=0.2, thresholds=(0.1,), model=(0.1,), low=(0.0,), high=(0.2,), all=(0.1,), gain_low=(0.01,))
ENVIRONMENT = {"python": "3.11", "packages": {"torch": "2.9"}, "cores": 2, "seconds": {"head": 61.0}}


def part(value: float) -> Part:
    return Part(
        counts={"normal": 9, "covid": 9}, n_patients=11, metrics={"balanced_accuracy": interval(value)}, confusion=()
    )


def trust(temperature: float, classes: tuple[str, ...]) -> Trust:
    shares = dict.fromkeys(classes, 1 / len(classes))
    return Trust(calibrator=Calibrator(kind="temperature", temperature=temperature), shares=shares)


def calibration(ece: float) -> Calibration:
    """Calibrated by a temperature, from an error of `ece` to half of it."""
    before, after = (
        Scores(log_loss=interval(0.3), brier=interval(0.1), ece=interval(e), reliability=Curve(x=(), y=()))
        for e in (ece, ece / 2)
    )
    return Calibration(kind="temperature", applied=True, before=before, after=after)


def external(**kw: object) -> Evaluation:
    """What evaluate writes of the bundle of the examples."""
    moved = Moved(own=interval(0.9), here=interval(0.6), difference=interval(-0.3))
    beside = Transfer(
        protocol="honest", judged="image", n_images=9, n_patients=9, counts={"normal": 5, "covid": 4}, leaky=False,
        absent=(), metrics={"balanced_accuracy": moved},
    )  # fmt: skip
    values = {
        "protocol": None,
        "transfer": beside,
        "bundle": facts().id,
        "n_images": 77,
        "parts": {"sex": {"female": part(0.5)}},
    }
    return evaluation(**(values | kw))


def one() -> Known:
    told = {"view": {"PA": 7}, "sex": {"female": 3, "not stated": 4}}
    own = evaluation(
        parts={"sex": {"female": part(0.7), "male": part(0.8)}}, benefit=CURVE, calibration=calibration(0.1)
    )
    found = facts(evaluation=own, data=data_card(told=told, left_out={"x": 3}), trust=trust(1.5, TWO))
    return Known(facts=found, environment=ENVIRONMENT, elsewhere=external())


def other() -> Known:
    """All that a bundle can say, said otherwise: studies, other classes, no patients, the paper's protocol."""
    stage = Stage(
        name="net", level="volume", net="resnet3d", head=Head(pooling="flatten", hidden=(5,)), init="imagenet",
        trainable="all", loss="cross_entropy", class_weights="balanced", optim=Optim(name="sgd", lr=0.1), epochs=9,
        batch=2, monitor="val_accuracy",
    )  # fmt: skip
    method = recipe(
        THREE, modalities=("ct",), stages=(stage,), prep=(Step(name="window"),), deviations=("It differs.",),
        name="roe2022",
    )  # fmt: skip
    own = evaluation(
        THREE, judged="study", protocol="paper", shared_patients=4, n_images=12, n_patients=6, split="6" * 64,
        grouped=False, parts={"age": {"under 18": part(0.1), "80 and over": part(0.2)}},
        benefit=dataclasses.replace(CURVE, gain_low=(-0.1,)),
        calibration=calibration(0.2), warnings=("Few.",), metrics={"accuracy": interval(0.5)},
    )  # fmt: skip
    found = facts(
        THREE, name="another", recipe=method, evaluation=own, threshold=None, explains="features", pretrained=None,
        data=data_card(
            sources=(), counts=dict.fromkeys(THREE, 2), grouped=False, modalities={"ct": 6}, dataset="e" * 64
        ),
        intended_use="Other.", limits=("Other.",), licence="None.", pneumoscope="9.9", created="2030-01-01",
        trust=trust(0.5, THREE),
        precisions={"bf16": Precision(validated=True, largest_difference=0.1, changed=0, n_images=3)}, id="f" * 32,
    )  # fmt: skip
    there = evaluation(THREE, parts={"age": {"under 18": part(0.3)}}, transfer=None, n_images=5)
    return Known(facts=found, environment={"python": "3.13", "cores": 64}, elsewhere=there)


def items() -> list[Item]:
    return [item for checklist in LISTS for item in checklist.items]


def test_every_item_of_the_published_lists_is_there_once_and_in_order() -> None:
    assert [item.number for item in CLAIM.items] == [str(n) for n in range(1, 45)]
    parts = {3: 3, 5: 2, 6: 3, 8: 3, 9: 3, 12: 7, 18: 6, 20: 3, 23: 2, 27: 3}
    wanted = [f"{n}{'abcdefg'[i]}" if n in parts else str(n) for n in range(1, 28) for i in range(parts.get(n, 1))]
    assert [item.number for item in TRIPOD_AI.items] == wanted
    assert len(wanted) == 52


def test_what_only_a_human_knows_is_never_filled() -> None:
    for_a_human = {item.number for item in CLAIM.items if not item.fill}
    assert for_a_human == {"2", "4", "5", "6", "15", "16", "17", "18", "21", "34", "44"}
    for_a_human = {item.number for item in TRIPOD_AI.items if not item.fill}
    assert for_a_human >= {"2", "3c", "5b", "6a", "6c", "8b", "8c", "10", "17", "18a", "18b", "18c", "18d", "19", "25"}
    assert all(item.left for item in items() if not item.fill)


@pytest.mark.parametrize("item", [item for item in items() if item.fill], ids=lambda item: f"{item.number} {item.asks}")
def test_a_filled_item_says_what_the_facts_say(item: Item) -> None:
    found, changed = answer(item, one()), answer(item, other())
    assert found.said
    assert found.said != changed.said
    for fill in item.fill:  # each sentence of it, too
        assert fill(one()) != fill(other())


def test_figures_of_the_evaluation_are_in_the_answers() -> None:
    said = {item.number: answer(item, one()).said for item in CLAIM.items}
    assert "Accuracy 0.871 (0.840 to 0.892)" in said["37"]
    assert "female 0.700" in said["37"]
    assert "Balanced accuracy falls from 0.900" in said["33"]
    assert "5 normal called covid, 5 covid called normal" in said["39"]
    assert "patients found on both sides: 0" in said["20"]
    assert "torch 2.9" in said["23"]
    assert "seed 0" in said["25"]
    assert "by sex: female (3), not stated (4)" in said["36"]
    assert answer(CLAIM.items[35], one()).status == "in part"


def test_a_bundle_that_was_never_evaluated_fills_no_result() -> None:
    bare = Known(facts=facts(evaluation=None))
    found = {item.number: answer(item, bare) for item in CLAIM.items}
    for number in ("19", "20", "26", "29", "32", "38"):
        assert (found[number].said, found[number].status) == ("", "for a human")
        assert found[number].left == "The bundle was never evaluated: evaluate it."
    assert "run pneumoscope evaluate" in found["33"].left
    assert "environment.json is not beside" in found["23"].left


def test_the_counts_are_those_of_the_items() -> None:
    text = checklists(one(), LISTS)
    for checklist in LISTS:
        found = [answer(item, one()).status for item in checklist.items]
        counts = [found.count(status) for status in ("filled", "in part", "for a human")]
        line = f"{len(found)} items: {counts[0]} filled from the run, {counts[1]} in part, {counts[2]} for a human."
        assert line in text
    assert text.count("(for a human)") + text.count("(in part)") + text.count("(filled)") == 96
    assert text.endswith("\n")


def test_markup_in_the_facts_is_text_in_the_checklist() -> None:
    hostile = facts(name="# <b>", limits=("| <script>\n# x",), licence="`[a](b)`")
    text = checklists(Known(facts=hostile), LISTS)
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "\n# x" not in text
    assert re.search(r"^# \\# \\<b\\>: reporting", text)


def bundle_at(folder: Path) -> Path:
    (folder / "bundle").mkdir(parents=True)
    return folder / "bundle"


def test_the_run_beside_a_bundle_and_an_evaluation_are_read(tmp_path: Path) -> None:
    bundle = bundle_at(tmp_path / "run")
    assert known_of(facts(), bundle, None) == Known(facts=facts())
    (tmp_path / "run" / "environment.json").write_text(json.dumps(ENVIRONMENT))
    (tmp_path / "there").mkdir()
    write_json(tmp_path / "there" / "evaluation.json", external())
    found = known_of(facts(), bundle, tmp_path / "there")
    assert found.environment == ENVIRONMENT
    assert found.elsewhere is not None
    assert found.elsewhere.n_images == 77


def test_an_evaluation_that_is_not_this_bundles_is_refused(tmp_path: Path) -> None:
    bundle = bundle_at(tmp_path)
    with pytest.raises(UsageError, match=r"found no evaluation.json"):
        known_of(facts(), bundle, tmp_path)
    write_json(tmp_path / "evaluation.json", external(bundle="0" * 32))
    with pytest.raises(UsageError, match="expected an evaluation of bundle 0123456789abcdef"):
        known_of(facts(), bundle, tmp_path)
    for text in ("[]", "{", '{"classes": 3}'):
        (tmp_path / "evaluation.json").write_text(text)
        with pytest.raises(InputError, match=r"evaluation\.json: expected"):
            known_of(facts(), bundle, tmp_path)


def test_the_facts_of_a_bundle_without_the_new_fields_still_answer() -> None:
    plain: Facts = facts()
    assert plain.data.told == {}
    assert "Stated of no image: sex, age." in answer(CLAIM.items[11], Known(facts=plain)).said
