"""Szalay, Jakab, Szegedi 2021: COVID-19 detection on lung X-ray and CT images using deep convolutional networks.

One network takes an X-ray or a CT image and says COVID or not. Nine frozen ImageNet backbones are compared under
the same MLP head; VGG16 is chosen, its head tuned, its threshold moved. A CNN of the authors' own comes first.

The recipe as written is the paper's chosen network (VGG16, average pooling, the tuned head); the variants are the
networks of its comparison, with the head of the comparison (flatten-256-512-1).

What cannot be reproduced: the paper prints its results as pictures of confusion matrices only, which its text does
not carry, so no figure of it stands beside ours; "upper 2D convolutional layers trainable" does not say how many
(`--set stages.head.trainable=upper:3` is VGG16's last block).
"""

from __future__ import annotations

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.recipe import Decision, Head, Optim, Paper, Protocol, Recipe, Scalar, Stage, Step


def _backbone(net: str, size: int = 224) -> dict[str, Scalar]:
    return {"stages.head.net": net, "stages.head.head.pooling": "flatten", "prep.resize.size": size}


_BATCH = "section 4: 'The best batch size was 32, we stick with that afterward in all learning processes'"

RECIPE = Recipe(
    name="szalay2021",
    paper=Paper(
        authors="Zs. Szalay, F. Jakab, B. Szegedi",
        title="COVID-19 detection on lung X-ray and CT images using Deep Convolutional Networks",
        year=2021,
        where="Budapest University of Technology and Economics, university project",
    ),
    modalities=("xray", "ct"),
    classes=ClassSet(names=("non-covid", "covid"), positive="covid"),
    prep=(
        Step(name="window", args={"center_hu": -600.0, "width_hu": 1500.0}),
        Step(name="resize", args={"size": 224}),
    ),
    stages=(
        Stage(
            name="head",
            level="image",
            net="vgg16",
            head=Head(pooling="average", hidden=(256, 512), activation="relu", dropout=0.0),
            init="imagenet",
            trainable="head",
            loss="binary_cross_entropy",
            class_weights="none",
            optim=Optim(name="adam", lr=1e-3),
            epochs=50,
            batch=32,
            monitor="val_loss",
            seed=0,
        ),
    ),
    protocols=(
        Protocol(name="honest", unit="group", folds=5, test_share=0.2, val_share=0.15, seed=0),
        Protocol(name="paper", unit="image", folds=1, test_share=0.2, val_share=0.15, seed=0),
    ),
    decision=Decision(rule="fixed", value=0.5),
    variants={
        "densenet121": _backbone("densenet121"),
        "resnet152v2": _backbone("resnet152v2"),
        "vgg19": _backbone("vgg19"),
        "vgg16": _backbone("vgg16"),
        "resnet50v2": _backbone("resnet50v2"),
        "mobilenetv2": _backbone("mobilenetv2"),
        "inceptionv3": _backbone("inceptionv3", 299),
        "inceptionresnetv2": _backbone("inceptionresnetv2", 299),
        "xception": _backbone("xception", 299),
        "cnn": {
            "stages.head.net": "cnn",
            "stages.head.init": "random",
            "stages.head.trainable": "all",
            "stages.head.epochs": 30,
        },
    },
    sources={
        "modalities": "section 1: 'The input is the X-ray or CT captures'",
        "classes": "section 1: 'pneumonia caused by COVID-19 the output is 1, otherwise 0 "
        "(other diseases and healthy lungs)'",
        "prep.window": "assumed: the paper's CT images are pictures, windowed already; CT in HU gets a lung window",
        "prep.resize.size": "assumed: unstated; 224, and 299 where the ImageNet weights are of 299",
        "stages.head.level": "section 4: images are classified one by one",
        "stages.head.net": "section 4: 'From here, we only dealt with the VGG16'; nine networks and "
        "'our self-designed simple and basic CNN' (its layers unstated: assumed) as variants",
        "stages.head.head.pooling": "section 4: 'The average pooling ... caused no difference, so we used it'; "
        "the comparison (the variants) flattens",
        "stages.head.head.hidden": "section 4: 'flatten-256-512-1'; the search gave 256 or 1024, then 512 or 256",
        "stages.head.head.activation": "section 4: 'the ReLU is simpler, so we used that afterward'",
        "stages.head.head.dropout": "assumed: the paper names none",
        "stages.head.init": "section 4: 'pre-trained network from Keras Applications' (ImageNet)",
        "stages.head.trainable": "section 4: 'All the CNN weights were frozen'",
        "stages.head.loss": "section 4: 'The error was determined according to binary cross entropy', sigmoid output",
        "stages.head.class_weights": "assumed: none named; section 4 blames false negatives on the imbalance",
        "stages.head.optim.name": "section 4: 'The greatest optimizer was Adam by a lot'",
        "stages.head.optim": "assumed: learning rate unstated, Keras's default of 1e-3, constant",
        "stages.head.epochs": "assumed: unstated",
        "stages.head.batch": _BATCH,
        "stages.head.augment": "assumed: the paper names none",
        "stages.head.monitor": "assumed: unstated",
        "stages.head.seed": "assumed",
        "protocols.honest": "ours: patients kept together, weights chosen on a part that is not reported",
        "protocols.paper": "assumed: 'the test images' are not said to be apart by patient; shares unstated",
        "decision": "section 4: 'the original 0.5'; 0.3 'the results are better' (--set decision.value=0.3)",
        "roles": "section 3: one set of images",
    },
    deviations=(
        (
            "ResNet152V2 and ResNet50V2: timm's resnetv2_101 and resnetv2_50 (a1h_in1k) stand in, since timm has no "
            "weights of Keras's; 'ResNet15V2' in the paper is read as ResNet152V2, and the 101-layer network is the "
            "nearest pre-activation BatchNorm network with weights."
        ),
        (
            "The layers of the authors' own CNN are unstated: four blocks of convolution, BatchNorm, ReLU and pooling, "
            "under the average-pooled head."
        ),
        "Weights are converted from Keras or come from torchvision or timm, as the weights record says.",
    ),
)
