"""One fit of one model: epochs, the best weights by what the stage monitors, and resuming after a kill.

Every epoch seeds itself from (seed, epoch), so a fit that was stopped and resumed ends as one that was not.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.progress import Progress
from pneumoscope.core.stage import Optim, Stage
from pneumoscope.errors import IntegrityError
from pneumoscope.train.augment import augmentation
from pneumoscope.train.checkpoint import Epoch, Progression, load_fit, save_fit

# a checkpoint is written after the first epoch that ends this long after the last one was
CHECKPOINT_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What a fit learns from.

    take: positions -> what the model takes, `[n, ...]` or a tuple. labels: int64 `[N]`, class of each position.
    train, val: positions. frozen: modules that stay in eval mode. seed: of this fit.
    low_precision: run in bf16 autocast (images only; heads on features stay in fp32).
    """

    model: nn.Module
    take: Callable[[np.ndarray], Any]
    labels: Tensor
    train: np.ndarray
    val: np.ndarray
    stage: Stage
    classes: ClassSet
    frozen: tuple[nn.Module, ...]
    seed: int
    low_precision: bool


def fit(task: Task, checkpoint: Path, progress: Progress, what: str) -> tuple[dict[str, Tensor], Progression]:
    """Train `task.model`; returns its trained state at the best epoch, and the history.

    The trained state is every trainable parameter and every buffer outside frozen modules. `checkpoint` is where
    the state lies meanwhile; a file found there is resumed from.
    """
    model, stage = task.model, task.stage
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = _optimizer(stage.optim, trainable)
    how_far, best = Progression(), dict[str, Tensor]()
    if checkpoint.exists():
        state, best, optim_state, how_far = load_fit(checkpoint)
        overlay(model, state)
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": optim_state, "param_groups": groups})
        _lay_out(optimizer)
    saved = time.monotonic()
    for epoch in range(len(how_far.history), stage.epochs):
        measured = _epoch(task, optimizer, epoch)
        better = not best or _score(measured, stage) > _score(how_far.history[how_far.best_epoch], stage)
        if better:
            best = {name: tensor.clone() for name, tensor in trained_state(model, task.frozen).items()}
        how_far = Progression(history=(*how_far.history, measured), best_epoch=epoch if better else how_far.best_epoch)
        if time.monotonic() - saved > CHECKPOINT_SECONDS and epoch + 1 < stage.epochs:
            save_fit(checkpoint, trained_state(model, task.frozen), best, optimizer.state_dict(), how_far)
            saved = time.monotonic()
        progress(what, epoch + 1, stage.epochs)
    overlay(model, best)
    return best, how_far


