"""What clients see when the model's process is killed, when the server is told to stop, and of a picture that kills.

Twelve clients send a photo each, over and over, and wait for the answer. SIGKILL hits one of the worker processes;
SIGTERM the server. The poison is a large picture during which the benchmark kills the worker itself.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import signal
import time
from collections import Counter
from itertools import cycle

import httpx
import numpy as np
from _record import record
from _server import LOST, REFUSED, Reply, Server, bodies, body, client, send, server
from PIL import Image

BUNDLE = "open-autoglm-base"
CLIENTS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, for a look")
    quick = parser.parse_args().quick
    rounds = 2 if quick else 8
    started, figures = time.perf_counter(), {}
    for workers in (1, 2):
        figures |= {f"{workers}_workers_{key}": value for key, value in asyncio.run(killed(workers, rounds)).items()}
    figures |= asyncio.run(stopped(rounds))
    figures |= asyncio.run(poisoned())
    record("recovery", {"bundle": BUNDLE, "rounds": rounds, "quick": quick}, figures, time.perf_counter() - started)


class Load:
    """Clients that send until they are told to stop."""

    def __init__(self, address: str, photos: list[bytes]) -> None:
        self.replies: list[Reply] = []
        self._source, self._going = cycle(photos), True
        self._http = client(address)
        self._clients = [asyncio.create_task(self._ask()) for _ in range(CLIENTS)]

    async def _ask(self) -> None:
        while self._going:
            self.replies.append(await send(self._http, next(self._source)))
            if self.replies[-1].status == REFUSED:
                await asyncio.sleep(0.05)

    async def stop(self) -> list[Reply]:
        self._going = False
        await asyncio.gather(*self._clients)
        await self._http.aclose()
        return self.replies


async def killed(workers: int, rounds: int) -> dict[str, float]:
    """Seconds until answers come again after SIGKILL of a worker, and what failed."""
    photos, gaps, failed, wrong = bodies(48), [], [], 0
    with server(BUNDLE, workers=workers) as one:
        for _ in range(rounds):
            while len(one.workers()) < workers:
                await asyncio.sleep(0.1)
            load = Load(one.address, photos)
            await asyncio.sleep(3)
            at = time.perf_counter()
            os.kill(one.workers()[0], signal.SIGKILL)
            await back(load, at, 30)
            await asyncio.sleep(2)
            replies = await load.stop()
            gaps.append(min(reply.answered for reply in replies if reply.status == 200 and reply.sent > at) - at)
            bad = [reply for reply in replies if reply.status != 200]
            failed.append(sum(reply.status == 503 for reply in bad))
            # What was not in that worker's hands at that moment, or failed otherwise than with 503.
            wrong += sum(reply.status != 503 or reply.sent > at or reply.answered > at + 1 for reply in bad)
    return {
        "back_after_seconds_median": float(np.median(gaps)),
        "back_after_seconds_most": max(gaps),
        "failed_503_most": max(failed),
        "failed_otherwise": wrong,
    }


async def back(load: Load, at: float, patience: float) -> None:
    """Returns when a request that was sent after a moment was answered."""
    while not any(reply.status == 200 and reply.sent > at for reply in load.replies):
        if time.perf_counter() > at + patience:
            raise TimeoutError("no answer came after the worker was killed")
        await asyncio.sleep(0.02)


async def stopped(rounds: int) -> dict[str, float]:
    """What became of requests when SIGTERM came; those that were lost got no reply though they were sent."""
    photos, statuses, seconds = bodies(48), Counter[int](), list[float]()
    for _ in range(rounds):
        with server(BUNDLE) as one:
            load = Load(one.address, photos)
            await asyncio.sleep(3)
            at = time.perf_counter()
            one.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(one.process.wait, 60)
            seconds.append(time.perf_counter() - at)
            statuses.update(reply.status for reply in await load.stop() if reply.answered > at)
    return {
        "sigterm_answered_200": statuses[200],
        "sigterm_refused_503": statuses[503],
        "sigterm_nobody_listened": statuses[REFUSED],
        "sigterm_lost": statuses[LOST],
        "sigterm_seconds_to_exit": max(seconds),
    }


async def poisoned() -> dict[str, float]:
    """How often a picture can end a worker, and whether its neighbours are answered."""
    noise = np.random.default_rng(0).integers(0, 256, (4_000, 4_000, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG", compress_level=1)
    poison, photo, deaths = body(file.getvalue(), "png"), bodies(1)[0], 0
    with server(BUNDLE) as one:
        async with client(one.address) as http:
            while (reply := await poisoning(one, http, poison)).status == 503:
                deaths += 1
            neighbour = await send(http, photo)
    return {
        "poison_ends_workers": deaths,
        "poison_then_status": reply.status,
        "poison_neighbour_status": neighbour.status,
    }


async def poisoning(one: Server, http: httpx.AsyncClient, poison: bytes) -> Reply:
    """One request with the poison, during which the worker is killed unless it is refused at once."""
    while not one.workers():
        await asyncio.sleep(0.05)
    (worker,) = one.workers()
    while (await http.get("/ready")).status_code != 200:
        await asyncio.sleep(0.1)
    (worker,) = one.workers()
    request = asyncio.create_task(send(http, poison))
    await asyncio.sleep(0.8)
    if not request.done():
        os.kill(worker, signal.SIGKILL)
    return await request


if __name__ == "__main__":
    main()
