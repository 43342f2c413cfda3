from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import threading
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_making import CT, make, without_meta
from PIL import Image

from pneumoscope.core.study import pseudonym
from pneumoscope.errors import InputError
from pneumoscope.io.load import discover, load_study, read

GREY = np.add.outer(np.arange(40), np.arange(30)).astype(np.uint8)


def still(kind: str = "png", shift: int = 0) -> bytes:
    out = io.BytesIO()
    Image.fromarray(GREY + np.uint8(shift)).save(out, kind)
    return out.getvalue()


def xray(**more: Any) -> bytes:
    return make(GREY, WindowCenter=128, WindowWidth=256, **more)


def ct_slice(number: int, **more: Any) -> bytes:
    uids = {"SOPInstanceUID": f"1.9.{number}", "StudyInstanceUID": "1.9", "SeriesInstanceUID": "1.9.9", **more}
    return make(GREY, SOPClassUID=CT, Modality="CT", RescaleSlope=1, RescaleIntercept=-1024, **uids)


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def refusal(path: Path, series_uid: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        load_study(path, series_uid=series_uid)
    text = str(caught.value)
    assert str(path) in text
    assert "expected" in text
    assert "\n" not in text
    assert "Doe" not in text
    return text


@pytest.mark.parametrize("name", ["x.png", "x.dcm", "x"])
def test_content_decides_and_not_the_suffix(tmp_path: Path, name: str) -> None:
    for data, kind in ((still(), "png"), (still("jpeg"), "jpeg"), (xray(), "dicom"), (without_meta(xray()), "dicom")):
        (tmp_path / name).write_bytes(data)
        study = load_study(tmp_path / name)
        assert (study.source.format, study.source.path) == (kind, str(tmp_path / name))


def test_keys_are_stable_pseudonyms(tmp_path: Path) -> None:
    fill(tmp_path, {"a.png": still(), "b.png": still(), "c.png": still(shift=1), "d.dcm": xray()})
    keys = {n: load_study(tmp_path / n).key for n in os.listdir(tmp_path)}
    assert keys["a.png"] == keys["b.png"] != keys["c.png"]
    assert keys["d.dcm"] == pseudonym(f"{pseudonym('MRN-4711')}\n1.2.3\n1.2.3.4", "s")
    assert load_study(tmp_path / "d.dcm").patient == pseudonym("MRN-4711")
    assert load_study(tmp_path / "a.png").patient is None


def test_a_folder_gives_each_still_image_and_each_study(tmp_path: Path) -> None:
    fill(
        tmp_path,
        {
            "b.png": still(),
            "sub/a.jpg": still("jpeg"),
            "pa.dcm": xray(ViewPosition="PA", SeriesInstanceUID="1.2.3.5"),
            "ll.dcm": xray(ViewPosition="LL"),
            "other.dcm": xray(PatientID="2"),
            "labels.csv": b"file,label\n",
            "mr.dcm": xray(Modality="MR", StudyInstanceUID="1.7"),
            "cut.dcm": xray(StudyInstanceUID="1.8")[:300],
            "x.zip": zipped(tmp_path / "x.zip", {"a.png": still()}).read_bytes(),
            ".hidden/c.png": still(),
            ".DS_Store": b"x",
        },
    )
    found = discover(tmp_path)
    assert [f.path for f in found.found] == [f"{tmp_path}/{n}" for n in ("b.png", "other.dcm", "pa.dcm", "sub/a.jpg")]
    why = {Path(p).name: w for p, w in found.ignored}
    assert sorted(why) == ["cut.dcm", "labels.csv", "mr.dcm", "x.zip"]
    assert why["mr.dcm"].startswith("Modality: expected CR, DX or CT, found MR.")
    assert why["labels.csv"].startswith("text")
    assert "not opened" in why["x.zip"]
    study = read(found.found[2])
    assert "ll.dcm (LL)" in study.warnings[0]
    assert "PA" in study.source.rule
    assert study.source.series_uid == "1.2.3.5"


def test_an_archive_is_a_folder(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"a.png": still()}).read_bytes()
    files = {"s/a.png": still(), "s/b.dcm": xray(), "s/readme.txt": b"hello", "inner.zip": inner}
    path = zipped(tmp_path / "x.zip", files)
    found = discover(path)
    assert [f.path for f in found.found] == [f"{path}!s/a.png", f"{path}!s/b.dcm"]
    assert [p for p, _ in found.ignored] == [f"{path}!inner.zip", f"{path}!s/readme.txt"]
    for one, other in zip(found.found, (still(), xray()), strict=True):
        (tmp_path / "y").write_bytes(other)
        np.testing.assert_array_equal(read(one).images[0].pixels, load_study(tmp_path / "y").images[0].pixels)
    assert read(found.found[0]).images[0].source == f"{path}!s/a.png"
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        read(found.found[0])


