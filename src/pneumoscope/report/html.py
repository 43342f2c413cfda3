"""Reports as one HTML file each: no outside reference, readable without a script, escaped throughout.

Images are data: URIs. A Content-Security-Policy (W3C CSP Level 3) allows the file's own style and script by their
hash and nothing else, so that what slipped past the escaping could still not run or call out.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from pneumoscope.bundle import Facts
from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.result import Evaluation, Gallery, Picture, Prediction
from pneumoscope.core.shortcuts import Shortcuts
from pneumoscope.core.stage import Step
from pneumoscope.io.description import Findings
from pneumoscope.report import (
    benefit,
    calibration,
    charts,
    figures,
    learning,
    levels,
    matrix,
    series,
    tables,
    thresholds,
    transfer,
    volume,
    words,
)
from pneumoscope.report import shortcuts as beside
from pneumoscope.report.uri import data_uri

if TYPE_CHECKING:
    from jinja2 import Environment

    from pneumoscope.runtime.screened import Screened

# beyond this many studies a report holds thumbnails only: 200 studies stay below 40 MB
DETAILED = 50
THUMBNAIL = 88


def screening_report(
    screened: Iterable[Screened],
    facts: Facts,
    *,
    title: str = "Chest images, screened",
    galleries: Sequence[Gallery] = (),
) -> str:
    """The report on what one bundle answered for some studies: one HTML file.

    All studies stand in the table at the top, the first `DETAILED` are shown in full. Studies are drawn as they come
    and only their small pictures are kept, so that memory does not grow with their size. galleries: shown below them.
    """
    classes = facts.recipe.classes
    studies = [_study(i, s, classes, facts.recipe.prep, full=i < DETAILED) for i, s in enumerate(screened)]
    return render(
        "screening.html.j2",
        title=title,
        studies=studies,
        detailed=DETAILED,
        tally=_tally([s["p"] for s in studies], classes),
        galleries=[_gallery(gallery) for gallery in galleries],
        layer=next((s["layer"] for s in studies if s["layer"]), facts.explains),
        scale=data_uri("image/png", figures.scale_png()),
        opacity=round(100 * figures.OPACITY),
        facts=facts,
        threshold=facts.threshold,
        positive=classes.positive,
        trust=calibration.model(facts, _stated([s["p"] for s in studies], classes)),
        headline=charts.whiskers(facts.evaluation) if facts.evaluation else [],
        grave=words.grave(facts.evaluation) if facts.evaluation else [],
    )


def evaluation_report(
    evaluations: Sequence[Evaluation],
    recipe: Recipe,
    *,
    run: Mapping[str, str],
    galleries: Sequence[Sequence[Gallery]] = (),
    findings: Mapping[str, Findings] | None = None,
    shortcuts: Shortcuts | None = None,
) -> str:
    """The report on how good a method was: one HTML file; several evaluations stand side by side.

    recipe: the resolved recipe, or one with the protocols of all evaluations. run: what the environment was, name ->
    text. galleries: those of each evaluation, in the same order; none for no pictures.
    findings: by data role. shortcuts: what these score on the same images.
    """
    pairs = zip(evaluations, galleries or [()] * len(evaluations), strict=True)
    return render(
        "evaluation.html.j2",
        title=f"Evaluation of {recipe.title}",
        recipe=recipe,
        panels=[_panel(e, recipe, shown) for e, shown in pairs],
        told_apart=list(dict.fromkeys(by for e in evaluations for by in e.parts)),
        scale=data_uri("image/png", figures.scale_png()),
        metrics=tables.metric_rows(evaluations),
        paper=tables.paper_rows(evaluations),
        paper_note=tables.paper_note(evaluations, recipe),
        fields=tables.recipe_rows(recipe),
        findings={role: matrix.findings_matrix(found) for role, found in (findings or {}).items()},
        run=run,
        side=charts.SIDE,
        shortcuts=None if shortcuts is None else beside.panel(shortcuts),
    )


def _study(i: int, screened: Screened, classes: ClassSet, prep: Sequence[Step], *, full: bool) -> dict[str, Any]:
    p, image, explanation = screened.prediction, screened.image, screened.explanation
    empty = explanation is not None and not explanation.map.any()
    shown = image is not None and full
    drawn = shown and explanation is not None and not empty
    return {
        "id": f"study-{i + 1}",
        "full": full,
        "p": p,
        "verdict": words.verdict(p, classes),
        "kind": _kind(p, classes),
        "bars": _bars(p, classes),
        "size": None if image is None else image.shape,
        "view": None if image is None else image.view,
        "target": None if explanation is None else explanation.target,
        "layer": next(
            (e.layer for e in (explanation, *(o.explanation for o in screened.shown)) if e is not None), None
        ),
        "picture": data_uri("image/jpeg", figures.image_jpeg(image)) if image is not None and full else None,
        "thumbnail": _thumbnail(screened),
        "heat": data_uri("image/png", figures.heat_png(explanation)) if drawn and explanation is not None else None,
        "nothing": empty,
        "series": series.view(screened, classes) if full else None,
        "volume": volume.view(screened, prep) if full else None,
        "scores": series.scores(p, classes) if full else None,
        "trust": calibration.of_prediction(p, classes),
    }


def _thumbnail(screened: Screened) -> str | None:
    """The image, or the slice of a series that matters most, small."""
    image = screened.shown[0].image if screened.shown else screened.image
    scan, prepared, explanation = screened.volume, screened.prepared, screened.explanation
    if scan is not None and prepared is not None and explanation is not None:
        image = scan.image(volume.shown_slice(scan, prepared, explanation))
    return None if image is None else data_uri("image/jpeg", figures.image_jpeg(image, long_side=THUMBNAIL))


def _stated(predictions: Sequence[Prediction], classes: ClassSet) -> float | None:
    """The prevalence of the positive class that answers were re-weighted for; None where they were not."""
    return next((p.prevalence.get(classes.positive or "") for p in predictions if p.prevalence), None)


def _kind(p: Prediction, classes: ClassSet) -> str:
    if not p.accepted:
        return "refused"
    return "positive" if p.decision == classes.positive else "negative"


def _bars(p: Prediction, classes: ClassSet) -> list[dict[str, Any]]:
    """One bar a class, in the model's order; the threshold stands on the positive class's."""
    return [
        {
            "name": name,
            "text": words.probability(p.probabilities[name]),
            "width": round(100 * p.probabilities[name], 2),
            "decided": name == p.decision,
            "mark": min(100.0, round(100 * p.threshold, 2))
            if p.threshold is not None and name == classes.positive
            else None,
        }
        for name in classes.names
        if name in p.probabilities
    ]


def _tally(predictions: Sequence[Prediction], classes: ClassSet) -> list[tuple[str, str, int]]:
    """Kind, words and number of each answer that occurs, the positive ones first."""
    found: dict[tuple[str, str], int] = {}
    for p in predictions:
        key = _kind(p, classes), words.verdict(p, classes)
        found[key] = found.get(key, 0) + 1
    order = ["positive", "negative", "refused"]
    return [(kind, text, n) for (kind, text), n in sorted(found.items(), key=lambda x: (order.index(x[0][0]), x[0][1]))]


def _panel(e: Evaluation, recipe: Recipe, galleries: Sequence[Gallery]) -> dict[str, Any]:
    return {
        "title": words.protocol_title(e.protocol),
        "e": e,
        "parting": words.parting(e, recipe),
        "before": words.before(e),
        "grave": words.grave(e),
        "headline": charts.whiskers(e),
        "confusion": tables.confusion_rows(e.classes, e.confusion),
        "roc": charts.roc(e),
        "reliability": charts.dots(e.reliability),
        "judged": f"probability of {recipe.classes.positive or recipe.classes.names[-1]}"
        if len(e.classes) == 2
        else "highest probability",
        "folds": tables.fold_table(e),
        "sizes": tables.size_table(e),
        "studied": thresholds.study(e, recipe),
        "parts": thresholds.part_tables(e),
        "levels": levels.table(e),
        "trust": calibration.view(e, recipe),
        "transfer": transfer.table(e),
        "benefit": benefit.curve(e),
        "learning": learning.curves(e),
        "judged_words": words.judged(e),
        "nouns": words.NOUNS[e.judged],
        "galleries": [_gallery(gallery) for gallery in galleries],
    }


def _gallery(gallery: Gallery) -> dict[str, Any]:
    mapped = any(p.heat is not None for p in gallery.pictures)
    return {
        "title": gallery.title,
        "note": gallery.note,
        "mapped": mapped,
        "columns": _columns(gallery, mapped),
        "large": gallery.large,
        "points": charts.plane(gallery.points),
        "pictures": [_picture(p, large=gallery.large) for p in gallery.pictures],
    }


def _columns(gallery: Gallery, mapped: bool) -> int:
    """Three maps of each class, or of two slices; else one image and three that were made of it."""
    if mapped:
        return 6 if gallery.large else 3
    return 3 if gallery.large and len(gallery.pictures) < 4 else 4


def _picture(picture: Picture, *, large: bool) -> dict[str, Any]:
    side = figures.LARGE_SIDE if large else figures.GALLERY_SIDE
    return {
        "uri": data_uri("image/jpeg", figures.picture_jpeg(picture, long_side=side)),
        "caption": picture.caption,
        "right": picture.right,
        "nothing": picture.heat is not None and not picture.heat.any(),
    }


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    env = Environment(
        loader=PackageLoader("pneumoscope", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("style.css", "report.js"):
        text = (resources.files("pneumoscope.report") / "templates" / name).read_text(encoding="utf-8")
        key = name.partition(".")[0]
        env.globals[key] = text
        env.globals[f"{key}_hash"] = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    env.globals["words"] = words
    env.globals["disclaimer"] = words.DISCLAIMER
    return env


def render(template: str, **values: Any) -> str:
    """The page that a template of this folder makes of `values`, all of them escaped."""
    text = _environment().get_template(template).render(values)
    # a file name that is not UTF-8 reaches Python with lone surrogates, which no file can be written with
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
