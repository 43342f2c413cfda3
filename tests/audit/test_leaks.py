"""Identical files: under two patients a leak, with two labels an error, within one patient a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from pneumoscope.audit.leaks import check_leaks
from pneumoscope.core.dataset import ClassSet, Dataset, Sample
from pneumoscope.errors import DataError, LeakError
from pneumoscope.io.manifest import join, read_dataset

CLASSES = ClassSet(names=("non-covid", "covid"), positive="covid")


def dataset(*rows: tuple[str, str, str, str], grouped: bool = True) -> Dataset:
    """Samples of (file, label, group, digest)."""
    samples = tuple(Sample(file=f, label=label, group=g, digest=d) for f, label, g, d in rows)
    return Dataset(root=".", samples=samples, classes=CLASSES, grouped=grouped)


def test_different_files_say_nothing() -> None:
    assert check_leaks(dataset(("a", "covid", "p1", "1"), ("b", "covid", "p1", "2"), ("c", "covid", "p2", "3"))) == ()


def test_identical_files_of_two_patients_are_a_leak() -> None:
    rows = [(f"{name}{i}.png", "covid", f"{name}{i}", str(i)) for i in range(5) for name in "xy"]
    with pytest.raises(LeakError, match=r"found 5 file\(s\) in several: 'x0.png' = 'y0.png';.*; \.\.\.\. Give each"):
        check_leaks(dataset(*rows))


def test_the_leak_names_files_and_no_patient() -> None:
    with pytest.raises(LeakError) as caught:
        check_leaks(dataset(("a", "covid", "psecret", "1"), ("b", "covid", "pother", "1")))
    assert "psecret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_in_an_ungrouped_set_too() -> None:
    with pytest.raises(LeakError, match="Give all files a group_id, or keep one"):
        check_leaks(dataset(("a", "covid", "fa", "1"), ("b", "covid", "fb", "1"), grouped=False))


def test_identical_files_with_two_labels_are_an_error_first() -> None:
    rows = [
        ("a", "covid", "p1", "1"),
        ("b", "non-covid", "p1", "1"),
        ("c", "covid", "p2", "2"),
        ("d", "covid", "p3", "2"),
    ]
    with pytest.raises(DataError, match=r"found 1 file\(s\) with several \(covid, non-covid\): 'a' = 'b'") as caught:
        check_leaks(dataset(*rows))
    assert not isinstance(caught.value, LeakError)


def test_identical_files_of_one_patient_are_named() -> None:
    found = check_leaks(dataset(("a", "covid", "p1", "1"), ("b", "covid", "p1", "1"), ("c", "covid", "p1", "2")))
    assert found == (("a", "b"),)


def test_a_missing_digest_is_not_taken_for_equal() -> None:
    with pytest.raises(DataError, match="expected the digest of every file"):
        check_leaks(dataset(("a", "covid", "p1", ""), ("b", "covid", "p2", "")))


THREE = {"normal": "non-covid", "pneumonia": "non-covid"}
REAL = {
    "xray/darkcovidnet": (THREE, 1),
    "xray/ieee8023": (THREE, 0),
    "xray/actualmed": ({"normal": "non-covid"}, 0),
    "xray/figure1": (THREE, 0),
    "ct-slices/sars-cov-2-ct": ({}, 0),
    "ct-slices/ucsd-covid-ct": ({}, 0),
    "ct-slices/husp-slices": ({"normal": "non-covid"}, 0),
}


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_real_sets_hold_no_exact_leak(shared_data: Path, name: str) -> None:
    mapping, warnings = REAL[name]
    assert len(check_leaks(read_dataset(shared_data / name, CLASSES, mapping=mapping))) == warnings


@pytest.mark.shared
def test_two_real_sets_share_files_of_the_same_patients(shared_data: Path) -> None:
    both = join([read_dataset(shared_data / "xray" / n, CLASSES, mapping=THREE) for n in ("darkcovidnet", "ieee8023")])
    assert len(check_leaks(both)) == 10
