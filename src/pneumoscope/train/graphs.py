"""From trained networks to ONNX graphs, and proof that these answer in OpenVINO as torch does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pneumoscope.bundle import Precision
from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.trust import Calibrator
from pneumoscope.errors import IntegrityError
from pneumoscope.evaluate import calibrate
from pneumoscope.evaluate.decide import decide
from pneumoscope.nets.build import Net, ScreeningNet
from pneumoscope.nets.study import DescribingNet, StudyNet
from pneumoscope.nets.unet import Shares
from pneumoscope.nets.volume import ScreeningVolume, VolumeNet
from pneumoscope.runtime import engine
from pneumoscope.runtime.study_engine import StudyEngine
from pneumoscope.runtime.volume_engine import VolumeEngine

FP32_TOLERANCE = 1e-4
# of the strongest place of all maps
MAP_TOLERANCE = 1e-3
# bf16 is allowed where it moves no probability by more and changes no decision (speed.md measured 0.007)
BF16_TOLERANCE = 0.02
BATCH = 16
RAW = Calibrator()


def to_onnx(net: Net, input_size: tuple[int, int]) -> bytes:
    """The screening graph as ONNX: `images [N, 1, H, W]` -> `probabilities [N, K]`, `cam [N, K, h, w]`.

    Notes that the exporter leaves in the graph (paths and source lines of this machine) are removed.
    """
    return _exported(
        ScreeningNet(net),
        (torch.zeros(2, 1, *input_size),),
        ["images"],
        ["probabilities", "cam"],
        ({0: torch.export.Dim("n", min=1)},),
    )


def volumes_to_onnx(net: VolumeNet, input_size: tuple[int, int, int]) -> bytes:
    """The graph of a method of volumes: `volumes [N, 1, D, H, W]` -> `probabilities [N, K]`, `cam [N, K, d, h, w]`."""
    return _exported(
        ScreeningVolume(net),
        (torch.zeros(2, 1, *input_size),),
        ["volumes"],
        ["probabilities", "cam"],
        ({0: torch.export.Dim("n", min=1)},),
    )


def slices_to_onnx(net: Net, input_size: tuple[int, int]) -> bytes:
    """The graph of a method of studies: as `to_onnx`'s, and `features [N, F]`, which `study_to_onnx`'s takes."""
    return _exported(
        DescribingNet(net),
        (torch.zeros(2, 1, *input_size),),
        ["images"],
        ["probabilities", "cam", "features"],
        ({0: torch.export.Dim("n", min=1)},),
    )


def study_to_onnx(net: StudyNet, features: int) -> bytes:
    """The graph of one study: `features [S, F]`, `slices [S, K]` -> `probabilities [K]`, `members [M, K]`.

    slices: the probabilities of its slices. features: F.
    """
    # the second input has the first one's axis; a name of its own, even the same, makes the exporter warn
    first, second = torch.export.Dim("s", min=1), torch.export.Dim.DYNAMIC
    return _exported(
        net,
        (torch.zeros(3, features), torch.zeros(3, len(net.classes.names))),
        ["features", "slices"],
        ["probabilities", "members"],
        ({0: first}, {0: second}),
    )


def lungs_to_onnx(net: nn.Module, side: int) -> bytes:
    """The graph that finds lung fields: standardised `images [N, 1, side, side]` -> `lungs [N, side, side]`, 0..1."""
    given = (torch.zeros(2, 1, side, side),)
    return _exported(Shares(net), given, ["images"], ["lungs"], ({0: torch.export.Dim("n", min=1)},))


def _exported(
    module: nn.Module, given: tuple[Tensor, ...], inputs: list[str], outputs: list[str], dynamic: tuple[Any, ...]
) -> bytes:
    exported = torch.onnx.export(
        module.eval(),
        given,
        dynamo=True,
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes=dynamic,
        verbose=False,
    )
    model = exported.model_proto  # type: ignore[union-attr]
    for holder in (model, model.graph, *model.functions, *model.graph.node, *model.graph.value_info):
        del holder.metadata_props[:]
        holder.doc_string = ""
    return bytes(model.SerializeToString(deterministic=True))


def check_precisions(graph: bytes, net: Net, images: np.ndarray, rule: Rule) -> dict[str, Precision]:
    """Compare the exported graph with torch in fp32 on prepared images `[n, H, W]`, in each precision of this CPU.

    Raises:
        IntegrityError: the graph in fp32 is further than 1e-4 from torch, or its maps are other than torch's.
    """

    def ask(precision: engine.PrecisionName) -> _Answers:
        runner = engine.Engine(graph, precision=precision)
        parts = [runner.run(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
        got, maps = (np.concatenate(p) for p in zip(*parts, strict=True))
        return _Answers(got, maps, rule.decide(got, net.classes))

    expected, expected_maps = torch_answers(net, images)
    decided = rule.decide(expected, net.classes)
    return _compared(_Answers(expected, expected_maps, decided), ask, len(images))


def check_volumes(graph: bytes, net: VolumeNet, volumes: Sequence[np.ndarray], rule: Rule) -> dict[str, Precision]:
    """As `check_precisions`, on prepared volumes `[D, H, W]`, one at a time.

    Raises:
        IntegrityError: as of `check_precisions`.
    """

    def ask(precision: engine.PrecisionName) -> _Answers:
        return answers(VolumeEngine(graph, precision=precision).run)

    def answers(run: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]) -> _Answers:
        of_volumes, maps = (np.stack(part) for part in zip(*(run(volume) for volume in volumes), strict=True))
        return _Answers(of_volumes, maps, rule.decide(of_volumes, net.classes))

    return _compared(answers(lambda volume: torch_volume(net, volume)), ask, len(volumes))


def check_studies(
    graph: bytes,
    study_graph: bytes,
    net: Net,
    study_net: StudyNet,
    studies: Sequence[np.ndarray],
    rule: Rule,
) -> dict[str, Precision]:
    """As `check_precisions`, of both graphs, on studies of prepared slices `[S, H, W]`; their first slices alone, too.

    Probabilities of slices, classifiers and studies are compared, and decisions for studies.

    Raises:
        IntegrityError: as of `check_precisions`.
    """
    asked = [*studies, *(study[:1] for study in studies)]
    judge = StudyEngine(study_graph)

    def ask(precision: engine.PrecisionName) -> _Answers:
        runner = engine.Engine(graph, precision=precision)
        return _joined(asked, runner.describe, judge.run, lambda p: rule.decide(p, net.classes))

    describing = DescribingNet(net).eval()
    expected = _joined(
        asked,
        lambda images: _run(describing, np.ascontiguousarray(images[:, np.newaxis])),
        lambda features, slices: _run(study_net.eval(), features, slices),
        lambda p: rule.decide(p, net.classes),
    )
    return _compared(expected, ask, sum(len(study) for study in studies))


class Rule(NamedTuple):
    """How a bundle decides on what its graph says: calibrated first, as in `runtime.answers`."""

    threshold: float | None = None
    calibrator: Calibrator = RAW

    def decide(self, raw: np.ndarray, classes: ClassSet) -> np.ndarray:
        """The class decided for, integers `[n]`, from the graph's probabilities `[n, K]`."""
        return decide(self.threshold, calibrate.apply(self.calibrator, raw, classes), classes)


