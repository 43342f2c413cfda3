"""Fail when an installed package is not under a licence that we accept, or carries GPL text nobody has looked at.

Run it with the interpreter of the environment to scan: ENV/bin/python tools/check_licences.py
Two questions a package: what it declares (metadata: License-Expression, License, classifiers), and whether the
licence files inside its wheel mention the GPL family, which compiled wheels do for the libraries they bundle.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

ACCEPTED = re.compile(
    r"\b(MIT|MIT-CMU|BSD|0BSD|Apache|ISC|PSF|Python Software Foundation|MPL-2\.0|Mozilla Public License 2\.0|Zlib)\b",
    re.IGNORECASE,
)
GPL_FAMILY = re.compile(
    r"\b(L|A)?GPL(v?\d|\b)|GNU (Lesser|Library|Affero)? ?General Public|GNU Library Public", re.IGNORECASE
)
LICENCE_FILE = re.compile(r"licen[cs]e|copying|notice|third.?party", re.IGNORECASE)
NVIDIA = re.compile(r"^(nvidia-|cuda-)")  # CUDA libraries that torch brings on Linux; NVIDIA's own terms

CODE = {".py", ".pyc", ".pyi", ".so"}

# Each was read; the reason is why it does not bind us.
MENTIONS = {
    "hypothesis": "MPL-2.0 names the GPL as a secondary licence",
    "librt": "its copy of CPython's licence tells the history of Python",
    "ml-dtypes": "bundles Eigen, MPL-2.0, which names the GPL as a secondary licence",
    "mypy": "its copy of CPython's licence tells the history of Python",
    "numpy": "bundles libgfortran (GPL with the GCC runtime exception) and libquadmath (LGPL), linked dynamically",
    "opencv-python-headless": "bundles FFmpeg built without its GPL parts: LGPL-2.1, linked dynamically",
    "openvino": "bundles oneTBB with libstdc++ (GCC runtime exception) and liburing (LGPL OR MIT: used under MIT)",
    "pathspec": "MPL-2.0 names the GPL as a secondary licence",
    "pillow": "bundles FreeType (used under the FTL) and liblzma, whose GPL parts are build scripts",
    "pip": "bundles distlib, whose copy of CPython's licence tells the history of Python",
    "scikit-learn": "bundles libgomp (GPL with the GCC runtime exception)",
    "scipy": "bundles libgfortran (GPL with the GCC runtime exception) and libquadmath (LGPL), linked dynamically",
    "setuptools": "vendors autocommand (LGPL), a build-time helper that nothing of ours imports",
    "torch": "bundles NVTX and LLVM's OpenMP, Apache-2.0 with LLVM's exception, which speaks of the GPLv2",
    "typing-extensions": "its copy of CPython's licence tells the history of Python",
}


def declared(package: Distribution) -> str:
    """What a package says its licence is, on one line; "" where it says nothing."""

    def field(name: str) -> list[str]:
        return package.metadata.get_all(name) or []

    classifiers = [c.split("::")[-1].strip() for c in field("Classifier") if c.startswith("License ::")]
    first_lines = [text.strip().split("\n")[0] for text in field("License")]  # some put the whole text there
    return "; ".join(filter(None, field("License-Expression") or [*first_lines, *classifiers]))


def mentions_gpl(package: Distribution) -> list[str]:
    """The package's licence files that name a licence of the GPL family."""
    found = []
    for file in package.files or []:
        if LICENCE_FILE.search(file.name) and file.suffix not in CODE:
            path = Path(str(file.locate()))
            if path.is_file() and GPL_FAMILY.search(" ".join(path.read_text("utf-8", "replace").split())):
                found.append(str(file))
    return found


def faults_of(name: str, licence: str, gpl_files: list[str]) -> list[str]:
    """One line for each thing wrong with a package; an empty list where nothing is."""
    if NVIDIA.match(name):
        return []
    faults = []
    if GPL_FAMILY.search(licence):
        faults.append(f"{name}: expected a licence outside the GPL family, found {licence!r}. Do without it.")
    elif not ACCEPTED.search(licence):
        faults.append(f"{name}: expected a licence that is accepted, found {licence!r}. Read it; extend ACCEPTED.")
    if gpl_files and name not in MENTIONS:
        faults.append(f"{name}: expected no mention of the GPL, found one in {gpl_files[0]}. Read it; extend MENTIONS.")
    return faults


def main() -> int:
    """Scan this interpreter's environment and print the faults; 1 where there is one."""
    faults, count = [], 0
    for package in distributions():
        name = re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()
        faults += faults_of(name, declared(package), mentions_gpl(package))
        count += 1
    for fault in sorted(faults):
        print(fault)
    print(f"licences: {count} packages, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