def overlay(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Lay trained tensors over a model; what was not trained stays.

    Raises:
        IntegrityError: a tensor that the model does not have or that has another shape.
    """
    try:
        unexpected = model.load_state_dict(state, strict=False).unexpected_keys
    except RuntimeError as error:
        why = " ".join(str(error).split())
        raise IntegrityError(f"weights: expected the shapes of this network, found others. {why}") from error
    if unexpected:
        raise IntegrityError(f"weights: expected tensors of this network, found '{unexpected[0]}'.")


def trained_state(model: nn.Module, frozen: tuple[nn.Module, ...]) -> dict[str, Tensor]:
    """What training changes: trainable parameters, and buffers that no frozen module holds."""
    still = {id(b) for module in frozen for b in module.buffers()}
    kept = model.state_dict().keys()  # without what a module keeps for itself alone
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    return trained | {name: b for name, b in model.named_buffers() if id(b) not in still and name in kept}


def logits_of(model: nn.Module, take: Callable[[np.ndarray], Any], positions: np.ndarray, batch: int) -> Tensor:
    """Logits `[n, outputs]` in eval mode and the precision of the surrounding autocast, as float32."""
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(take(part)).float() for part in _chunks(positions, batch)])


def learning_rate(optim: Optim, epoch: int, epochs: int) -> float:
    """The rate of an epoch, counted from 0; cosine annealing falls from `lr` towards 0 (Loshchilov & Hutter 2017)."""
    if optim.schedule == "constant":
        return optim.lr
    if optim.schedule == "step":
        return optim.lr * optim.step_factor ** (epoch // optim.step_epochs)
    return optim.lr * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def class_weights(stage: Stage, labels: Tensor, classes: int) -> Tensor:
    """Weight of each class `[K]`: 1, or N / (K n_class) where balanced."""
    if stage.class_weights == "none":
        return torch.ones(classes)
    counts = torch.bincount(labels, minlength=classes)
    return labels.numel() / (classes * counts.clamp(min=1).float())


def losses(logits: Tensor, labels: Tensor, classes: ClassSet) -> Tensor:
    """Loss of each sample `[n]`: binary cross-entropy for one output, else cross-entropy."""
    if logits.shape[1] == 1:
        truth = (labels == classes.positive_index).float()
        return nn.functional.binary_cross_entropy_with_logits(logits.float().squeeze(1), truth, reduction="none")
    return nn.functional.cross_entropy(logits.float(), labels, reduction="none")


def penalty(model: nn.Module, stage: Stage) -> Tensor | float:
    """l1 times the sum of the trained weights' absolutes, l2 times that of their squares; biases are free."""
    if not stage.l1 and not stage.l2:
        return 0.0
    weights = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    return sum((stage.l1 * w.abs().sum() + stage.l2 * w.square().sum() for w in weights), torch.zeros(()))


def bf16_is_fast() -> bool:
    """Whether this CPU multiplies bf16 in hardware; elsewhere autocast would be slower than fp32."""
    # newer than the oldest torch that we take
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def autocast(on: bool) -> contextlib.AbstractContextManager[object]:
    """bf16 autocast on the CPU, or nothing."""
    return torch.autocast("cpu", dtype=torch.bfloat16) if on else contextlib.nullcontext()


def _epoch(task: Task, optimizer: torch.optim.Optimizer, epoch: int) -> Epoch:
    start = time.monotonic()
    stage = task.stage
    rate = learning_rate(stage.optim, epoch, stage.epochs)
    for group in optimizer.param_groups:
        group["lr"] = rate
    order_seed, torch_seed = np.random.SeedSequence([task.seed, epoch]).generate_state(2)
    torch.manual_seed(int(torch_seed))
    order = np.random.default_rng(order_seed).permutation(task.train)
    weights = class_weights(stage, task.labels[task.train], len(task.classes.names))
    change = augmentation(stage.augment)
    task.model.train()
    for module in task.frozen:
        module.eval()
    total = 0.0
    for part in _chunks(order, stage.batch, at_least=min(2, stage.batch)):
        x = task.take(part)
        x = change(x) if change else x
        labels = task.labels[part]
        with autocast(task.low_precision):
            logits = task.model(x)
        loss = (losses(logits, labels, task.classes) * weights[labels]).mean() + penalty(task.model, stage)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += float(loss.detach()) * len(part)
    val = _validate(task, weights)
    return Epoch(epoch=epoch, lr=rate, train_loss=total / len(order), seconds=time.monotonic() - start, **val)


def _validate(task: Task, weights: Tensor) -> dict[str, float]:
    with autocast(task.low_precision):
        logits = logits_of(task.model, task.take, task.val, task.stage.batch)
    labels = task.labels[task.val]
    loss = float((losses(logits, labels, task.classes) * weights[labels]).mean())
    if logits.shape[1] == 1:
        positive = task.classes.positive_index
        decided = torch.where(logits[:, 0] >= 0, positive, 1 - positive)
    else:
        decided = logits.argmax(dim=1)
    right = (decided == labels).float()
    recalls = [float(right[labels == k].mean()) for k in range(len(task.classes.names)) if bool((labels == k).any())]
    return {
        "val_loss": loss,
        "val_accuracy": float(right.mean()),
        "val_balanced_accuracy": sum(recalls) / len(recalls),
    }


def _score(epoch: Epoch, stage: Stage) -> float:
    """What the stage monitors, as a number of which more is better."""
    value: float = getattr(epoch, stage.monitor)
    return -value if stage.monitor == "val_loss" else value


def _optimizer(optim: Optim, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    # fused: one pass over each tensor; a wide dense layer's step is several times faster
    if optim.name == "adam":
        return torch.optim.Adam(parameters, lr=optim.lr, weight_decay=optim.weight_decay, fused=True)
    return torch.optim.SGD(
        parameters, lr=optim.lr, momentum=optim.momentum, weight_decay=optim.weight_decay, fused=True
    )


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Give each state tensor its parameter's memory layout: a fused step pairs the two by place in memory."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if value is not None and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _chunks(positions: np.ndarray, size: int, at_least: int = 1) -> list[np.ndarray]:
    """Consecutive parts of `size`; a last part below `at_least` joins the one before (BatchNorm needs two)."""
    parts = [positions[i : i + size] for i in range(0, len(positions), size)]
    if len(parts) > 1 and len(parts[-1]) < at_least:
        parts[-2:] = [np.concatenate(parts[-2:])]
    return parts
