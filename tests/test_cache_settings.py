"""Where the cache lies: one word, or the environment, and a sentence for what cannot be."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest
from cache_parts import free_port, redis_server
from cli_parts import AUTOGLM, mistake, shared  # noqa: F401
from index_parts import environment

from open_autoglm.cache import CacheSettings, Key, Lifetimes, open_cache
from open_autoglm.errors import SettingError

KEY = Key.of("space", "tenant", "key")


def test_by_default_it_is_memory_and_a_folder_of_the_user(untuned: Path) -> None:
    settings = CacheSettings.read(None, {})
    assert settings.tiers == ("memory", "disk") and settings.folder == untuned / "open-autoglm" / "answers"


def test_a_user_without_a_folder_has_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert CacheSettings.read(None, {}).tiers == ("memory",)


def test_one_word_says_where(tmp_path: Path) -> None:
    assert CacheSettings.read("memory", {}).tiers == ("memory",)
    assert CacheSettings.read(str(tmp_path), {}).folder == tmp_path
    redis = CacheSettings.read("redis://localhost:6379/2", {})
    assert (redis.tiers, redis.redis) == (("memory", "redis"), "redis://localhost:6379/2")
    assert CacheSettings.read("off", {"AUTOGLM_CACHE": "memory"}) == CacheSettings(tiers=())
    assert CacheSettings.read(None, {"AUTOGLM_CACHE": "memory"}).tiers == ("memory",)
    assert open_cache(CacheSettings(tiers=())) is None


def test_the_rest_is_in_the_environment() -> None:
    given = {
        "AUTOGLM_CACHE_SECONDS": "60",
        "AUTOGLM_CACHE_MEMORY_MB": "1.5",
        "AUTOGLM_CACHE_DISK_MB": "10",
        "AUTOGLM_CACHE_REDIS_TIMEOUT": "0.5",
    }
    settings = CacheSettings.read("memory", given)
    assert settings.lifetimes == Lifetimes(value=60)
    assert (settings.memory_bytes, settings.disk_bytes, settings.redis_timeout) == (3 * 2**19, 10 * 2**20, 0.5)


@pytest.mark.parametrize(
    ("wish", "variables"),
    [
        ("", {}),
        ("memcached://localhost", {}),
        (None, {"AUTOGLM_CACHE": ""}),
        ("memory", {"AUTOGLM_CACHE_SECONDS": "a week"}),
        ("memory", {"AUTOGLM_CACHE_SECONDS": "0"}),
        ("memory", {"AUTOGLM_CACHE_SECONDS": "nan"}),
        ("memory", {"AUTOGLM_CACHE_MEMORY_MB": "-1"}),
        ("memory", {"AUTOGLM_CACHE_DISK_MB": "inf"}),
        ("memory", {"AUTOGLM_CACHE_REDIS_TIMEOUT": "0"}),
    ],
)
def test_what_cannot_be_is_said(wish: str | None, variables: dict[str, str]) -> None:
    with pytest.raises(SettingError) as refused:
        CacheSettings.read(wish, variables)
    assert "cache" in str(refused.value).lower() and "\n" not in str(refused.value)


def test_every_tier_that_can_be_named_works(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        for wish in ("memory", str(tmp_path / "cache"), server.url):
            for _ in range(2):
                cache = open_cache(CacheSettings.read(wish, {}))
                assert cache is not None and cache.complaints() == []
                with cache:
                    assert cache.get_or_compute([KEY], lambda keys: ["value"] * len(keys)) == ["value"]
            assert cache.statistics()["memory"].misses == 1


def test_serving_says_what_is_wrong_with_the_cache(shared: Path, tmp_path: Path) -> None:  # noqa: F811
    index = shared / "photos.index"
    (tmp_path / "file").write_text("no folder")
    assert "cannot be kept in" in mistake("serve", index, "--cache", tmp_path / "file")
    assert "redis://localhost:6379" in mistake("serve", index, "--cache", "http://localhost")
    assert "redis://HOST:PORT" in mistake("serve", index, "--cache", "redis://localhost:port")


def test_serving_without_the_redis_it_was_promised(shared: Path) -> None:  # noqa: F811
    command = [*AUTOGLM, "serve", str(shared / "photos.index"), "--port", "0"]
    running = subprocess.Popen(
        [*command, "--cache", f"redis://:s3cret@127.0.0.1:{free_port()}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert running.stdout is not None
    address = next(word for word in running.stdout.readline().split() if word.startswith("http"))
    answers = []
    for _ in range(2):
        body = json.dumps({"picture": 1, "question": "is there a dog?"}).encode()
        request = urllib.request.Request(f"{address}v1/ask", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            answers.append(json.load(reply))
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=60)
    assert answers[0] == answers[1] and answers[0]["answer"] == "no"
    assert "The redis cache cannot be read" in stderr.splitlines()[0]
    assert "Traceback" not in stderr and "s3cret" not in stderr
