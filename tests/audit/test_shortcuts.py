"""Shortcuts on made-up data whose answer is known: what tells the class is found, and what tells nothing is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pneumoscope.audit import shortcuts as measuring
from pneumoscope.audit import small, views
from pneumoscope.audit.crossing import cross
from pneumoscope.audit.metadata import FILE
from pneumoscope.audit.shortcuts import ALL, CLASS_OF_SOURCE, SOURCE, THUMBNAILS, measure
from pneumoscope.audit.shown import Shown
from pneumoscope.core.dataset import Sample
from pneumoscope.core.result import Interval
from pneumoscope.core.serial import from_json, to_json
from pneumoscope.core.shortcuts import Headline, Shortcuts
from pneumoscope.errors import DataError

D = 6


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer trees and resamples: what is asked here does not depend on them."""
    monkeypatch.setattr(small, "TREES", 10)
    monkeypatch.setattr(measuring, "RESAMPLES", 200)


def shown(
    labels: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    collections: Sequence[str] | None = None,
    width: np.ndarray | None = None,
    thumbnails: np.ndarray | None = None,
    **features: np.ndarray,
) -> Shown:
    """A data set of which only what is given tells anything; `width` stands in the header of the file."""
    n = len(labels)
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(n, D)).astype(np.float32)
    samples = tuple(
        Sample(
            file=f"{i:04d}.png",
            label=label,
            group=groups[i] if groups else f"p{i}",
            collection=collections[i] if collections else "",
        )
        for i, label in enumerate(labels)
    )
    given = {
        name: features.get(name.split()[-1], noise) for name in (views.WHOLE, views.BORDERS, views.OUT, views.ONLY)
    }
    return Shown(
        samples=samples,
        facts={FILE: [{"width": float(v)} for v in (rng.normal(size=n) if width is None else width)]},
        thumbnails=rng.normal(size=(n, 9)).astype(np.float32) if thumbnails is None else thumbnails,
        features=given,
        masks=np.full((n, 2), (0.0, 0.5)),
        by="numbers",
        unread={},
    )


def telling(labels: Sequence[str], strength: float = 4.0) -> np.ndarray:
    """Features whose first column tells the class."""
    names = sorted(set(labels))
    x = np.random.default_rng(3).normal(size=(len(labels), D)).astype(np.float32)
    x[:, 0] += strength * np.array([names.index(label) for label in labels])
    return x


def value(found: Shortcuts, name: str) -> float:
    one = found.named(name)
    assert one is not None, name
    return one.balanced_accuracy.value


LABELS = [("covid", "normal")[i % 2] for i in range(120)]


def test_a_size_that_gives_the_class_away_is_all_of_the_headline() -> None:
    width = np.array([512.0 if label == "covid" else 1024.0 for label in LABELS])
    found = measure(shown(LABELS, width=width, image=telling(LABELS, 8)), "made up")
    assert value(found, "metadata: file") == 1.0
    one = found.named("metadata: file")
    assert one is not None
    assert one.share is not None
    assert one.share.value >= 0.99
    assert any("needs no lung at all: 'metadata: file'" in sentence for sentence in found.verdict)
    assert found.counts == {"covid": 60, "normal": 60}
    assert from_json(Shortcuts, to_json(found)) == found


def test_what_tells_nothing_scores_as_guessing_and_the_verdict_says_so() -> None:
    found = measure(shown(LABELS, image=telling(LABELS), only=telling(LABELS)), "made up")
    for name in ("metadata: file", THUMBNAILS, views.BORDERS, views.OUT):
        one = found.named(name)
        assert one is not None, name
        assert one.balanced_accuracy.low < 0.5 < one.balanced_accuracy.high + 0.05, name
    assert value(found, views.ONLY) > 0.9
    assert any(sentence.startswith("No shortcut that sees no lung is clearly better") for sentence in found.verdict)


