"""The house rules that can be read off the source: layers, sizes, and calls that have no place in the package.

Source: shared/design.md, section 3. The first half is the checker, the second half proves that each rule can
fail and holds the package to all of them.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PACKAGE = REPO / "src" / "pneumoscope"
LAYERS = (
    ("errors",),
    ("core",),
    ("io", "recipes", "phantoms"),
    ("prep", "evaluate"),
    ("bundle",),
    ("runtime",),
    ("nets",),
    ("train", "explain"),
    ("audit",),
    ("report",),
    ("reading", "running", "planning"),  # of the api's layer: what it reads and runs with
    ("evaluating",),  # and what stands behind a door of it
    ("api", "datasets", "comparing", "tuning"),
    ("demo", "doctor"),
    ("app",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
WITH_TORCH = {"nets", "train", "explain"}  # these import the train extra at the top
# these import some of it inside functions: a recipe's own block, the audit's small models, the making of a split
MAY_REACH = {"recipes": {"torch"}, "audit": {"torch", "timm", "sklearn"}, "evaluate": {"sklearn"}}
MOST_LINES, MOST_LINES_A_FUNCTION = 400, 50
CODE_IN_DATA = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CLI = "app/cli.py"


def distributions_named(requirements: list[str]) -> set[str]:
    """The names in a list of requirements, as PEP 503 normalises them."""
    return {re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", r, maxsplit=1)[0]).lower() for r in requirements}


PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
BASE = distributions_named(PROJECT["dependencies"])
EXTRA = distributions_named(PROJECT["optional-dependencies"]["train"])
OWNERS = packages_distributions()  # importable name -> the distributions that bring it


class Import:
    """One imported module: its dotted name, its line, and whether it is loaded with the file that imports it."""

    def __init__(self, module: str, line: int, *, at_top: bool) -> None:
        self.module, self.line, self.at_top = module, line, at_top


def imports_of(node: ast.AST, *, at_top: bool = True) -> Iterator[Import]:
    """Every import under `node`; those in functions, and those for type checkers alone, are not at the top."""
    for child in ast.iter_child_nodes(node):
        lazy = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or (
            isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
        )
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, at_top=at_top) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = "." * child.level + (child.module or "")
            # `from pneumoscope import api` imports a layer; `from pneumoscope import __version__` does not
            names = {f"{base}.{a.name}" if base == "pneumoscope" else base for a in child.names}
            yield from (Import(name, child.lineno, at_top=at_top) for name in names)
        else:
            yield from imports_of(child, at_top=at_top and not lazy)


def layer_of(file: str) -> str:
    """The layer of a file, named by its path inside the package: `core` of core/image.py, `api` of api.py."""
    return file.split("/")[0].removesuffix(".py")


def own_import_fault(layer: str, found: Import) -> str | None:
    """What is wrong with importing a module of ours from `layer`; None where nothing is."""
    target = [*found.module.split("."), ""][1]
    if target in ("", "__version__") or target == layer:
        return None
    if layer not in RANK or target not in RANK:
        return f"'{layer if layer not in RANK else target}' is in no layer of the design"
    if RANK[target] >= RANK[layer]:
        return f"{layer} imports {target}, which is not to its left"
    if found.at_top and target in WITH_TORCH and layer not in WITH_TORCH:
        return f"{layer} imports {target} at the top, and with it torch; import it inside the function"
    return None


def foreign_import_fault(layer: str, found: Import) -> str | None:
    """What is wrong with importing somebody else's module from `layer`; None where nothing is."""
    name = found.module.split(".")[0]
    if name in CODE_IN_DATA:
        return f"{name}: data that runs code is not read"
    if name in sys.stdlib_module_names:
        return None
    owners = {re.sub(r"[-_.]+", "-", d).lower() for d in OWNERS.get(name, [])}
    if owners & BASE:
        return None
    if not owners & EXTRA:
        return f"{name}: not among the dependencies of pyproject.toml"
    if layer in WITH_TORCH or (not found.at_top and name in MAY_REACH.get(layer, ())):
        return None
    return f"{name}: of the train extra, which {layer} does not import {'at the top' if found.at_top else 'at all'}"


