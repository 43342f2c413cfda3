"""Screening: paths in, predictions out, in batches, without torch.

One bad path never stops the others: it becomes a prediction that is not accepted and says why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from pneumoscope import bundle as bundles
from pneumoscope.bundle import Bundle
from pneumoscope.core.image import Image2D, Modality
from pneumoscope.core.result import Explanation, Prediction
from pneumoscope.core.study import Study
from pneumoscope.errors import BundleError, IntegrityError, PneumoscopeError
from pneumoscope.evaluate.decide import decide
from pneumoscope.io import files, load
from pneumoscope.io.found import Found
from pneumoscope.prep import pipeline
from pneumoscope.runtime import engine, gate
from pneumoscope.runtime.engine import PrecisionName

BATCH = 8
READERS = 2
# the stored check must come out on any machine: summation order differs, a wrong graph differs more
CHECK_TOLERANCE = 1e-3
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Screened:
    """A prediction with the image it is about and where the network looked; both None where refused or not asked.

    modality: what the file says that it is; None where it does not say, or was refused.
    """

    prediction: Prediction
    modality: Modality | None = None
    image: Image2D | None = None
    explanation: Explanation | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ready:
    """A study that passed the gate, prepared for the network."""

    prediction: Prediction
    image: Image2D
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
        self._engine = engine.of_bundle(bundle, precision=precision, threads=threads)

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
            for batch in _batches(self._found(paths, series_uid, one_each), BATCH):
                reading = [f if isinstance(f, Screened) else pool.submit(self._read, f) for f in batch]
                yield from self._finish(ahead, target, maps)
                ahead = reading
            yield from self._finish(ahead, target, maps)

    def _finish(
        self, reading: list[Screened | Future[Screened | _Ready]], target: str | None, maps: bool
    ) -> Iterator[Screened]:
        items = [item.result() if isinstance(item, Future) else item for item in reading]
        answers = iter(self._answer([item for item in items if isinstance(item, _Ready)], target, maps))
        for item in items:
            yield item if isinstance(item, Screened) else next(answers)

    def _found(self, paths: Iterable[Path], series_uid: str | None, one_each: bool) -> Iterator[Found | Screened]:
        for path in paths:
            try:
                discovery = load.discover(path, series_uid=series_uid)
            except PneumoscopeError as error:
                yield self._refused(str(path), str(error))
                continue
            for ignored, why in discovery.ignored:
                self._say(f"passed over {ignored}: {why}")
            if one_each and len(discovery.found) > 1:
                yield self._refused(str(path), f"{path}: expected one study, found {len(discovery.found)}.")
            else:
                yield from discovery.found

    def _read(self, found: Found) -> Screened | _Ready:
        start = time.perf_counter()
        try:
            study = load.read(found)
        except PneumoscopeError as error:
            return self._refused(found.path, str(error), seconds=time.perf_counter() - start)
        verdict = gate.judge(study, self.recipe.modalities)
        warnings = self._warnings(study, verdict)
        if verdict.reasons:
            refused = self._refused(found.path, *verdict.reasons, seconds=time.perf_counter() - start)
            return replace(refused, prediction=replace(refused.prediction, warnings=warnings))
        image = study.images[0]
        prepared = pipeline.run(image, self.recipe.prep)
        prediction = Prediction(
            path=found.path,
            accepted=True,
            bundle=self.bundle.facts.id,
            warnings=warnings,
            threshold=self.bundle.facts.threshold,
            precision=self.precision,
            seconds=time.perf_counter() - start,
        )
        return _Ready(prediction=prediction, image=image, prepared=prepared)

    def _warnings(self, study: Study, verdict: gate.Verdict) -> tuple[str, ...]:
        read = (study.volume,) if study.volume is not None else study.images
        unlearned = (warning for image in study.images for warning in self._unlearned(image))
        return (*study.warnings, *(w for one in read for w in one.warnings), *verdict.warnings, *unlearned)

    def _unlearned(self, image: Image2D) -> tuple[str, ...]:
        """A warning where the method takes the image's modality but this model never learned from it."""
        learned = self.bundle.facts.data.modalities
        if image.modality is None or learned.get(image.modality, 0) or learned.get("not stated", 0):
            return ()
        return (f"This is {gate.NAMES[image.modality]}, and the model learned from none; its answer means little.",)

    def _refused(self, path: str, *reasons: str, seconds: float = 0.0) -> Screened:
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

    def _answer(self, ready: list[_Ready], target: str | None, maps: bool) -> list[Screened]:
        if not ready:
            return []
        start = time.perf_counter()
        probabilities, cams = self._engine.run(np.stack([r.prepared.pixels for r in ready]))
        each = (time.perf_counter() - start) / len(ready)
        decided = decide(self.bundle.facts.threshold, probabilities, self.recipe.classes)
        names = self.recipe.classes.names
        results = []
        for r, p, cam, k in zip(ready, probabilities, cams, decided, strict=True):
            prediction = replace(
                r.prediction,
                probabilities={name: float(value) for name, value in zip(names, p, strict=True)},
                decision=names[k],
                seconds=round(r.prediction.seconds + each, 4),
            )
            if not maps:
                results.append(Screened(prediction=prediction, modality=r.image.modality))
                continue
            shown = names[k] if target is None else target
            cam_of = cam[self.recipe.classes.index(shown)]
            explanation = explain(cam_of, r.prepared, layer=self.bundle.facts.explains, target=shown)
            results.append(
                Screened(prediction=prediction, modality=r.image.modality, image=r.image, explanation=explanation)
            )
        return results


def explain(cam: np.ndarray, prepared: Image2D, *, layer: str, target: str) -> Explanation:
    """A Grad-CAM grid `[h, w]` over a prepared image -> a map in 0..1 over the image as it was read."""
    values = np.clip(pipeline.to_source(cam, prepared), 0, None)
    highest = float(values.max())
    if highest > 0:
        values = values / highest
    return Explanation(method="grad-cam", layer=layer, target=target, map=values.astype(np.float32))


def probabilities_of(bundle: Bundle, image: Image2D, *, precision: PrecisionName = "fp32") -> np.ndarray:
    """Class probabilities `[K]` of one image, without the gate."""
    prepared = pipeline.run(image, bundle.facts.recipe.prep)
    probabilities, _ = engine.of_bundle(bundle, precision=precision).run(prepared.pixels[np.newaxis])
    return np.asarray(probabilities[0])


def run_check(bundle: Bundle) -> float:
    """Run the check that the bundle carries; returns the largest difference of a probability.

    Raises:
        BundleError: a graph or a check that cannot be used.
        IntegrityError: another answer than the one stored.
    """
    image = files.read_image(bundle.read(bundles.CHECK_INPUT), bundles.CHECK_INPUT)
    expected = bundle.expected().probabilities
    found = probabilities_of(bundle, image)
    names = bundle.facts.recipe.classes.names
    if set(expected) != set(names):
        raise IntegrityError(f"check: expected an answer for {', '.join(names)}, found one for {', '.join(expected)}.")
    difference = float(np.abs(found - [expected[name] for name in names]).max())
    if not difference <= CHECK_TOLERANCE:  # a NaN is above nothing
        raise IntegrityError(
            f"check: expected the stored answer within {CHECK_TOLERANCE}, found one {difference:.4f} away. "
            "Do not use this bundle on this machine; run: pneumoscope doctor"
        )
    return difference


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
