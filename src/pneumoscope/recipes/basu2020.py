"""Basu, Mitra 2020: Deep Learning for Screening COVID-19 using Chest X-Ray Images.

Domain extension transfer learning: a 12-layer CNN learns from scratch to tell normal X-rays from diseased ones
(Data-A, role `source`), gets a new output layer, and its last convolutional block and dense layers learn four classes
(Data-B, role `main`): normal, other disease, pneumonia, COVID-19. Five-fold cross-validation, Grad-CAM.

What cannot be reproduced: the input size, the batch, the epochs of the transfer and how far images are rotated and
scaled are unstated; "50 images from the six pathology classes" may be 50 or 300. "All the 322 images of the pneumonia
class" are those labelled pneumonia and nothing else (with other labels there are 1,431). "12 layers" are six
convolutions, three poolings and three dense layers, though the text says "two fully connected". In the paper the
validation images may be of patients in the training part; here, as everywhere, no patient stands in both roles.
"""

from __future__ import annotations

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.paper import Paper, Reported
from pneumoscope.core.recipe import Decision, Protocol, Recipe
from pneumoscope.core.role import Draw, Role
from pneumoscope.core.stage import Head, Optim, Stage, Step

_DISEASES = (
    "Atelectasis",
    "Consolidation",
    "Infiltration",
    "Pneumothorax",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Effusion",
    "Pleural_Thickening",
    "Cardiomegaly",
    "Nodule",
    "Mass",
    "Hernia",
)
_OTHER = ("Atelectasis", "Cardiomegaly", "Infiltration", "Effusion", "Nodule", "Mass")
_NORMAL = ("No Finding", "normal")  # NIH's word, and that of folders without findings
_LATERAL = ("L", "LL", "RL", "lateral")
_NIH = ("nih",)  # what `data import nih-chestxray` calls it

_SOURCE = Role(
    name="source",
    classes=ClassSet(names=("normal", "disease"), positive="disease"),
    draws=(
        Draw(name="normal", label="normal", findings=_NORMAL, match="only", sources=_NIH),
        Draw(name="disease", label="disease", findings=_DISEASES, match="any", without=("Pneumonia",), sources=_NIH),
    ),
    validation=20000,
)
_MAIN = Role(
    name="main",
    draws=(
        Draw(name="normal", label="normal", findings=_NORMAL, match="only", sources=_NIH, count=350),
        Draw(name="pneumonia", label="pneumonia", findings=("Pneumonia",), match="only", sources=_NIH, count=322),
        *(
            Draw(
                name=f.lower(),
                label="other_disease",
                findings=(f,),
                match="any",
                without=("Pneumonia",),
                sources=_NIH,
                count=50,
            )
            for f in _OTHER
        ),
        Draw(
            name="covid", label="covid", findings=("covid", "COVID-19"), match="any", without_views=_LATERAL, count=225
        ),
    ),
)

_AUGMENT = (
    Step(name="affine", args={"degrees": 10.0, "zoom": 0.1}),
    Step(name="flip", args={"probability": 0.5}),
)
_HEAD = Head(pooling="max_flatten", hidden=(256, 128))
_TWICE = "the same real time augmentation, assumed"

