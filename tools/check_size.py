"""Fail when a folder takes more room on disk than its budget: check_size.py FOLDER BUDGET_MB (1 MB is 10^6 bytes)."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def size_of(folder: Path) -> int:
    """Bytes that the files under `folder` take on disk: allocated blocks, as `du` counts; links are not followed."""
    return sum((Path(root) / name).lstat().st_blocks * 512 for root, _, names in os.walk(folder) for name in names)


def largest(folder: Path, count: int = 12) -> list[tuple[int, str]]:
    """The largest entries of the environment's site-packages, in bytes, largest first."""
    entries = [entry for site in folder.glob("lib/python*/site-packages") for entry in site.iterdir()]
    sizes = [(size_of(e) if e.is_dir() else e.lstat().st_blocks * 512, e.name) for e in entries]
    return sorted(sizes, reverse=True)[:count]


def main(folder: Path, budget_mb: int) -> int:
    """Print the total and the largest entries; 1 where the total is above the budget."""
    total = size_of(folder) / 1e6
    for size, name in largest(folder):
        print(f"{size / 1e6:8.1f} MB  {name}")
    print(f"size of {folder}: expected at most {budget_mb} MB, found {total:.0f} MB")
    return 1 if total > budget_mb else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
