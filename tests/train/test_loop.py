"""The fit: it learns, keeps its best weights, repeats itself, and resumes as if it had not been stopped."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.progress import silent
from pneumoscope.core.resolve import resolve
from pneumoscope.core.stage import Optim, Stage
from pneumoscope.errors import IntegrityError
from pneumoscope.recipes import find
from pneumoscope.train import loop
from pneumoscope.train.checkpoint import load_fit, load_tensors, save_tensors

CLASSES = ClassSet(names=("non-covid", "covid"), positive="covid")
THREE = ClassSet(names=("covid", "pneumonia", "normal"))
STAGE = dataclasses.replace(resolve(find("szalay2021")[0]).stages[0], epochs=6, batch=8)


class Small(nn.Module):
    """Two layers with what makes resuming hard: dropout, and BatchNorm's running statistics."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, outputs)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def task(
    stage: Stage = STAGE, *, classes: ClassSet = CLASSES, n: int = 81, frozen: tuple[nn.Module, ...] = ()
) -> loop.Task:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 4, generator=generator)
    labels = (x[:, 0] > 0).long() if len(classes.names) == 2 else (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    torch.manual_seed(3)
    model = Small(1 if len(classes.names) == 2 else len(classes.names))
    return loop.Task(
        model=model,
        take=lambda at: x[torch.from_numpy(at)],
        labels=labels,
        train=np.arange(0, n - 24),
        val=np.arange(n - 24, n),
        stage=stage,
        classes=classes,
        frozen=frozen,
        seed=7,
        low_precision=False,
    )


@pytest.mark.parametrize("classes", [CLASSES, THREE])
@pytest.mark.parametrize(
    "optim", [Optim(name="adam", lr=0.02), Optim(name="sgd", lr=0.05, momentum=0.9, schedule="cosine")]
)
def test_it_learns(classes: ClassSet, optim: Optim, tmp_path: Path) -> None:
    stage = dataclasses.replace(STAGE, optim=optim, epochs=25)
    _, how_far = loop.fit(task(stage, classes=classes), tmp_path / "c", silent, "fit")
    best = how_far.history[how_far.best_epoch]
    assert best.val_balanced_accuracy > (0.85 if len(classes.names) == 2 else 0.7)
    assert best.val_loss < how_far.history[0].val_loss


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    one, _ = loop.fit(task(), tmp_path / "1", silent, "fit")
    two, _ = loop.fit(task(), tmp_path / "2", silent, "fit")
    other, _ = loop.fit(dataclasses.replace(task(), seed=8), tmp_path / "3", silent, "fit")
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert not all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("stopped_after", [1, 3, 5])
@pytest.mark.parametrize("optim", [Optim(name="adam", lr=0.02), Optim(name="sgd", lr=0.2, schedule="cosine")])
def test_a_resumed_fit_ends_as_one_that_was_not_stopped(
    stopped_after: int, optim: Optim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    stage = dataclasses.replace(STAGE, optim=optim)
    whole, whole_way = loop.fit(task(stage), tmp_path / "whole", silent, "fit")

    def stop(what: str, done: int, total: int) -> None:
        if done == stopped_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.fit(task(stage), tmp_path / "parts", stop, "fit")
    assert len(load_fit(tmp_path / "parts")[3].history) == stopped_after
    resumed, resumed_way = loop.fit(task(stage), tmp_path / "parts", silent, "fit")
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    assert resumed_way.best_epoch == whole_way.best_epoch
    assert [e.val_loss for e in resumed_way.history] == [e.val_loss for e in whole_way.history]


@pytest.mark.parametrize("optim", [Optim(name="adam", lr=0.02), Optim(name="sgd", lr=0.1, momentum=0.9)])
def test_a_resumed_fit_of_convolutions_ends_as_one_that_was_not_stopped(
    optim: Optim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights lie channels-last in memory, the checkpoint's do not; a fused step goes by the place in memory."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    images = torch.rand(24, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last)

    def convolving() -> loop.Task:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(16, 1))
        stage = dataclasses.replace(STAGE, optim=optim, epochs=4)
        return dataclasses.replace(
            task(stage),
            model=model.to(memory_format=torch.channels_last),
            take=lambda at: images[torch.from_numpy(at)],
            labels=(images[:, 0].mean(dim=(1, 2)) > 0.5).long(),
            train=np.arange(16),
            val=np.arange(16, 24),
        )

    whole, _ = loop.fit(convolving(), tmp_path / "whole", silent, "fit")

    def stop(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.fit(convolving(), tmp_path / "parts", stop, "fit")
    resumed, _ = loop.fit(convolving(), tmp_path / "parts", silent, "fit")
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)


@pytest.mark.parametrize("monitor", ["val_loss", "val_balanced_accuracy", "val_accuracy"])
def test_the_best_weights_by_the_monitor_are_kept(monitor: str, tmp_path: Path) -> None:
    """A rate so high that later epochs are worse: what is kept must be the best epoch, measured again."""
    stage = dataclasses.replace(STAGE, optim=Optim(name="sgd", lr=3.0), epochs=12, monitor=monitor)
    done = task(stage)
    best, how_far = loop.fit(done, tmp_path / "c", silent, "fit")
    values = [getattr(e, monitor) for e in how_far.history]
    expected = min(values) if monitor == "val_loss" else max(values)
    assert values[how_far.best_epoch] == expected
    assert all(torch.equal(done.model.state_dict()[k], v) for k, v in best.items())
    logits = loop.logits_of(done.model, done.take, done.val, 8)
    loss = float(loop.losses(logits, done.labels[done.val], CLASSES).mean())
    assert loss == pytest.approx(how_far.history[how_far.best_epoch].val_loss, abs=1e-6)


def test_a_frozen_batchnorm_keeps_its_running_statistics(tmp_path: Path) -> None:
    free, frozen = task(), task()
    norm = frozen.model.layers[1]
    before = norm.running_mean.clone()
    loop.fit(dataclasses.replace(frozen, frozen=(norm,)), tmp_path / "1", silent, "fit")
    assert torch.equal(norm.running_mean, before)
    loop.fit(free, tmp_path / "2", silent, "fit")
    assert not torch.equal(free.model.layers[1].running_mean, before)


def test_a_single_image_left_over_joins_the_batch_before(tmp_path: Path) -> None:
    """57 training images in batches of 8 leave one, which BatchNorm cannot take alone."""
    assert len(task().train) % STAGE.batch == 1
    loop.fit(task(), tmp_path / "c", silent, "fit")


def test_the_rate_curves_are_the_papers() -> None:
    constant, cosine = Optim(name="adam", lr=0.1), Optim(name="adam", lr=0.1, schedule="cosine")
    assert [loop.learning_rate(constant, e, 10) for e in (0, 9)] == [0.1, 0.1]
    torch_optim = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(torch_optim, T_max=10)
    for epoch in range(10):
        assert loop.learning_rate(cosine, epoch, 10) == pytest.approx(oracle.get_last_lr()[0])
        torch_optim.step()
        oracle.step()


def test_losses_are_torchs() -> None:
    labels = torch.tensor([0, 1, 1])
    one = torch.tensor([[0.5], [-1.0], [2.0]])
    expected = nn.functional.binary_cross_entropy(torch.sigmoid(one[:, 0]), labels.float(), reduction="none")
    assert torch.allclose(loop.losses(one, labels, CLASSES), expected, atol=1e-6)
    turned = ClassSet(names=("covid", "non-covid"), positive="covid")
    assert torch.allclose(loop.losses(one, 1 - labels, turned), expected, atol=1e-6)
    three = torch.randn(3, 3)
    assert torch.allclose(
        loop.losses(three, labels, THREE), nn.functional.cross_entropy(three, labels, reduction="none")
    )


def test_balanced_weights_are_scikit_learns() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = torch.tensor([0] * 9 + [1] * 3)
    balanced = dataclasses.replace(STAGE, class_weights="balanced")
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels.numpy())
    np.testing.assert_allclose(loop.class_weights(balanced, labels, 2).numpy(), expected)
    assert loop.class_weights(STAGE, labels, 2).tolist() == [1, 1]


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(IntegrityError, match=r"found 'layers\.9\.weight'"):
        loop.overlay(Small(), {"layers.9.weight": torch.zeros(1)})
    with pytest.raises(IntegrityError, match="expected the shapes of this network"):
        loop.overlay(Small(), {"layers.0.weight": torch.zeros(1)})


def test_a_cut_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.arange(100.0)}, {"b": 1})
    assert load_tensors(path)[1] == {"b": 1}
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(IntegrityError, match=r"x\.safetensors: expected a safetensors file"):
        load_tensors(path)
