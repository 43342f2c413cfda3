"""An audit as one HTML file, and in the words that the terminal prints."""

from __future__ import annotations

from collections.abc import Mapping

from pneumoscope.core.audit import Audit
from pneumoscope.report import shortcuts
from pneumoscope.report.html import render


def audit_report(audit: Audit, *, thumbnails: Mapping[str, bytes]) -> str:
    """The report on what is wrong with labelled images: one HTML file.

    thumbnails: file -> JPEG, for the pairs that are shown.
    """
    return render("audit.html.j2", title="Audit of the data", a=audit, **shortcuts.values(audit.shortcuts))
