"""200 X-rays in one call against one-by-one eager torch, each in one process, start included.

Run: python benchmarks/xray_many.py WORK [ROUNDS]   Goal: 4 times faster.
"""

from __future__ import annotations

import sys
from pathlib import Path

from common import EAGER, PNEUMOSCOPE, bundle, covid, machine, side_by_side, xrays

COUNT = 200
work, rounds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2
images = [str(p) for p in xrays(work, COUNT)]
print(f"{machine()}; {COUNT} images of 1024 x 1024, medians of {rounds}\n")
print("| network | pneumoscope s / MB | eager torch + timm s / MB | faster | memory | largest difference |")
print("| --- | --- | --- | --- | --- | --- |")
for net in ("mobilenetv2", "vgg16", "densenet121"):
    made = str(bundle(work, net))
    found = side_by_side({"ours": [*PNEUMOSCOPE, made, *images, "--json"], "eager": [*EAGER, made, *images]}, rounds)
    (a, b, x), (c, d, y) = found["ours"], found["eager"]
    apart = max(abs(p - q) for p, q in zip(covid(x), covid(y), strict=True))
    print(f"| {net} | {a:.1f} / {b:.0f} | {c:.1f} / {d:.0f} | {c / a:.1f} x | {b / d:.2f} | {apart:.4f} |")
