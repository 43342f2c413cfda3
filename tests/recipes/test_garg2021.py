"""Garg 2021, held to the paper: shapes, counts, what learns when and from which slices, and whose scores are joined.

Numbers are the paper's, or worked out from them by hand beside them. Studies are a mock table.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch
from mock_studies import Row, prepared
from torch import nn

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.resolve import resolve
from pneumoscope.core.stage import Stage
from pneumoscope.errors import DataError
from pneumoscope.evaluate.split import make_split
from pneumoscope.nets.build import Net, build, choose_trainable
from pneumoscope.nets.patient import build_patient, weighted
from pneumoscope.recipes import find
from pneumoscope.train import loop
from pneumoscope.train.augment import AUGMENT
from pneumoscope.train.data import Prepared
from pneumoscope.train.lessons import Lesson, lesson
from pneumoscope.train.units import units_of

WRITTEN = resolve(find("garg2021")[0])
PAPER = resolve(find("garg2021")[0], protocol="paper")
STEPS = ("pretrain", "last-layers", "unfreeze", "unlabelled")
MEMBERS = ("maxpool", "maxpool-weighted", "bilstm", "bilstm-weighted")
TWO = ClassSet(names=("normal", "covid"), positive="covid", normal="normal")


def stage(name: str) -> Stage:
    return next(s for s in WRITTEN.stages if s.name == name)


def size_of(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


# --- the numbers (sections II, III-B and III-C) ------------------------------------------------------------------


def test_nine_networks_in_the_papers_order() -> None:
    assert [s.name for s in WRITTEN.stages] == [*STEPS, *MEMBERS, "ensemble"]
    assert [s.level for s in WRITTEN.stages] == ["slice"] * 4 + ["patient"] * 4 + ["ensemble"]
    assert [s.role for s in WRITTEN.stages] == ["pretrain"] + ["main"] * 8
    assert (WRITTEN.classes.names, WRITTEN.classes.normal) == (("normal", "pneumonia", "covid"), "normal")


@pytest.mark.parametrize(
    ("name", "init", "trainable", "rate", "epochs", "learns"),
    [
        ("pretrain", "imagenet", "all", 1e-3, 10, "labelled"),
        ("last-layers", "stage:pretrain", "head", 1e-4, 10, "labelled"),
        ("unfreeze", "stage:last-layers", "all_but_norm", 1e-5, 10, "labelled"),
        ("unlabelled", "stage:unfreeze", "all_but_norm", 1e-5, 25, "called_infected"),
    ],
)
def test_the_four_steps_of_the_slice_classifier(
    name: str, init: str, trainable: str, rate: float, epochs: int, learns: str
) -> None:
    step = stage(name)
    assert (step.init, step.trainable, step.epochs, step.learns) == (init, trainable, epochs, learns)
    assert (step.net, step.batch, step.monitor, step.l1, step.l2) == ("resnet50", 64, "val_accuracy", 0, 0)
    assert {loop.learning_rate(step.optim, epoch, epochs) for epoch in range(epochs)} == {rate}


@pytest.mark.parametrize(("name", "epochs"), [*((member, 25) for member in MEMBERS), ("ensemble", 200)])
def test_what_judges_patients_is_regularised_and_trained_as_the_paper_says(name: str, epochs: int) -> None:
    judge = stage(name)
    assert (judge.optim.lr, judge.epochs, judge.batch, judge.monitor) == (1e-3, epochs, 64, "val_accuracy")
    assert (judge.l1, judge.l2, judge.head.dropout, judge.trainable) == (1e-5, 1e-4, 0, "all")
    assert judge.features == ("weighted" if name.endswith("-weighted") else "plain")


def test_every_network_is_adam_on_cross_entropy_with_weights_of_classes() -> None:
    for one in WRITTEN.stages:
        assert isinstance(loop._optimizer(one.optim, [nn.Parameter(torch.zeros(1))]), torch.optim.Adam)
        assert (one.loss, one.class_weights, one.head.activation) == ("cross_entropy", "balanced", "relu")
    # N / (K n): of 6 slices 3, 2 and 1
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    assert loop.class_weights(stage("unfreeze"), labels, 3).tolist() == pytest.approx([2 / 3, 1, 2])


def test_slices_are_changed_within_the_papers_ranges_and_nothing_else_is() -> None:
    for name in STEPS:
        affine, brightness, flip = (AUGMENT.resolve(step.name)(**step.args) for step in stage(name).augment)
        assert (affine.degrees, tuple(affine.scale)) == ([-25, 25], (0.8, 1.2))
        assert [round(share * 224) for share in affine.translate] == [20, 20]
        assert np.tan(np.deg2rad(affine.shear[:2])).tolist() == pytest.approx([-0.2, 0.2], abs=1e-4)
        assert (tuple(brightness.brightness), flip.p) == ((0.8, 1.2), 0.5)
    assert all(stage(name).augment == () for name in (*MEMBERS, "ensemble"))


def test_a_slice_is_scaled_cut_out_doubled_in_brightness_and_made_224_wide() -> None:
    assert [step.name for step in WRITTEN.prep] == ["range", "body", "brightness", "resize"]
    assert (WRITTEN.prep[2].args["factor"], WRITTEN.prep[3].args["size"]) == (2.0, 224)


def test_the_papers_patients_are_parted_70_to_30_and_chosen_on_what_is_reported() -> None:
    # section II-B: 169 COVID-19, 60 CAP and 76 normal patients
    counts = {"covid": 169, "pneumonia": 60, "normal": 76}
    table = [Row(name=f"{c}-{i:03d}", label=c, seen="?") for c, n in counts.items() for i in range(n)]
    (fold,) = make_split(prepared(table, WRITTEN.classes, (1, 1)).given, PAPER.protocol).folds
    assert (len(fold.train), len(fold.val), len(fold.test)) == (305 - 92, 0, 92)
    assert WRITTEN.protocol.unit == PAPER.protocol.unit == "group"
    assert WRITTEN.protocol.val_share > 0


def test_tables_one_and_two_are_what_stands_beside_a_run() -> None:
    names = ("accuracy", "sensitivity.normal", "sensitivity.pneumonia", "sensitivity.covid")
    assert [(one.where.partition(",")[0], dict(one.metrics)) for one in WRITTEN.reported] == [
        (table, {f"{level}{name}": value for name, value in zip(names, figures, strict=True)})
        for table, level, figures in (
            ("Table I", "pretrain.", (0.9306, 0.9558, 0.9844, 0.8132)),
            ("Table I", "slices.", (0.9576, 0.9817, 0.8165, 0.9377)),
            ("Table I", "", (0.9490, 1.0, 0.8947, 0.9455)),
            ("Table II", "", (0.8889, 0.8857, 0.90, 0.8857)),
        )
    ]


# --- the networks (sections III-C1 to III-C3, Figs. 3 and 4) ------------------------------------------------------


@functools.cache
def resnet(classes: ClassSet) -> Net:
    start = dataclasses.replace(stage("pretrain"), init="random")
    return build(start, classes, input_size=(64, 64), weights_dir=None, seed=0)[0].eval()


@pytest.mark.parametrize("classes", [WRITTEN.classes, TWO])
def test_stages_3_4_and_5_are_joined_and_the_head_has_1024_units(classes: ClassSet) -> None:
    net, k = resnet(classes), len(classes.names)
    with torch.inference_mode():
        last, earlier = net.maps(torch.zeros(1, 1, 64, 64))
        features = net.features(torch.zeros(1, 1, 64, 64))
        described = net.penultimate(features)
    assert [m.shape[1] for m in (*earlier, last)] == [512, 1024, 2048]
    assert (features.shape, described.shape) == ((1, 3584), (1, 1024))
    assert [size_of(linear) for linear in net.head.linears] == [3_671_040, 1024 * k + k]
    assert k != 3 or size_of(net.head.linears[-1]) == 3_075


def test_dropout_stands_before_the_head_and_nowhere_else() -> None:
    head = resnet(WRITTEN.classes).head
    dropped: list[int] = []
    hook = head.dropout.register_forward_hook(lambda module, args, out: dropped.append(args[0].shape[1]))
    head.train()(torch.rand(2, 3584))
    hook.remove()
    head.eval()
    assert (dropped, head.dropout.p) == ([3584], 0.5)


@pytest.mark.parametrize("k", [3, 2])
def test_the_classifiers_of_patients_and_the_ensemble_have_the_papers_sizes(k: int) -> None:
    assert weighted(torch.rand(5, 1024), torch.rand(5, k)).shape == (5, k * 1024)  # 3072 for three classes
    sizes = {}
    for name in MEMBERS:
        inputs = 1024 * (k if stage(name).features == "weighted" else 1)
        net = build_patient(stage(name), inputs=inputs, outputs=k, seed=0)
        assert [net(torch.rand(2, slices, inputs)).shape for slices in (1, 9)] == [(2, k)] * 2
        sizes[name] = size_of(net)
    lstm = [2 * 4 * 512 * (inputs + 512 + 1) for inputs in (1024, 1024 * k)]  # both ways, four gates, one bias
    assert sizes == {
        "maxpool": 1024 * 512 + 512 + 512 * k + k,
        "maxpool-weighted": 1024 * k * 512 + 512 + 512 * k + k,
        "bilstm": lstm[0] + 1024 * 1024 + 1024 + 1024 * k + k,
        "bilstm-weighted": lstm[1] + 1024 * 1024 + 1024 + 1024 * k + k,
    }
    ensemble = build_patient(stage("ensemble"), inputs=4 * k, outputs=k, seed=0)
    assert size_of(ensemble) == {3: 163, 2: 112}[k]  # 12 x 10 + 10 + 10 x 3 + 3; 8 x 10 + 10 + 10 x 2 + 2


@pytest.mark.parametrize(
    ("name", "learned", "norms"),
    # of ResNet50's 23,508,032, BatchNorm has 53,120; the head 3,671,040 + 3,075
    [
        ("pretrain", 23_508_032 + 3_674_115, True),
        ("last-layers", 3_674_115, False),
        ("unfreeze", 23_508_032 - 53_120 + 3_674_115, False),
        ("unlabelled", 23_508_032 - 53_120 + 3_674_115, False),
    ],
)
def test_what_each_step_learns_of_resnet50(name: str, learned: int, norms: bool) -> None:
    net = resnet(WRITTEN.classes)
    frozen = choose_trainable(net, stage(name))
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == learned
    net.train()
    for module in frozen:
        module.eval()
    modes = {m.training for m in net.modules() if isinstance(m, nn.BatchNorm2d)}
    net.eval()
    assert modes == {norms}


# --- which slices each step sees (section III-C1) -----------------------------------------------------------------

TABLE = [
    Row(name="n0", label="normal", seen="???"),
    Row(name="n1", label="normal", seen="???"),
    Row(name="n2", label="normal", seen="??"),
    Row(name="c0", label="covid", seen="00110"),
    Row(name="c1", label="covid", seen="?????"),
    Row(name="c2", label="covid", seen="011"),
    Row(name="c3", label="covid", seen="?1"),
    Row(name="p0", label="pneumonia", seen="110"),
    Row(name="p1", label="pneumonia", seen="???"),
    Row(name="p2", label="pneumonia", seen="11"),
]
TRAIN, VAL = ("n0", "c0", "c1", "p0", "p1"), ("n1", "c2", "p2")
LABELLED = {
    **{f"n0#{z}": "normal" for z in (0, 0.5, 1, 1.5, 2)},
    **{f"c0#{z}": "covid" for z in (2, 2.5, 3)},
    **{f"p0#{z}": "pneumonia" for z in (0, 0.5, 1)},
}
CHOSEN_ON = {
    **{f"n1#{z}": "normal" for z in (0, 1, 2)},
    **{f"c2#{z}": "covid" for z in (1, 2)},
    **{f"p2#{z}": "pneumonia" for z in (0, 1)},
}


class Bright(nn.Module):
    """Calls a bright slice pneumonia, and a dark one normal."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = x.mean(dim=(1, 2, 3)) - 0.5
        return torch.stack([-bright, bright, torch.full_like(bright, -9.0)], dim=1)


