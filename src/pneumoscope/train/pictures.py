"""The pictures of a run, as the papers show them: test images with what was decided, changed images, Grad-CAM.

Berrimi 2021, Figs. 5, 8 and 9; Basu 2020, Fig. 3; Szalay 2021, Fig. 5. All of the first fold, whose network did not
learn from them. A study is shown by one of its slices; what only methods of studies have: `study_pictures`.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import torch

from pneumoscope.core.result import Gallery, Picture
from pneumoscope.nets import maps
from pneumoscope.nets.build import Net, ScreeningNet
from pneumoscope.train.augment import augmentation
from pneumoscope.train.bench import Bench
from pneumoscope.train.folds import OutOfFold
from pneumoscope.train.stages import fitted
from pneumoscope.train.study_pictures import face, looked, plane, slices_of
from pneumoscope.train.volume_pictures import volume_galleries

EXAMPLES = 16
ORIGINALS, CHANGED = 4, 3
OF_EACH_CLASS = 3


class Shown(NamedTuple):
    """A run as its pictures show it.

    net: of images, of the first fold. slices: what it says of each slice of main, `[N, K]`, where studies are judged.
    """

    bench: Bench
    net: Net
    answers: OutOfFold
    slices: np.ndarray | None

    @property
    def truth(self) -> np.ndarray:
        """The class of what each answer is of, integers `[n]`."""
        return np.asarray(self.bench.labels[self.answers.positions])

    @property
    def those(self) -> str:
        """What answers are of."""
        return "images" if self.slices is None else "studies"


def galleries(bench: Bench, answers: OutOfFold) -> tuple[Gallery, ...]:
    """Test images with labels and decisions, Grad-CAM for each class, feature maps, and changed training images.

    Of studies also where they lie in a plane.
    """
    net = fitted(bench, bench.out / "fold_0")
    if bench.recipe.of_volumes:
        return volume_galleries(bench, net, answers)
    slices = slices_of(bench, net) if bench.recipe.members else None
    run = Shown(bench, net, answers, slices)
    seen = _looked(run) if slices is None else looked(bench, net, answers, slices)
    laid_out = () if slices is None else (plane(bench, net, answers),)
    found = [_examples(run), *laid_out, *(g for g in (seen, _inside(run), _changed(bench)) if g.pictures)]
    return tuple(sorted(found, key=lambda g: not (g.pictures or g.points)))  # what has but a note, last


def _examples(run: Shown) -> Gallery:
    """Of the first fold's test part, drawn by a seed: not the best ones."""
    rows = np.flatnonzero(run.answers.folds == 0)
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:EXAMPLES])
    note = f"Drawn at random from the first fold's test part; its network did not learn from them{_chosen(run.bench)}."
    return Gallery(
        title=f"{len(rows)} test {run.those}",
        note=f"{note} Each by the slice that is most like the class decided for or, where that is the normal one, most "
        "like another class."
        if run.slices is not None
        else note,
        pictures=tuple(_picture(run, row) for row in rows),
    )


def _looked(run: Shown) -> Gallery:
    """For each class, the test images that were most surely and rightly decided for it."""
    bench, net, answers, _ = run
    names = bench.main.dataset.classes.names
    truth = run.truth
    rows, none = [], []
    for k, name in enumerate(names):
        right = np.flatnonzero((answers.folds == 0) & (truth == k) & (answers.decisions == k))
        none += [] if len(right) else [name]
        rows += list(right[np.argsort(-answers.probabilities[right, k])][:OF_EACH_CLASS])
    if not rows:
        return Gallery(title="", note="", pictures=())
    with torch.inference_mode():
        _, cams = ScreeningNet(net).eval()(
            bench.main.take(np.array(bench.units.rows(answers.positions[rows].tolist())))
        )
    heat = [cam[answers.decisions[row]].numpy() for row, cam in zip(rows, cams, strict=True)]
    return Gallery(
        title="Where the network looked, by class",
        note="Grad-CAM of the test images that the first fold's network decided most surely and rightly for each "
        "class; red is where the most speaks for the class. It shows what was looked at, not that it is disease."
        + (f" None was decided rightly for {', '.join(none)}." if none else ""),
        pictures=tuple(_picture(run, row, h) for row, h in zip(rows, heat, strict=True)),
    )


def _inside(run: Shown) -> Gallery:
    """What three layers answer to the surest true positive and the surest true negative; none without a positive."""
    bench, net, answers, _ = run
    classes = bench.main.dataset.classes
    if classes.positive is None:
        return Gallery(title="", note="", pictures=())
    p = answers.probabilities[:, classes.positive_index]
    truth = run.truth
    right, positive = (answers.folds == 0) & (answers.decisions == truth), truth == classes.positive_index
    pictures, none = [], []
    for name, of, unsure in (("true positive", positive, -p), ("true negative", ~positive, p)):
        found = np.flatnonzero(right & of)
        if not len(found):
            none.append(f"There is no {name} in the first fold.")
            continue
        row = found[np.argmin(unsure[found])]
        shown = _picture(run, row)
        pictures.append(dataclasses.replace(shown, caption=f"surest {name}: {shown.caption}"))
        layers = maps.feature_maps(net, shown.pixels, maps.default_layers(net))
        pictures += [maps.picture(layer, values) for layer, values in layers.items()]
    about = (
        f"The test {run.those} that the first fold's network decided most surely and rightly for {classes.positive} "
        "and against it, each with what an early, a middle and the last layer answer."
    )
    note = " ".join([about, maps.LIGHT, *none])
    return Gallery(title="Inside the network", note=note, pictures=tuple(pictures), large=True)


def _changed(bench: Bench) -> Gallery:
    """Images, each followed by what training made of it."""
    stage = next((s for s in bench.recipe.stages if s.augment), None)
    pictures = []
    change = augmentation(stage.augment) if stage is not None else None
    if stage is not None and change is not None:
        data = bench.data[stage.role]
        read = np.flatnonzero(~data.between)
        positions = np.sort(np.random.default_rng(0).permutation(read)[:ORIGINALS])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for at in positions:
                x = data.take(np.array([at]))
                pictures.append(Picture(pixels=x[0, 0].numpy(), caption="as it is"))
                changed = [change(x)[0, 0].numpy() for _ in range(CHANGED)]
                pictures += [Picture(pixels=pixels, caption="changed") for pixels in changed]
    return Gallery(
        title="Changed for training",
        note="Images as the network takes them, each with what the random changes of training make of it.",
        pictures=tuple(pictures),
    )


def _chosen(bench: Bench) -> str:
    return "" if bench.recipe.protocol.val_share else ", but they chose its weights"


def _picture(run: Shown, row: np.intp, heat: np.ndarray | None = None) -> Picture:
    bench, _, answers, slices = run
    names = bench.main.dataset.classes.names
    unit, decided = int(answers.positions[row]), int(answers.decisions[row])
    truth = bench.units.dataset.samples[unit].label
    at, place = int(bench.units.members[unit][0]), ""
    if slices is not None:
        at, place, _ = face(bench, slices, unit, decided)
    said = f"{truth}; decided {names[decided]}, {100 * answers.probabilities[row, decided]:.0f} %"
    return Picture(
        pixels=np.array(bench.main.images[at]),
        caption=f"{said}; {place}" if place else said,
        heat=heat,
        right=truth == names[decided],
    )
