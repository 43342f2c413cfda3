"""What `data fetch` brings of the sets on GitHub: a zip with one folder on top, read where it was unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from pneumoscope.errors import DataError
from pneumoscope.io.layouts import layouts

COHEN = "patientid,finding,view,modality,folder,filename\n2,Pneumonia/Viral/COVID-19,PA,X-ray,images,a.jpg\n"
FIGURE1 = "patientid,finding,view,modality,artifacts/distortion\nCOVID-00002,COVID-19,PA,X-ray,\n"
ACTUALMED = "patientid,finding,view,modality,imagename\nANON1,COVID-19,PA,X-ray,a.png\n"
FILES = {
    "covid-chestxray-dataset": {"metadata.csv": COHEN, "images/a.jpg": ""},
    "figure1": {"metadata.csv": FIGURE1, "images/COVID-00002.jpg": ""},
    "actualmed": {"metadata.csv": ACTUALMED, "images/a.png": ""},
    "darkcovidnet": {
        "X-Ray Image DataSet/Covid-19/a.jpg": "",
        "X-Ray Image DataSet/No_findings/00000001_000.png": "",
        "X-Ray Image DataSet/Pneumonia/00000002_000.png": "",
    },
    "ucsd-covid-ct": {"Images-processed/CT_COVID/a-p1-2.png": "", "Images-processed/CT_NonCOVID/1.png": ""},
}


def unpacked(name: str, files: dict[str, str], folder: Path) -> Path:
    """The archive that GitHub makes of `files`, unpacked in `folder`."""
    (file,) = layouts().resolve(name).remote
    *_, repository, _, commit = file.url.split("/")
    archive = folder / file.name
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr(f"{repository}-{commit}/README.md", "")
        for path, text in files.items():
            zipped.writestr(f"{repository}-{commit}/{path}", text)
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(folder / name)
    return folder / name


@pytest.mark.parametrize("name", FILES)
def test_a_set_is_read_from_the_folder_its_archive_was_unpacked_in(name: str, tmp_path: Path) -> None:
    root = unpacked(name, FILES[name], tmp_path)
    listing = layouts().resolve(name).read(root)
    assert "covid" in {entry.label for entry in listing.entries}
    assert (listing.missing, listing.extra) == ((), ())
    assert all((root / entry.file).is_file() for entry in listing.entries)


def test_every_set_that_can_be_fetched_is_held_to_this() -> None:
    assert set(FILES) == {name for name in layouts() if layouts().resolve(name).remote}


def test_the_zips_within_are_asked_for(tmp_path: Path) -> None:
    (file,) = layouts().resolve("ucsd-covid-ct").remote
    *_, repository, _, commit = file.url.split("/")
    inside = [zipped.removeprefix(f"{repository}-{commit}/") for zipped in file.inner]
    assert inside == ["Images-processed/CT_COVID.zip", "Images-processed/CT_NonCOVID.zip"]
    root = unpacked("ucsd-covid-ct", dict.fromkeys(inside, ""), tmp_path)
    with pytest.raises(DataError, match="unpack the two zips"):
        layouts().resolve("ucsd-covid-ct").read(root)
