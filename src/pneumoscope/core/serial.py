"""Frozen dataclasses <-> JSON, strictly: unknown keys, missing keys and wrong types are errors that name the path.

Handles what the core types are made of: str, int, float, bool, None, Literal, unions, tuples, mappings with
string keys, and dataclasses. A float field takes an integer; a bool is never taken for a number.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar

D = TypeVar("D")
# a float that may be undefined: NaN in memory, null in JSON, which has no NaN; a plain float field takes no null
Undefinable = Annotated[float, "null is NaN"]
DEEPEST = 32  # levels of nesting in JSON from outside; our own has fewer than ten

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200


class Mismatch(ValueError):
    """JSON that does not fit the type it is read as; `path` is where, dotted."""

    def __init__(self, path: str, rule: str, found: object) -> None:
        super().__init__(f"{path or 'value'}: expected {rule}, found {_SHORT.repr(found)}.")
        self.path = path


def parse_json(data: bytes, what: str) -> Any:
    """JSON from strangers as plain Python types; `what` is the name of it for the message.

    Raises:
        Mismatch: no JSON, one nested deeper than `DEEPEST`, or a number that 64 bits do not hold.
    """
    try:
        value = json.loads(data, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise Mismatch(what, "JSON", str(error)) from error
    # level by level, since walking it by recursion is what a deep one breaks
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for item in level for inner in _inside(item)]
    if level:
        raise Mismatch(what, f"JSON of at most {DEEPEST} levels", "more")
    return value


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _whole(text: str) -> int:
    value = int(text)
    if value.bit_length() > 63:
        raise ValueError(f"an integer of {value.bit_length()} bits")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number that is not finite")
    return value


def to_json(value: Any) -> Any:
    """`value` as plain JSON types; NaN becomes null, since JSON has no NaN."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(v) for v in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def canonical(value: Any) -> bytes:
    """One byte string for one value: sorted keys, no white space, UTF-8."""
    return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value)).hexdigest()


@functools.cache
def field_types(cls: type) -> dict[str, Any]:
    """Field name -> resolved type of a dataclass."""
    return typing.get_type_hints(cls, include_extras=True)


def from_json(cls: type[D], data: Any, path: str = "") -> D:
    """Build the dataclass `cls` from JSON.

    Raises:
        Mismatch: a key that is unknown or missing, or a value of another type.
    """
    if not isinstance(data, Mapping):
        raise Mismatch(path, "an object", data)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise Mismatch(_join(path, str(key)), f"one of {', '.join(fields)}", key)
    hints = field_types(cls)  # type: ignore[arg-type]
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = read_as(hints[name], data[name], _join(path, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise Mismatch(_join(path, name), "a value", "nothing")
    return cls(**values)


def read_as(hint: Any, data: Any, path: str) -> Any:
    """`data` checked against, and built as, the type `hint`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return data
    if hint is Undefinable:
        return math.nan if data is None else _read_scalar(float, data, path)
    if origin in (typing.Union, types.UnionType):
        return _read_union(args, data, path)
    if origin is typing.Literal:
        if data not in args:
            raise Mismatch(path, f"one of {', '.join(map(repr, args))}", data)
        return data
    if origin is tuple:
        return _read_tuple(args, data, path)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise Mismatch(path, "an object", data)
        return {str(k): read_as(args[1], v, _join(path, str(k))) for k, v in data.items()}
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast(type, hint), data, path)
    return _read_scalar(hint, data, path)


def _read_scalar(hint: type, data: Any, path: str) -> Any:
    if hint is float and type(data) is int:
        try:
            return float(data)
        except OverflowError as error:
            raise Mismatch(path, "a number that a float holds", data) from error
    if hint is type(None) and data is None:
        return None
    if type(data) is not hint:
        raise Mismatch(path, f"a value of type {getattr(hint, '__name__', hint)}", data)
    return data


def _read_union(args: tuple[Any, ...], data: Any, path: str) -> Any:
    # int before float, so that an integer stays one in `int | float`
    for arg in sorted(args, key=lambda a: a is float):
        try:
            return read_as(arg, data, path)
        except Mismatch:
            continue
    names = " or ".join("nothing" if a is type(None) else getattr(a, "__name__", str(a)) for a in args)
    raise Mismatch(path, names, data)


def _read_tuple(args: tuple[Any, ...], data: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(data, (list, tuple)):
        raise Mismatch(path, "a list", data)
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(read_as(args[0], v, _join(path, str(i))) for i, v in enumerate(data))
    if len(data) != len(args):
        raise Mismatch(path, f"a list of {len(args)}", data)
    return tuple(read_as(a, v, _join(path, str(i))) for i, (a, v) in enumerate(zip(args, data, strict=True)))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
