"""Pictures inside the page: data: URIs (RFC 2397), so that a report is one file."""

from __future__ import annotations

import base64


def data_uri(mime: str, data: bytes) -> str:
    """The bytes of a picture as a URI that an image's `src` takes."""
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"
