"""Features of a frozen backbone, computed once and kept on disk.

One file an image, named by the digest of all that the values depend on: the file's bytes, the prep steps, the
network, its weights and its pooling. Another fold, another head or another run finds them again.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pneumoscope.core.dataset import Dataset
from pneumoscope.core.files import write_bytes
from pneumoscope.core.progress import Progress
from pneumoscope.core.recipe import Recipe, Stage
from pneumoscope.core.serial import digest, to_json
from pneumoscope.errors import IntegrityError
from pneumoscope.nets.build import Net

# raised when what is computed from the same inputs changes, so that old files are not taken for new ones
FORMAT = 1
BATCH = 16


def cached_features(
    net: Net,
    weights: str,
    images: np.ndarray,
    dataset: Dataset,
    recipe: Recipe,
    stage: Stage,
    cache: Path,
    progress: Progress,
) -> Tensor:
    """What the frozen backbone gives the head (`Net.features`), `[N, ...]` float32, from the cache where it has them.

    images: prepared, `[N, H, W]`.
    weights: digest of the backbone's weights. Computed in fp32, as the exported graph will.
    """
    key = [FORMAT, to_json(recipe.prep), stage.net, weights, kind(stage)]
    paths = [_path(cache, digest([*key, sample.digest])) for sample in dataset.samples]
    missing = [i for i, path in enumerate(paths) if not path.exists()]
    net.eval().to(memory_format=torch.channels_last)
    done = len(paths) - len(missing)
    with torch.inference_mode():
        for start in range(0, len(missing), BATCH):
            chunk = missing[start : start + BATCH]
            x = torch.from_numpy(np.ascontiguousarray(images[chunk])).unsqueeze(1)
            features = net.features(x.contiguous(memory_format=torch.channels_last))
            for i, values in zip(chunk, features.numpy(), strict=True):
                _write(paths[i], values)
            done += len(chunk)
            progress(f"features of {stage.net}", done, len(paths))
    return torch.from_numpy(np.stack([_read(path) for path in paths]))


def kind(stage: Stage) -> str:
    """What of the backbone's maps is kept: pooled as the head does, or as they are where it convolves them."""
    return "maps" if stage.head.convolution else stage.head.pooling


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
