"""Weights files: known by their tensors, looked up in order, refused where they do not fit, never random in silence."""

from __future__ import annotations

import functools
import os
import pwd
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from pneumoscope.errors import InputError, IntegrityError, MissingError, UsageError
from pneumoscope.nets import hub, weights
from pneumoscope.nets.architectures import ARCHITECTURES
from pneumoscope.nets.backbones import Backbone, build_backbone

NAME = "mobilenetv2_100"
HALF = (0.5, 0.5, 0.5)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv(weights.ENVIRONMENT, raising=False)


@functools.cache
def state() -> dict[str, torch.Tensor]:
    """Tensors that fit MobileNetV2, the counters left out as fetch_weights.py does."""
    net = build_backbone("mobilenetv2", init="random", seed=5)[0].net
    return {k: v.clone() for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}


def write(folder: Path, tensors: dict[str, torch.Tensor] | None = None, name: str = NAME) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    save_file(state() if tensors is None else tensors, path)
    return path


# the digest of the tensors


def test_digest_is_of_the_tensors_not_of_the_file(tmp_path):
    tensors = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(2, dtype=torch.bfloat16), "c": torch.tensor(3)}
    save_file(tensors, tmp_path / "one.safetensors")
    save_file(dict(reversed(tensors.items())), tmp_path / "two.safetensors", metadata={"from": "elsewhere"})
    assert (tmp_path / "one.safetensors").read_bytes() != (tmp_path / "two.safetensors").read_bytes()
    assert weights.tensor_digest(tmp_path / "one.safetensors") == weights.tensor_digest(tmp_path / "two.safetensors")


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.zeros(2, 3), "c": torch.zeros(1)},
        {"a": torch.zeros(3, 2), "b": torch.zeros(1)},
        {"a": torch.zeros(2, 3, dtype=torch.int32), "b": torch.zeros(1)},
        {"a": torch.zeros(2, 3), "b": -torch.zeros(1)},
        {"a": torch.zeros(2, 3)},
    ],
    ids=["name", "shape", "dtype", "one bit", "fewer"],
)
def test_digest_tells_tensors_apart(tmp_path, other):
    one = write(tmp_path / "one", {"a": torch.zeros(2, 3), "b": torch.zeros(1)})
    assert weights.tensor_digest(one) != weights.tensor_digest(write(tmp_path / "other", other))


# look-up


def test_folders_are_asked_in_order(tmp_path, monkeypatch):
    given, environment, cache = tmp_path / "given", tmp_path / "environment", weights.cache_folder()
    for folder in (given, environment, cache):
        write(folder)
    monkeypatch.setenv(weights.ENVIRONMENT, str(environment))
    assert cache == tmp_path / "cache" / "pneumoscope" / "weights"
    assert weights.find(NAME, given).parent == given
    assert weights.find(NAME).parent == environment
    (environment / f"{NAME}.safetensors").unlink()
    assert weights.find(NAME).parent == cache
    (cache / f"{NAME}.safetensors").unlink()
    assert weights.find(NAME) is None


def test_missing_weights_say_what_is_wanted_and_where(tmp_path):
    with pytest.raises(MissingError) as caught:
        build_backbone("xception", init="imagenet", weights_dir=tmp_path)
    message = str(caught.value)
    assert caught.value.exit_code == 5
    assert "\n" not in message
    for part in (
        "expected legacy_xception.safetensors in",
        str(tmp_path),
        str(weights.cache_folder()),
        "pneumoscope weights add legacy_xception legacy_xception.safetensors",
        "--weights",
        "$PNEUMOSCOPE_WEIGHTS",
    ):
        assert part in message


def test_a_folder_that_is_not_there_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="--weights: expected a folder"):
        weights.find(NAME, tmp_path / "no")
    monkeypatch.setenv(weights.ENVIRONMENT, str(tmp_path / "no"))
    with pytest.raises(UsageError, match=r"\$PNEUMOSCOPE_WEIGHTS: expected a folder"):
        weights.find(NAME)


def test_the_hub_is_asked_for_safetensors_only(tmp_path, monkeypatch):
    import huggingface_hub

    asked = []

    def download(hub_id, file, **options):
        asked.append((hub_id, file, options))
        return str(write(tmp_path / "hub"))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    backbone, used = build_backbone("mobilenetv2", init="imagenet")
    (only,) = asked
    assert only[0].startswith("timm/mobilenetv2_100.")
    assert only[1] == "model.safetensors"
    assert used.file == f"hub:{only[0]}"
    assert used.origin == f"https://huggingface.co/{only[0]}"
    assert used.licence == "apache-2.0"
    assert used.note == ""
    assert torch.equal(backbone.net.conv_stem.weight, state()["conv_stem.weight"])


