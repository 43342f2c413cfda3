"""Basu 2020, held to the paper: shapes, counts, what learns when, the learning rate, and how its data is drawn.

Numbers are the paper's, or worked out from it by hand beside them.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from noise_bench import noise_bench
from safetensors.torch import load_file
from torch import nn

from pneumoscope.core.dataset import ClassSet, Dataset, Sample
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.resolve import resolve
from pneumoscope.core.stage import Stage
from pneumoscope.evaluate.split import make_split, role_split
from pneumoscope.io.draw import draw
from pneumoscope.io.manifest import Candidate, candidates
from pneumoscope.nets.build import Net, build, choose_trainable
from pneumoscope.nets.cnn import Cnn12
from pneumoscope.recipes import find
from pneumoscope.train import loop, stages
from pneumoscope.train.augment import AUGMENT

RECIPE = resolve(find("basu2020")[0])
PAPER = resolve(find("basu2020")[0], protocol="paper")
SOURCE, TRANSFER = RECIPE.stages
SMALL = {"prep.resize.size": "48", "roles.source.validation": "4", "stages.source.epochs": "2"}


def built(stage: Stage, size: int) -> Net:
    classes = RECIPE.classes_of(stage.role)
    return build(stage, classes, input_size=(size, size), weights_dir=None, seed=0)[0]


# --- the network (section III-B) --------------------------------------------------------------------------------


def test_six_valid_convolutions_of_32_64_and_128_filters_and_three_poolings() -> None:
    net = built(SOURCE, 48)
    convolutions = [m for m in net.backbone.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.kernel_size, c.stride, c.padding) for c in convolutions] == [((3, 3), (1, 1), (0, 0))] * 6
    # (3 x 3 x inputs + 1) x filters: 10 x 32, 289 x 32, 289 x 64, 577 x 64, 577 x 128, 1153 x 128
    counts = [sum(p.numel() for p in c.parameters()) for c in convolutions]
    assert counts == [320, 9_248, 18_496, 36_928, 73_856, 147_584]
    assert sum(p.numel() for p in net.backbone.parameters()) == 286_432
    poolings = [m for m in net.backbone.modules() if isinstance(m, nn.MaxPool2d)]
    assert [(p.kernel_size, p.stride) for p in poolings] == [(2, 2)] * 2  # the third belongs to the head
    assert net.head.pooling == "max_flatten"
    # six convolutions, three poolings, three dense layers: "a 12 layer CNN"
    assert len(convolutions) + len(poolings) + 1 + len(net.head.linears) == 12


@pytest.mark.parametrize(
    ("size", "last", "flattened"),
    [
        # 224 - 4 = 220, 110; - 4 = 106, 53; - 4 = 49, 24
        (224, 49, 24 * 24 * 128),
        # 128 - 4 = 124, 62; - 4 = 58, 29; - 4 = 25, 12
        (128, 25, 12 * 12 * 128),
    ],
)
def test_the_flattened_width_is_worked_out(size: int, last: int, flattened: int) -> None:
    assert flattened in (73_728, 18_432)
    with torch.inference_mode():
        assert Cnn12()(torch.zeros(1, 1, size, size)).shape == (1, 128, last, last)
    for stage, outputs in ((SOURCE, 2), (TRANSFER, 4)):
        head = built(stage, size).head
        assert [(m.in_features, m.out_features) for m in head.linears] == [
            (flattened, 256),
            (256, 128),
            (128, outputs),
        ]
        counts = [sum(p.numel() for p in m.parameters()) for m in head.linears]
        assert counts == [flattened * 256 + 256, 256 * 128 + 128, 128 * outputs + outputs]


def test_the_network_is_written_out_in_torch() -> None:
    net = built(SOURCE, 48).eval()
    inner = [m for m in net.backbone.modules() if isinstance(m, nn.Conv2d)]
    x = torch.rand(2, 1, 48, 48)
    with torch.inference_mode():
        maps = x
        for i, convolution in enumerate(inner):
            maps = torch.relu(convolution(maps))
            maps = nn.functional.max_pool2d(maps, 2) if i % 2 else maps
        dense = maps.flatten(1)
        for i, linear in enumerate(net.head.linears):
            dense = linear(dense) if i == 2 else torch.relu(linear(dense))
        assert torch.allclose(net(x), dense, atol=1e-5)


# --- what learns when (sections III-B and IV) -------------------------------------------------------------------


def test_the_source_stage_learns_all_and_the_transfer_the_last_block_and_the_dense_layers() -> None:
    net = built(SOURCE, 48)
    assert choose_trainable(net, SOURCE) == []
    assert all(p.requires_grad for p in net.parameters())
    frozen = choose_trainable(net, TRANSFER)
    assert frozen == [net.backbone]
    convolutions = {n: m for n, m in net.named_modules() if isinstance(m, nn.Conv2d)}
    learns = {n for n, m in convolutions.items() if m.weight.requires_grad and m.bias.requires_grad}
    assert learns == set(list(convolutions)[-2:])
    assert {n for n, m in convolutions.items() if m.weight.requires_grad or m.bias.requires_grad} == learns
    assert all(p.requires_grad for p in net.head.parameters())


def test_a_new_output_layer_stands_on_what_the_source_stage_left_and_all_before_the_last_block_stays(
    tmp_path: Path,
) -> None:
    recipe = resolve(
        find("basu2020")[0], overrides=SMALL | {"stages.transfer.epochs": "2", "stages.transfer.optim.lr": "0.01"}
    )
    bench = noise_bench(recipe, tmp_path)
    positions = list(range(24))
    net, _ = stages.fit_stages(bench, positions[::2], positions[1::2], tmp_path / "fold_0", fold=0, what="fit")
    left = load_file(tmp_path / "role_source" / "source.safetensors")
    start, _ = stages._start(bench, recipe.stages[1], tmp_path / "fold_0")
    begins, ends = start.state_dict(), net.state_dict()
    assert set(left) == set(begins) == set(ends)
    output = {"head.linears.2.weight", "head.linears.2.bias"}
    assert left["head.linears.2.weight"].shape == (2, 128)
    assert begins["head.linears.2.weight"].shape == (4, 128)
    assert {n for n in left if n not in output and not torch.equal(left[n], begins[n])} == set()
    learned = {f"backbone.features.{i}.{part}" for i in (10, 12) for part in ("weight", "bias")}
    dense = {f"head.linears.{i}.{part}" for i in range(3) for part in ("weight", "bias")}
    assert {n for n in begins if not torch.equal(begins[n], ends[n])} == learned | dense
    # and the source stage moved everything
    fresh = build(recipe.stages[0], recipe.classes_of("source"), input_size=(48, 48), weights_dir=None, seed=0)[0]
    assert [n for n, tensor in fresh.state_dict().items() if torch.equal(tensor, left[n])] == []


def test_the_learning_rate_falls_along_a_cosine_then_stays_at_its_hundredth() -> None:
    # 1e-3 (1 + cos(pi e / 100)) / 2: cos(pi / 4) = 0.70710678, cos(0.99 pi) = -0.99950656
    wanted = {0: 1e-3, 25: 8.5355339e-4, 50: 5e-4, 75: 1.4644661e-4, 99: 2.4671982e-7}
    assert SOURCE.epochs == 100
    for epoch, rate in wanted.items():
        assert loop.learning_rate(SOURCE.optim, epoch, 100) == pytest.approx(rate, rel=1e-7)
        assert loop.learning_rate(TRANSFER.optim, epoch, TRANSFER.epochs) == 1e-4


def test_the_optimisers_are_adam_and_sgd_with_momentum() -> None:
    weights = [nn.Parameter(torch.zeros(2))]
    adam, sgd = (loop._optimizer(stage.optim, weights) for stage in (SOURCE, TRANSFER))
    assert isinstance(adam, torch.optim.Adam)
    assert (adam.defaults["lr"], adam.defaults["betas"], adam.defaults["weight_decay"]) == (1e-3, (0.9, 0.999), 0)
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.defaults["lr"], sgd.defaults["momentum"], sgd.defaults["nesterov"]) == (1e-4, 0.9, False)


def test_the_best_validation_accuracy_keeps_the_weights() -> None:
    assert [stage.monitor for stage in RECIPE.stages] == ["val_accuracy", "val_accuracy"]


@pytest.mark.parametrize("stage", RECIPE.stages, ids=lambda s: s.name)
def test_images_are_rotated_scaled_and_mirrored(stage: Stage) -> None:
    affine, flip = (AUGMENT.resolve(step.name)(**step.args) for step in stage.augment)
    assert (affine.degrees, tuple(affine.scale), tuple(affine.translate)) == ([-10, 10], (0.9, 1.1), (0, 0))
    assert not any(affine.shear or ())
    assert flip.p == 0.5


# --- the data (sections III-A and IV), from mock lists with NIH's own counts --------------------------------------

FINDINGS = (
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumothorax"),
    *("Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia"),
)
# ChestX-ray14: 112,120 images of 30,805 patients; 60,361 without a finding, 1,431 with pneumonia, 322 with it alone
IMAGES, PATIENTS, NORMAL, PNEUMONIA, ALONE = 112_120, 30_805, 60_361, 1_431, 322
COLUMNS = "file,label,patient_id,source,modality,findings\n"


@pytest.fixture(scope="module")
def nih(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The list as `data import nih-chestxray` writes it; no image is there, and none is opened."""
    rng = np.random.default_rng(0)
    several, starts = rng.integers(1, 4, IMAGES), rng.integers(0, len(FINDINGS), IMAGES)
    kinds = ["normal"] * NORMAL + ["alone"] * ALONE + ["more"] * (PNEUMONIA - ALONE)
    kinds += ["disease"] * (IMAGES - len(kinds))
    rows = []
    for number, at in enumerate(rng.permutation(IMAGES)):
        kind = kinds[at]
        first = int(starts[number])  # findings in a row, in a circle
        found = [*FINDINGS, *FINDINGS][first : first + several[number]] if kind in ("disease", "more") else []
        found += ["Pneumonia"] if kind in ("alone", "more") else []
        label = {"normal": "normal", "disease": "disease"}.get(kind, "pneumonia")
        patient = number * PATIENTS // IMAGES
        rows.append(f"images/{number:06d}.png,{label},nih:{patient},nih,xray,{'|'.join(found)}\n")
    folder = tmp_path_factory.mktemp("nih")
    (folder / "labels.csv").write_text(COLUMNS + "".join(rows))
    return folder


