"""A published method: how it is cited, and what its authors print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What is implemented, so that it can be cited."""

    authors: str
    title: str
    year: int
    where: str


@dataclass(frozen=True, kw_only=True)
class Reported:
    """What the paper prints, so that it can stand beside ours.

    metrics: name, or name.class, -> value in 0..1. sizes: class -> what it says of its images' sizes in pixels
    ("images", "min", "max", "mean", "sd"). variants: those whose figure it is, "" for the recipe as written; none
    for all.
    """

    data: str
    where: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    sizes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    variants: tuple[str, ...] = ()
