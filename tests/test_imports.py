"""What a start loads: nothing heavy for `import pneumoscope` and `--help`, nothing of the train extra for screening."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

TRAIN = ["torch", "torchvision", "timm", "monai", "safetensors", "onnx", "onnxscript", "sklearn", "scipy"]
HEAVY = [*TRAIN, "openvino", "openvino_telemetry", "cv2", "PIL", "pydicom", "gdcm", "jinja2", "numpy"]

HELP = """
import sys
sys.argv = {argv!r}
from pneumoscope.app.cli import main
try:
    main()
except SystemExit as stop:
    code = stop.code or 0
else:
    code = 0
"""

IMPORT_EACH = """
import importlib, pkgutil, sys
for name in {absent!r}:
    sys.modules[name] = None  # as if it were not installed
import pneumoscope
def import_each(path, prefix):
    for m in pkgutil.iter_modules(path, prefix):
        if m.name.split('.')[1] not in {skipped!r}:
            module = importlib.import_module(m.name)
            if m.ispkg:
                import_each(module.__path__, m.name + '.')
import_each(pneumoscope.__path__, 'pneumoscope.')
"""


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh Python has loaded after `code`."""
    tail = "\nimport json, sys\nprint()\nprint(json.dumps([n for n, m in sys.modules.items() if m is not None]))"
    run = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    return {name.split(".")[0] for name in json.loads(run.stdout.splitlines()[-1])}


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import pneumoscope") & set(HEAVY) == set()


@pytest.mark.parametrize("argv", [["pneumoscope", "--help"], ["pneumoscope", "demo", "--help"]])
def test_help_loads_nothing_heavy(argv):
    assert loaded_by(HELP.format(argv=argv) + "\nif code: raise SystemExit(code)") & set(HEAVY) == set()


def test_what_screening_needs_imports_without_the_train_extra():
    loaded = loaded_by(IMPORT_EACH.format(absent=TRAIN, skipped=["nets", "train", "explain"]))
    assert "pneumoscope" in loaded


def test_the_train_layers_import_without_warnings():
    loaded = loaded_by("import warnings\nwarnings.simplefilter('error')" + IMPORT_EACH.format(absent=[], skipped=[]))
    assert "torch" in loaded
    assert "openvino_telemetry" not in loaded
