"""Is this image something the model may judge at all?

What is plainly not a chest X-ray or a chest CT, by its header or by what the picture looks like (see `looks`), is
refused; what is only unusual is judged with a warning.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from pneumoscope.core.image import Image2D, Modality, Volume
from pneumoscope.core.study import Study
from pneumoscope.io import said
from pneumoscope.runtime import looks, lungs
from pneumoscope.runtime.finding import Finding, Verdict, flagged, passed, refused
from pneumoscope.runtime.looks import Look

MIN_SIDE = 64
MAX_ASPECT = 2.5
# mean absolute difference between colour channels above which a picture is a colour picture, not a grey one
MAX_COLOUR = 0.05
# standard deviation of brightness (0..1), or of HU / 1000, below which there is nothing to see
MIN_CONTRAST = 0.01
# least probability that a picture is of a kind that the method takes; measured in docs/results.md
LEAST_KIND = 0.5
# probability of a turn, a negative or a lateral view from which one is believed
SURE = 0.9
# HU of lung that holds air, and the least share of it, of what is denser: a head has air, but no lung
LUNG_HU = (-950.0, -350.0)
LEAST_LUNG = 0.02
LOOKED_AT = 8  # slices of a series, of the middle half of the body that it shows
ADULT = 18  # years

NAMES: Mapping[Modality, str] = {"xray": "a chest X-ray", "ct": "a chest CT"}
SEEN: Mapping[str, str] = {
    "frontal": "a frontal chest X-ray",
    "lateral": "a lateral chest X-ray",
    "ct": "a slice of a chest CT",
    "other": "neither a chest X-ray nor a slice of a chest CT",
}
OF: Mapping[Modality, tuple[str, ...]] = {"xray": ("frontal", "lateral"), "ct": ("ct",)}
# parts of BodyPartExamined (PS3.16 annex L) that a chest image may carry
CHEST = ("CHEST", "THORAX", "LUNG", "CHSTABD", "CHESTABD", "HEART", "WHOLEBODY", "TSPINE", "RIB")
# and those that show that it is none; of any other word, a foreign one for a chest perhaps, the picture decides
ELSEWHERE = (
    *("HEAD", "SKULL", "BRAIN", "NECK", "JAW", "ORBIT", "SINUS", "ABDOMEN", "PELVIS", "KIDNEY", "LIVER", "HIP", "KNEE"),
    *("LEG", "FOOT", "ANKLE", "HAND", "WRIST", "FINGER", "ELBOW", "ARM", "SHOULDER", "FEMUR", "TIBIA", "HUMERUS"),
    *("CSPINE", "LSPINE", "SSPINE", "SACRUM", "EXTREMITY", "TOE"),
)
_ONE_AT_A_TIME = threading.Lock()
LATERAL = ("LL", "RL", "LATERAL", "LAT", "L")


def judge(study: Study, modalities: tuple[Modality, ...], *, series: bool = False, whole: bool = False) -> Verdict:
    """Whether a method made for `modalities` may judge the study.

    series: it takes CT series. whole: it takes nothing else.
    """
    if study.volume is not None:
        return _judge_series(study.volume, study.headers, modalities) if series else _single_only(study.volume)
    if whole:
        says = "series: expected a CT series, which is what this bundle judges, found one image."
        return Verdict(findings=(refused("series", says),))
    return _judge([study.images[0]], study.images[0], study.headers, modalities)


def with_lungs(study: Study, verdict: Verdict) -> Verdict:
    """The verdict with what the lung fields of an X-ray look like; that takes longer than all else that is asked."""
    if verdict.reasons or verdict.looks != "xray" or not study.images:
        return verdict
    with _ONE_AT_A_TIME:  # images are read in several threads
        (found,) = lungs.find_lungs([study.images[0].pixels])
    doubt = lungs.doubt(found)
    if doubt is None:
        finding = passed("lungs", found.share, lungs.MIN_SHARE)
    else:
        finding = flagged("lungs", doubt, found.share, lungs.MIN_SHARE)
    return replace(verdict, findings=(*verdict.findings, finding))


def _wanted(modalities: Sequence[Modality]) -> str:
    return " or ".join(NAMES[m] for m in modalities)


def _single_only(volume: Volume) -> Verdict:
    says = (
        f"images: expected a single image, which is what this bundle judges, found a CT series of "
        f"{volume.shape[0]} slices. Give one of its slices."
    )
    return Verdict(findings=(refused("series", says),))


def _judge_series(volume: Volume, headers: Mapping[str, str], modalities: tuple[Modality, ...]) -> Verdict:
    """By slices of its middle half: the ends of a series may hold little."""
    places = np.linspace(0.25, 0.75, LOOKED_AT) * (volume.shape[0] - 1)
    numbers = sorted(set(np.rint(places).astype(int).tolist()))
    middle = volume.image(volume.shape[0] // 2)
    return _judge([volume.image(number) for number in numbers], middle, headers, modalities)


def _judge(
    images: Sequence[Image2D], middle: Image2D, headers: Mapping[str, str], modalities: tuple[Modality, ...]
) -> Verdict:
    """By what `middle` is, and, where nothing stands against that, by what the images look like."""
    wanted = _wanted(modalities)
    found = [*_header(middle, headers, modalities), *_picture(middle, wanted)]
    unusual = _unusual(middle, headers, wanted)
    if any(f.verdict == "refused" for f in found):
        return Verdict(findings=(*found, *unusual))
    kinds, seen = _looks([looks.look(image) for image in images], middle.modality, modalities)
    if seen is None:  # it is taken to be nothing
        return Verdict(findings=(*found, *kinds))
    return Verdict(findings=(*found, *kinds, *_lung(images), *unusual), looks=seen)


def _header(image: Image2D, headers: Mapping[str, str], modalities: tuple[Modality, ...]) -> list[Finding]:
    found = []
    if image.modality is not None and image.modality not in modalities:
        says = f"modality: expected {_wanted(modalities)}, found {NAMES[image.modality]}."
        found.append(refused("modality", says))
    part = headers.get("BodyPartExamined", "")
    word = part.upper().replace(" ", "").replace("_", "")
    if word and not any(name in word for name in CHEST):
        says = f"BodyPartExamined: expected a chest, found '{part}'."
        found.append((refused if any(name in word for name in ELSEWHERE) else flagged)("body part", says))
    return found


def _picture(image: Image2D, wanted: str) -> list[Finding]:
    found = []
    height, width = image.shape
    low, high = min(height, width), max(height, width)
    if low < MIN_SIDE:
        says = f"size: expected at least {MIN_SIDE} pixels a side, found {height} x {width}."
        found.append(refused("size", says, low, MIN_SIDE))
    elif high > MAX_ASPECT * low:
        says = f"size: expected {wanted}, found a picture of {height} x {width}, too long for one."
        found.append(refused("size", says, high / low, MAX_ASPECT))
    colour = max((float(s.args.get("colour", 0.0)) for s in image.steps if s.name == "grey"), default=0.0)
    if colour > MAX_COLOUR:
        says = f"colour: expected a grey picture, found a coloured one (mean chroma {colour:.2f})."
        found.append(refused("colour", says, colour, MAX_COLOUR))
    contrast = float(cv2.meanStdDev(image.pixels)[1][0, 0]) / (1000.0 if image.unit == "HU" else 1.0)
    if contrast < MIN_CONTRAST:
        says = f"contrast: expected {wanted}, found an almost even picture (standard deviation {contrast:.3f})."
        found.append(refused("contrast", says, contrast, MIN_CONTRAST))
    return found


def _looks(
    seen: Sequence[Look], stated: Modality | None, modalities: Sequence[Modality]
) -> tuple[list[Finding], Modality | None]:
    """What the pictures of one study look like: of another kind, from the side, turned, or with black for white."""
    kinds = {kind: _mean([one.kinds[kind] for one in seen]) for kind in looks.KINDS}
    taken = [m for m in modalities if stated in (None, m)]
    value = sum(kinds[kind] for m in taken for kind in OF[m])
    likeliest = max(kinds, key=lambda kind: kinds[kind])
    if value < LEAST_KIND:
        says = (
            f"picture: expected {_wanted(taken)}, found what looks like {SEEN[likeliest]} "
            f"(probability {kinds[likeliest]:.2f})."
        )
        return [refused("kind", says, value, LEAST_KIND)], None
    ct = kinds["ct"] > kinds["frontal"] + kinds["lateral"]
    found = [
        passed("kind", value, LEAST_KIND),
        *_view(kinds["lateral"]),
        *_turn({turn: _mean([one.turns[turn] for one in seen]) for turn in looks.TURNS}, ct),
        *_negative(_mean([one.negative for one in seen])),
    ]
    return found, "ct" if ct else "xray"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _view(lateral: float) -> list[Finding]:
    if lateral < SURE:
        return []
    says = "The picture looks like a lateral view; most of what models learn from is frontal."
    return [flagged("view", says, lateral, SURE)]


def _turn(turns: Mapping[int, float], ct: bool) -> list[Finding]:
    """Head and feet swapped is how a patient may lie in a scanner; any other turn is somebody's mistake."""
    turned = max(turns, key=lambda turn: turns[turn])
    value = 1 - turns[0]
    if value < SURE or turned == 0:
        return [passed("turn", value, SURE)]
    if ct and turned == 180:
        says = "The slice looks upside down, with the patient's back on top; the model may not have learned from such."
        return [flagged("turn", says, value, SURE)]
    says = f"turn: expected an upright picture, found one turned by {turned} degrees. Turn it back."
    return [refused("turn", says, value, SURE)]


