"""labels.csv: what is read, what is refused, and that no identifier gets out."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.study import pseudonym
from pneumoscope.errors import DataError, UsageError
from pneumoscope.io import contents
from pneumoscope.io.manifest import check_complete, check_mapping, join, read_dataset, write_labels

CLASSES = ClassSet(names=("non-covid", "covid"), positive="covid")
GOOD = "file,label,patient_id\na.png,covid,P1\nb.png,non-covid,P2\n"


def folder(root: Path, labels: str | bytes | None = GOOD, files: Sequence[str] = ("a.png", "b.png")) -> Path:
    root.mkdir(exist_ok=True, parents=True)
    for name in files:
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_bytes(b"pixels of " + name.encode())
    if labels is not None:
        (root / "labels.csv").write_bytes(labels if isinstance(labels, bytes) else labels.encode())
    return root


def test_a_sample_is_what_its_row_and_its_bytes_say(tmp_path: Path) -> None:
    text = (
        "file,label,patient_id,group_id,view,source,split,notes\n"
        'x/a.png, covid ,P1,g1,PA,somewhere,train,"1, 2"\n'
        "./b.png,non-covid,P2,,,,,\n"
    )
    data = read_dataset(folder(tmp_path, text, ["x/a.png", "b.png"]), CLASSES)
    b, a = data.samples
    assert (a.file, a.label, a.group, a.view, a.source, a.split) == (
        *("x/a.png", "covid", pseudonym("g1"), "PA", "somewhere"),
        "train",
    )
    assert (b.file, b.label, b.group, b.view, b.source, b.split) == (
        *("b.png", "non-covid", pseudonym("P2"), None, None),
        None,
    )
    assert a.digest == hashlib.sha256(b"pixels of x/a.png").hexdigest()
    assert (data.grouped, data.left_out, data.root, data.classes) == (True, {}, str(tmp_path.resolve()), CLASSES)


@pytest.mark.parametrize(
    "labels",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace("\n", "\r").encode(),
        GOOD.replace(",", ", ").encode(),
        (GOOD + "\n\n,,\n").encode(),
    ],
    ids=["byte-order mark", "CRLF", "CR", "spaces", "blank lines"],
)
def test_spellings_of_one_file(tmp_path: Path, labels: bytes) -> None:
    plain = read_dataset(folder(tmp_path / "plain"), CLASSES)
    assert read_dataset(folder(tmp_path / "other", labels), CLASSES).samples == plain.samples


def test_the_row_order_does_not_change_the_digest(tmp_path: Path) -> None:
    head, *rows = GOOD.strip().split("\n")
    other = "\n".join([head, *reversed(rows)])
    assert (
        read_dataset(folder(tmp_path / "x"), CLASSES).digest
        == read_dataset(folder(tmp_path / "y", other), CLASSES).digest
    )


def test_labels_map_to_classes_and_the_rest_is_counted(tmp_path: Path) -> None:
    names = ("covid", "normal", "normal", "pneumonia", "unlabelled", "unlabelled", "")
    text = "file,label,patient_id\n" + "".join(f"{i}.png,{label},{i}\n" for i, label in enumerate(names))
    root = folder(tmp_path, text, [f"{i}.png" for i in range(4)])  # files of rows left out need not exist
    data = read_dataset(root, CLASSES, mapping={"normal": "non-covid", "pneumonia": "non-covid"})
    assert data.counts() == {"non-covid": 3, "covid": 1}
    assert data.left_out == {"unlabelled": 2, "(blank)": 1}


def test_a_mapping_goes_before_a_class_of_the_same_name(tmp_path: Path) -> None:
    data = read_dataset(folder(tmp_path), CLASSES, mapping={"covid": "non-covid", "non-covid": "covid"})
    assert [s.label for s in data.samples] == ["non-covid", "covid"]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"normal": "non-covid"}, r"expected a label that occurs, found none\. Labels: 'covid' \(1\)"),
        ({"covid": "non-covd"}, r"found 'non-covd'\. Did you mean 'non-covid'\?"),
    ],
)
def test_a_wrong_mapping_is_a_usage_error(tmp_path: Path, mapping: Mapping[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_mapping([folder(tmp_path)], CLASSES.names, mapping)


def test_a_label_may_occur_in_one_of_several_folders(tmp_path: Path) -> None:
    two = [folder(tmp_path / "one"), folder(tmp_path / "two", GOOD.replace("non-covid", "normal"))]
    check_mapping(two, CLASSES.names, {"normal": "non-covid"})


def test_a_class_without_files_can_be_read_but_not_learned_from(tmp_path: Path) -> None:
    data = read_dataset(folder(tmp_path, GOOD.replace("non-covid", "normal")), CLASSES)
    assert data.counts() == {"non-covid": 0, "covid": 1}
    with pytest.raises(DataError, match=r"found none of 'non-covid'.*'normal' \(1\)"):
        check_complete(data)


HUGE = "file,label,patient_id\na.png,covid," + "x" * 200_000 + "\n"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "expected a regular file, found none"),
        ("", r"expected the columns file and label.*found nothing"),
        ("file,label\n", "at least one row"),
        ("file;label\na.png;covid\n", r"found 'file;label'"),
        ("name,label\na.png,covid\n", "columns file and label"),
        ("file,label,label\na.png,covid,covid\n", "each column once"),
        (GOOD.encode("utf-16"), "expected UTF-8, found byte 0"),
        (GOOD.replace("P1", "Jos\u00e9").encode("latin-1"), "expected UTF-8"),
        (GOOD + "c.png,covid\n", "line 4: expected 3 fields, found 2"),
        (GOOD + "c.png,covid,P3,x\n", "line 4: expected 3 fields, found 4"),
        (GOOD + 'c.png,"covid,P3\n', "expected comma-separated values, found unexpected end of data"),
        (HUGE, "field larger than field limit"),
        (GOOD + ",covid,P3\n", "line 4: expected a file, found a blank"),
        ("file,label,patient_id,split\na.png,covid,P1,dev\n", "line 2: split: expected train, val, test or blank"),
        (GOOD.replace("non-covid", "x").replace("covid", "y"), r"expected labels of .*, found only 'y', 'x'"),
        (GOOD + "./a.png,covid,P1\n", "expected each file once, found 'a.png' 2 times"),
    ],
)
def test_a_file_that_does_not_hold_together(tmp_path: Path, labels: str | bytes | None, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_dataset(folder(tmp_path, labels), CLASSES)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a folder with labels\.csv, found none"):
        read_dataset(tmp_path / "nowhere", CLASSES)


def test_a_manifest_too_large_to_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pneumoscope.io.manifest.MAX_BYTES", 10)
    with pytest.raises(DataError, match="expected at most 10 bytes"):
        read_dataset(folder(tmp_path), CLASSES)


@pytest.mark.parametrize(
    "file",
    ["../secret.png", "x/../../secret.png", "/etc/hostname", "link.png", "linked/secret.png", "x/../a.png", "a\0.png"],
)
def test_nothing_outside_the_folder_is_opened(tmp_path: Path, file: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    root = folder(tmp_path / "set", GOOD + f"{file},covid,P3\n")
    (root / "x").mkdir()
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "linked").symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"found 1 of 3 that (lead|are links) out of it"):
        read_dataset(root, CLASSES)


def test_a_manifest_that_is_a_link_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text(GOOD)
    root = folder(tmp_path / "set", None)
    (root / "labels.csv").symlink_to(tmp_path / "other.csv")
    with pytest.raises(DataError, match="expected a regular file"):
        read_dataset(root, CLASSES)


def test_a_link_that_stays_inside_is_a_file(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", GOOD, ["real/a.png", "b.png"])
    (root / "a.png").symlink_to("real/a.png")
    (tmp_path / "shortcut").symlink_to(root)
    assert len(read_dataset(tmp_path / "shortcut", CLASSES)) == 2


def test_missing_files_are_named_and_counted(tmp_path: Path) -> None:
    text = GOOD + "".join(f"m{i}.png,covid,Q{i}\n" for i in range(5))
    with pytest.raises(
        DataError, match=r"found 5 of 7 missing \(check the paths\): 'm0.png', 'm1.png', 'm2.png', \.\.\."
    ):
        read_dataset(folder(tmp_path, text), CLASSES)


def test_a_folder_may_hold_a_series(tmp_path: Path) -> None:
    root = folder(tmp_path, GOOD + "series,covid,P3\n")
    for name in ("1.dcm", "sub/2.dcm", ".hidden"):
        (root / "series" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "series" / name).write_bytes(name.encode())
    (sample,) = [s for s in read_dataset(root, CLASSES).samples if s.file == "series"]
    parts = sorted(hashlib.sha256(name).hexdigest() for name in (b"1.dcm", b"sub/2.dcm"))
    assert sample.digest == hashlib.sha256("\n".join(parts).encode()).hexdigest()
    (root / "series/sub/2.dcm").rename(root / "series/0.dcm")
    assert [s.digest for s in read_dataset(root, CLASSES).samples if s.file == "series"] == [sample.digest]
    (root / "series/1.dcm").write_bytes(b"other")
    assert [s.digest for s in read_dataset(root, CLASSES).samples if s.file == "series"] != [sample.digest]


@pytest.mark.parametrize("inner", ["a/1.dcm", "./a//1.dcm", "a"])
def test_a_file_of_a_folder_that_is_listed_is_not_listed_again(tmp_path: Path, inner: str) -> None:
    outer = "." if inner == "a" else "a/"
    text = f"file,label,patient_id\n{inner},covid,1\n{outer},non-covid,2\n"
    with pytest.raises(DataError, match="in a folder that is listed too"):
        read_dataset(folder(tmp_path, text, ["a/1.dcm"]), CLASSES)


@pytest.mark.parametrize("spoil", ["nothing", "link", "folder link", "pipe", "hidden"])
def test_a_folder_that_holds_no_series(tmp_path: Path, spoil: str) -> None:
    root = folder(tmp_path / "set", GOOD + "series,covid,P3\n")
    (root / "series").mkdir()
    if spoil == "link":
        (root / "series/1.dcm").symlink_to(root / "a.png")
    elif spoil == "folder link":
        (root / "series/more").symlink_to(tmp_path)
    elif spoil == "pipe":
        os.mkfifo(root / "series/1.dcm")
    elif spoil == "hidden":
        (root / "series/.1.dcm").write_bytes(b"x")
    says = "links or special files" if spoil in ("link", "folder link", "pipe") else "empty folders"
    with pytest.raises(DataError, match=f"found 1 of 3 that are .*{says}"):
        read_dataset(root, CLASSES)


def test_a_folder_of_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path, GOOD + "series,covid,P3\n")
    (root / "series").mkdir()
    for i in range(3):
        (root / "series" / str(i)).write_bytes(b"x")
    monkeypatch.setattr(contents, "MAX_FILES", 2)
    with pytest.raises(DataError, match="folders of more than 2 files"):
        read_dataset(root, CLASSES)


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    root = folder(tmp_path, GOOD + "pipe,covid,P3\n")
    os.mkfifo(root / "pipe")
    with pytest.raises(DataError, match="not regular files"):
        read_dataset(root, CLASSES)


@pytest.mark.parametrize("name", ["n" * 5000, "loop", "new\nline.png", "\x1b[31mred.png"])
def test_hostile_names_give_one_line(tmp_path: Path, name: str) -> None:
    root = folder(tmp_path, GOOD + f'"{name}",covid,P3\n')
    (root / "loop").symlink_to("loop")
    with pytest.raises(DataError, match="1 of 3 missing") as caught:
        read_dataset(root, CLASSES)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


NO_IDS = "file,label\na.png,covid\nb.png,non-covid\n"
BLANK_IDS = "file,label,patient_id,group_id\na.png,covid,,\nb.png,non-covid,,\n"


@pytest.mark.parametrize("labels", [NO_IDS, BLANK_IDS])
def test_without_identifiers_ungrouped_must_be_said(tmp_path: Path, labels: str) -> None:
    root = folder(tmp_path, labels)
    with pytest.raises(DataError, match=r"expected a group_id or a patient_id.*--ungrouped"):
        read_dataset(root, CLASSES)
    data = read_dataset(root, CLASSES, ungrouped=True)
    assert not data.grouped
    assert len(data.groups) == 2


def test_identifiers_are_not_thrown_away(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--ungrouped: expected a set without identifiers"):
        read_dataset(folder(tmp_path), CLASSES, ungrouped=True)


def test_one_row_without_an_identifier_is_named(tmp_path: Path) -> None:
    text = GOOD + "c.png,covid,\nd.png,other,\n"  # the row left out asks for none
    with pytest.raises(DataError, match=r"line 4: .*found neither, as on 1 line"):
        read_dataset(folder(tmp_path, text), CLASSES)


def test_one_patient_in_two_groups_is_an_error_that_does_not_name_the_patient(tmp_path: Path) -> None:
    text = "file,label,patient_id,group_id\na.png,covid,Smith,g1\nb.png,non-covid,Smith,{}\n"
    for other in ("g2", ""):
        with pytest.raises(DataError, match="line 3: expected one group for all files of one patient") as caught:
            read_dataset(folder(tmp_path, text.format(other)), CLASSES)
        assert "Smith" not in str(caught.value)
    assert len(read_dataset(folder(tmp_path, text.format("g1")), CLASSES).groups) == 1


def test_no_identifier_is_in_the_dataset(tmp_path: Path) -> None:
    assert "P1" not in repr(read_dataset(folder(tmp_path), CLASSES))


# what strip() takes off is not part of a value; surrogates are no text
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(str.strip)


@given(rows=st.lists(st.tuples(words.filter(bool), words, words), min_size=1, max_size=5))
def test_what_is_written_reads_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]) -> None:
    out = tmp_path_factory.mktemp("out")
    write_labels(out, [{"file": f, "notes": n, "label": label} for f, label, n in rows])
    text = (out / "labels.csv").read_bytes().decode()
    with open(out / "labels.csv", encoding="utf-8", newline="") as opened:
        assert [(r["file"], r["label"], r["notes"]) for r in csv.DictReader(opened)] == rows
    assert text.startswith("file,label,notes\r\n")
    assert [p.name for p in out.iterdir()] == ["labels.csv"]


def test_written_labels_make_a_dataset(tmp_path: Path) -> None:
    root = folder(tmp_path, None)
    write_labels(
        root,
        [
            {"file": "a.png", "label": "covid", "patient_id": "1"},
            {"file": "b.png", "label": "non-covid", "group_id": "2"},
        ],
    )
    assert (root / "labels.csv").read_text().splitlines()[0] == "file,label,patient_id,group_id"
    assert [s.group for s in read_dataset(root, CLASSES).samples] == [pseudonym("1"), pseudonym("2")]


@pytest.mark.parametrize(
    "rows",
    [[], [{"file": "a.png"}], [{"label": "covid"}], [{"file": "", "label": "x"}], [{"file": "\udcff", "label": "x"}]],
)
def test_rows_that_cannot_be_written_leave_the_old_file(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    root = folder(tmp_path)
    with pytest.raises(DataError, match=r"labels\.csv: expected"):
        write_labels(root, rows)
    assert (root / "labels.csv").read_text() == GOOD


def test_joined_sets_share_patients_and_keep_files_apart(tmp_path: Path) -> None:
    x = read_dataset(folder(tmp_path / "x"), CLASSES)
    y = read_dataset(folder(tmp_path / "sub" / "y", GOOD.replace("P2", "P9") + "c.png,odd,P3\n"), CLASSES)
    both = join([x, y])
    assert both.root == str(tmp_path.resolve())
    assert [s.file for s in both.samples] == ["sub/y/a.png", "sub/y/b.png", "x/a.png", "x/b.png"]
    assert len(both.groups) == 3
    assert both.left_out == {"odd": 1}
    assert all((Path(both.root) / s.file).is_file() for s in both.samples)
    assert join([x]) == x


def test_joined_ungrouped_files_are_not_one_patient(tmp_path: Path) -> None:
    x, y = (read_dataset(folder(tmp_path / name, NO_IDS), CLASSES, ungrouped=True) for name in "xy")
    both = join([x, y])
    assert len(both.groups) == 4
    assert not both.grouped


def test_what_cannot_be_joined(tmp_path: Path) -> None:
    x = read_dataset(folder(tmp_path / "x"), CLASSES)
    other = read_dataset(folder(tmp_path / "y"), ClassSet(names=("covid", "non-covid")))
    for sets in ([], [x, other]):
        with pytest.raises(DataError, match="all with the same classes"):
            join(sets)
    with pytest.raises(DataError, match="each file once"):
        join([x, x])


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "mapping", "counts", "groups"),
    [
        ("xray/darkcovidnet", {"normal": "non-covid", "pneumonia": "non-covid"}, (800, 99), 600),
        ("xray/ieee8023", {"normal": "non-covid", "pneumonia": "non-covid"}, (71, 337), 233),
        ("ct-slices/ucsd-covid-ct", {}, (317, 279), 285),
        ("ct-slices/husp-slices", {"normal": "non-covid"}, (120, 158), 40),
    ],
)
def test_real_sets(
    shared_data: Path, name: str, mapping: Mapping[str, str], counts: tuple[int, int], groups: int
) -> None:
    data = read_dataset(shared_data / name, CLASSES, mapping=mapping)
    assert tuple(data.counts().values()) == counts
    assert len(data.groups) == groups
