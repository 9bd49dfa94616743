"""How a process gives memory back to the system: for programs, whose process is their own.

It knows glibc's malloc; it knows nothing about what the memory is for.
"""

from __future__ import annotations

import ctypes
import os

LARGE = 4 * 2**20  # bytes
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def give_back() -> None:
    """From now on what is free goes back to the system once it is 4 MiB or more; nothing where there is no glibc.

    By itself glibc keeps as much as the largest block that was ever freed, so that after one large picture a process
    holds tens of megabytes more or less by chance. Who has set glibc's variables for it is not overruled.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    tuned = "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
    if mallopt is not None and not tuned and not any(name in os.environ for name in _VARIABLES):
        mallopt(_MMAP_THRESHOLD, LARGE)
        mallopt(_TRIM_THRESHOLD, LARGE)
