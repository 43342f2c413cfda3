"""The model card of a bundle in Markdown, under the headings of Mitchell et al. 2019, "Model cards".

It becomes the bundle's README.md. All text that came from elsewhere is escaped; there is no patient in it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pneumoscope.bundle import Facts
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.result import Evaluation, Interval
from pneumoscope.core.role import MAIN
from pneumoscope.core.stage import Stage
from pneumoscope.report import benefit, card_trust, levels, words
from pneumoscope.report.markdown import code, plain


def model_card(facts: Facts) -> str:
    """The card as Markdown, with a final newline."""
    sections = {
        "Details": _details(facts),
        "Intended use": plain(facts.intended_use),
        "Out-of-scope use": _out_of_scope(facts.recipe),
        "Training data": _training_data(facts),
        "Evaluation": _evaluation(facts.evaluation, facts.recipe),
        "Decision and threshold": plain(words.decision_rule(facts.threshold, facts.recipe.classes)),
        "Calibration and operating points": card_trust.section(facts),
        "Precisions": _precisions(facts),
        "Explanation": _explanation(facts),
        "Limits": _list([plain(text) for text in facts.limits]) or "None are stated, which does not mean none.",
        "Licence": plain(facts.licence),
        "How to use": _use(),
        "How it was trained": _training(facts),
    }
    text = f"# {plain(facts.name)}\n\n{words.DISCLAIMER}\n"
    return text + "".join(f"\n## {title}\n\n{body}\n" for title, body in sections.items())


def _details(facts: Facts) -> str:
    recipe = facts.recipe
    return _list(
        [
            f"Tells apart: {plain(', '.join(recipe.classes.names))}",
            f"Reads: {plain(_modalities(recipe))}",
            f"Method: {plain(recipe.title)}, after {plain(words.citation(recipe.paper))}",
            f"Made {plain(facts.created)} with pneumoscope {plain(facts.pneumoscope)}",
        ]
    )


def _out_of_scope(recipe: Recipe) -> str:
    return _list(
        [
            "Diagnosis, triage, or any other decision about a patient.",
            f"Anything but {plain(_modalities(recipe))} of the chest, and any finding but those named above.",
            "Patients unlike those it was trained on, before it was evaluated on such.",
        ]
    )


def _training_data(facts: Facts) -> str:
    data = facts.data
    found = [
        words.trained_on(facts),
        f"Classes: {plain(words.counts(data.counts))}.",
        f"Modalities, by what the files or the data state: {plain(words.counts(data.modalities))}.",
        f"Sources: {plain(', '.join(data.sources)) or 'not named'}.",
        *(f"By {plain(by)}, images: {plain(words.tally(values))}." for by, values in data.told.items()),
        f"Digest of the data: `{code(data.dataset)}`.",
    ]
    if data.left_out:
        found.insert(2, f"Left out, by label: {plain(words.counts(data.left_out))}.")
    for told, card in zip(words.learned_before(facts), facts.before.values(), strict=True):
        sources = plain(", ".join(card.sources)) or "not named"
        found.append(f"{plain(told)} Sources: {sources}. Digest of that data: `{code(card.dataset)}`.")
    return _list(found)


def _evaluation(evaluation: Evaluation | None, recipe: Recipe) -> str:
    if evaluation is None:
        return "It was never evaluated: how far its answers can be trusted is unknown."
    size = f"{words.judged(evaluation)}, {words.plural(evaluation.n_patients, 'patient')}."
    rows = ["| metric | class | value | 95 % interval over patients |", "| --- | --- | ---: | ---: |"]
    for name, found in evaluation.metrics.items():
        by_class: Mapping[str, Interval] = {"": found} if isinstance(found, Interval) else found
        for one, value in by_class.items():
            figure, _, bounds = words.interval(value).partition(" (")
            rows.append(f"| {plain(words.metric_title(name))} | {plain(one)} | {figure} | {bounds.rstrip(')')} |")
    parts = [
        f"{words.protocol_title(evaluation.protocol)}. {words.parting(evaluation, recipe)} {size}",
        _list([f"**{plain(text)}**" for text in (*words.grave(evaluation), *evaluation.warnings)]),
        "\n".join(rows),
        _levels(evaluation),
        _parts(evaluation),
        "" if evaluation.benefit is None else plain(benefit.said(evaluation.benefit, evaluation.positive or "")[0]),
    ]
    return "\n\n".join(part for part in parts if part)


def _parts(evaluation: Evaluation) -> str:
    """Balanced accuracy of the images told apart by one thing each."""
    rows = []
    for by, parts in evaluation.parts.items():
        for name, part in parts.items():
            rows.append(f"| {plain(by)} | {plain(name)} | {part.n_patients:,} | {words.of_part(part)} |")
    heads = ["| by | of | patients | balanced accuracy, 95 % interval |", "| --- | --- | ---: | ---: |"]
    return "\n".join(["Of some of the images alone:\n", *heads, *rows]) if rows else ""


def _levels(evaluation: Evaluation) -> str:
    """What each level of a method of studies answers by itself, and how that compares with its answer."""
    if not evaluation.levels:
        return ""
    classes = evaluation.classes
    heads = [
        "level",
        "of",
        "accuracy",
        *(f"sensitivity, {plain(name)}" for name in classes),
        "accuracy less its answer",
    ]
    lines = [heads, ["---", "---", *["---:"] * (len(classes) + 2)], *levels.rows(evaluation)]
    table = "\n".join(
        f"| {' | '.join(plain(cell) if i > 1 else cell for cell in line)} |" for i, line in enumerate(lines)
    )
    return f"Each level by itself:\n\n{table}\n\n{plain(' '.join(levels.said(evaluation)))}"


def _precisions(facts: Facts) -> str:
    rows = [
        "| precision | may be used | largest difference of a probability | decisions changed | images |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for name, p in facts.precisions.items():
        use = "yes" if p.validated else "no"
        rows.append(f"| {plain(name)} | {use} | {p.largest_difference:.1e} | {p.changed} | {p.n_images} |")
    return "\n".join(["Against PyTorch in fp32:\n", *rows])


def _explanation(facts: Facts) -> str:
    return (
        f"Grad-CAM at the layer `{code(facts.explains)}`, computed by the graph itself. It shows what the network "
        "used, coarsely; it does not outline disease, and does not show that the answer is right."
    )


def _use() -> str:
    return "```\npneumoscope predict BUNDLE image.png --out DIR --explain\npneumoscope bundle verify BUNDLE\n```"


def _training(facts: Facts) -> str:
    recipe = facts.recipe
    whole = f"Recipe `{code(recipe.title)}`, digest `{recipe.digest}`; every field is in `bundle.json`."
    return _list([whole, *[plain(_stage(s)) for s in recipe.stages], plain(words.origin(facts))])


def _stage(s: Stage) -> str:
    on = "" if s.role == MAIN else f" on the data of role {s.role}"
    return (
        f"Stage {s.name}{on}: {s.net}, from {s.init}, trains {s.trainable}, {s.loss.replace('_', ' ')}, "
        f"{s.optim.name} at {s.optim.lr:g}, {words.plural(s.epochs, 'epoch')}, batch {s.batch}, seed {s.seed}."
    )


def _modalities(recipe: Recipe) -> str:
    return " and ".join({"xray": "X-rays", "ct": "CT"}[m] for m in recipe.modalities)


def _list(items: list[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
