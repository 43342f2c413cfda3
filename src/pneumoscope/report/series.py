"""What a report shows of a series that was judged slice by slice: profile, slices that matter, a strip, the scores.

Slices are numbered from 1 at the feet, as people count; positions are in mm above the lowest slice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.image import Volume
from pneumoscope.core.result import Prediction
from pneumoscope.report import figures, words
from pneumoscope.report.uri import data_uri
from pneumoscope.runtime import studies
from pneumoscope.runtime.screened import Screened, Shown

WIDTH, HEIGHT = 720, 170  # of the profile
THUMBNAILS = 12
THUMBNAIL = 128
SIDE = 448  # of a slice that matters
# HU of lung with air in it, and of the body's wall, which lung has on all four sides in a slice, and a table has not
LUNG = (-950, -500)
WALL = -300
LUNG_SHARE = 0.2  # of the slice with the most lung, from which on a slice counts
STEP = 8  # every how many rows and columns are looked at


def view(screened: Screened, classes: ClassSet) -> dict[str, Any] | None:
    """What the template shows of a series that was judged slice by slice, None where none was."""
    volume, p = screened.volume, screened.prediction
    if volume is None or p.series is None or not p.slices:
        return None
    lung = lung_range(volume)
    return {
        "facts": facts(p),
        "profile": profile(p, classes, lung),
        "shown": [_shown(shown, p) for shown in screened.shown],
        "chosen": _chosen(p, classes),
        "strip": _strip(volume, p, lung),
    }


def scores(p: Prediction, classes: ClassSet) -> dict[str, Any] | None:
    """The classifiers of a study, each with its probabilities, and how the answer came of them."""
    if p.combined is None:
        return None
    rows = [
        {"name": name, "texts": [words.probability(found[c]) for c in classes.names], "decided": _highest(found)}
        for name, found in p.members.items()
    ]
    return {"rows": rows, "classes": classes.names, "how": _how(p)}


def _highest(found: Any) -> int:
    values = list(found.values())
    return values.index(max(values))


def _how(p: Prediction) -> str:
    if p.combined == studies.MEAN:
        return "The study's answer is the mean of its slices' probabilities."
    if p.combined in p.members:
        return f"The study's answer is that of {p.combined}."
    return f"The study's answer is that of {p.combined}, which weighs the scores of the classifiers above."


def profile(p: Prediction, classes: ClassSet, lung: tuple[int, int]) -> dict[str, Any] | None:
    """Each class's probability along the body as an SVG point list, and where slices matter; None for one slice."""
    places = [s.position_mm for s in p.slices if s.position_mm is not None]
    if len(places) < 2 or len(places) != len(p.slices):
        return None
    across = [round(WIDTH * at / places[-1], 1) for at in places]
    half = WIDTH / (len(places) - 1) / 2
    left, right = (min(float(WIDTH), max(0.0, across[n] + by)) for n, by in zip(lung, (-half, half), strict=True))
    return {
        "curves": [
            {"name": name, "colour": i % 6, "points": _points(across, [s.probabilities[name] for s in p.slices])}
            for i, name in enumerate(classes.names)
        ],
        "marks": [
            {"x": x, "y": _up(s.probabilities[p.focus]), "n": n + 1}
            for n, (x, s) in enumerate(zip(across, p.slices, strict=True))
            if s.matters and p.focus is not None
        ],
        "ticks": [{"x": round(WIDTH * at / places[-1], 1), "mm": at} for at in _ticks(places[-1])],
        "lung": {"x": round(left, 1), "width": round(right - left, 1)},
        "width": WIDTH,
        "height": HEIGHT,
    }


def _points(across: Sequence[float], values: Sequence[float]) -> str:
    return " ".join(f"{x:g},{_up(v):g}" for x, v in zip(across, values, strict=True) if math.isfinite(v))


def _up(value: float) -> float:
    return round(HEIGHT * (1 - value), 1)


