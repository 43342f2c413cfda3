"""Every metric with its 95 % percentile bootstrap interval over patients (Efron and Tibshirani 1993, ch. 13).

A resample of patients is one row of whole-number weights, the same for all images of a patient. Every metric
takes weights `[R, N]` and answers all R rows at once; a row of ones is the data itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.result import Curve, Evaluation, Interval
from pneumoscope.errors import DataError, UsageError

BINS = 15  # equal-mass bins, as in Roelofs et al. 2022
IMAGES_A_BIN = 10
ROC_POINTS = 200
FEW_PATIENTS = 10
Metric = Interval | Mapping[str, Interval]  # of the whole, or class -> of that class
_CELLS = 2_000_000  # weights held at once: bounds the memory, whatever the number of images


def evaluate(
    probabilities: np.ndarray,
    labels: np.ndarray,
    decisions: np.ndarray,
    groups: Sequence[str],
    classes: ClassSet,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """All metrics, curves and counts of one set of answers; the caller adds what it alone knows (protocol, split).

    probabilities: `[N, K]`, rows summing to 1, in the order of `classes`. labels, decisions: integers `[N]` in
    0..K-1. groups: the patient of each image.

    accuracy, balanced_accuracy: balanced is the mean sensitivity of the classes that occur in `labels`.
    auc: ties count one half. Two classes: of the positive one. More: the mean of one-vs-rest over the classes that
        occur; each class is under auc_ovr.
    sensitivity, specificity, precision, f1: per class, one against the rest.
    brier: two classes: mean of (p - y)^2 of the positive class, 0..1. More: mean over images of the sum over
        classes, 0..2 (Brier 1950).
    ece: see `ece`; of the positive class's probability for two classes, else of the highest probability.
    reliability: observed against mean predicted, for the same quantity and bins as ece.

    Where two classes name none positive, the last one stands in. A metric that the data leaves undefined (a class
    does not occur, or is never decided for) is NaN; a resample that leaves it undefined is left out of the interval.

    Raises:
        DataError: lengths or values that do not fit. UsageError: resamples below 1.
    """
    p = checked(probabilities, labels, decisions, groups, classes)
    if resamples < 1:
        raise UsageError(f"resamples: expected at least 1, found {resamples}. Leave it at 2000.")
    labels, decisions = labels.astype(np.int64), decisions.astype(np.int64)
    patients, patient = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    counts = _confusion(labels, decisions, np.ones((1, len(p))), len(classes.names))[0]
    return Evaluation(
        classes=classes.names,
        positive=classes.positive,
        metrics=_metrics(p, labels, decisions, resampled(patient, len(patients), resamples, seed), classes),
        confusion=tuple(tuple(int(n) for n in row) for row in counts),
        roc={c: _roc(p[:, k], labels == k) for k, c in enumerate(classes.names) if 0 < (labels == k).sum() < len(p)},
        reliability=reliability(*judged(p, labels, classes)),
        n_images=len(p),
        n_patients=len(patients),
        warnings=_warnings(labels, patient, classes),
    )


def plain(decisions: np.ndarray, labels: np.ndarray, classes: ClassSet) -> dict[str, float]:
    """Accuracy, balanced accuracy and `sensitivity.<class>` of `[N]` decisions, without intervals; NaN if undefined.

    Of the positive class also its specificity and its precision.
    """
    found = _from_confusion(_confusion(labels, decisions, np.ones((1, len(labels))), len(classes.names)))
    recalls = found["sensitivity"][0]
    figures = {
        "accuracy": float(found["accuracy"][0]),
        "balanced_accuracy": float(np.nanmean(recalls)),
        **{f"sensitivity.{name}": float(r) for name, r in zip(classes.names, recalls, strict=True)},
    }
    if classes.positive is not None:
        for metric in ("specificity", "precision"):
            figures[f"{metric}.{classes.positive}"] = float(found[metric][0][classes.positive_index])
    return figures


def of_decisions(
    decided: Sequence[np.ndarray],
    labels: np.ndarray,
    groups: Sequence[str],
    classes: ClassSet,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> list[tuple[dict[str, Metric], tuple[tuple[int, ...], ...]]]:
    """What decisions alone determine of several ways `[N]` to decide for the same images: metrics, and confusion.

    The metrics and intervals are those that `evaluate` gives of the same decisions, groups and seed; all ways share
    its resamples. No AUC, Brier score or calibration: those are of the probabilities.
    """
    patients, patient = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    drawn: list[list[dict[str, np.ndarray]]] = [[] for _ in decided]
    for weights in resampled(patient, len(patients), resamples, seed):
        for rows, decisions in zip(drawn, decided, strict=True):
            rows.append(_of_decisions(labels, decisions, weights, len(classes.names)))
    once = np.ones((1, len(labels)))
    found = []
    for rows, decisions in zip(drawn, decided, strict=True):
        data = _of_decisions(labels, decisions, once, len(classes.names))
        counts = _confusion(labels, decisions, once, len(classes.names))[0]
        found.append((_intervals(data, rows, classes), tuple(tuple(int(n) for n in row) for row in counts)))
    return found


def checked(
    probabilities: np.ndarray, labels: np.ndarray, decisions: np.ndarray, groups: Sequence[str], classes: ClassSet
) -> np.ndarray:
    """The probabilities as float64, once all that came in fits together."""
    k = len(classes.names)
    if probabilities.ndim != 2 or probabilities.shape[1] != k or len(probabilities) == 0:
        raise DataError(f"probabilities: expected shape [N, {k}] with N of at least 1, found {probabilities.shape}.")
    n = len(probabilities)
    p = probabilities.astype(np.float64)
    if not np.isfinite(p).all() or p.min() < 0 or p.max() > 1:
        raise DataError("probabilities: expected numbers in 0..1, found others. Check the model's outputs for NaN.")
    off = np.abs(p.sum(axis=1) - 1)
    if off.max() > 1e-3:
        raise DataError(f"probabilities: expected rows that sum to 1, found row {off.argmax()} off by {off.max():.3g}.")
    for name, values in (("labels", labels), ("decisions", decisions)):
        if values.shape != (n,) or not np.issubdtype(values.dtype, np.integer):
            raise DataError(f"{name}: expected {n} integers, found {values.dtype} of shape {values.shape}.")
        if values.min() < 0 or values.max() >= k:
            raise DataError(f"{name}: expected numbers in 0..{k - 1}, found {values.min()}..{values.max()}.")
    if len(groups) != n:
        raise DataError(f"groups: expected one for each of {n} images, found {len(groups)}.")
    return p


def resampled(patient: np.ndarray, n_patients: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Weights `[r, N]`, a few resamples at a time: how often each image's patient was drawn."""
    rng = np.random.default_rng(seed)
    chunk = max(1, _CELLS // len(patient))
    for start in range(0, resamples, chunk):
        r = min(chunk, resamples - start)
        drawn = rng.integers(n_patients, size=(r, n_patients)) + n_patients * np.arange(r)[:, None]
        times = np.bincount(drawn.ravel(), minlength=r * n_patients).reshape(r, n_patients)
        yield times[:, patient].astype(np.float64)


def _metrics(
    p: np.ndarray, labels: np.ndarray, decisions: np.ndarray, resampled: Iterable[np.ndarray], classes: ClassSet
) -> dict[str, Metric]:
    data = figures(p, labels, decisions, np.ones((1, len(p))), classes, noise=1)
    drawn = [figures(p, labels, decisions, weights, classes, noise=2) for weights in resampled]
    return _intervals(data, drawn, classes)


def _intervals(
    data: Mapping[str, np.ndarray], drawn: Sequence[Mapping[str, np.ndarray]], classes: ClassSet
) -> dict[str, Metric]:
    """Figures of the data with the intervals that those of its resamples give."""
    found: dict[str, Metric] = {}
    for name, value in data.items():
        rows = np.concatenate([d[name] for d in drawn])
        if value.ndim == 1:
            found[name] = interval(value[0], rows)
        else:
            found[name] = {c: interval(value[0, k], rows[:, k]) for k, c in enumerate(classes.names)}
    return found


def figures(
    p: np.ndarray, labels: np.ndarray, decisions: np.ndarray, weights: np.ndarray, classes: ClassSet, *, noise: int
) -> dict[str, np.ndarray]:
    """Name -> `[R]`, or `[R, K]` for the metrics of one class; NaN where undefined. noise: see `ece`."""
    k = len(classes.names)
    one_hot = np.eye(k)[labels]
    present = one_hot.any(axis=0)
    found = _of_decisions(labels, decisions, weights, k)
    score, truth = judged(p, labels, classes)
    if k == 2:
        found["auc"] = _auc(score, truth, weights)
        loss = (score - truth) ** 2
    else:
        found["auc_ovr"] = np.stack([_auc(p[:, c], labels == c, weights) for c in range(k)], axis=1)
        found["auc"] = found["auc_ovr"][:, present].mean(axis=1)
        loss = ((p - one_hot) ** 2).sum(axis=1)
    found["brier"] = weights @ loss / weights.sum(axis=1)
    found["ece"] = ece(score, truth, weights, noise=noise)
    return found


def _of_decisions(labels: np.ndarray, decisions: np.ndarray, weights: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """The part of `figures` that no probability goes into."""
    found = _from_confusion(_confusion(labels, decisions, weights, k))
    found["balanced_accuracy"] = found["sensitivity"][:, np.unique(labels)].mean(axis=1)
    return found


def _confusion(labels: np.ndarray, decisions: np.ndarray, weights: np.ndarray, k: int) -> np.ndarray:
    """`[R, K, K]`: the weight of each (true class, decided class)."""
    counts: np.ndarray = weights @ np.eye(k * k)[labels * k + decisions]
    return counts.reshape(-1, k, k)


def _from_confusion(confusion: np.ndarray) -> dict[str, np.ndarray]:
    total = confusion.sum(axis=(1, 2))[:, None]
    hit = np.diagonal(confusion, axis1=1, axis2=2)
    actual, decided = confusion.sum(axis=2), confusion.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is NaN: undefined, as documented
        return {
            "accuracy": hit.sum(axis=1) / total[:, 0],
            "sensitivity": hit / actual,
            "specificity": (total - actual - decided + hit) / (total - actual),
            "precision": hit / decided,
            "f1": 2 * hit / (actual + decided),
        }


def _auc(score: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`[R]`: the chance that a true image scores above another one, ties one half (Hanley and McNeil 1982)."""
    others = np.flatnonzero(~truth)
    others = others[np.argsort(score[others])]
    below = np.searchsorted(score[others], score[truth], side="left")
    up_to = np.searchsorted(score[others], score[truth], side="right")
    passed = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights[:, others], axis=1)], axis=1)
    true_weights = weights[:, truth]
    won = (true_weights * (passed[:, below] + passed[:, up_to])).sum(axis=1) / 2
    with np.errstate(invalid="ignore"):
        auc: np.ndarray = won / (true_weights.sum(axis=1) * passed[:, -1])
    return auc


def judged(p: np.ndarray, labels: np.ndarray, classes: ClassSet) -> tuple[np.ndarray, np.ndarray]:
    """A probability and whether it came true, `[N]` each: the positive class's for two classes, else the top one's."""
    if len(classes.names) == 2:
        positive = 1 if classes.positive is None else classes.positive_index
        return p[:, positive], labels == positive
    return p.max(axis=1), p.argmax(axis=1) == labels


def _bins(score: np.ndarray) -> np.ndarray:
    """Bin of each image, `[N]`: at most 15 bins of equal mass and at least 10 images; equal scores share a bin."""
    n = min(BINS, max(1, len(score) // IMAGES_A_BIN))
    edges = np.quantile(score, np.linspace(0, 1, n + 1)[1:-1])
    bins: np.ndarray = np.searchsorted(edges, score, side="right")
    return bins


def ece(score: np.ndarray, truth: np.ndarray, weights: np.ndarray, *, noise: int) -> np.ndarray:
    """`[R]`: debiased expected calibration error, the root of the mean squared gap between predicted and observed.

    The plain estimate is never 0, even for a perfect model, since the observed share of a bin of n images has the
    variance y(1 - y) / n. Its unbiased estimate y(1 - y) / (n - 1) is taken off each squared gap (Kumar et al. 2019,
    "Verified uncertainty calibration", def. 5.1) and the sum is cut at 0; bins of equal mass as Roelofs et al. 2022,
    "Mitigating bias in calibration error estimation". This holds for the squared error only, hence the root of the
    mean square, which is at least the mean absolute gap.

    noise: 1 for the data. 2 for a resample, which has that noise twice: from the data, and from the drawing.
    """
    bins = np.eye(BINS)[_bins(score)]
    n = weights @ bins
    some = np.maximum(n, 1)  # an empty bin has no gap and no weight
    gap = (weights @ (bins * (score - truth)[:, None])) / some
    observed = (weights @ (bins * truth[:, None])) / some
    squared = gap**2 - noise * observed * (1 - observed) / np.maximum(n - 1, 1)
    mean: np.ndarray = (n * squared).sum(axis=1) / weights.sum(axis=1)
    root: np.ndarray = np.sqrt(np.maximum(mean, 0))
    return root


def reliability(score: np.ndarray, truth: np.ndarray) -> Curve:
    """Observed against mean predicted in the bins of `ece`; both `[N]`."""
    bins = _bins(score)
    used = np.unique(bins)
    return Curve(
        x=tuple(float(score[bins == b].mean()) for b in used), y=tuple(float(truth[bins == b].mean()) for b in used)
    )


def _roc(score: np.ndarray, truth: np.ndarray) -> Curve:
    """False positive rate -> sensitivity from (0, 0) to (1, 1), at most 200 points."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)  # of each run of equal scores
    hits = np.append(0, np.cumsum(truth[order])[last])
    alarms = np.append(0, np.cumsum(~truth[order])[last])
    steps = np.diff(hits) * 1j + np.diff(alarms)
    corners = np.flatnonzero((steps[1:] * steps[:-1].conj()).imag != 0) + 1  # where the direction changes
    kept = np.concatenate([[0], corners, [len(hits) - 1]])
    if len(kept) > ROC_POINTS:
        kept = kept[np.round(np.linspace(0, len(kept) - 1, ROC_POINTS)).astype(int)]
    x, y = alarms[kept] / alarms[-1], hits[kept] / hits[-1]
    return Curve(x=tuple(map(float, x)), y=tuple(map(float, y)))


def interval(value: float, drawn: np.ndarray) -> Interval:
    """A figure with the percentiles of those of its resamples `[R]`, the undefined ones left out."""
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(value) or len(drawn) == 0:
        return Interval(value=float("nan"), low=float("nan"), high=float("nan"))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(value=float(value), low=float(low), high=float(high))


def _warnings(labels: np.ndarray, patient: np.ndarray, classes: ClassSet) -> tuple[str, ...]:
    patients = {name: len(np.unique(patient[labels == k])) for k, name in enumerate(classes.names)}
    found = [
        f"There is none of class '{name}': its figures are undefined, and no mean includes it."
        for name, n in patients.items()
        if n == 0
    ]
    few = [f"{n} of class '{name}'" for name, n in patients.items() if 0 < n < FEW_PATIENTS]
    if few:
        found.append(f"Few patients ({', '.join(few)}): intervals over so few are too narrow.")
    return tuple(found)
