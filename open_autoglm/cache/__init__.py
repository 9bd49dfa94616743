"""The prefix cache: what was computed before is found again, in memory, on disk, or in Redis.

It knows the runtime's answers and features; it knows nothing about indexes, pages or commands.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import SettingError, needing

with needing("The cache", "cache"):
    import msgpack as _msgpack  # noqa: F401
    import xxhash as _xxhash  # noqa: F401

from .keys import Key
from .memory import MemoryTier
from .model import remembering
from .prefix_cache import Lifetimes, PrefixCache, TierStatistics
from .settings import DISK, MEMORY, REDIS, CacheSettings
from .tier import Tier

__all__ = ["TIERS", "CacheSettings", "Key", "Lifetimes", "PrefixCache", "TierStatistics", "open_cache", "remembering"]


def _memory(settings: CacheSettings) -> Tier:
    shared = settings.tiers[-1] != MEMORY
    return MemoryTier(settings.memory_bytes, settings.memory_entries, settings.local if shared else None)


def _disk(settings: CacheSettings) -> Tier:
    from .disk import DiskTier

    if settings.folder is None:
        raise SettingError("A cache on disk needs a folder.")
    return DiskTier(settings.folder, settings.disk_bytes)


def _redis(settings: CacheSettings) -> Tier:
    with needing("A cache in Redis", "redis"):
        import redis as _redis  # noqa: F401

    from .redis import RedisTier

    if settings.redis is None:
        raise SettingError("A cache in Redis needs the server's address, such as redis://localhost:6379.")
    return RedisTier(settings.redis, settings.redis_timeout)


TIERS: dict[str, Callable[[CacheSettings], Tier]] = {MEMORY: _memory, DISK: _disk, REDIS: _redis}


def open_cache(settings: CacheSettings) -> PrefixCache | None:
    """The cache that settings ask for, None without tiers. SettingError for a folder or an address of no use."""
    return (
        PrefixCache([TIERS[name](settings) for name in settings.tiers], settings.lifetimes) if settings.tiers else None
    )
