"""What a bundle, its run and an evaluation elsewhere can say of items that reporting checklists ask for.

Each function is one answer in a few sentences of plain text, made of facts alone; "" where they say nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pneumoscope.bundle import Facts
from pneumoscope.core.recipe import OVERRIDE, Protocol, method_leaves, source_of
from pneumoscope.core.result import Evaluation
from pneumoscope.core.stage import Stage, Step
from pneumoscope.evaluate.parts import UNSTATED
from pneumoscope.report import words

PEOPLE = ("sex", "age")


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a model. environment: the run's environment.json, empty where the bundle stands alone.

    elsewhere: how it did on data that it had not seen, as `pneumoscope evaluate` wrote it; None where it was not given.
    """

    facts: Facts
    environment: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: Evaluation | None = None


def method(k: Known) -> str:
    """What is told apart, in what, by which method."""
    r = k.facts.recipe
    kinds = " and ".join({"xray": "chest X-rays", "ct": "chest CT"}[m] for m in r.modalities)
    nets = words.listed(list(dict.fromkeys(stage.net for stage in r.stages)))
    return f"A deep-learning model ({nets}) tells {words.listed(r.classes.names)} apart in {kinds}; recipe {r.title}."


def after(k: Known) -> str:
    """The paper that the method is of, and what differs from it."""
    r = k.facts.recipe
    changed = [path for path, _ in method_leaves(r) if source_of(r, path) == OVERRIDE]
    set_ = f" Set for this run: {', '.join(changed[:12])}{' and more' if len(changed) > 12 else ''}." if changed else ""
    differs = f" {words.plural(len(r.deviations), 'deviation')} from it listed in its recipe." if r.deviations else ""
    return f"The method is of {words.citation(r.paper)}{differs}{set_}"


def use(k: Known) -> str:
    """The intended use, as the bundle states it."""
    return f"Stated in the bundle: {k.facts.intended_use}"


def limits(k: Known) -> str:
    """The limits, as the bundle states them, and what makes its own figures too good."""
    grave = words.grave(k.facts.evaluation) if k.facts.evaluation else []
    return " ".join((*k.facts.limits, *grave))


def sources(k: Known) -> str:
    """Where the data came from, and its digest."""
    data = k.facts.data
    named = f"Sources as the data names them: {', '.join(data.sources)}." if data.sources else "It names no sources."
    before = " ".join(words.learned_before(k.facts))
    return f"{words.trained_on(k.facts)} {named} Digest {data.dataset[:16]}. {before}".strip()


def left_out(k: Known) -> str:
    """What was left out, by label, and warnings of reading."""
    data, e = k.facts.data, k.facts.evaluation
    by_label = f"Left out, by label: {words.counts(data.left_out)}." if data.left_out else "No label was left out."
    warned = " ".join(e.warnings) if e is not None else ""
    return f"Taken are the images whose label means a class and that the gate accepts. {by_label} {warned}".strip()


def preparation(k: Known) -> str:
    """Each step from a file to what the network sees."""
    steps = "; ".join(_step(step) for step in k.facts.recipe.prep)
    return f"In this order: {steps}. Every number is in bundle.json, with the place where the paper states it."


def subsets(k: Known) -> str:
    """Slices that a study gives, and what each stage learns from."""
    r = k.facts.recipe
    if not r.of_studies:
        return "Images are taken one by one and whole, but for the steps of preparation."
    between = f", {r.slices_between} interpolated between two labelled alike" if r.slices_between else ""
    picked = [_step(step) for step in r.prep if "slice" in step.name or step.name in ("select", "cube")]
    chosen = f" Chosen: {'; '.join(picked)}." if picked else ""
    return f"Studies are judged from their {'volume' if r.of_volumes else 'slices'}{between}.{chosen}"


def missing(k: Known) -> str:
    """What the data does not state, and what becomes of it."""
    unstated = {by: values[UNSTATED] for by, values in k.facts.data.told.items() if values.get(UNSTATED)}
    if n := k.facts.data.modalities.get(UNSTATED):
        unstated = {"modality": n, **unstated}
    told = f" Not stated: {', '.join(f'{by} of {n:,} images' for by, n in unstated.items())}." if unstated else ""
    absent = [by for by in PEOPLE if by not in k.facts.data.told]
    never = f" Stated of no image: {', '.join(absent)}." if absent else ""
    return f"Nothing is imputed; the model sees the image alone.{told}{never}"


