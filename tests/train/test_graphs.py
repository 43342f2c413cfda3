"""Exported graphs of slices and studies answer as torch does, or no bundle is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures_study import FEATURES, SIZE, patient_nets, slice_net, small_recipe

from pneumoscope import api
from pneumoscope import bundle as bundles
from pneumoscope.errors import IntegrityError
from pneumoscope.nets.build import ScreeningNet
from pneumoscope.nets.study import DescribingNet, StudyNet
from pneumoscope.runtime import engine
from pneumoscope.runtime.study_engine import StudyEngine
from pneumoscope.train import graphs
from pneumoscope.train.export import _study_net

RECIPE = small_recipe()


@pytest.fixture(scope="module")
def study_net() -> StudyNet:
    return _study_net(patient_nets(RECIPE), RECIPE)


@pytest.mark.parametrize("slices", [1, 2, 7, 300])
def test_a_study_of_any_length_is_answered_as_by_torch(
    made_study_bundle: Path, slices: int, study_net: StudyNet
) -> None:
    runner = StudyEngine(bundles.load(str(made_study_bundle)).read(bundles.STUDY_GRAPH))
    rng = np.random.default_rng(slices)
    features = rng.standard_normal((slices, FEATURES)).astype(np.float32)
    scores = rng.dirichlet(np.ones(3), slices).astype(np.float32)
    got, members = runner.run(features, scores)
    with torch.inference_mode():
        expected, of_members = study_net(torch.from_numpy(features), torch.from_numpy(scores))
    np.testing.assert_allclose(got, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(members, of_members.numpy(), atol=1e-5)
    assert members.shape == (4, 3)
    np.testing.assert_allclose([got.sum(), *members.sum(axis=1)], 1, atol=1e-5)


def test_slices_are_described_as_by_torch_and_as_a_graph_of_images_answers(made_study_bundle: Path) -> None:
    runner = engine.Engine(bundles.load(str(made_study_bundle)).read(bundles.GRAPH))
    net, images = slice_net(RECIPE), np.random.default_rng(0).random((5, SIZE, SIZE), dtype=np.float32)
    with torch.inference_mode():
        expected = DescribingNet(net).eval()(torch.from_numpy(images).unsqueeze(1))
        plain = ScreeningNet(net).eval()(torch.from_numpy(images).unsqueeze(1))
    for got, wanted in zip(runner.describe(images), expected, strict=True):
        np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-3, atol=1e-5)
    for got, wanted in zip(runner.run(images), plain, strict=True):
        np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-3, atol=1e-5)


def test_the_order_of_slices_counts_and_without_an_ensemble_the_last_classifier_answers(study_net: StudyNet) -> None:
    features, scores = torch.randn(6, FEATURES), torch.softmax(torch.randn(6, 3), 1)
    with torch.inference_mode():
        _, there = study_net(features, scores)
        _, back = study_net(features.flip(0), scores.flip(0))
        alone = StudyNet(list(zip(study_net.members, study_net.weighted, strict=True)), None, study_net.classes)
        answer, members = alone.eval()(features, scores)
    torch.testing.assert_close(there[:2], back[:2])  # max-pool
    assert (there[2:] - back[2:]).abs().max() > 1e-4  # LSTM
    torch.testing.assert_close(answer, members[-1])


def test_a_bundle_of_studies_says_how_near_to_torch_it_is(made_study_bundle: Path) -> None:
    facts = bundles.load(str(made_study_bundle)).facts
    assert {bundles.STUDY_GRAPH, bundles.STUDY_WEIGHTS} < set(facts.files)
    assert facts.precisions["fp32"].largest_difference < 1e-4
    assert facts.precisions["fp32"].n_images > 6
    assert api.verify(str(made_study_bundle)) < 1e-4
    expected = json.loads((made_study_bundle / "check" / "expected.json").read_text())["probabilities"]
    assert sum(expected.values()) == pytest.approx(1)


def test_a_graph_of_other_networks_is_found(made_study_bundle: Path) -> None:
    bundle = bundles.load(str(made_study_bundle))
    other = _study_net(patient_nets(RECIPE), RECIPE)
    with torch.no_grad():
        other.ensemble.head.linears[-1].bias.add_(torch.tensor([0.0, 3.0, -3.0]))
    studies = [np.random.default_rng(i).random((4, SIZE, SIZE), dtype=np.float32) for i in range(2)]
    with pytest.raises(IntegrityError, match=r"expected the graph within 0\.0001 of torch"):
        graphs.check_studies(
            bundle.read(bundles.GRAPH),
            bundle.read(bundles.STUDY_GRAPH),
            slice_net(RECIPE),
            other,
            studies,
            graphs.Rule(),
        )


def test_nothing_of_this_machine_stands_in_a_graph(made_study_bundle: Path) -> None:
    for name in (bundles.GRAPH, bundles.STUDY_GRAPH):
        data = (made_study_bundle / name).read_bytes()
        assert b"/pneumoscope" not in data
        assert b"site-packages" not in data


def test_classifiers_that_take_features_alone_are_answered_as_by_torch(study_net: StudyNet) -> None:
    """Nothing takes the probabilities of slices then, and OpenVINO drops the input."""
    alone = StudyNet([(study_net.members[0], False)], None, study_net.classes).eval()
    runner = StudyEngine(graphs.study_to_onnx(alone, FEATURES))
    features, scores = torch.randn(5, FEATURES), torch.softmax(torch.randn(5, 3), 1)
    with torch.inference_mode():
        expected, _ = alone(features, scores)
    np.testing.assert_allclose(runner.run(features.numpy(), scores.numpy())[0], expected.numpy(), atol=1e-5)
