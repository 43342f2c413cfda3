"""A search whose storage is changed, damaged or taken away by others."""

from __future__ import annotations

import pytest
import search_making as making

from pneumoscope.errors import IntegrityError, PneumoscopeError
from pneumoscope.train import search


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch):
    """Fits that cost nothing; taken back when the test ends."""
    for name in ("prepare", "answer_folds", "pretrained"):
        monkeypatch.setattr(search, name, getattr(search, name))
    making.pretend(making.by_batch)
    return making.pretend


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"[\"4\", \"8\", \"16\", \"32\"]", r"[\"a\", \"b\", \"c\", \"d\"]"),
        ('{"folds":[', '{"folds":[7,'),
        ('{"finished":[0,1]', '{"finished":"all"'),
    ],
)
def test_a_study_that_somebody_changed_is_refused(pretended, tmp_path, old, new):
    making.run(tmp_path / "out", 2)
    journal = tmp_path / "out" / "study.journal"
    text = journal.read_text()
    assert old in text
    journal.write_text(text.replace(old, new))
    with pytest.raises(IntegrityError, match=r"--storage: .* Name another --out and --storage"):
        making.run(tmp_path / "out", 2)


@pytest.mark.parametrize("line", ["{}", "not json", '{"op_code": 4, "worker_id": 3}'])
def test_a_journal_that_is_damaged_meanwhile_is_said(pretended, tmp_path, line):
    def worth(recipe, k):
        with (tmp_path / "s.journal").open("a") as file:
            file.write(f"{line}\n{line}\n")
        return 0.5

    pretended(worth)
    with pytest.raises(IntegrityError, match=r"--storage: expected a study as optuna writes it, found one that"):
        making.run(tmp_path / "out", 3, storage=str(tmp_path / "s.journal"))


def test_a_journal_that_is_gone_meanwhile_is_said(pretended, tmp_path):
    def worth(recipe, k):
        if (tmp_path / "s.journal").is_file():
            (tmp_path / "s.journal").unlink()
            (tmp_path / "s.journal").mkdir()
        return 0.5

    pretended(worth)
    with pytest.raises(PneumoscopeError, match=r"expected a journal that can be read and written, found 'Is a dir"):
        making.run(tmp_path / "out", 3, storage=str(tmp_path / "s.journal"))


def test_what_is_wrong_with_a_fit_is_not_put_on_the_storage(pretended, tmp_path):
    def worth(recipe, k):
        raise KeyError("a fault of ours")

    pretended(worth)
    with pytest.raises(KeyError, match="a fault of ours"):
        making.run(tmp_path / "out", 3)
