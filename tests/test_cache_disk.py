"""The disk tier: bounded, shared by processes, and never in the way, whatever lies in its folder."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cache_parts import LATER, ROOT, Clock, entries
from index_parts import environment

from open_autoglm.cache import disk
from open_autoglm.cache.disk import FILE, DiskTier
from open_autoglm.cache.keys import Key
from open_autoglm.cache.memory import MemoryTier
from open_autoglm.cache.prefix_cache import PrefixCache
from open_autoglm.errors import SettingError

KEYS = [ROOT.below(str(number)) for number in range(40)]
LIMIT = 2**20
WRITER = """
import sys
from pathlib import Path
from open_autoglm.cache.codec import pack
from open_autoglm.cache.disk import DiskTier
from open_autoglm.cache.keys import Key
tier = DiskTier(Path(sys.argv[1]), 2**24)
for number in range(10**6):
    key = Key.of("space", "tenant", str(number % 50))
    tier.put({key: pack(key, number.to_bytes(4) * 5000, 4e9)}, tier.get([key]).lease)
    print(number, flush=True)
"""


def fill(tier: DiskTier, *keys: Key, size: int = 10, expires: float = LATER) -> None:
    tier.put(entries(dict.fromkeys(keys, bytes(size)), expires), tier.get(keys).lease)


def test_it_is_bounded_and_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    clock = Clock()
    tier = DiskTier(tmp_path, LIMIT, clock)
    for key in KEYS[:10]:
        fill(tier, key, size=80_000)
        clock.now += 100
    tier.get(KEYS[:2])
    for key in KEYS[10:16]:
        clock.now += 100
        fill(tier, key, size=80_000)
    left = set(tier.get(KEYS).entries)
    assert {*KEYS[:2], KEYS[15]} <= left and not left & {*KEYS[2:5]}
    for key in KEYS * 3:
        fill(tier, key, size=80_000)
    assert (tmp_path / FILE).stat().st_size < 1.2 * LIMIT


def test_replacing_an_entry_does_not_count_it_twice(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, LIMIT)
    fill(tier, KEYS[1], size=1000)
    for _ in range(30):
        fill(tier, KEYS[0], size=100_000)
    assert len(tier.get(KEYS[:2]).entries) == 2


def test_what_has_expired_goes_before_what_is_good(tmp_path: Path) -> None:
    clock = Clock()
    tier = DiskTier(tmp_path, LIMIT, clock)
    fill(tier, *KEYS[:5], size=80_000)
    clock.now += 100
    fill(tier, *KEYS[5:10], size=80_000, expires=clock.now + 50)
    clock.now += 100
    fill(tier, *KEYS[10:14], size=80_000)
    assert set(tier.get(KEYS).entries) == {*KEYS[:5], *KEYS[10:14]}


def test_one_entry_does_not_drive_out_the_rest(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, LIMIT)
    fill(tier, KEYS[0], size=LIMIT // 2)
    assert tier.get(KEYS).entries == {}


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path / "new" / "folder", LIMIT)
    fill(tier, KEYS[0])
    folder = tmp_path / "new" / "folder"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_more_keys_than_one_statement_takes(tmp_path: Path) -> None:
    tier, keys = DiskTier(tmp_path, 2**24), [ROOT.below(str(number)) for number in range(1300)]
    fill(tier, *keys)
    assert len(tier.get(keys).entries) == 1300
    assert tier.invalidate(ROOT) == 1300


def another_version(path: Path) -> None:
    DiskTier(path.parent, LIMIT).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 999")


def another_program(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE entries (key TEXT)")


def damage(path: Path) -> None:
    tier = DiskTier(path.parent, LIMIT)
    fill(tier, *KEYS, size=3000)
    tier.close()
    content = bytearray(path.read_bytes())
    content[100:] = os.urandom(len(content) - 100)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (another_version, "another version"),
        (another_program, "another version"),
        (damage, "damaged"),
        (lambda path: path.write_bytes(b"This is no database, however long one looks at it." * 100), "damaged"),
    ],
    ids=["version", "program", "damage", "text"],
)
def test_what_it_cannot_use_is_set_aside_with_a_sentence(
    spoil: object, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(spoil)
    spoil(tmp_path / FILE)
    before = (tmp_path / FILE).read_bytes()
    cache = PrefixCache([DiskTier(tmp_path, LIMIT)])
    for _ in range(2):
        assert cache.get_or_compute(KEYS[:1], lambda keys: ["value"]) == ["value"]
    assert cache.get(KEYS) == {KEYS[0]: "value"}
    (record,) = caplog.records
    assert reason in record.message and str(tmp_path) in record.message and record.exc_info is None
    assert (tmp_path / f"{FILE}.set-aside").read_bytes() == before


def test_damage_that_comes_later_costs_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tier = DiskTier(tmp_path, LIMIT)
    cache = PrefixCache([tier])
    cache.put(dict.fromkeys(KEYS, bytes(20_000)))
    tier._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (tmp_path / FILE).open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom((tmp_path / FILE).stat().st_size - 4096))
    tier._database.execute("PRAGMA cache_size = 0")
    for _ in range(3):
        assert cache.get_or_compute(KEYS, lambda keys: ["new"] * len(keys)) == ["new"] * len(KEYS)
    assert "set aside" in caplog.text and cache.statistics()["disk"].errors == 1
    assert cache.get(KEYS[:1]) == {KEYS[0]: "new"}


def test_a_row_that_was_changed_is_computed_again(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, LIMIT)
    fill(tier, *KEYS[:3])
    tier._database.execute("UPDATE entries SET packed = zeroblob(60) WHERE key = ?", (KEYS[0].text,))
    (other,) = tier._database.execute("SELECT packed FROM entries WHERE key = ?", (KEYS[1].text,)).fetchone()
    tier._database.execute("UPDATE entries SET packed = ? WHERE key = ?", (other, KEYS[2].text))
    assert set(tier.get(KEYS).entries) == set(tier.below(ROOT, 100)) == {KEYS[1]}


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SettingError, match=r"cannot be kept in .*file.*name a folder"):
        DiskTier(tmp_path / "file", LIMIT)


def test_a_full_disk_costs_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tier = DiskTier(tmp_path, 2**26)
    pages = tier._database.execute("PRAGMA page_count").fetchone()[0]
    tier._database.execute(f"PRAGMA max_page_count = {pages + 20}")
    cache = PrefixCache([tier])
    for key in KEYS:
        assert cache.get_or_compute([key], lambda keys: [bytes(30_000)]) == [bytes(30_000)]
    assert cache.get(KEYS) != {}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and "disk cache cannot be written" in record.message


def test_two_processes_share_it_and_a_kill_harms_neither(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, 2**24)
    for turn in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment()
        )
        assert writer.stdout is not None
        for line in writer.stdout:
            fill(tier, KEYS[turn])
            if int(line) >= 5 * (turn + 1):
                break
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        kept = PrefixCache([MemoryTier(LIMIT, 10), DiskTier(tmp_path, 2**24)]).get(KEYS)
        assert kept[KEYS[turn]] == bytes(10) and len(kept) > 4
        tier.invalidate(KEYS[turn])
        assert KEYS[turn] not in DiskTier(tmp_path, 2**24).get(KEYS).entries
    assert disk.connected(tmp_path / FILE).execute("PRAGMA integrity_check").fetchone() == ("ok",)
