"""A bundle: a trained method as data, never code.

A folder, or a zip of it: `bundle.json` (all facts, and the SHA-256 of every other file), `graph.onnx`,
`weights.safetensors`, `README.md` (the model card) and `check/` (a tiny input and its expected output); of a method
with networks of studies also `graph_study.onnx` and `weights_study.safetensors`. The bundle's id is the digest of
bundle.json without the id, so one flipped byte anywhere is found.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from pneumoscope.core.files import new_folder, write_bytes, write_json
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.registry import did_you_mean
from pneumoscope.core.result import Evaluation
from pneumoscope.core.serial import Mismatch, digest, from_json, parse_json, to_json
from pneumoscope.core.trust import Trust
from pneumoscope.errors import BundleError, IntegrityError

FORMAT = 2
FACTS = "bundle.json"
GRAPH = "graph.onnx"
WEIGHTS = "weights.safetensors"
STUDY_GRAPH = "graph_study.onnx"
STUDY_WEIGHTS = "weights_study.safetensors"
SEEN = "seen.txt"  # the first 16 hex digits of the SHA-256 of every file that anything of it was trained on
CARD = "README.md"
CHECK_INPUT = "check/input.png"
CHECK_EXPECTED = "check/expected.json"
MOST_FACTS = 64 * 2**20  # bytes of bundle.json; a million training images take 25 MiB
MOST_BYTES = 2 * 2**30  # bytes of any other file, and of all of a zip's; ONNX ends there too


@dataclass(frozen=True, kw_only=True)
class DataCard:
    """What a bundle was trained on.

    counts: class -> images. modalities: "xray", "ct" or "not stated" -> images, by the files or the manifest. sources:
    as the manifest's `source` column names them. told: "view", "sex", "age" -> value -> images, where data states it.
    """

    n_images: int
    n_patients: int
    grouped: bool
    counts: Mapping[str, int]
    modalities: Mapping[str, int]
    sources: tuple[str, ...]
    dataset: str
    left_out: Mapping[str, int] = field(default_factory=dict)
    told: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How far a precision's probabilities are from torch's in fp32, on `n_images` images of the training data.

    changed: decisions that differ, for studies where studies are judged. validated: the bundle may be run in it.
    """

    validated: bool
    largest_difference: float
    changed: int
    n_images: int