RECIPE = Recipe(
    name="basu2020",
    paper=Paper(
        authors="S. Basu, S. Mitra",
        title="Deep Learning for Screening COVID-19 using Chest X-Ray Images",
        year=2020,
        where="arXiv:2004.10507v1",
    ),
    modalities=("xray",),
    classes=ClassSet(names=("normal", "other_disease", "pneumonia", "covid"), positive="covid"),
    prep=(Step(name="resize", args={"size": 224}),),
    roles=(_MAIN, _SOURCE),
    stages=(
        Stage(
            name="source",
            role="source",
            level="image",
            net="cnn12",
            head=_HEAD,
            init="random",
            trainable="all",
            loss="cross_entropy",
            class_weights="none",
            optim=Optim(name="adam", lr=1e-3, schedule="cosine"),
            epochs=100,
            batch=32,
            augment=_AUGMENT,
            monitor="val_accuracy",
            seed=0,
        ),
        Stage(
            name="transfer",
            level="image",
            net="cnn12",
            head=_HEAD,
            init="stage:source",
            trainable="upper:2",
            loss="cross_entropy",
            class_weights="none",
            optim=Optim(name="sgd", lr=1e-4, momentum=0.9),
            epochs=100,
            batch=32,
            augment=_AUGMENT,
            monitor="val_accuracy",
            seed=0,
        ),
    ),
    protocols=(
        Protocol(name="honest", unit="group", folds=5, test_share=0.2, val_share=0.15, seed=0),
        Protocol(name="paper", unit="image", folds=5, test_share=0.2, val_share=0.0, seed=0),
    ),
    decision=Decision(rule="argmax"),
    sources={
        "modalities": "title: 'Chest X-Ray Images'",
        "classes": "section III-A: 'Data-B has four classes, corresponding to normal, other_disease, pneumonia and "
        "Covid-19'",
        "prep.resize.size": "assumed: unstated; at 224 the flattened width is 24 x 24 x 128 = 73,728",
        "stages.source.role": "section III-B: 'training a CNN model from scratch on Data-A'",
        "stages.source.init": "section III-B: 'from scratch'",
        "stages.source.trainable": "section III-B: 'training a CNN model from scratch'",
        "stages.source.optim.name": "section IV: 'Adam optimization algorithm'",
        "stages.source.optim.lr": "section IV: 'initial learning rate 10^-3'",
        "stages.source.optim.schedule": "section IV: 'decayed according to cosine annealing'; to 0 over all epochs",
        "stages.source.optim": "assumed: Keras's Adam without more",
        "stages.source.epochs": "section IV: 'The model was trained for 100 epochs'",
        "stages.transfer.role": "section IV: 'TL of the pre-trained CNN on Data-B'",
        "stages.transfer.init": "section III-B: 'replace the last fully-connected layer ... The rest of the weights "
        "... are retained'",
        "stages.transfer.trainable": "section III-B: 'Freeze the layers ... up to the last convolutional block ... "
        "retrain the last convolution block and the fully-connected layers': its two convolutions",
        "stages.transfer.optim.name": "section III-B: 'Stochastic Gradient Descent (SGD)'",
        "stages.transfer.optim.lr": "section IV: 'a learning rate 10^-4'",
        "stages.transfer.optim.momentum": "section IV: 'momentum 0.9'",
        "stages.transfer.optim": "assumed: constant, since 'a very slow learning rate' is all that is said",
        "stages.transfer.epochs": "assumed: unstated; as many as on Data-A",
        **{
            f"stages.{stage}.{field}": text
            for stage in ("source", "transfer")
            for field, text in {
                "level": "section IV: images are classified one by one",
                "net": "section III-B: 'six convolution layers ... 3 x 3 ... (32, 64, 128)', 'three pooling layers "
                "with filter size 2 x 2', 'valid'; ReLU and 32-32-64-64-128-128 assumed",
                "head": "section III-B: 'a fully connected multilayer perceptron of connectivity 256 x 128 x 2'; the "
                "third pooling, then flattened; ReLU, no dropout, assumed",
                "loss": "section III-B: as many neurons as classes; softmax and cross-entropy assumed",
                "class_weights": "assumed: none named",
                "batch": "assumed: unstated",
                "augment": "section IV: 'random rotation, scaling, and mirroring'; how far is unstated, 10 degrees and "
                f"10 % assumed; in the transfer {_TWICE}",
                "monitor": "section IV: 'the weights which achieved the best validation accuracy were retained'",
                "l1": "none named",
                "l2": "none named",
                "seed": "assumed",
            }.items()
        },
        "protocols.honest": "ours: patients kept together, weights chosen on a part that is not reported",
        "protocols.paper": "section IV: 'A 5-fold cross validation'; by image, and weights chosen on 'each validation "
        "fold', which is what is reported, assumed: no other part and no patients are named",
        "decision": "assumed: the most probable class",
        "roles.main.classes": "section III-A: Data-B",
        "roles.main.seed": "assumed",
        "roles.source.seed": "assumed",
        "roles.main.validation": "the protocol's part of each fold",
        "roles.main.draws.normal": "section III-A: 'the 350 images from the normal class were randomly sampled'",
        "roles.main.draws.pneumonia": "section III-A: 'all the 322 images of the pneumonia class': labelled "
        "pneumonia only",
        "roles.main.draws.covid": "section III-A: '225 COVID-19 X-Ray images': 25 SIRM, 20 Radiopaedia, 180 "
        "Cohen; no lateral ones, assumed, since NIH's are 'frontal-view'",
        **{
            f"roles.main.draws.{f.lower()}": "section III-A: 'we randomly picked 50 images from the six pathology "
            "classes'; 50 of each assumed, those without pneumonia, so that the classes stay apart"
            for f in _OTHER
        },
        "roles.source.classes": "section III-A: 'two classes normal and disease'",
        "roles.source.draws.normal": "section III-A: 'images of normal samples ... from the NIH Chest X-ray Dataset'",
        "roles.source.draws.disease": "section III-A: 'all the 13 lung, heart and chest-related diseases ... "
        "excluding the pneumonia'",
        "roles.source.validation": "section IV: 'A balanced validation dataset of size 20,000' from 'the training set'",
    },
    reported=(
        Reported(
            data="Data-B, 5-fold",
            where="section IV: '95.3% +- 0.02'",
            metrics={"accuracy": 0.953, "sensitivity.covid": 1.0, "sensitivity.normal": 1.0},
        ),
    ),
    deviations=(
        "X-rays are one grey channel in 0..1; the paper does not say what its network takes.",
        (
            "No patient stands in both roles, in the paper's protocol too: Data-A leaves Data-B's patients out. The "
            "paper draws both from NIH and does not say so."
        ),
        (
            "New layers start as torch's do (weights and biases uniform, of bound 1/sqrt(inputs)), not as Keras's "
            "(Glorot's uniform weights, zero biases)."
        ),
        "Adam's epsilon is torch's 1e-8; Keras's is 1e-7.",
        "COVID images of SIRM and Radiopaedia come through the sets that hold them, or a folder with labels.csv.",
    ),
)
