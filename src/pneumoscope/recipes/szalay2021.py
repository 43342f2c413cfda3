"""Szalay, Jakab, Szegedi 2021: COVID-19 detection on lung X-ray and CT images using deep convolutional networks.

One network takes an X-ray or a CT image and says COVID or not. Nine frozen ImageNet backbones are compared under
the same MLP head; VGG16 is chosen, its head tuned, its threshold moved. A CNN of the authors' own comes first.

The recipe as written is the paper's chosen network (VGG16, average pooling, the tuned head); the variants are the
networks of its comparison, with the head of the comparison (flatten-256-512-1), the authors' own CNN, and the chosen
network with its upper convolutions unfrozen in a second stage, which the paper finds not worth its cost.

What cannot be reproduced: the paper prints its results as pictures of confusion matrices only, which its text does
not carry, so no figure of it stands beside ours; "upper 2D convolutional layers trainable" says neither how
many (the variant `unfrozen` trains the three of VGG16's last block), nor how long, nor at which rate.
"""

from __future__ import annotations

from itertools import product

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.paper import Paper
from pneumoscope.core.recipe import Decision, Protocol, Recipe
from pneumoscope.core.stage import Head, Optim, Scalar, Stage, Step

# the networks compared, and the side in pixels that their ImageNet weights are of
_COMPARED = {
    "densenet121": 224,
    "resnet152v2": 224,
    "vgg19": 224,
    "vgg16": 224,
    "resnet50v2": 224,
    "mobilenetv2": 224,
    "inceptionv3": 299,
    "inceptionresnetv2": 299,
    "xception": 299,
}

_SUBSTITUTES = {
    "resnet152v2": "assumed: 'ResNet15V2' of section 4 is read as ResNet152V2. timm's resnetv2_101 (a1h_in1k) stands "
    "in for ResNet152V2: timm has no ImageNet weights for it; ResNetV2-101 is its nearest pre-activation "
    "BatchNorm network that has them (the wider and deeper ones, BiT, use GroupNorm)",
    "resnet50v2": "assumed: section 4 names ResNet50V2. timm's resnetv2_50 (a1h_in1k) stands in, since timm has no "
    "weights of Keras's",
}


def _compared(net: str, size: int) -> dict[str, Scalar]:
    return {"stages.head.net": net, "stages.head.head.pooling": "flatten", "prep.resize.size": size}


def _sources(net: str) -> dict[str, str]:
    nine = "section 4: 'We used 9 different Keras CNN for transfer learning'"
    return {
        f"{net}:stages.head.net": _SUBSTITUTES.get(net, nine),
        f"{net}:stages.head.head.pooling": "section 4: 'always the same MLP layers (flatten-256-512-1)'",
        f"{net}:prep.resize.size": "assumed: unstated; the size that the network's ImageNet weights are of",
    }


