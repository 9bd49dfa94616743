"""Redis gone, slow, full, evicting, locked, or no Redis at all: every answer is right, and one sentence says why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cache_parts import ROOT, Clock, RedisServer, need_redis, redis_server, stranger

from open_autoglm.cache import Key, PrefixCache
from open_autoglm.cache.breaker import Breaker
from open_autoglm.cache.redis import RedisTier

KEYS = [ROOT.below("user", str(number)) for number in range(30)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


class Right:
    """Asks a cache for all keys, and holds that each value is the right one."""

    def __init__(self, cache: PrefixCache) -> None:
        self.cache = cache

    def __call__(self, *keys: Key, size: int = 1) -> int:
        """How many had to be computed."""
        computed = list[Key]()

        def compute(missing: list[Key]) -> list[str]:
            computed.extend(missing)
            return [size * key.parts[-1] for key in missing]

        assert self.cache.get_or_compute(keys, compute) == [size * key.parts[-1] for key in keys]
        return len(computed)


def opened(url: str, clock: Callable[[], float] = time.monotonic, timeout: float = 2.0) -> Right:
    return Right(PrefixCache([RedisTier(url, timeout)], breaker=lambda: Breaker(3, 5.0, clock)))


def test_what_one_process_computed_another_finds(server: RedisServer) -> None:
    one, another = opened(server.url), opened(server.url)
    assert one(*KEYS) == 30
    assert another(*KEYS) == 0
    assert another.cache.invalidate(ROOT) == 30
    assert one(*KEYS[:3]) == 3


def test_gone_it_is_left_alone_after_three_failures_and_found_again(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    ask = opened(server.url, clock)
    assert [ask(*KEYS[:2]), ask(*KEYS[:2])] == [2, 0]
    server.kill()
    for _ in range(10):
        assert ask(*KEYS[:2]) == 2
    assert ask.cache.statistics()["redis"].errors == 3
    assert len(caplog.records) == 1 and "redis cache cannot be read" in caplog.text
    clock.now += 6
    assert ask(*KEYS[:2]) == 2 and ask.cache.statistics()["redis"].errors == 4
    server.start()
    assert ask(*KEYS[:2]) == 2  # its rest is not over
    clock.now += 6
    assert [ask(*KEYS[:2]), ask(*KEYS[:2])] == [2, 0]
    assert len(caplog.records) == 2 and "can be read again" in caplog.text


def test_slow_it_counts_as_gone(server: RedisServer) -> None:
    clock = Clock()
    ask = opened(server.url, clock, timeout=0.4)
    assert ask(*KEYS[:2]) == 2
    with server.paused():
        for _ in range(50):
            assert ask(*KEYS[:2]) == 2
        assert ask.cache.statistics()["redis"].errors == 3
    clock.now += 6
    deadline = time.monotonic() + 10
    while ask(*KEYS[:2]) and time.monotonic() < deadline:
        clock.now += 6
    assert ask(*KEYS[:2]) == 0


def test_an_invalidation_that_could_not_be_told_is_made_up_for(server: RedisServer) -> None:
    clock = Clock()
    ask, witness = opened(server.url, clock, timeout=0.4), opened(server.url)
    assert ask(*KEYS) == 30
    with server.paused():
        assert ask.cache.invalidate(KEYS[0]) == 0
        assert ask.cache.invalidate(ROOT.below("user", "1")) == 0
    clock.now += 6
    assert ask(*KEYS[:3]) == 2
    assert witness(*KEYS[:3]) == 0


def test_more_such_invalidations_than_are_remembered_forget_more(server: RedisServer) -> None:
    clock = Clock()
    ask = opened(server.url, clock, timeout=0.4)
    other = Key.of("space", "another", "7")
    assert ask(*KEYS, other) == 31
    with server.paused():
        for number in range(1100):
            ask.cache.invalidate(ROOT.below("user", f"x{number}"))
    clock.now += 6
    assert ask(*KEYS, other) == 30


def test_full_it_still_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with redis_server(tmp_path, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction") as server:
        ask = opened(server.url)
        assert ask(*KEYS[:3]) == 3
        for key in KEYS[3:]:
            assert ask(key, size=200_000) == 1
        assert "redis cache cannot be written" in caplog.text and "cannot be read" not in caplog.text
        assert ask(*KEYS[:3]) == 0
        assert ask.cache.invalidate(ROOT) > 0
        assert ask(*KEYS[:3]) == 3


def test_one_that_takes_nothing_at_all_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with redis_server(tmp_path, "--maxmemory", "1", "--maxmemory-policy", "noeviction") as server:
        ask = opened(server.url)
        for _ in range(4):
            assert ask(*KEYS[:2]) == 2
    assert "redis cache cannot be written" in caplog.text and "cannot be read" not in caplog.text


@pytest.mark.parametrize("policy", ["allkeys-random", "allkeys-lru", "volatile-ttl"])
def test_evicting_it_loses_entries_and_no_invalidation(tmp_path: Path, policy: str) -> None:
    with redis_server(tmp_path, "--maxmemory", "4mb", "--maxmemory-policy", policy) as server:
        ask = opened(server.url)
        for turn in range(3):
            for key in KEYS:
                ask(key, size=100_000 + turn)
            ask.cache.invalidate(ROOT.below("user"))
            assert ask.cache.below(ROOT) == {}
        assert server.client().info("stats")["evicted_keys"] > 0
        assert ask(*KEYS[:3]) == 3


def test_a_password_that_is_missing_or_wrong_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with redis_server(tmp_path, "--requirepass", "s3cret-w0rd") as server:
        for url in (server.url, server.url.replace("redis://", "redis://:wr0ng@")):
            ask = opened(url)
            (complaint,) = ask.cache.complaints()
            assert "redis cache cannot be read" in complaint and "\n" not in complaint
            assert "uthentication" in complaint or "password" in complaint
            for _ in range(4):
                assert ask(*KEYS[:2]) == 2
        right = opened(server.url.replace("redis://", "redis://:s3cret-w0rd@"))
        assert right.cache.complaints() == [] and [right(*KEYS[:2]), right(*KEYS[:2])] == [2, 0]
    for _ in range(4):
        right(*KEYS[:2])
    assert "wr0ng" not in caplog.text and "s3cret-w0rd" not in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"+OK\r\n",
        b"$-1\r\n",
        b":1\r\n",
        b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
        b"*2\r\n*1\r\n:1\r\n%1\r\n",
        b"$999999999\r\nabc",
        b"\xff\xfe\x00garbage without an end",
        b"-ERR unknown command\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
    ],
    ids=range(10),
)
def test_a_stranger_in_its_place_is_not_believed(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with stranger(answer) as url:
        ask = opened(url, timeout=0.1)
        assert len(ask.cache.complaints()) == 1
        for _ in range(4):
            assert ask(*KEYS[:2]) == 2
        assert ask.cache.below(ROOT) == {} and ask.cache.invalidate(ROOT) == 0
    assert "redis cache cannot be read" in caplog.text


def test_nothing_there_at_all_is_said_once() -> None:
    need_redis()
    ask = opened("redis://127.0.0.1:1")
    (complaint,) = ask.cache.complaints()
    assert "cannot be read" in complaint and "answers stay right" in complaint
    assert ask(*KEYS[:2]) == 2
