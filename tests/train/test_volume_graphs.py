"""The exported graph of a 3D network answers in OpenVINO as torch does, or no bundle is written."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.stage import Head, Optim, Stage
from pneumoscope.errors import BundleError, IntegrityError
from pneumoscope.nets.volume import VolumeNet, build_volume
from pneumoscope.runtime.volume_engine import VolumeEngine
from pneumoscope.train import graphs

SIZE = (40, 32, 48)
CLASSES = ClassSet(names=("covid", "cap", "normal"), positive="covid", normal="normal")
STAGE = Stage(
    name="volume",
    level="volume",
    net="resnet18_3d",
    head=Head(pooling="average", hidden=(512,), activation="clipped_relu", dropout=0.5),
    init="random",
    trainable="all",
    loss="cross_entropy",
    class_weights="none",
    optim=Optim(name="adam", lr=2e-4),
    epochs=1,
    batch=1,
)


@pytest.fixture(scope="module")
def net() -> VolumeNet:
    made, _ = build_volume(STAGE, CLASSES, input_size=SIZE, weights_dir=None, seed=6)
    with torch.no_grad():
        made.head.linears[-1].weight.mul_(40)  # answers that differ from volume to volume
    return made.eval()


@pytest.fixture(scope="module")
def graph(net: VolumeNet) -> bytes:
    return graphs.volumes_to_onnx(net, SIZE)


@pytest.fixture(scope="module")
def volumes() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(rng.random(SIZE) < share).astype(np.float32) for share in (0.1, 0.4, 0.8)]


def test_the_graph_answers_as_torch_does(graph: bytes, net: VolumeNet, volumes: list[np.ndarray]) -> None:
    runner = VolumeEngine(graph)
    runner.require(SIZE, 3)
    answers = []
    for volume in volumes:
        (got, cam), (expected, expected_cam) = runner.run(volume), graphs.torch_volume(net, volume)
        assert cam.shape == (3, 2, 1, 2)
        np.testing.assert_allclose(got, expected, atol=1e-4)
        np.testing.assert_allclose(cam, expected_cam, atol=1e-3 * float(expected_cam.max()))
        answers.append(got)
    assert np.ptp(np.stack(answers), axis=0).max() > 1e-3
    found = graphs.check_volumes(graph, net, volumes, graphs.Rule())
    assert found["fp32"].validated
    assert (found["fp32"].changed, found["fp32"].n_images) == (0, 3)


def test_a_graph_of_another_network_is_found(graph: bytes, volumes: list[np.ndarray]) -> None:
    other, _ = build_volume(STAGE, CLASSES, input_size=SIZE, weights_dir=None, seed=7)
    with pytest.raises(IntegrityError, match="export: expected the graph"):
        graphs.check_volumes(graph, other.eval(), volumes, graphs.Rule())


def test_volumes_of_another_size_or_number_of_classes_are_refused(graph: bytes) -> None:
    runner = VolumeEngine(graph)
    with pytest.raises(BundleError, match="the input that the recipe asks for"):
        runner.require((32, 32, 32), 3)
    with pytest.raises(BundleError, match="the outputs that the recipe asks for"):
        runner.require(SIZE, 2)
    with pytest.raises(BundleError, match="expected a graph that runs on 8 x 8 x 8 voxels"):
        runner.run(np.zeros((8, 8, 8), np.float32))


def test_nothing_of_this_machine_stands_in_the_graph(graph: bytes) -> None:
    assert b"/pneumoscope" not in graph
    assert b"site-packages" not in graph