def test_pictures_of_one_patient_never_help_to_tell_that_patient() -> None:
    # each patient's pictures are alike and unlike all others': told by file, neighbours would be always right
    groups = [f"p{i // 4}" for i in range(160)]
    of_patient = np.random.default_rng(1).integers(2, size=40)
    labels = [("covid", "normal")[of_patient[i // 4]] for i in range(160)]
    alike = np.repeat(np.random.default_rng(2).normal(size=(40, 9)), 4, axis=0).astype(np.float32)
    found = measure(shown(labels, groups=groups, thumbnails=alike), "made up")
    assert value(found, THUMBNAILS) < 0.75
    assert found.n_patients == 40


def test_a_headline_from_elsewhere_is_what_shares_are_taken_of() -> None:
    width = np.array([512.0 if label == "covid" else 1024.0 for label in LABELS])
    made = shown(LABELS, width=width)
    figure = Interval(value=0.75, low=0.7, high=0.8)
    found = measure(
        made, "made up", headline=Headline(of="the bundle", classes=("covid", "normal"), balanced_accuracy=figure)
    )
    assert found.verdict[0] == "The bundle scores a balanced accuracy of 0.75 (0.70 to 0.80); guessing scores 0.50."
    assert found.verdict[1].startswith("All of what that is above guessing needs no lung at all")
    other = Headline(of="the bundle", classes=("a", "b", "c"), balanced_accuracy=figure)
    said = measure(made, "made up", headline=other).verdict
    assert said[1].startswith("Without any lung, ")


def test_sources_are_told_and_tell() -> None:
    collections = ["one" if i < 60 else "other" for i in range(120)]
    # of "one" 50 of 60 are covid, of "other" 10 of 60
    labels = ["covid" if i < 50 or i >= 110 else "normal" for i in range(120)]
    found = measure(shown(labels, collections=collections, image=telling(collections, 8)), "together")
    assert value(found, CLASS_OF_SOURCE) == pytest.approx(50 / 60)
    told = found.named(SOURCE)
    assert told is not None
    assert told.classes == ("one", "other")
    assert told.balanced_accuracy.value > 0.95


def test_one_source_is_not_asked_for() -> None:
    found = measure(shown(LABELS), "made up")
    assert found.named(SOURCE) is None
    assert found.named(CLASS_OF_SOURCE) is None
    assert found.named(ALL) is None


def test_images_without_lungs_are_left_out_of_two_views_and_counted() -> None:
    only = telling(LABELS)
    out = np.array(telling(LABELS, 0))
    out[:20] = only[:20] = np.nan
    found = measure(shown(LABELS, image=telling(LABELS), out=out, only=only), "made up")
    assert found.without_lungs == {"covid": 10, "normal": 10}
    sizes = {s.name: s.n_images for s in found.found}
    assert (sizes[views.OUT], sizes[views.ONLY], sizes[views.WHOLE]) == (100, 100, 120)
    assert any("20 of 120 images" in text for text in found.warnings)


def test_too_few_patients_of_a_class_leave_it_out_and_of_two_are_refused() -> None:
    labels = [*LABELS, "other", "other"]
    assert measure(shown(labels), "made up").left_out == {"other": 2}
    with pytest.raises(DataError, match="expected at least two labels with 10 patients each, found 1"):
        measure(shown(["covid"] * 20 + ["normal"] * 9), "made up")


def test_two_sets_of_opposite_meaning_do_not_carry_over() -> None:
    labels = LABELS + LABELS
    x = np.concatenate([telling(LABELS, 8), telling(LABELS, -8)])
    collections = ["one"] * 120 + ["other"] * 120
    by = {(c.learned, c.tested): c for c in cross(shown(labels, collections=collections, image=x))}
    assert len(by) == 4
    assert by["one", "one"].balanced_accuracy.value > 0.95
    assert by["other", "other"].balanced_accuracy.value > 0.95
    assert by["one", "other"].balanced_accuracy.value < 0.7
    assert by["one", "other"].classes == ("covid", "normal")


def test_a_patient_of_both_sets_is_not_asked_about_again() -> None:
    labels = LABELS + LABELS
    groups = [f"p{i}" for i in range(120)] + [f"p{i}" for i in range(60, 180)]
    collections = ["one"] * 120 + ["other"] * 120
    by = {(c.learned, c.tested): c for c in cross(shown(labels, groups=groups, collections=collections))}
    assert by["one", "other"].n_images == 60
    assert by["one", "one"].n_images == 120


def test_a_class_of_which_nearly_all_patients_are_known_is_not_asked_about() -> None:
    # all covid patients but three of the second set are in the first one
    groups = [f"p{i}" for i in range(120)] + [f"p{i}" if i % 2 == 0 and i < 114 else f"q{i}" for i in range(120)]
    collections = ["one"] * 120 + ["other"] * 120
    by = {(c.learned, c.tested) for c in cross(shown(LABELS + LABELS, groups=groups, collections=collections))}
    assert by == {("one", "one"), ("other", "other")}


def test_sets_without_two_classes_in_common_are_not_compared() -> None:
    labels = LABELS + [("a", "b")[i % 2] for i in range(60)]
    found = cross(shown(labels, collections=["one"] * 120 + ["other"] * 60))
    assert {(c.learned, c.tested) for c in found} == {("one", "one"), ("other", "other")}
