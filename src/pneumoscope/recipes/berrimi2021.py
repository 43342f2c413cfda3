"""Berrimi et al. 2021: COVID-19 detection from Xray and CT scans using transfer learning.

ImageNet networks are fine-tuned on X-rays (COVID-19, pneumonia, normal) and on CT slices (COVID-19 or not): InceptionV3
with a new head, DenseNet as the baseline, and "New-DenseNet" with a convolution on top of the features, then a dense
layer, dropout and BatchNorm. The variants are the three networks, on each of the paper's three problems.

What cannot be reproduced: which DenseNet it was, the filters of its convolution, the width of the dense layer and the
dropout rate are unstated; how far images were rotated, zoomed and shifted is unstated; the sets are parted at random
by image, and the X-ray set draws pneumonia and normal from children (Kermany). The conclusion's "at least 12 percent"
better than the baselines contradicts Table III, where New-DenseNet has 85 and InceptionV3 92.35.
"""

from __future__ import annotations

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.paper import Paper, Reported
from pneumoscope.core.recipe import Decision, Protocol, Recipe
from pneumoscope.core.role import Role
from pneumoscope.core.stage import Head, Optim, Stage, Step, Value

# problem -> suffix of the variant, and what differs from the recipe as written
_PROBLEMS: dict[str, dict[str, Value]] = {
    "": {},
    "-xray2": {"classes.names": ("normal", "covid")},
    "-ct": {"classes.names": ("non-covid", "covid"), "modalities": ("ct",)},
}
_DENSE: dict[str, Value] = {"net": "densenet121"}
# network -> what differs in both of its stages
_NETWORKS: dict[str, dict[str, Value]] = {
    "inceptionv3": {},
    "densenet": _DENSE,
    "new-densenet": _DENSE
    | {"head.convolution": 256, "head.hidden": (256,), "head.dropout": 0.5, "head.batch_norm": True},
}

_AUGMENT = (
    Step(name="affine", args={"degrees": 15.0, "shift": 0.1, "zoom": 0.1}),
    Step(name="flip", args={"probability": 0.5}),
)


def _stage(name: str, *, init: str, trainable: str, epochs: int, augment: tuple[Step, ...]) -> Stage:
    return Stage(
        name=name,
        level="image",
        net="inceptionv3",
        head=Head(pooling="average"),
        init=init,
        trainable=trainable,
        loss="cross_entropy",
        class_weights="none",
        optim=Optim(name="adam", lr=1e-4),
        epochs=epochs,
        batch=32,
        augment=augment,
        monitor="val_balanced_accuracy",
        seed=0,
    )


def _variant(network: str, problem: str) -> dict[str, Value]:
    fields = {f"stages.{s}.{k}": v for s in ("head", "fine-tune") for k, v in _NETWORKS[network].items()}
    return fields | _PROBLEMS[problem]


def _sources(network: str, problem: str) -> dict[str, str]:
    at = f"{network}{problem}:"
    found: dict[str, str] = {}
    for stage in ("head", "fine-tune"):
        where = f"{at}stages.{stage}."
        if network != "inceptionv3":
            found[f"{where}net"] = "section III-E: 'DenseNet'; which one is unstated, DenseNet121 assumed"
        if network == "new-densenet":
            found |= {
                f"{where}head.convolution": "section III-F: 'We add at the top of the Densest model a convolutional "
                "layer'; its filters are unstated, 256 assumed",
                f"{where}head.hidden": "section III-F: 'at the bottom a dense layer'; its width is unstated, 256 "
                "assumed",
                f"{where}head.dropout": "section III-F: 'dropout layer'; its rate is unstated, 0.5 assumed",
                f"{where}head.batch_norm": "section III-F: 'followed by ... dropout layer ... and BatchNormalization'",
            }
    if problem == "-ct":
        found[f"{at}modalities"] = "section III-A: 'CT scans dataset'"
        found[f"{at}classes.names"] = "section III-A: 'positive for COVID-19 while the rest ... are non-infected'"
    if problem == "-xray2":
        found[f"{at}classes.names"] = "section I: 'two-class problem (Health, Covid-19)'"
    return found


def _accuracy(network: str, problem: str, value: float) -> Reported:
    ct = problem == "-ct"
    return Reported(
        data="2482 CT slices, 80/20" if ct else "1130 X-rays, 80/20",
        where="Table IV" if ct else "Table III",
        metrics={"accuracy": value},
        variants=_names(network, problem),
    )


def _names(network: str, problem: str) -> tuple[str, ...]:
    written = network == "inceptionv3" and not problem
    return (f"{network}{problem}", "") if written else (f"{network}{problem}",)


def _sizes(n: float, least: float, most: float, mean: float, sd: float) -> dict[str, float]:
    return {"images": n, "min": least, "max": most, "mean": mean, "sd": sd}


_XRAY, _CT = "", "-ct"
_ALL = [(network, problem) for network in _NETWORKS for problem in _PROBLEMS]
_FEWER = "; 'frozen after the training' and 'fine tuned' are read as two steps: the new layers first, then all"

