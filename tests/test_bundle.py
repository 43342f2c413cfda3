"""A bundle: one flipped byte anywhere is found, and nothing that is not a bundle is taken for one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from pneumoscope import api
from pneumoscope import bundle as bundles
from pneumoscope.core.resolve import resolve
from pneumoscope.core.serial import digest, to_json
from pneumoscope.errors import BundleError, IntegrityError, PneumoscopeError, RecipeError, UsageError
from pneumoscope.recipes import find

FILES = (
    "bundle.json",
    "familiar.f32",
    "graph.onnx",
    "seen.txt",
    "weights.safetensors",
    "README.md",
    "check/input.png",
    "check/expected.json",
)


def zipped(folder: Path, path: Path, top: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, top + file.relative_to(folder).as_posix())
    return path


def test_a_bundle_holds_what_the_design_says(tiny_bundle: Path) -> None:
    assert {p.relative_to(tiny_bundle).as_posix() for p in tiny_bundle.rglob("*") if p.is_file()} == set(FILES)
    loaded = bundles.load(str(tiny_bundle))
    facts = loaded.facts
    assert facts.recipe.title == "szalay2021:cnn"
    assert facts.threshold == 0.5
    assert facts.precisions["fp32"].validated
    assert facts.precisions["fp32"].largest_difference <= 1e-4
    assert facts.evaluation is not None
    assert any("synthetic" in limit for limit in facts.limits)
    assert len(loaded.seen()) == facts.data.n_images


def test_a_folder_and_its_zip_are_one_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    loaded = bundles.load(str(tiny_bundle))
    loaded.verify()
    for top in ("", "bundle/"):
        same = bundles.load(str(zipped(tiny_bundle, tmp_path / f"b{len(top)}.zip", top)))
        same.verify()
        assert same.facts == loaded.facts
    assert api.verify(str(tmp_path / "b0.zip")) < 1e-3


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_byte_anywhere_is_found(tiny_bundle: Path, name: str) -> None:
    path = tiny_bundle / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=r"Do not use|do not use") as caught:
        api.verify(str(tiny_bundle))
    assert caught.value.exit_code == 4


def test_a_missing_or_added_file_is_found(tiny_bundle: Path) -> None:
    extra = tiny_bundle / "extra.py"
    extra.write_text("x")
    with pytest.raises(IntegrityError, match=r"found 'extra\.py' as well"):
        api.verify(str(tiny_bundle))
    extra.unlink()
    (tiny_bundle / "weights.safetensors").unlink()
    with pytest.raises(IntegrityError, match="found it missing"):
        api.verify(str(tiny_bundle))


def test_a_check_that_gives_another_answer_fails(tiny_bundle: Path) -> None:
    """Hashes all right, answer wrong: what a wrong conversion or a broken runtime looks like."""
    expected = {"probabilities": {"covid": 0.9, "non-covid": 0.1}}
    data = json.dumps(expected).encode()
    (tiny_bundle / "check" / "expected.json").write_bytes(data)
    plain = json.loads((tiny_bundle / "bundle.json").read_text())
    plain["files"]["check/expected.json"] = hashlib.sha256(data).hexdigest()
    plain["id"] = digest({k: v for k, v in plain.items() if k != "id"})[:32]
    (tiny_bundle / "bundle.json").write_text(json.dumps(plain))
    with pytest.raises(IntegrityError, match="expected the stored answer"):
        api.verify(str(tiny_bundle))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"format": 99}, BundleError, "expected bundle format 2, found 99"),
        ({"threshold": 0.1}, IntegrityError, "found it changed"),
    ],
)
def test_facts_that_were_changed_are_refused(
    tiny_bundle: Path, change: dict[str, object], error: type[PneumoscopeError], says: str
) -> None:
    plain = json.loads((tiny_bundle / "bundle.json").read_text()) | change
    (tiny_bundle / "bundle.json").write_text(json.dumps(plain))
    with pytest.raises(error, match=says):
        bundles.load(str(tiny_bundle))


def test_what_is_no_bundle_is_said(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="expected a folder, a zip or a built-in name, found 'nowhere'"):
        bundles.load("nowhere")
    with pytest.raises(BundleError, match=r"expected a bundle with bundle\.json, found none"):
        bundles.load(str(tmp_path))
    (tmp_path / "x.zip").write_bytes(b"not a zip")
    with pytest.raises(PneumoscopeError, match="zip"):
        bundles.load(str(tmp_path / "x.zip"))
    (tmp_path / "bundle.json").write_text("{")
    with pytest.raises(IntegrityError, match="expected JSON"):
        bundles.load(str(tmp_path))


def test_a_bundle_is_never_written_over(tiny_bundle: Path) -> None:
    loaded = bundles.load(str(tiny_bundle))
    with pytest.raises(UsageError, match="expected a new or empty folder"):
        bundles.save(loaded.facts, {}, tiny_bundle)
    bundles.load(str(tiny_bundle)).verify()


def test_the_facts_come_back(tiny_bundle: Path) -> None:
    facts = bundles.load(str(tiny_bundle)).facts
    assert to_json(facts) == json.loads((tiny_bundle / "bundle.json").read_text())


def test_the_built_in_bundle_is_whole_and_answers_as_where_it_was_made() -> None:
    assert "phantom" in bundles.builtin_names()
    assert api.verify("phantom") < 1e-3


def test_a_bundle_for_x_rays_alone_needs_no_step_that_takes_hounsfield_units() -> None:
    """Basu 2020 has none; where CT is taken, too, one must be there."""
    recipe = resolve(find("basu2020")[0])
    bundles._check_prep(recipe)
    with pytest.raises(RecipeError, match=r"found HU left\. Add a window step"):
        bundles._check_prep(dataclasses.replace(recipe, modalities=("xray", "ct")))
