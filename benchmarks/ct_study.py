"""A CT study of 300 slices, from the folder to a prediction that a report can be made of, three ways side by side.

Run: python benchmarks/ct_study.py WORK [ROUNDS [SLICES [THREADS]]]   THREADS: of each side, all cores unless told.
Where the machine is shared, compare the CPU seconds of one thread: threads that wait for each other spend CPU too.
Goal: 8 times pydicom + scikit-image + eager torch, slice by slice; 10 times Keras. garg2021's networks with drawn
weights, the same on all sides, and one resize; probabilities, decisions and the slices shown are compared. "study" is
measured with the network loaded and warm; "process" is all of a fresh process, imports too.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from common import machine, measured

TORCH_SIDE = ("scikit-image==0.26.0", "SimpleITK==2.5.7")
KERAS_SIDE = (
    *("tensorflow-cpu==2.21.0", "keras==3.15.1", "pydicom==3.0.2", "scikit-image==0.26.0"),
    *("opencv-python-headless==5.0.0.93", "safetensors==0.8.0"),
)
TOLERANCE = 1e-3
KERAS_BATCH = "32"
HERE = Path(__file__).parent
Answer = dict[str, Any]


def python_with(folder: Path, packages: tuple[str, ...], *, running: bool = False) -> str:
    """The Python of an environment with the packages, made where it is not there whole.

    running: it also has what the running Python has, whose torch need not be installed twice.
    """
    python, whole = folder / "bin" / "python", folder / "whole"
    if not whole.exists():
        venv.create(folder, with_pip=True, clear=True, symlinks=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        if running:
            own = subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
            theirs = subprocess.check_output(
                [sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
            )
            (Path(own.decode().strip()) / "running.pth").write_bytes(theirs)
        whole.touch()
    return str(python)


def torch_side(work: Path) -> str:
    """The Python that has torch and scikit-image."""
    return python_with(work / "torch-side", TORCH_SIDE, running=True)


def asked(command: list[str]) -> Answer:
    """What a side printed, with the wall seconds and the peak memory of its whole process."""
    wall, memory, out = measured(command)
    return {**json.loads(out.splitlines()[-1]), "wall": wall, "memory": memory}


def apart(ours: Answer, theirs: Answer) -> tuple[float, float]:
    """Largest difference of a probability, and of a map that is shown.

    Raises:
        RuntimeError: another decision, other slices shown, or probabilities further apart than `TOLERANCE`.
    """
    pairs = [*zip([ours["study"], *ours["slices"]], [theirs["study"], *theirs["slices"]], strict=True)]
    probabilities = max(abs(a - b) for x, y in pairs for a, b in zip(x, y, strict=True))
    decided = [max(range(3), key=side["study"].__getitem__) for side in (ours, theirs)]
    if decided[0] != decided[1] or list(ours["maps"]) != list(theirs["maps"]) or probabilities > TOLERANCE:
        raise RuntimeError(
            f"expected one answer within {TOLERANCE}, found {ours['study']} and {theirs['study']}, {probabilities:.2e} "
            f"apart, slices {[*ours['maps']]} and {[*theirs['maps']]}"
        )
    rows = [(a, b) for n in ours["maps"] for a, b in zip(ours["maps"][n], theirs["maps"][n], strict=True)]
    return probabilities, max(abs(a - b) for x, y in rows for a, b in zip(x, y, strict=True))


def main() -> None:
    work = Path(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    slices = sys.argv[3] if len(sys.argv) > 3 else "300"
    if len(sys.argv) > 4:
        os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), sys.argv[4]))
    subprocess.run([sys.executable, HERE / "ct_bundle.py", work, slices], check=True)
    given = [str(work / "bundle"), str(work / f"study-{slices}")]
    keras = python_with(work / "keras-side", KERAS_SIDE)
    sides = {
        "pneumoscope": [os.environ.get("BASE_PYTHON", sys.executable), str(HERE / "ct_ours.py"), *given],
        "eager torch": [torch_side(work), str(HERE / "ct_eager.py"), *given],
        "Keras": [keras, str(HERE / "ct_keras.py"), *given, KERAS_BATCH],
    }
    found: dict[str, list[Answer]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, command in sides.items():
            found[name].append(asked(command))
            one = found[name][-1]
            told = f"{name}: study {one['seconds']:.2f} s, {one['cpu']:.2f} CPU, process {one['wall']:.2f} s"
            print(f"{told}, {one['whole_cpu']:.2f} CPU, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    print(f"{machine()}; {slices} slices, medians of {rounds}\n")
    table(found)
    for name, answers in found.items():
        parts = ", ".join(
            f"{part} {statistics.median(a['parts'][part] for a in answers):.2f}" for part in answers[0].get("parts", ())
        )
        print(f"\n{name}: {answers[0]['about']}. {parts}")
    subprocess.run([*sides["pneumoscope"], "parts"], check=True)


def table(found: dict[str, list[Answer]]) -> None:
    """Seconds of each side, and how many times ours they are, round by round."""
    print("| | study s (CPU s) | process s (CPU s) | MB | study, times ours | CPU | each round | process | apart |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    ours = found["pneumoscope"]

    def median(answers: list[Answer], key: str) -> float:
        return statistics.median(a[key] for a in answers)

    for name, answers in found.items():
        times = {k: median(answers, k) / median(ours, k) for k in ("seconds", "cpu", "wall")}
        each = ", ".join(f"{a['seconds'] / b['seconds']:.1f}" for a, b in zip(answers, ours, strict=True))
        far = "" if answers is ours else "{:.1e}, maps {:.1e}".format(*apart(ours[0], answers[0]))
        print(
            f"| {name} | {median(answers, 'seconds'):.2f} ({median(answers, 'cpu'):.2f}) "
            f"| {median(answers, 'wall'):.2f} ({median(answers, 'whole_cpu'):.2f}) | {median(answers, 'memory'):.0f} "
            f"| {times['seconds']:.1f} | {times['cpu']:.1f} | {each} | {times['wall']:.1f} | {far} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