@dataclass(frozen=True, kw_only=True)
class PretrainedWeights:
    """The weights that training started from, and whose terms therefore matter.

    bn_eps: epsilon of the backbone's BatchNorms, None where it has none; tensors do not say it.
    """

    name: str
    digest: str
    origin: str
    licence: str
    bn_eps: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that bundle.json says; see the design, section 4.

    threshold: on the positive class's probability, calibrated; None for argmax. files: path -> SHA-256.
    trust: calibration, prediction sets and operating points; None in bundles older than these, whose answers are the
    graph's own.
    before: what stages of other data roles learned from, by role.
    explains: name of the layer whose Grad-CAM is an output of the graph.

    Raises:
        BundleError: a threshold that no class has, or that is no probability; a calibration of other classes.
    """

    format: int = FORMAT
    name: str
    created: str
    pneumoscope: str
    recipe: Recipe
    threshold: float | None
    precisions: Mapping[str, Precision]
    explains: str
    evaluation: Evaluation | None
    data: DataCard
    pretrained: PretrainedWeights | None
    intended_use: str
    limits: tuple[str, ...]
    licence: str
    before: Mapping[str, DataCard] = field(default_factory=dict)
    trust: Trust | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    id: str = ""

    def __post_init__(self) -> None:
        # the next number above 1 is what a rule that calls none positive fits; see evaluate.decide
        if self.threshold is not None and not 0 <= self.threshold <= math.nextafter(1, 2):
            raise BundleError(f"threshold: expected a probability from 0 to 1, found {self.threshold}.")
        if self.threshold is not None and self.recipe.classes.positive is None:
            raise BundleError("threshold: expected a positive class that it is about, found none.")
        if self.trust is not None:
            _check_trust(self.trust, self.recipe.classes.names)


def _check_trust(trust: Trust, names: tuple[str, ...]) -> None:
    if trust.calibrator.kind == "isotonic" and len(names) != 2:
        raise BundleError(f"trust.calibrator: expected two classes for 'isotonic', found {len(names)}.")
    limits = trust.conformal.limits if trust.conformal is not None else trust.shares
    if set(trust.shares) != set(names) or set(limits) != set(names):
        raise BundleError(f"trust: expected figures of {', '.join(names)}, found those of other classes.")
    if not all(0 <= share <= 1 for share in trust.shares.values()):
        raise BundleError("trust.shares: expected shares in 0..1, found others.")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What check/expected.json says. probabilities: class -> torch's answer to check/input.png, 0..1."""

    probabilities: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """A bundle whose facts are verified; its other files are verified as they are read."""

    path: str
    facts: Facts
    members: Mapping[str, bytes | Path]

    def seen(self) -> set[str]:
        """The first 16 hex digits of the SHA-256 of every file that it learned from; they say nothing of a patient.

        Raises:
            BundleError, IntegrityError: see `read`.
        """
        return set(self.read(SEEN).decode("ascii", "replace").split())

    def read(self, name: str) -> bytes:
        """The bytes of one file, after its hash is checked.

        Raises:
            BundleError: the bundle has no such file.
            IntegrityError: other bytes than those that were hashed.
        """
        if name not in self.facts.files:
            raise BundleError(f"{self.path}: expected a file '{name}' in the bundle, found none.")
        if name not in self.members:
            raise _damaged(f"expected the file '{name}' that bundle.json lists, found it missing")
        data = _bytes(self.members[name], name, MOST_BYTES)
        found = hashlib.sha256(data).hexdigest()
        if found != self.facts.files[name]:
            raise _damaged(f"{name}: expected SHA-256 {self.facts.files[name][:16]}, found {found[:16]}")
        return data

    def verify(self) -> None:
        """Check every hash, and that no file is missing or added.

        Raises:
            IntegrityError: the first difference.
        """
        for name in self.facts.files:
            self.read(name)
        added = sorted(set(self.members) - set(self.facts.files) - {FACTS})
        if added:
            raise _damaged(f"expected only the files that bundle.json lists, found '{added[0]}' as well")

    def expected(self) -> Expected:
        """The answer that the bundle's own check must give.

        Raises:
            BundleError, IntegrityError: no such file, a changed one, or one that says something else.
        """
        try:
            return from_json(Expected, parse_json(self.read(CHECK_EXPECTED), CHECK_EXPECTED))
        except Mismatch as error:
            raise BundleError(
                f"{CHECK_EXPECTED}: expected a probability for each class, found no such. {error}"
            ) from error


def save(facts: Facts, files: Mapping[str, bytes], path: Path) -> Bundle:
    """Write a bundle folder, whole or not at all; fills in the hashes and the id.

    Raises:
        UsageError: `path` exists and is not empty.
    """
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    facts = dataclasses.replace(facts, files=hashes, id="")
    facts = dataclasses.replace(facts, id=_id(to_json(facts)))
    with new_folder(path) as folder:
        for name, data in files.items():
            write_bytes(folder / name, data)
        write_json(folder / FACTS, facts)
    return load(str(path))


def load(name: str) -> Bundle:
    """The bundle at a folder or zip, or the built-in one of that name.

    Raises:
        BundleError: no bundle there, one of a format this version does not read, or one whose facts contradict
            each other.
        IntegrityError: a bundle.json that was changed.
    """
    try:
        members = _members(name)
    except OSError as error:
        raise BundleError(f"bundle: expected a path that can be read, found {error.strerror}. Name another.") from error
    if FACTS not in members:
        raise BundleError(f"{name}: expected a bundle with {FACTS}, found none. Train one, or name a built-in one.")
    return Bundle(path=name, facts=_facts(name, _bytes(members[FACTS], FACTS, MOST_FACTS)), members=members)


def builtin_names() -> list[str]:
    """Names of the bundles that ship with the package."""
    folder = _builtin_folder()
    return sorted(p.name for p in folder.iterdir() if (p / FACTS).is_file()) if folder.is_dir() else []


