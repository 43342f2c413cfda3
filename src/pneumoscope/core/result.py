"""What comes out: a prediction for one study, an evaluation of many, an explanation of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pneumoscope.core.interval import Curve as Curve
from pneumoscope.core.interval import Interval as Interval
from pneumoscope.core.paper import Reported
from pneumoscope.core.serial import Undefinable
from pneumoscope.core.trust import Calibration, Coverage, OperatingPoint, Selected

HISTOGRAM = 20  # parts of 0..1 that predictions are counted in


@dataclass(frozen=True, kw_only=True)
class Series:
    """The CT series that a prediction is about.

    rule: why this one and no other. shape: `(slices, H, W)`. spacing_mm: from slice to slice, row to row, column to
    column.
    """

    rule: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class SliceAnswer:
    """What the slice network says of one slice of a study.

    source: where the slice came from. position_mm: how far above the lowest slice it lies, None where that is unknown.
    probabilities: class -> 0..1. matters: it is among the slices that are the most like the prediction's `focus`.
    """

    source: str
    position_mm: float | None
    probabilities: Mapping[str, float]
    matters: bool = False


@dataclass(frozen=True, kw_only=True)
class GateCheck:
    """What one check of the gate found.

    flagged: it is judged all the same, and a warning says why. value: what was measured, and limit: the most or the
    least that it may be; None where something is read and not measured.
    """

    verdict: Literal["passed", "flagged", "refused"]
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The answer for one path, accepted or refused; its JSON is what `predict --json` prints.

    probabilities: class -> 0..1, summing to 1, calibrated; empty where refused. There is no entry for a class that the
        model was not trained on. raw: the same before calibration, as the graph gave them. decision: the class
        decided for. threshold: on the positive class's probability, None for argmax. reasons: why it was refused.
        outputs: kind -> file written. gate: check -> what it found, of the checks that measured or objected.
    set: the classes that the answer cannot rule out (see `core.trust.Conformal`), in the model's order; empty where the
        bundle has no such rule. prevalence: class -> share that probabilities were re-weighted for; empty where not.
    precision: what the graph ran in ("fp32", "bf16").
    Of a study that is judged slice by slice also: series: which one. slices: from the feet to the head. members:
    classifier of studies -> class -> 0..1. combined: how the study's answer came about, the name of the network whose
    answer it is, or "mean of slices". focus: the class that the slices that matter are the most like: the one decided
    for, or, where that is the normal one, the one that speaks most against it.
    """

    path: str
    accepted: bool
    bundle: str
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    gate: Mapping[str, GateCheck] = field(default_factory=dict)
    probabilities: Mapping[str, float] = field(default_factory=dict)
    decision: str | None = None
    threshold: float | None = None
    precision: str = "fp32"
    seconds: float = 0.0
    outputs: Mapping[str, str] = field(default_factory=dict)
    series: Series | None = None
    slices: tuple[SliceAnswer, ...] = ()
    members: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    combined: str | None = None
    focus: str | None = None
    raw: Mapping[str, float] = field(default_factory=dict)
    set: tuple[str, ...] = ()
    prevalence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of images in pixels, width times height: number of images, least, largest, mean, standard deviation."""

    images: int
    min: float
    max: float
    mean: float
    sd: Undefinable


@dataclass(frozen=True, kw_only=True)
class Before:
    """What a stage of another data role learned from, and how well, on that role's validation part.

    counts: class -> images or slices that show it. n_validation: of them, those that chose the weights. best_epoch:
    from 1, the one whose weights went on.
    """

    role: str
    stage: str
    counts: Mapping[str, int]
    n_patients: int
    n_validation: int
    val_accuracy: float
    best_epoch: int
    epochs: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """Figures of some of the images that were evaluated.

    counts: class -> images. metrics, confusion: as in `Evaluation`.
    """

    counts: Mapping[str, int]
    n_patients: int
    metrics: Mapping[str, Interval | Mapping[str, Interval]]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Level(Part):
    """Figures of one level of a method of studies; of its slices, or of its studies.

    difference: its accuracy less the method's, on the same studies; None where it judges slices.
    """

    difference: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """What a threshold on the positive class's probability would decide.

    name: its rule, as "fixed 0.3", "youden", "sensitivity 0.95" or "cost 5". thresholds: of each fold, each fitted on
    data that the figures are not of. metrics, confusion: as in `Evaluation`.
    """

    name: str
    thresholds: tuple[float, ...]
    metrics: Mapping[str, Interval | Mapping[str, Interval]]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Benefit:
    """The decision curve of the positive class; see `evaluate.benefit`.

    One entry a threshold: net benefit of deciding by the model, with its 95 % interval over patients (pointwise), and
    of calling all images positive; calling none has 0. gain_low: the lower end of the interval of the model's net
    benefit less that of the better of the two. prevalence: share of positive images, 0..1.
    """

    prevalence: float
    thresholds: tuple[float, ...]
    model: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    all: tuple[float, ...]
    gain_low: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A figure on a bundle's own patients, out of fold, and here. difference: here less there."""

    own: Interval
    here: Interval
    difference: Interval


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A bundle's own evaluation beside this one; see `evaluate.transfer`.

    protocol, judged, n_images, n_patients, counts (class -> images): of the own one. leaky: it has, or may have,
    patients on both sides of its split. absent: classes that do not occur in one of the two. metrics: `metric`, or
    `metric.class`; empty where nothing means the same in both.
    """

    protocol: str | None
    judged: Literal["image", "slice", "study"]
    n_images: int
    n_patients: int
    counts: Mapping[str, int]
    leaky: bool
    absent: tuple[str, ...]
    metrics: Mapping[str, Moved]


@dataclass(frozen=True, kw_only=True)
class Learned:
    """How a stage's loss went in one fold, epoch by epoch.

    fold: from 0. train_loss: of what it learned from, while it learned; val_loss: of the part that chose the weights.
    best_epoch: from 0, the one whose weights are kept.
    """

    stage: str
    fold: int
    train_loss: tuple[Undefinable, ...]
    val_loss: tuple[Undefinable, ...]
    best_epoch: int


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How good a method was on data it had not seen; its JSON is `evaluation.json`.

    judged: what each answer is of, and n_images counts. n_slices: of the studies judged, 0 where none are.
    metrics: name -> Interval, or class -> Interval for the metrics of one class.
    confusion: `[true class][decided class]` counts, in the order of `classes`.
    thresholds: the threshold used in each fold (one for a bundle), empty for argmax.
    before: what came before on other data. folds: what each fold scored on its test part: metric -> value.
    learned: the learning curves, stage by stage and fold by fold; none in older files, or of a bundle elsewhere.
    sizes: class -> sizes of its images as they were read.
    parts: what the images are told apart by ("modality", "data set", "source", "view", "sex", "age") -> its value ->
        figures of those images, none of too few patients; what has one value is absent. See `evaluate.parts`.
    levels: what each level of a method of studies answers by itself, in the order of the paper, the last of which is
        the method's answer; empty for others.
    studied: what other thresholds would decide; empty where no class is positive.
    histogram: class -> how many of its images had a probability of the positive class in each of `HISTOGRAM` equal
        parts of 0..1.
    calibration: how far the probabilities mean what they say, before and after calibration. conformal: how often the
        prediction sets held the true class. selective: accuracy of the surest answers alone. operating: thresholds by
        what they promise, with what a positive or negative answer is worth. See `core.trust`; none in older files.
    benefit: the decision curve of the positive class; None where there is none.
    transfer: the figures of the bundle that was evaluated on its own patients, beside these; None for a run.
    bundle: id of the one that was evaluated; None for a run.
    reported: what the paper prints of it.
    shared_patients: patients with files on both sides of the split; 0 in the honest protocol.
    """

    classes: tuple[str, ...]
    positive: str | None
    metrics: Mapping[str, Interval | Mapping[str, Interval]]
    confusion: tuple[tuple[int, ...], ...]
    roc: Mapping[str, Curve]
    reliability: Curve
    n_images: int
    n_patients: int
    judged: Literal["image", "slice", "study"] = "image"
    n_slices: int = 0
    thresholds: tuple[float, ...] = ()
    before: tuple[Before, ...] = ()
    folds: tuple[Mapping[str, Undefinable], ...] = ()
    learned: tuple[Learned, ...] = ()
    sizes: Mapping[str, Sizes] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, Part]] = field(default_factory=dict)
    levels: Mapping[str, Level] = field(default_factory=dict)
    studied: tuple[Threshold, ...] = ()
    histogram: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    calibration: Calibration | None = None
    conformal: Coverage | None = None
    selective: tuple[Selected, ...] = ()
    operating: tuple[OperatingPoint, ...] = ()
    benefit: Benefit | None = None
    transfer: Transfer | None = None
    bundle: str | None = None
    protocol: str | None = None
    grouped: bool = True
    shared_patients: int = 0
    split: str | None = None
    dataset: str | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    reported: tuple[Reported, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One picture of a gallery. pixels: float32 `[H, W]` in 0..1. heat: Grad-CAM on its own grid `[h, w]`, or None.

    right: whether what the caption says was decided rightly; None where nothing was decided.
    """

    pixels: np.ndarray
    caption: str
    heat: np.ndarray | None = None
    right: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Point:
    """A study in a plane. part: of the split, "validation" or "test"."""

    x: float
    y: float
    label: str
    part: Literal["validation", "test"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Gallery:
    """Pictures that a report shows together, over the whole width where they are `large`.

    note: what they are, in a few sentences. points: a plane of studies, drawn before the pictures.
    """

    title: str
    note: str
    pictures: tuple[Picture, ...] = ()
    large: bool = False
    points: tuple[Point, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Where a network looked.

    map: float32 `[H, W]` in 0..1 (1: the strongest place; all 0 where nothing speaks for the target), in the
    pixels of the source image; `[Z, Y, X]` in the voxels of a volume that is judged as a whole.
    """

    method: Literal["grad-cam"]
    layer: str
    target: str
    map: np.ndarray
