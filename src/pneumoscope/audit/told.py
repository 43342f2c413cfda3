"""What an audit says in words: what makes every figure on the data too good, and what else to know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from pneumoscope.core.audit import Leaks, Part, Seen, Unread

IMBALANCE = 4  # times the images of the smallest class that the largest one has, to be told
TEXT_APART = 0.1  # difference of two labels' shares of images with text that is told


def grave(leaks: Leaks, parts: Sequence[Part], seen: Seen | None) -> tuple[str, ...]:
    """What makes figures on these data too good, or wrong, one sentence each."""
    copies = {what: sum(leaks.crossing[kind][what] for kind in ("bytes", "pixels", "near")) for what in leaks.patients}
    alike = leaks.crossing["alike"]
    said = [
        (copies["labels"], "{} of one picture have different labels: at least one label is wrong."),
        (copies["patients"], "{} of one picture stand under different patients: no split can keep them apart."),
        (copies["splits"], "{} of one picture stand in different parts of the official split: that split leaks."),
        (
            alike["patients"],
            "{} under different patients are so alike that they are most likely one patient's (the next slice of a "
            "scan, or another exposure).",
        ),
    ]
    found = [text.format(f"{n:,} pair{'s' if n > 1 else ''} of files") for n, text in said if n]
    across = leaks.patients
    if across["patients"]:
        found.append(f"Patients who are known under more than one group: {across['patients']:,}.")
    if across["splits"]:
        found.append(f"Patients in more than one part of the official split: {across['splits']:,}. That split leaks.")
    return (*found, *_children(parts), *_seen(seen))


def _children(parts: Sequence[Part]) -> list[str]:
    children = sum(p.ages.children for p in parts)
    known = sum(p.ages.known for p in parts)
    if not children or children == known:
        return []
    of = ", ".join(f"'{p.label}' of {p.data_set} ({p.ages.children:,})" for p in parts if p.ages.children)
    return [f"Children stand among adults: {children:,} of {known:,} images of known age, {of}. A model may learn age."]


def _seen(seen: Seen | None) -> list[str]:
    if seen is None:
        return []
    images = sum(seen.images.values())
    if not images and not seen.near:
        return []
    of = ", ".join(f"{n:,} of {name}" for name, n in seen.images.items())
    copies = f", and {seen.near:,} more hold a picture of these" if seen.near else ""
    return [f"The bundle {seen.bundle} has learned from {images:,} of these files ({of}){copies}."]


def notes(leaks: Leaks, parts: Sequence[Part], unread: Sequence[Unread], series: bool) -> tuple[str, ...]:
    """What else a reader must know, one sentence or two each."""
    unidentified = sum(p.unidentified for p in parts)
    problems = sum(one.images for one in unread)
    said = [
        (
            sum(leaks.crossing[kind]["data sets"] for kind in ("bytes", "pixels", "near")),
            "Pairs of files of one picture in two data sets: {:,}. A model of one set has seen these of the other.",
        ),
        (leaks.patients["data sets"], "Patients in more than one data set: {:,}."),
        (
            leaks.patients["labels"],
            "Patients with images of different labels: {:,}. Where a label is about the patient, one of them is wrong.",
        ),
        (unidentified, "Images of which nothing says whose they are: {:,}. Each stands for a patient of its own."),
        (problems, "Files that could not be looked at: {:,}."),
    ]
    found = [text.format(n) for n, text in said if n]
    found += _balance(parts) + _text(parts) + _unknown(parts)
    if series:
        found.append("Of a series, three slices were compared: a copy of another slice alone is not found.")
    found.append(
        "Not measured: whether a picture is mirrored or upside down by itself, copies turned by 90 or 180 degrees or "
        "as negatives, and copies that lost much more than a tenth of height or width."
    )
    return tuple(found)


def _balance(parts: Sequence[Part]) -> list[str]:
    images: dict[str, int] = defaultdict(int)
    sets: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        images[part.label] += part.images
        sets[part.label].add(part.data_set)
    found = []
    most, least = max(images, key=lambda n: images[n]), min(images, key=lambda n: images[n])
    if images[most] >= IMBALANCE * images[least]:
        found.append(
            f"Labels are out of balance: {images[most]:,} images of '{most}', {images[least]:,} of '{least}'. Accuracy "
            "alone says little."
        )
    alone = [f"'{label}' from {next(iter(of))}" for label, of in sets.items() if len(of) == 1]
    if len({part.data_set for part in parts}) > 1 and alone:
        found.append(f"Labels that come from one data set only: {', '.join(alone)}. A model may learn the set instead.")
    return found


def _text(parts: Sequence[Part]) -> list[str]:
    text: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for part in parts:
        text[part.label][0] += part.text
        text[part.label][1] += part.looked
    shares = {label: n / of for label, (n, of) in text.items() if of >= 30}
    if len(shares) < 2 or max(shares.values()) - min(shares.values()) < TEXT_APART:
        return []
    of = ", ".join(f"{100 * share:.0f} % of '{label}'" for label, share in shares.items())
    return [f"Text is burned into {of}: a model may read it instead of the lung."]


def _unknown(parts: Sequence[Part]) -> list[str]:
    images = sum(p.images for p in parts)
    lacking = [
        ("ages", sum(p.ages.known for p in parts)),
        ("sexes", sum(sum(p.sexes.values()) for p in parts)),
        ("views", sum(sum(p.views.values()) for p in parts)),
    ]
    blank = [f"{name} ({known:,} of {images:,} images)" for name, known in lacking if known < images]
    return [f"Not known of every image: {', '.join(blank)}."] if blank else []
