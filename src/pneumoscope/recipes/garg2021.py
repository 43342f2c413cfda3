"""Garg et al. 2021: multi-scale residual network for COVID-19 diagnosis using CT-scans.

Three levels: a slice classifier (ResNet50, features of three stages joined), four classifiers of patients on what it
makes of each slice, and an ensemble of their scores. Trained on COVIDx-CT (role `pretrain`), then on COVID-CT-MD.

What cannot be reproduced: the dropout rate, the rate of the last training step, the smoothing and threshold of the body
mask, and which scores the ensemble learned from are unstated; the weights of step 1 were chosen on the set that is
reported on.
"""

from __future__ import annotations

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.recipe import Decision, Head, Optim, Paper, Protocol, Recipe, Reported, Stage, Step
from pneumoscope.core.role import Role

_CLASSES = ClassSet(names=("normal", "pneumonia", "covid"), positive="covid", normal="normal")
_SLICE = Head(pooling="average", scales=3, hidden=(1024,), dropout=0.5, dropout_first=True)
_AUGMENT = (
    Step(name="affine", args={"degrees": 25.0, "shift": 20 / 224, "zoom": 0.2, "shear": 11.46}),
    Step(name="brightness", args={"by": 0.2}),
    Step(name="flip", args={"probability": 0.5}),
)


def _slice(name: str, *, role: str, init: str, trainable: str, lr: float, epochs: int, learns: str) -> Stage:
    return Stage(
        name=name,
        role=role,
        level="slice",
        net="resnet50",
        head=_SLICE,
        init=init,
        trainable=trainable,
        loss="cross_entropy",
        class_weights="balanced",
        optim=Optim(name="adam", lr=lr),
        epochs=epochs,
        batch=64,
        augment=_AUGMENT,
        monitor="val_accuracy",
        learns="called_infected" if learns == "called_infected" else "labelled",
    )


def _patient(name: str, *, net: str, features: str, hidden: int, epochs: int = 25) -> Stage:
    return Stage(
        name=name,
        level="ensemble" if net == "ensemble" else "patient",
        net=net,
        head=Head(pooling="average", hidden=(hidden,)),
        init="random",
        trainable="all",
        loss="cross_entropy",
        class_weights="balanced",
        optim=Optim(name="adam", lr=1e-3),
        epochs=epochs,
        batch=64,
        monitor="val_accuracy",
        features="weighted" if features == "weighted" else "plain",
        l1=1e-5,
        l2=1e-4,
    )


_SLICES = (
    _slice("pretrain", role="pretrain", init="imagenet", trainable="all", lr=1e-3, epochs=10, learns="labelled"),
    _slice("last-layers", role="main", init="stage:pretrain", trainable="head", lr=1e-4, epochs=10, learns="labelled"),
    _slice("unfreeze", role="main", init="stage:last-layers", trainable="all_but_norm", lr=1e-5, epochs=10, learns=""),
    _slice(
        "unlabelled",
        role="main",
        init="stage:unfreeze",
        trainable="all_but_norm",
        lr=1e-5,
        epochs=25,
        learns="called_infected",
    ),
)
_PATIENTS = (
    _patient("maxpool", net="maxpool", features="plain", hidden=512),
    _patient("maxpool-weighted", net="maxpool", features="weighted", hidden=512),
    _patient("bilstm", net="bilstm", features="plain", hidden=1024),
    _patient("bilstm-weighted", net="bilstm", features="weighted", hidden=1024),
)
_ENSEMBLE = _patient("ensemble", net="ensemble", features="plain", hidden=10, epochs=200)

_OF_SLICES = {
    "level": "section III-C1: 'Slice-Level Classifier'",
    "net": "section III-C1: 'ResNet50 model pre-trained on ImageNet database'",
    "head.scales": "section III-C1: 'features from the Stage3 and Stage4', with Stage5, 'concatenate'; pooled on average, "
    "assumed",
    "head.hidden": "section III-C1: 'two fully connected layers of 1024 and 3 neurons'",
    "head.dropout": "section III-C1: 'a dropout layer'; its rate is unstated, 0.5 assumed",
    "head.dropout_first": "section III-C1: 'replace it with a dropout layer and two fully connected layers'",
    "head": "section III-C1: 'ReLU activation is used in all the layers except for the last'; nothing more is named",
    "loss": "section III-C1: 'categorical cross-entropy'",
    "class_weights": "section III-C1: 'with class weights to handle the class imbalance'; N / (K n), assumed",
    "optim.name": "section III-C1: 'Adam optimizer'",
    "optim": "assumed: Keras's Adam without more",
    "batch": "section III-C1: 'a batch size of 64'",
    "augment": "section III-B: rotation 25 degrees, translation 20 pixels, zoom 0.8 to 1.2, shear 0.2, brightness 0.8 to "
    "1.2, flips; shear read as radians",
    "monitor": "section III-C1: 'maximum accuracy on validation set'",
    "l1": "none named for slices",
    "l2": "none named for slices",
    "features": "not of slices",
    "seed": "assumed",
}
_OF_PATIENTS = {
    "level": "section III-C2: 'Patient-Level Classifier'",
    "head": "ReLU between, softmax last; no dropout is named",
    "init": "assumed: unstated",
    "trainable": "section III-C2: trained as a whole",
    "loss": "section III-C2: 'categorical crossentropy'",
    "class_weights": "section III-C2: 'with class weights'; N / (K n), assumed",
    "optim.name": "section III-C2: 'Adam optimizer'",
    "optim.lr": "section III-C2: 'a learning rate of 10^-3'",
    "optim": "assumed: Keras's Adam without more",
    "epochs": "section III-C2: 'for 25 epochs'",
    "batch": "section III-C2: 'a batch size of 64'",
    "augment": "none named",
    "monitor": "section III-C2: 'maximum accuracy on validation set'",
    "role": "section III-C2: COVID-CT-MD",
    "learns": "not of patients",
    "l1": "section III-C2: 'L1 and L2 regularization with regularizing coefficient 10^-5 and 10^-4'",
    "l2": "section III-C2: 'L1 and L2 regularization with regularizing coefficient 10^-5 and 10^-4'",
    "seed": "assumed",
}

RECIPE = Recipe(
    name="garg2021",
    paper=Paper(
        authors="P. Garg, R. Ranjan, K. Upadhyay, M. Agrawal, D. Deepak",
        title="Multi-Scale Residual Network for COVID-19 Diagnosis Using CT-Scans",
        year=2021,
        where="IEEE ICASSP 2021, Signal Processing Grand Challenge",
    ),
    modalities=("ct",),
    classes=_CLASSES,
    prep=(
        Step(name="range", args={}),
        Step(name="body", args={"kernel": 5}),
        Step(name="resize", args={"size": 224}),
    ),
    roles=(Role(name="main"), Role(name="pretrain", classes=_CLASSES)),
    stages=(*_SLICES, *_PATIENTS, _ENSEMBLE),
    protocols=(
        Protocol(name="honest", unit="group", folds=5, test_share=0.2, val_share=0.15, seed=0),
        Protocol(name="paper", unit="group", folds=1, test_share=0.3, val_share=0.0, seed=0),
    ),
    decision=Decision(rule="argmax"),
    sources={"todo": "todo"},
    reported=(),
    deviations=(),
)