def test_a_bad_archive_is_refused_whole(tmp_path: Path) -> None:
    assert "a path that leaves it" in refusal(zipped(tmp_path / "x.zip", {"a.png": still(), "../b.png": still()}))


def test_a_series_is_never_another_than_asked(tmp_path: Path) -> None:
    fill(tmp_path, {"a.dcm": xray(SeriesInstanceUID="1.1", SeriesNumber=0), "b.dcm": xray(SeriesInstanceUID="1.2")})
    fill(tmp_path, {"c.png": still()})
    for uid, name in (("1.1", "a.dcm"), ("1.2", "b.dcm")):
        study = load_study(tmp_path, series_uid=uid)
        assert study.source.path == f"{tmp_path}/{name}"
        assert study.source.series_uid == uid
        assert study.warnings == ()
    text = refusal(tmp_path, "1.3")
    assert "expected series '1.3', found 2 series: 0 (DX, 1 files, 1.1), without number (DX, 1 files, 1.2)" in text
    assert "found 1 series" in refusal(tmp_path / "a.dcm", "1.2")
    assert load_study(tmp_path / "a.dcm", series_uid="1.1").source.series_uid == "1.1"
    assert "found png" in refusal(tmp_path / "c.png", "1.1")
    assert "found 0 series" in refusal(fill(tmp_path / "only", {"c.png": still()}), "1.1")


def test_a_few_ct_slices_are_single_images(tmp_path: Path) -> None:
    fill(tmp_path, {f"{i}.dcm": ct_slice(i) for i in range(3)})
    assert load_study(tmp_path / "1.dcm").images[0].unit == "HU"
    assert "expected one study, found 3" in refusal(tmp_path)
    found = discover(tmp_path).found
    assert [f.path for f in found] == [f"{tmp_path}/{i}.dcm" for i in range(3)]
    assert all(read(f).images[0].unit == "HU" for f in found)