def test_an_unreachable_hub_is_asked_once(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    asked = []

    def unreachable(request, timeout):
        asked.append((request.full_url, request.get_method(), timeout))
        raise OSError("no route")

    monkeypatch.setattr(hub.urllib.request, "urlopen", unreachable)
    with pytest.raises(MissingError, match="the hub did not answer"):
        build_backbone("vgg16", init="imagenet")
    ((url, method, timeout),) = asked
    assert url.startswith("https://huggingface.co/timm/vgg16.")
    assert url.endswith("/model.safetensors")
    assert method == "HEAD"
    assert timeout <= 5


def test_a_network_without_safetensors_on_the_hub_is_missing():
    with pytest.raises(hub.HubError, match="no safetensors file"):
        hub.hub_file("legacy_xception")  # timm has a pickle of it, at an address of its own


# reading


def test_an_unknown_file_is_taken_with_a_warning(tmp_path):
    path = write(tmp_path)
    backbone, used = build_backbone("mobilenetv2", init="imagenet", weights_dir=tmp_path)
    assert used.note.startswith("unknown weights file")
    assert (used.file, used.licence, used.origin) == (path.name, "unknown", "unknown")
    assert used.digest == weights.tensor_digest(path)
    assert used.bn_eps == 1e-5
    loaded = backbone.net.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state().items())
    assert all(p.requires_grad for p in backbone.parameters())


def test_training_does_not_write_into_the_file(tmp_path):
    path = write(tmp_path)
    before = weights.tensor_digest(path)
    backbone, _ = build_backbone("mobilenetv2", init="imagenet", weights_dir=tmp_path)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(1.0)
    assert weights.tensor_digest(path) == before


def test_a_classifier_is_left_out_and_half_precision_read(tmp_path):
    tensors = {k: v.half() for k, v in state().items()} | {"classifier.weight": torch.zeros(1000, 1280)}
    write(tmp_path, tensors)
    backbone, _ = build_backbone("mobilenetv2", init="imagenet", weights_dir=tmp_path)
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}
    assert not any(key.startswith("net.classifier") for key in backbone.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv_stem.weight": None}, r"tensor 'conv_stem.weight' of shape \[32, 3, 3, 3\], found none"),
        ({"conv_stem.weight": torch.zeros(32, 1, 3, 3)}, r"'conv_stem.weight' of shape \[32, 3, 3, 3\], found \[32, 1"),
        ({"conv_stem.bias": torch.zeros(32)}, "'conv_stem.bias' to be one of the network's, found"),
        ({"bn1.bias": torch.full((32,), float("nan"))}, "'bn1.bias' to be finite, found NaN"),
        ({"bn1.bias": torch.zeros(32, dtype=torch.int64)}, "'bn1.bias' of kind torch.float32, found torch.int64"),
    ],
    ids=["missing", "shape", "extra", "nan", "kind"],
)
def test_a_file_that_does_not_fit_names_the_tensor(tmp_path, change, message):
    write(tmp_path, {k: v for k, v in (state() | change).items() if v is not None})
    with pytest.raises(IntegrityError, match=message) as caught:
        build_backbone("mobilenetv2", init="imagenet", weights_dir=tmp_path)
    assert "\n" not in str(caught.value)


@functools.cache
def small_file() -> bytes:
    from safetensors.torch import save

    return save({"a": torch.arange(4.0), "b": torch.ones(2, 2)})


@given(cut=st.integers(0, len(small_file()) - 1), junk=st.binary(max_size=20))
def test_a_damaged_file_is_an_error(tmp_path_factory, cut, junk):
    path = tmp_path_factory.mktemp("damaged") / "x.safetensors"
    path.write_bytes(small_file()[:cut] + junk[: len(small_file()) - cut - 1])
    with pytest.raises(IntegrityError, match="expected a whole safetensors file"):
        weights.tensor_digest(path)


# weights list, weights add


def test_list_has_a_row_for_each_backbone(tmp_path):
    write(tmp_path)
    (tmp_path / "vgg16.safetensors").write_bytes(b"no")
    rows = {row.name: row for row in weights.list_weights(tmp_path)}
    assert list(rows) == list(ARCHITECTURES)
    assert rows["mobilenetv2"].file == tmp_path / f"{NAME}.safetensors"
    assert rows["mobilenetv2"].note.startswith("unknown weights file")
    assert "cannot be read" in rows["vgg16"].note
    assert rows["xception"].file is None
    assert rows["xception"].note == "missing: legacy_xception.safetensors"


@pytest.mark.parametrize("name", ["mobilenetv2", NAME])
def test_added_weights_are_found(tmp_path, name):
    path = write(tmp_path, name="downloaded")
    added = weights.add_weights(name, path)
    assert added == weights.find(NAME) == weights.cache_folder() / f"{NAME}.safetensors"
    assert added.read_bytes() == path.read_bytes()
    assert list(weights.cache_folder().iterdir()) == [added]
    assert weights.add_weights(name, path) == added  # once more replaces it


def test_add_refuses_pickles_and_others(tmp_path):
    pickle, renamed = tmp_path / "w.pth", tmp_path / "w.safetensors"
    torch.save({"a": torch.zeros(1)}, pickle)
    renamed.write_bytes(pickle.read_bytes())
    for path in (pickle, renamed):
        with pytest.raises(InputError, match="found a PyTorch pickle"):
            weights.add_weights(NAME, path)
    renamed.write_bytes(b"\x89PNG\r\n\x1a\n and more")
    with pytest.raises(InputError, match="found something else"):
        weights.add_weights(NAME, renamed)
    with pytest.raises(InputError, match="found none"):
        weights.add_weights(NAME, tmp_path / "nowhere.safetensors")
    with pytest.raises(UsageError, match="expected a registered name"):
        weights.add_weights("alexnet", pickle)


