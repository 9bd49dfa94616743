"""Which of several processes of one training this is, and how they were started.

It knows what ``torchrun`` tells its processes; it knows nothing about training.
"""

from __future__ import annotations

import os


def program() -> str:
    """How this training was started; it goes on with as many processes only."""
    processes = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return "autoglm" if processes == "1" else f"torchrun --nproc-per-node {processes} -m open_autoglm"


def first_process() -> bool:
    """Whether this process speaks for all that ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0"
