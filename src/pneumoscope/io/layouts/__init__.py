"""Public datasets, one file each, found by their files: each holds `LAYOUT`. Adding a dataset is adding a file."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from pneumoscope.core.registry import Registry
from pneumoscope.io.layouts.layout import Layout

_SHARED = ("layout", "metadata", "tree")  # what the layouts are written with


@functools.cache
def layouts() -> Registry[Layout]:
    """All layouts by name."""
    registry: Registry[Layout] = Registry("dataset")
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        if module.name not in _SHARED:
            layout = importlib.import_module(f"{__name__}.{module.name}").LAYOUT
            registry.add(layout.name, layout)
    return registry
