"""The exported graph of studies on OpenVINO: what the slice network says of all slices -> one answer."""

from __future__ import annotations

import numpy as np

from pneumoscope import bundle as bundles
from pneumoscope.bundle import Bundle
from pneumoscope.prep import pipeline
from pneumoscope.runtime.engine import Engine, Graph, Shapes


class StudyEngine(Graph):
    """A compiled graph of studies, in fp32 whatever the slices ran in: it takes no time. See `engine.Graph`."""

    def __init__(self, graph: bytes, *, threads: int = 0) -> None:
        super().__init__(graph, name=bundles.STUDY_GRAPH, threads=threads)

    def run(self, features: np.ndarray, slices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`(probabilities [K], members [M, K])` of one study, float32.

        features: of its slices from the feet to the head, float32 `[S, F]`. slices: their probabilities, `[S, K]`.

        Raises:
            BundleError: a graph that fails on them, or answers in another form.
        """
        given = [np.ascontiguousarray(x, dtype=np.float32) for x in (features, slices)]
        given = given[
            : self.inputs
        ]  # OpenVINO drops an input that nothing takes: classifiers may want no probabilities
        rule = f"a graph that runs on {features.shape[0]} slices with {features.shape[1]} features each"
        probabilities, members = self.infer(given, 2, rule)
        k = slices.shape[1]
        if probabilities.shape != (k,) or members.ndim != 2 or members.shape[1] != k:
            raise self.unfit(f"answers [{k}] and [M, {k}]", f"{probabilities.shape} and {members.shape}")
        return probabilities, members


def of_bundle(bundle: Bundle, slices: Engine, *, threads: int = 0) -> StudyEngine | None:
    """A bundle's graph of studies, compiled, once it is seen to fit the recipe; None where none judge studies.

    slices: its graph of slices, which makes the features that this one takes.

    Raises:
        BundleError: a graph that is not there, does not run, or does not fit.
        IntegrityError: a graph whose bytes changed.
    """
    recipe = bundle.facts.recipe
    if not recipe.members:
        return None
    engine = StudyEngine(bundle.read(bundles.STUDY_GRAPH), threads=threads)
    classes = len(recipe.classes.names)
    height, width = pipeline.input_size(recipe)
    features = slices.describe(np.zeros((1, height, width), np.float32))[2].shape[1]
    taken: Shapes = ((-1, features), (-1, classes))
    if all(stage.features == "plain" for stage in recipe.members):
        taken = taken[:1]
    engine.require_ports(taken, ((classes,), (len(recipe.members), classes)))
    return engine
