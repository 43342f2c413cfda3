"""A fit's state on disk: tensors in safetensors, the rest as JSON in its header; no pickle.

The model, the best weights so far and the optimiser's state lie in one file that is replaced whole, so a kill at
any moment leaves either the state before or the state after.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from pneumoscope.core.files import write_bytes
from pneumoscope.core.serial import Undefinable, from_json, to_json
from pneumoscope.errors import IntegrityError


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch measured. seconds: wall time of it. A loss is NaN where training went out of bounds."""

    epoch: int
    lr: float
    train_loss: Undefinable
    val_loss: Undefinable
    val_accuracy: float
    val_balanced_accuracy: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Progression:
    """How far a fit is: the epochs done and which one is the best so far."""

    history: tuple[Epoch, ...] = ()
    best_epoch: int = -1


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Any) -> None:
    """Write named tensors and a JSON value beside them, whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_bytes(path, save(plain, metadata={"about": json.dumps(to_json(about))}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The tensors and the JSON value of `save_tensors`.

    Raises:
        IntegrityError: a file that is cut or is no safetensors file.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "null"))
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118 (not a dict)
    except (safetensors.SafetensorError, ValueError) as error:
        raise _unreadable(path, error) from error


def load_about(path: Path) -> Any:
    """The JSON value of `save_tensors` alone; its tensors are not read.

    Raises:
        IntegrityError: as `load_tensors`.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {}).get("about", "null"))
    except (safetensors.SafetensorError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> IntegrityError:
    return IntegrityError(
        f"{path.name}: expected a safetensors file that pneumoscope wrote, found one that cannot be read "
        f"({error}). Delete it; the same command makes it again."
    )


def save_fit(
    path: Path, model: Mapping[str, Tensor], best: Mapping[str, Tensor], optim: Mapping[str, Any], how_far: Progression
) -> None:
    """Write a fit's state. optim: an optimiser's `state_dict()`, of which the tensors by parameter are kept."""
    tensors = {f"model.{k}": v for k, v in model.items()} | {f"best.{k}": v for k, v in best.items()}
    for number, state in optim["state"].items():
        for name, value in state.items():
            if value is not None:  # SGD without momentum
                tensors[f"optim.{number}.{name}"] = torch.as_tensor(value)
    save_tensors(path, tensors, how_far)


def load_fit(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[int, dict[str, Tensor]], Progression]:
    """Model, best weights, optimiser state by parameter number, and how far the fit is."""
    tensors, about = load_tensors(path)
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}}
    optim: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        if part == "optim":
            number, _, key = rest.partition(".")
            optim.setdefault(int(number), {})[key] = tensor
        else:
            parts[part][rest] = tensor
    return parts["model"], parts["best"], optim, from_json(Progression, about)
