"""A bundle of studies from a stranger, every hash right: one line that says what is wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fixtures_study import FEATURES
from onnx import TensorProto, helper, numpy_helper

from pneumoscope import api
from pneumoscope import bundle as bundles
from pneumoscope.core.serial import digest
from pneumoscope.errors import BundleError, IntegrityError
from pneumoscope.runtime.study_engine import StudyEngine

STUDY = bundles.STUDY_GRAPH


def forge(folder: Path, change: Callable[[dict], object]) -> str:
    """Change the facts, and make the id right again."""
    plain = json.loads((folder / "bundle.json").read_text())
    change(plain)
    plain["id"] = digest({k: v for k, v in plain.items() if k != "id"})[:32]
    (folder / "bundle.json").write_text(json.dumps(plain))
    return str(folder)


def with_graph(folder: Path, data: bytes, name: str = STUDY) -> str:
    (folder / name).write_bytes(data)
    return forge(folder, lambda plain: plain["files"].update({name: hashlib.sha256(data).hexdigest()}))


def graph(features: int = FEATURES, classes: int = 3, members: int = 4, dims: int = 1) -> bytes:
    """A graph of studies that answers the same whatever it is asked: of any shapes."""
    whole = np.full((classes,) if dims == 1 else (1, classes), 1 / classes, np.float32)
    parts = np.full((members, classes), 1 / classes, np.float32)
    constants = [numpy_helper.from_array(whole, "p"), numpy_helper.from_array(parts, "m")]
    nodes = [  # an input that nothing takes would be dropped
        helper.make_node("ReduceMin", ["features"], ["f"], keepdims=0),
        helper.make_node("ReduceMin", ["slices"], ["s"], keepdims=0),
        helper.make_node("Min", ["f", "s"], ["least"]),
        helper.make_node("Sub", ["least", "least"], ["zero"]),
        helper.make_node("Add", ["p", "zero"], ["probabilities"]),
        helper.make_node("Add", ["m", "zero"], ["members"]),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (
            ("features", ("s", features)),
            ("slices", ("s", classes)),
            ("probabilities", whole.shape),
            ("members", parts.shape),
        )
    ]
    made = helper.make_graph(nodes, "g", values[:2], values[2:], initializer=constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def refused(path: str, series: Path, says: str) -> None:
    for action in (lambda: api.verify(path), lambda: api.predict(path, [series])):
        with pytest.raises((BundleError, IntegrityError), match=says) as caught:
            action()
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code in (3, 4)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"nonsense", "graph_study.onnx: expected a graph that OpenVINO runs"),
        (graph(features=5), r"graph_study.onnx: expected the input that the recipe asks for, \[\?,8\] and \[\?,3\]"),
        (graph(classes=2), "graph_study.onnx: expected the input that the recipe asks for"),
        (graph(members=3), r"expected the outputs that the recipe asks for, \[3\] and \[4,3\]"),
        (graph(dims=2), "expected the outputs that the recipe asks for"),
    ],
    ids=["garbage", "features", "classes", "classifiers", "dimensions"],
)
def test_a_graph_of_studies_that_does_not_fit_is_refused(
    study_bundle: Path, one_series: Path, data: bytes, says: str
) -> None:
    refused(with_graph(study_bundle, data), one_series, says)


def test_a_graph_that_always_says_the_same_is_found_by_the_check(study_bundle: Path) -> None:
    with pytest.raises(IntegrityError, match="check: expected the stored answer"):
        api.verify(with_graph(study_bundle, graph()))


def test_a_bundle_of_studies_without_their_graph_is_refused(study_bundle: Path, one_series: Path) -> None:
    path = forge(study_bundle, lambda plain: plain["files"].pop(STUDY))
    with pytest.raises(BundleError, match=r"expected a file 'graph_study\.onnx' in the bundle, found none"):
        api.predict(path, [one_series])


def test_a_changed_graph_of_studies_never_runs(study_bundle: Path, one_series: Path) -> None:
    data = (study_bundle / STUDY).read_bytes()
    (study_bundle / STUDY).write_bytes(data[:-1] + b"\0")
    refused(str(study_bundle), one_series, "graph_study.onnx: expected SHA-256")


def test_a_graph_of_images_in_the_place_of_one_of_slices_is_refused(
    study_bundle: Path, made_slice_bundle: Path, one_series: Path
) -> None:
    path = with_graph(study_bundle, (made_slice_bundle / bundles.GRAPH).read_bytes(), bundles.GRAPH)
    refused(
        path, one_series, r"graph_study.onnx: expected the input that the recipe asks for, \[\?,128\] .*found \[\?,8\]"
    )


def test_a_graph_of_studies_that_names_other_files_is_refused() -> None:
    with pytest.raises(BundleError, match=r"graph_study\.onnx: expected a graph that holds all of its tensors"):
        StudyEngine(b"...location...")
