"""The small models against scikit-learn and against answers known by hand."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from pneumoscope.audit.small import Learned, forest, most_favoured, neighbours, regression


def learned(x: np.ndarray, y: np.ndarray, k: int = 2, choosing: int = 0) -> Learned:
    return Learned(x, y, np.arange(len(y)) < choosing, k)


def test_neighbours_are_scikit_learns_where_classes_are_equally_many() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = (rng.normal(size=(90, 4)) + y[:, None]).astype(np.float32)
    asked = rng.normal(1, 2, size=(50, 4)).astype(np.float32)
    theirs = KNeighborsClassifier(5).fit(x, y).predict_proba(asked)
    assert np.allclose(neighbours(learned(x, y, 3), asked), theirs)


def test_a_vote_of_a_rare_class_counts_for_more() -> None:
    x = np.array([[0.0], [0.1], [0.2], [0.3], [0.4]] + [[9.0]] * 5)
    y = np.array([1, 1, 0, 0, 0] + [0] * 5)
    assert neighbours(learned(x, y), np.array([[0.2]])).argmax() == 1


def test_few_images_are_neighbours_all() -> None:
    assert neighbours(learned(np.zeros((2, 1)), np.array([0, 1])), np.zeros((1, 1))).tolist() == [[0.5, 0.5]]


def test_a_name_speaks_for_the_class_of_which_it_holds_most() -> None:
    # of class 0 two in three are "0"; of class 1 one in six is
    x = np.array([0, 0, 1, 0, 1, 1, 1, 1, 1])[:, None]
    y = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1])
    p = most_favoured(learned(x, y), np.array([[0], [1], [2]]))
    assert np.allclose(p[:2, 0], [(2 / 3) / (2 / 3 + 1 / 6), (1 / 3) / (1 / 3 + 5 / 6)])
    assert np.allclose(p[2], 0.5)


def test_regression_and_forest_find_what_tells_and_weigh_classes_alike() -> None:
    rng = np.random.default_rng(0)
    y = (np.arange(400) % 10 == 0).astype(int)
    x = rng.normal(size=(400, 30))
    x[:, 3] += 2.5 * y
    for model in (regression, forest):
        decided = model(learned(x[:300], y[:300], choosing=60), x[300:]).argmax(axis=1)
        sensitivity, specificity = decided[y[300:] == 1].mean(), 1 - decided[y[300:] == 0].mean()
        assert (sensitivity + specificity) / 2 > 0.7, model
    assert decided.sum() > 0


def test_a_class_that_was_not_seen_has_no_probability() -> None:
    x = np.random.default_rng(0).normal(size=(40, 5))
    p = regression(learned(x, np.arange(40) % 2, 3, choosing=10), x[:3])
    assert p.shape == (3, 3)
    assert (p[:, 2] == 0).all()
    assert np.allclose(p.sum(axis=1), 1)


def test_of_one_class_alone_nothing_but_it_is_learned() -> None:
    x = np.random.default_rng(0).normal(size=(12, 5))
    chooses = np.arange(12) >= 9
    alone = Learned(x, np.ones(12, dtype=int), chooses, 3)
    assert regression(alone, x[:2]).tolist() == [[0, 1, 0]] * 2
    # a class that only the choosing part holds does not stop the others from being told apart
    late = Learned(x, np.where(chooses, 2, 0), chooses, 3)
    assert np.allclose(regression(late, x).sum(axis=1), 1)
