"""The allocator setting that makes eager training on a CPU 2 to 4 times faster (shared reference speed.md).

glibc gives large blocks back to the system at once, and every step pays for the page faults again. Keeping them
must be said before torch allocates, so this module does not import torch.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_memory() -> bool:
    """Tell malloc to keep freed memory; False where the C library is not glibc and nothing was changed."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    return bool(libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
