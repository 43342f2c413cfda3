"""Training images per second: `train.loop.fit` against Keras 3 on TensorFlow-CPU, which the papers used.

Run: python benchmarks/training.py WORK [ROUNDS [NET[/all|/head] ...]]
Goal: 2 times Keras on the 12-layer CNN, as fast on the others. Batch 32, 224 x 224, random weights and images, Adam, no
augmentation. Each side runs in processes of its own, in turns. Keras's environment, about 1.5 GB, is made in WORK.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import venv
from pathlib import Path

from common import machine, measured

KERAS = ("tensorflow-cpu==2.21.0", "keras==3.15.1")
NETS = ("cnn12", "inceptionv3", "densenet121")
IMAGES, EPOCHS = 64, 3
HERE = Path(__file__).parent


def keras_python(work: Path) -> str:
    """The Python of Keras's environment, which is made where it is not there whole."""
    folder = work / "keras-env"
    python, whole = folder / "bin" / "python", folder / "whole"
    if not whole.exists():
        venv.create(folder, with_pip=True, clear=True, symlinks=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *KERAS], check=True)
        whole.touch()
    return str(python)


def rates(seconds: list[float]) -> tuple[float, float]:
    """Images per second in the first epoch, and in the median of the later ones."""
    return IMAGES / seconds[0], IMAGES / statistics.median(seconds[1:])


def main() -> None:
    work = Path(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    nets = sys.argv[3:] or NETS
    sides = {
        "ours": [sys.executable, str(HERE / "training_ours.py")],
        "Keras": [keras_python(work), str(HERE / "training_keras.py")],
    }
    print(f"{machine()}; {IMAGES} images an epoch, {EPOCHS} epochs, medians of {rounds} rounds\n", flush=True)
    print("| network | trained | epoch | pneumoscope images/s | Keras images/s | ratio | of each round |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    about = {}
    for asked in nets:
        net, _, only = asked.partition("/")
        for trainable in (only,) if only else ("all", "head"):
            found: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
            for _ in range(rounds):
                for side, command in sides.items():
                    _, _, out = measured([*command, net, trainable, str(IMAGES), str(EPOCHS)])
                    answer = json.loads(out.splitlines()[-1])
                    found[side].append(rates(answer["seconds"]))
                    about[f"{side}, {net}"] = answer["about"]
                print(f"load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
            for i, epoch in enumerate(("first", "later")):
                ours, keras = (statistics.median(r[i] for r in found[side]) for side in sides)
                each = ", ".join(f"{a[i] / b[i]:.2f}" for a, b in zip(found["ours"], found["Keras"], strict=True))
                row = f"| {net} | {trainable} | {epoch} | {ours:.1f} | {keras:.1f} | {ours / keras:.2f} | {each} |"
                print(row, flush=True)
    print("\n" + "\n".join(f"{what}: {said}" for what, said in about.items()))


if __name__ == "__main__":
    main()
