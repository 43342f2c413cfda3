"""Synthetic patients for the demo, the docs and the tests, never called real: the door to this folder.

`make_xray` makes a chest X-ray; `write_png` and `write_dicom` write it, `write_xrays` writes a dataset of many.
"""

from pneumoscope.phantoms.files import write_dicom, write_png, write_xrays
from pneumoscope.phantoms.xray import XRAY_LABELS, XrayPhantom, make_xray

__all__ = ["XRAY_LABELS", "XrayPhantom", "make_xray", "write_dicom", "write_png", "write_xrays"]
