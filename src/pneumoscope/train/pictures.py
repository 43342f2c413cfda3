"""The pictures of a run, as the papers show them: test images with what was decided, changed images, Grad-CAM.

Berrimi 2021, Figs. 5, 8 and 9; Basu 2020, Fig. 3; Szalay 2021, Fig. 5. All of the first fold, whose network did not
learn from them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from pneumoscope.core.result import Gallery, Picture
from pneumoscope.nets import maps
from pneumoscope.nets.build import Net, ScreeningNet
from pneumoscope.train.augment import augmentation
from pneumoscope.train.bench import Bench
from pneumoscope.train.folds import OutOfFold
from pneumoscope.train.stages import fitted

EXAMPLES = 16
ORIGINALS, CHANGED = 4, 3
OF_EACH_CLASS = 3


def galleries(bench: Bench, answers: OutOfFold) -> tuple[Gallery, ...]:
    """Test images with labels and decisions, Grad-CAM for each class, feature maps, and changed training images."""
    net = fitted(bench, bench.out / "fold_0")
    found = [_examples(bench, answers), _looked(bench, net, answers), _inside(bench, net, answers), _changed(bench)]
    return tuple(gallery for gallery in found if gallery.pictures)


def _examples(bench: Bench, answers: OutOfFold) -> Gallery:
    """Of the first fold's test part, drawn by a seed: not the best ones."""
    rows = np.flatnonzero(answers.folds == 0)
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:EXAMPLES])
    return Gallery(
        title=f"{len(rows)} test images",
        note=f"Drawn at random from the first fold's test part; its network did not learn from them{_chosen(bench)}.",
        pictures=tuple(_picture(bench, answers, row) for row in rows),
    )


def _looked(bench: Bench, net: Net, answers: OutOfFold) -> Gallery:
    """For each class, the test images that were most surely and rightly decided for it."""
    names = bench.main.dataset.classes.names
    truth = bench.main.labels.numpy()[answers.positions]
    rows, none = [], []
    for k, name in enumerate(names):
        right = np.flatnonzero((answers.folds == 0) & (truth == k) & (answers.decisions == k))
        none += [] if len(right) else [name]
        rows += list(right[np.argsort(-answers.probabilities[right, k])][:OF_EACH_CLASS])
    if not rows:
        return Gallery(title="", note="", pictures=())
    with torch.inference_mode():
        _, cams = ScreeningNet(net).eval()(bench.main.take(answers.positions[rows]))
    heat = [cam[answers.decisions[row]].numpy() for row, cam in zip(rows, cams, strict=True)]
    return Gallery(
        title="Where the network looked, by class",
        note="Grad-CAM of the test images that the first fold's network decided most surely and rightly for each "
        "class; red is where the most speaks for the class. It shows what was looked at, not that it is disease."
        + (f" None was decided rightly for {', '.join(none)}." if none else ""),
        pictures=tuple(_picture(bench, answers, row, h) for row, h in zip(rows, heat, strict=True)),
    )


def _inside(bench: Bench, net: Net, answers: OutOfFold) -> Gallery:
    """What three layers answer to the surest true positive and the surest true negative; none without a positive."""
    classes = bench.main.dataset.classes
    if classes.positive is None:
        return Gallery(title="", note="", pictures=())
    p = answers.probabilities[:, classes.positive_index]
    truth = bench.main.labels.numpy()[answers.positions]
    right, positive = (answers.folds == 0) & (answers.decisions == truth), truth == classes.positive_index
    pictures, none = [], []
    for name, of, unsure in (("true positive", positive, -p), ("true negative", ~positive, p)):
        found = np.flatnonzero(right & of)
        if not len(found):
            none.append(f"There is no {name} in the first fold.")
            continue
        row = found[np.argmin(unsure[found])]
        shown = _picture(bench, answers, row)
        pictures.append(dataclasses.replace(shown, caption=f"surest {name}: {shown.caption}"))
        layers = maps.feature_maps(net, bench.main.images[answers.positions[row]], maps.default_layers(net))
        pictures += [maps.picture(layer, values) for layer, values in layers.items()]
    about = (
        f"The test images that the first fold's network decided most surely and rightly for {classes.positive} and "
        "against it, each with what an early, a middle and the last layer answer."
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
        positions = np.sort(np.random.default_rng(0).permutation(len(data.dataset))[:ORIGINALS])
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


def _picture(bench: Bench, answers: OutOfFold, row: np.intp, heat: np.ndarray | None = None) -> Picture:
    names = bench.main.dataset.classes.names
    at, decided = answers.positions[row], answers.decisions[row]
    truth = bench.main.dataset.samples[at].label
    return Picture(
        pixels=np.array(bench.main.images[at]),
        caption=f"{truth}; decided {names[decided]}, {100 * answers.probabilities[row, decided]:.0f} %",
        heat=heat,
        right=truth == names[decided],
    )
