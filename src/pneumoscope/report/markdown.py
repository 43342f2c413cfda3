"""Text from strangers in Markdown: it shows as it stands, and can neither end a span nor leave its line."""

from __future__ import annotations

import re


def plain(text: str) -> str:
    """Text that Markdown shows as it stands: one line, no markup, no HTML, no control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", line)


def code(text: str) -> str:
    """Text for a code span: it can neither end the span nor leave the line."""
    return "".join(c for c in text if c.isprintable() and c not in "`|")