def named(positions: np.ndarray, labels: torch.Tensor, data: Prepared) -> dict[str, str]:
    """Slice -> what it is taught as: `{"n0#0.5": "normal"}`."""
    found = {}
    for at in positions.tolist():
        name, _, number = data.dataset.samples[at].file.partition("#")
        found[f"{name}#{float(number):g}"] = data.dataset.classes.names[int(labels[at])]
    assert len(found) == len(positions)
    return found


def taught(name: str, data: Prepared) -> Lesson:
    """What a step is taught of the table's parts."""
    units = units_of(data, WRITTEN)
    train, val = ([i for i, s in enumerate(units.dataset.samples) if s.file in part] for part in (TRAIN, VAL))
    return lesson(Bright(), stage(name), data, units.taught(train), units.rows(val))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["last-layers", "unfreeze"])
def test_labelled_slices_teach_with_those_between_but_no_normal_one_of_an_infected_patient(name: str) -> None:
    data = prepared(TABLE, WRITTEN.classes, (4, 4))
    found = taught(name, data)
    assert named(found.train, found.labels, data) == LABELLED
    assert named(found.val, found.labels, data) == CHOSEN_ON


def test_infected_studies_without_labelled_slices_do_not_make_a_network_that_knows_normal_alone() -> None:
    blank = [dataclasses.replace(row, seen="?" * len(row.seen)) for row in TABLE]
    with pytest.raises(DataError, match=r"expected slices of .* two classes or more, found those of 'normal' alone"):
        taught("last-layers", prepared(blank, WRITTEN.classes, (4, 4)))


def test_unlabelled_slices_that_the_network_calls_infected_are_taught_the_patients_class_and_no_others() -> None:
    data = prepared(TABLE, WRITTEN.classes, (4, 4))
    dark = {"c1#0", "c1#4", "p1#1"}
    for i, sample in enumerate(data.dataset.samples):
        name, _, number = sample.file.partition("#")
        data.images[i] = 0.2 if f"{name}#{float(number):g}" in dark else 0.8
    found = taught("unlabelled", data)
    # c1's are called pneumonia, and taught as covid
    expected = {f"c1#{z}": "covid" for z in (1, 2, 3)} | {f"p1#{z}": "pneumonia" for z in (0, 2)}
    assert named(found.train, found.labels, data) == expected
    assert named(found.val, found.labels, data) == CHOSEN_ON
