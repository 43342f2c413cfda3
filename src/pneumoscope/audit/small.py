"""The small models, each fitted on the training part of a fold alone: `[N, D]` and labels in, probabilities out.

All weigh classes alike, since what they are judged by is balanced accuracy. The penalty of the logistic regression is
chosen on the fold's validation part, a part of what it may learn from; its final fit is on both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

NEIGHBOURS = 5
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C: the larger, the weaker
COMPONENTS = 200  # of features, before the regression: what follows is noise at these numbers of images
TREES, LEAF = 100, 3


class Learned(NamedTuple):
    """What a model is fitted with: features `[N, D]` and labels `[N]` in 0..k-1, and which of them choose a penalty."""

    x: np.ndarray
    y: np.ndarray
    chooses: np.ndarray
    k: int


Model = Callable[[Learned, np.ndarray], np.ndarray]  # and features `[M, D]` -> probabilities `[M, k]`


def neighbours(learned: Learned, asked: np.ndarray) -> np.ndarray:
    """The `NEIGHBOURS` nearest by Euclidean distance, each vote over the number of images of its class."""
    weight = 1 / np.maximum(np.bincount(learned.y, minlength=learned.k), 1)
    length = (learned.x**2).sum(axis=1)
    found = np.empty((len(asked), learned.k))
    for i, one in enumerate(asked):
        far = length - 2 * (learned.x @ one)
        nearest = learned.y[np.argpartition(far, min(NEIGHBOURS, len(far)) - 1)[:NEIGHBOURS]]
        found[i] = np.bincount(nearest, minlength=learned.k) * weight
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def most_favoured(learned: Learned, asked: np.ndarray) -> np.ndarray:
    """By one number that stands for a name, `[N, 1]`: how much of each class has it; unknown names tell nothing."""
    share = np.zeros((int(max(learned.x.max(), asked.max())) + 1, learned.k))
    np.add.at(share, (learned.x[:, 0].astype(int), learned.y), 1)
    share = share / np.maximum(np.bincount(learned.y, minlength=learned.k), 1) + 1e-9
    return np.asarray((share / share.sum(axis=1, keepdims=True))[asked[:, 0].astype(int)])


def forest(learned: Learned, asked: np.ndarray) -> np.ndarray:
    """Random trees (Breiman 2001) on facts of any scale."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(TREES, min_samples_leaf=LEAF, class_weight="balanced", random_state=0, n_jobs=1)
    return _placed(model.fit(learned.x, learned.y), asked, learned.k)


def regression(learned: Learned, asked: np.ndarray) -> np.ndarray:
    """Logistic regression on the principal components of standardised features."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(learned.y)) < 2:
        return _constant(learned.y, asked, learned.k)
    parts = min(COMPONENTS, len(learned.x) // 2, learned.x.shape[1])
    reduce = make_pipeline(StandardScaler(), PCA(parts, svd_solver="randomized", random_state=0))
    x, asked = reduce.fit_transform(learned.x), reduce.transform(asked)
    y, chooses, k = learned.y, learned.chooses, learned.k
    penalty = PENALTIES[1]
    if chooses.any() and len(np.unique(y[~chooses])) > 1:
        tried = {c: _placed(_fitted(c, x[~chooses], y[~chooses]), x[chooses], k) for c in PENALTIES}
        losses = {c: _loss(p, y[chooses], k) for c, p in tried.items()}
        penalty = min(losses, key=lambda c: losses[c])
    return _placed(_fitted(penalty, x, y), asked, k)


def _constant(y: np.ndarray, asked: np.ndarray, k: int) -> np.ndarray:
    """All that can be learned of one class alone: that it is always it."""
    found = np.zeros((len(asked), k))
    found[:, y[0]] = 1
    return found


def _fitted(c: float, x: np.ndarray, y: np.ndarray) -> object:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=c, class_weight="balanced", max_iter=500, tol=1e-3).fit(x, y)


def _loss(p: np.ndarray, y: np.ndarray, k: int) -> float:
    """Mean over the classes of the mean -log p of their images."""
    each = -np.log(np.maximum(p[np.arange(len(y)), y], 1e-9))
    return float((np.bincount(y, each, k) / np.maximum(np.bincount(y, minlength=k), 1)).sum())


def _placed(model: object, asked: np.ndarray, k: int) -> np.ndarray:
    """Probabilities `[M, k]`, 0 for a class that the model has not seen."""
    found = np.zeros((len(asked), k))
    found[:, model.classes_] = model.predict_proba(asked)  # type: ignore[attr-defined]
    return found
