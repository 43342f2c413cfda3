"""`pneumoscope data` as a user meets it: known sets, fetching, importing, describing."""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import http.server
import io
import json
import re
import shlex
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from pneumoscope.core.registry import Registry
from pneumoscope.io import layouts as known
from pneumoscope.io.fetch import RemoteFile
from pneumoscope.io.layouts.layout import Entry, Layout, Listing
from pneumoscope.io.layouts.tree import images

CONTENT = bytes(range(256)) * 100
SHA = hashlib.sha256(CONTENT).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args: object, asked: list[str], **options: object) -> None:
        self.asked = asked
        super().__init__(*args, **options)

    def log_message(self, *args: object) -> None:
        self.asked.append(self.path)


@pytest.fixture
def asked() -> list[str]:
    """The paths that the server was asked for."""
    return []


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the server has: CONTENT, if a test does not change it."""
    path = tmp_path_factory.mktemp("served") / "set.zip"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def url(served: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where a server on loopback has it."""
    monkeypatch.setenv("no_proxy", "*")
    handler = functools.partial(Quiet, directory=served.parent, asked=asked)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/set.zip"
        server.shutdown()
        thread.join()


def read(root: Path, before: str = "") -> Listing:
    """Every image, labelled as its folder is named; `before` it are the folders above `root`."""
    found = images(root)
    entries = [
        Entry(file=before + f, label=f.partition("/")[0], original="x", modality="xray", patient_id=f"s:{i}")
        for i, f in enumerate(found)
    ]
    return Listing(entries=tuple(entries), missing=("a.png", "b.png", "c.png", "d.png"), notes=("A note.",))


@pytest.fixture
def sets(url: str, monkeypatch: pytest.MonkeyPatch) -> Registry[Layout]:
    """Two sets of our own in the place of the public ones: `free` has a digest to each file, `bare` has not."""
    registry: Registry[Layout] = Registry("dataset")
    for name, sha256 in (("free", SHA), ("bare", None)):
        file = RemoteFile(url=url, name="set.zip", sha256=sha256, size=None, licence="CC0", citation="Somebody 2020")
        registry.add(
            name,
            Layout(
                name=name,
                title="A free set",
                citation="Somebody 2020",
                licence="CC0",
                home="https://example.org",
                obtain="data fetch.",
                release="version 1",
                expected={"covid": 2, "normal": 2},
                patients="As the list says.",
                traps=("One is upside down.",),
                read=read,
                remote=(file,),
            ),
        )
    monkeypatch.setattr(known, "layouts", lambda: registry)
    return registry


@pytest.fixture
def download(tmp_path: Path) -> Path:
    """Three images of two classes, as downloaded."""
    for i, name in enumerate(("covid/a.png", "covid/b.png", "normal/c.png")):
        path = tmp_path / "download" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (64 + i, 80), color=i).save(path)
    return tmp_path / "download"


def test_every_public_set_is_listed_with_what_to_know(command) -> None:
    code, out, _ = command("data", "list", "--json")
    assert code == 0
    listed = json.loads(out)
    assert [d["name"] for d in listed] == sorted(known.layouts())
    assert {"name", "title", "citation", "licence", "home", "obtain", "expected", "patients", "traps"} <= set(listed[0])
    assert all(d["citation"] and d["licence"] and d["home"].startswith("https://") and d["obtain"] for d in listed)
    free = {"actualmed", "covid-chestxray-dataset", "darkcovidnet", "figure1", "ucsd-covid-ct"}
    assert {d["name"] for d in listed if d["can_be_fetched"]} == free
    assert {d["name"]: d["digest_published"] for d in listed} == {
        n: False if n in free else None for n in known.layouts()
    }
    code, out, _ = command("data", "list")
    assert code == 0
    for word in ("how to get it", *sorted(known.layouts())):
        assert word in out


def test_what_can_be_fetched_is_one_commit_of_the_sets_own_home() -> None:
    for name in known.layouts():
        layout = known.layouts().resolve(name)
        for file in layout.remote:
            owner, repository = layout.home.split("/")[-2:]
            folder = re.escape(f"https://codeload.github.com/{owner}/{repository}/zip/")
            assert re.fullmatch(f"{folder}[0-9a-f]{{40}}", file.url)
            assert (file.name, file.sha256, file.size) == (f"{name}.zip", None, None)
            assert (file.licence, file.citation) == (layout.licence, layout.citation)
            commit = file.url.rpartition("/")[2]
            assert all(inner.startswith(f"{repository}-{commit}/") for inner in file.inner)


