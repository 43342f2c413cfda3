"""What data a recipe asks for, and which of it: roles, and the draws that assemble a role as a paper did."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pneumoscope.core.dataset import ClassSet
from pneumoscope.errors import RecipeError

MAIN = "main"


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Files of one kind that become one class.

    label: the class. findings: what is looked for among a file's findings, whatever the case; its label counts as
    its finding where it lists none. match: "only" these findings and no other, or "any" of them. without: a file
    with one of these is not taken. sources: what the file's `source` must be one of; none for any. without_views: a
    file of one of these views is not taken. count: files drawn at random; 0 takes all.
    """

    name: str
    label: str
    findings: tuple[str, ...]
    match: Literal["only", "any"]
    without: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    without_views: tuple[str, ...] = ()
    count: int = 0

    def __post_init__(self) -> None:
        if self.count < 0 or not self.findings:
            raise RecipeError(
                f"draws.{self.name}: expected findings and a count of at least 0, "
                f"found {list(self.findings)} and {self.count}."
            )

    def takes(self, findings: Iterable[str], source: str, view: str) -> bool:
        """Whether a file with these findings, of this source and view, is of this kind."""
        if (self.sources and source not in self.sources) or view.casefold() in map(str.casefold, self.without_views):
            return False
        found = {f.casefold() for f in findings}
        wanted = {f.casefold() for f in self.findings}
        if found & {f.casefold() for f in self.without}:
            return False
        return bool(found) and (found <= wanted if self.match == "only" else bool(found & wanted))


@dataclass(frozen=True, kw_only=True)
class Role:
    """One kind of data that training asks for; "main" is what is evaluated.

    classes: None for the recipe's. draws: how it is assembled, first one first, each from what those before it left;
    none: every file whose label is a class. validation: for another role than main, files of its validation part, as
    many of each class, patients apart from the training part where the protocol keeps them together; 0 takes the
    protocol's `val_share`. seed: of the draws.
    """

    name: str
    classes: ClassSet | None = None
    draws: tuple[Draw, ...] = ()
    validation: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        names = [draw.name for draw in self.draws]
        if len(set(names)) != len(names) or self.validation < 0:
            raise RecipeError(
                f"roles.{self.name}: expected draws of different names and a validation of at least 0, "
                f"found {names} and {self.validation}."
            )
