"""A garg2021 bundle with the paper's networks, drawn and not trained, and a phantom study to judge.

Run: python ct_bundle.py WORK SLICES   It makes WORK/bundle and WORK/study-SLICES where they are not there. BatchNorms
get the statistics of phantom slices and output layers are stretched, so that slices differ in their answers; a network
as it is drawn gives every slice the same, and two pipelines would agree whatever they did.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pneumoscope import phantoms, reading
from pneumoscope.core.progress import silent
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.resolve import resolve
from pneumoscope.evaluate import metrics
from pneumoscope.nets.build import Net, build, probabilities
from pneumoscope.nets.head import MlpHead
from pneumoscope.nets.patient import build_patient, weighted
from pneumoscope.prep import pipeline
from pneumoscope.recipes import find
from pneumoscope.report.card import model_card
from pneumoscope.train.data import Prepared, prepare
from pneumoscope.train.export import write_bundle
from pneumoscope.train.patients import Patients
from pneumoscope.train.units import units_of

SEED = 1
# more would make the noise of fp32 louder as well, and no graph would be as near to torch as a bundle's must be
SPREAD, LOUDEST = 0.5, 10.0


def study(folder: Path, slices: int) -> None:
    """A phantom series of uncompressed slices of 512 x 512."""
    if not folder.exists():
        part = folder.with_name(f"{folder.name}-part")
        part.mkdir(parents=True, exist_ok=True)
        phantoms.write_ct(phantoms.phantom_ct("covid", SEED, size=512, slices=slices), part)
        part.rename(folder)


def recipe_of() -> Recipe:
    """garg2021 with nothing pretrained."""
    recipe = resolve(find("garg2021")[0])
    stages = tuple(dataclasses.replace(s, init="random") if s.init == "imagenet" else s for s in recipe.stages)
    return dataclasses.replace(recipe, stages=stages)


def _prepared(recipe: Recipe, work: Path) -> Prepared:
    """A small labelled set for what a bundle says of its data, and for the proof that its graphs answer as torch."""
    small = work / "small"
    if not small.exists():
        phantoms.write_cts(small, patients=3, seed=SEED, size=128, slices=10)
    dataset, _ = reading.read_data(
        [small], recipe.classes, mapping={}, modalities=recipe.modalities, ungrouped=False, say=lambda text: None
    )
    return prepare(dataset, recipe, work / "prepared", silent)


def slice_net(recipe: Recipe, images: torch.Tensor) -> Net:
    """The slice network; images: `[N, 1, H, W]`."""
    stage = dataclasses.replace([s for s in recipe.stages if s.level == "slice"][-1], init="random")
    net, _ = build(stage, recipe.classes, input_size=pipeline.input_size(recipe), weights_dir=None, seed=SEED)
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.0)  # timm's last one of a block is 0, and the block would do nothing
        norm.momentum = None  # the mean over all that it is shown
    net.train()(images)
    with torch.no_grad():
        _stretch(net.eval().head, net.features(images))
    return net


def patient_nets(recipe: Recipe, net: Net, studies: list[torch.Tensor]) -> Patients:
    """The four classifiers of patients and their ensemble; studies: the slices `[S, 1, H, W]` of each."""
    members, scores = {}, []
    for i, stage in enumerate(recipe.members):
        given = []
        for slices in studies:
            fixed = net.features(slices)
            features, p = net.penultimate(fixed), probabilities(net.head(fixed), net.classes)
            given.append(weighted(features, p) if stage.features == "weighted" else features)
        member = build_patient(stage, inputs=given[0].shape[1], outputs=len(net.classes.names), seed=SEED + i).eval()
        _stretch(member.head, torch.cat([member.pooled(one.unsqueeze(0)) for one in given]))
        scores.append(torch.cat([probabilities(member(one.unsqueeze(0)), net.classes) for one in given]))
        members[stage.name] = member
    joined = torch.cat(scores, dim=1)
    ensemble = build_patient(recipe.stages[-1], inputs=joined.shape[1], outputs=len(net.classes.names), seed=SEED)
    _stretch(ensemble.eval().head, joined)
    return Patients(members, ensemble)


def _stretch(head: MlpHead, given: torch.Tensor) -> None:
    """Make each logit's mean 0 over what is given, and its spread `SPREAD`, by at most `LOUDEST`."""
    logits, last = head(given), head.linears[-1]
    spread = (logits.std(dim=0) / SPREAD).clamp(min=1 / LOUDEST)
    last.weight.data /= spread.unsqueeze(1)
    last.bias.data = (last.bias.data - logits.mean(dim=0)) / spread


def bundle(work: Path) -> None:
    recipe = recipe_of()
    data = _prepared(recipe, work)
    images = [np.ascontiguousarray(data.images[rows]) for rows in units_of(data, recipe).members]
    studies = [torch.from_numpy(one[:, np.newaxis]) for one in images]
    net = slice_net(recipe, torch.cat(studies))
    with torch.no_grad():
        patients = patient_nets(recipe, net, studies)
    answers, truth = np.full((len(data.given), 3), 1 / 3), np.arange(len(data.given)) % 3
    write_bundle(
        net,
        recipe,
        {"main": data.dataset},
        seen=data.given.samples,
        patients=patients,
        checked=images,
        threshold=None,
        evaluation=metrics.evaluate(
            answers, truth, answers.argmax(axis=1), [s.group for s in data.given.samples], recipe.classes
        ),
        used=None,
        card=model_card,
        path=work / "bundle",
    )


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    study(folder / f"study-{sys.argv[2]}", int(sys.argv[2]))
    if not (folder / "bundle").exists():
        bundle(folder)
