"""From a trained network to a bundle: the graph, proof that it answers as torch does, and the facts beside it."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save as to_safetensors

import pneumoscope
from pneumoscope import bundle as bundles
from pneumoscope import phantoms
from pneumoscope.bundle import Bundle, DataCard, Facts, Precision, PretrainedWeights
from pneumoscope.core.dataset import Dataset
from pneumoscope.core.image import Image2D
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.result import Evaluation
from pneumoscope.core.role import MAIN
from pneumoscope.errors import IntegrityError
from pneumoscope.evaluate.decide import decide
from pneumoscope.nets.build import Net, ScreeningNet
from pneumoscope.nets.weights import WeightsUsed
from pneumoscope.prep import pipeline
from pneumoscope.runtime import engine

FP32_TOLERANCE = 1e-4
# of the strongest place of all maps
MAP_TOLERANCE = 1e-3
# bf16 is allowed where it moves no probability by more and changes no decision (speed.md measured 0.007)
BF16_TOLERANCE = 0.02
BATCH = 16

INTENDED_USE = (
    "Research on chest images: comparing methods, teaching, and finding out what a model has learned. "
    "Not a medical device; no decision about a patient may rest on it."
)


def to_onnx(net: Net, input_size: tuple[int, int]) -> bytes:
    """The screening graph as ONNX: `images [N, 1, H, W]` -> `probabilities [N, K]`, `cam [N, K, h, w]`.

    Notes that the exporter leaves in the graph (paths and source lines of this machine) are removed.
    """
    exported = torch.onnx.export(
        ScreeningNet(net).eval(),
        (torch.zeros(2, 1, *input_size),),
        dynamo=True,
        input_names=["images"],
        output_names=["probabilities", "cam"],
        dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
        verbose=False,
    )
    model = exported.model_proto  # type: ignore[union-attr]
    for holder in (model, model.graph, *model.functions, *model.graph.node, *model.graph.value_info):
        del holder.metadata_props[:]
        holder.doc_string = ""
    return bytes(model.SerializeToString(deterministic=True))


def check_precisions(graph: bytes, net: Net, images: np.ndarray, threshold: float | None) -> dict[str, Precision]:
    """Compare the exported graph with torch in fp32 on prepared images `[n, H, W]`, in each precision of this CPU.

    Raises:
        IntegrityError: the graph in fp32 is further than 1e-4 from torch, or its maps are other than torch's.
    """
    expected, expected_maps = torch_answers(net, images)
    found: dict[str, Precision] = {}
    for name in engine.supported_precisions():
        runner = engine.Engine(graph, precision=name)
        parts = [runner.run(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
        got, maps = (np.concatenate(p) for p in zip(*parts, strict=True))
        largest = float(np.abs(got - expected).max())
        changed = int((decide(threshold, got, net.classes) != decide(threshold, expected, net.classes)).sum())
        tolerance = FP32_TOLERANCE if name == "fp32" else BF16_TOLERANCE
        found[name] = Precision(
            validated=largest <= tolerance and (name == "fp32" or changed == 0),
            largest_difference=largest,
            changed=changed,
            n_images=len(images),
        )
        if name == "fp32" and float(np.abs(maps - expected_maps).max()) > MAP_TOLERANCE * float(expected_maps.max()):
            raise IntegrityError("export: expected the graph's Grad-CAM to equal torch's, found another map.")
    if not found["fp32"].validated:
        raise IntegrityError(
            f"export: expected the graph within {FP32_TOLERANCE} of torch, "
            f"found {found['fp32'].largest_difference:.2e}. "
            "No bundle was written; please report the recipe."
        )
    return found


def torch_answers(net: Net, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities `[n, K]` and Grad-CAM `[n, K, h, w]` of prepared images `[n, H, W]`, by torch in fp32."""
    screening = ScreeningNet(net).eval()
    with torch.inference_mode():
        parts = [
            screening(torch.from_numpy(np.ascontiguousarray(images[i : i + BATCH])).unsqueeze(1))
            for i in range(0, len(images), BATCH)
        ]
    probabilities, cams = (torch.cat(p).numpy() for p in zip(*parts, strict=True))
    return probabilities, cams


def write_bundle(
    net: Net,
    recipe: Recipe,
    datasets: Mapping[str, Dataset],
    *,
    answered: Dataset,
    images: np.ndarray,
    threshold: float | None,
    evaluation: Evaluation,
    used: WeightsUsed | None,
    card: object,
    path: Path,
) -> Bundle:
    """Export, compare with torch on `images` `[n, H, W]`, and only then write the bundle at `path`.

    datasets: by role, what was learned from and chosen on. answered: all of main; a threshold that was fitted has seen
    it. card: a function from facts to the text of README.md; the report layer above has it.

    Raises:
        IntegrityError: a graph that does not answer as torch does; nothing is written.
        UsageError: `path` is in use.
    """
    net = net.to(memory_format=torch.contiguous_format).eval()
    graph = to_onnx(net, (images.shape[1], images.shape[2]))
    facts = Facts(
        name=recipe.title,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        pneumoscope=pneumoscope.__version__,
        recipe=recipe,
        threshold=threshold,
        precisions=check_precisions(graph, net, images, threshold),
        explains="features" if net.head.convolution is None else "head.maps",
        evaluation=evaluation,
        data=_data_card(datasets[MAIN]),
        before={role: _data_card(dataset) for role, dataset in datasets.items() if role != MAIN},
        pretrained=_pretrained(used),
        intended_use=INTENDED_USE,
        limits=_limits(datasets[MAIN], evaluation),
        licence="not stated; it follows from the terms of the training data and of the pretrained weights",
    )
    fitted = recipe.decision.rule not in ("argmax", "fixed")
    seen = [*datasets.values(), *([answered] if fitted else [])]
    files = {
        bundles.GRAPH: graph,
        bundles.WEIGHTS: to_safetensors({k: v.contiguous() for k, v in net.state_dict().items()}),
        bundles.SEEN: "\n".join(sorted({s.digest[:16] for d in seen for s in d.samples})).encode(),
        bundles.CARD: card(facts).encode(),  # type: ignore[operator]
        **_check(net, recipe),
    }
    return bundles.save(facts, files, path)


def _check(net: Net, recipe: Recipe) -> dict[str, bytes]:
    """The bundle's own check: a phantom as PNG, and torch's answer to it through the whole preparation."""
    pixels: np.ndarray = np.round(phantoms.make_xray("covid", seed=1, size=256).pixels * 255).astype(np.uint8)
    png = cv2.imencode(".png", pixels)[1].tobytes()
    image = Image2D(pixels=pixels.astype(np.float32) / np.float32(255), unit="unit")
    answer, _ = torch_answers(net, pipeline.run(image, recipe.prep).pixels[np.newaxis])
    named = {name: float(p) for name, p in zip(recipe.classes.names, answer[0], strict=True)}
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
    limits = [
        f"It learned from {len(dataset)} images of {len(dataset.groups)} patients; expect it to be worse on images "
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
