"""Names: once each, and a hint for a near miss."""

from __future__ import annotations

import pytest

from pneumoscope.core.registry import Registry
from pneumoscope.errors import UsageError


def test_a_name_resolves_to_its_thing() -> None:
    registry: Registry[int] = Registry("number")
    registry.add("one", 1)
    assert registry.resolve("one") == 1
    assert "one" in registry
    assert list(registry) == ["one"]


def test_a_duplicate_is_an_error() -> None:
    registry: Registry[int] = Registry("number")
    registry.add("one", 1)
    with pytest.raises(ValueError, match="'one' registered already"):
        registry.add("one", 2)


def test_an_unknown_name_gets_a_hint() -> None:
    registry: Registry[int] = Registry("number")
    registry.add("seven", 7)
    with pytest.raises(UsageError, match="Did you mean 'seven'"):
        registry.resolve("sevn")
    with pytest.raises(UsageError, match="Known: seven"):
        registry.resolve("x")