_HEAD = Head(pooling="average", hidden=(256, 512), activation="relu", dropout=0.0)
_BEFORE = "; for the comparison before it, unstated"

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
            head=_HEAD,
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
        Stage(
            name="unfreeze",
            level="image",
            net="vgg16",
            head=_HEAD,
            init="stage:head",
            trainable="upper:3",
            loss="binary_cross_entropy",
            class_weights="none",
            optim=Optim(name="adam", lr=1e-5),
            epochs=10,
            batch=32,
            monitor="val_loss",
            seed=0,
            variants=("unfrozen",),
        ),
    ),
    protocols=(
        Protocol(name="honest", unit="group", folds=5, test_share=0.2, val_share=0.15, seed=0),
        Protocol(name="paper", unit="image", folds=1, test_share=0.2, val_share=0.15, seed=0),
    ),
    decision=Decision(rule="fixed", value=0.5),
    variants={
        **{net: _compared(net, size) for net, size in _COMPARED.items()},
        "cnn": {
            "stages.head.net": "cnn",
            "stages.head.init": "random",
            "stages.head.trainable": "all",
            "stages.head.epochs": 30,
        },
        "unfrozen": {},
    },
    search={
        "stages.head.head.activation": ("relu", "leaky_relu"),
        "stages.head.head.pooling": ("flatten", "average"),
        "stages.head.batch": (16, 32, 64),
        "stages.head.optim.name": ("adam", "sgd"),
        "stages.head.head.hidden": tuple(product((256, 512, 1024), repeat=2)),
    },
    sources={
        "modalities": "section 1: 'The input is the X-ray or CT captures'",
        "classes": "section 1: 'pneumonia caused by COVID-19 the output is 1, otherwise 0 "
        "(other diseases and healthy lungs)'",
        "prep.window": "assumed: the paper's CT images are pictures, windowed already; CT in HU gets a lung window",
        "prep.resize.size": "assumed: unstated; the size that VGG16's ImageNet weights are of",
        "stages.head.level": "section 4: images are classified one by one",
        "stages.head.net": "section 4: 'From here, we only dealt with the VGG16'",
        "stages.head.head.pooling": "section 4: 'The average pooling ... caused no difference, so we used it'",
        "stages.head.head.hidden": "section 4: 'flatten-256-512-1'; the search gave 256 or 1024, then 512 or 256",
        "stages.head.head.activation": f"section 4: 'the ReLU is simpler, so we used that afterward'{_BEFORE}",
        "stages.head.head.dropout": "assumed: the paper names none",
        "stages.head.head.scales": "assumed: the last feature map alone, as no other is named",
        "stages.head.head.dropout_first": "assumed: no dropout is named",
        "stages.head.head.convolution": "section 4: 'flatten-256-512-1', none before it",
        "stages.head.head.batch_norm": "assumed: the paper names none",
        "stages.head.role": "assumed: see roles",
        "stages.head.init": "section 4: 'pre-trained network from Keras Applications' (ImageNet)",
        "stages.head.trainable": "section 4: 'All the CNN weights were frozen'",
        "stages.head.loss": "section 4: 'The error was determined according to binary cross entropy', sigmoid output",
        "stages.head.class_weights": "assumed: none named; section 4 blames false negatives on the imbalance",
        "stages.head.optim.name": f"section 4: 'The greatest optimizer was Adam by a lot'{_BEFORE}",
        "stages.head.optim": "assumed: learning rate unstated, Keras's default of 1e-3, constant",
        "stages.head.epochs": "assumed: unstated",
        "stages.head.batch": "section 4: 'The best batch size was 32, we stick with that afterward in all learning "
        f"processes'{_BEFORE}",
        "stages.head.augment": "assumed: the paper names none",
        "stages.head.monitor": "assumed: unstated",
        "stages.head.l1": "none named",
        "stages.head.l2": "none named",
        "stages.head.seed": "assumed",
        "stages.unfreeze": "as in the stage before",
        "stages.unfreeze.init": "section 4: 'In the next learning', after the frozen one",
        "stages.unfreeze.trainable": "section 4: 'we made the upper 2D convolutional layers trainable'; how many is "
        "unstated, VGG16's last block assumed",
        "stages.unfreeze.optim": "assumed: unstated; Adam as before, at a hundredth of its rate",
        "stages.unfreeze.epochs": "assumed: unstated",
        "stages.unfreeze.augment": "assumed: the paper names none",
        "stages.unfreeze.monitor": "assumed: unstated",
        "stages.unfreeze.seed": "assumed",
        "protocols.honest": "ours: patients kept together, weights chosen on a part that is not reported",
        "protocols.paper": "assumed: 'the test images' are not said to be apart by patient; shares unstated",
        "decision": "section 4: 'the original 0.5'; 0.3 'the results are better' (--set decision.value=0.3)",
        "roles": "assumed: one set, whatever images it holds; the paper chooses its network on 'only one source' "
        "(section 4: 719 X-rays), then trains on all 'four different building sets' of COVIDx (section 3)",
        "cnn:prep.resize.size": "assumed: unstated",
        "cnn:stages.head.net": "section 4: 'our self-designed simple and basic CNN'; its layers unstated, so assumed",
        "cnn:stages.head.head.pooling": "assumed: its layers are unstated",
        "cnn:stages.head.head.convolution": "assumed: its layers are unstated",
        "cnn:stages.head.head.hidden": "assumed: its layers are unstated; those of the compared networks' head",
        "cnn:stages.head.init": "section 4: made before 'the next step', 'a pre-trained network'",
        "cnn:stages.head.trainable": "assumed: a network that starts from random weights learns all of them",
        "cnn:stages.head.epochs": "assumed: unstated; fewer, as every weight learns and the paper's 'over-learned'",
        **{key: text for net in _COMPARED for key, text in _sources(net).items()},
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
        (
            "New layers start as torch's do (weights and biases uniform, of bound 1/sqrt(inputs)), not as Keras's "
            "(Glorot's uniform weights, zero biases)."
        ),
        "Adam's epsilon is torch's 1e-8; Keras's is 1e-7.",
        "Leaky ReLU, where it is chosen, has torch's slope 0.01; Keras's layer has 0.3.",
    ),
)
