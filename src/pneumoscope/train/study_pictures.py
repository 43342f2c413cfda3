"""The pictures of a run that judges studies: which slice stands for each, Grad-CAM at each stage, a plane of studies.

Garg 2021, Figs. 5 and 6. Of the first fold, whose networks did not learn from the studies shown. The paper does not say
which vector of a patient Fig. 6 shows, nor t-SNE's settings: assumed are the last hidden layers of all classifiers of
patients, joined, and scikit-learn's settings but for the perplexity.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from pneumoscope.core.result import Gallery, Picture, Point
from pneumoscope.nets.build import Net, score_seeds
from pneumoscope.runtime import studies
from pneumoscope.train.bench import Bench
from pneumoscope.train.folds import OutOfFold
from pneumoscope.train.patients import describe, study_vectors

OF_EACH_CLASS = 2
# t-SNE's perplexity is about the neighbours of a point; van der Maaten & Hinton 2008 advise 5 to 50
PERPLEXITY = 30.0
LEAST_PERPLEXITY = 5.0


class Face(NamedTuple):
    """The slice that stands for a study. row: position among the images. place: `slice 7 of 12`. focus: see there."""

    row: int
    place: str
    focus: str


def slices_of(bench: Bench, net: Net) -> np.ndarray:
    """What the slice network says of every slice of main, `[N, K]`."""
    return describe(bench, net).probabilities.numpy()


def face(bench: Bench, slices: np.ndarray, unit: int, decided: int) -> Face:
    """The slice that matters most: as in screening, the one that is most like the class that it is searched for.

    slices: as `slices_of` gives them.
    """
    classes = bench.main.dataset.classes
    rows = bench.units.members[unit]
    focus = studies.focus(slices[rows], classes.names[decided], classes)
    at = int(slices[rows, classes.index(focus)].argmax())
    return Face(int(rows[at]), f"slice {at + 1} of {len(rows)}", focus)


def looked(bench: Bench, net: Net, answers: OutOfFold, slices: np.ndarray) -> Gallery:
    """Fig. 5: of each class's surest right studies the slice that matters most, with Grad-CAM at each stage."""
    classes = bench.main.dataset.classes
    truth = bench.labels[answers.positions]
    pictures: list[Picture] = []
    none = []
    for k, name in enumerate(classes.names):
        right = np.flatnonzero((answers.folds == 0) & (truth == k) & (answers.decisions == k))
        none += [] if len(right) else [name]
        for i in right[np.argsort(-answers.probabilities[right, k], kind="stable")][:OF_EACH_CLASS]:
            found = face(bench, slices, int(answers.positions[i]), k)
            for stage, heat in stage_cams(net, bench.main.images[found.row], classes.index(found.focus)).items():
                said = f"{name}, {100 * answers.probabilities[i, k]:.0f} %: {found.place}, {stage}, for {found.focus}"
                pixels = np.array(bench.main.images[found.row])
                pictures.append(Picture(pixels=pixels, caption=said, heat=heat, right=True))
    lacking = f" None was decided rightly for {', '.join(none)}." if none else ""
    return Gallery(
        title="Where the network looked, by class and stage",
        note="Grad-CAM of the slice network in the studies that the first fold's networks decided most surely and "
        "rightly for each class: the slice that is most like that class or, in a normal study, most like another one. "
        "Three pictures are of one slice, the coarsest stage first; red is where the most speaks for the class, by the "
        f"scale of each picture alone. It shows what was looked at, not that it is disease.{lacking}",
        pictures=tuple(pictures),
        large=True,
    )


def stage_cams(net: Net, pixels: np.ndarray, target: int) -> dict[str, np.ndarray]:
    """Grad-CAM of one prepared image `[H, W]` at each stage that the head joins, `[h, w]`, the coarsest one first.

    Earlier stages feed the later ones, too, so the gradient takes autograd (Selvaraju et al. 2017, equations 1 and 2).
    A stage is named by how much smaller its map is: stage 5 by 2 to the power of 5, as ResNet's stages are counted.
    """
    x = torch.from_numpy(np.array(pixels, dtype=np.float32))[None, None].requires_grad_()
    with torch.enable_grad():
        last, earlier = net.eval().maps(x)
        logits = net.head(net.head.fixed(last, earlier))
        score = (logits @ score_seeds(net.head.outputs, net.classes)[target]).sum()
        maps = [last, *reversed(earlier)]
        gradients = torch.autograd.grad(score, maps)
    found = {}
    for values, gradient in zip(maps, gradients, strict=True):
        h, w = values.shape[2:]
        cam = (gradient.mean(dim=(2, 3), keepdim=True) * values).sum(dim=1).relu()
        found[f"stage {round(math.log2(x.shape[3] / w))} ({h} x {w})"] = cam[0].detach().numpy()
    return found


def plane(bench: Bench, net: Net, answers: OutOfFold) -> Gallery:
    """Fig. 6: the studies of the first fold's validation and test part, by t-SNE of what its classifiers learned."""
    first = answers.chosen[0].positions
    test = answers.positions[answers.folds == 0]
    parts = {"test": test} if set(first) == set(test) else {"validation": first, "test": test}
    units = [int(unit) for positions in parts.values() for unit in positions]
    title = "Studies by what the classifiers see in them"
    perplexity = min(PERPLEXITY, (len(units) - 1) / 3)
    if perplexity < LEAST_PERPLEXITY:
        needed = math.ceil(3 * LEAST_PERPLEXITY) + 1
        return Gallery(title=title, note=f"Not drawn: t-SNE needs {needed} studies, and there are {len(units)}.")
    places = _embedded(bench, net, units, perplexity)
    said = [name for name, positions in parts.items() for _ in positions]
    samples = bench.units.dataset.samples
    return Gallery(
        title=title,
        note="t-SNE of the last hidden layers of all classifiers of patients, joined: each point is a study of the "
        f"first fold's {' or '.join(parts)} part, perplexity {perplexity:.0f}. Neighbours are alike to the network; "
        "distances between groups, and their sizes, mean nothing. Groups that mix in colour are told apart badly; "
        "validation and test studies in groups of their own would be a difference between the parts.",
        points=tuple(
            Point(x=float(x), y=float(y), label=samples[unit].label, part="test" if part == "test" else "validation")
            for (x, y), unit, part in sorted(
                zip(places.tolist(), units, said, strict=True), key=lambda one: int(bench.labels[one[1]])
            )
        ),
    )


def _embedded(bench: Bench, net: Net, units: list[int], perplexity: float) -> np.ndarray:
    """Places of units in a plane, `[n, 2]` in 0..1."""
    from sklearn.manifold import TSNE

    vectors = study_vectors(bench, net, bench.out / "fold_0", units).values()
    # no classifier counts for more because its layer is wider or its units answer more loudly
    joined = np.concatenate([v / max(float(np.linalg.norm(v, axis=1).mean()), 1e-12) for v in vectors], axis=1)
    found = np.asarray(TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(joined))
    low, high = found.min(axis=0), found.max(axis=0)
    scaled: np.ndarray = 0.5 + (found - (low + high) / 2) / max(float((high - low).max()), 1e-12)
    return scaled
