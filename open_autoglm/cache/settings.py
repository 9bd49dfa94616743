"""Where and how much is cached, from one word or from the environment.

It knows settings; it knows nothing of how a tier keeps anything.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import SettingError
from ..runtime.tuned import cache_folder
from .prefix_cache import Lifetimes

OFF, MEMORY, DISK, REDIS = "off", "memory", "disk", "redis"
SCHEMES = ("redis://", "rediss://", "unix://")
VARIABLE = "AUTOGLM_CACHE"
MEBIBYTE = 2**20


@dataclass(frozen=True)
class CacheSettings:
    """What is cached where; nothing anywhere without ``tiers``, the names of those asked in turn.

    ``memory_bytes``, ``memory_entries`` and ``disk_bytes`` bound the tiers; ``folder`` is where the disk tier lies,
    ``redis`` the address of the server, ``redis_timeout`` the seconds it may take. An entry stays in memory for at
    most ``local`` seconds where a tier that others share lies below. Raises SettingError.
    """

    tiers: tuple[str, ...] = (MEMORY, DISK)
    memory_bytes: int = 256 * MEBIBYTE
    memory_entries: int = 100_000
    folder: Path | None = None
    disk_bytes: int = 2048 * MEBIBYTE
    redis: str | None = None
    redis_timeout: float = 0.25
    local: float = 60.0
    lifetimes: Lifetimes = field(default_factory=Lifetimes)

    def __post_init__(self) -> None:
        for name in ("memory_bytes", "memory_entries", "disk_bytes", "redis_timeout", "local"):
            if not 0 < getattr(self, name) < float("inf"):
                raise SettingError(f"{name} of the cache is {getattr(self, name)}: it must be above 0.")

    @classmethod
    def read(cls, wish: str | None = None, environment: Mapping[str, str] = os.environ) -> CacheSettings:
        """What ``wish`` asks for, or else AUTOGLM_CACHE, or else memory and disk; the rest from the environment."""
        wish = environment.get(VARIABLE) if wish is None else wish
        found = cls._wished(wish)
        for name, setting, unit in VARIABLES:
            if (given := environment.get(name)) is not None:
                found = replace(found, **{setting: type(getattr(found, setting))(amount(name, given) * unit)})
        if (given := environment.get(LIFETIME)) is not None:
            found = replace(found, lifetimes=replace(found.lifetimes, value=amount(LIFETIME, given)))
        return found

    @classmethod
    def _wished(cls, wish: str | None) -> CacheSettings:
        if wish == OFF:
            return cls(tiers=())
        if wish == MEMORY:
            return cls(tiers=(MEMORY,))
        if wish is not None and wish.startswith(SCHEMES):
            return cls(tiers=(MEMORY, REDIS), redis=wish)
        if wish is not None and (not wish or "://" in wish):
            raise SettingError(
                f"The cache cannot be {wish!r}: give off, memory, a folder, or the address of a Redis server, such as "
                "redis://localhost:6379."
            )
        if wish is not None:
            return cls(folder=Path(wish))
        own = own_folder()
        return cls(folder=own) if own is not None else cls(tiers=(MEMORY,))


VARIABLES = (
    ("AUTOGLM_CACHE_MEMORY_MB", "memory_bytes", MEBIBYTE),
    ("AUTOGLM_CACHE_DISK_MB", "disk_bytes", MEBIBYTE),
    ("AUTOGLM_CACHE_REDIS_TIMEOUT", "redis_timeout", 1),
)
LIFETIME = "AUTOGLM_CACHE_SECONDS"


def own_folder() -> Path | None:
    """The user's folder for it; None for a user without one that can be written to."""
    tuned = cache_folder()
    try:
        if tuned is not None:
            folder = tuned.with_name("answers")
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return folder if os.access(folder, os.W_OK) else None
    except OSError:
        return None
    return None


def amount(name: str, given: str) -> float:
    """A number above 0 that a variable gives; SettingError where it is none."""
    try:
        number = float(given)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise SettingError(f"{name} is {given!r}: give a number above 0.")
    return number
