"""A CT series into one block of int16 in Hounsfield units, and whether those can be Hounsfield units at all.

The block is taken once and every slice is written into it; an uncompressed slice is found by where its header said
that the pixels begin, so that no header is parsed twice.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pneumoscope.core.image import AppliedStep, Volume
from pneumoscope.errors import InputError
from pneumoscope.io import dicom_pixels as px
from pneumoscope.io.dicom import read_stored
from pneumoscope.io.dicom_slice import AIR, SliceFacts, Written, on_the_way, write_hounsfield
from pneumoscope.io.foreign import named
from pneumoscope.io.found import some
from pneumoscope.io.orient import Turned, turn
from pneumoscope.io.series import Stack, order
from pneumoscope.io.studies import Member

# HU; what a chest scan must hold: lung and the air around, and muscle, blood and organs (water is 0)
AIR_RANGE = (-1020, -800)
SOFT_RANGE = (0, 80)
LEAST_SHARE = 0.005  # of the voxels, of each


def read_series(members: Sequence[Member], read: Callable[[Member], bytes], name: str) -> Volume:
    """The volume that a series of CT slices makes, its slices decoded one by one.

    read: the bytes of a file. name: what the series is called in messages, as the user named it.

    Raises:
        InputError: slices that make no volume (`series.order`), that cannot be read, or two at one place.
    """
    stack = order(members, name)
    first = stack.places[0][0]
    layout = _facts(first).layout
    with named(name, "a CT series"):
        voxels = np.empty((len(stack.places), layout.rows, layout.columns), np.int16)
    written: list[Written] = []
    copies: list[str] = []
    for out, place in zip(voxels, stack.places, strict=True):
        written.append(write_hounsfield(_stored(place[0], read(place[0])), _facts(place[0]), out))
        for other in place[1:]:
            _check_copy(place[0], other, out, read)
            copies.append(other.path)
    turned = turn(voxels, stack.origin, stack.steps, _facts(first).frame_of_reference or None)
    names = [place[0].path for place in stack.places]
    return Volume(
        voxels=turned.voxels,
        geometry=turned.geometry,
        slices=tuple(names[::-1] if turned.flipped[0] else names),
        source=name,
        steps=_steps(stack, written, turned),
        warnings=(
            *stack.warnings,
            *_copied(copies),
            *on_the_way([_facts(place[0]) for place in stack.places], written),
            *implausible(turned.voxels),
        ),
    )


def implausible(voxels: np.ndarray) -> tuple[str, ...]:
    """A warning where int16 voxels [Z, Y, X] hold no air or no soft tissue, as where the rescale was lost."""
    some = voxels[:: max(1, len(voxels) // 64), ::4, ::4]
    missing = [
        f"{what} ({low} to {high})"
        for what, (low, high) in (("air", AIR_RANGE), ("soft tissue", SOFT_RANGE))
        if np.count_nonzero((some >= low) & (some <= high)) < LEAST_SHARE * some.size
    ]
    if not missing:
        return ()
    low, middle, high = (int(v) for v in np.percentile(some, (1, 50, 99)))
    return (
        f"The values do not look like Hounsfield units of a chest: expected {' and '.join(missing)}, found hardly any; "
        f"1, 50 and 99 % of the values are at most {low}, {middle} and {high}.",
    )


def _facts(member: Member) -> SliceFacts:
    if member.facts.slice is None:
        raise InputError(f"{member.path}: expected a CT slice, found none. Give a CT series.")
    return member.facts.slice


def _stored(member: Member, data: bytes) -> np.ndarray:
    """Stored values [H, W]: straight from where the header said, or through the parser where they are packed."""
    facts = _facts(member)
    stored = facts.stored
    if stored is None:
        values = read_stored(data, member.path)
        if values.shape != (facts.layout.rows, facts.layout.columns):
            raise _changed(member)
        return values
    if len(data) < stored.at or zlib.crc32(memoryview(data)[: stored.at]) != stored.before:
        raise _changed(member)
    pixels = memoryview(data)[stored.at : stored.at + stored.length]
    return px.native(pixels, stored.syntax, facts.layout, member.path, words=False)


def _changed(member: Member) -> InputError:
    return InputError(f"{member.path}: expected the file that was found, found another in its place. Read it again.")


def _check_copy(first: Member, other: Member, expected: np.ndarray, read: Callable[[Member], bytes]) -> None:
    """See that two slices at one place are the same; `expected` is the first one in HU."""
    found = np.empty_like(expected)
    write_hounsfield(_stored(other, read(other)), _facts(other), found)
    if np.array_equal(found, expected):
        return
    numbers = [_facts(m).acquisition for m in (first, other)]
    how = f" (AcquisitionNumber {numbers[0]} and {numbers[1]})" if numbers[0] != numbers[1] else ""
    raise InputError(
        f"{first.path} and {other.path}: expected one slice at a place, found two with other pixels{how}: two "
        "reconstructions or phases in one series. Give the slices of one of them in a folder of their own."
    )


def _copied(copies: list[str]) -> tuple[str, ...]:
    if not copies:
        return ()
    return (f"{len(copies)} slice(s) stand there twice with the same pixels and were read once: {some(copies, 3)}.",)


def _steps(stack: Stack, written: list[Written], turned: Turned) -> tuple[AppliedStep, ...]:
    rescales = sorted({f for place in stack.places if (f := _facts(place[0]).rescale) is not None})
    args = {"slopes": sorted({s for s, _ in rescales}), "intercepts": sorted({i for _, i in rescales})}
    ordered: dict[str, Any] = {"by": stack.by, "slices": len(stack.places)}
    if stack.heights:  # of each slice of the volume, above its lowest
        top = stack.heights[-1]
        rising = [round(top - h, 4) for h in reversed(stack.heights)] if turned.flipped[0] else stack.heights
        ordered["heights_mm"] = list(rising)
    steps = [
        AppliedStep(name="order", args=ordered),
        AppliedStep(name="rescale", args=args),
    ]
    padded = sum(w.padded for w in written)
    if padded:
        steps.append(AppliedStep(name="padding", args={"voxels": padded, "to": AIR}))
    if turned.axes != (0, 1, 2) or any(turned.flipped):
        steps.append(AppliedStep(name="orient", args={"axes": list(turned.axes), "flipped": list(turned.flipped)}))
    return tuple(steps)
