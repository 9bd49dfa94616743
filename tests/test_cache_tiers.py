"""Each tier keeps, finds, forgets and bounds what it is given, and keeps nothing that was invalidated meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cache_parts import LATER, ROOT, Clock, RedisServer, entries, redis_server

from open_autoglm.cache import redis as redis_module
from open_autoglm.cache.disk import DiskTier
from open_autoglm.cache.keys import Key
from open_autoglm.cache.memory import OVERHEAD, MemoryTier
from open_autoglm.cache.redis import RedisTier
from open_autoglm.cache.tier import Tier
from open_autoglm.errors import SettingError

USER = ROOT.below("user", "123")
KEYS = [USER.below(name) for name in ("name", "profile", "taste")]
OTHER = Key.of("space", "another", "user", "123", "name")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=["memory", "disk", "redis"])
def tier(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tier]:
    if request.param == "redis":
        running: RedisServer = request.getfixturevalue("server")
        running.client().flushall()
    makers: dict[str, Callable[[], Tier]] = {
        "memory": lambda: MemoryTier(2**20, 1000),
        "disk": lambda: DiskTier(tmp_path, 2**20),
        "redis": lambda: RedisTier(running.url, 5.0),
    }
    made = makers[request.param]()
    yield made
    made.close()


def fill(tier: Tier, *keys: Key) -> None:
    tier.put(entries({key: key.parts[-1] for key in keys}), tier.get(keys).lease)


def kept(tier: Tier, *keys: Key) -> list[str]:
    return [entry.value for entry in tier.get(keys).entries.values()]


def test_what_is_put_is_found_and_nothing_else(tier: Tier) -> None:
    fill(tier, *KEYS[:2], OTHER)
    assert kept(tier, *KEYS) == ["name", "profile"]
    fill(tier, KEYS[0])
    assert kept(tier, KEYS[0], OTHER) == ["name", "name"]


def test_an_entry_keeps_when_it_expires(tier: Tier) -> None:
    tier.put(entries({KEYS[0]: 1}, LATER - 7), tier.get(KEYS).lease)
    assert tier.get(KEYS).entries[KEYS[0]].expires == LATER - 7


def test_what_is_below_a_prefix_is_found_at_any_depth_as_far_as_asked(tier: Tier) -> None:
    deep = USER.below("profile", "age")
    beside = [ROOT.below("user", "1234", "name"), ROOT.below("user", "12"), Key.of("space", "tenant:user", "123", "x")]
    fill(tier, *KEYS, deep, *beside, OTHER)
    assert set(tier.below(USER, 100)) == {*KEYS, deep}
    assert set(tier.below(USER.below("profile"), 100)) == {deep}
    assert set(tier.below(Key.of("space"), 100)) == {*KEYS, deep, *beside, OTHER}
    assert len(tier.below(USER, 2)) == 2
    assert tier.below(Key.of("nothing"), 100) == {}


def test_invalidating_takes_the_key_and_all_below_it_and_leaves_the_rest(tier: Tier) -> None:
    fill(tier, *KEYS, OTHER, USER)
    assert tier.invalidate(KEYS[0]) == 1
    assert kept(tier, *KEYS) == ["profile", "taste"]
    assert tier.invalidate(USER) == 3
    assert kept(tier, *KEYS, USER) == [] and tier.below(USER, 100) == {}
    assert kept(tier, OTHER) == ["name"]
    fill(tier, KEYS[0])
    assert kept(tier, *KEYS) == ["name"]
    tier.invalidate(Key.of("space"))
    assert kept(tier, *KEYS, OTHER) == []


@pytest.mark.parametrize("prefix", [KEYS[0], USER, ROOT, Key.of("space")], ids=lambda prefix: str(len(prefix.parts)))
def test_what_was_asked_for_before_an_invalidation_is_not_kept_after_it(tier: Tier, prefix: Key) -> None:
    before = tier.get([KEYS[0]]).lease
    tier.invalidate(prefix)
    tier.put(entries({KEYS[0]: "of yesterday"}), before)
    assert kept(tier, KEYS[0]) == []
    tier.put(entries({KEYS[0]: "of today"}), tier.get([KEYS[0]]).lease)
    assert kept(tier, KEYS[0]) == ["of today"]


def test_another_keys_invalidation_does_no_harm(tier: Tier) -> None:
    lease = tier.get(KEYS).lease
    tier.invalidate(ROOT.below("user", "12"))
    tier.invalidate(Key.of("space", "another"))
    tier.put(entries({KEYS[0]: "kept"}), lease)
    assert kept(tier, KEYS[0]) == ["kept"]


def test_memory_gives_up_what_was_used_longest_ago() -> None:
    tier = MemoryTier(2**20, entries=3)
    fill(tier, *KEYS)
    kept(tier, KEYS[0])
    fill(tier, OTHER)
    assert set(tier.get([*KEYS, OTHER]).entries) == {KEYS[0], KEYS[2], OTHER}
    assert set(tier.below(USER, 100)) == {KEYS[0], KEYS[2]}


def test_memory_is_bounded_in_bytes_and_takes_nothing_that_would_drive_out_the_rest() -> None:
    tier = MemoryTier(100 * OVERHEAD, entries=1000)
    for number in range(50):
        tier.put(entries({ROOT.below(str(number)): bytes(9 * OVERHEAD)}), 0)
    assert len(tier.below(ROOT, 100)) == 9
    tier.put(entries({ROOT.below("huge"): bytes(30 * OVERHEAD)}), 0)
    assert len(tier.below(ROOT, 100)) == 9 and kept(tier, ROOT.below("huge")) == []


def test_memory_asks_a_lower_tier_again_after_a_while() -> None:
    clock = Clock()
    tier = MemoryTier(2**20, 100, longest=60, clock=clock)
    fill(tier, KEYS[0])
    clock.now += 59
    assert kept(tier, KEYS[0]) == ["name"]
    clock.now += 2
    assert kept(tier, KEYS[0]) == []


def test_memory_keeps_nothing_for_a_lease_that_lies_too_far_back() -> None:
    tier = MemoryTier(2**20, 100)
    lease = tier.get(KEYS).lease
    for number in range(1001):
        tier.invalidate(ROOT.below(str(number)))
    tier.put(entries({KEYS[0]: "too old"}), lease)
    assert kept(tier, KEYS[0]) == []


def test_redis_lets_entries_go_when_they_expire_and_forgets_their_names(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_module, "EVERY", 1)
    client, clock = server.client(), Clock()
    client.flushall()
    tier = RedisTier(server.url, 5.0, clock)
    tier.put(entries(dict.fromkeys(KEYS, 1), clock.now + 0.02), tier.get(KEYS).lease)
    assert client.zcard("autoglm:1:names:space") == 3
    while list(client.scan_iter("*:entry:*")):
        pass
    assert tier.below(USER, 100) == {}
    assert client.keys("*:names:*") == []
    tier.put(entries(dict.fromkeys(KEYS, 1), clock.now + 0.02), tier.get(KEYS).lease)
    while list(client.scan_iter("*:entry:*")):
        pass
    fill(tier, OTHER)  # another write finds the names that lead nowhere
    assert client.zrange("autoglm:1:names:space", 0, -1) == [OTHER.text.encode()]
    tier.close()


@pytest.mark.parametrize("lost", ["entry", "stamp", "names"])
def test_whatever_redis_evicts_is_lost_and_brings_nothing_back(server: RedisServer, lost: str) -> None:
    client = server.client()
    client.flushall()
    tier = RedisTier(server.url, 5.0)
    fill(tier, *KEYS, OTHER)
    copies = {name: client.dump(name) for name in client.keys("*:entry:*")}
    for name in client.keys(f"*:{lost}:*"):
        client.delete(name)
    assert len(kept(tier, *KEYS, OTHER)) == (4 if lost == "names" else 0)
    tier.invalidate(USER)
    assert kept(tier, *KEYS) == []
    for name, copy in copies.items():  # as if the invalidation had not reached them
        client.restore(name, 0, copy, replace=True)
    assert kept(tier, *KEYS) == []
    fill(tier, KEYS[1])
    assert kept(tier, *KEYS) == ["profile"]
    tier.close()


def test_redis_is_never_asked_for_all_of_its_keys(server: RedisServer) -> None:
    client = server.client()
    client.flushall()
    client.config_resetstat()
    tier = RedisTier(server.url, 5.0)
    fill(tier, *KEYS)
    tier.below(USER, 100)
    tier.invalidate(USER)
    tier.close()
    used = set(client.info("commandstats"))
    assert "cmdstat_mget" in used
    assert not used & {"cmdstat_keys", "cmdstat_scan", "cmdstat_smembers", "cmdstat_flushdb", "cmdstat_flushall"}


def test_a_thousand_keys_are_read_in_one_go(server: RedisServer) -> None:
    client, keys = server.client(), [USER.below(str(number)) for number in range(1000)]
    client.flushall()
    tier = RedisTier(server.url, 5.0)
    fill(tier, *keys)
    client.config_resetstat()
    assert len(tier.below(USER, 10_000)) == 1000
    assert client.info("commandstats")["cmdstat_mget"]["calls"] == 1
    tier.close()


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(SettingError, match="redis://HOST:PORT"):
        RedisTier("redis://host:notaport", 1.0)
