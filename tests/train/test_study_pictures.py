"""What a run of studies shows and tabulates: galleries, the plane, each level; on phantom series, hardly trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from pneumoscope import phantoms, reading
from pneumoscope.core.progress import silent
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.resolve import resolve
from pneumoscope.core.result import Gallery
from pneumoscope.errors import DataError
from pneumoscope.explain.cam import grad_cam
from pneumoscope.nets.build import score_seeds
from pneumoscope.recipes import find
from pneumoscope.train import patients, study_pictures
from pneumoscope.train.bench import Bench, bench_of
from pneumoscope.train.data import prepare
from pneumoscope.train.environment import Clock
from pneumoscope.train.folds import OutOfFold
from pneumoscope.train.pictures import galleries
from pneumoscope.train.run import Ran, run
from pneumoscope.train.stages import fitted

MEMBERS = ("maxpool", "maxpool-weighted")
OVERRIDES = {
    "stages": f"last-layers,{','.join(MEMBERS)},ensemble",
    "prep.resize.size": "64",
    "protocols.honest.folds": "2",
    "stages.last-layers.init": "random",
    "stages.last-layers.net": "mobilenetv2",
    "stages.last-layers.head.hidden": "[8]",
    **{f"stages.{name}.epochs": "1" for name in ("last-layers", *MEMBERS, "ensemble")},
}


class Made(NamedTuple):
    bench: Bench
    ran: Ran
    right: OutOfFold  # the run's answers, had all but one of each class been right


def right(bench: Bench, answers: OutOfFold) -> OutOfFold:
    truth = bench.labels[answers.positions]
    decided = truth.copy()
    for k in range(3):
        first = np.flatnonzero((truth == k) & (answers.folds == 0))[0]
        decided[first] = (k + 1) % 3
    sure = np.random.default_rng(0).uniform(0.5, 0.9, len(truth))
    p = np.repeat((1 - sure)[:, None] / 2, 3, axis=1)
    p[np.arange(len(truth)), decided] = sure
    return dataclasses.replace(answers, probabilities=p, decisions=decided)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("studies")
    recipe: Recipe = resolve(find("garg2021")[0], overrides=OVERRIDES)
    phantoms.write_cts(folder / "set", patients=24, seed=3, size=64, slices=8)
    datasets, _ = reading.read_roles([folder / "set"], recipe, mapping={}, ungrouped=False, say=lambda text: None)
    ran = run(
        recipe,
        datasets,
        folder / "run",
        weights_dir=None,
        cache=folder / "cache",
        card=lambda facts: "",
        kept_memory=False,
        progress=silent,
        prepared=folder / "prepared",
        export=False,
    )
    data = {role: prepare(dataset, recipe, folder / "prepared", silent) for role, dataset in datasets.items()}
    clock = Clock(folder / "run" / "environment.json", {})
    bench = bench_of(
        recipe, data, folder / "run", cache=folder / "cache", weights_dir=None, progress=silent, clock=clock
    )
    return Made(bench, ran, right(bench, ran.answers))


@pytest.fixture(scope="module")
def shown(made: Made) -> dict[str, Gallery]:
    return {gallery.title: gallery for gallery in galleries(made.bench, made.right)}


def unit_of(bench: Bench, pixels: np.ndarray) -> int:
    """The study that a picture is of one of the slices of; never one that was interpolated."""
    rows = [i for i, image in enumerate(bench.main.images) if np.array_equal(image, pixels)]
    return next(u for u, members in enumerate(bench.units.members) if set(rows) & set(members.tolist()))


def test_test_studies_of_the_first_fold_are_shown_by_a_slice_with_what_was_decided(made: Made, shown) -> None:
    test = made.right.positions[made.right.folds == 0]
    gallery = shown[f"{len(test)} test studies"]
    found = [unit_of(made.bench, picture.pixels) for picture in gallery.pictures]
    assert sorted(found) == sorted(test.tolist())
    assert sum(picture.right is False for picture in gallery.pictures) == 3
    for unit, picture in zip(found, gallery.pictures, strict=True):
        assert picture.caption.startswith(f"{made.bench.units.dataset.samples[unit].label}; decided ")
        assert picture.caption.endswith(f" of {len(made.bench.units.members[unit])}")


def test_the_slice_of_an_infected_study_is_the_one_most_like_its_class_and_of_a_normal_one_most_like_another(
    made: Made,
) -> None:
    net = fitted(made.bench, made.bench.out / "fold_0")
    p = study_pictures.slices_of(made.bench, net)
    rows = made.bench.units.members[0]
    covid = study_pictures.face(made.bench, p, 0, 2)
    assert (covid.row, covid.focus) == (rows[p[rows, 2].argmax()], "covid")
    assert covid.place == f"slice {p[rows, 2].argmax() + 1} of {len(rows)}"
    normal = study_pictures.face(made.bench, p, 0, 0)
    assert normal.focus in ("pneumonia", "covid")
    assert p[normal.row, ["normal", "pneumonia", "covid"].index(normal.focus)] == p[rows][:, 1:].max()


def test_the_surest_right_studies_of_each_class_have_a_map_at_each_stage(made: Made, shown) -> None:
    looked = shown["Where the network looked, by class and stage"]
    assert len(looked.pictures) == 3 * 2 * 3  # classes, studies, stages
    bench, answers = made.bench, made.right
    truth = bench.labels[answers.positions]
    for k, name in enumerate(bench.main.dataset.classes.names):
        of_class = looked.pictures[6 * k : 6 * k + 6]
        assert [picture.caption.split("stage ")[1][0] for picture in of_class] == ["5", "4", "3"] * 2
        assert [picture.heat.shape for picture in of_class[:3]] == [(2, 2), (4, 4), (8, 8)]
        rows = np.flatnonzero((answers.folds == 0) & (truth == k) & (answers.decisions == k))
        surest = answers.positions[rows[np.argsort(-answers.probabilities[rows, k])][:2]]
        assert [unit_of(bench, picture.pixels) for picture in of_class[::3]] == surest.tolist()
        assert all(picture.right and picture.caption.startswith(f"{name}, ") for picture in of_class)


def test_maps_of_all_stages_are_grad_cam(made: Made) -> None:
    net = fitted(made.bench, made.bench.out / "fold_0")
    pixels = made.bench.main.images[3]
    x = torch.from_numpy(np.array(pixels))[None, None]
    earlier = [f"backbone.net.{name}" for name in net.backbone.architecture.earlier[:2]]
    for target in range(3):
        found = study_pictures.stage_cams(net, pixels, target)
        seed = score_seeds(net.head.outputs, net.classes)[target]
        for layer, cam in zip(["backbone.features", *earlier], found.values(), strict=True):
            expected = grad_cam(net, x, layer, lambda logits, seed=seed: logits @ seed)[0]
            np.testing.assert_allclose(cam, expected, rtol=1e-4, atol=1e-7)


def test_the_plane_holds_each_study_of_validation_and_test_once_in_the_order_of_the_classes(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = fitted(made.bench, made.bench.out / "fold_0")
    bench, answers = made.bench, made.right
    test, val = answers.positions[answers.folds == 0], answers.chosen[0].positions
    assert len(test) + len(val) < 16
    few = study_pictures.plane(bench, net, answers)
    assert few.points == ()
    assert few.note == f"Not drawn: t-SNE needs 16 studies, and there are {len(test) + len(val)}."
    monkeypatch.setattr(study_pictures, "LEAST_PERPLEXITY", 2.0)
    one, same = (study_pictures.plane(bench, net, answers) for _ in range(2))
    assert one.points == same.points
    assert [sum(p.part == part for p in one.points) for part in ("validation", "test")] == [len(val), len(test)]
    labels = [p.label for p in one.points]
    assert labels == sorted(labels, key=["normal", "pneumonia", "covid"].index)
    assert all(0 <= p.x <= 1 and 0 <= p.y <= 1 for p in one.points)
    assert max(max(p.x for p in one.points), max(p.y for p in one.points)) == pytest.approx(1)


def test_where_the_test_part_chose_the_weights_there_is_no_validation_part_in_the_plane(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_pictures, "LEAST_PERPLEXITY", 2.0)
    test = made.right.positions[made.right.folds == 0]
    chosen = dataclasses.replace(made.right.chosen[0], positions=test)
    answers = dataclasses.replace(made.right, chosen=(chosen,))
    net = fitted(made.bench, made.bench.out / "fold_0")
    assert {p.part for p in study_pictures.plane(made.bench, net, answers).points} == {"test"}


def test_vectors_of_studies_give_the_classifiers_answers(made: Made) -> None:
    bench, folder = made.bench, made.bench.out / "fold_0"
    net = fitted(bench, folder)
    units = [0, 5, 7]
    vectors = patients.study_vectors(bench, net, folder, units)
    assert {name: v.shape for name, v in vectors.items()} == dict.fromkeys(MEMBERS, (3, 512))
    state, _ = patients.load_tensors(folder / "maxpool.safetensors")
    logits = (
        vectors["maxpool"] @ state["net.head.linears.1.weight"].numpy().T + state["net.head.linears.1.bias"].numpy()
    )
    every = list(range(24))
    found = patients.fit_patients(bench, net, every, every, folder, fold=0, what="read")  # fits nothing: all is there
    expected = patients.member_scores(bench, net, found, units)["maxpool"]
    np.testing.assert_allclose(torch.softmax(torch.from_numpy(logits), dim=1).numpy(), expected, atol=1e-5)


def test_changed_slices_are_of_the_scan_and_the_inside_is_of_a_slice(made: Made, shown) -> None:
    originals = [p.pixels for p in shown["Changed for training"].pictures if p.caption == "as it is"]
    assert len(originals) == 4
    for pixels in originals:
        unit_of(made.bench, pixels)
    inside = shown["Inside the network"]
    assert [p.caption.partition(":")[0] for p in inside.pictures[::4]] == [
        "surest true positive",
        "surest true negative",
    ]
    assert "The test studies that" in inside.note
    unit_of(made.bench, inside.pictures[0].pixels)


def test_slices_between_slices_are_not_described(made: Made) -> None:
    described = patients.describe(made.bench, fitted(made.bench, made.bench.out / "fold_0"))
    between = made.bench.main.between
    assert between.any()
    assert torch.isnan(described.features[between]).all()
    assert torch.isfinite(described.features[~between]).all()
    assert torch.isfinite(described.probabilities[~between]).all()


def test_the_evaluation_says_what_was_judged(made: Made) -> None:
    evaluation = made.ran.evaluation
    slices = int((~made.bench.main.between).sum())
    assert (evaluation.judged, evaluation.n_images, evaluation.n_slices) == ("study", 24, slices)
    assert sum(found.images for found in evaluation.sizes.values()) == slices
    assert all(" of 24 studies: " in note for note in evaluation.warnings if "mm apart" in note)


def test_levels_are_those_of_the_recipe_and_the_last_is_the_answer(made: Made) -> None:
    evaluation = made.ran.evaluation
    assert list(evaluation.levels) == ["slices", "mean of slices", *MEMBERS, "ensemble"]
    *others, answer = evaluation.levels.values()
    assert (answer.metrics["accuracy"], answer.confusion) == (evaluation.metrics["accuracy"], evaluation.confusion)
    assert answer.difference is None
    assert others[0].difference is None
    for level in others[1:]:
        assert sum(level.counts.values()) == 24
        apart = level.metrics["accuracy"].value - answer.metrics["accuracy"].value
        assert level.difference.value == pytest.approx(apart)
        assert level.difference.low <= level.difference.value <= level.difference.high
    # slices of an infected study in which nobody saw an infection are left out
    assert 24 < sum(others[0].counts.values()) < evaluation.n_slices


def test_too_few_patients_for_the_inner_folds_is_an_error_that_says_what_helps(made: Made) -> None:
    one_covid = [next(i for i, s in enumerate(made.bench.units.dataset.samples) if s.label == "covid")]
    others = [i for i, s in enumerate(made.bench.units.dataset.samples) if s.label != "covid"]
    with pytest.raises(DataError, match=r"found too few .*1 covid.*--set protocols\.honest\.val_share=0\.075$"):
        patients._inner(made.bench, [*others, *one_covid])
    for learned, asked in patients._inner(made.bench, list(range(24))):
        assert sorted([*learned, *asked]) == list(range(24))


def test_a_run_that_is_found_shows_the_same(made: Made, tmp_path: Path) -> None:
    first, again = (galleries(made.bench, made.right) for _ in range(2))
    for one, same in zip(first, again, strict=True):
        assert [p.caption for p in one.pictures] == [p.caption for p in same.pictures]
        assert all(np.array_equal(p.pixels, q.pixels) for p, q in zip(one.pictures, same.pictures, strict=True))