def import_faults(file: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    layer = layer_of(file)
    for found in imports_of(tree):
        if found.module.startswith("."):
            yield found.line, "relative import; write the whole name"
            continue
        ours = found.module.split(".")[0] == "pneumoscope"
        fault = (own_import_fault if ours else foreign_import_fault)(layer, found)
        if fault:
            yield found.line, fault


def call_fault(file: str, call: ast.Call) -> str | None:
    name = ast.unparse(call.func)
    if name in ("eval", "exec", "torch.load"):
        return f"{name}() runs what it reads"
    if name in ("np.load", "numpy.load"):
        safe = any(k.arg == "allow_pickle" and ast.unparse(k.value) == "False" for k in call.keywords)
        return None if safe else "np.load() without allow_pickle=False"
    if file != CLI and name in ("print", "sys.exit", "exit", "quit", "os._exit"):
        return f"{name}() outside {CLI}"
    return None


def call_faults(file: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield node.lineno, "assert: python -O takes it out; raise an error of errors.py"
        elif isinstance(node, ast.Call):
            fault = call_fault(file, node)
            if fault:
                yield node.lineno, fault


def size_faults(text: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    lines = text.count("\n")
    if lines > MOST_LINES:
        yield lines, f"{lines} lines; at most {MOST_LINES}"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = (node.end_lineno or node.lineno) - node.body[0].lineno + 1
            if body > MOST_LINES_A_FUNCTION:
                yield node.lineno, f"{node.name} has {body} lines; at most {MOST_LINES_A_FUNCTION}"


def faults_of(file: str, text: str) -> list[str]:
    """All faults of one file of the package, `file` being its path inside it."""
    tree = ast.parse(text)
    found = chain(import_faults(file, tree), call_faults(file, tree), size_faults(text, tree))
    return [f"{file}:{line}: {fault}" for line, fault in sorted(found)]


# --- each rule can fail, and lets pass what is right -------------------------------------------------------------

BAD = [
    ("core/image.py", "from pneumoscope.io.files import read", "io, which is not to its left"),
    ("core/image.py", "from pneumoscope import api", "api, which is not to its left"),
    ("core/image.py", "import pneumoscope.train.loop", "train, which is not to its left"),
    ("core/image.py", "def f():\n    from pneumoscope.prep import roi", "prep, which is not to its left"),
    ("core/image.py", "class A:\n    from pneumoscope.prep import roi", "prep, which is not to its left"),
    ("io/load.py", "from pneumoscope.phantoms import draw", "phantoms, which is not to its left"),
    ("train/loop.py", "from pneumoscope.explain.cam import cam", "explain, which is not to its left"),
    ("runtime/screen.py", "def f():\n    from pneumoscope.train import run", "train, which is not to its left"),
    ("core/image.py", "from pneumoscope.helpers import x", "'helpers' is in no layer"),
    ("helpers/x.py", "from pneumoscope.core import image", "'helpers' is in no layer"),
    ("api.py", "from pneumoscope.train.run import train", "train at the top"),
    (
        "report/html.py",
        "try:\n    from pneumoscope.explain import cam\nexcept ImportError:\n    cam = None",
        "at the top",
    ),
    ("core/image.py", "from .study import Study", "relative import"),
    ("runtime/engine.py", "import torch", "torch: of the train extra"),
    ("runtime/engine.py", "def f():\n    import torch", "torch: of the train extra"),
    ("recipes/x2021.py", "import torch.nn as nn", "torch: of the train extra"),
    ("evaluate/metrics.py", "from sklearn.metrics import auc", "sklearn: of the train extra"),
    ("evaluate/metrics.py", "def f():\n    import torch", "torch: of the train extra"),
    ("prep/roi.py", "import scipy.ndimage", "scipy: not among the dependencies"),
    ("app/cli.py", "import click", "click: not among the dependencies"),
    ("app/cli.py", "import nosuchpackage", "nosuchpackage: not among the dependencies"),
    ("io/files.py", "import pickle", "pickle: data that runs code"),
    ("train/loop.py", "def f():\n    from joblib import load", "joblib: data that runs code"),
    ("io/files.py", "x = eval('1')", "eval()"),
    ("io/files.py", "def f(s):\n    exec(s)", "exec()"),
    ("nets/weights.py", "import torch\ntorch.load('x', weights_only=True)", "torch.load()"),
    ("io/files.py", "import numpy as np\nnp.load('x')", "without allow_pickle=False"),
    ("io/files.py", "import numpy as np\nnp.load('x', allow_pickle=True)", "without allow_pickle=False"),
    ("io/files.py", "assert 1", "assert"),
    ("io/files.py", "print(1)", "print() outside"),
    ("train/run.py", "import sys\nsys.exit(1)", "sys.exit() outside"),
    ("io/files.py", "x = 1\n" * 401, "401 lines"),
    ("io/files.py", "def f():\n" + "    x = 1\n" * 51, "f has 51 lines"),
]

GOOD = [
    ("core/image.py", "import numpy as np\nfrom pneumoscope import __version__\nfrom pneumoscope.core import study"),
    ("io/files.py", "import numpy as np\nnp.load('x', allow_pickle=False)"),
    ("api.py", "def train():\n    from pneumoscope.train.run import train\n    return train"),
    ("api.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pneumoscope.train.run import Run"),
    ("evaluate/split.py", "def f():\n    from sklearn.model_selection import KFold\n    return KFold"),
    ("recipes/x2021.py", "def block():\n    import torch\n    return torch"),
    ("train/loop.py", "import torch\nimport sklearn\nfrom pneumoscope.nets import build\nbuild.net().eval()"),
    ("app/cli.py", "import sys\nimport typer\nprint(1)\nsys.exit(0)"),
    ("io/files.py", "x = 1\n" * 400),
    ("io/files.py", "def f():\n" + "    x = 1\n" * 50),
]


@pytest.mark.parametrize(("file", "text", "fault"), BAD)
def test_a_broken_rule_is_found(file, text, fault):
    found = faults_of(file, text)
    assert len(found) == 1
    assert fault in found[0]


@pytest.mark.parametrize(("file", "text"), GOOD)
def test_what_is_right_passes(file, text):
    assert faults_of(file, text) == []


def test_a_fault_names_its_line():
    assert faults_of("io/files.py", "x = 1\nprint(x)")[0].startswith("io/files.py:2: ")


# --- the package -------------------------------------------------------------------------------------------------


def test_the_package_keeps_the_rules():
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 20
    faults = [faults_of(path.relative_to(PACKAGE).as_posix(), path.read_text("utf-8")) for path in files]
    assert list(chain.from_iterable(faults)) == []


def test_no_file_beside_the_package_is_too_long():
    files = chain.from_iterable((REPO / folder).rglob("*.py") for folder in ("tests", "tools", "benchmarks"))
    lengths = {str(path.relative_to(REPO)): path.read_text("utf-8").count("\n") for path in files}
    assert {name: count for name, count in lengths.items() if count > MOST_LINES} == {}