@pytest.fixture(scope="module")
def covid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of COVID images: 300 X-rays of 200 patients, a few with ARDS named beside it, and 40 CT figures."""
    about = ["xray,COVID-19|ARDS"] * 9 + ["xray,"] * 291 + ["ct,"] * 40
    rows = [f"images/{i}.png,covid,cohen:{i % 200},ieee8023,{text}\n" for i, text in enumerate(about)]
    folder = tmp_path_factory.mktemp("covid")
    (folder / "labels.csv").write_text(COLUMNS + "".join(rows) + "images/x.png,normal,cohen:900,ieee8023,xray,\n")
    return folder


@pytest.fixture(scope="module")
def listed(nih: Path, covid: Path) -> dict[tuple[Path, int], Candidate]:
    return {(root, row.line): row for root in (nih, covid) for row in candidates(root)}


@pytest.fixture(scope="module")
def drawn(nih: Path, covid: Path, listed: dict[tuple[Path, int], Candidate]) -> dict[str, list[tuple[Candidate, str]]]:
    """Role -> its rows with their classes, drawn as training draws them: main first."""
    found: dict[str, list[tuple[Candidate, str]]] = {}
    others: list[Dataset] = []
    for name, roots in (("main", [nih, covid]), ("source", [nih])):
        chosen = draw(
            roots,
            RECIPE.role(name),
            RECIPE.classes_of(name),
            mapping={},
            modalities=RECIPE.modalities,
            others=others,
            say=lambda text: None,
        )
        found[name] = [(listed[root, line], label) for root in roots for line, label in chosen[root].items()]
        rows = [(row._replace(file=f"{row.source}/{row.file}"), label) for row, label in found[name]]
        others.append(as_dataset(rows, RECIPE.classes_of(name)))
    return found


def test_data_b_has_350_normal_300_other_322_pneumonia_and_225_covid_images(
    drawn: dict[str, list[tuple[Candidate, str]]],
) -> None:
    counts = Counter(label for _, label in drawn["main"])
    assert counts == {"normal": 350, "other_disease": 300, "pneumonia": 322, "covid": 225}
    assert {row.findings for row, label in drawn["main"] if label == "pneumonia"} == {("Pneumonia",)}
    assert {row.findings for row, label in drawn["main"] if label == "normal"} == {()}
    others = [row.findings for row, label in drawn["main"] if label == "other_disease"]
    assert not any("Pneumonia" in found for found in others)
    six = ("Atelectasis", "Cardiomegaly", "Infiltration", "Effusion", "Nodule", "Mass")
    assert all(set(found) & set(six) for found in others)
    assert min(sum(f in found for found in others) for f in six) >= 50
    from_covid = [row for row, label in drawn["main"] if label == "covid"]
    assert {row.source for row in from_covid} == {"ieee8023"}
    assert {row.source for row, label in drawn["main"] if label != "covid"} == {"nih"}


def test_data_a_is_all_that_is_left_without_pneumonia_and_shares_no_patient(
    drawn: dict[str, list[tuple[Candidate, str]]], nih: Path, listed: dict[tuple[Path, int], Candidate]
) -> None:
    main = {row.group for row, _ in drawn["main"]}
    source = {row.group for row, _ in drawn["source"]}
    assert not main & source
    free = [row for row in listed.values() if row.root == nih and row.group not in main]
    counts = Counter(label for _, label in drawn["source"])
    assert counts["normal"] == sum(not row.findings for row in free)
    assert counts["disease"] == sum(bool(row.findings) and "Pneumonia" not in row.findings for row in free)
    assert len(free) > 100_000
    assert {f for row, label in drawn["source"] if label == "disease" for f in row.findings} == set(FINDINGS)
    assert not any("Pneumonia" in row.findings for row, _ in drawn["source"])


def as_dataset(rows: list[tuple[Candidate, str]], classes: ClassSet) -> Dataset:
    samples = tuple(Sample(file=r.file, label=label, group=r.group or "", digest=r.file) for r, label in rows)
    return Dataset(root="/nowhere", samples=samples, classes=classes)


@pytest.mark.parametrize("recipe", [RECIPE, PAPER], ids=["honest", "paper"])
def test_twenty_thousand_balanced_images_validate_on_data_a(
    drawn: dict[str, list[tuple[Candidate, str]]], recipe: Recipe
) -> None:
    data = as_dataset(drawn["source"], recipe.classes_of("source"))
    part = role_split(data, recipe.role("source"), recipe.protocol)
    of = {s.file: s for s in data.samples}
    assert Counter(of[file].label for file in part.val) == {"normal": 10_000, "disease": 10_000}
    assert not set(part.train) & set(part.val)
    patients = {of[file].group for file in part.train} & {of[file].group for file in part.val}
    assert bool(patients) == (recipe.protocol.unit == "image")
    if recipe.protocol.unit == "image":  # nothing is lost where files are parted
        assert len(part.train) + len(part.val) == len(data)
    else:
        assert len(part.train) > len(data) / 2


@pytest.mark.parametrize("recipe", [RECIPE, PAPER], ids=["honest", "paper"])
def test_five_folds_test_each_image_of_data_b_once(
    drawn: dict[str, list[tuple[Candidate, str]]], recipe: Recipe
) -> None:
    rows = [(row._replace(file=f"{row.source}/{row.file}"), label) for row, label in drawn["main"]]
    data = as_dataset(rows, recipe.classes)
    assert len(data) == 1_197
    split = make_split(data, recipe.protocol)
    tested = [split.part(data, k, "test") for k in range(5)]
    assert sorted(i for part in tested for i in part) == list(range(1_197))
    if recipe.protocol.unit == "image":
        # a fifth of each class: 350 = 5 x 70, 300 = 5 x 60, 322 = 64 or 65 each, 225 = 5 x 45
        for part in tested:
            counts = Counter(data.samples[i].label for i in part)
            assert (counts["normal"], counts["other_disease"], counts["covid"]) == (70, 60, 45)
            assert counts["pneumonia"] in (64, 65)
        assert all(fold.val == () for fold in split.folds)  # the test part chose the weights
    else:
        assert split.shared_groups(data) == 0
        assert all(fold.val for fold in split.folds)


def test_another_order_of_the_rows_draws_the_same_files(nih: Path, covid: Path, tmp_path: Path) -> None:
    head, *lines = (covid / "labels.csv").read_text().splitlines(keepends=True)
    (tmp_path / "labels.csv").write_text(head + "".join(reversed(lines)))
    only = dataclasses.replace(RECIPE.role("main"), draws=RECIPE.role("main").draws[-1:])
    files = []
    for root in (covid, tmp_path):
        chosen = draw(
            [root],
            only,
            RECIPE.classes,
            mapping={},
            modalities=("xray",),
            others=(),
            say=lambda text: None,
        )
        files.append({row.file for row in candidates(root) if row.line in chosen[root]})
    assert len(files[0]) == 225
    assert files[0] == files[1]


def test_the_papers_figures_stand_beside_ours() -> None:
    (reported,) = RECIPE.comparable
    assert reported.metrics == {"accuracy": 0.953, "sensitivity.covid": 1.0, "sensitivity.normal": 1.0}