def acquisition(k: Known) -> str:
    """What kinds of images were learned from."""
    data = k.facts.data
    views = f" By view: {words.tally(data.told['view'])}." if "view" in data.told else " No views are stated."
    return f"Modalities, by what files or data state: {words.counts(data.modalities)}.{views}"


def predictors(k: Known) -> str:
    """What a prediction is made from."""
    kinds = words.listed([{"xray": "X-ray", "ct": "CT"}[m] for m in k.facts.recipe.modalities])
    return f"The pixels of the image alone ({kinds}); no age, sex, symptom or laboratory value."


def outcome(k: Known) -> str:
    """What is predicted."""
    classes = k.facts.recipe.classes
    positive = f", of which {classes.positive} is the one that a threshold is about" if classes.positive else ""
    return f"The label of an image or study, one of {words.listed(classes.names)}{positive}, as the data gives it."


def pseudonyms(k: Known) -> str:
    """What stands for a patient in what is written."""
    grouped = "patients and groups" if k.facts.data.grouped else "files, since no patients were named,"
    return (
        f"In all that pneumoscope writes, {grouped} stand as a truncated SHA-256, and the bundle holds no image and no "
        "identifier but the start of each file's hash."
    )


def partitions(k: Known) -> str:
    """How data was parted for the bundle's own evaluation."""
    e = k.facts.evaluation
    if e is None:
        return ""
    p = _protocol(k)
    seed = f" Seed {p.seed}; split {e.split[:16]}." if p is not None and e.split else ""
    return f"{words.protocol_title(e.protocol)}: {words.parting(e, k.facts.recipe)}{seed} Of {size(e)}."


def level(k: Known) -> str:
    """At which level partitions are apart, and whether they are."""
    e, p = k.facts.evaluation, _protocol(k)
    if e is None or p is None:
        return ""
    if not e.grouped:
        return "The data names no patients: partitions are apart by file, and a patient may stand on both sides."
    apart = "by patient (or group that cannot be told apart)" if p.unit == "group" else "by image"
    return f"Apart {apart}; patients found on both sides: {e.shared_patients:,}."


def network(k: Known) -> str:
    """Inputs, network, outputs."""
    r = k.facts.recipe
    heads = "; ".join(_network(stage) for stage in r.stages)
    return (
        f"{heads}. Out: a probability of each of {words.listed(r.classes.names)}. {decision(k)} The exported graph "
        f"(ONNX) and weights are in the bundle, {len(k.facts.files)} files with their SHA-256."
    )


def software(k: Known) -> str:
    """Versions, and the machine where the run's folder tells them."""
    own = f"pneumoscope {k.facts.pneumoscope}"
    if not k.environment:
        return f"{own}."
    packages = ", ".join(f"{name} {version}" for name, version in k.environment.get("packages", {}).items())
    return f"{own}, Python {k.environment.get('python', '?')}, {packages}."


def computing(k: Known) -> str:
    """Machine and time of the run."""
    env = k.environment
    if not env:
        return ""
    spent = sum(float(s) for s in env.get("seconds", {}).values())
    return (
        f"{env.get('system', '?')} {env.get('machine', '?')}, {env.get('cores', '?')} cores, "
        f"{env.get('training_precision', '?')}; {spent:,.0f} seconds in all."
    )


def start(k: Known) -> str:
    """What parameters began from."""
    inits = "; ".join(f"stage {s.name}: {s.init}" for s in k.facts.recipe.stages)
    return f"{inits}. {words.origin(k.facts)}"


def training(k: Known) -> str:
    """Every stage: what is trained, loss, optimiser, rate, epochs, batch, augmentation, seed."""
    r = k.facts.recipe
    copies = [
        f"Changed copies ({c.name}) of {', '.join(f'{words.share(share)} of {of}' for of, share in c.shares.items())}."
        for c in r.copies
    ]
    return " ".join([*map(_training, r.stages), *copies])