def _ticks(last: float) -> list[int]:
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**9) if last / s <= 9)
    return list(range(0, math.floor(last) + 1, step))


def lung_range(volume: Volume) -> tuple[int, int]:
    """The first and the last slice with much lung in it, by Hounsfield units alone: a guess, for drawing."""
    coarse = volume.voxels[:, ::STEP, ::STEP]
    wall = coarse > WALL
    air = (coarse > LUNG[0]) & (coarse < LUNG[1])
    for axis in (1, 2):
        air &= np.logical_or.accumulate(wall, axis=axis)
        air &= np.flip(np.logical_or.accumulate(np.flip(wall, axis), axis=axis), axis)
    count = air.sum(axis=(1, 2))
    inside = np.flatnonzero(count >= LUNG_SHARE * count.max())
    return int(inside[0]), int(inside[-1])


def facts(p: Prediction) -> list[tuple[str, str]]:
    """Name and text of what is to know of the series; nothing where it is none."""
    if p.series is None:
        return []
    (slices, height, width), (z, y, x) = p.series.shape, p.series.spacing_mm
    pixel = f"{x:.3g} mm" if math.isclose(x, y, rel_tol=1e-3) else f"{x:.3g} x {y:.3g} mm"
    return [
        ("Series", f"{p.series.rule[:1].upper()}{p.series.rule[1:]}"),
        ("Slices", f"{slices}, {z:.3g} mm apart"),
        ("Size", f"{width} x {height} pixels of {pixel}"),
    ]


def _chosen(p: Prediction, classes: ClassSet) -> str:
    """Which slices are shown, and what that does not mean."""
    rule = (
        f"At most {studies.MOST} are shown, at least {studies.APART_MM:g} mm apart, each at least half as probable as "
        "the first."
    )
    if p.focus == p.decision:
        what = f"These slices are the most like {p.focus}, the class decided for."
    elif p.decision != classes.normal:
        what = f"These slices are the most like {p.focus}, the class asked about."
    else:
        what = f"Decided for {p.decision}. These slices speak most against it: they are the most like {p.focus}."
    alike = sum(s.probabilities[p.focus] == max(s.probabilities.values()) for s in p.slices if p.focus is not None)
    many = f"{alike or 'none'} of {len(p.slices)} {'is' if alike == 1 else 'are'}"
    alone = f"Each slice is judged by itself: {many} more like {p.focus} than any other class."
    known = " What each counted for in the study's answer is not known."
    return f"{what} {rule} {alone}{known if p.members else ''}"


def _shown(shown: Shown, p: Prediction) -> dict[str, Any]:
    answer = p.slices[shown.number]
    return {
        "n": shown.number + 1,
        "place": "" if answer.position_mm is None else f"{answer.position_mm:.0f} mm",
        "target": shown.explanation.target,
        "text": words.probability(answer.probabilities[shown.explanation.target]),
        "source": answer.source.replace("!", "/").rpartition("/")[2],
        "picture": data_uri("image/jpeg", figures.image_jpeg(shown.image, long_side=SIDE)),
        "overlay": data_uri("image/jpeg", figures.overlay_jpeg(shown.image, shown.explanation, long_side=SIDE))
        if shown.explanation.map.any()
        else None,
    }


def _strip(volume: Volume, p: Prediction, lung: tuple[int, int]) -> list[dict[str, Any]]:
    """Slices evenly through the lung, from the feet to the head."""
    first, last = lung
    numbers = np.unique(np.round(np.linspace(first, last, min(THUMBNAILS, last - first + 1))).astype(int)).tolist()
    return [
        {
            "n": n + 1,
            "uri": data_uri("image/jpeg", figures.image_jpeg(volume.image(n), long_side=THUMBNAIL)),
            "text": "" if p.focus is None else words.probability(p.slices[n].probabilities[p.focus]),
        }
        for n in numbers
    ]
