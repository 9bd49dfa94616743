"""What a process holds after large blocks were freed, in processes of their own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

HELD = """
import sys
import psutil
from open_autoglm.runtime.heap import give_back

if sys.argv[1] == "give":
    give_back()
for _ in range(2):  # glibc learns from the first to keep the second
    block, behind = bytearray(24 * 2**20), bytearray(50_000)
    del block
print(psutil.Process().memory_info().rss // 2**20)
"""


def held(how: str, **variables: str) -> int:
    """MiB of a process that had 24 MiB and has them no longer."""
    done = subprocess.run(
        [sys.executable, "-c", HELD, how],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        env={**ENVIRONMENT, **variables},
    )
    return int(done.stdout)


ENVIRONMENT = {"PATH": "/usr/bin:/bin", "MALLOC_ARENA_MAX": "1"}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="without glibc there is nothing to set")
def test_what_is_large_goes_back_to_the_system() -> None:
    kept = held("keep")
    assert held("give") < kept - 15
    # Who has set it for themselves is not overruled.
    assert held("give", MALLOC_MMAP_THRESHOLD_=str(2**25), MALLOC_TRIM_THRESHOLD_=str(2**26)) > kept - 5
