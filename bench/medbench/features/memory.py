"""Reuse of large buffers by the next batch, on a CPU with the GNU C library.

glibc gives buffers of 32 MiB and more back to the kernel as soon as they are free. The next layer asks for new
ones, which the kernel clears page by page. This takes half of the CPU time of a convolutional network's pass.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT = (1 << 31) - 1
USUAL = {M_TRIM_THRESHOLD: 64 << 20, M_MMAP_THRESHOLD: 32 << 20}
"""Where glibc's own thresholds stop rising (mallopt(3), DEFAULT_MMAP_THRESHOLD_MAX on 64 bits)."""

OWN_SETTINGS = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"}
"""Variables by which a person sets glibc."""


@contextlib.contextmanager
def kept_buffers() -> Iterator[None]:
    """Keep memory that becomes free inside this block for what comes next in it; give it back at the end.

    This changes no number. Other C libraries than glibc are left as they are.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(libc, "mallopt") or libc is None or OWN_SETTINGS & set(os.environ):
        yield
        return
    for threshold in USUAL:
        libc.mallopt(threshold, KEPT)
    try:
        yield
    finally:
        for threshold, usual in USUAL.items():
            libc.mallopt(threshold, usual)
        libc.malloc_trim(0)