RECIPE = Recipe(
    name="berrimi2021",
    paper=Paper(
        authors="M. Berrimi, S. Hamdi, R. Yahia Cherif, A. Moussaoui, M. Oussalah, M. Chabane",
        title="COVID-19 detection from Xray and CT scans using transfer learning",
        year=2021,
        where="University of Ferhat Abbas Setif I and University of Oulu",
    ),
    modalities=("xray",),
    classes=ClassSet(names=("normal", "pneumonia", "covid"), positive="covid"),
    prep=(
        Step(name="window", args={"center_hu": -600.0, "width_hu": 1500.0}),
        Step(name="resize", args={"size": 224}),
    ),
    stages=(
        _stage("head", init="imagenet", trainable="head", epochs=10, augment=()),
        _stage("fine-tune", init="stage:head", trainable="all", epochs=50, augment=_AUGMENT),
    ),
    roles=(Role(name="main"),),
    protocols=(
        Protocol(name="honest", unit="group", folds=5, test_share=0.2, val_share=0.15, seed=0),
        Protocol(name="paper", unit="image", folds=1, test_share=0.2, val_share=0.0, seed=0),
    ),
    decision=Decision(rule="argmax"),
    variants={f"{network}{problem}": _variant(network, problem) for network, problem in _ALL},
    sources={
        "modalities": "section III-A: 'XRay dataset'",
        "classes": "section I: 'three class classification problem (Healthy, Pneumonia and Covid-19)'",
        "prep.window": "assumed: the paper's CT images are pictures, windowed already; CT in HU gets a lung window",
        "prep.resize.size": "section III-B: 'a fixed size of 224 x 224 pixels', InceptionV3 too",
        **{
            f"stages.{stage}.{field}": text
            for stage in ("head", "fine-tune")
            for field, text in {
                "level": "section IV: images are classified one by one",
                "net": "section III-G: 'Inception-v3'",
                "head": "section III-D: 'replacing the last fully-connected layers ... with a new fully-connected "
                "layer'; average pooling before it, as in the networks that it is taken from, assumed",
                "loss": "section III-D: 'a softmax function to the output layer'; cross-entropy assumed",
                "class_weights": "assumed: none named; classes are of one size, 'to avoid the cases of unbalanced "
                "dataset'",
                "optim": "section III-G: 'Adam optimizer and learning rate at 0.0001'; constant, assumed",
                "batch": "assumed: unstated",
                "monitor": "assumed: unstated",
                "l1": "none named",
                "l2": "none named",
                "seed": "assumed",
                "role": "section III-A: one set for each problem",
            }.items()
        },
        "stages.head.init": "section III-D: 'trained on a very large dataset named ImageNet'",
        "stages.head.trainable": f"section III-D: 'the weight of both models were frozen'{_FEWER}",
        "stages.head.epochs": "assumed: unstated; new layers only, before the 50 epochs of all",
        "stages.head.augment": "assumed: none while only the new layers learn, so that features are computed once",
        "stages.fine-tune.init": f"section III-D: 'then ... fine tuned them'{_FEWER}",
        "stages.fine-tune.trainable": f"section III-D: 'fine tuned them on our image classification tasks'{_FEWER}",
        "stages.fine-tune.epochs": "section III-G: 'we trained all models for 50 epochs'",
        "stages.fine-tune.augment": "section III-C: 'rotated, zoomed, horizontally flipped and shifted'; how far is "
        "unstated, 15 degrees, 10 % and 10 % assumed",
        "protocols.honest": "ours: patients kept together, weights chosen on a part that is not reported",
        "protocols.paper": "section IV: '80% for training, and the rest 20% of images are used to test', by image; "
        "that the test part chose the weights is assumed, since no other part is named",
        "decision": "section III-D: 'softmax'; the most probable class",
        "roles": "section III-A: one set for X-ray, one for CT",
        **{key: text for network, problem in _ALL for key, text in _sources(network, problem).items()},
    },
    reported=(
        _accuracy("inceptionv3", _XRAY, 0.9235),
        _accuracy("densenet", _XRAY, 0.6356),
        _accuracy("new-densenet", _XRAY, 0.85),
        _accuracy("inceptionv3", _CT, 0.8451),
        _accuracy("densenet", _CT, 0.60),
        _accuracy("new-densenet", _CT, 0.9598),
        Reported(
            data="1130 X-rays",
            where="Table I",
            sizes={
                "covid": _sizes(430, 63232, 15065600, 1471336.81, 1744859.82),
                "pneumonia": _sizes(326, 104648, 3049728, 1029847.16, 302354.24),
                "normal": _sizes(374, 802100, 6828621, 1773917.23, 1163297.96),
            },
            variants=("", *(f"{network}{problem}" for network in _NETWORKS for problem in ("", "-xray2"))),
        ),
        Reported(
            data="2482 CT slices",
            where="Table II",
            sizes={
                "covid": _sizes(1252, 23478, 199104, 87267.70, 25245.2),
                "non-covid": _sizes(1230, 29631, 201344, 98752.51, 29146.79),
            },
            variants=tuple(f"{network}-ct" for network in _NETWORKS),
        ),
    ),
    deviations=(
        "InceptionV3 is Keras's (timm's with Keras's pooling); its ImageNet weights are of 299 x 299, and the paper "
        "feeds 224 x 224.",
        "InceptionV3's BatchNorms learn a scale, too; Keras's have none.",
        "While all layers learn, BatchNorm uses each batch's statistics, as Keras does where a layer is trainable.",
        (
            "New layers start as torch's do (weights and biases uniform, of bound 1/sqrt(inputs)), not as Keras's "
            "(Glorot's uniform weights, zero biases)."
        ),
        "Adam's epsilon is torch's 1e-8; Keras's is 1e-7. BatchNorm's running statistics move by torch's 0.1 a batch; "
        "Keras's momentum of 0.99 moves them by 0.01.",
        "Section III-A speaks of '374 scan samples, labelled with Pneumonia and regular'; Table I has 326 and 374.",
        "Table II calls the other class 'Normal', the text 'non-infected'; the set says non-COVID, and so do we.",
    ),
)
