"""Figures as they come out: with their interval, and as curves; the smallest parts of a result."""

from __future__ import annotations

from dataclasses import dataclass

from pneumoscope.core.serial import Undefinable


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure with its 95 % bootstrap interval over patients; all three NaN where it is undefined."""

    value: Undefinable
    low: Undefinable
    high: Undefinable


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of a curve to draw, x ascending."""

    x: tuple[float, ...]
    y: tuple[float, ...]
