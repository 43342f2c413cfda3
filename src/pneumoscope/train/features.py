"""What the frozen part of a network answers, computed once and kept on disk.

One file an image, named by the digest of all that the values depend on: the file's bytes, the prep steps, the
network, its weights and its pooling. Another fold, another head or another run finds them again.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pneumoscope.core.dataset import Dataset
from pneumoscope.core.files import write_bytes
from pneumoscope.core.progress import Progress
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.serial import digest, to_json
from pneumoscope.core.stage import Stage
from pneumoscope.errors import IntegrityError

# raised when what is computed from the same inputs changes, so that old files are not taken for new ones
FORMAT = 1
BATCH = 16


def cached_features(
    frozen: nn.Module,
    weights: str,
    compute: Callable[[Tensor], Tensor],
    kind: str,
    images: np.ndarray,
    dataset: Dataset,
    recipe: Recipe,
    stage: Stage,
    cache: Path,
    progress: Progress,
    rows: np.ndarray | None = None,
) -> Tensor:
    """What `compute` makes of each image with the module `frozen`, `[N, ...]` float32, from the cache where it has it.

    weights: the module's digest. kind: which of its answers it is. images: prepared, `[N, H, W]`. rows: the images
    that are asked for, all if None; the others are NaN. Computed in fp32, as the exported graph will.
    """
    key = [FORMAT, to_json(recipe.prep), stage.net, weights, kind]
    asked = range(len(dataset)) if rows is None else rows.tolist()
    paths = {i: _path(cache, digest([*key, dataset.samples[i].digest])) for i in asked}
    missing = [i for i, path in paths.items() if not path.exists()]
    layout = torch.channels_last if images.ndim == 3 else torch.channels_last_3d
    frozen.eval().to(memory_format=layout)
    done = len(paths) - len(missing)
    with torch.inference_mode():
        for start in range(0, len(missing), BATCH):
            chunk = missing[start : start + BATCH]
            x = torch.from_numpy(np.ascontiguousarray(images[chunk])).unsqueeze(1)
            answers = compute(x.contiguous(memory_format=layout))
            for i, values in zip(chunk, answers.contiguous().numpy(), strict=True):
                _write(paths[i], values)
            done += len(chunk)
            progress(f"features of {stage.net}", done, len(paths))
    first = _read(next(iter(paths.values())))
    found = np.full((len(dataset), *first.shape), np.nan, dtype=first.dtype)
    for i, path in paths.items():
        found[i] = _read(path)
    return torch.from_numpy(found)


def weights_digest(module: nn.Module) -> str:
    """Digest of what a module computes with: its tensors, and the epsilons that no tensor holds."""
    found = hashlib.sha256()
    for name, part in module.named_modules():
        if hasattr(part, "eps"):
            found.update(f"{name} {part.eps}".encode())
    for name, tensor in sorted(module.state_dict().items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def _path(cache: Path, key: str) -> Path:
    return cache / "features" / key[:2] / f"{key}.npy"


def _read(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (EOFError, ValueError) as error:
        raise IntegrityError(
            f"{path}: expected features that pneumoscope wrote, found a damaged file. Delete it; it is made again."
        ) from error


def _write(path: Path, values: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    write_bytes(path, buffer.getvalue())
