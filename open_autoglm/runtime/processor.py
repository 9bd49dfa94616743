"""Whether this machine's processor has the instructions that int8 graphs are made for; it knows nothing else."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

X86 = {"x86_64", "AMD64"}
VNNI = {"avx512_vnni", "avx_vnni"}
CPUINFO = Path("/proc/cpuinfo")
NO_VNNI = (
    "This processor has no VNNI, which makes int8 fast: float graphs are run where the bundle has them; "
    "precision='int8' runs the others all the same."
)


@cache
def lacks_vnni(cpuinfo: Path = CPUINFO) -> bool:
    """True of an x86 processor that is known to have no VNNI: the fast int8 kernels cut sums off at 16 bits there."""
    if platform.machine() not in X86 or not cpuinfo.is_file():
        return False
    flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), None)
    return flags is not None and VNNI.isdisjoint(flags.split())
