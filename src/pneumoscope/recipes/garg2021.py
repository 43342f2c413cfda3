"""Garg et al. 2021: multi-scale residual network for COVID-19 diagnosis using CT-scans.

Three levels: a slice classifier (ResNet50, features of three stages joined), four classifiers of patients on what it
makes of each slice, and an ensemble of their scores. Trained on COVIDx-CT (role `pretrain`), then on COVID-CT-MD.

What cannot be reproduced: the dropout rate, the rate of the last training step, the smoothing and threshold of the body
mask, and which scores the ensemble learned from are unstated; the weights of step 1 were chosen on the set that is
reported on.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.paper import Paper, Reported
from pneumoscope.core.recipe import Decision, Protocol, Recipe
from pneumoscope.core.role import Role
from pneumoscope.core.stage import Head, Optim, Stage, Step

_CLASSES = ClassSet(names=("normal", "pneumonia", "covid"), positive="covid", normal="normal")
_SLICE = Head(pooling="average", scales=3, hidden=(1024,), dropout=0.5, dropout_first=True)
_AUGMENT = (
    Step(name="affine", args={"degrees": 25.0, "shift": 20 / 224, "zoom": 0.2, "shear": 11.31}),
    Step(name="brightness", args={"by": 0.2}),
    Step(name="flip", args={"probability": 0.5}),
)


def _slice(name: str, *, role: str, init: str, trainable: str, lr: float, epochs: int) -> Stage:
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
    )


def _patient(
    name: str, *, net: str, hidden: int, features: Literal["plain", "weighted"] = "plain", epochs: int = 25
) -> Stage:
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
        features=features,
        l1=1e-5,
        l2=1e-4,
    )


_SLICES = (
    _slice("pretrain", role="pretrain", init="imagenet", trainable="all", lr=1e-3, epochs=10),
    _slice("last-layers", role="main", init="stage:pretrain", trainable="head", lr=1e-4, epochs=10),
    _slice("unfreeze", role="main", init="stage:last-layers", trainable="all_but_norm", lr=1e-5, epochs=10),
    dataclasses.replace(
        _slice("unlabelled", role="main", init="stage:unfreeze", trainable="all_but_norm", lr=1e-5, epochs=25),
        learns="called_infected",
    ),
)
_PATIENTS = (
    _patient("maxpool", net="maxpool", hidden=512),
    _patient("maxpool-weighted", net="maxpool", features="weighted", hidden=512),
    _patient("bilstm", net="bilstm", hidden=1024),
    _patient("bilstm-weighted", net="bilstm", features="weighted", hidden=1024),
)
_SLICE_STAGES = tuple(stage.name for stage in _SLICES)
_ENSEMBLE = _patient("ensemble", net="ensemble", hidden=10, epochs=200)

_OF_SLICES = {
    "level": "section III-C1: 'Slice-Level Classifier'",
    "net": "section III-C1: 'ResNet50 model pre-trained on ImageNet database'",
    "head.scales": "section III-C1: 'features from the Stage3 and Stage4', with Stage5, 'concatenate'; pooled "
    "on average, assumed",
    "head.hidden": "section III-C1: 'two fully connected layers of 1024 and 3 neurons'",
    "head.dropout": "section III-C1: 'a dropout layer'; its rate is unstated, 0.5 assumed",
    "head.dropout_first": "section III-C1: 'replace it with a dropout layer and two fully connected layers'",
    "head": "section III-C1: 'ReLU activation is used in all the layers except for the last'; nothing more is named",
    "loss": "section III-C1: 'categorical cross-entropy'",
    "class_weights": "section III-C1: 'with class weights to handle the class imbalance'; N / (K n), assumed",
    "optim.name": "section III-C1: 'Adam optimizer'",
    "optim": "assumed: Keras's Adam without more",
    "batch": "section III-C1: 'a batch size of 64'",
    "augment": "section III-B: rotation 25 degrees, translation 20 pixels, zoom 0.8 to 1.2, shear 0.2, "
    "brightness 0.8 to 1.2, flips; shear read as a tangent",
    "monitor": "section III-C1: 'maximum accuracy on validation set'",
    "l1": "none named for slices",
    "l2": "none named for slices",
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
        Step(name="brightness", args={"factor": 2.0}),
        Step(name="resize", args={"size": 224}),
    ),
    roles=(Role(name="main"), Role(name="pretrain")),
    stages=(*_SLICES, *_PATIENTS, _ENSEMBLE),
    protocols=(
        Protocol(name="honest", unit="group", folds=5, test_share=0.2, val_share=0.15, seed=0),
        Protocol(name="paper", unit="group", folds=1, test_share=0.3, val_share=0.0, seed=0),
    ),
    slices_between=1,
    decision=Decision(rule="argmax"),
    sources={
        "modalities": "title: 'Using CT-Scans'",
        "classes": "section II: 'COVID-19, Community Acquired Pneumonia (CAP) and Normal'",
        "prep.range": "section III-A2: 'an intensity range of 0-255', then 'unsigned integer values'",
        "prep.body": "section III-A1: Gaussian smoothing, threshold, 'the contour with the maximum area'; "
        "its kernel is assumed",
        "prep.brightness": "section III-A2: 'we increase the brightness ... by a factor of 2', of COVID-CT-MD",
        "prep.resize.size": "section III-A1: 'resized to 224x224'",
        "slices_between": "section III-A2: 'spline interpolation to increase the number of slices'; how many is "
        "unstated, 1 assumed",
        "roles.main": "section II-B: COVID-CT-MD",
        "roles.pretrain": "section II-A: COVIDx-CT",
        "stages.pretrain.role": "section III-C1: 'The model is first trained on COVIDx-CT'",
        "stages.pretrain.init": "section III-C1: 'pre-trained on ImageNet'",
        "stages.pretrain.trainable": "section III-C1: 'We train the complete model'",
        "stages.pretrain.optim.lr": "section III-C1: 'a learning rate of 10^-3'",
        "stages.pretrain.epochs": "section III-C1: 'for 10 epochs'",
        "stages.pretrain.learns": "section II-A: slice level labels",
        "stages.last-layers.init": "section III-C1: 'Next we train the model on COVID-CT-MD'",
        "stages.last-layers.trainable": "section III-C1: 'we train only the last two layers'",
        "stages.last-layers.optim.lr": "section III-C1: 'a learning rate of 10^-4'",
        "stages.last-layers.epochs": "section III-C1: 'for 10 epochs'",
        "stages.last-layers.learns": "section III-C1: not 'the normal slices of infected patients'",
        "stages.unfreeze.init": "section III-C1: 'Once the last layers of the model are trained'",
        "stages.unfreeze.trainable": "section III-C1: 'all the layers except for the Batch normalization layers'",
        "stages.unfreeze.optim.lr": "section III-C1: 'a lower learning rate of 10^-5'",
        "stages.unfreeze.epochs": "section III-C1: 'for 10 epochs'",
        "stages.unfreeze.learns": "section III-C1: not 'the normal slices of infected patients'",
        "stages.unlabelled.init": "section III-C1: 'Finally we use the data which has only the patient level labels'",
        "stages.unlabelled.trainable": "section III-C1: BatchNorm 'is kept frozen throughout'",
        "stages.unlabelled.optim.lr": "assumed: unstated; that of the step before",
        "stages.unlabelled.epochs": "section III-C1: 'retrain the model for 25 epochs'",
        "stages.unlabelled.learns": "section III-C1: 'we use the model to get infected slices from the unlabeled "
        "dataset'; they are taught the patient's label; "
        "labelled slices are not taught again, assumed",
        **{f"stages.{stage}.{field}": text for stage in _SLICE_STAGES for field, text in _OF_SLICES.items()},
        **{f"stages.{s}.role": "section III-C1: COVID-CT-MD" for s in ("last-layers", "unfreeze", "unlabelled")},
        **{f"stages.{stage.name}.{field}": text for stage in _PATIENTS for field, text in _OF_PATIENTS.items()},
        "stages.maxpool.net": "section III-C2: 'the dimension-wise maximum of each slice features'",
        "stages.maxpool.head.hidden": "section III-C2: '512 and 3 neurons'",
        "stages.maxpool.features": "section III-C2: 'from the penultimate layer'",
        "stages.maxpool-weighted.net": "section III-C2: 'same as Maxpool'",
        "stages.maxpool-weighted.head.hidden": "section III-C2: 'same as Maxpool'",
        "stages.maxpool-weighted.features": "section III-C2: 'multiplying the probabilities of the three classes'",
        "stages.bilstm.net": "section III-C2: '512 hidden units', 'the dimension-wise average of the output'",
        "stages.bilstm.head.hidden": "section III-C2: '1024 and 3 neurons'",
        "stages.bilstm.features": "section III-C2: 'from the penultimate layer'",
        "stages.bilstm-weighted.net": "section III-C2: 'same as BiLSTM'",
        "stages.bilstm-weighted.head.hidden": "section III-C2: 'same as BiLSTM'",
        "stages.bilstm-weighted.features": "section III-C2: 'the weighted features of dimension 3072'",
        **{f"stages.ensemble.{field}": text for field, text in _OF_PATIENTS.items()},
        "stages.ensemble.level": "section III-C3: 'Predictions of four patient-level classifier need to be combined'",
        "stages.ensemble.net": "section III-C3: 'concatenate the scores ... a 12 dimensional vector'",
        "stages.ensemble.head.hidden": "section III-C3: '10 and 3 neurons'",
        "stages.ensemble.epochs": "section III-C3: 'for 200 epochs'",
        "protocols.honest": "ours: patients kept together, weights chosen on a part that is not reported",
        "protocols.paper": "section II-B: 'a 70%-30% split', and weights chosen on the validation set that is reported",
        "decision": "assumed: the most probable class",
    },
    reported=(
        Reported(
            data="COVIDx-CT, 25,658 slices",
            where="Table I, pretrained",
            metrics={
                "pretrain.accuracy": 0.9306,
                "pretrain.sensitivity.normal": 0.9558,
                "pretrain.sensitivity.pneumonia": 0.9844,
                "pretrain.sensitivity.covid": 0.8132,
            },
        ),
        Reported(
            data="COVID-CT-MD, 5,428 slices",
            where="Table I, slice level",
            metrics={
                "slices.accuracy": 0.9576,
                "slices.sensitivity.normal": 0.9817,
                "slices.sensitivity.pneumonia": 0.8165,
                "slices.sensitivity.covid": 0.9377,
            },
        ),
        Reported(
            data="COVID-CT-MD, 98 patients",
            where="Table I, patient level",
            metrics={
                "accuracy": 0.949,
                "sensitivity.normal": 1.0,
                "sensitivity.pneumonia": 0.8947,
                "sensitivity.covid": 0.9455,
            },
        ),
        Reported(
            data="SPGC test sets, 90 patients",
            where="Table II",
            metrics={
                "accuracy": 0.8889,
                "sensitivity.normal": 0.8857,
                "sensitivity.pneumonia": 0.9,
                "sensitivity.covid": 0.8857,
            },
        ),
    ),
    deviations=(
        (
            "The weights that timm or the user brings are normalised as they were trained, not as Keras's ResNet50 "
            "(BGR, means subtracted)."
        ),
        "Adam's epsilon is torch's 1e-8; Keras's is 1e-7.",
        (
            "The ensemble of the honest protocol learns from scores of classifiers of patients that did not learn from "
            "the patient, by inner folds; the slice network below them did. That of the paper's protocol learns from "
            "the classifiers' own scores, as nothing else is said."
        ),
        (
            "Where half or more of a picture's edge is lit (a crop within the body, as in SARS-CoV-2-CT), dark regions "
            "that the edge cuts open count as body: the largest contour alone would lose those lungs. Whole slices are "
            "masked as in the paper."
        ),
        (
            "In the honest protocol step 1 chooses its weights on a part of the role pretrain, not on COVIDx-CT's "
            "official test part."
        ),
    ),
)
