"""Screening: paths in, predictions out, images in batches and studies one by one, without torch.

One bad path never stops the others: it becomes a prediction that is not accepted and says why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from pneumoscope.bundle import Bundle
from pneumoscope.core.result import Prediction
from pneumoscope.core.study import Study
from pneumoscope.errors import BundleError, InputError, PneumoscopeError, RecipeError, UsageError
from pneumoscope.io import load
from pneumoscope.io.found import Found
from pneumoscope.prep import pipeline
from pneumoscope.runtime import gate, looks, lungs
from pneumoscope.runtime.answering import Answerer
from pneumoscope.runtime.engine import PrecisionName
from pneumoscope.runtime.finding import Verdict
from pneumoscope.runtime.screened import Ready, ReadyImage, Screened

BATCH = 8
READERS = 2
FEW = 5  # files passed over for one reason, up to which each is named
T = TypeVar("T")


class Screener:
    """A bundle, loaded and compiled, that answers for images.

    say: told of each file in a folder or archive that is no part of a study. prevalence: class -> share of it among who
    is screened, for some classes; none for the training data's.

    Raises:
        BundleError: a precision that the bundle was not validated in.
        IntegrityError: a graph whose bytes changed.
        UsageError: a prevalence that does not fit the classes.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: PrecisionName = "fp32",
        threads: int = 0,
        say: Callable[[str], None] = lambda text: None,
        prevalence: Mapping[str, float] | None = None,
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
        self.answerer = Answerer(bundle, precision=precision, threads=threads, prevalence=prevalence)
        self._say = say
        # a recipe may take what this bundle never learned from
        self._modalities = tuple(m for m in self.recipe.modalities if facts.data.knows(m)) or self.recipe.modalities

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
        # by this thread: one that compiles while another answers was seen to wait for ever
        looks.make_ready()
        if "xray" in self.recipe.modalities:
            lungs.make_ready()
        # decoding takes longer than a small network, so the next batch is read while this one is answered
        with ThreadPoolExecutor(max_workers=READERS) as pool:
            ahead: list[Screened | Future[Screened | Ready]] = []
            # a series may have hundreds of megabytes: one is answered while one is read
            size = 1 if self.recipe.of_studies else BATCH
            for batch in _batches(self._found(paths, series_uid, one_each), size):
                reading = [f if isinstance(f, Screened) else pool.submit(self._read, f) for f in batch]
                yield from self._finish(ahead, target, maps)
                ahead = reading
            yield from self._finish(ahead, target, maps)

    def _finish(
        self, reading: list[Screened | Future[Screened | Ready]], target: str | None, maps: bool
    ) -> Iterator[Screened]:
        items = [item.result() if isinstance(item, Future) else item for item in reading]
        answers = iter(self.answerer.images([item for item in items if isinstance(item, ReadyImage)], target, maps))
        for item in items:
            if isinstance(item, Ready):
                yield next(answers) if isinstance(item, ReadyImage) else self._study(item, target, maps)
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

    def _read(self, found: Found) -> Screened | Ready:
        start = time.perf_counter()
        try:
            study = load.read(found)
        except PneumoscopeError as error:
            return self.refused(found.path, str(error), seconds=time.perf_counter() - start)
        try:
            return self._judged(found.path, study, start)
        except (InputError, UsageError, RecipeError) as error:  # of this one; a damaged bundle ends everything
            return self.refused(found.path, str(error), seconds=time.perf_counter() - start)

    def answer(self, path: str, parts: Sequence[Study]) -> Screened:
        """One prediction for a study that is read: a series, or single images that are its slices, in their order.

        Slices that the gate refuses are left out, and a warning says so. path: what they are called together.
        """
        start = time.perf_counter()
        verdicts = [self._verdict(one) for one in parts]
        kept = [one for one, verdict in zip(parts, verdicts, strict=True) if not verdict.reasons]
        refused = next((verdict.reasons for verdict in verdicts if verdict.reasons), ())
        if not kept:
            return self.refused(path, *refused, seconds=time.perf_counter() - start)
        flagged = (warning for verdict in verdicts if not verdict.reasons for warning in verdict.warnings)
        warned = tuple(dict.fromkeys((*(warning for one in kept for warning in one.warnings), *flagged)))
        if refused:
            left = len(parts) - len(kept)
            warned = (*warned, f"{left} of {len(parts)} slices were left out, the first one for: {refused[0]}")
        images = tuple(image for one in kept for image in one.images)
        ready = self._judged(path, replace(kept[0], images=images, warnings=warned), start)
        return ready if isinstance(ready, Screened) else self._study(ready, None, maps=False)

    def _study(self, ready: Ready, target: str | None, maps: bool) -> Screened:
        start = time.perf_counter()
        try:
            return self.answerer.study(ready, target, maps)
        except InputError as error:
            before = ready.prediction
            refused = self.refused(before.path, str(error), seconds=before.seconds + time.perf_counter() - start)
            kept = replace(refused.prediction, gate=before.gate, warnings=before.warnings)
            return replace(refused, prediction=kept)

    def _judged(self, path: str, study: Study, start: float) -> Screened | Ready:
        verdict = self._verdict(study)
        warnings = self._warnings(study, verdict)
        if verdict.reasons:
            refused = self.refused(path, *verdict.reasons, seconds=time.perf_counter() - start)
            return replace(refused, prediction=replace(refused.prediction, warnings=warnings, gate=verdict.checks))
        alone = study.volume is None and not self.recipe.members
        prepared = pipeline.run(study.images[0], self.recipe.prep) if alone else None
        prediction = Prediction(
            path=path,
            accepted=True,
            bundle=self.bundle.facts.id,
            warnings=warnings,
            gate=verdict.checks,
            threshold=self.bundle.facts.threshold,
            precision=self.precision,
            seconds=time.perf_counter() - start,
        )
        if prepared is None:
            return Ready(prediction=prediction, study=study)
        return ReadyImage(prediction=prediction, study=study, prepared=prepared)

    def _verdict(self, study: Study) -> Verdict:
        recipe = self.recipe
        found = gate.judge(study, self._modalities, series=recipe.of_studies, whole=recipe.of_volumes)
        return gate.with_lungs(study, found)

    def _warnings(self, study: Study, verdict: Verdict) -> tuple[str, ...]:
        read = (study.volume,) if study.volume is not None else study.images
        return tuple(dict.fromkeys((*study.warnings, *(w for one in read for w in one.warnings), *verdict.warnings)))

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
