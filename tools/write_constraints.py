"""Turn pip's installation report (pip install --dry-run --report) into constraints.txt, on standard output.

The report names every package that the extras need, direct or not, at the version that pip chose. Constraints
only bound what is installed anyway, so the Linux-only CUDA packages in the list do no harm elsewhere.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

HEADER = """\
# The versions that are tested, of everything that pneumoscope[train,dev] needs, direct or not.
# Written by `make constraints` (Linux, Python 3.11), then proven by `make test`. Do not edit by hand.
"""


def constraints(report: dict[str, list[dict[str, dict[str, str]]]]) -> str:
    """The text of constraints.txt: one `name==version` a line, sorted, without pneumoscope itself."""
    pins = {
        re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(): item["metadata"]["version"]
        for item in report["install"]
    }
    del pins["pneumoscope"]
    return HEADER + "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


if __name__ == "__main__":
    sys.stdout.write(constraints(json.loads(Path(sys.argv[1]).read_text())))
