import pytest
from report_examples import NAN, THREE, TWO

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.result import Interval, Prediction
from pneumoscope.report import words


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, "< 0.1 %"),
        (0.0004, "< 0.1 %"),
        (0.0005, "0.1 %"),
        (0.1234, "12.3 %"),
        (0.9994, "99.9 %"),
        (1.0, "> 99.9 %"),
    ],
)
def test_no_probability_is_certain(p, text):
    assert words.probability(p) == text
    assert words.probability(float("nan")) == "undefined"


def test_intervals():
    assert words.interval(Interval(value=0.5, low=0.25, high=0.75)) == "0.500 (0.250 to 0.750)"
    assert words.interval(NAN) == "undefined"
    nan = float("nan")
    assert words.interval(Interval(value=0.5, low=nan, high=nan)) == "0.500 (interval undefined)"


@pytest.mark.parametrize(
    ("names", "positive", "decision", "text"),
    [
        (TWO, "covid", "covid", "Looks like covid"),
        (TWO, "covid", "normal", "Does not look like covid"),
        (TWO, None, "normal", "Looks like normal"),
        (THREE, "covid", "pneumonia", "Looks like pneumonia"),
        (THREE, "covid", None, "Not judged"),
    ],
)
def test_the_verdict(names, positive, decision, text):
    p = Prediction(path="x", accepted=decision is not None, bundle="b", decision=decision)
    assert words.verdict(p, ClassSet(names=names, positive=positive)) == text


def test_small_words():
    assert words.listed(("a", "b", "c")) == "a, b and c"
    assert words.listed(("a",)) == "a"
    assert words.plural(1, "image") == "1 image"
    assert words.plural(1204, "image") == "1,204 images"
    assert words.share(0.432) == "43.2 %"
