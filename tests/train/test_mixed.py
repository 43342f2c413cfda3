"""X-rays as PNG and CT slices as DICOM in one folder, from training to screening (Szalay et al. 2021: both at once)."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fixtures_trained import MAPPING, RECIPE, TINY
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from pneumoscope import api, phantoms
from pneumoscope import bundle as bundles
from pneumoscope.core.progress import silent
from pneumoscope.core.resolve import resolve
from pneumoscope.io.manifest import read_dataset
from pneumoscope.recipes import find
from pneumoscope.train.data import prepare

SLICES = 18
FEW = TINY | {"stages.head.epochs": "2"}


def ct_slice(number: int, label: str, size: int = 72) -> bytes:
    """The middle slice of a phantom's CT series in HU as DICOM."""
    voxels = phantoms.phantom_ct(label, seed=number, size=size, slices=9).voxels
    stored = (voxels[len(voxels) // 2].astype(np.int32) + 1024).clip(0, 4095).astype("<u2")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["mixed", str(number)])
    out = io.BytesIO()
    ds = FileDataset(out, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID = ds.SeriesInstanceUID = generate_uid(entropy_srcs=["mixed series", str(number)])
    ds.PatientID, ds.PatientName, ds.Modality, ds.BodyPartExamined = f"ct-{number}", "PHANTOM", "CT", "CHEST"
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [5, 5], 5
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, -1024, "HU"
    ds.PixelData = stored.tobytes()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def write_mixed(out: Path, seed: int, *, told: bool = True) -> Path:
    """X-ray phantoms and CT slices with one labels.csv. told: it has a column `modality`."""
    phantoms.write_xrays(out, patients=SLICES, seed=seed, size=72)
    with (out / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = [{**row, "modality": "xray", "view": ""} for row in csv.DictReader(file)]
    (out / "ct").mkdir()
    for i in range(SLICES):
        label = ("covid", "normal")[i % 2]
        (out / "ct" / f"{i:02d}.dcm").write_bytes(ct_slice(1000 * seed + i, label))
        who = f"ct-{seed}-{i // 2 if i < 4 else i}"  # the first four are two patients'
        rows.append(dict.fromkeys(rows[0], "") | {"file": f"ct/{i:02d}.dcm", "label": label, "patient_id": who})
        rows[-1] |= {"group_id": who, "modality": "ct"}
    columns = [name for name in rows[0] if told or name != "modality"]
    with (out / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
    return out


@pytest.fixture(scope="module")
def mixed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a mixed folder; its data lies beside it."""
    folder = tmp_path_factory.mktemp("mixed")
    data = write_mixed(folder / "data", 7)
    api.train(RECIPE, [data], out=folder / "run", mapping=MAPPING, overrides=FEW)
    return folder / "run"


def test_training_on_both_has_figures_of_each(mixed_run: Path) -> None:
    saved = json.loads((mixed_run / "evaluation.json").read_text())
    parts = saved["parts"]["modality"]
    assert list(parts) == ["X-ray", "CT"]
    assert parts["CT"]["counts"] == {"non-covid": 9, "covid": 9}
    assert parts["CT"]["n_patients"] == SLICES - 2
    assert sum(part["n_patients"] for part in parts.values()) == saved["n_patients"]
    with (mixed_run / "predictions.csv").open() as file:
        ct = [row for row in csv.DictReader(file) if row["file"].endswith(".dcm")]
    right = np.mean([row["label"] == row["prediction"] for row in ct])
    assert parts["CT"]["metrics"]["accuracy"]["value"] == pytest.approx(right)
    report = (mixed_run / "report.html").read_text()
    assert "By modality" in report
    assert "By data set" not in report


def test_the_bundle_knows_what_it_learned_from_and_screens_one_of_each(mixed_run: Path, tmp_path: Path) -> None:
    learned = bundles.load(str(mixed_run / "bundle")).facts.data.modalities
    assert learned["ct"] == SLICES
    assert set(learned) == {"xray", "ct"}
    paths = (tmp_path / "slice.dcm", tmp_path / "chest.png")
    paths[0].write_bytes(ct_slice(99, "covid"))
    phantoms.write_png(phantoms.make_xray("covid", seed=99, size=96), paths[1])
    found = api.predict(str(mixed_run / "bundle"), paths, out=tmp_path / "out", explain=True)
    assert [p.accepted for p in found] == [True, True]
    assert all(sum(p.probabilities.values()) == pytest.approx(1, abs=1e-5) for p in found)
    assert len(list((tmp_path / "out" / "maps").iterdir())) == 4


def test_a_finished_bundle_has_figures_of_each_and_files_say_what_they_are(mixed_run: Path, tmp_path: Path) -> None:
    """Nothing in labels.csv says what the DICOM files are: they do."""
    data = write_mixed(tmp_path / "new", 8, told=False)
    found = api.evaluate(str(mixed_run / "bundle"), [data], out=tmp_path / "out", mapping=MAPPING, at=["0.2"])
    assert list(found.parts["modality"]) == ["CT", "not stated"]
    assert sum(found.parts["modality"]["CT"].counts.values()) == SLICES
    assert found.studied[0].name == "fixed 0.5"
    assert {"fixed 0.3", "fixed 0.2"} <= {t.name for t in found.studied}  # the bundle has points of its own beside
    assert found.studied[0].confusion == found.confusion


def test_what_labels_say_of_a_modality_may_be_mended_once_images_are_prepared(tmp_path: Path) -> None:
    """Prepared images are kept by the files' bytes, and the column is no part of them."""
    data = write_mixed(tmp_path / "data", 9, told=False)
    found, variant = find(RECIPE)
    recipe = resolve(found, variant=variant, overrides=TINY)

    def modalities() -> dict[str | None, int]:
        dataset = read_dataset(data, recipe.classes, mapping=MAPPING, modalities=recipe.modalities)
        return Counter(s.modality for s in prepare(dataset, recipe, tmp_path / "cache", silent).dataset.samples)

    first = modalities()
    text = (data / "labels.csv").read_text().splitlines()
    told = [f"{line},{'xray' if '.png' in line else 'ct'}" for line in text[1:]]
    (data / "labels.csv").write_text("\n".join([f"{text[0]},modality", *told]))
    assert modalities() == {"ct": first["ct"], "xray": first[None]}
    assert len(list((tmp_path / "cache").glob("prepared-*.f32"))) == 1


def test_two_folders_have_figures_of_each(mixed_run: Path, tmp_path: Path) -> None:
    one = phantoms.write_xrays(tmp_path / "hospital", patients=6, seed=81, size=72)
    other = phantoms.write_xrays(tmp_path / "archive", patients=9, seed=82, size=72)
    found = api.evaluate(str(mixed_run / "bundle"), [one, other], out=tmp_path / "out", mapping=MAPPING)
    assert {name: part.n_patients for name, part in found.parts["data set"].items()} == {"archive": 9, "hospital": 6}
    assert set(found.parts) == {"data set"}
    assert "By data set" in (tmp_path / "out" / "report.html").read_text()
