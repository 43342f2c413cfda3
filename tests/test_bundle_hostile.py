"""A bundle from a stranger, every hash right: one line that says what is wrong, never a traceback."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pneumoscope import api
from pneumoscope import bundle as bundles
from pneumoscope.core.serial import digest
from pneumoscope.errors import BundleError, IntegrityError, PneumoscopeError
from pneumoscope.runtime import engine

Plain = dict[str, Any]


def forge(folder: Path, change: Callable[[Plain], object] = lambda plain: None, **files: bytes) -> str:
    """Change facts and files (`a__b` for a/b, `_` for the suffix's dot), and make every hash right again."""
    plain = json.loads((folder / "bundle.json").read_text())
    for key, data in files.items():
        name = ".".join(key.replace("__", "/").rsplit("_", 1))
        (folder / name).write_bytes(data)
        plain["files"][name] = hashlib.sha256(data).hexdigest()
    change(plain)
    plain["id"] = digest({k: v for k, v in plain.items() if k != "id"})[:32]
    (folder / "bundle.json").write_text(json.dumps(plain))
    return str(folder)


def refused(action: Callable[[], object], says: str) -> None:
    with pytest.raises((BundleError, IntegrityError), match=says) as caught:
        action()
    assert caught.value.exit_code in (3, 4)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def prep(**args: object) -> Callable[[Plain], object]:
    return lambda plain: [
        s["args"].update((k, v) for k, v in args.items() if k in s["args"]) for s in plain["recipe"]["prep"]
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: p.update(threshold=7.5), "expected a probability from 0 to 1, found 7.5"),
        (lambda p: p.update(threshold=-1), "expected a probability from 0 to 1, found -1"),
        (lambda p: p["recipe"]["classes"].update(positive=None), "expected a positive class"),
        (lambda p: p.update(name=["x"]), "name: expected a value of type str"),
        (prep(size=400_000), "at most 4096, found 400000"),
        (prep(size=True), "at most 4096, found True"),
        (prep(size=64.5), "at most 4096, found 64.5"),
        (prep(center_hu="x"), "expected facts that this pneumoscope reads"),
        (prep(width_hu=0), "expected a width above 0"),
        (prep(center_hu=1e300), "expected numbers that pixels hold"),
        (lambda p: p["recipe"]["prep"].append({"name": "nope", "args": {}}), "found 'nope'"),
        (lambda p: p["recipe"]["prep"].pop(), "expected one size for every image"),
    ],
)
def test_facts_that_cannot_be_are_refused_as_it_is_loaded(
    tiny_bundle: Path, change: Callable[[Plain], object], says: str
) -> None:
    refused(lambda: bundles.load(forge(tiny_bundle, change)), says)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"a":' + b"[" * 200_000, "expected JSON"),
        (b"[" * 900 + b"]" * 900, "expected JSON of at most"),
        (b'{"format": 2, "threshold": ' + b"1" * 400 + b"}", "expected JSON, found 'an integer of"),
        (b'{"format": 2, "threshold": ' + b"1" * 5000 + b"}", "expected JSON"),
        (b'{"format": 2, "threshold": 1e999}', "expected JSON"),
        (b'{"format": 2, "id": "x", "name": "\\ud800"}', "expected facts that"),
        (b"[1]", "expected bundle format 2, found None"),
        (b"\xff\xfe\xfa", "expected JSON"),
        (b"", "expected JSON"),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_a_bundle_json_of_any_bytes_is_refused(tiny_bundle: Path, raw: bytes, says: str) -> None:
    (tiny_bundle / "bundle.json").write_bytes(raw)
    refused(lambda: bundles.load(str(tiny_bundle)), says)


def test_a_file_too_large_is_never_read(tiny_bundle: Path) -> None:
    with (tiny_bundle / "weights.safetensors").open("wb") as file:
        file.truncate(bundles.MOST_BYTES + 1)  # sparse: it takes no room
    refused(lambda: bundles.load(str(tiny_bundle)).verify(), "weights.safetensors: expected at most 2048 MiB")
    with (tiny_bundle / "bundle.json").open("wb") as file:
        file.truncate(bundles.MOST_FACTS + 1)
    refused(lambda: bundles.load(str(tiny_bundle)), "bundle.json: expected at most 64 MiB")


def test_a_zip_that_unpacks_to_too_much_is_never_unpacked(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(tiny_bundle / "bundle.json", "bundle.json")
        archive.writestr("weights.safetensors", bytes(3 * 2**20))
    monkeypatch.setattr(bundles, "MOST_BYTES", 2**20)
    refused(lambda: bundles.load(str(tmp_path / "b.zip")), "expected at most 1 MiB, found 3 MiB")


@pytest.mark.parametrize("target", ["secret", "../secret", "check"])
def test_a_link_inside_a_bundle_is_refused(tiny_bundle: Path, target: str) -> None:
    for secret in (tiny_bundle.parent / "secret", tiny_bundle / "secret"):
        secret.write_text("x")
    (tiny_bundle / "README.md").unlink()
    (tiny_bundle / "README.md").symlink_to(target)
    refused(lambda: bundles.load(str(tiny_bundle)), "found the symbolic link 'README.md'")


def test_a_bundle_behind_a_link_is_read(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tiny_bundle)
    bundles.load(str(tmp_path / "link")).verify()


@pytest.mark.parametrize("name", ["../secret", "{parent}/secret", "check/../../secret", "a\nb"])
def test_no_name_leads_out_of_a_bundle(tiny_bundle: Path, name: str) -> None:
    (tiny_bundle.parent / "secret").write_text("x")
    name = name.format(parent=tiny_bundle.parent)
    listed = {name: hashlib.sha256(b"x").hexdigest()}
    path = forge(tiny_bundle, lambda plain: plain["files"].update(listed))
    with pytest.raises(IntegrityError, match="found it missing"):
        bundles.load(path).read(name)
    with pytest.raises(IntegrityError, match="found it missing"):
        bundles.load(path).verify()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[1]",
        b"nonsense",
        b"[" * 200_000,
        b'{"probabilities": [1]}',
        b'{"probabilities": {"covid": "x"}}',
        b'{"probabilities": {"covid": 1e999}}',
        b'{"probabilities": {"covid": 0.5}}',
        b'{"probabilities": {}}',
    ],
    ids=lambda data: repr(data[:30]),
)
def test_an_expected_answer_of_any_bytes_is_refused(tiny_bundle: Path, data: bytes) -> None:
    path = forge(tiny_bundle, check__expected_json=data)
    refused(lambda: api.verify(path), "expected")


