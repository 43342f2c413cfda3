"""Our side of training.py: seconds per epoch of `train.loop.fit` on random images.

Run: python training_ours.py NET all|head IMAGES EPOCHS   It prints JSON. The allocator setting, channels_last and the
precision are those of `pneumoscope train`, torch's default threads. A frozen backbone's features are computed once
(`train.features`), and are counted into the first epoch.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from pneumoscope.train.allocator import keep_memory

kept = keep_memory()  # before torch

import numpy as np  # noqa: E402
import torch  # noqa: E402

from pneumoscope.core.dataset import ClassSet, Dataset, Sample  # noqa: E402
from pneumoscope.core.progress import silent  # noqa: E402
from pneumoscope.core.recipe import Recipe  # noqa: E402
from pneumoscope.core.stage import Head, Optim, Stage  # noqa: E402
from pneumoscope.nets.build import Net, build, choose_trainable  # noqa: E402
from pneumoscope.recipes import find  # noqa: E402
from pneumoscope.train import loop  # noqa: E402
from pneumoscope.train.features import cached_features  # noqa: E402

BATCH, SIZE = 32, 224
VAL = 2  # `fit` wants a validation part; it costs less than 1 %
AVERAGE = Head(pooling="average")
DENSE = Head(pooling="max_flatten", hidden=(256, 128))


def stage_of(net: str, trainable: str, epochs: int) -> Stage:
    return Stage(
        name="one",
        level="image",
        net=net,
        head=DENSE if net == "cnn12" else AVERAGE,
        init="random",
        trainable=trainable,
        loss="cross_entropy",
        class_weights="none",
        optim=Optim(name="adam", lr=1e-4),
        epochs=epochs,
        batch=BATCH,
    )


def features(net: Net, stage: Stage, images: np.ndarray, dataset: Dataset, work: Path) -> torch.Tensor:
    recipe: Recipe = find("szalay2021")[0]  # only its prep steps are taken, for the cache's keys
    compute = net.eval().features
    return cached_features(
        net.backbone, "random", compute, stage.head.pooling, images, dataset, recipe, stage, work, silent
    )


def main() -> None:
    name, trainable, count, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    classes = ClassSet(names=("a", "b") if name == "cnn12" else ("a", "b", "c"))
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 256, (count + VAL, SIZE, SIZE), dtype=np.uint8) / 255).astype(np.float32)
    labels = rng.integers(0, len(classes.names), count + VAL)
    samples = [
        Sample(file=f"{i:06}", label=classes.names[k], group=f"{i}", digest=f"{i}") for i, k in enumerate(labels)
    ]
    dataset = Dataset(root=".", samples=tuple(samples), classes=classes)
    stage = stage_of(name, trainable, epochs)
    net, _ = build(stage, classes, input_size=(SIZE, SIZE), weights_dir=None, seed=0)
    net.to(memory_format=torch.channels_last)
    frozen = choose_trainable(net, stage)

    def take(positions: np.ndarray) -> torch.Tensor:
        x = torch.from_numpy(images[positions]).unsqueeze(1)
        return x.contiguous(memory_format=torch.channels_last)

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        cached = features(net, stage, images, dataset, Path(folder)) if trainable == "head" else None
        before = time.perf_counter() - start
        task = loop.Task(
            model=net if cached is None else net.head,
            take=take if cached is None else cached.__getitem__,
            labels=torch.from_numpy(labels),
            train=np.arange(count),
            val=np.arange(count, count + VAL),
            stage=stage,
            classes=classes,
            frozen=tuple(frozen) if cached is None else (),
            seed=0,
            low_precision=cached is None and loop.bf16_is_fast(),
        )
        _, progression = loop.fit(task, Path(folder) / "checkpoint", silent, name)
    seconds = [epoch.seconds for epoch in progression.history]
    seconds[0] += before
    about = (
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, allocator kept: {kept}, "
        f"{'bf16' if loop.bf16_is_fast() else 'fp32'}, parameters {sum(p.numel() for p in net.parameters())}"
    )
    print(json.dumps({"seconds": seconds, "about": about}))


if __name__ == "__main__":
    main()
