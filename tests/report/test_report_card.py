import dataclasses
import re

from report_examples import NAN, THREE, data_card, evaluation, facts, interval, recipe, with_metrics

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.result import Part
from pneumoscope.core.role import Role
from pneumoscope.report import card

HEADINGS = [
    "Details",
    "Intended use",
    "Out-of-scope use",
    "Training data",
    "Evaluation",
    "Decision and threshold",
    "Calibration and operating points",
    "Precisions",
    "Explanation",
    "Limits",
    "Licence",
    "How to use",
    "How it was trained",
]


def test_the_card_has_every_heading_and_figure():
    found = facts()
    text = card.model_card(found)
    assert re.findall("^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert text.startswith("# tiny-xray\n")
    assert text.endswith("\n")
    for piece in (
        "2,100 images of 1,900 patients.",
        "700 normal, 700 covid",
        "| Accuracy |  | 0.871 | 0.840 to 0.892 |",
        "| Sensitivity | covid | 0.710 | 0.679 to 0.731 |",
        "| Precision | covid | undefined |  |",
        "Decided for covid from a probability of 30 % up.",
        "| fp32 | yes | 1.0e-06 | 0 | 16 |",
        "`last_conv`",
        "pneumoscope predict BUNDLE image.png",
        found.recipe.digest,
        "CC BY 4.0",
    ):
        assert piece in text, piece


def test_no_key_of_a_file_or_patient_is_in_the_card():
    assert "0123456789abcdef" not in card.model_card(facts())


def test_markup_in_the_facts_is_text_in_the_card():
    text = card.model_card(facts(name="a\n# b <script> `x` | [y](z)\x1b[31m", limits=("| cell |",)))
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "\x1b" not in text
    assert text.splitlines()[0] == r"# a \# b \<script\> \`x\` \| \[y\](z) \[31m"
    assert r"- \| cell \|" in text


def test_a_leak_stands_above_the_figures():
    text = card.model_card(facts(evaluation=evaluation(protocol="paper", shared_patients=4)))
    assert text.index("**4 patients stand on both sides") < text.index("| metric |")


def test_a_bundle_without_evaluation_weights_or_limits():
    text = card.model_card(facts(evaluation=None, pretrained=None, limits=()))
    assert "It was never evaluated" in text
    assert "Trained from random weights." in text
    assert "None are stated, which does not mean none." in text


def test_what_is_undefined_is_called_so():
    text = card.model_card(facts(THREE, evaluation=with_metrics(evaluation(THREE), accuracy=NAN)))
    assert "| Accuracy |  | undefined |  |" in text
    assert "nan" not in text.lower()


def test_what_was_learned_before_is_told_with_its_stage():
    plain = recipe()
    source = dataclasses.replace(plain.stages[0], name="first", role="source")
    roles = (*plain.roles, Role(name="source", classes=ClassSet(names=("normal", "disease"), positive=None)))
    found = facts(
        recipe=recipe(stages=(source, *plain.stages), roles=roles),
        before={"source": data_card(n_images=1, n_patients=1, counts={"a|b": 1}, dataset="e" * 64)},
    )
    text = card.model_card(found)
    assert (
        r"- Before that, it learned from 1 image of 1 patient (role source: 1 a\|b). Sources: set \<one\>, set\|two. "
        f"Digest of that data: `{'e' * 64}`.\n"
    ) in text
    assert "- Stage first on the data of role source: tiny, from random" in text
    assert "- Stage head: tiny, from random" in text
    assert "0123456789abcdef" not in text
    assert "Before that" not in card.model_card(facts())


def test_unknown_patients_of_what_was_learned_before_are_called_so():
    text = card.model_card(facts(before={"source": data_card(grouped=False, sources=())}))
    assert "2,100 images of unknown patients (role source: 1,000 normal, 1,100 disease). Sources: not named." in text


def test_who_was_learned_from_and_parts_by_themselves_are_in_the_card():
    def part(n, **counts):
        figures = {"balanced_accuracy": interval(0.8)} if n >= 10 else {}
        return Part(counts=counts, n_patients=n, metrics=figures, confusion=())

    parts = {"view": {"PA": part(40, normal=20, covid=20), "AP": part(30, normal=0, covid=30), "LL": part(3, covid=3)}}
    told = {"age": {"18 to 39": 5, "not stated": 7}}
    text = card.model_card(facts(evaluation=evaluation(parts=parts), data=data_card(told=told)))
    assert "- By age, images: 18 to 39 (5), not stated (7)." in text
    assert "| view | PA | 40 | 0.800 (0.769 to 0.821) |" in text
    assert "| view | AP | 30 | 0.800 (0.769 to 0.821), one class only |" in text
    assert "| view | LL | 3 | too few patients |" in text
    assert "Of some of the images alone" not in card.model_card(facts())
