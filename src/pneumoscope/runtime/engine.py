"""The exported graph on OpenVINO: precision set, threads set, telemetry off.

`import openvino` sends an event unless its telemetry package is absent (shared reference speed.md), and OpenVINO
chooses bf16 by itself on CPUs that have it; both are prevented here, and openvino is imported nowhere else.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from pneumoscope import bundle as bundles
from pneumoscope.bundle import Bundle
from pneumoscope.errors import BundleError, PneumoscopeError, UsageError
from pneumoscope.prep import pipeline

PrecisionName = Literal["fp32", "bf16"]
Shapes = tuple[tuple[int, ...], ...]
_COMPILING = threading.Lock()  # readers in several threads ask for small networks of ours; one is compiled at a time
_TYPES = {"fp32": "f32", "bf16": "bf16"}


def _openvino() -> Any:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@functools.cache
def _core() -> Any:
    return _openvino().Core()


class Graph:
    """A compiled graph of a bundle's.

    name: of its file, for messages. threads: CPU threads, 0 for all cores.

    Raises:
        UsageError: a precision that this CPU does not compute in.
        BundleError: bytes that are no such graph, or one that names files outside itself.
    """

    def __init__(self, graph: bytes, *, name: str, precision: PrecisionName = "fp32", threads: int = 0) -> None:
        if precision not in supported_precisions():
            raise UsageError(f"--precision: expected one that this CPU has, found '{precision}'. Use fp32.")
        self.name = name
        # OpenVINO reads the files that ONNX's external tensors name by this key, wherever on this machine they are
        if b"location" in graph:
            raise self.unfit("a graph that holds all of its tensors", "one that names other files")
        settings = {
            "INFERENCE_PRECISION_HINT": _TYPES[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
        }
        with _COMPILING, self._named("a graph that OpenVINO runs"):
            self._compiled = _core().compile_model(_core().read_model(graph), "CPU", settings)
            self._request = self._compiled.create_infer_request()

    @property
    def inputs(self) -> int:
        """How many inputs it takes."""
        return len(self._compiled.inputs)

    @property
    def outputs(self) -> int:
        """How many outputs it gives."""
        return len(self._compiled.outputs)

    def infer(self, inputs: list[np.ndarray], outputs: int, rule: str) -> list[np.ndarray]:
        """The first `outputs` answers, float32, to float32 inputs. rule: what the graph must do, for the message."""
        with self._named(rule):
            self._request.infer(inputs, share_inputs=True)
            return [self._request.get_output_tensor(i).data.astype(np.float32) for i in range(outputs)]

    def require_ports(self, inputs: Shapes, outputs: Shapes) -> None:
        """Check the shapes of what the graph takes and gives, -1 for any size.

        Raises:
            BundleError: another input or other outputs.
        """
        shape = _openvino().PartialShape
        wanted = ([shape(list(port)) for port in inputs], [shape(list(port)) for port in outputs])
        found = tuple(
            [port.partial_shape for port in ports] for ports in (self._compiled.inputs, self._compiled.outputs)
        )
        for kind, of_graph, of_recipe in zip(("input", "outputs"), found, wanted, strict=True):
            if len(of_graph) != len(of_recipe) or not all(
                a.compatible(b) for a, b in zip(of_graph, of_recipe, strict=True)
            ):
                raise self.unfit(
                    f"the {kind} that the recipe asks for, {_shapes(of_recipe)}", f"{_shapes(of_graph) or 'none'}"
                )

    def unfit(self, rule: str, found: str) -> BundleError:
        """The error of a graph that breaks a rule."""
        return BundleError(
            f"{self.name}: expected {rule}, found {found.rstrip('.')}. Get the bundle again, or train it."
        )

    @contextmanager
    def _named(self, rule: str) -> Iterator[None]:
        """Turn whatever OpenVINO raises inside into one BundleError of one line."""
        try:
            yield
        except PneumoscopeError:
            raise
        except Exception as error:
            # the first lines of a message only say where in OpenVINO it was raised
            lines = [line.strip() for line in str(error).splitlines()]
            told = [line for line in lines if line and not line.startswith(("Exception from", "Check "))]
            raise self.unfit(rule, f"{type(error).__name__}: {told[0][:300] if told else 'no reason given'}") from error


class Engine(Graph):
    """A compiled screening graph: grey 0..1 images in, probabilities and Grad-CAM maps out; see `Graph`.

    It may give features, too: those that a graph of studies takes, or that unfamiliar pictures are found by.
    """

    def __init__(self, graph: bytes, *, precision: PrecisionName = "fp32", threads: int = 0) -> None:
        super().__init__(graph, name=bundles.GRAPH, precision=precision, threads=threads)

    def run(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`(probabilities [N, K], Grad-CAM [N, K, h, w])`, float32, of float32 images `[N, H, W]` in 0..1.

        Raises:
            BundleError: a graph that fails on the images, or answers in another form.
        """
        probabilities, cam = self._answers(images, 2)
        return probabilities, cam

    def describe(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `run`, and features `[N, F]`, where `describes`."""
        probabilities, cam, features = self._answers(images, 3)
        if features.ndim != 2 or len(features) != len(images):
            raise self.unfit(f"features [{len(images)}, F]", f"{features.shape}")
        return probabilities, cam, features

    @property
    def describes(self) -> bool:
        """Whether it gives features; graphs of images in older bundles do not."""
        return self.outputs == 3

    def _answers(self, images: np.ndarray, outputs: int) -> list[np.ndarray]:
        x = np.ascontiguousarray(images[:, np.newaxis], dtype=np.float32)
        found = self.infer([x], outputs, f"a graph that runs on {images.shape[1]} x {images.shape[2]} pixels")
        (probabilities, cam), n = found[:2], len(images)
        if probabilities.ndim != 2 or cam.ndim != 4 or cam.shape[:2] != probabilities.shape or len(cam) != n:
            raise self.unfit(f"answers [{n}, K] and [{n}, K, h, w]", f"{probabilities.shape} and {cam.shape}")
        if 0 in cam.shape:
            raise self.unfit("answers with numbers in them", f"{probabilities.shape} and {cam.shape}")
        return found

    def require(self, height: int, width: int, classes: int, *, features: bool = False) -> None:
        """Check that the graph takes images of `height` x `width` and answers for so many classes.

        Raises:
            BundleError: another input or other outputs.
        """
        more = ((-1, -1),) if features else ()
        self.require_ports(((-1, 1, height, width),), ((-1, classes), (-1, classes, -1, -1), *more))


def of_bundle(bundle: Bundle, *, precision: PrecisionName = "fp32", threads: int = 0) -> Engine:
    """A bundle's graph, compiled, once it is seen to fit the bundle's recipe.

    Raises:
        BundleError: a graph that does not run, or that does not fit.
        IntegrityError: a graph whose bytes changed.
        UsageError: a precision that this CPU does not compute in.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        graph = pool.submit(bundle.read, bundles.GRAPH)
        _core()  # a quarter of a second of imports, beside which as much is hashed
        engine = Engine(graph.result(), precision=precision, threads=threads)
    recipe = bundle.facts.recipe
    features = bool(recipe.members) or bundle.facts.familiar is not None or engine.describes
    engine.require(*pipeline.input_size(recipe), len(recipe.classes.names), features=features)
    return engine


def supported_precisions() -> tuple[PrecisionName, ...]:
    """What this CPU computes in: always fp32, and bf16 where the hardware has it (elsewhere it would be ignored)."""
    capabilities = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("fp32", "bf16") if "BF16" in capabilities else ("fp32",)


def version() -> str:
    """OpenVINO's version."""
    return str(_openvino().__version__)


def _shapes(shapes: list[Any]) -> str:
    return " and ".join(str(shape) for shape in shapes)