def test_an_answer_that_is_no_number_never_passes_the_check(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(self: engine.Engine, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.array([[0.5, np.nan]], np.float32), np.zeros((1, 2, 4, 4), np.float32), np.zeros((1, 8), np.float32)

    monkeypatch.setattr(engine.Engine, "describe", answer)
    with pytest.raises(IntegrityError, match="expected the stored answer"):
        api.verify(str(tiny_bundle))


def graph(
    *nodes: onnx.NodeProto, outputs: tuple[tuple[object, ...], ...], tensors: tuple[TensorProto, ...] = ()
) -> bytes:
    """ONNX of `images [N, 1, 64, 64]` -> `probabilities`, `cam`, `features`, whose shapes are `outputs`."""
    names = ("probabilities", "cam", "features")
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 1, 64, 64])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in zip(names, outputs, strict=False)],
        list(tensors),
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def constant(name: str, *values: int) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value_ints=list(values))


def of_shape(probabilities: tuple[int, ...], cam: tuple[int, ...], declared: tuple[tuple[object, ...], ...]) -> bytes:
    """A graph that answers in one shape and may declare another."""
    return graph(
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        constant("p", *probabilities),
        constant("c", *cam),
        helper.make_node("Expand", ["mean", "p"], ["probabilities"]),
        helper.make_node("Expand", ["mean", "c"], ["cam"]),
        helper.make_node("Flatten", ["images"], ["features"]),
        outputs=(*declared, ("n", 64 * 64)),
    )


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (b"garbage", "expected a graph that OpenVINO runs"),
        (b"", "expected a graph that OpenVINO runs"),
        (graph(helper.make_node("Identity", ["images"], ["cam"]), outputs=()), "graph.onnx: expected"),
        (
            graph(
                helper.make_node("ReduceMean", ["images"], ["probabilities"], axes=[2, 3], keepdims=0),
                helper.make_node("Identity", ["images"], ["cam"]),
                outputs=(("n", 1), ("n", 1, 64, 64)),
            ),
            r"expected the outputs that the recipe asks for, \[\?,2\]",
        ),
        (of_shape((1, 3), (1, 3, 2, 2), ((1, 3), (1, 3, 2, 2))), "expected the outputs that the recipe asks for"),
        (of_shape((2, 2), (2, 2, 2, 2), ((2, 2), (2, 2, 2, 2))), r"expected answers \[1, K\]"),
    ],
    ids=["garbage", "empty", "one output", "one class", "three classes", "two answers for one image"],
)
def test_a_graph_that_does_not_fit_is_refused(tiny_bundle: Path, xray_png: Path, made: bytes, says: str) -> None:
    path = forge(tiny_bundle, graph_onnx=made)
    refused(lambda: api.verify(path), says)
    refused(lambda: api.predict(path, [xray_png]), says)


def test_a_recipe_of_another_size_than_the_graphs_is_refused(tiny_bundle: Path, xray_png: Path) -> None:
    path = forge(tiny_bundle, prep(size=32))
    refused(lambda: api.predict(path, [xray_png]), r"expected the input that the recipe asks for, \[\?,1,32,32\]")
    images = np.zeros((1, 32, 32), np.float32)
    runner = engine.Engine(bundles.load(path).read(bundles.GRAPH))
    refused(lambda: runner.run(images), "expected a graph that runs on 32 x 32 pixels, found RuntimeError: Can't set")


@pytest.mark.parametrize("where", ["{folder}/secret", "secret", "../secret"])
def test_a_graph_that_names_other_files_is_refused(tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO would read them, wherever they are, and their content would be a part of the answers."""
    (tmp_path / "inner").mkdir()
    for folder in (tmp_path, tmp_path / "inner"):
        (folder / "secret").write_bytes(np.full(2, 7, np.float32).tobytes())
    monkeypatch.chdir(tmp_path / "inner")
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1, 2], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", where.format(folder=tmp_path)), ("offset", "0"), ("length", "8")):
        tensor.external_data.add(key=key, value=value)
    made = graph(
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Add", ["mean", "w"], ["probabilities"]),
        helper.make_node("Identity", ["images"], ["cam"]),
        outputs=((1, 2), ("n", 1, 64, 64)),
        tensors=(tensor,),
    )
    refused(lambda: engine.Engine(made), "expected a graph that holds all of its tensors, found one that names other")


def test_a_path_that_cannot_be_looked_at_is_said() -> None:
    with pytest.raises(PneumoscopeError, match="expected a path that can be read, found File name too long"):
        bundles.load("x" * 300)


def test_openvino_is_started_once(made_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    made = []
    core = openvino.Core
    monkeypatch.setattr(openvino, "Core", lambda: made.append(1) or core())
    engine._core.cache_clear()
    data = bundles.load(str(made_run / "bundle")).read(bundles.GRAPH)
    engine.Engine(data)
    engine.Engine(data)
    assert made == [1]
    engine._core.cache_clear()
