"""From trained networks to a bundle: graphs, once they are seen to answer as torch does, and the facts beside them."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save as to_safetensors
from torch import nn

import pneumoscope
from pneumoscope import bundle as bundles
from pneumoscope import phantoms
from pneumoscope.bundle import Bundle, DataCard, Facts, Precision, PretrainedWeights
from pneumoscope.core.dataset import Dataset, Sample
from pneumoscope.core.image import Image2D
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.result import Evaluation
from pneumoscope.core.role import MAIN
from pneumoscope.core.trust import Calibrator, Trust
from pneumoscope.evaluate import parts
from pneumoscope.nets.build import Net
from pneumoscope.nets.study import StudyNet
from pneumoscope.nets.volume import VolumeNet
from pneumoscope.nets.weights import WeightsUsed
from pneumoscope.prep import pipeline
from pneumoscope.prep.volume_steps import prepare_volume
from pneumoscope.runtime import check
from pneumoscope.train import graphs
from pneumoscope.train.patients import Patients

INTENDED_USE = (
    "Research on chest images: comparing methods, teaching, and finding out what a model has learned. "
    "Not a medical device; no decision about a patient may rest on it."
)


def write_bundle(
    net: Net,
    recipe: Recipe,
    learned: Mapping[str, Dataset],
    *,
    seen: Sequence[Sample],
    patients: Patients | None,
    checked: Sequence[np.ndarray],
    threshold: float | None,
    trust: Trust | None = None,
    evaluation: Evaluation,
    used: WeightsUsed | None,
    card: object,
    path: Path,
) -> Bundle:
    """Export, compare with torch on what is `checked`, and only then write the bundle at `path`.

    learned: by role, the images that were learned from and chosen on. seen: the files that any of it has seen.
    patients: the networks of studies, None where images are judged. checked: prepared images `[n, H, W]`, of one study
    each where studies are judged slice by slice, or volumes `[n, D, H, W]`. threshold: on probabilities that `trust`
    calibrates, None for the most probable class. card: a function from facts to the text of
    README.md; the report layer above has it.

    Raises:
        IntegrityError: a graph that does not answer as torch does; nothing is written.
        UsageError: `path` is in use.
    """
    net = net.to(memory_format=torch.contiguous_format).eval()
    study_net = None if patients is None else _study_net(patients, recipe)
    rule = graphs.Rule(threshold, Calibrator() if trust is None else trust.calibrator)
    exported, precisions = _graphs(net, study_net, checked, rule)
    facts = Facts(
        name=recipe.title,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        pneumoscope=pneumoscope.__version__,
        recipe=recipe,
        threshold=threshold,
        trust=trust,
        precisions=precisions,
        explains="features" if net.head.convolution is None else "head.maps",
        evaluation=evaluation,
        data=_data_card(learned[MAIN]),
        before={role: _data_card(dataset) for role, dataset in learned.items() if role != MAIN},
        pretrained=_pretrained(used),
        intended_use=INTENDED_USE,
        limits=_limits(learned[MAIN], evaluation),
        licence="not stated; it follows from the terms of the training data and of the pretrained weights",
    )
    files = {
        **exported,
        bundles.WEIGHTS: _weights(net),
        **({} if study_net is None else {bundles.STUDY_WEIGHTS: _weights(study_net)}),
        bundles.SEEN: "\n".join(sorted({mark for s in seen for mark in s.marks})).encode(),
        bundles.CARD: card(facts).encode(),  # type: ignore[operator]
        **_check(net, study_net, recipe),
    }
    return bundles.save(facts, files, path)


def _study_net(patients: Patients, recipe: Recipe) -> StudyNet:
    members = [(patients.members[stage.name], stage.features == "weighted") for stage in recipe.members]
    return StudyNet(members, patients.ensemble, recipe.classes).eval()


def _graphs(
    net: Net, study_net: StudyNet | None, checked: Sequence[np.ndarray], rule: graphs.Rule
) -> tuple[dict[str, bytes], dict[str, Precision]]:
    """The graphs by their names in the bundle, and what they may be run in."""
    if isinstance(net, VolumeNet):
        whole = [volume for part in checked for volume in part]
        depth, height, width = whole[0].shape
        graph = graphs.volumes_to_onnx(net, (depth, height, width))
        return {bundles.GRAPH: graph}, graphs.check_volumes(graph, net, whole, rule)
    size = checked[0].shape[1], checked[0].shape[2]
    if study_net is None:
        graph = graphs.to_onnx(net, size)
        return {bundles.GRAPH: graph}, graphs.check_precisions(graph, net, np.concatenate(checked), rule)
    graph = graphs.slices_to_onnx(net, size)
    of_study = graphs.study_to_onnx(study_net, features=net.head.linears[-1].in_features)  # type: ignore[arg-type]
    found = graphs.check_studies(graph, of_study, net, study_net, checked, rule)
    return {bundles.GRAPH: graph, bundles.STUDY_GRAPH: of_study}, found


def _weights(net: nn.Module) -> bytes:
    return to_safetensors({k: v.contiguous() for k, v in net.state_dict().items()})


def _check(net: Net, study_net: StudyNet | None, recipe: Recipe) -> dict[str, bytes]:
    """The bundle's own check: a phantom as PNG, and torch's answer to it through the whole preparation.

    Where studies are judged it is a study of one slice, so that it goes through both graphs and stays tiny.
    """
    if isinstance(net, VolumeNet):
        return _volume_check(net, recipe)
    pixels: np.ndarray = np.round(phantoms.make_xray("covid", seed=1, size=256).pixels * 255).astype(np.uint8)
    png = cv2.imencode(".png", pixels)[1].tobytes()
    image = Image2D(pixels=pixels.astype(np.float32) / np.float32(255), unit="unit")
    prepared = pipeline.run(image, recipe.prep).pixels[np.newaxis]
    answer = (
        graphs.torch_answers(net, prepared)[0][0] if study_net is None else graphs.torch_study(net, study_net, prepared)
    )
    return _stored(png, answer, recipe)


def _volume_check(net: VolumeNet, recipe: Recipe) -> dict[str, bytes]:
    png = check.picture_of(phantoms.phantom_ct("covid", seed=1, size=96, slices=24).voxels)
    prepared = prepare_volume(check.volume_of(png), recipe.prep)
    return _stored(png, graphs.torch_volume(net, prepared.values)[0], recipe)


def _stored(png: bytes, answer: np.ndarray, recipe: Recipe) -> dict[str, bytes]:
    named = {name: float(p) for name, p in zip(recipe.classes.names, answer, strict=True)}
    return {
        bundles.CHECK_INPUT: png,
        bundles.CHECK_EXPECTED: json.dumps({"probabilities": named}, indent=2).encode(),
    }


def _data_card(dataset: Dataset) -> DataCard:
    return DataCard(
        n_images=len(dataset),
        n_patients=len(dataset.groups),
        grouped=dataset.grouped,
        counts=dataset.counts(),
        modalities=Counter(s.modality or "not stated" for s in dataset.samples),
        sources=tuple(sorted({s.source for s in dataset.samples if s.source}))[:20],
        dataset=dataset.digest,
        left_out=dataset.left_out,
        told=parts.counted(dataset.samples, ("view", "sex", "age")),
    )


def _pretrained(used: WeightsUsed | None) -> PretrainedWeights | None:
    if used is None or used.file is None:
        return None
    return PretrainedWeights(
        name=used.timm_name,
        digest=used.digest,
        origin=used.origin,
        licence=used.licence,
        bn_eps=used.bn_eps,
        note=used.note,
    )


def _limits(dataset: Dataset, evaluation: Evaluation) -> tuple[str, ...]:
    noun = "images" if evaluation.judged == "image" else "slices"
    if evaluation.judged == "study" and not evaluation.n_slices:  # volumes, each judged whole
        noun = "studies"
    limits = [
        f"It learned from {len(dataset)} {noun} of {len(dataset.groups)} patients; expect it to be worse on images "
        "from other hospitals, devices and times.",
        "It was not shown that it looks at lungs rather than at how, where and when an image was made.",
        "It knows only the classes it was trained on, and answers with one of them for any image that it accepts.",
    ]
    if not dataset.grouped:
        limits.append("Its data names no patients: its figures may count the same patient in training and test.")
    if evaluation.shared_patients:
        limits.append(
            f"{evaluation.shared_patients} patients stood on both sides of its split: its figures are too good."
        )
    if any("phantom" in (s.source or "") for s in dataset.samples):
        limits.append("Its data is synthetic: it knows nothing about real patients.")
    return tuple(limits)
