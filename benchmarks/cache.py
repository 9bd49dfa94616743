"""What the cache saves: a hit in each tier, a thousand keys by prefix, and a second question about a picture.

A picture's second question asks something new, so that only what was seen of the picture is found again; beside it are
the same question once more, and a picture that another process looked at (disk, Redis). Redis is Debian's redis-server
on this machine, reached over loopback; a plain ``SET`` and ``GET`` of the same bytes by redis-py stands beside it.
"""

from __future__ import annotations

import argparse
import io
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import redis
from _record import record
from PIL import Image

import open_autoglm
from open_autoglm.cache import CacheSettings, Key, PrefixCache, open_cache, remembering
from open_autoglm.cache.disk import DiskTier
from open_autoglm.cache.memory import MemoryTier
from open_autoglm.cache.redis import RedisTier
from open_autoglm.cache.tier import Tier
from open_autoglm.runtime.model import Model

SAMPLES = Path(__file__).parent.parent / "samples"
QUESTIONS = ("is there a dog?", "where is the apple?", "is there a bicycle?")
STATEMENTS = ("There is a black block at the base.", "There are two towers.", "There is a yellow circle.")
USER = Key.of("space", "default", "user", "123")
KEYS = 1_000
VECTOR = np.random.default_rng(0).normal(size=512).astype(np.float32)  # 2 kB, as large as a picture's vector
TIMEOUT = 5.0
Ask = Callable[[Any, bytes, str], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and pictures, for a look")
    quick = parser.parse_args().quick
    if shutil.which("redis-server") is None:
        parser.error("redis-server is not installed: on Debian, apt-get install redis-server")
    rounds, pictures = (500, 4) if quick else (5_000, 16)
    started = time.perf_counter()
    figures: dict[str, float] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(redis_server(folder))
        tiers: dict[str, Tier] = {
            "memory": MemoryTier(2**28, 100_000),
            "disk": DiskTier(folder / "hits", 2**30),
            "redis": RedisTier(url, TIMEOUT),
        }
        for name, tier in tiers.items():
            figures |= hits(name, tier, rounds)
        figures |= plain_redis(url, rounds)
        figures |= misses(RedisTier(url, TIMEOUT))
        figures |= questions(folder, url, pictures)
    settings = {
        "keys": KEYS,
        "bytes_of_a_value": VECTOR.nbytes,
        "rounds": rounds,
        "pictures": pictures,
        "redis": subprocess.run(
            ["redis-server", "--version"], capture_output=True, text=True, check=True
        ).stdout.split()[2],
        "quick": quick,
    }
    record("cache", settings, figures, time.perf_counter() - started)


def hits(name: str, tier: Tier, rounds: int) -> dict[str, float]:
    """Milliseconds of one key, of all keys by their prefix, and of forgetting them, with one tier alone."""
    cache, keys = PrefixCache([tier]), [USER.below(str(number)) for number in range(KEYS)]
    cache.put(dict.fromkeys(keys, VECTOR))
    one = [timed(partial(cache.get_or_compute, [Key(keys[turn % KEYS].parts)], never)) for turn in range(rounds)]
    many = [timed(lambda: cache.below(USER)) for _ in range(max(20, rounds // 50))]
    assert len(cache.below(USER)) == KEYS
    forgetting = timed(lambda: cache.invalidate(USER))
    assert cache.below(USER) == {} and cache.statistics()[name].errors == 0
    return {
        f"{name}_hit_p50_ms": statistics.median(one),
        f"{name}_hit_p95_ms": float(np.percentile(one, 95)),
        f"{name}_1000_by_prefix_p50_ms": statistics.median(many),
        f"{name}_invalidate_1000_ms": forgetting,
    }


def plain_redis(url: str, rounds: int) -> dict[str, float]:
    """What the network and redis-py take, without stamps, checksums and arrays."""
    client, content = redis.Redis.from_url(url, protocol=2), VECTOR.tobytes()
    names = [f"plain:{number}" for number in range(KEYS)]
    client.mset(dict.fromkeys(names, content))
    one = [timed(partial(client.get, names[turn % KEYS])) for turn in range(rounds)]
    many = [timed(lambda: client.mget(names)) for _ in range(max(20, rounds // 50))]
    client.flushall()
    client.close()
    return {"plain_redis_get_p50_ms": statistics.median(one), "plain_redis_mget_1000_p50_ms": statistics.median(many)}


def misses(tier: Tier) -> dict[str, float]:
    """How often 100 threads that miss the same key at once compute it."""
    cache, together, computed = PrefixCache([MemoryTier(2**20, 100), tier]), threading.Barrier(100), list[int]()

    def compute(missing: list[Key]) -> Sequence[int]:
        computed.append(len(missing))
        time.sleep(0.1)
        return [1] * len(missing)

    def ask() -> None:
        together.wait()
        cache.get_or_compute([USER.below("missed")], compute)

    threads = [threading.Thread(target=ask) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"computed_for_100_concurrent_misses": sum(computed)}


def questions(folder: Path, url: str, pictures: int) -> dict[str, float]:
    """Questions about photos (base model), and sentences about drawings (the one that reasons)."""
    photos = [path.read_bytes() for path in sorted(SAMPLES.rglob("*.jpg"))[:pictures]]
    base = measured("ask", open_autoglm.load(), ask, photos, QUESTIONS, folder, url)
    reasoning = open_autoglm.load("open-autoglm-nlvr")
    return base | measured("verify", reasoning, verify, drawings(pictures), STATEMENTS, folder, url)


def measured(
    name: str, model: Model, asked: Ask, pictures: Sequence[bytes], texts: Sequence[str], folder: Path, url: str
) -> dict[str, float]:
    """Milliseconds of a first question about a picture and of others, without a cache and with two kinds of it."""
    for text in texts:
        asked(model, pictures[0], text)
    figures = {f"{name}_without_cache_p50_ms": median_of(asked, model, pictures, texts[0])}
    shared = CacheSettings(tiers=("memory", "redis"), redis=url, redis_timeout=TIMEOUT)
    for kind, settings in (("disk", CacheSettings(folder=folder / name)), ("redis", shared)):
        with remembered(model, settings) as one:
            first, second, same = (median_of(asked, one, pictures, texts[which]) for which in (0, 1, 0))
        with remembered(model, settings) as another:
            elsewhere = median_of(asked, another, pictures, texts[2])
        figures |= {
            f"{name}_{kind}_first_p50_ms": first,
            f"{name}_{kind}_second_p50_ms": second,
            f"{name}_{kind}_same_again_p50_ms": same,
            f"{name}_{kind}_second_elsewhere_p50_ms": elsewhere,
            f"{name}_{kind}_second_times_faster": first / second,
            f"{name}_{kind}_elsewhere_times_faster": first / elsewhere,
        }
    return figures


def ask(model: Model, picture: bytes, text: str) -> object:
    return model.ask(picture, text)


def verify(model: Model, picture: bytes, text: str) -> object:
    return model.verify(picture, text)


def median_of(asked: Ask, model: Model, pictures: Sequence[bytes], text: str) -> float:
    """Milliseconds of one question about each picture."""
    return statistics.median([timed(partial(asked, model, picture, text)) for picture in pictures])


def drawings(count: int) -> list[bytes]:
    """Boxes with blocks, squares and triangles are many regions: PNGs of coloured blocks stand for them."""
    random, made = np.random.default_rng(0), list[bytes]()
    for _ in range(count):
        blocks, file = random.integers(0, 256, (5, 20, 3), np.uint8), io.BytesIO()
        Image.fromarray(blocks).resize((400, 100), Image.Resampling.NEAREST).save(file, "PNG")
        made.append(file.getvalue())
    return made


@contextmanager
def remembered(model: Model, settings: CacheSettings) -> Iterator[Any]:
    """The model with a cache that was just opened, as a process that starts has it."""
    cache = open_cache(settings)
    assert cache is not None and cache.complaints() == []
    with cache:
        yield remembering(model, cache)
        assert all(tier.errors == 0 for tier in cache.statistics().values())


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A server of its own on a free port, with nothing written to disk."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(port=port)
        while process.poll() is None:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.05)
        client.close()
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def never(missing: list[Key]) -> Sequence[object]:
    raise AssertionError(f"{len(missing)} keys were not there")


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    before = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - before)


if __name__ == "__main__":
    main()
