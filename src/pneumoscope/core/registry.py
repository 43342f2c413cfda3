"""Name -> thing, with the rules that keep names honest: a duplicate is an error, an unknown name gets a hint."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from pneumoscope.errors import UsageError

T = TypeVar("T")

MOST = 40  # known names that are listed; a network has hundreds of layers


def did_you_mean(name: str, known: list[str]) -> str:
    """`Did you mean 'x'?` for a near miss, else the known names, the first `MOST` of them."""
    near = difflib.get_close_matches(name, known, n=1)
    names = sorted(set(known))
    more = f", ... ({len(names)} in all)" if len(names) > MOST else ""
    return f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(names[:MOST])}{more}."


class Registry(Generic[T]):
    """A named set of things of one kind (a step, a network, a recipe).

    Raises:
        ValueError: a name registered twice (a programming error).
        UsageError: a name that is not registered.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._things: dict[str, T] = {}

    def add(self, name: str, thing: T) -> T:
        """Register `thing` under `name`."""
        if name in self._things:
            raise ValueError(f"{self.kind}: expected a new name, found '{name}' registered already.")
        self._things[name] = thing
        return thing

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator form of `add`."""
        return lambda thing: self.add(name, thing)

    def resolve(self, name: str) -> T:
        """The thing called `name`."""
        if name not in self._things:
            raise UsageError(
                f"{self.kind}: expected a registered name, found '{name}'. {did_you_mean(name, list(self._things))}"
            )
        return self._things[name]

    def __contains__(self, name: str) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)
