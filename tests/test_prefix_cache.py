"""The cache over its tiers: once computed is enough, however many ask, and nothing lives longer than it may."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cache_parts import ROOT, Clock

from open_autoglm.cache import Key, Lifetimes, PrefixCache, TierStatistics
from open_autoglm.cache.disk import DiskTier
from open_autoglm.cache.memory import MemoryTier
from open_autoglm.errors import SettingError, TextError

KEYS = [ROOT.below("user", str(number)) for number in range(4)]
STEADY = Lifetimes(value=100, none=10, jitter=0)


class Counted:
    """Computes a key's last part, and notes what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[list[Key]] = []

    def __call__(self, keys: list[Key]) -> list[Any]:
        self.calls.append(keys)
        return [key.parts[-1] for key in keys]


def memory() -> MemoryTier:
    return MemoryTier(2**20, 1000)


def two_tiers(folder: Path, **settings: Any) -> PrefixCache:
    return PrefixCache([memory(), DiskTier(folder, 2**20)], **settings)


def started(work: Callable[[], Any], count: int) -> list[threading.Thread]:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_a_batch_computes_only_what_is_missing_and_keeps_its_order() -> None:
    cache, compute = PrefixCache([memory()]), Counted()
    assert cache.get_or_compute(KEYS[:2], compute) == ["0", "1"]
    assert cache.get_or_compute([KEYS[3], KEYS[1], KEYS[3], KEYS[0]], compute) == ["3", "1", "3", "0"]
    assert compute.calls == [KEYS[:2], [KEYS[3]]]
    assert cache.get(KEYS) == {KEYS[0]: "0", KEYS[1]: "1", KEYS[3]: "3"}
    assert cache.get_or_compute([], compute) == []


def test_a_hundred_who_miss_at_once_wait_for_one(tmp_path: Path) -> None:
    cache, together = two_tiers(tmp_path), threading.Barrier(101)
    computed, let_go = list[Key](), threading.Event()

    def compute(keys: list[Key]) -> list[str]:
        computed.extend(keys)
        let_go.wait(10)
        return ["value"] * len(keys)

    def ask() -> str:
        together.wait()
        return cache.get_or_compute(KEYS[:1], compute)[0]

    with ThreadPoolExecutor(100) as pool:
        asked = [pool.submit(ask) for _ in range(100)]
        together.wait()
        time.sleep(0.2)  # for all of them to have looked
        let_go.set()
        assert {future.result() for future in asked} == {"value"}
    assert computed == KEYS[:1]


def test_batches_that_cross_each_other_compute_each_key_once_and_none_hangs() -> None:
    cache, computed, together = PrefixCache([memory()]), list[Key](), threading.Barrier(8)
    keys = [ROOT.below(str(number)) for number in range(50)]

    def compute(missing: list[Key]) -> list[str]:
        computed.extend(missing)
        return [key.parts[-1] for key in missing]

    def ask(turn: int) -> list[str]:
        together.wait()
        return cache.get_or_compute(keys[turn:] + keys[:turn], compute)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(0, 48, 6), timeout=30))
    assert all(sorted(values, key=int) == [str(number) for number in range(50)] for values in found)
    assert sorted(computed, key=lambda key: int(key.parts[-1])) == keys


def test_a_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    cache, began, let_go = PrefixCache([memory()]), threading.Event(), threading.Event()
    failures = list[str]()

    def fail(keys: list[Key]) -> list[str]:
        began.set()
        let_go.wait(10)
        raise TextError("The sentence is empty.")

    def ask() -> None:
        try:
            cache.get_or_compute(KEYS[:1], fail)
        except TextError as error:
            failures.append(str(error))

    first = started(ask, 1)
    began.wait(10)
    others = started(ask, 3)
    let_go.set()
    for thread in (*first, *others):
        thread.join()
    assert failures == ["The sentence is empty."] * 4
    assert cache.get_or_compute(KEYS[:1], Counted()) == ["0"]


def test_what_is_computed_may_ask_for_what_it_needs() -> None:
    cache, compute = PrefixCache([memory()]), Counted()

    def outer(keys: list[Key]) -> Sequence[str]:
        return [f"answer from {cache.get_or_compute([KEYS[1]], compute)[0]}" for _ in keys]

    assert cache.get_or_compute([KEYS[0]], outer) == ["answer from 1"]


def test_what_was_begun_before_an_invalidation_is_neither_kept_nor_waited_for(tmp_path: Path) -> None:
    cache, began, let_go = two_tiers(tmp_path), threading.Event(), threading.Event()

    def slow(keys: list[Key]) -> list[str]:
        began.set()
        let_go.wait(10)
        return ["of yesterday"] * len(keys)

    late = started(lambda: cache.get_or_compute(KEYS[:1], slow), 1)
    began.wait(10)
    cache.invalidate(ROOT)
    assert cache.get_or_compute(KEYS[:1], lambda keys: ["of today"]) == ["of today"]
    let_go.set()
    late[0].join()
    assert cache.get(KEYS[:1]) == {KEYS[0]: "of today"}


