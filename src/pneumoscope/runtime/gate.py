"""Is this image something the model may judge at all?

What is plainly not a chest X-ray or a chest CT is refused; what is only unusual is judged with a warning. What a
picture itself looks like (a cat, a head CT as PNG) is not asked here yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2

from pneumoscope.core.image import Image2D, Modality, Volume
from pneumoscope.core.study import Study

MIN_SIDE = 64
MAX_ASPECT = 2.5
# mean absolute difference between colour channels above which a picture is a colour picture, not a grey one
MAX_COLOUR = 0.05
# standard deviation of brightness (0..1), or of HU / 1000, below which there is nothing to see
MIN_CONTRAST = 0.01

NAMES: Mapping[Modality, str] = {"xray": "a chest X-ray", "ct": "a chest CT"}
# parts of BodyPartExamined (PS3.16 annex L) that a chest image may carry
CHEST = ("CHEST", "THORAX", "LUNG", "CHSTABD", "CHESTABD", "HEART", "WHOLEBODY", "TSPINE", "RIB")
LATERAL = ("LL", "RL", "LATERAL", "LAT", "L")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """reasons: why the image is refused, empty where it is not. warnings: what is unusual about it."""

    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def judge(study: Study, modalities: tuple[Modality, ...], *, series: bool = False, whole: bool = False) -> Verdict:
    """Whether a method made for `modalities` may judge the study.

    series: it takes CT series. whole: it takes nothing else.
    """
    if study.volume is not None:
        return _judge_series(study.volume, study.headers, modalities) if series else _single_only(study.volume)
    if whole:
        return Verdict(reasons=("series: expected a CT series, which is what this bundle judges, found one image.",))
    image = study.images[0]
    wanted = " or ".join(NAMES[m] for m in modalities)
    reasons = [*_wrong_kind(image, study.headers, modalities, wanted), *_wrong_picture(image, wanted)]
    return Verdict(reasons=tuple(reasons), warnings=tuple(_unusual(image, wanted)))


def _single_only(volume: Volume) -> Verdict:
    return Verdict(
        reasons=(
            f"images: expected a single image, which is what this bundle judges, found a CT series of "
            f"{volume.shape[0]} slices. Give one of its slices.",
        )
    )


def _judge_series(volume: Volume, headers: Mapping[str, str], modalities: tuple[Modality, ...]) -> Verdict:
    """By its middle slice: the ends of a series may hold little."""
    wanted = " or ".join(NAMES[m] for m in modalities)
    middle = volume.image(volume.shape[0] // 2)
    return Verdict(
        reasons=(*_wrong_kind(middle, headers, modalities, wanted), *_wrong_picture(middle, wanted)),
        warnings=tuple(_unusual(middle, wanted)),
    )


def _wrong_kind(image: Image2D, headers: Mapping[str, str], modalities: tuple[Modality, ...], wanted: str) -> list[str]:
    reasons = []
    if image.modality is not None and image.modality not in modalities:
        reasons.append(f"modality: expected {wanted}, found {NAMES[image.modality]}.")
    part = headers.get("BodyPartExamined", "")
    if part and not any(name in part.upper().replace(" ", "").replace("_", "") for name in CHEST):
        reasons.append(f"BodyPartExamined: expected a chest, found '{part}'.")
    return reasons


def _wrong_picture(image: Image2D, wanted: str) -> list[str]:
    reasons = []
    height, width = image.shape
    if min(height, width) < MIN_SIDE:
        reasons.append(f"size: expected at least {MIN_SIDE} pixels a side, found {height} x {width}.")
    elif max(height, width) > MAX_ASPECT * min(height, width):
        reasons.append(f"size: expected {wanted}, found a picture of {height} x {width}, too long for one.")
    colour = max((float(s.args.get("colour", 0.0)) for s in image.steps if s.name == "grey"), default=0.0)
    if colour > MAX_COLOUR:
        reasons.append(f"colour: expected a grey picture, found a coloured one (mean chroma {colour:.2f}).")
    contrast = float(cv2.meanStdDev(image.pixels)[1][0, 0]) / (1000.0 if image.unit == "HU" else 1.0)
    if contrast < MIN_CONTRAST:
        reasons.append(
            f"contrast: expected {wanted}, found an almost even picture (standard deviation {contrast:.3f})."
        )
    return reasons


def _unusual(image: Image2D, wanted: str) -> list[str]:
    warnings = []
    if image.modality is None:
        warnings.append(f"The file does not say what it shows; it is taken to be {wanted}.")
    if image.modality == "xray" and (image.view or "").upper() in LATERAL:
        warnings.append(f"ViewPosition is {image.view}, a lateral view; most of what models learn from is frontal.")
    return warnings
