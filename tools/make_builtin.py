"""Make the bundle that ships with the package: the paper's small CNN, trained on synthetic patients alone.

Run: python tools/make_builtin.py WORK   (about 10 minutes on 2 cores; resumes). It replaces
src/pneumoscope/builtin/phantom. Needs the extra [train] and constraints.txt's versions.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

from pneumoscope import api, bundle, phantoms
from pneumoscope.demo import MAPPING, RECIPE
from pneumoscope.report.card import model_card

OVERRIDES = {"prep.resize.size": "128", "stages.head.epochs": "24", "protocols.honest.folds": "3"}
PATIENTS = 900
SEED = 20_261_120
LICENCE = "Apache-2.0; trained on synthetic patients that pneumoscope itself makes"
TARGET = Path(__file__).resolve().parents[1] / "src" / "pneumoscope" / "builtin" / "phantom"


def main(work: Path) -> None:
    """Train in `work` and put the bundle where the package ships it."""
    if not (work / "data").exists():
        phantoms.write_xrays(work / "data", patients=PATIENTS, seed=SEED, size=256)
    api.train(RECIPE, [work / "data"], out=work / "run", mapping=MAPPING, overrides=OVERRIDES, say=print)
    made = bundle.load(str(work / "run" / "bundle"))
    facts = dataclasses.replace(made.facts, name="phantom", licence=LICENCE)
    files = {name: made.read(name) for name in facts.files} | {bundle.CARD: model_card(facts).encode()}
    shutil.rmtree(TARGET, ignore_errors=True)
    bundle.save(facts, files, TARGET)
    print(f"check within {api.verify(str(TARGET)):.1e}: {TARGET}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
