"""What shortcuts mean, in words: the share of a figure that needs no lung, and what a source gives away."""

from __future__ import annotations

import math

from pneumoscope.core.result import Interval
from pneumoscope.core.shortcuts import Headline, Shortcut, Shortcuts

SMALL_MODEL = "a small model of whole images"
WHOLE, BORDERS, ONLY, SOURCE, CLASS_OF_SOURCE = (
    "whole image",
    "borders",
    "lungs only",
    "source from picture",
    "class from source",
)
FRAMED = 0.02  # share of the lungs that "borders" leaves visible, from which it counts as one that sees lung
BLACKED = 0.8  # share of the picture, from which it is said
MISSED = 0.1  # share of the images without lung fields, from which it is said


def headline_of(found: Shortcuts) -> Headline | None:
    """What the shortcuts are held against: the one given, or the small model of whole images."""
    whole = found.named(WHOLE)
    if found.headline is not None or whole is None:
        return found.headline
    return Headline(of=SMALL_MODEL, classes=whole.classes, balanced_accuracy=whole.balanced_accuracy)


def loudest(found: Shortcuts) -> Shortcut | None:
    """The shortcut that tells the classes best and sees no lung; the source's name does not count as one."""
    lungless = [s for s in found.found if not s.lung and s.answers == "class" and s.name != CLASS_OF_SOURCE]
    return max(lungless, key=lambda s: s.balanced_accuracy.value, default=None)


def share_of(found: Shortcuts, one: Shortcut) -> Interval | None:
    """Of what the headline scores above chance, what `one` does.

    Of the small model's within each resample; of a figure that was measured elsewhere, a value without an interval.
    None where the headline is no better than chance, or tells other classes.
    """
    if found.headline is None:
        return one.share
    if set(found.headline.classes) != set(found.counts):
        return None
    above = found.headline.balanced_accuracy.value - found.chance
    if not above > 0:
        return None
    share = (one.balanced_accuracy.value - one.chance) / above
    return Interval(value=share, low=float("nan"), high=float("nan"))


def sentences(found: Shortcuts) -> tuple[str, ...]:
    """The verdict, one sentence each."""
    said = []
    headline = headline_of(found)
    if headline is not None:
        said.append(
            f"{headline.of[:1].upper()}{headline.of[1:]} scores a balanced accuracy of "
            f"{_text(headline.balanced_accuracy)}; guessing scores {1 / len(headline.classes):.2f}."
        )
    loud = loudest(found)
    if loud is not None:
        said.append(_of_loudest(found, loud))
    only = found.named(ONLY)
    if only is not None:
        said.append(f"The lung fields alone score {_text(only.balanced_accuracy)}.")
    said += _of_sources(found)
    return tuple(said)


def _of_loudest(found: Shortcuts, loud: Shortcut) -> str:
    what = f"'{loud.name}' ({loud.sees.partition(';')[0]}) scores {_text(loud.balanced_accuracy)}"
    if loud.balanced_accuracy.low <= loud.chance:
        return f"No shortcut that sees no lung is clearly better than guessing; the best, {what}."
    share = share_of(found, loud)
    if share is None:
        return f"Without any lung, {what}."
    most = "All" if share.value >= 1 else f"{100 * max(0.0, share.value):.0f} %"
    bounds = "" if math.isnan(share.low) else f" (95 % interval {100 * share.low:.0f} to {100 * share.high:.0f} %)"
    return f"{most} of what that is above guessing{bounds} needs no lung at all: {what}."


def _of_sources(found: Shortcuts) -> list[str]:
    said = []
    told, by_name = found.named(SOURCE), found.named(CLASS_OF_SOURCE)
    if told is not None:
        said.append(
            f"The picture tells which of {len(told.classes)} sources it is from with a balanced accuracy of "
            f"{_text(told.balanced_accuracy)} (guessing {told.chance:.2f})."
        )
    if by_name is not None:
        said.append(
            "The name of the source alone, without any picture, tells the class with "
            f"{_text(by_name.balanced_accuracy)} (guessing {by_name.chance:.2f})."
        )
    return said


def warnings(found: Shortcuts, framed: float, blacked: float) -> tuple[str, ...]:
    """What a reader must know of how it was measured.

    framed: mean share of the lungs that "borders" leaves visible. blacked: mean share of the picture that "lungs out"
    blacks.
    """
    said = []
    if found.learned_from.startswith("hand-made"):
        said.append(
            "No pretrained weights were found, so the small models of pictures learned from hand-made features, and "
            "may see less than a network would. Add them: pneumoscope weights add mobilenetv2 FILE"
        )
    if found.named(BORDERS) is not None and not framed < FRAMED:
        how = (
            "no lung fields were found to see"
            if math.isnan(framed)
            else f"{100 * framed:.0f} % of the lung fields lie in it"
        )
        said.append(f"'borders' is not taken to be free of lung: {how}.")
    if blacked >= BLACKED:
        said.append(
            f"The pictures are cropped to the lungs: 'lungs out' blacks {100 * blacked:.0f} % of a picture on average, "
            "and has little left to be wrong with."
        )
    missed, images = sum(found.without_lungs.values()), sum(found.counts.values())
    if missed >= MISSED * images:
        by_class = ", ".join(f"{n:,} '{name}'" for name, n in found.without_lungs.items())
        said.append(
            f"In {missed:,} of {images:,} images no lung fields were found ({by_class}); 'lungs out' and 'lungs only' "
            "are of the others alone."
        )
    return tuple(said)


def _text(found: Interval) -> str:
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
