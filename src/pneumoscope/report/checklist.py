"""Reporting checklists, filled from a bundle and its run as far as these say, with what is left for a human.

CLAIM (Tejani et al. 2024, Radiology: Artificial Intelligence 6:e240300) and TRIPOD+AI (Collins et al. 2024, BMJ
385:e078378). Numbers are theirs, the words ours; a report follows the originals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pneumoscope.bundle import Facts
from pneumoscope.core.result import Evaluation
from pneumoscope.core.serial import Mismatch, from_json, parse_json
from pneumoscope.errors import InputError, UsageError
from pneumoscope.report import words
from pneumoscope.report.from_run import Known
from pneumoscope.report.markdown import plain

Fill = Callable[[Known], str]
Status = Literal["filled", "in part", "for a human"]
ENVIRONMENT = "environment.json"
EVALUATION = "evaluation.json"
MOST_BYTES = 64 * 2**20  # of either


@dataclass(frozen=True, kw_only=True)
class Item:
    """One item of a checklist. asks: in our words. fill: what answers it from the run, joined; none where nothing does.

    left: what only a human can say; "" where the run says it all. Where no `fill` says anything and nothing is left,
    what is missing is an evaluation.
    """

    number: str
    asks: str
    fill: tuple[Fill, ...] = ()
    left: str | Fill = ""


@dataclass(frozen=True, kw_only=True)
class Checklist:
    """A checklist. sections: title -> its items, in its order."""

    title: str
    citation: str
    sections: Mapping[str, tuple[Item, ...]]

    @property
    def items(self) -> tuple[Item, ...]:
        """All items, in order."""
        return tuple(item for items in self.sections.values() for item in items)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An item, what the run says of it, and what is left for a human."""

    item: Item
    said: str
    left: str

    @property
    def status(self) -> Status:
        """How far it is filled."""
        if not self.said:
            return "for a human"
        return "in part" if self.left else "filled"


def answer(item: Item, known: Known) -> Answer:
    """What is known of one item."""
    said = " ".join(text for fill in item.fill if (text := fill(known)))
    left = item.left if isinstance(item.left, str) else item.left(known)
    return Answer(item=item, said=said, left=left or ("" if said else "The bundle was never evaluated: evaluate it."))


def checklists(known: Known, lists: Sequence[Checklist]) -> str:
    """All of them as Markdown, with a final newline; everything that came from elsewhere is escaped."""
    facts = known.facts
    elsewhere = "an evaluation on other data" if known.elsewhere else "no evaluation on other data"
    parts = [
        f"# {plain(facts.name)}: reporting checklists",
        words.DISCLAIMER,
        f"Filled from bundle `{facts.id}`, {'its' if known.environment else 'without its'} run's environment, and "
        f"{elsewhere}. What is filled is what pneumoscope recorded: a human checks it, too. The items' words are ours; "
        "follow the published checklists.",
        *(_section(one, known) for one in lists),
    ]
    return "\n\n".join(parts) + "\n"


def _section(checklist: Checklist, known: Known) -> str:
    answers = {item.number: answer(item, known) for item in checklist.items}
    by_status = {s: [n for n, a in answers.items() if a.status == s] for s in ("filled", "in part", "for a human")}
    parts = [
        f"## {checklist.title}",
        plain(checklist.citation),
        f"{len(answers)} items: {len(by_status['filled'])} filled from the run, {len(by_status['in part'])} in part, "
        f"{len(by_status['for a human'])} for a human.",
    ]
    for title, items in checklist.sections.items():
        parts += [f"### {title}", *(_item(answers[item.number]) for item in items)]
    whole, partly = (", ".join(by_status[status]) or "none" for status in ("for a human", "in part"))
    parts += ["### Left for a human", f"Whole: {whole}. In part: {partly}."]
    return "\n\n".join(parts)


def _item(found: Answer) -> str:
    lines = [f"**{found.item.number}. {plain(found.item.asks)}** ({found.status})", ""]
    if found.said:
        lines.append(f"- From the run: {plain(found.said)}")
    if found.left:
        lines.append(f"- For a human: {plain(found.left)}")
    return "\n".join(lines)


def known_of(facts: Facts, bundle: Path, external: Path | None) -> Known:
    """What is known of a bundle: its facts, the environment of the run whose folder it lies in, and an evaluation.

    external: the folder that `pneumoscope evaluate` wrote, of this bundle.

    Raises:
        InputError: a file that is not what its name says.
        UsageError: an evaluation that is not there, or of another bundle.
    """
    beside = bundle.parent / ENVIRONMENT
    environment = _read(beside) if bundle.is_dir() and beside.is_file() else {}
    return Known(facts=facts, environment=environment, elsewhere=None if external is None else _given(external, facts))


def _given(folder: Path, facts: Facts) -> Evaluation:
    path = folder / EVALUATION
    if not path.is_file():
        raise UsageError(
            f"--external: expected a folder that pneumoscope evaluate wrote, found no {EVALUATION} in '{folder}'. "
            "Name its --out."
        )
    try:
        found = from_json(Evaluation, _read(path))
    except Mismatch as error:
        raise InputError(f"{path}: expected an evaluation, found something else. {error}") from error
    if found.bundle != facts.id:
        raise UsageError(
            f"--external: expected an evaluation of bundle {facts.id}, found one of {found.bundle or 'a run'}. "
            "Evaluate this bundle."
        )
    return found


def _read(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path}: expected at most {MOST_BYTES} bytes, found more. Check what it is.")
    try:
        found = parse_json(path.read_bytes(), path.name)
    except Mismatch as error:
        raise InputError(f"{path}: expected JSON, found something else. {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a JSON object, found something else. Run it again.")
    return found
