"""A bundle's graphs at work: a study that passed the gate -> probabilities, decision, and where the networks looked."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pneumoscope.bundle import Bundle
from pneumoscope.core.image import Image2D, Volume
from pneumoscope.core.result import Explanation, Prediction
from pneumoscope.core.study import Study
from pneumoscope.prep import pipeline
from pneumoscope.runtime import engine, familiar, studies, study_engine, volumes
from pneumoscope.runtime.deciding import Decider
from pneumoscope.runtime.engine import Engine, PrecisionName
from pneumoscope.runtime.familiar import Likeness
from pneumoscope.runtime.finding import Verdict
from pneumoscope.runtime.screened import Ready, ReadyImage, Screened, Shown
from pneumoscope.runtime.study_engine import StudyEngine
from pneumoscope.runtime.volume_engine import VolumeEngine


class Answerer:
    """A bundle's graphs, compiled, that answer for studies that passed the gate.

    threads: CPU threads, 0 for all cores. prevalence: class -> share, as of `deciding.Decider`.

    Raises:
        BundleError: a graph that does not fit.
        IntegrityError: a graph whose bytes changed.
        UsageError: a prevalence that does not fit the classes.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: PrecisionName,
        threads: int,
        prevalence: Mapping[str, float] | None = None,
    ) -> None:
        self.bundle = bundle
        self.recipe = bundle.facts.recipe
        self._precision: PrecisionName = precision
        self._threads = threads
        self.decider = Decider(bundle.facts, prevalence)
        # compiled now: a graph that does not fit is an error before anything is screened
        _ = self.likeness
        _ = self.volume_engine if self.recipe.of_volumes else self.study_engine

    @functools.cached_property
    def likeness(self) -> Likeness | None:
        """The test whether pictures are like those learned from; None where the bundle has none."""
        return familiar.of_bundle(self.bundle)

    @functools.cached_property
    def engine(self) -> Engine:
        """Of images and slices."""
        return engine.of_bundle(self.bundle, precision=self._precision, threads=self._threads)

    @functools.cached_property
    def study_engine(self) -> StudyEngine | None:
        """Of studies; None where slices are all that is judged."""
        return study_engine.of_bundle(self.bundle, self.engine, threads=self._threads)

    @functools.cached_property
    def volume_engine(self) -> VolumeEngine:
        """Of volumes."""
        return volumes.of_bundle(self.bundle, precision=self._precision, threads=self._threads)

    def images(self, ready: list[ReadyImage], target: str | None, maps: bool) -> list[Screened]:
        """One answer for each, all in one batch."""
        if not ready:
            return []
        start = time.perf_counter()
        x = np.stack([r.prepared.pixels for r in ready])
        if self.likeness is None:
            probabilities, cams = self.engine.run(x)
            given = [r.prediction for r in ready]
        else:
            probabilities, cams, features = self.engine.describe(x)
            given = [self._liked(r.prediction, features[i : i + 1]) for i, r in enumerate(ready)]
        each = (time.perf_counter() - start) / len(ready)
        decided = self.decider.fill(given, probabilities)
        results = []
        for r, one, cam in zip(ready, decided, cams, strict=True):
            prediction = replace(one, seconds=round(one.seconds + each, 4))
            image = r.study.images[0]
            if maps:
                results.append(self._with_map(prediction, image, r.prepared, cam, target or str(one.decision)))
            else:
                results.append(Screened(prediction=prediction, modality=image.modality))
        return results

    def _liked(self, prediction: Prediction, features: np.ndarray | None) -> Prediction:
        """With what the test of likeness finds of its pictures' features `[n, F]`."""
        facts = self.bundle.facts.familiar
        if self.likeness is None or facts is None or features is None:
            return prediction
        verdict = Verdict(findings=(familiar.judge(self.likeness, features, facts.limit),))
        warnings = (*prediction.warnings, *verdict.warnings)
        return replace(prediction, warnings=warnings, gate={**prediction.gate, **verdict.checks})

    def _with_map(
        self, prediction: Prediction, image: Image2D, prepared: Image2D, cam: np.ndarray, target: str
    ) -> Screened:
        explanation = self._explained(prepared, cam, target)
        return Screened(prediction=prediction, modality=image.modality, image=image, explanation=explanation)

    def _explained(self, prepared: Image2D, cam: np.ndarray, target: str) -> Explanation:
        """cam: Grad-CAM of one image, `[K, h, w]`."""
        of_target = cam[self.recipe.classes.index(target)]
        return explain(of_target, prepared, layer=self.bundle.facts.explains, target=target)

    def _volume(self, ready: Ready, volume: Volume, target: str | None, maps: bool) -> Screened:
        start = time.perf_counter()
        names = self.recipe.classes.names
        judged = volumes.judge(self.volume_engine, volume, self.recipe)
        (decided,) = self.decider.fill([ready.prediction], judged.probabilities[np.newaxis])
        focus = target or str(decided.decision)
        prediction = replace(
            decided,
            series=studies.series(ready.study),
            focus=focus,
            seconds=round(ready.prediction.seconds + time.perf_counter() - start, 4),
        )
        if not maps:
            return Screened(prediction=prediction, modality="ct")
        layer = self.bundle.facts.explains
        explanation = volumes.explain(judged, names.index(focus), volume.shape, layer=layer, target=focus)
        return Screened(
            prediction=prediction, modality="ct", volume=volume, explanation=explanation, prepared=judged.prepared
        )

    def study(self, ready: Ready, target: str | None, maps: bool) -> Screened:
        """The answer for a series, as slices or as a whole, or for an image that is taken for a study.

        Raises:
            InputError: a volume without lungs, or with too little of them.
        """
        if self.recipe.of_volumes and ready.study.volume is not None:
            return self._volume(ready, ready.study.volume, target, maps)
        start = time.perf_counter()
        classes, study, volume = self.recipe.classes, ready.study, ready.study.volume
        described = studies.describe(self.engine, study, self.recipe)
        judged = studies.judge(described, self.recipe, self.study_engine)
        given = self._liked(ready.prediction, described.features)
        (decided,) = self.decider.fill([given], judged.probabilities[np.newaxis])
        focus = target or studies.focus(described.probabilities, str(decided.decision), classes)
        spacing = None if volume is None else volume.geometry.spacing_mm[0]
        chosen = studies.that_matter(described.probabilities[:, classes.index(focus)], spacing)
        prediction = replace(
            decided,
            warnings=(*decided.warnings, *studies.warnings(study, judged.combined)),
            series=studies.series(study),
            slices=studies.slice_answers(study, described.probabilities, classes, chosen),
            members={name: studies.named(p, classes) for name, p in judged.members.items()},
            combined=judged.combined,
            focus=focus,
        )
        seconds = ready.prediction.seconds + time.perf_counter() - start
        prediction = replace(prediction, seconds=round(seconds, 4))
        result = self._with_maps(prediction, study, described.cams, chosen, focus) if maps else None
        modality = "ct" if volume is not None else study.images[0].modality
        return result or Screened(prediction=prediction, modality=modality)

    def _with_maps(
        self, prediction: Prediction, study: Study, cams: np.ndarray, chosen: Sequence[int], target: str
    ) -> Screened:
        """cams: Grad-CAM of each slice, `[S, K, h, w]`. chosen: the slices that are shown."""
        if study.volume is None:
            image = study.images[0]
            return self._with_map(prediction, image, pipeline.run(image, self.recipe.prep), cams[0], target)
        shown = []
        for number in chosen:
            image = study.volume.image(number)
            explanation = self._explained(pipeline.run(image, self.recipe.prep), cams[number], target)
            shown.append(Shown(number=number, image=image, explanation=explanation))
        return Screened(prediction=prediction, modality="ct", volume=study.volume, shown=tuple(shown))


def explain(cam: np.ndarray, prepared: Image2D, *, layer: str, target: str) -> Explanation:
    """A Grad-CAM grid `[h, w]` over a prepared image -> a map in 0..1 over the image as it was read."""
    values = np.clip(pipeline.to_source(cam, prepared), 0, None)
    highest = float(values.max())
    if highest > 0:
        values = values / highest
    return Explanation(method="grad-cam", layer=layer, target=target, map=values.astype(np.float32))
