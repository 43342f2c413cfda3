"""Berrimi 2021, held to the paper: shapes, counts, what learns when, the split's sizes, and what each variant is.

Numbers are the paper's, the published networks', or worked out from them by hand beside them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from noise_bench import dataset, noise_bench
from safetensors.torch import load_file
from torch import nn

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.resolve import resolve
from pneumoscope.evaluate.split import make_split
from pneumoscope.nets.build import Net, build, choose_trainable
from pneumoscope.recipes import find
from pneumoscope.train import loop, stages
from pneumoscope.train.augment import AUGMENT

WRITTEN, _ = find("berrimi2021")
XRAY = ("normal", "pneumonia", "covid")
NETWORKS = ("inceptionv3", "densenet", "new-densenet")
PROBLEMS = {
    "": (XRAY, ("xray",)),
    "-xray2": (("normal", "covid"), ("xray",)),
    "-ct": (("non-covid", "covid"), ("ct",)),
}


def built(recipe: Recipe, size: int = 224) -> Net:
    stage = recipe.stages[0]
    start = resolve(WRITTEN, variant=recipe.variant, overrides={f"stages.{stage.name}.init": "random"}).stages[0]
    return build(start, recipe.classes, input_size=(size, size), weights_dir=None, seed=0)[0]


# --- the networks (sections III-D to III-G) ---------------------------------------------------------------------


def test_inceptionv3_gives_2048_features_at_5_by_5_and_a_new_output_layer_stands_on_them() -> None:
    net = built(resolve(WRITTEN, variant="inceptionv3"))
    with torch.inference_mode():
        maps = net.eval().backbone(torch.zeros(1, 1, 224, 224))
        assert net.features(torch.zeros(1, 1, 224, 224)).shape == (1, 2048)
    assert maps.shape == (1, 2048, 5, 5)
    assert {n: tuple(p.shape) for n, p in net.head.named_parameters()} == {
        "linears.0.weight": (3, 2048),
        "linears.0.bias": (3,),
    }
    # keras.applications.InceptionV3(include_top=False): 21,802,784, of which 34,432 are BatchNorm's statistics; its
    # BatchNorms have no scale, timm's have one of each of the 17,216 channels
    assert statistics(net.backbone) == 34_432
    assert sum(p.numel() for p in net.backbone.parameters()) - 17_216 == 21_802_784 - 34_432


def statistics(net: nn.Module) -> int:
    found = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    return sum(m.running_mean.numel() + m.running_var.numel() for m in found)


@pytest.mark.parametrize("variant", ["densenet", "new-densenet"])
def test_densenet121_gives_1024_features_at_7_by_7(variant: str) -> None:
    net = built(resolve(WRITTEN, variant=variant))
    with torch.inference_mode():
        assert net.eval().backbone(torch.zeros(1, 1, 224, 224)).shape == (1, 1024, 7, 7)
    learned = sum(p.numel() for p in net.backbone.parameters())
    assert learned == 6_953_856
    # keras.applications.DenseNet121(include_top=False) counts the statistics too
    assert learned + statistics(net.backbone) == 7_037_504
    if variant == "densenet":
        assert sum(p.numel() for p in net.head.parameters()) == 1024 * 3 + 3


def test_new_densenet_adds_a_convolution_on_top_and_a_dense_layer_with_dropout_then_batchnorm() -> None:
    net = built(resolve(WRITTEN, variant="new-densenet"))
    head = net.head
    assert isinstance(head.convolution, nn.Conv2d)
    assert (head.convolution.kernel_size, head.convolution.padding) == ((3, 3), (1, 1))
    # 3 x 3 x 1024 x 256 + 256; 256 x 256 + 256; 2 x 256 of BatchNorm; 256 x 3 + 3
    assert [sum(p.numel() for p in m.parameters()) for m in (head.convolution, *head.linears, *head.norms)] == [
        2_359_552,
        65_792,
        771,
        512,
    ]
    assert head.dropout.p == 0.5
    order: list[nn.Module] = []
    hooks = [m.register_forward_hook(lambda m, _, __: order.append(m)) for m in head.modules() if m is not head]
    with torch.inference_mode():
        maps = torch.rand(2, 1024, 7, 7)
        head.train()(head.fixed(maps))
    for hook in hooks:
        hook.remove()
    dense, outputs = head.linears
    assert order == [head.convolution, head.maps, dense, head.dropout, head.norms[0], outputs]


# --- what learns when (section III-D) ---------------------------------------------------------------------------


def test_first_the_new_layers_learn_on_a_frozen_backbone_then_all(tmp_path: Path) -> None:
    overrides = {"prep.resize.size": "32", "stages.head.init": "random"}
    overrides |= {f"stages.{s}.epochs": "1" for s in ("head", "fine-tune")}
    recipe = resolve(WRITTEN, variant="new-densenet", overrides=overrides)
    head, fine = recipe.stages
    bench = noise_bench(recipe, tmp_path, each=4)
    net, _ = stages.fit_stages(bench, list(range(8)), list(range(8, 12)), tmp_path / "f", fold=0, what="fit")

    before = build(head, recipe.classes, input_size=(32, 32), weights_dir=None, seed=0)[0].state_dict()
    learned = load_file(tmp_path / "f" / "head.safetensors")
    assert set(learned) == {n for n in before if n.startswith("head.")}  # nothing of the backbone
    between = stages._start(bench, fine, tmp_path / "f")[0].state_dict()
    backbone = [n for n in before if n.startswith("backbone.")]
    assert [n for n in backbone if not torch.equal(before[n], between[n])] == []  # statistics too
    assert all(torch.equal(learned[n], between[n]) for n in learned)

    after = net.state_dict()
    parameters = {n for n, _ in net.named_parameters()}
    assert [n for n in parameters if torch.equal(between[n], after[n])] == []
    moving = [n for n in after if n.endswith("running_mean")]
    assert len(moving) == 121 + 1  # of 120 convolutions, of the last map, and of the head
    assert [n for n in moving if torch.equal(between[n], after[n])] == []


def test_modes_and_gradients_of_the_two_steps() -> None:
    recipe = resolve(WRITTEN, variant="new-densenet")
    head, fine = recipe.stages
    net = built(recipe, 32)
    assert choose_trainable(net, head) == [net.backbone]
    assert {n.partition(".")[0] for n, p in net.named_parameters() if p.requires_grad} == {"head"}
    assert choose_trainable(net, fine) == []
    assert all(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("variant", WRITTEN.variants)
def test_both_steps_are_adam_at_a_ten_thousandth_and_the_second_has_the_papers_50_epochs(variant: str) -> None:
    head, fine = resolve(WRITTEN, variant=variant).stages
    assert (head.init, head.trainable, fine.init, fine.trainable) == ("imagenet", "head", "stage:head", "all")
    assert fine.epochs == 50
    for stage in (head, fine):
        assert {loop.learning_rate(stage.optim, epoch, stage.epochs) for epoch in range(stage.epochs)} == {1e-4}
        assert isinstance(loop._optimizer(stage.optim, [nn.Parameter(torch.zeros(1))]), torch.optim.Adam)


def test_images_are_rotated_zoomed_flipped_and_shifted_while_all_learns() -> None:
    head, fine = WRITTEN.stages
    assert head.augment == ()  # its features are computed once
    affine, flip = (AUGMENT.resolve(step.name)(**step.args) for step in fine.augment)
    assert (affine.degrees, tuple(affine.scale), tuple(affine.translate)) == ([-15, 15], (0.9, 1.1), (0.1, 0.1))
    assert not any(affine.shear or ())
    assert flip.p == 0.5


# --- the data (section III-A, Tables I and II; section IV: 80 % and 20 %) -----------------------------------------


@pytest.mark.parametrize(
    ("problem", "counts", "total", "tested"),
    [
        # a fifth of 430, 326 and 374: 86, 65.2, 74.8
        ("", {"covid": 430, "pneumonia": 326, "normal": 374}, 1_130, {"covid": 86, "pneumonia": 65, "normal": 75}),
        # a fifth of 1252 and 1230: 250.4, 246
        ("-ct", {"covid": 1_252, "non-covid": 1_230}, 2_482, {"covid": 250, "non-covid": 246}),
    ],
)
def test_the_papers_sets_are_parted_80_to_20(
    problem: str, counts: dict[str, int], total: int, tested: dict[str, int]
) -> None:
    recipe = resolve(WRITTEN, variant=f"inceptionv3{problem}", protocol="paper")
    data = dataset(recipe.classes, counts)
    assert len(data) == total
    (fold,) = make_split(data, recipe.protocol).folds
    assert (len(fold.train), len(fold.val), len(fold.test)) == (total - sum(tested.values()), 0, sum(tested.values()))
    part = {s.file: s.label for s in data.samples}
    assert {label: sum(part[f] == label for f in fold.test) for label in counts} == tested
    (sizes,) = [r.sizes for r in recipe.comparable if r.sizes]
    assert {label: size["images"] for label, size in sizes.items()} == counts


# --- the variants -----------------------------------------------------------------------------------------------


def test_the_variants_are_the_three_networks_on_the_three_problems() -> None:
    assert set(WRITTEN.variants) == {f"{network}{problem}" for network in NETWORKS for problem in PROBLEMS}
    for name in WRITTEN.variants:
        recipe = resolve(WRITTEN, variant=name)
        network = next(n for n in sorted(NETWORKS, key=len, reverse=True) if name.startswith(n))
        classes, modalities = PROBLEMS[name.removeprefix(network)]
        assert recipe.classes == ClassSet(names=classes, positive="covid")
        assert recipe.modalities == modalities
        assert {s.net for s in recipe.stages} == {"inceptionv3" if network == "inceptionv3" else "densenet121"}
        assert {s.head.convolution > 0 for s in recipe.stages} == {network == "new-densenet"}


@pytest.mark.parametrize(
    ("variant", "accuracy"),
    [
        (None, 0.9235),  # Table III
        ("inceptionv3", 0.9235),
        ("densenet", 0.6356),
        ("new-densenet", 0.85),
        ("inceptionv3-ct", 0.8451),  # Table IV
        ("densenet-ct", 0.60),
        ("new-densenet-ct", 0.9598),
        ("inceptionv3-xray2", None),  # mentioned, without a figure
        ("new-densenet-xray2", None),
    ],
)
def test_only_its_own_figures_stand_beside_a_variant(variant: str | None, accuracy: float | None) -> None:
    found = [r.metrics["accuracy"] for r in resolve(WRITTEN, variant=variant).comparable if r.metrics]
    assert found == ([] if accuracy is None else [accuracy])


def test_the_sizes_are_the_papers() -> None:
    """Tables I and II: images, then least, most, mean and standard deviation of width times height."""
    xray, ct = (
        [r.sizes for r in resolve(WRITTEN, variant=v).comparable if r.sizes] for v in ("densenet", "densenet-ct")
    )
    assert [list(xray[0][name].values()) for name in ("covid", "pneumonia", "normal")] == [
        [430, 63232, 15065600, 1471336.81, 1744859.82],
        [326, 104648, 3049728, 1029847.16, 302354.24],
        [374, 802100, 6828621, 1773917.23, 1163297.96],
    ]
    assert [list(ct[0][name].values()) for name in ("covid", "non-covid")] == [
        [1252, 23478, 199104, 87267.70, 25245.2],
        [1230, 29631, 201344, 98752.51, 29146.79],
    ]
