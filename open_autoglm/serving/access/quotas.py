"""What each tenant may still ask for: requests a second, pictures and tokens a minute and a day.

It knows quotas and where they are counted; it knows nothing of what is asked. Windows slide, so that no burst passes
at the turn of one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import ceil
from typing import Any, TypeVar

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from ...cache.breaker import Breaker
from ...errors import needing
from .refusal import Refused, exhausted
from .settings import AccessSettings, Quota

T = TypeVar("T")
Limiter = SlidingWindowCounterRateLimiter
_log = logging.getLogger("open_autoglm.access")
_STORE_TIMEOUT = 0.25  # seconds that the shared store may take
_WINDOWS: dict[str, tuple[str, type[RateLimitItem]]] = {
    "requests_per_second": ("requests", RateLimitItemPerSecond),
    "pictures_per_minute": ("pictures", RateLimitItemPerMinute),
    "pictures_per_day": ("pictures", RateLimitItemPerDay),
    "tokens_per_minute": ("tokens", RateLimitItemPerMinute),
    "tokens_per_day": ("tokens", RateLimitItemPerDay),
}


@dataclass(frozen=True)
class Limit:
    """One limit of a tenant's: what it counts, and how many in which window."""

    name: str
    counts: str
    item: RateLimitItem

    @property
    def seconds(self) -> int:
        return self.item.get_expiry()


@dataclass(frozen=True)
class Standing:
    """How much of a limit is left, and in how many seconds there is more."""

    limit: Limit
    left: int
    seconds: int


class Quotas:
    """Counts what tenants ask for, in this process or in a Redis that several share; while that is gone, here."""

    def __init__(self, settings: AccessSettings) -> None:
        self._all = _limits(settings.quota)
        self._own = {tenant: _limits(quota) for tenant, quota in settings.quotas.items()}
        self._local = Limiter(MemoryStorage())
        self._pool = _redis_pool(settings.quota_store) if settings.quota_store else None
        self._shared = Limiter(_redis_storage(settings.quota_store, self._pool)) if settings.quota_store else None
        self._breaker = Breaker()

    async def spend(self, tenant: str, costs: dict[str, int]) -> list[Standing]:
        """Counts the costs, by what they count, all of them or none: how the tenant stands then. Raises Refused."""
        limits = [limit for limit in self._own.get(tenant, self._all) if costs.get(limit.counts)]
        for limit in limits:
            if costs[limit.counts] > limit.item.amount:
                raise _too_much(limit, costs[limit.counts])
        if not limits:
            return []
        return await self._counted(lambda limiter: _spent(limiter, tenant, limits, costs))

    async def close(self) -> None:
        """Lets go of the shared store."""
        if self._pool is not None:
            await self._pool.aclose()

    async def _counted(self, work: Callable[[Limiter], Awaitable[T]]) -> T:
        if self._shared is not None and self._breaker.allows():
            try:
                async with asyncio.timeout(_STORE_TIMEOUT):
                    result = await work(self._shared)
            except Refused:
                self._recovered()
                raise
            except Exception as error:  # redis-py's errors, and what the network makes of them
                if self._breaker.failed():
                    _log.error("The quota store does not answer (%s): each server counts by itself.", error)
            else:
                self._recovered()
                return result
        return await work(self._local)

    def _recovered(self) -> None:
        if self._breaker.succeeded():
            _log.info("The quota store answers again.")


async def _spent(limiter: Limiter, tenant: str, limits: list[Limit], costs: dict[str, int]) -> list[Standing]:
    for act in (limiter.test, limiter.hit):  # none is counted before all are known to allow it
        for limit in limits:
            if not await act(limit.item, tenant, cost=costs[limit.counts]):
                wait = await _wait(limiter, limit, tenant, costs[limit.counts])
                raise _used_up(limit, wait, await _standings(limiter, tenant, limits))
    return await _standings(limiter, tenant, limits)


async def _standings(limiter: Limiter, tenant: str, limits: list[Limit]) -> list[Standing]:
    found = []
    for limit in limits:
        stats = await limiter.get_window_stats(limit.item, tenant)
        found.append(Standing(limit, stats.remaining, max(0, ceil(stats.reset_time - time.time()))))
    return found


async def _wait(limiter: Limiter, limit: Limit, tenant: str, cost: int) -> float:
    """Seconds until so much would be allowed, if nothing else is asked for meanwhile."""
    window = limit.seconds
    storage: Any = limiter.storage
    before, leaving, here, left = await storage.get_sliding_window(limit.item.key_for(tenant), window)
    over = before * leaving / window + here + cost - limit.item.amount
    if before and over <= before * leaving / window:
        return float(over * window / before)
    remaining = max(0.0, left - window) if here else leaving
    still = here + cost - limit.item.amount  # once what lies before the window has left it
    return float(remaining + (still * window / here if here and still > 0 else 0))


def headers(standings: list[Standing]) -> dict[str, str]:
    """RateLimit-Policy and RateLimit, as draft-ietf-httpapi-ratelimit-headers-10 writes them."""
    if not standings:
        return {}
    policies = [f'"{one.limit.name}";q={one.limit.item.amount};w={one.limit.seconds}' for one in standings]
    states = [f'"{one.limit.name}";r={one.left};t={one.seconds}' for one in standings]
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}


def _used_up(limit: Limit, wait: float, standings: list[Standing]) -> Refused:
    seconds = max(1, ceil(wait))
    return exhausted(
        f"This tenant may ask for {_in_words(limit)}: try again in {seconds} s.",
        {"Retry-After": str(seconds), **headers(standings)},
    )


def _too_much(limit: Limit, cost: int) -> Refused:
    return exhausted(
        f"This request asks for {cost} {limit.counts} at once, and this tenant may ask for {_in_words(limit)}: send it "
        "in smaller parts.",
        {"Retry-After": str(limit.seconds)},
    )


def _in_words(limit: Limit) -> str:
    return f"{limit.item.amount} {limit.counts} a {limit.name.rpartition('-')[2]}"


def _limits(quota: Quota) -> list[Limit]:
    return [
        Limit(f"{counts}-{field.rpartition('_')[2]}", counts, kind(amount, namespace=f"autoglm/{counts}"))
        for field, (counts, kind) in _WINDOWS.items()
        if (amount := getattr(quota, field)) is not None
    ]


def _redis_pool(address: str) -> Any:
    with needing("Quotas counted in Redis", "redis"):
        from redis.asyncio import BlockingConnectionPool

    return BlockingConnectionPool.from_url(address, max_connections=32, timeout=_STORE_TIMEOUT)


def _redis_storage(address: str, pool: Any) -> RedisStorage:
    return RedisStorage(f"async+{address}", implementation="redispy", connection_pool=pool)
