"""What clients see when the model's process is killed, when the server is told to stop, and of a picture that kills.

Twelve clients send a photo each, over and over, and wait for the answer. SIGKILL hits one of the worker processes;
SIGTERM the server. The poison is a photo that a worker has in hand whenever the benchmark kills it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle

import httpx
from _record import record
from _server import LOST, REFUSED, Client, Reply, Server, bodies, server

CLIENTS = 12
PATIENT = 60.0  # seconds that what waits may be expected to take: that the queue is full is not what is measured here


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, for a look")
    quick = parser.parse_args().quick
    rounds = 2 if quick else 8
    bundle = "open-autoglm-grocery" if quick else "open-autoglm-base"  # the first is several times quicker
    started, figures = time.perf_counter(), {}
    for workers in (1, 2):
        figures |= {
            f"{workers}_workers_{key}": value for key, value in asyncio.run(killed(bundle, workers, rounds)).items()
        }
    figures |= asyncio.run(stopped(bundle, rounds))
    figures |= asyncio.run(poisoned(bundle))
    record("recovery", {"bundle": bundle, "rounds": rounds, "quick": quick}, figures, time.perf_counter() - started)


class Load:
    """Clients that send until they are told to stop."""

    def __init__(self, address: str, photos: Iterator[bytes]) -> None:
        self.replies: list[Reply] = []
        self._source, self._going = photos, True
        self._http = Client(address)
        self._clients = [asyncio.create_task(self._ask()) for _ in range(CLIENTS)]

    async def _ask(self) -> None:
        while self._going:
            self.replies.append(await self._http.send(next(self._source)))
            if self.replies[-1].status != 200:
                await asyncio.sleep(0.05)

    async def stop(self) -> list[Reply]:
        self._going = False
        await asyncio.gather(*self._clients)
        await self._http.__aexit__()
        return self.replies


async def killed(bundle: str, workers: int, rounds: int) -> dict[str, float]:
    """Seconds until answers come again after SIGKILL of a worker, and what failed."""
    gaps, failed, late, wrong = [], [], 0, 0
    with server(bundle, workers=workers, queue_seconds=PATIENT) as one:
        for number in range(rounds):
            # Other photos in each round: one that several workers died of would be refused.
            photos = cycle(bodies(48, quality=90 - number))
            while len(one.workers()) < workers:
                await asyncio.sleep(0.1)
            load = Load(one.address, photos)
            await asyncio.sleep(3)
            at = time.perf_counter()
            os.kill(one.workers()[0], signal.SIGKILL)
            await back(load, at, 120)
            await asyncio.sleep(2)
            replies = await load.stop()
            gaps.append(min(reply.answered for reply in replies if reply.status == 200 and reply.sent > at) - at)
            bad = [reply for reply in replies if reply.status != 200]
            failed.append(sum(reply.status == 503 for reply in bad))
            late += sum(reply.status == 503 and reply.sent > at for reply in bad)
            wrong += sum(reply.status != 503 for reply in bad)
    return {
        "back_after_seconds_median": statistics.median(gaps),
        "back_after_seconds_most": max(gaps),
        "failed_503_most": max(failed),
        "failed_503_though_sent_later": late,
        "failed_otherwise": wrong,
    }


async def back(load: Load, at: float, patience: float) -> None:
    """Returns when a request that was sent after a moment was answered."""
    while not any(reply.status == 200 and reply.sent > at for reply in load.replies):
        if time.perf_counter() > at + patience:
            raise TimeoutError("no answer came after the worker was killed")
        await asyncio.sleep(0.02)


async def stopped(bundle: str, rounds: int) -> dict[str, float]:
    """What became of requests that were on their way when SIGTERM came, and of those that came later."""
    photos, statuses, seconds, accepted = cycle(bodies(48)), Counter[int](), list[float](), Counter[int]()
    for _ in range(rounds):
        with server(bundle, queue_seconds=PATIENT) as one:
            load = Load(one.address, photos)
            await asyncio.sleep(3)
            at = time.perf_counter()
            one.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(one.process.wait, 60)
            seconds.append(time.perf_counter() - at)
            replies = [reply for reply in await load.stop() if reply.answered > at]
            accepted.update(reply.status for reply in replies if reply.sent < at)
            statuses.update(reply.status for reply in replies if reply.sent >= at)
    return {
        "sigterm_accepted": accepted.total(),
        "sigterm_accepted_answered_200": accepted[200],
        "sigterm_accepted_lost": accepted[LOST] + accepted[REFUSED],
        "sigterm_later_refused_503": statuses[503],
        "sigterm_later_nobody_listened": statuses[REFUSED],
        "sigterm_later_hung_up_on": statuses[LOST],
        "sigterm_seconds_to_exit": max(seconds),
    }


async def poisoned(bundle: str) -> dict[str, float]:
    """How often a picture can end a worker, and whether its neighbours are answered."""
    poison, photo = bodies(2)
    deaths = 0
    with server(bundle) as one:
        async with Client(one.address) as http:
            while (reply := await poisoning(one, http, poison)).status == 503:
                deaths += 1
            neighbour = await http.send(photo)
    return {
        "poison_ends_workers": deaths,
        "poison_then_status": reply.status,
        "poison_neighbour_status": neighbour.status,
    }


async def poisoning(one: Server, http: Client, poison: bytes) -> Reply:
    """One request, and the end of the worker that has it."""
    while (await asyncio.to_thread(httpx.get, f"{one.address}/ready", timeout=120)).status_code != 200:
        await asyncio.sleep(0.1)
    (worker,) = one.workers()
    os.kill(worker, signal.SIGSTOP)  # so that it surely has the picture when it dies
    request = asyncio.create_task(http.send(poison))
    await asyncio.sleep(2)
    os.kill(worker, signal.SIGCONT if request.done() else signal.SIGKILL)
    return await request


if __name__ == "__main__":
    main()