def _negative(value: float) -> list[Finding]:
    if value < SURE:
        return [passed("negative", value, SURE)]
    says = "greys: expected air dark and bone bright, found what looks like a negative. Invert the picture."
    return [refused("negative", says, value, SURE)]


def _lung(images: Sequence[Image2D]) -> list[Finding]:
    """How much of slices in HU is lung."""
    if any(image.unit != "HU" for image in images):
        return []
    low, high = LUNG_HU
    lung = sum(int(np.count_nonzero((image.pixels > low) & (image.pixels < high))) for image in images)
    dense = sum(int(np.count_nonzero(image.pixels >= high)) for image in images)
    value = lung / max(1, dense)
    if value >= LEAST_LUNG:
        return [passed("lung", value, LEAST_LUNG)]
    says = (
        f"lung: expected a share of at least {LEAST_LUNG} between {low:.0f} and {high:.0f} HU, found {value:.3f}: "
        "no lung is seen, or the values are not Hounsfield units."
    )
    return [refused("lung", says, value, LEAST_LUNG)]


def _unusual(image: Image2D, headers: Mapping[str, str], wanted: str) -> list[Finding]:
    found = []
    if image.modality is None:
        found.append(flagged("modality", f"The file does not say what it shows; it is taken to be {wanted}."))
    if image.modality == "xray" and (image.view or "").upper() in LATERAL:
        says = f"ViewPosition is {image.view}, a lateral view; most of what models learn from is frontal."
        found.append(flagged("view", says))
    years = said.age(headers.get("PatientAge", ""))
    if years is not None and years < ADULT:
        says = f"PatientAge is below {ADULT} years; most of what models learn from is of adults."
        found.append(flagged("age", says, years, ADULT))
    return found
