"""Memory allocation on the CPU."""

import ctypes
import os
import sys

MMAP_THRESHOLD = 32 * 2**20  # the largest that glibc accepts on 64-bit systems
TRIM_THRESHOLD = 2**31 - 1  # bytes; the argument of mallopt is an int
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
OWN_SETTINGS = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
"""Variables by which a user sets the same limits, which then hold."""


def keep_freed_memory() -> bool:
    """Make glibc reuse freed blocks of up to 32 MiB; by default it returns them to the kernel at each free.

    A training step allocates and frees the same tensors again and again, and each page that comes back from the kernel
    costs a fault and is filled with zeros. The process keeps the largest amount of memory that it has used. Returns
    True if the limits were set: on Linux with glibc, unless a variable of OWN_SETTINGS is set.
    """
    if sys.platform != "linux" or any(os.environ.get(name) for name in OWN_SETTINGS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return all(
        mallopt(*limit) == 1 for limit in ((_M_MMAP_THRESHOLD, MMAP_THRESHOLD), (_M_TRIM_THRESHOLD, TRIM_THRESHOLD))
    )
