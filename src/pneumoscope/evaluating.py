"""How good a bundle is on labelled images that it has not seen: `pneumoscope evaluate`.

Beside the api, which is the door to it: `pneumoscope.api.evaluate`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pneumoscope import bundle as bundles
from pneumoscope.core.files import new_folder, write_json, write_text
from pneumoscope.core.progress import Progress, silent
from pneumoscope.core.result import Evaluation
from pneumoscope.errors import LeakError
from pneumoscope.evaluate.thresholds import read_rules
from pneumoscope.evaluate.transfer import transfer


def evaluate(
    bundle: str,
    data: Sequence[str | Path],
    *,
    out: Path,
    mapping: Mapping[str, str] | None = None,
    ungrouped: bool = False,
    at: Sequence[str] = (),
    progress: Progress = silent,
    say: Callable[[str], None] = lambda text: None,
) -> Evaluation:
    """How good a bundle is on labelled images that it has not seen: predictions.csv, evaluation.json, report.html.

    Its own out-of-fold figures stand beside those here, with the differences. at: thresholds in 0..1 to study, too.

    Raises:
        UsageError: thresholds that do not fit, or an `out` in use.
        LeakError: images that the bundle was trained on.
        DataError: data that cannot be used.
    """
    from pneumoscope import reading
    from pneumoscope.io import manifest
    from pneumoscope.report import html
    from pneumoscope.runtime.assess import assess

    loaded = bundles.load(bundle)
    facts = loaded.facts
    rules = read_rules(at, facts.recipe.classes, fitted=False)
    roots = [Path(folder) for folder in data]
    manifest.check_mapping(roots, facts.recipe.classes.names, mapping or {})
    dataset, warnings = reading.read_data(
        roots,
        facts.recipe.classes,
        mapping=mapping or {},
        modalities=facts.recipe.modalities,
        ungrouped=ungrouped,
        say=say,
    )
    known = loaded.seen()
    seen = [s.file for s in dataset.samples if s.is_among(known)]
    if seen:
        raise LeakError(
            f"--data: expected images that the bundle has not seen, found {len(seen)} of {len(dataset)} among those it "
            f"was trained on ('{seen[0]}' for one). Leave them out, or see the bundle's own out-of-fold evaluation."
        )
    start = time.monotonic()
    with new_folder(out) as folder:
        evaluation = assess(loaded, dataset, folder, warnings=warnings, progress=progress, at=rules)
        moved = None if facts.evaluation is None else transfer(facts.evaluation, evaluation)
        evaluation = dataclasses.replace(evaluation, bundle=facts.id, transfer=moved)
        write_json(folder / "evaluation.json", evaluation)
        run = {"bundle": facts.id, "seconds": f"{time.monotonic() - start:.1f}"}
        write_text(folder / "report.html", html.evaluation_report([evaluation], facts.recipe, run=run))
    return evaluation


def checklist(bundle: str, *, external: Path | None = None) -> str:
    """CLAIM 2024 and TRIPOD+AI as Markdown, filled from a bundle and the run that it lies in as far as these say.

    external: the folder that `evaluate` wrote of this bundle, on other data.

    Raises:
        BundleError, IntegrityError: a bundle that cannot be used.
        UsageError, InputError: an evaluation that is not there, not readable, or of another bundle.
    """
    from pneumoscope.report.checklist import checklists, known_of
    from pneumoscope.report.checklist_claim import CLAIM
    from pneumoscope.report.checklist_tripod import TRIPOD_AI

    return checklists(known_of(bundles.load(bundle).facts, Path(bundle), external), (CLAIM, TRIPOD_AI))


def card(bundle: str) -> str:
    """The model card of a bundle, as Markdown.

    Raises:
        BundleError, IntegrityError: a bundle that cannot be used.
    """
    from pneumoscope.report.card import model_card

    return model_card(bundles.load(bundle).facts)
