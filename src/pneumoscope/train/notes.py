"""What was noticed of many files, in few lines: notes that differ in nothing but their numbers are one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

# a number that stands by itself: not one in a name (B30f, 1.2.840) or in a hyphened word
NUMBER = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?(?![\w-]|\.\d)")


def together(notes: Mapping[str, int], total: int, noun: str) -> list[str]:
    """`12 of 18 studies: Slices are 5.0 to 8.0 mm apart.`, one line a kind of note, in the order of their texts.

    notes: text -> of how many of `total` files. noun: what the files are, in the plural. A number that is not the same
    in all notes of a kind becomes its least and its greatest.
    """
    kinds: dict[str, list[str]] = defaultdict(list)
    for note in sorted(notes):
        kinds[NUMBER.sub("\0", note)].append(note)
    return [f"{sum(notes[n] for n in of):,} of {total:,} {noun}: {_spanned(kind, of)}" for kind, of in kinds.items()]


def _spanned(kind: str, notes: list[str]) -> str:
    columns = zip(*(NUMBER.findall(note) for note in notes), strict=True)
    text, *rest = kind.split("\0")
    for numbers, after in zip(columns, rest, strict=True):
        low, high = min(numbers, key=float), max(numbers, key=float)
        text += (low if float(low) == float(high) else f"{low} to {high}") + after
    return text