def _builtin_folder() -> Path:
    return Path(str(resources.files("pneumoscope"))) / "builtin"


def _members(name: str) -> dict[str, bytes | Path]:
    path = Path(name)
    if path.is_dir():
        return _folder_members(path)
    if path.is_file():
        return _zip_members(path)
    if name in builtin_names():
        # ours, where an installer may have put links
        return _files_under(_builtin_folder() / name)
    raise BundleError(
        f"bundle: expected a folder, a zip or a built-in name, found '{name}'. {did_you_mean(name, builtin_names())}"
    )


def _folder_members(folder: Path) -> dict[str, bytes | Path]:
    # a link could lead to any file of this machine
    links = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*")) if p.is_symlink()]
    if links:
        raise BundleError(
            f"{folder}: expected files alone, found the symbolic link '{links[0]}'. Copy the file itself."
        )
    return _files_under(folder)


def _files_under(folder: Path) -> dict[str, bytes | Path]:
    return {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}


def _bytes(member: bytes | Path, name: str, most: int) -> bytes:
    try:
        size = len(member) if isinstance(member, bytes) else member.stat().st_size
        if size <= most:
            return member if isinstance(member, bytes) else member.read_bytes()
    except OSError as error:
        raise BundleError(f"bundle: {name}: expected a file that can be read, found {error.strerror}.") from error
    raise BundleError(f"bundle: {name}: expected at most {most // 2**20} MiB, found {size // 2**20} MiB.")


def _zip_members(path: Path) -> dict[str, bytes | Path]:
    from pneumoscope.io import archive

    with archive.open_archive(path) as opened:
        infos = archive.members(opened)
        total = sum(info.file_size for info in infos)
        if total > MOST_BYTES:
            raise BundleError(
                f"{path}: expected at most {MOST_BYTES // 2**20} MiB, found {total // 2**20} MiB. Unpack it first."
            )
        names = [info.filename for info in infos]
        # a folder that was zipped whole stands under its own name
        tops = [name.removesuffix(FACTS) for name in names if name.rpartition("/")[2] == FACTS]
        top = tops[0] if len(tops) == 1 else ""
        return {name.removeprefix(top): archive.read_member(opened, name) for name in names if name.startswith(top)}


def _facts(name: str, data: bytes) -> Facts:
    try:
        plain = parse_json(data, FACTS)
    except Mismatch as error:
        raise _damaged(str(error).rstrip(".")) from error
    found = plain.get("format") if isinstance(plain, dict) else None
    if found != FORMAT:
        raise BundleError(
            f"{name}: expected bundle format {FORMAT}, found {found!r}. Use the pneumoscope that made it."
        )
    try:
        if plain.get("id") != _id(plain):
            raise _damaged(f"{FACTS}: expected the content that its id was made from, found it changed")
        facts = from_json(Facts, plain)
        _check_prep(facts.recipe)
    except IntegrityError:
        raise
    except ValueError as error:  # Mismatch, a type's own rule, or text that is no Unicode
        said = str(error)[:500]
        raise BundleError(f"{name}: expected facts that this pneumoscope reads, found others. {said}") from error
    return facts


def _check_prep(recipe: Recipe) -> None:
    """Prepare an empty image of each kind that the recipe takes: what does not fit is found before any user's image."""
    import numpy as np

    from pneumoscope.core.image import Image2D
    from pneumoscope.prep import pipeline
    from pneumoscope.prep.sizes import input_size

    input_size(recipe)
    if "ct" not in recipe.modalities or recipe.of_volumes:
        return
    slice_ = Image2D(pixels=np.zeros((64, 64), np.float32), unit="HU")
    try:
        with np.errstate(over="raise", invalid="raise"):
            pipeline.run(slice_, recipe.prep)
    except FloatingPointError as error:
        raise BundleError(f"prep: expected numbers that pixels hold, found others ({error}).") from error


def _id(plain: Mapping[str, object]) -> str:
    return digest({k: v for k, v in plain.items() if k != "id"})[:32]


def _damaged(what: str) -> IntegrityError:
    return IntegrityError(f"bundle: {what}. Get the bundle again; do not use this copy.")
