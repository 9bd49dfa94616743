"""Which version answers whom while a rollout runs: the same one each time, and for ever more people as it grows.

It knows jobs and shares; it knows nothing of models.
"""

from __future__ import annotations

import hashlib
import random

from ..caller import ANONYMOUS
from ..work import Job


def person(job: Job) -> str | None:
    """For whom a job is done; None where nobody can tell."""
    if not job.sticky and job.caller.subject == ANONYMOUS.subject:
        return None
    return f"{job.caller.tenant}\0{job.sticky or job.caller.subject}"


def place(salt: str, who: str | None) -> float:
    """Where on 0..1 somebody stands, the same at every process and another with each ``salt``; at random for None.

    Whose place lies below the weight gets the candidate, so a higher weight moves nobody back.
    """
    if who is None:
        return random.random()  # noqa: S311  (no secret)
    digest = hashlib.blake2b(f"{salt}\0{who}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