def selection(k: Known) -> str:
    """How the weights that are kept were chosen, and what the final fit is."""
    p = _protocol(k)
    if p is None:
        return ""
    monitors = words.listed(list(dict.fromkeys(s.monitor.replace("_", " ") for s in k.facts.recipe.stages)))
    on = f"{words.share(p.val_share)} of each training part" if p.val_share else "the part that is reported itself"
    return (
        f"The epoch that is kept has the best {monitors} on {on}. {words.plural(p.folds, 'fold')} were fitted for the "
        "evaluation; the bundle's own fit came after them, on all data, chosen in the same way."
    )


def ensemble(k: Known) -> str:
    """How answers of several networks become one."""
    r = k.facts.recipe
    members = words.listed([stage.name for stage in r.members])
    alone = r.stages[-1]
    return (
        f"Networks of studies, combined: {members}."
        if r.members
        else f"None: {alone.net} alone ({alone.name}) answers."
    )


def decision(k: Known) -> str:
    """From probability to answer."""
    return words.decision_rule(k.facts.threshold, k.facts.recipe.classes)


def explained(k: Known) -> str:
    """How maps are made."""
    return f"Grad-CAM at the layer {k.facts.explains}, computed by the exported graph; never validated as an outline."


def imbalance(k: Known) -> str:
    """How uneven classes were treated."""
    weights = words.listed([f"{s.name}: {s.class_weights}" for s in k.facts.recipe.stages])
    return f"Classes: {words.counts(k.facts.data.counts)}. Class weights in the loss, by stage: {weights}."


def calculation(k: Known) -> str:
    """How predictions are computed by whoever has the bundle."""
    precisions = words.listed([name for name, p in k.facts.precisions.items() if p.validated])
    return f"pneumoscope predict BUNDLE IMAGE, in {precisions}; the graph is ONNX. Bundle id {k.facts.id}."


def refusal(k: Known) -> str:
    """What becomes of images that do not fit."""
    kinds = words.listed([{"xray": "X-ray", "ct": "CT"}[m] for m in k.facts.recipe.modalities])
    return f"Files that are damaged, not {kinds}, blank or too small are refused with the reason, and get no answer."


def availability(k: Known) -> str:
    """Licence of the model and of its pretrained weights."""
    p = k.facts.pretrained
    weights = f" Pretrained weights: {p.name}, licence {p.licence}." if p is not None else ""
    return f"pneumoscope is open source (Apache-2.0). The model's licence: {k.facts.licence}.{weights}"


def record(k: Known) -> str:
    """Where all technical details are on record."""
    return f"bundle.json and recipe digest {k.facts.recipe.digest[:16]}; made {k.facts.created}."


def _protocol(k: Known) -> Protocol | None:
    e = k.facts.evaluation
    return next((p for p in k.facts.recipe.protocols if e is not None and p.name == e.protocol), None)


def size(e: Evaluation) -> str:
    """`98 studies of 90 patients`: what figures are of."""
    return f"{words.judged(e)} of {words.plural(e.n_patients, 'patient')}"


def counts_of(e: Evaluation) -> dict[str, int]:
    """Class -> how many were evaluated."""
    return {name: sum(row) for name, row in zip(e.classes, e.confusion, strict=True)}


def _step(step: Step) -> str:
    told: Sequence[str] = [f"{name} {value}" for name, value in step.args.items()]
    return f"{step.name.replace('_', ' ')} ({', '.join(told)})" if told else step.name.replace("_", " ")


def _network(s: Stage) -> str:
    hidden = f", hidden layers {', '.join(map(str, s.head.hidden))}" if s.head.hidden else ""
    return f"stage {s.name} ({s.level}): {s.net}, {s.head.pooling.replace('_', ' ')} pooling{hidden}"


def _training(s: Stage) -> str:
    changed = ", ".join(_step(step) for step in s.augment) or "none"
    return (
        f"Stage {s.name}: trains {s.trainable}, {s.loss.replace('_', ' ')}, {s.optim.name} at {s.optim.lr:g} "
        f"({s.optim.schedule}), at most {words.plural(s.epochs, 'epoch')}, batch {s.batch}, augmentation {changed}, "
        f"seed {s.seed}."
    )
