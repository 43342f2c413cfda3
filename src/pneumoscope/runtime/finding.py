"""What the gate has to say of a study: its findings, and the verdict that they add up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pneumoscope.core.image import Modality
from pneumoscope.core.result import GateCheck


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found. says: the sentence for the reader, "" where it passed. value, limit: see `GateCheck`."""

    check: str
    verdict: Literal["passed", "flagged", "refused"]
    says: str = ""
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """All findings of a study, in their order. looks: the modality that its pictures look like, if looked at."""

    findings: tuple[Finding, ...] = ()
    looks: Modality | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is refused, empty where it is not."""
        return tuple(f.says for f in self.findings if f.verdict == "refused")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is unusual about it."""
        return tuple(f.says for f in self.findings if f.verdict == "flagged")

    @property
    def checks(self) -> Mapping[str, GateCheck]:
        """Check -> what it found, worst first where one check found several things."""
        order = ("passed", "flagged", "refused")
        return {
            f.check: GateCheck(
                verdict=f.verdict,
                value=None if f.value is None else round(f.value, 4),
                limit=f.limit,
            )
            for f in sorted(self.findings, key=lambda f: order.index(f.verdict))
        }


def refused(check: str, says: str, value: float | None = None, limit: float | None = None) -> Finding:
    """A finding for which there is no diagnosis."""
    return Finding(check=check, verdict="refused", says=says, value=value, limit=limit)


def flagged(check: str, says: str, value: float | None = None, limit: float | None = None) -> Finding:
    """A finding that is judged all the same, with a warning."""
    return Finding(check=check, verdict="flagged", says=says, value=value, limit=limit)


def passed(check: str, value: float, limit: float) -> Finding:
    """A measured check that found nothing."""
    return Finding(check=check, verdict="passed", value=value, limit=limit)
