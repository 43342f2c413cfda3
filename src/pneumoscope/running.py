"""One run of a resolved recipe, and its report.

Belongs to the api's layer, as `reading` does: what training, comparing and searching share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.core.dataset import Dataset
from pneumoscope.core.files import write_text
from pneumoscope.core.progress import Progress
from pneumoscope.core.recipe import Decision, Recipe
from pneumoscope.core.result import Evaluation, Gallery
from pneumoscope.core.role import MAIN
from pneumoscope.errors import missing_extra

if TYPE_CHECKING:
    from pneumoscope.train.run import Ran


def run_one(
    recipe: Recipe,
    datasets: Mapping[str, Dataset],
    out: Path,
    weights_dir: Path | None,
    progress: Progress,
    warnings: tuple[str, ...],
    *,
    prepared: Path,
    export: bool,
    at: Sequence[Decision] = (),
) -> Ran:
    """Run a resolved recipe under `out` and write its report.

    prepared: folder of prepared images, which several runs share. export: write its bundle, too. at: thresholds to
    study, too.
    """
    from platformdirs import user_cache_path

    from pneumoscope.train.allocator import keep_memory

    kept = keep_memory()  # before torch
    from pneumoscope.report.card import model_card
    from pneumoscope.train.run import run

    ran = run(
        recipe,
        datasets,
        out,
        weights_dir=weights_dir,
        cache=user_cache_path("pneumoscope"),
        card=model_card,
        kept_memory=kept,
        progress=progress,
        prepared=prepared,
        warnings=warnings,
        at=at,
        export=export,
    )
    write_report(out, [ran.evaluation], recipe, [ran.galleries], datasets, prepared=prepared)
    return ran


def write_report(
    out: Path,
    evaluations: Sequence[Evaluation],
    recipe: Recipe,
    galleries: Sequence[tuple[Gallery, ...]],
    datasets: Mapping[str, Dataset],
    *,
    prepared: Path,
) -> None:
    """Write `out`/report.html: the evaluations side by side, in the order of their protocols.

    prepared: where the shortcuts of the same data are kept, for several runs.
    """
    import json

    from pneumoscope.audit.baselines import baselines, headline_of
    from pneumoscope.io import describe
    from pneumoscope.report import html

    said: dict[str, str] = {}
    path = out / "environment.json"
    if path.exists():
        facts = json.loads(path.read_text(encoding="utf-8"))
        said = {k: str(v) for k, v in facts.items() if not isinstance(v, dict)}
        said |= {f"seconds of {k}": str(v) for k, v in facts["seconds"].items()}
        said |= {str(k): str(v) for k, v in facts["packages"].items()}
    known = {role: describe.together([s.findings for s in d.samples]) for role, d in datasets.items()}
    findings = {role: found for role, found in known.items() if found is not None}
    headline = headline_of(evaluations[0], f"{recipe.name}, {evaluations[0].protocol}")
    beside = baselines(datasets[MAIN], headline, cache=prepared)
    page = html.evaluation_report(
        evaluations, recipe, run=said, galleries=galleries, findings=findings, shortcuts=beside
    )
    write_text(out / "report.html", page)


def needs_training_extra(what: str) -> None:
    """See that the extra [train] is installed.

    Raises:
        MissingError: it is not.
    """
    import importlib.util

    if any(importlib.util.find_spec(name) is None for name in ("torch", "torchvision", "timm", "safetensors")):
        raise missing_extra(what, "train")