def test_a_download_becomes_a_dataset(command, sets, download: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    code, said, err = command("data", "import", "free", download, "--out", out)
    assert code == 0
    assert said.endswith(f"imported: {out}\n")
    assert ["normal", "1", "2"] in [[c.strip() for c in line.split("│")[1:4]] for line in said.splitlines()]
    assert "note: 4 file(s) missing: a.png, b.png, c.png, ... (all in import.json)" in err
    assert "note: A note." in err
    assert "known trap: One is upside down." in err
    assert "licence: CC0; please cite: Somebody 2020" in err
    assert len(json.loads((out / "import.json").read_text())["missing"]) == 4
    assert (out / "labels.csv").read_text().count("images/") == 3


def test_what_was_imported_is_described(command, sets, download: Path, tmp_path: Path) -> None:
    command("data", "import", "free", download, "--out", tmp_path / "set")
    code, said, _ = command("data", "describe", tmp_path / "set", "--out", tmp_path / "about")
    assert code == 0
    assert "covid" in said
    assert said.endswith(f"report: {tmp_path / 'about' / 'report.html'}\n")
    assert sorted(p.name for p in (tmp_path / "about").iterdir()) == ["description.json", "report.html"]
    code, said, _ = command("data", "describe", tmp_path / "set", "--json")
    assert code == 0
    assert json.loads(said) == json.loads((tmp_path / "about" / "description.json").read_text())


def test_a_free_set_is_fetched_and_checked(command, sets, tmp_path: Path) -> None:
    out = tmp_path / "downloads"
    for _ in range(2):  # the second finds it there
        code, said, err = command("data", "fetch", "free", "--out", out)
        assert (code, said) == (0, f"fetched: {out / 'set.zip'}\n")
        assert "licence" in err
    assert (out / "set.zip").read_bytes() == CONTENT


def test_a_file_without_a_digest_is_fetched_in_two_steps(command, sets, asked: list[str], tmp_path: Path) -> None:
    out = tmp_path / "downloads"
    fetch = ("data", "fetch", "bare", "--out", out)
    code, said, err = command(*fetch)
    assert (code, said) == (4, "")
    assert err.count("error: ") == 1
    assert err.endswith(f" --sha256 set.zip={SHA}\n")
    assert sorted(p.name for p in out.iterdir()) == ["set.zip.part", "set.zip.part.json"]
    code, said, err = command(*fetch, *err.split()[-2:])
    assert (code, said) == (0, f"fetched: {out / 'set.zip'}\n")
    assert "licence: CC0; please cite: Somebody 2020" in err
    assert [p.name for p in out.iterdir()] == ["set.zip"]
    assert asked == ["/set.zip"]


def test_another_digest_is_refused_and_nothing_kept(command, sets, asked: list[str], tmp_path: Path) -> None:
    out = tmp_path / "downloads"
    for _ in range(2):  # a part that lies there, and none
        code, _, err = command("data", "fetch", "bare", "--out", out, "--sha256", f"set.zip={'0' * 64}")
        assert code == 4
        assert "It was not kept" in err
        assert list(out.iterdir()) == []
        command("data", "fetch", "bare", "--out", out)
    assert len(asked) == 3


def test_each_file_without_a_digest_has_a_line(command, sets, tmp_path: Path) -> None:
    (file,) = sets.resolve("bare").remote
    two = dataclasses.replace(sets.resolve("bare"), name="two", remote=(file, dataclasses.replace(file, name="b.zip")))
    sets.add("two", two)
    code, _, err = command("data", "fetch", "two", "--out", tmp_path)
    assert code == 4
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in errors] == ["set.zip", "b.zip"]


def test_what_is_said_to_come_next_brings_a_fetched_set_into_our_form(
    command, sets, served: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture = io.BytesIO()
    Image.new("L", (64, 80)).save(picture, "png")
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as inner:
        inner.writestr("covid/a.png", picture.getvalue())
    with zipfile.ZipFile(served, "w") as outer:
        outer.writestr("set-1/in it.zip", zipped.getvalue())
        outer.writestr("set-1/normal/b.png", picture.getvalue())
    sha256 = hashlib.sha256(served.read_bytes()).hexdigest()
    (file,) = sets.resolve("bare").remote
    layout = dataclasses.replace(
        sets.resolve("bare"),
        name="packed",
        remote=(dataclasses.replace(file, inner=("set-1/in it.zip",)),),
        read=lambda root: read(root / "set-1", "set-1/"),
    )
    sets.add("packed", layout)
    code, _, err = command("data", "fetch", "packed", "--out", "my downloads", "--sha256", f"set.zip={sha256}")
    assert code == 0
    after = [shlex.split(line) for line in err.splitlines()[err.splitlines().index("next:") + 1 :]]
    assert [words[:3] for words in after] == [["python", "-m", "zipfile"]] * 2 + [["pneumoscope", "data", "import"]]
    for words in after[:-1]:
        subprocess.run([sys.executable, *words[1:]], check=True)
    code, said, _ = command(*after[-1][1:])
    assert code == 0
    assert said.endswith(f"imported: {tmp_path / 'datasets' / 'packed'}\n")
    with (tmp_path / "datasets" / "packed" / "labels.csv").open() as rows:
        assert sorted(row["label"] for row in csv.DictReader(rows)) == ["covid", "normal"]


def test_a_set_that_needs_a_login_says_what_to_do(command, tmp_path: Path) -> None:
    code, said, err = command("data", "fetch", "sars-cov-2-ct", "--out", tmp_path / "downloads")
    assert (code, said) == (3, "")
    assert err.count("\n") == 1
    for word in ("Kaggle", "https://", "pneumoscope data import sars-cov-2-ct DIR --out OUT"):
        assert word in err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("import", "kermanny", "x", "--out", "y"), 2, "Did you mean 'kermany'"),
        (("fetch", "kermanny", "--out", "y"), 2, "Did you mean 'kermany'"),
        (("fetch", "kermany", "--out", "y", "--sha256", "x"), 2, "--sha256: expected NAME=VALUE"),
        (("import", "kermany", "nowhere", "--out", "y"), 3, "nowhere"),
        (("describe", "nowhere"), 3, "nowhere: expected a folder with labels.csv"),
    ],
)
def test_an_error_is_one_line_with_its_exit_code(
    command, words: tuple[str, ...], code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found, out, err = command("data", *words)
    assert (found, out) == (code, "")
    assert says in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
