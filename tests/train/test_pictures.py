"""The galleries of a run: which images, in which order, with which words, and the same ones every time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from noise_bench import noise_bench

from pneumoscope.core.resolve import resolve
from pneumoscope.core.result import Gallery
from pneumoscope.nets.build import ScreeningNet
from pneumoscope.nets.maps import default_layers, feature_maps, grid
from pneumoscope.recipes import find
from pneumoscope.train import stages
from pneumoscope.train.bench import Bench
from pneumoscope.train.folds import OutOfFold
from pneumoscope.train.pictures import galleries

OVERRIDES = {
    "prep.resize.size": "48",
    "roles.source.validation": "4",
    "stages.source.epochs": "1",
    "stages.transfer.epochs": "1",
}
TRAIN, VAL = list(range(0, 24, 2)), list(range(1, 24, 2))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    recipe = resolve(find("basu2020")[0], overrides=OVERRIDES)
    made = noise_bench(recipe, tmp_path_factory.mktemp("pictures"))
    stages.fit_stages(made, TRAIN, VAL, made.out / "fold_0", fold=0, what="fit")
    return made


def answers(bench: Bench) -> OutOfFold:
    """24 answers, the odd ones of the first fold; the last of each class is decided wrongly, the first most surely."""
    truth = bench.main.labels.numpy()
    sure = np.tile([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], 4)
    decided = truth.copy()
    decided[5::6] = (truth[5::6] + 1) % 4
    p = np.repeat((1 - sure)[:, None] / 3, 4, axis=1)
    p[np.arange(24), decided] = sure
    order = np.random.default_rng(1).permutation(24)
    return OutOfFold(
        positions=order,
        folds=np.where(order % 2, 0, 1),
        probabilities=p[order],
        decisions=decided[order],
        thresholds=(),
        chosen=(),
    )


def position(bench: Bench, pixels: np.ndarray, role: str = "main") -> int:
    return next(i for i, image in enumerate(bench.data[role].images) if np.array_equal(image, pixels))


def test_test_images_are_of_the_first_fold_with_what_was_decided(bench: Bench) -> None:
    examples = galleries(bench, answers(bench))[0]
    found = [position(bench, picture.pixels) for picture in examples.pictures]
    assert sorted(found) == VAL  # all twelve of them: fewer than sixteen
    assert examples.title == "12 test images"
    names = bench.main.dataset.classes.names
    for at, picture in zip(found, examples.pictures, strict=True):
        truth = bench.main.dataset.samples[at].label
        wrong = at % 6 == 5
        decided = names[(names.index(truth) + 1) % 4] if wrong else truth
        assert picture.right is not wrong
        assert picture.caption == f"{truth}; decided {decided}, {[90, 80, 70, 60, 50, 40][at % 6]} %"
        assert picture.heat is None


def test_sixteen_of_more_are_drawn_by_a_seed(bench: Bench) -> None:
    given = answers(bench)
    one_fold = OutOfFold(**{**vars(given), "folds": np.zeros(24, dtype=int)})
    one, same = (galleries(bench, one_fold)[0] for _ in range(2))
    assert len(one.pictures) == 16
    found = [position(bench, p.pixels) for p in one.pictures]
    assert len(set(found)) == 16
    assert found == [position(bench, p.pixels) for p in same.pictures]


def test_for_each_class_the_surest_right_ones_are_explained_by_the_network_that_did_not_learn_from_them(
    bench: Bench,
) -> None:
    maps = galleries(bench, answers(bench))[1]
    found = [position(bench, picture.pixels) for picture in maps.pictures]
    # files stand by name: covid 0 to 5, then normal, other_disease, pneumonia; classes as the recipe has them. Of the
    # first fold are the odd ones, and the last of each class was decided wrongly
    assert found == [7, 9, 13, 15, 19, 21, 1, 3]
    net = ScreeningNet(stages.fitted(bench, bench.out / "fold_0")).eval()
    with torch.inference_mode():
        _, cams = net(bench.main.take(np.array(found)))
    for at, cam, picture in zip(found, cams, maps.pictures, strict=True):
        assert picture.heat is not None
        np.testing.assert_array_equal(picture.heat, cam[bench.main.labels[at]].numpy())
        assert picture.right is True


def test_nothing_decided_rightly_leaves_the_maps_out(bench: Bench) -> None:
    given = answers(bench)
    truth = bench.main.labels.numpy()[given.positions]
    wrong = OutOfFold(**{**vars(given), "decisions": (truth + 1) % 4})
    assert [g.title for g in galleries(bench, wrong)] == ["12 test images", "Changed for training"]


def test_the_surest_true_positive_and_true_negative_are_shown_with_what_three_layers_answer(bench: Bench) -> None:
    given = answers(bench)
    inside = galleries(bench, given)[2]
    assert inside.title == "Inside the network"
    assert inside.large
    assert "Light is a high output" in inside.note
    assert "There is no" not in inside.note
    classes, at = bench.main.dataset.classes, given.positions
    right = (given.folds == 0) & (given.decisions == bench.main.labels.numpy()[at])
    p, positive = given.probabilities[:, classes.positive_index], bench.main.labels.numpy()[at] == 3
    net = stages.fitted(bench, bench.out / "fold_0")
    layers = default_layers(net)
    for k, (name, best) in enumerate(
        [("positive", p[right & positive].max()), ("negative", p[right & ~positive].min())]
    ):
        image, *grids = inside.pictures[4 * k : 4 * k + 4]
        shown = position(bench, image.pixels)
        row = int(np.flatnonzero(at == shown)[0])
        assert (right[row], positive[row], p[row]) == (True, name == "positive", best)
        assert image.right is True
        assert image.caption.startswith(f"surest true {name}: {bench.main.dataset.samples[shown].label}; decided ")
        for layer, maps, found in zip(layers, feature_maps(net, image.pixels, layers).values(), grids, strict=True):
            np.testing.assert_array_equal(found.pixels, grid(maps))
            assert found.caption.startswith(f"{layer}: ")
            assert found.right is None
    assert len(inside.pictures) == 8


@pytest.mark.parametrize("missing", ["positive", "negative"])
def test_where_none_was_rightly_decided_it_is_left_out_and_said(bench: Bench, missing: str) -> None:
    given = answers(bench)
    truth = bench.main.labels.numpy()[given.positions]
    gone = truth == 3 if missing == "positive" else truth != 3
    wrong = OutOfFold(**{**vars(given), "decisions": np.where(gone, (truth + 1) % 4, given.decisions)})
    inside = next(g for g in galleries(bench, wrong) if g.title == "Inside the network")
    assert len(inside.pictures) == 4
    assert f"There is no true {missing} in the first fold." in inside.note
    assert missing not in inside.pictures[0].caption


def test_without_a_positive_class_nothing_is_shown_of_the_inside(bench: Bench) -> None:
    classes = dataclasses.replace(bench.main.dataset.classes, positive=None)
    data = dataclasses.replace(bench.main, dataset=dataclasses.replace(bench.main.dataset, classes=classes))
    none = dataclasses.replace(bench, data={**bench.data, "main": data})
    assert "Inside the network" not in [g.title for g in galleries(none, answers(bench))]


def test_changed_images_stand_behind_their_original_and_are_the_same_every_time(bench: Bench) -> None:
    one, same = (galleries(bench, answers(bench))[3] for _ in range(2))
    assert [p.caption for p in one.pictures] == ["as it is", "changed", "changed", "changed"] * 4
    for k in range(0, 16, 4):
        original = one.pictures[k].pixels
        position(bench, original, "source")  # the first stage that changes images learns from that role
        assert not any(np.array_equal(original, one.pictures[k + i].pixels) for i in (1, 2, 3))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one.pictures, same.pictures, strict=True))


def test_pictures_are_in_zero_to_one(bench: Bench) -> None:
    found: tuple[Gallery, ...] = galleries(bench, answers(bench))
    pixels = [p.pixels for gallery in found for p in gallery.pictures]
    assert [gallery.large for gallery in found] == [False, False, True, False]
    assert {p.pixels.shape for gallery in found if not gallery.large for p in gallery.pictures} == {(48, 48)}
    assert {p.dtype for p in pixels} == {np.dtype(np.float32)}
    assert min(p.min() for p in pixels) >= 0
    assert max(p.max() for p in pixels) <= 1