def test_add_refuses_weights_of_another_network(tmp_path):
    path = write(tmp_path)
    with pytest.raises(IntegrityError, match="to be one of the network's"):
        weights.add_weights("vgg16", path)
    assert list(weights.cache_folder().iterdir()) == []


# known answers: the weights of ../shared/tools/fetch_weights.py, in other implementations

# the user's own cache: the tests' HOME is an empty one
FETCHED = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache" / "pneumoscope" / "weights"


def fetched(timm_name: str) -> Path:
    if not (FETCHED / f"{timm_name}.safetensors").is_file():
        pytest.skip(f"expected {timm_name}.safetensors in {FETCHED} (shared/tools/fetch_weights.py), found none")
    return FETCHED


def pattern(size: int) -> torch.Tensor:
    """A smooth grey image in 0..1, `[1, 1, size, size]`."""
    y, x = np.mgrid[0:size, 0:size] / size
    waves = 0.2 * np.cos(2 * np.pi * (3 * y + x)) + 0.15 * np.cos(2 * np.pi * (7 * x - 2 * y))
    image = 0.5 + waves + 0.1 * np.cos(2 * np.pi * 23 * y * x)
    return torch.from_numpy(image.astype(np.float32))[None, None]


def summary(maps: torch.Tensor, channels: list[int]) -> list[float]:
    """Mean, standard deviation and maximum of the last map, and some of its channels' means."""
    numbers = [maps.mean(), maps.std(correction=0), maps.max(), *maps.mean(dim=(2, 3))[0, channels]]
    return [float(n) for n in numbers]


# Made once, elsewhere, with the tensors of the same packages, read from the packages' own files:
# keras 3.15.1 on tensorflow-cpu 2.21, keras.applications.{InceptionV3,Xception}(include_top=False), fed 2 * pattern - 1
# in three channels; torchvision 0.29.2 {mobilenet_v2,vgg16}().features, fed (pattern - mean) / std.
ANSWERS = {
    "inception_v3": (
        299,
        [0, 100, 500, 1000, 1500, 2047],
        [0.285929143, 0.568261325, 11.9441423, 0.327192128, 0.214942589, 0.0, 0.0982346684, 0.0, 0.0701597998],
    ),
    "legacy_xception": (
        299,
        [0, 100, 500, 1000, 1500, 2047],
        [0.129180521, 0.331498951, 4.42068386, 0.0797856525, 0.0, 1.29551026, 0.58422488, 0.0, 0.117057912],
    ),
    "mobilenetv2_100": (
        224,
        [0, 100, 640, 1279],
        [0.46116105, 0.8416956, 6.0, 0.135182276, 0.667553782, 0.0655598342, 0.0],
    ),
    "vgg16": (224, [0, 100, 256, 511], [0.167865366, 0.63094234, 9.75225925, 0.0964878723, 0.177026868, 0.0, 0.0]),
}


def answer(timm_name: str, **changes: float) -> tuple[list[float], list[float]]:
    size, channels, expected = ANSWERS[timm_name]
    tensors, used = weights.load(timm_name, fetched(timm_name))
    values = {"mean": used.mean, "std": used.std, "bn_eps": used.bn_eps} | changes
    backbone = Backbone(timm_name, **values, seed=None)
    backbone.net.load_state_dict(weights.fitting(tensors, backbone.net.state_dict(), ""), assign=True)
    with torch.inference_mode():
        return summary(backbone.eval()(pattern(size)), channels), expected


@pytest.mark.shared
@pytest.mark.parametrize("timm_name", ANSWERS)
def test_known_answers_of_other_implementations(timm_name):
    found, expected = answer(timm_name)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("timm_name", "change"),
    [
        ("inception_v3", {"bn_eps": 1e-5}),
        ("legacy_xception", {"bn_eps": 1e-5}),
        ("vgg16", {"mean": HALF, "std": HALF}),
    ],
)
def test_known_answers_need_the_record(timm_name, change):
    found, expected = answer(timm_name, **change)
    assert abs(found[0] / expected[0] - 1) > 0.01


@pytest.mark.shared
@pytest.mark.parametrize("record", weights.RECORDS, ids=lambda r: r.timm_name)
def test_fetched_files_are_known(record):
    path = fetched(record.timm_name) / f"{record.timm_name}.safetensors"
    assert weights.tensor_digest(path) == record.digest


@pytest.mark.shared
@pytest.mark.parametrize("timm_name", ["resnet50", "tf_efficientnet_lite0"])  # the others: known answers
def test_fetched_files_fit(timm_name):
    used = build_backbone(timm_name, init="imagenet", weights_dir=fetched(timm_name))[1]
    assert not used.note.startswith("unknown")
    assert used.file == f"{timm_name}.safetensors"
