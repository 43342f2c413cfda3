"""Screening: paths in, predictions out, images in batches and studies one by one, without torch.

One bad path never stops the others: it becomes a prediction that is not accepted and says why.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from pneumoscope.bundle import Bundle
from pneumoscope.core.image import Image2D, Modality, Volume
from pneumoscope.core.result import Explanation, Prediction
from pneumoscope.core.study import Study
from pneumoscope.core.voxels import Voxels
from pneumoscope.errors import BundleError, InputError, PneumoscopeError
from pneumoscope.evaluate.decide import decide
from pneumoscope.io import load
from pneumoscope.io.found import Found
from pneumoscope.prep import pipeline
from pneumoscope.runtime import engine, gate, studies, study_engine, volumes
from pneumoscope.runtime.engine import Engine, PrecisionName
from pneumoscope.runtime.study_engine import StudyEngine
from pneumoscope.runtime.volume_engine import VolumeEngine

BATCH = 8
READERS = 2
FEW = 5  # files passed over for one reason, up to which each is named
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """A slice that matters, and where the network looked in it. number: of the slice, from the feet."""

    number: int
    image: Image2D
    explanation: Explanation


@dataclass(frozen=True, kw_only=True, eq=False)
class Screened:
    """A prediction with the image it is about and where the network looked; both None where refused or not asked.

    modality: what the file says that it is; None where it does not say, or was refused. Of a series: volume, in the
    place of the image, and shown: its slices that matter, the first one first; or, where volumes are judged as a whole,
    prepared: what the network saw of it, and an explanation whose map is `[Z, Y, X]`.
    """

    prediction: Prediction
    modality: Modality | None = None
    image: Image2D | None = None
    explanation: Explanation | None = None
    volume: Volume | None = None
    shown: tuple[Shown, ...] = ()
    prepared: Voxels | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ready:
    """A study that passed the gate, to be judged slice by slice."""

    prediction: Prediction
    study: Study


@dataclass(frozen=True, kw_only=True, eq=False)
class _Image(_Ready):
    """A single image that passed the gate, prepared, to be judged as one."""

    prepared: Image2D


class Screener:
    """A bundle, loaded and compiled, that answers for images.

    say: told of each file in a folder or archive that is no part of a study.

    Raises:
        BundleError: a precision that the bundle was not validated in.
        IntegrityError: a graph whose bytes changed.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: PrecisionName = "fp32",
        threads: int = 0,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        facts = bundle.facts
        validated = [name for name, p in facts.precisions.items() if p.validated]
        if precision not in validated:
            raise BundleError(
                f"--precision: expected one that the bundle was validated in ({', '.join(validated)}), "
                f"found '{precision}'."
            )
        self.bundle = bundle
        self.recipe = facts.recipe
        self.precision: PrecisionName = precision
        self._say = say
        self._threads = threads
        # compiled now: a graph that does not fit is an error before anything is screened
        _ = self._volume_engine if self.recipe.of_volumes else self._study_engine

    @functools.cached_property
    def _engine(self) -> Engine:
        return engine.of_bundle(self.bundle, precision=self.precision, threads=self._threads)

    @functools.cached_property
    def _study_engine(self) -> StudyEngine | None:
        return study_engine.of_bundle(self.bundle, self._engine, threads=self._threads)

    @functools.cached_property
    def _volume_engine(self) -> VolumeEngine:
        return volumes.of_bundle(self.bundle, precision=self.precision, threads=self._threads)

    def screen(
        self,
        paths: Iterable[Path],
        *,
        series_uid: str | None = None,
        target: str | None = None,
        one_each: bool = False,
        maps: bool = True,
    ) -> Iterator[Screened]:
        """One result for each study under the paths, in order; reading is done a batch at a time.

        target: the class that maps explain, None for the one decided for. one_each: every path must hold one study,
        and one that holds several is refused. maps: say where the model looked, in the pixels of each source image.
        """
        # decoding takes longer than a small network, so the next batch is read while this one is answered
        with ThreadPoolExecutor(max_workers=READERS) as pool:
            ahead: list[Screened | Future[Screened | _Ready]] = []
            # a series may have hundreds of megabytes: one is answered while one is read
            size = 1 if self.recipe.of_studies else BATCH
            for batch in _batches(self._found(paths, series_uid, one_each), size):
                reading = [f if isinstance(f, Screened) else pool.submit(self._read, f) for f in batch]
                yield from self._finish(ahead, target, maps)
                ahead = reading
            yield from self._finish(ahead, target, maps)

    def _finish(
        self, reading: list[Screened | Future[Screened | _Ready]], target: str | None, maps: bool
    ) -> Iterator[Screened]:
        items = [item.result() if isinstance(item, Future) else item for item in reading]
        answers = iter(self._answer([item for item in items if isinstance(item, _Image)], target, maps))
        for item in items:
            if isinstance(item, _Ready):
                yield next(answers) if isinstance(item, _Image) else self._answer_study(item, target, maps)
            else:
                yield item

    def _found(self, paths: Iterable[Path], series_uid: str | None, one_each: bool) -> Iterator[Found | Screened]:
        for path in paths:
            try:
                discovery = load.discover(path, series_uid=series_uid)
            except PneumoscopeError as error:
                yield self.refused(str(path), str(error))
                continue
            for line in _passed_over(discovery.ignored):
                self._say(line)
            if one_each and len(discovery.found) > 1:
                yield self.refused(str(path), f"{path}: expected one study, found {len(discovery.found)}.")
            else:
                yield from discovery.found

    def _read(self, found: Found) -> Screened | _Ready:
        start = time.perf_counter()
        try:
            study = load.read(found)
        except PneumoscopeError as error:
            return self.refused(found.path, str(error), seconds=time.perf_counter() - start)
        return self._judged(found.path, study, start)

    def answer(self, path: str, parts: Sequence[Study]) -> Screened:
        """One prediction for a study that is read: a series, or single images that are its slices, in their order.

        Slices that the gate refuses are left out, and a warning says so. path: what they are called together.
        """
        start = time.perf_counter()
        reasons = [self._verdict(one).reasons for one in parts]
        kept = [one for one, why in zip(parts, reasons, strict=True) if not why]
        refused = next((why for why in reasons if why), ())
        if not kept:
            return self.refused(path, *refused, seconds=time.perf_counter() - start)
        warned = tuple(warning for one in kept for warning in one.warnings)
        if refused:
            left = len(parts) - len(kept)
            warned = (*warned, f"{left} of {len(parts)} slices were left out, the first one for: {refused[0]}")
        images = tuple(image for one in kept for image in one.images)
        ready = self._judged(path, replace(kept[0], images=images, warnings=warned), start)
        return ready if isinstance(ready, Screened) else self._answer_study(ready, None, maps=False)

    def _judged(self, path: str, study: Study, start: float) -> Screened | _Ready:
        verdict = self._verdict(study)
        warnings = self._warnings(study, verdict)
        if verdict.reasons:
            refused = self.refused(path, *verdict.reasons, seconds=time.perf_counter() - start)
            return replace(refused, prediction=replace(refused.prediction, warnings=warnings))
        alone = study.volume is None and not self.recipe.members
        prepared = pipeline.run(study.images[0], self.recipe.prep) if alone else None
        prediction = Prediction(
            path=path,
            accepted=True,
            bundle=self.bundle.facts.id,
            warnings=warnings,
            threshold=self.bundle.facts.threshold,
            precision=self.precision,
            seconds=time.perf_counter() - start,
        )
        if prepared is None:
            return _Ready(prediction=prediction, study=study)
        return _Image(prediction=prediction, study=study, prepared=prepared)

    def _verdict(self, study: Study) -> gate.Verdict:
        recipe = self.recipe
        return gate.judge(study, recipe.modalities, series=recipe.of_studies, whole=recipe.of_volumes)

    def _warnings(self, study: Study, verdict: gate.Verdict) -> tuple[str, ...]:
        read = (study.volume,) if study.volume is not None else study.images
        modalities: list[Modality | None] = [image.modality for image in study.images]
        if study.volume is not None and self.recipe.of_studies:
            modalities = ["ct"]
        unlearned = (warning for modality in modalities for warning in self._unlearned(modality))
        found = (*study.warnings, *(w for one in read for w in one.warnings), *verdict.warnings, *unlearned)
        return tuple(dict.fromkeys(found))

    def _unlearned(self, modality: Modality | None) -> tuple[str, ...]:
        """A warning where the method takes an image's modality but this model never learned from it."""
        learned = self.bundle.facts.data.modalities
        if modality is None or learned.get(modality, 0) or learned.get("not stated", 0):
            return ()
        return (f"This is {gate.NAMES[modality]}, and the model learned from none; its answer means little.",)

    def refused(self, path: str, *reasons: str, seconds: float = 0.0) -> Screened:
        """What is said of a path that may not, or cannot, be judged."""
        return Screened(
            prediction=Prediction(
                path=path,
                accepted=False,
                bundle=self.bundle.facts.id,
                reasons=reasons,
                precision=self.precision,
                seconds=round(seconds, 4),
            )
        )

    def _answer(self, ready: list[_Image], target: str | None, maps: bool) -> list[Screened]:
        if not ready:
            return []
        start = time.perf_counter()
        probabilities, cams = self._engine.run(np.stack([r.prepared.pixels for r in ready]))
        each = (time.perf_counter() - start) / len(ready)
        decided = decide(self.bundle.facts.threshold, probabilities, self.recipe.classes)
        results = []
        for r, p, cam, k in zip(ready, probabilities, cams, decided, strict=True):
            decision = self.recipe.classes.names[k]
            prediction = replace(
                r.prediction,
                probabilities=studies.named(p, self.recipe.classes),
                decision=decision,
                seconds=round(r.prediction.seconds + each, 4),
            )
            image = r.study.images[0]
            if maps:
                results.append(self._with_map(prediction, image, r.prepared, cam, target or decision))
            else:
                results.append(Screened(prediction=prediction, modality=image.modality))
        return results

    def _with_map(
        self, prediction: Prediction, image: Image2D, prepared: Image2D, cam: np.ndarray, target: str
    ) -> Screened:
        explanation = self._explained(prepared, cam, target)
        return Screened(prediction=prediction, modality=image.modality, image=image, explanation=explanation)

    def _explained(self, prepared: Image2D, cam: np.ndarray, target: str) -> Explanation:
        """cam: Grad-CAM of one image, `[K, h, w]`."""
        of_target = cam[self.recipe.classes.index(target)]
        return explain(of_target, prepared, layer=self.bundle.facts.explains, target=target)

    def _answer_volume(self, ready: _Ready, volume: Volume, target: str | None, maps: bool) -> Screened:
        start = time.perf_counter()
        names = self.recipe.classes.names
        try:
            judged = volumes.judge(self._volume_engine, volume, self.recipe)
        except InputError as error:
            return self.refused(ready.prediction.path, str(error), seconds=time.perf_counter() - start)
        decided = decide(self.bundle.facts.threshold, judged.probabilities[np.newaxis], self.recipe.classes)[0]
        focus = target or names[decided]
        prediction = replace(
            ready.prediction,
            probabilities=studies.named(judged.probabilities, self.recipe.classes),
            decision=names[decided],
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

    def _answer_study(self, ready: _Ready, target: str | None, maps: bool) -> Screened:
        if self.recipe.of_volumes and ready.study.volume is not None:
            return self._answer_volume(ready, ready.study.volume, target, maps)
        start = time.perf_counter()
        classes, study, volume = self.recipe.classes, ready.study, ready.study.volume
        described = studies.describe(self._engine, study, self.recipe)
        judged = studies.judge(described, self.recipe, self._study_engine)
        decision = classes.names[decide(self.bundle.facts.threshold, judged.probabilities[np.newaxis], classes)[0]]
        focus = target or studies.focus(described.probabilities, decision, classes)
        spacing = None if volume is None else volume.geometry.spacing_mm[0]
        chosen = studies.that_matter(described.probabilities[:, classes.index(focus)], spacing)
        prediction = replace(
            ready.prediction,
            probabilities=studies.named(judged.probabilities, classes),
            decision=decision,
            warnings=(*ready.prediction.warnings, *studies.warnings(study, judged.combined)),
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


def _passed_over(ignored: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A line a file and why; one for all where many have one reason, as the slices of another series have."""
    paths: dict[str, list[str]] = {}
    for path, why in ignored:
        paths.setdefault(why, []).append(path)
    for why, found in paths.items():
        if len(found) > FEW:
            yield f"passed over {len(found)} files, {found[0]} for one: {why}"
        else:
            yield from (f"passed over {path}: {why}" for path in found)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