def test_several_studies_are_named(tmp_path: Path) -> None:
    fill(tmp_path, {"a.png": still(), "b.png": still()})
    assert f"expected one study, found 2: {tmp_path}/a.png, {tmp_path}/b.png" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "an empty file"),
        (b"GIF89a", "GIF"),
        (b"ObjectType = Image\nNDims = 2\nDimSize = 1 1\n", "MetaImage"),
        (b"file,label\n", "text"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\x08\0\x05\0CS\x0a\0ISO_IR 100", "an unknown format"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, data: bytes, named: str) -> None:
    (tmp_path / "x.png").write_bytes(data)
    assert f"expected PNG, JPEG, DICOM, NIfTI or a zip or folder of these, found {named}." in refusal(
        tmp_path / "x.png"
    )


def test_nothing_usable_says_why_with_counts(tmp_path: Path) -> None:
    assert "found no files" in refusal(tmp_path)
    fill(tmp_path, {"a.txt": b"x", "b.txt": b"y", "c.dcm": xray(Modality="MR")})
    text = refusal(tmp_path)
    assert "3 files of none: 2 x text, no image that is read, 1 x Modality: expected CR, DX or CT, found MR." in text


def test_links(tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside", {"o.png": still()})
    root = fill(tmp_path / "root", {".store/a": still(), "b/b.png": still(shift=1)})
    (root / "a.png").symlink_to(root / ".store/a")
    (root / "b/loop").symlink_to(root)
    (root / "again").symlink_to(root / "b")
    (root / "gone.png").symlink_to(root / "nothing")
    (root / "self").symlink_to(root / "self")
    (root / "out").symlink_to(outside)
    (root / "out.png").symlink_to(outside / "o.png")
    found = discover(root)
    assert len(found.found) == 2
    why = {Path(p).name: w for p, w in found.ignored}
    assert why["out"] == why["out.png"] == "a link that leads out of the folder"
    assert why["gone.png"] == why["self"] == "a link to nothing"
    assert why["loop"] == "a link to what is read already"
    assert "found too many levels of symbolic links" in refusal(root / "self")
    (tmp_path / "way").symlink_to(root)
    assert len(discover(tmp_path / "way").found) == 2


def test_pipes_sockets_and_devices_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    assert "found a pipe" in refusal(tmp_path / "pipe")
    assert "found a socket" in refusal(tmp_path / "socket")
    assert "found a device" in refusal(Path("/dev/null"))
    fill(tmp_path, {"a.png": still()})
    assert dict(discover(tmp_path).ignored) == {f"{tmp_path}/pipe": "a pipe", f"{tmp_path}/socket": "a socket"}


def test_unreadable_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no such file" in refusal(tmp_path / "none.png")
    fill(tmp_path, {"a.png": still(), "b.png": still()})
    plain_open = Path.open

    def denied(self: Path, *args: Any, **options: Any) -> Any:
        if self.name == "a.png":
            raise PermissionError(13, "Permission denied")
        return plain_open(self, *args, **options)

    monkeypatch.setattr(Path, "open", denied)
    assert "found permission denied" in refusal(tmp_path / "a.png")
    found = discover(tmp_path)
    assert [Path(f.path).name for f in found.found] == ["b.png"]
    assert "permission denied" in found.ignored[0][1]


def test_huge_files_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "x.dcm").open("wb") as file:
        file.write(bytes(128) + b"DICM")
        file.truncate(513 * 2**20)  # sparse
    assert "at most 512 MiB" in refusal(tmp_path / "x.dcm")


def test_odd_names_stay_on_one_line(tmp_path: Path) -> None:
    fill(tmp_path, {"a\nb.txt": b"x", "c\x1b[31m.png": still()})
    found = discover(tmp_path)
    assert all("\n" not in p and "\x1b" not in p for p in [found.ignored[0][0], found.found[0].path])
    assert read(found.found[0]).images[0].shape == (40, 30)


def test_a_deep_tree(tmp_path: Path) -> None:
    deep = tmp_path / Path(*["d"] * 200)
    deep.mkdir(parents=True)
    (deep / "a.png").write_bytes(still())
    assert len(discover(tmp_path).found) == 1


def test_threads_leave_the_warning_filters_alone(tmp_path: Path) -> None:
    fill(tmp_path, {"a.jpg": still("jpeg"), "b.dcm": xray()})
    before = list(warnings.filters)
    threads = [threading.Thread(target=load_study, args=(tmp_path / n,)) for n in ("a.jpg", "b.dcm") * 10]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def test_reading_a_png_loads_no_dicom_library(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(still())
    code = (
        "import sys; from pathlib import Path; from pneumoscope.io.load import load_study\n"
        f"load_study(Path({str(tmp_path / 'x.png')!r}))\n"
        "print([m for m in ('pydicom', 'gdcm', 'cv2', 'torch') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# Real files: what each of them is, and what comes of it.

ODD = {
    "dicom/CT_small.dcm": (128, 128, "ct"),
    "dicom/MR_small.dcm": "Modality: expected CR, DX or CT, found MR.",
    "dicom/NM_bone_jpeg2000.dcm": "Modality: expected CR, DX or CT, found NM.",
    "dicom/US_rgb.dcm": "Modality: expected CR, DX or CT, found US.",
    "dicom/cr_chest_fake_monochrome1.dcm": (1024, 1024, "xray"),
    "dicom/cr_chest_pa_jpeg.dcm": (1024, 1024, "xray"),
    "dicom/ct3slice_01.dcm": (512, 512, "ct"),
    "dicom/ct3slice_02.dcm": (512, 512, "ct"),
    "dicom/ct3slice_03.dcm": (512, 512, "ct"),
    "dicom/dx_chest_monochrome1.dcm": (169, 211, "xray"),
    "dicom/lungmask_0.dcm": (512, 512, "ct"),  # no Modality, but the SOP class of CT
    "dicom/lungmask_1.dcm": (512, 512, "ct"),
    "dicom/mr_j2k.dcm": "found MR.",
    "dicom/mr_jpeg.dcm": "found MR.",
    "dicom/mr_jpegls.dcm": "found MR.",
    "dicom/mr_rle.dcm": "found MR.",
    "dicom/no_meta.dcm": (128, 128, "ct"),
    "dicom/rtplan_no_pixels.dcm": "found RTPLAN.",
    "dicom/sliceincr_IM-0001-0007-0001.dcm": (512, 512, "ct"),
    "dicom/sliceincr_IM-0001-0008-0001.dcm": (512, 512, "ct"),
    "dicom/sliceincr_IM-0001-0009-0001.dcm": (512, 512, "ct"),
    "dicom/sliceincr_IM-0001-0010-0001.dcm": (512, 512, "ct"),
    "images/CT_2D_head.mha": "found MetaImage.",
    "images/tbx11k_health_h0001.png": (512, 512, None),
    "images/tbx11k_tb_tb0005.png": (512, 512, None),
    "images/tbx11k_tb_tb0007.png": (512, 512, None),
    "labels.csv": "found text.",
}


@pytest.mark.shared
@pytest.mark.parametrize("name", ODD)
def test_each_odd_input(shared_data: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    path, expected = shared_data / "odd-inputs" / name, ODD[name]
    if isinstance(expected, str):
        assert expected in refusal(path)
    else:
        image = load_study(path).images[0]
        assert (*image.shape, image.modality) == expected
        low, high = (-3100, 5000) if image.unit == "HU" else (0, 1)
        assert low <= image.pixels.min() < image.pixels.max() <= high
    assert capfd.readouterr() == ("", "")


@pytest.mark.shared
def test_no_odd_input_is_forgotten(shared_data: Path) -> None:
    root = shared_data / "odd-inputs"
    there = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    assert there <= set(ODD)


@pytest.mark.shared
def test_the_odd_folder_as_a_whole(shared_data: Path) -> None:
    found = discover(shared_data / "odd-inputs")
    names = {Path(f.path).name: f for f in found.found}
    assert sum(f.format == "png" for f in found.found) == 3
    assert not names["CT_small.dcm"].problem  # the same instance stands there twice
    for name, count in (("ct3slice_01.dcm", 3), ("sliceincr_IM-0001-0007-0001.dcm", 4), ("lungmask_0.dcm", 2)):
        assert f"{count} slices are read as single images" in names[name].rule
    assert len(found.found) == 15
    assert len(found.ignored) == 10


@pytest.mark.shared
def test_air_is_dark_and_bone_is_bright(shared_data: Path) -> None:
    dicom = shared_data / "odd-inputs" / "dicom"
    normal, turned = (load_study(dicom / f"cr_chest_{n}.dcm").images[0] for n in ("pa_jpeg", "fake_monochrome1"))
    lung, spine = normal.pixels[400:500, 230:330].mean(), normal.pixels[400:500, 490:540].mean()
    assert lung < spine
    # the same pixels with a header that says MONOCHROME1: the header is believed
    np.testing.assert_allclose(turned.pixels, 1 - normal.pixels, atol=1e-6)
    inverse = load_study(dicom / "dx_chest_monochrome1.dcm").images[0]
    assert inverse.pixels[150:, 150:].mean() < 0.2 < inverse.pixels[40:60, 60:150].mean()


@pytest.mark.shared
def test_real_single_slices(shared_data: Path) -> None:
    found = discover(shared_data / "ct-series" / "ny-sbu-single").found
    assert len(found) == 8
    assert {read(f).images[0].view for f in found} == {"axial"}


@pytest.mark.shared
def test_real_stills(shared_data: Path) -> None:
    for folder in sorted((shared_data / "xray").iterdir()):
        stills = sorted(p for p in (folder / "images").iterdir())[:10]
        for path in stills:
            image = load_study(path).images[0]
            assert image.unit == "unit"
            assert image.steps == ()
