"""What is installed here, and whether the built-in bundles give the answers they gave where they were made."""

from __future__ import annotations

import importlib.util
import platform
from dataclasses import dataclass
from importlib import metadata

import pneumoscope
from pneumoscope import bundle as bundles
from pneumoscope.errors import PneumoscopeError


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at. fine: False where something does not work as it should."""

    what: str
    found: str
    fine: bool = True


def examine() -> list[Finding]:
    """Versions, precisions, the training extra, and the built-in bundles' own checks."""
    from pneumoscope.runtime import engine

    extra = importlib.util.find_spec("torch") is not None
    torch = f"torch {metadata.version('torch')}" if extra else "not installed (only training needs it)"
    findings = [
        Finding(what="pneumoscope", found=pneumoscope.__version__),
        Finding(what="python", found=f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding(what="openvino", found=engine.version()),
        Finding(what="precisions of this CPU", found=", ".join(engine.supported_precisions())),
        Finding(what="extra [train]", found=torch),
    ]
    names = bundles.builtin_names()
    if not names:
        findings.append(Finding(what="built-in bundles", found="none", fine=False))
    return findings + [_check(name) for name in names]


def _check(name: str) -> Finding:
    from pneumoscope import api

    try:
        difference = api.verify(name)
    except PneumoscopeError as error:
        return Finding(what=f"bundle {name}", found=str(error), fine=False)
    return Finding(what=f"bundle {name}", found=f"verified, check within {difference:.1e}")
