"""Xue & Abhayaratne 2021: Covid-19 diagnostic using 3D deep transfer learning for volumetric CT.

A CT series as one volume: resampled, the lungs cut out slice by slice, the slices in the middle of the lung taken,
resized to a cube, and judged by a 3D ResNet50 that starts from 2D weights or from those of other volumes.

What cannot be reproduced: the grey scale and the pretrained weights are not named; Table 1's counts of one class do
not add up; Table 4's accuracies fit a cross-validation over volumes and their changed copies together, so that copies
of one patient stood on both sides.
"""

from __future__ import annotations

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.paper import Paper, Reported
from pneumoscope.core.recipe import Decision, Protocol, Recipe
from pneumoscope.core.stage import Copies, Head, Optim, Stage, Step


def _prep(in_plane: float, slices: float, *between: Step) -> tuple[Step, ...]:
    return (
        Step(name="grey"),
        Step(name="resample", args={"in_plane": in_plane, "slices": slices}),
        Step(name="fit", args={"size": 224}),
        Step(name="lung", args={"method": "paper"}),
        Step(name="select", args={"share": 0.7}),
        *between,
        Step(name="cube", args={"size": 224}),
    )


RECIPE = Recipe(
    name="xue2021",
    paper=Paper(
        authors="S. Xue, C. Abhayaratne",
        title="Covid-19 Diagnostic Using 3D Deep Transfer Learning for Classification of Volumetric Computerised "
        "Tomography Chest Scans",
        year=2021,
        where="IEEE ICASSP 2021, pages 8573-8577",
    ),
    modalities=("ct",),
    classes=ClassSet(names=("normal", "pneumonia", "covid"), positive="covid", normal="normal"),
    prep=_prep(2.3, 0.5),
    copies=(
        Copies(
            name="changed",
            shares={"pneumonia": 41 / 60, "normal": 13 / 76},
            prep=_prep(1.75, 0.7, Step(name="crop", args={"least": 0.75, "most": 0.9})),
        ),
    ),
    stages=(
        Stage(
            name="volume",
            level="volume",
            net="resnet50_3d",
            head=Head(pooling="average", hidden=(512,), activation="clipped_relu", dropout=0.5),
            init="imagenet",
            trainable="all",
            loss="cross_entropy",
            class_weights="none",
            optim=Optim(name="adam", lr=2e-4, schedule="step", step_epochs=40, step_factor=0.5),
            epochs=120,
            batch=1,
            monitor="val_loss",
        ),
    ),
    protocols=(
        Protocol(name="honest", unit="group", folds=4, test_share=0.25, val_share=0.15, seed=0),
        Protocol(name="paper", unit="image", folds=4, test_share=0.25, val_share=0.0, seed=0),
    ),
    decision=Decision(rule="argmax"),
    sources={
        "modalities": "title: 'Computerised Tomography Chest Scans'",
        "classes": "section 2.1: 'COVID-19', 'Community Acquired Pneumonia (CAP)' and 'normal'",
        "prep.grey": "section 2.2.1: 'converted to 3D gray-scale (pixel in [0 1]) volumetric images'; from the "
        "volume's least HU to its greatest within -1024..3071, assumed",
        "prep.resample": "section 2.2.2: 'pixel spacing x 2.3 and slice thickness x 0.5', 'cubic'; MATLAB's, "
        "anchored at the first edge, assumed",
        "prep.fit.size": "section 2.2.2: '224 x 224 x 2N'; 512 / 2.3 is 222.6, so it is fitted, assumed",
        "prep.lung.method": "section 2.2.3: 1 % saturated at both ends, 'threshold (>= 0.502)', inverting, borders "
        "clearing, holes filling, 'multiply the lung region mask with the original image'; MATLAB's stretchlim on 256 "
        "levels, borders over 8 neighbours and holes over 4, assumed",
        "prep.select.share": "section 2.2.4: 'dividing the maximum value of the column', 'only the >= 0.7 slices'; "
        "from the first to the last of them, assumed",
        "prep.cube.size": "section 2.2.4: 'resized into [224 x 224 x 224] using 3D cubic interpolation'",
        "copies.changed.shares": "Table 1: 41 of the 60 CAP get a copy (82 + 19), 13 of the 76 Normal (65 + 24), none "
        "of COVID-19: 361 in all; its total of 99 for CAP does not add up",
        "copies.changed.prep": "section 2.2.5: 'pixel spacing is multiplied by 1.75 and the slice thickness ... by "
        "0.7', 'Random image centre crop', 'in a range of [0.75 0.9]'; both of every copy, assumed",
        "roles": "section 2.1: 'COVID-CT-MD'",
        "stages.volume": "section 2.3: one network",
        "stages.volume.net": "section 2.3: '3D ResNet50'; its first convolution with stride 2, assumed from 8 GB",
        "stages.volume.head.pooling": "Table 2: 'GlobalAverage Pooling'; of 2048 maps, where it prints 512",
        "stages.volume.head.hidden": "Table 2: 'FullyConnected-1', 512",
        "stages.volume.head.activation": "Table 2: 'ClippedRelu'; its ceiling is unstated, MATLAB's example of 10 "
        "assumed",
        "stages.volume.head.dropout": "Table 2: 'Dropout 0.5'",
        "stages.volume.head": "Table 2: nothing else is named",
        "stages.volume.init": "section 2.3: 'pre-trained 3D ResNet50'; its weights are not named, inflated 2D "
        "weights assumed",
        "stages.volume.trainable": "section 2.3: 'The original fully connected layers are trimmed off and replaced'; "
        "all layers are trained, assumed",
        "stages.volume.loss": "Table 3: 'CrossEntropy Loss'",
        "stages.volume.class_weights": "none named",
        "stages.volume.optim.name": "Table 3: 'Adam'",
        "stages.volume.optim.lr": "Table 3: '2e-4'",
        "stages.volume.optim.schedule": "Table 3: 'Lr descendant factor', 'rate'",
        "stages.volume.optim.step_epochs": "Table 3: 'per 40 epochs'",
        "stages.volume.optim.step_factor": "Table 3: '0.5'",
        "stages.volume.optim": "assumed: Adam without more",
        "stages.volume.epochs": "Table 3: '120'",
        "stages.volume.batch": "assumed: unstated; a volume of 224 x 224 x 224 is what 8 GB hold (6.7 GB measured)",
        "stages.volume.augment": "none while it trains; see copies",
        "stages.volume.monitor": "assumed: unstated",
        "stages.volume.l1": "none named",
        "stages.volume.l2": "none named",
        "stages.volume.seed": "assumed",
        "protocols.honest": "ours: patients kept together, copies of training patients alone",
        "protocols.paper": "section 2.4 and Table 4: 4-fold; every accuracy is of 90 = 361 / 4, and 361 are the "
        "volumes and their copies together, so copies were made first and parted as volumes of their own",
        "decision": "assumed: the most probable class",
    },
    reported=(
        Reported(
            data="COVID-CT-MD with copies, 4-fold",
            where="Table 4; what it prints as specificity is COVID-19's precision",
            metrics={"accuracy": 0.8694, "sensitivity.covid": 0.8779, "precision.covid": 0.8988},
        ),
        Reported(
            data="SPGC test sets, 90 patients",
            where="section 3",
            metrics={
                "accuracy": 0.8556,
                "sensitivity.covid": 0.8286,
                "sensitivity.pneumonia": 0.8,
                "sensitivity.normal": 0.9143,
            },
        ),
    ),
    deviations=(
        (
            "COVID-CT-MD's volumes are resampled with Keys's kernel, antialiased where it shrinks, as MATLAB does; "
            "SciPy's cubic spline differs."
        ),
        "Table 2 pools 512 maps; a ResNet50 has 2048, which are pooled here.",
    ),
)
