"""CT series from folders, archives and real scanners, as studies."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_making import DEFLATED, EXPLICIT
from series_making import body, nifti, series

from pneumoscope.core.image import Volume
from pneumoscope.core.study import Study, pseudonym
from pneumoscope.errors import InputError
from pneumoscope.io import load
from pneumoscope.io.dicom import DICOM_HEAD
from pneumoscope.io.load import discover, load_study, read


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def voxels_of(study: Study) -> np.ndarray:
    assert study.volume is not None
    assert study.images == ()
    return study.volume.voxels


def refusal(path: Path, series_uid: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        load_study(path, series_uid=series_uid)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert "4711" not in text
    return text


@pytest.mark.parametrize("inside", ["", "CT/lung/"])
def test_a_folder_and_an_archive_give_the_same_study(tmp_path: Path, inside: str) -> None:
    files = series()
    fill(tmp_path / "scan" / inside, files)
    (tmp_path / "scan" / "notes.txt").write_text("hello")
    with zipfile.ZipFile(tmp_path / "scan.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(inside + name, data)
    folder, zipped = load_study(tmp_path / "scan"), load_study(tmp_path / "scan.zip")
    for study in (folder, zipped):
        np.testing.assert_array_equal(voxels_of(study), body())
        assert study.key == pseudonym(f"{pseudonym('MRN-4711')}\n1.9\n1.9.9", "s")
        assert study.patient == pseudonym("MRN-4711")
        assert study.source.series_uid == "1.9.9"
        assert study.source.rule == "the only series"
        assert study.headers["BodyPartExamined"] == "CHEST"
        assert study.volume is not None
        assert study.volume.warnings == study.warnings == ()
    assert folder.source.path == str(tmp_path / "scan" / inside).rstrip("/")
    assert zipped.source.path == str(tmp_path / "scan.zip") + (f"!{inside}".rstrip("/") if inside else "")
    assert folder.volume is not None
    assert folder.volume.slices[0] == f"{tmp_path}/scan/{inside}010.dcm"


def test_series_are_chosen_by_rule_or_by_name(tmp_path: Path) -> None:
    fill(tmp_path, series(ConvolutionKernel="B60f"))
    soft = series(body() + 3, SeriesInstanceUID="1.9.8", SeriesNumber=2, ConvolutionKernel="B30f")
    fill(tmp_path, {f"soft{name}": data for name, data in soft.items()})
    study = load_study(tmp_path)
    np.testing.assert_array_equal(voxels_of(study), body())
    assert study.source.rule == "series 3 of 2 series: lung kernel"
    assert study.warnings == ("Of this study 1 more were not read: series 2 (10 axial).",)
    study = load_study(tmp_path, series_uid="1.9.8")
    np.testing.assert_array_equal(voxels_of(study), body() + 3)
    assert study.source.rule == "the series that was asked for"
    assert "found 2 series: 3 (CT, 10 files, 1.9.9), 2 (CT, 10 files, 1.9.8)" in refusal(tmp_path, "1.9.7")


def test_a_second_file_of_an_instance_is_no_copy_before_its_pixels_say_so(tmp_path: Path) -> None:
    fill(tmp_path, series() | {f"x{n}": d for n, d in series(body() + 5).items()})
    assert "expected one slice at a place, found two with other pixels" in refusal(tmp_path)


def test_control_characters_of_a_header_are_not_told(tmp_path: Path) -> None:
    (warning,) = load_study(fill(tmp_path, series(ImageType=["DERIVED", "\x1b[31mRED"]))).warnings
    assert "\x1b" not in warning


def test_series_uids_that_are_too_long_are_two_all_the_same(tmp_path: Path) -> None:
    for name in "ab":
        more: dict[str, Any] = {"SeriesInstanceUID": f"1.{'2' * 70}.{name}", "SOPInstanceUID": None}
        fill(tmp_path / name, series(z0=-100.0 if name == "a" else -99.0, **more))
    assert load_study(tmp_path).source.rule == "series 3 of 2 series: first path"


def test_a_series_without_a_study_is_one_study(tmp_path: Path) -> None:
    load_study(fill(tmp_path, series(StudyInstanceUID=None)))


def test_another_patient_or_series_is_another_key(tmp_path: Path) -> None:
    made: dict[str, dict[str, Any]] = {
        "a": {},
        "patient": {"PatientID": "2"},
        "series": {"SeriesInstanceUID": "1.9.8"},
        "study": {"StudyInstanceUID": "1.8"},
        "series alone": {"StudyInstanceUID": None},
    }
    keys = [load_study(fill(tmp_path / name, series(**more))).key for name, more in made.items()]
    assert len(set(keys)) == len(made)


def test_a_screen_save_in_a_series_is_left_out(tmp_path: Path) -> None:
    more = {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"], "pixels": body(1, 30)[0], "InstanceNumber": 99}
    fill(tmp_path, series(body(11), spoil={10: more}))
    study = load_study(tmp_path)
    np.testing.assert_array_equal(voxels_of(study), body(11)[:10])
    assert study.warnings == ("Of this study 1 more were not read: series 3 (1 axial).",)
    assert load_study(tmp_path, series_uid="1.9.9").key == study.key


def test_a_number_that_is_none_is_told_with_its_file(tmp_path: Path) -> None:
    spoilt = series()["001.dcm"].replace(b"-10.0\\-20.0\\", b"-10.0\\spoilt")
    (tmp_path / "x.dcm").write_bytes(spoilt)
    assert refusal(tmp_path / "x.dcm").startswith(f"{tmp_path}/x.dcm, ImagePositionPatient: expected a number")
    fill(tmp_path, series())
    (_, why), *_ = discover(tmp_path).ignored
    assert why.startswith("ImagePositionPatient: expected a number")


def test_two_studies_in_one_folder_keep_apart(tmp_path: Path) -> None:
    fill(tmp_path, series())
    fill(tmp_path, {f"x{n}": d for n, d in series(StudyInstanceUID="1.8", SeriesInstanceUID="1.8.1").items()})
    found = discover(tmp_path).found
    assert [f.path for f in found] == [f"{tmp_path}/001.dcm", f"{tmp_path}/x001.dcm"]
    assert "expected one study, found 2" in refusal(tmp_path)
    fill(tmp_path / "b", series(StudyInstanceUID="1.7", SeriesInstanceUID="1.7.1"))
    assert f"{tmp_path}/b" in [f.path for f in discover(tmp_path).found]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "expected slices, found a localizer"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "expected an axial series, found a coronal one"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "expected an axial series, found a sagittal one"),
    ],
)
def test_a_series_that_is_no_axial_scan_is_refused(tmp_path: Path, more: dict[str, Any], says: str) -> None:
    assert f"CT series of 10 slices: {says}" in refusal(fill(tmp_path, series(**more)))


def test_a_derived_series_is_read_with_a_warning(tmp_path: Path) -> None:
    study = load_study(fill(tmp_path, series(ImageType=["DERIVED", "SECONDARY"])))
    assert study.warnings[0].startswith(r"The series is derived from other images (ImageType DERIVED\SECONDARY)")


def test_a_missing_or_spoiled_slice_is_told(tmp_path: Path) -> None:
    files = fill(tmp_path / "a", series(spoil={4: {"leave_out": True}}))
    volume = load_study(files).volume
    assert volume is not None
    assert f"4 mm between {files}/007.dcm and {files}/005.dcm (1 missing)" in volume.warnings[0]
    cut = series()
    cut["006.dcm"] = cut["006.dcm"][:300]
    found = discover(fill(tmp_path / "b", cut))
    assert [p for p, _ in found.ignored] == [f"{tmp_path}/b/006.dcm"]
    assert "(1 missing)" in read(found.found[0]).volume.warnings[0]  # type: ignore[union-attr]
    (tmp_path / "a/005.dcm").unlink()
    with pytest.raises(InputError, match=r"a/005\.dcm: expected a readable file, found no such file"):
        read(found_before(tmp_path / "a", files))


def found_before(folder: Path, files: Path) -> load.Found:
    """What was found before 005.dcm was removed."""
    (folder / "005.dcm").write_bytes(series()["005.dcm"])
    (found,) = discover(files).found
    (folder / "005.dcm").unlink()
    return found


@pytest.mark.parametrize("syntax", [EXPLICIT, DEFLATED])
def test_a_long_header_is_read_whole(tmp_path: Path, syntax: str) -> None:
    profile = np.random.default_rng(0).bytes(2 * DICOM_HEAD)
    files = series(syntax=syntax, ICCProfile=profile)
    assert min(len(d) for d in files.values()) > DICOM_HEAD
    np.testing.assert_array_equal(voxels_of(load_study(fill(tmp_path, files))), body())


def test_only_heads_are_read_to_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, series())
    whole = load._read_file
    seen: list[int | None] = []

    def watched(path: Path, most: int | None = None) -> bytes:
        seen.append(most)
        return whole(path, most)

    monkeypatch.setattr(load, "_read_file", watched)
    discover(tmp_path)
    assert None not in seen


def test_a_scan_in_an_archive_with_other_files(tmp_path: Path) -> None:
    affine = np.diag([-0.5, -0.75, 2, 1])
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("scan.nii", nifti(np.ascontiguousarray(body().transpose(2, 1, 0)), affine))
        for name, data in series().items():
            archive.writestr(f"d/{name}", data)
    found = discover(tmp_path / "x.zip").found
    assert [(f.path.split("!")[1], f.format) for f in found] == [("d", "dicom"), ("scan.nii", "nifti")]
    for one in found:
        np.testing.assert_array_equal(voxels_of(read(one)), body())
    assert "found nifti" in refusal_of_series(tmp_path, affine)


def refusal_of_series(folder: Path, affine: np.ndarray) -> str:
    (folder / "x.nii").write_bytes(nifti(np.ascontiguousarray(body().transpose(2, 1, 0)), affine))
    return refusal(folder / "x.nii", "1.9.9")


# Real series.


def real(folder: Path) -> Volume:
    study = load_study(folder)
    assert study.volume is not None
    assert study.source.rule == "the only series"
    assert study.warnings == ()
    return study.volume


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "slices", "spacing"),
    [("P001", 37, 0.748), ("cap001", 42, 0.59), ("cap002", 33, 0.631), ("normal002", 42, 0.75)],
)
def test_covid_ct_md(shared_data: Path, name: str, slices: int, spacing: float) -> None:
    """JPEG Lossless, invalid and empty UIDs, names out of order; slices.csv has its slices from the top."""
    folder = shared_data / "ct-series" / "covid-ct-md"
    volume = real(folder / name)
    assert volume.shape == (slices, 512, 512)
    assert volume.geometry.spacing_mm == pytest.approx((8, spacing, spacing), abs=1e-3)
    assert volume.warnings == ("Slices of 2 mm are 8 mm apart: what lies between them is not judged.",)
    with (folder / "slices.csv").open() as table:
        rows = [r for r in csv.DictReader(table) if r["patient_id"] == name]
    if rows:
        rows.sort(key=lambda r: -int(r["slice_index_desc"]))
        assert [s.removeprefix(f"{folder}/") for s in volume.slices] == [r["file"] for r in rows]
    # on the back: the spine is behind the middle of the body
    inside = np.argwhere(volume.voxels[slices // 2, :, 192:320] > -200)[:, 0]
    bone = np.argwhere(volume.voxels[slices // 2, :, 192:320] > 250)[:, 0]
    assert np.median(bone) > np.median(inside)


@pytest.mark.shared
def test_lung_pet_ct(shared_data: Path) -> None:
    volume = real(shared_data / "ct-series" / "lung-pet-ct-dx")
    assert volume.shape == (10, 512, 512)
    assert volume.geometry.spacing_mm[0] == 24
    assert volume.warnings == ("Slices of 8 mm are 24 mm apart: what lies between them is not judged.",)
    assert Path(volume.slices[-1]).name == "1-01.dcm"


@pytest.mark.shared
def test_all_of_covid_ct_md_at_once(shared_data: Path) -> None:
    found = discover(shared_data / "ct-series" / "covid-ct-md").found
    assert [Path(f.path).name for f in found] == ["P001", "cap001", "cap002", "normal002"]
    assert [len(f.slices) for f in found] == [37, 42, 33, 42]


@pytest.mark.parametrize("packed", [False, True])
def test_a_slice_that_is_cut_off_before_its_pixels_is_told_in_the_result(tmp_path: Path, packed: bool) -> None:
    """At an end of the series no gap gives it away; a file of another folder is no slice of it."""
    files = series(body(12))
    first, last = min(files), max(files)
    whole = fill(tmp_path / "whole", files)
    assert not any("among its slices" in w for w in load_study(whole).warnings)
    folder = fill(tmp_path / "cut", {**files, last: files[last][: len(files[last]) // 8]})
    fill(tmp_path / "cut" / "elsewhere", {"x.dcm": files[first][: len(files[first]) // 8]})
    if packed:
        with zipfile.ZipFile(tmp_path / "cut.zip", "w") as archive:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                archive.write(path, path.relative_to(tmp_path))
    found = load_study(tmp_path / "cut.zip" if packed else folder)
    assert voxels_of(found).shape[0] == 11
    said = [w for w in found.warnings if "among its slices" in w]
    assert len(said) == 1
    assert said[0].startswith("1 DICOM file(s) among its slices were not read and may be slices of it")
