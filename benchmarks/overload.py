"""Three times as many requests as a server can answer: how much it still answers, and how it refuses the rest.

The capacity is what 16 clients get that each wait for their answer, before and after; then requests of one photo each
come at random moments, three times as many, whether or not the earlier ones were answered.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from itertools import cycle

import numpy as np
from _record import record
from _server import LOST, REFUSED, Client, Reply, Server, bodies, server

CLIENTS, TIMES = 16, 3
QUEUE_SECONDS = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter, for a look")
    quick = parser.parse_args().quick
    seconds, closed = (15.0, 8.0) if quick else (60.0, 20.0)
    bundle = "open-autoglm-grocery" if quick else "open-autoglm-base"  # the first is several times quicker
    started = time.perf_counter()
    with server(bundle, queue_seconds=QUEUE_SECONDS) as one:
        figures = asyncio.run(measured(one, seconds, closed))
    settings = {"bundle": bundle, "seconds": seconds, "queue_seconds": QUEUE_SECONDS, "times": TIMES, "quick": quick}
    record("overload", settings, figures, time.perf_counter() - started)


async def measured(one: Server, seconds: float, closed: float) -> dict[str, float]:
    photos = bodies(32)
    async with Client(one.address) as http:
        before = await capacity(http, photos, closed)
        memory: list[float] = []
        watching = asyncio.create_task(watch(one, memory))
        began = time.perf_counter()
        replies = await flood(http, photos, TIMES * before, seconds)
        watching.cancel()
        after = await capacity(http, photos, closed)
    good = [reply for reply in replies if reply.status == 200]
    refusals = [1000 * reply.seconds for reply in replies if reply.status == 429]
    # Of the time in which requests came and the last of them were answered.
    rate = len(good) / (max(reply.answered for reply in good) - began)
    settled = memory[len(memory) // 4 :]
    return {
        "capacity_per_second": (before + after) / 2,
        "capacity_before_per_second": before,
        "capacity_after_per_second": after,
        "sent": len(replies),
        "goodput_per_second": rate,
        "goodput_share_of_capacity": rate / ((before + after) / 2),
        "answered_p50_ms": 1000 * statistics.median(reply.seconds for reply in good),
        "answered_p99_ms": 1000 * float(np.percentile([reply.seconds for reply in good], 99)),
        "refused_429": len(refusals),
        "refused_p50_ms": statistics.median(refusals),
        "refused_p99_ms": float(np.percentile(refusals, 99)),
        "other_statuses": sum(reply.status not in (200, 429, LOST, REFUSED) for reply in replies),
        "lost": sum(reply.status in (LOST, REFUSED) for reply in replies),
        "memory_mb": settled[-1],
        "memory_growth_mb": statistics.mean(settled[-3:]) - statistics.mean(settled[:3]),
    }


async def capacity(http: Client, photos: list[bytes], seconds: float) -> float:
    """Requests a second that some clients get answered, each waiting for its answer."""
    until, source, answered = time.perf_counter() + seconds, cycle(photos), 0

    async def ask() -> None:
        nonlocal answered
        while time.perf_counter() < until:
            reply = await http.send(next(source))
            answered += reply.status == 200 and reply.answered < until

    await asyncio.gather(*(ask() for _ in range(CLIENTS)))
    return answered / seconds


async def flood(http: Client, photos: list[bytes], rate: float, seconds: float) -> list[Reply]:
    """Requests at random moments, so many a second, whatever becomes of them."""
    moments, source = random.Random(0), cycle(photos)
    sent: list[asyncio.Task[Reply]] = []
    began = due = time.perf_counter()
    while due < began + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        sent.append(asyncio.create_task(http.send(next(source))))
        due += moments.expovariate(rate)
    return list(await asyncio.gather(*sent))


async def watch(one: Server, memory: list[float]) -> None:
    while True:
        memory.append(one.megabytes())
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    main()
