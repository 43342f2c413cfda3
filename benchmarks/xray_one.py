"""One X-ray PNG in a fresh process: `pneumoscope predict` against the same network in eager torch + timm.

Run: python benchmarks/xray_one.py WORK [ROUNDS]   Goal: 4 times faster, half the memory, under 1 s.
"""

from __future__ import annotations

import sys
from pathlib import Path

from common import EAGER, PNEUMOSCOPE, bundle, covid, machine, side_by_side, xrays

work, rounds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5
(image,) = xrays(work, 1)
print(f"{machine()}; medians of {rounds}\n")
print("| network | pneumoscope s / MB | eager torch + timm s / MB | faster | memory | difference |")
print("| --- | --- | --- | --- | --- | --- |")
for net in ("mobilenetv2", "vgg16", "densenet121"):
    made = str(bundle(work, net))
    found = side_by_side(
        {"ours": [*PNEUMOSCOPE, made, str(image), "--json"], "eager": [*EAGER, made, str(image)]}, rounds
    )
    (a, b, x), (c, d, y) = found["ours"], found["eager"]
    apart = abs(covid(x)[0] - covid(y)[0])
    print(f"| {net} | {a:.2f} / {b:.0f} | {c:.2f} / {d:.0f} | {c / a:.1f} x | {b / d:.2f} | {apart:.4f} |")
