"""How the search for copies grows with the number of pictures, on synthetic signatures of one kind of anatomy.

Run: python benchmarks/audit_index.py 5000 20000 80000 200000   Each picture is a common shape, a person's own and a
little of its own; one in a hundred has a changed copy. Decoding, and comparing the candidates, cost about the same for
every picture and are not in here.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from pneumoscope.audit import signatures
from pneumoscope.audit.nearest import candidates

_DEPTH = 63
_OWN = 0.5  # of a picture, against the common shape: pictures are as alike as chest X-rays are
_CHANGE = 0.03


def main() -> None:
    """Print a line for each number of pictures."""
    for n in [int(word) for word in sys.argv[1:]] or [5_000, 20_000]:
        rng = np.random.default_rng(0)
        weight = 1 / np.arange(1, _DEPTH + 1) ** 0.5  # low frequencies vary most
        common = weight * rng.normal(size=_DEPTH)
        keys = (common + _OWN * weight * rng.normal(size=(n, _DEPTH))).astype(np.float32)
        copies = n // 100
        keys[-copies:] = keys[:copies] + _CHANGE * rng.normal(size=(copies, _DEPTH))
        keys /= np.linalg.norm(keys, axis=1, keepdims=True)
        shift = rng.normal(scale=0.05, size=(signatures.views(), _DEPTH)).astype(np.float32)
        shift[0] = 0

        def ask(start: int, stop: int, keys: np.ndarray = keys, shift: np.ndarray = shift) -> np.ndarray:
            views = keys[start:stop, None] + shift
            return views / np.linalg.norm(views, axis=2, keepdims=True)

        start, used = time.monotonic(), time.process_time()
        found = candidates(keys, ask)
        pairs = set(zip(np.minimum(*found[:2]).tolist(), np.maximum(*found[:2]).tolist(), strict=True))
        kept = sum((i, n - copies + i) in pairs for i in range(copies)) / copies
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{n:,} pictures: {time.monotonic() - start:.1f} s wall, {time.process_time() - used:.1f} s CPU, "
            f"{len(pairs) / n:.1f} candidates a picture, {100 * kept:.1f} % of copies among them, {memory:.2f} GiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
