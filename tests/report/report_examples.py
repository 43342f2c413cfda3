"""Objects that the tests of the reports are made of."""

import dataclasses
from html.parser import HTMLParser

import numpy as np

from pneumoscope.bundle import DataCard, Facts, Precision, PretrainedWeights
from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.image import Image2D
from pneumoscope.core.paper import Paper
from pneumoscope.core.recipe import Decision, Protocol, Recipe
from pneumoscope.core.result import Curve, Evaluation, Explanation, Gallery, Interval, Picture, Prediction, Sizes
from pneumoscope.core.stage import Head, Optim, Stage, Step
from pneumoscope.runtime.screened import Screened

TWO = ("normal", "covid")
THREE = ("normal", "pneumonia", "covid")
HOSTILE = '<script>alert(1)</script>\'"&{{ 7 * 7 }}"><img src=x onerror=alert(2)>.png'
HEAT = np.array([[0, 0], [0, 2]], np.float32)
NAN = Interval(value=float("nan"), low=float("nan"), high=float("nan"))


def recipe(names=TWO, **kw):
    """A recipe with both protocols."""
    stage = Stage(
        name="head",
        level="image",
        net="tiny",
        head=Head(pooling="average"),
        init="random",
        trainable="all",
        loss="cross_entropy",
        class_weights="none",
        optim=Optim(name="adam", lr=1e-3),
        epochs=7,
        batch=4,
    )
    values = {
        "name": "doe2021",
        "paper": Paper(authors="J. Doe", title="A <b>network</b>", year=2021, where="Somewhere"),
        "modalities": ("xray",),
        "classes": ClassSet(names=names, positive="covid"),
        "prep": (Step(name="resize", args={"size": 32}),),
        "stages": (stage,),
        "protocols": (
            Protocol(name="honest", unit="group", folds=5, test_share=0.2, val_share=0.15),
            Protocol(name="paper", unit="image", folds=1, test_share=0.2, val_share=0.0),
        ),
        "decision": Decision(rule="fixed"),
        "sources": {
            "modalities": "section 1",
            "classes": "section 2",
            "prep": "assumed: nothing is said",
            "stages": "section 3",
            "stages.head.epochs": "override",
            "protocols": "ours: patients apart",
            "decision": "section 4",
            "roles": "section 5",
        },
    }
    return Recipe(**(values | kw))


def interval(value):
    return Interval(value=value, low=value - 0.031, high=value + 0.021)


def evaluation(names=TWO, **kw):
    """An evaluation with all kinds of metrics."""
    k = len(names)
    values = {
        "classes": names,
        "positive": "covid",
        "metrics": {
            "accuracy": interval(0.871),
            "balanced_accuracy": interval(0.852),
            "auc": interval(0.913),
            "sensitivity": {name: interval(0.7 + 0.01 * i) for i, name in enumerate(names)},
            "precision": dict.fromkeys(names, NAN),
            "brier": interval(0.123),
        },
        "confusion": tuple(tuple(40 + i if i == j else 5 for j in range(k)) for i in range(k)),
        "roc": {name: Curve(x=(0.0, 0.1, 1.0), y=(0.0, 0.8, 1.0)) for name in names},
        "reliability": Curve(x=(0.1, 0.9), y=(0.2, 0.7)),
        "n_images": 1234,
        "n_patients": 567,
        "thresholds": (0.5,),
        "protocol": "honest",
        "split": "5" * 64,
        "dataset": "d" * 64,
    }
    return Evaluation(**(values | kw))


SIZES = {"normal": Sizes(images=3, min=4e6, max=1e7, mean=6e6, sd=3464101.6)}


def data_card(**kw):
    """What a bundle was trained on."""
    values = {
        "n_images": 2100,
        "n_patients": 1900,
        "grouped": True,
        "counts": {"normal": 1000, "disease": 1100},
        "modalities": {"xray": 2000, "not stated": 100},
        "sources": ("set <one>", "set|two"),
        "dataset": "d" * 64,
    }
    return DataCard(**(values | kw))


def picture(caption="normal; decided covid, 83 %", **kw):
    pixels = np.full((24, 20), 0.5, np.float32)
    return Picture(**({"pixels": pixels, "caption": caption} | kw))


def gallery(*pictures, title="Some pictures", note="Drawn by a seed."):
    return Gallery(title=title, note=note, pictures=pictures or (picture(right=True), picture(right=False)))


def facts(names=TWO, **kw):
    """The facts of a bundle, with text that would be markup were it not escaped."""
    values = {
        "name": "tiny-xray",
        "created": "2025-01-02",
        "pneumoscope": "0.1.0",
        "recipe": recipe(names),
        "threshold": 0.3,
        "precisions": {"fp32": Precision(validated=True, largest_difference=1e-6, changed=0, n_images=16)},
        "explains": "last_conv",
        "evaluation": evaluation(names),
        "data": data_card(counts=dict.fromkeys(names, 700)),
        "pretrained": PretrainedWeights(name="tiny_w", digest="e" * 64, origin="here", licence="CC0"),
        "intended_use": "Tests & nothing else.",
        "limits": ("Knows <nothing>.",),
        "licence": "CC BY 4.0",
        "id": "0123456789abcdef0123456789abcdef",
    }
    return Facts(**(values | kw))


def screened(path="a/b.png", p=(0.8, 0.2), names=TWO, decision="normal", size=(24, 20), heat=1.0, **kw):
    """An accepted study; heat: the highest value of its map."""
    pixels = np.random.default_rng(0).random(size, dtype=np.float32)
    values = np.zeros(size, np.float32)
    values[4:9, 4:9] = heat
    values_of = {
        "path": path,
        "accepted": True,
        "bundle": "0" * 32,
        "probabilities": dict(zip(names, p, strict=True)),
        "decision": decision,
        "threshold": 0.3,
        "seconds": 0.42,
    }
    return Screened(
        prediction=Prediction(**(values_of | kw)),
        image=Image2D(pixels=pixels, unit="unit", view="PA"),
        explanation=Explanation(method="grad-cam", layer="last_conv", target=decision, map=values),
    )


def refused(path="bad.png", *reasons):
    return Screened(
        prediction=Prediction(path=path, accepted=False, bundle="0" * 32, reasons=reasons or ("Too dark.",))
    )


class Page(HTMLParser):
    """What a browser would see: tags with attributes, and the text outside style and script."""

    VOID = frozenset({"meta", "img", "input", "br", "wbr", "link"})
    APART = frozenset({"td", "th", "dt", "dd", "li", "p", "small", "br", "h2", "h3"})

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.pieces = [], [], []
        self.feed(html)
        self.close()
        self.text = " ".join("".join(self.pieces).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.pieces.append(" " if tag in self.APART else "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.pieces.append(data)

    def all(self, tag, css=None):
        return [a for t, a in self.tags if t == tag and (css is None or css in (a.get("class") or "").split())]


def with_metrics(found, **metrics):
    return dataclasses.replace(found, metrics={**found.metrics, **metrics})