class _Answers(NamedTuple):
    """probabilities: all that are compared, `[n, K]`. maps: `[m, K, h, w]`. decisions: integers."""

    probabilities: np.ndarray
    maps: np.ndarray
    decisions: np.ndarray


def _joined(
    studies: Sequence[np.ndarray],
    describe: Callable[[np.ndarray], tuple[np.ndarray, ...]],
    judge: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]],
    decided: Callable[[np.ndarray], np.ndarray],
) -> _Answers:
    """All that two networks, in torch or exported, say of studies `[S, H, W]`."""
    found, maps, of_studies = [], [], []
    for study in studies:
        parts = [describe(study[i : i + BATCH]) for i in range(0, len(study), BATCH)]
        slices, cams, features = (np.concatenate(p) for p in zip(*parts, strict=True))
        whole, members = judge(features, slices)
        found += [slices, members, whole[np.newaxis]]
        maps.append(cams)
        of_studies.append(whole)
    return _Answers(np.concatenate(found), np.concatenate(maps), decided(np.stack(of_studies)))


def _compared(
    expected: _Answers, ask: Callable[[engine.PrecisionName], _Answers], n_images: int
) -> dict[str, Precision]:
    found: dict[str, Precision] = {}
    for name in engine.supported_precisions():
        got = ask(name)
        largest = float(np.abs(got.probabilities - expected.probabilities).max())
        changed = int((got.decisions != expected.decisions).sum())
        tolerance = FP32_TOLERANCE if name == "fp32" else BF16_TOLERANCE
        found[name] = Precision(
            validated=largest <= tolerance and (name == "fp32" or changed == 0),
            largest_difference=largest,
            changed=changed,
            n_images=n_images,
        )
        off = float(np.abs(got.maps - expected.maps).max())
        if name == "fp32" and off > MAP_TOLERANCE * float(expected.maps.max()):
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
    parts = [
        _run(screening, np.ascontiguousarray(images[i : i + BATCH, np.newaxis])) for i in range(0, len(images), BATCH)
    ]
    probabilities, cams = (np.concatenate(p) for p in zip(*parts, strict=True))
    return probabilities, cams


def torch_volume(net: VolumeNet, volume: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities `[K]` and Grad-CAM `[K, d, h, w]` of a prepared volume `[D, H, W]`, by torch in fp32."""
    given = np.ascontiguousarray(volume[np.newaxis, np.newaxis], dtype=np.float32)
    probabilities, cam = _run(ScreeningVolume(net).eval(), given)
    return probabilities[0], cam[0]


def torch_study(net: Net, study_net: StudyNet, images: np.ndarray) -> np.ndarray:
    """Probabilities `[K]` of one study of prepared slices `[S, H, W]`, by torch in fp32."""
    slices, _, features = _run(DescribingNet(net).eval(), np.ascontiguousarray(images[:, np.newaxis]))
    return _run(study_net.eval(), features, slices)[0]


def _run(module: nn.Module, *given: np.ndarray) -> tuple[np.ndarray, ...]:
    with torch.inference_mode():
        return tuple(answer.numpy() for answer in module(*(torch.from_numpy(x) for x in given)))