def test_a_lower_tier_fills_those_above_it(tmp_path: Path) -> None:
    with two_tiers(tmp_path) as cache:
        cache.put({KEYS[0]: "value"})
    upper, compute = memory(), Counted()
    with PrefixCache([upper, DiskTier(tmp_path, 2**20)]) as cache:
        for _ in range(3):
            assert cache.get_or_compute(KEYS[:2], compute) == ["value", "1"]
        assert set(upper.get(KEYS).entries) == set(KEYS[:2])
        assert compute.calls == [[KEYS[1]]]
        assert cache.statistics() == {"memory": TierStatistics(4, 2, 0), "disk": TierStatistics(1, 1, 0)}


def test_invalidating_reaches_every_tier(tmp_path: Path) -> None:
    with two_tiers(tmp_path) as cache:
        cache.put(dict.fromkeys(KEYS, 1) | {Key.of("space", "another"): 2})
        assert cache.invalidate(ROOT) == 4
        assert cache.get([*KEYS, Key.of("space", "another")]) == {Key.of("space", "another"): 2}
        assert cache.below(ROOT) == {}
    with two_tiers(tmp_path) as cache:
        assert cache.get(KEYS) == {}


def test_below_joins_what_the_tiers_have(tmp_path: Path) -> None:
    with two_tiers(tmp_path) as cache:
        cache.put({KEYS[2]: "2", KEYS[0]: "0"})
    with PrefixCache([memory(), DiskTier(tmp_path, 2**20)]) as cache:
        cache.put({KEYS[1]: "1"})
        assert list(cache.below(ROOT).items()) == [(KEYS[0], "0"), (KEYS[1], "1"), (KEYS[2], "2")]
        assert len(cache.below(ROOT, most=2)) == 2


def test_use_does_not_lengthen_life(tmp_path: Path) -> None:
    clock = Clock()
    cache = two_tiers(tmp_path, lifetimes=STEADY, clock=clock)
    cache.put({KEYS[0]: "value"})
    for _ in range(3):
        clock.now += 33
        assert cache.get(KEYS) and cache.get_or_compute(KEYS[:1], Counted()) == ["value"]
    clock.now += 2
    assert cache.get(KEYS) == {} and cache.below(ROOT) == {}
    assert cache.get_or_compute(KEYS[:1], Counted()) == ["0"]


def test_a_lifetime_slides_where_that_is_asked_for(tmp_path: Path) -> None:
    clock = Clock()
    cache = two_tiers(tmp_path, lifetimes=Lifetimes(100, 10, 0, sliding=True), clock=clock)
    cache.put({KEYS[0]: "value", KEYS[1]: "unused"})
    for _ in range(5):
        clock.now += 60
        assert cache.get_or_compute(KEYS[:1], Counted()) == ["value"]
    assert cache.get(KEYS) == {KEYS[0]: "value"}
    # On disk too: what memory loses lives on.
    assert PrefixCache([memory(), DiskTier(tmp_path, 2**20)], clock=clock).get(KEYS) == {KEYS[0]: "value"}


def test_that_there_is_none_is_remembered_for_a_short_while() -> None:
    clock, calls = Clock(), list[int]()
    cache = PrefixCache([memory()], STEADY, clock=clock)

    def none(keys: list[Key]) -> list[None]:
        calls.append(len(keys))
        return [None] * len(keys)

    for _ in range(3):
        assert cache.get_or_compute(KEYS[:1], none) == [None]
    assert calls == [1] and cache.get(KEYS) == {KEYS[0]: None}
    clock.now += 11
    assert cache.get_or_compute(KEYS[:1], Counted()) == ["0"]


def test_what_came_together_does_not_expire_together() -> None:
    tier, clock = memory(), Clock()
    keys = [ROOT.below(str(number)) for number in range(50)]
    PrefixCache([tier], Lifetimes(100, 10, jitter=0.2), clock=clock).put(dict.fromkeys(keys, 1))
    ends = {entry.expires - clock.now for entry in tier.get(keys).entries.values()}
    assert len(ends) == 50 and 80 <= min(ends) < max(ends) <= 100


@pytest.mark.parametrize(
    "lifetimes", [{"value": 0}, {"none": -1}, {"value": float("inf")}, {"jitter": 1}, {"jitter": -0.1}]
)
def test_a_lifetime_that_is_none_is_refused(lifetimes: dict[str, float]) -> None:
    with pytest.raises(SettingError, match=next(iter(lifetimes))):
        Lifetimes(**lifetimes)


def test_a_cache_needs_a_tier() -> None:
    with pytest.raises(SettingError, match="at least one tier"):
        PrefixCache([])
