"""Synthetic patients for the demo, the docs and the tests, never called real: the door to this folder.

`make_xray` makes a chest X-ray; `write_png` and `write_dicom` write it, `write_xrays` writes a dataset of many.
`phantom_ct` makes a chest CT series; `write_ct` and `write_localizer` write it, `write_cts` writes a dataset of many.
"""

from pneumoscope.phantoms.ct import CT_LABELS, CtPhantom, phantom_ct
from pneumoscope.phantoms.ct_files import write_ct, write_cts, write_localizer
from pneumoscope.phantoms.files import write_dicom, write_png, write_xrays
from pneumoscope.phantoms.xray import XRAY_LABELS, XrayPhantom, make_xray

__all__ = [
    "CT_LABELS",
    "XRAY_LABELS",
    "CtPhantom",
    "XrayPhantom",
    "make_xray",
    "phantom_ct",
    "write_ct",
    "write_cts",
    "write_dicom",
    "write_localizer",
    "write_png",
    "write_xrays",
]
