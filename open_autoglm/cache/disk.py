"""The tier on this machine's disk: a bounded SQLite file that several processes may share and a restart keeps.

It knows entries and SQL; it knows nothing about networks. A file it cannot use is set aside and a new one begun.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from ..errors import SettingError
from .codec import VERSION, Entry, unpack
from .keys import Key
from .tier import Reading

FILE = "cache.sqlite"
FORMAT = 100 * 1 + VERSION  # of the tables, and of what is in them
APPLICATION = 0x0A610CAC
AT_ONCE = 500  # names in one statement
LARGEST = 4  # of which one part of the bytes an entry may take
ROOM = 0.9  # of the bytes: what is left when some had to go
COARSE = 60.0  # seconds: when something was used is noted no finer, so that reading seldom writes
REMEMBERED = 1_000  # invalidations that a lease may lie behind
LONGEST_JOURNAL = 16 * 2**20  # bytes that the file of changes may have when they are in the database
PATIENCE = 2.0  # seconds to wait for another process
SCHEMA = (
    "CREATE TABLE entries (key TEXT PRIMARY KEY, expires REAL NOT NULL, used REAL NOT NULL, size INTEGER NOT NULL, "
    "packed BLOB NOT NULL)",
    "CREATE INDEX entries_used ON entries (used)",
    "CREATE INDEX entries_expires ON entries (expires)",
    "CREATE TABLE total (bytes INTEGER NOT NULL)",
    "INSERT INTO total VALUES (0)",
    "CREATE TRIGGER entry_in AFTER INSERT ON entries BEGIN UPDATE total SET bytes = bytes + new.size; END",
    "CREATE TRIGGER entry_out AFTER DELETE ON entries BEGIN UPDATE total SET bytes = bytes - old.size; END",
    "CREATE TABLE invalidated (number INTEGER PRIMARY KEY AUTOINCREMENT, prefix TEXT NOT NULL)",
)
DAMAGED = "it is damaged"
log = logging.getLogger(__name__)


class DiskTier:
    """At most about so many ``bytes`` in ``folder``; what has expired goes first, then what was not used for longest.

    SettingError for a folder that cannot be written to.
    """

    name = "disk"

    def __init__(self, folder: Path, bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._path, self._bytes, self._clock = folder / FILE, bytes, clock
        self._lock = Lock()
        try:
            # What was computed of pictures tells about them, so nobody else may read it.
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._database = opened(self._path)
        except (OSError, sqlite3.OperationalError) as error:
            raise SettingError(
                f"The cache cannot be kept in {folder} ({getattr(error, 'strerror', None) or error}): "
                "name a folder that can be written to, or cache in memory alone."
            ) from error

    def get(self, keys: Sequence[Key]) -> Reading:
        now, found, rows = self._clock(), dict[Key, Entry](), list[tuple[str, float, bytes]]()
        with self._usable() as database:
            ((lease,),) = database.execute("SELECT coalesce(max(number), 0) FROM invalidated")
            for names in chunks([key.text for key in keys]):
                marks = ",".join("?" * len(names))
                rows += database.execute(f"SELECT key, used, packed FROM entries WHERE key IN ({marks})", names)  # noqa: S608
            stale = [(now, name) for name, used, _ in rows if used < now - COARSE]
            if stale:
                # Where another process writes, that this was used is not worth a miss.
                with suppress(sqlite3.OperationalError), writing(database):
                    database.executemany("UPDATE entries SET used = ? WHERE key = ?", stale)
        named = {key.text: key for key in keys}
        for name, _, packed in rows:
            entry = unpack(named[name], packed)
            if entry is not None:
                found[named[name]] = entry
        return Reading(found, lease)

    def put(self, entries: Mapping[Key, Entry], lease: int) -> None:
        now = self._clock()
        fitting = {key: entry for key, entry in entries.items() if entry.size <= self._bytes // LARGEST}
        with self._usable() as database, writing(database):
            since = database.execute("SELECT number, prefix FROM invalidated WHERE number > ?", (lease,)).fetchall()
            if since and since[0][0] != lease + 1:
                return  # so long ago that not all of them are known
            gone = [Key.parse(prefix) for _, prefix in since]
            database.executemany(
                "REPLACE INTO entries VALUES (?, ?, ?, ?, ?)",
                [
                    (key.text, entry.expires, now, entry.size + len(key.text), entry.packed)
                    for key, entry in fitting.items()
                    if not any(prefix.covers(key) for prefix in gone)
                ],
            )
            self._make_room(database, now)

    def below(self, prefix: Key, most: int) -> dict[Key, Entry]:
        with self._usable() as database:
            rows = database.execute(
                "SELECT key, packed FROM entries WHERE key >= ? AND key < ? LIMIT ?", (*prefix.span, most)
            ).fetchall()
        keys = [Key.parse(name) for name, _ in rows]
        found = {key: unpack(key, packed) for key, (_, packed) in zip(keys, rows, strict=True)}
        return {key: entry for key, entry in found.items() if entry is not None}

    def invalidate(self, prefix: Key) -> int:
        with self._usable() as database, writing(database):
            count = database.execute(
                "DELETE FROM entries WHERE key = ? OR (key >= ? AND key < ?)", (prefix.text, *prefix.span)
            ).rowcount
            number = database.execute("INSERT INTO invalidated (prefix) VALUES (?)", (prefix.text,)).lastrowid
            database.execute("DELETE FROM invalidated WHERE number <= ?", ((number or 0) - REMEMBERED,))
            return count

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _make_room(self, database: sqlite3.Connection, now: float) -> None:
        """Deletes what has expired, and in rounds what was used longest ago, until the rest fits."""
        limit = float(self._bytes)
        while (total := database.execute("SELECT bytes FROM total").fetchone()[0]) > limit:
            limit = ROOM * self._bytes
            if database.execute("DELETE FROM entries WHERE expires < ?", (now,)).rowcount:
                continue
            oldest, freed = list[tuple[str]](), 0
            for name, size in database.execute("SELECT key, size FROM entries ORDER BY used LIMIT ?", (AT_ONCE,)):
                oldest.append((name,))
                freed += size
                if total - freed <= limit:
                    break
            if not oldest:
                return
            database.executemany("DELETE FROM entries WHERE key = ?", oldest)

    @contextmanager
    def _usable(self) -> Iterator[sqlite3.Connection]:
        """The database, for one thread at a time; one that turns out to be damaged is replaced for the next use."""
        with self._lock:
            try:
                yield self._database
            except sqlite3.DatabaseError as error:
                if is_damage(error):
                    self._database.close()
                    set_aside(self._path, DAMAGED)
                    self._database = opened(self._path)
                raise


class Foreign(Exception):
    """A database that this program did not make, or not this version of it."""


def opened(path: Path) -> sqlite3.Connection:
    """The database at ``path``; one that is damaged or of another version is set aside, and a new one made."""
    try:
        return connected(path)
    except Foreign:
        set_aside(path, "another version of this program filled it")
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        set_aside(path, DAMAGED)
    return connected(path)


def connected(path: Path) -> sqlite3.Connection:
    """The database at ``path``, made if it is not there; Foreign for one that is not to be used."""
    path.touch(mode=0o600)
    database = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        with writing(database):
            if made_by(database) == (0, 0) and not database.execute("SELECT * FROM sqlite_schema").fetchall():
                for statement in SCHEMA:
                    database.execute(statement)
                database.execute(f"PRAGMA application_id = {APPLICATION}")
                database.execute(f"PRAGMA user_version = {FORMAT}")
            elif made_by(database) != (APPLICATION, FORMAT):
                raise Foreign
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA journal_size_limit = {LONGEST_JOURNAL}")
        database.execute("PRAGMA recursive_triggers = ON")  # what is replaced counts as deleted
    except BaseException:
        database.close()
        raise
    return database


def made_by(database: sqlite3.Connection) -> tuple[int, int]:
    """The marks that say which program and which format."""
    ((application,),), ((version,),) = (
        database.execute(f"PRAGMA {name}") for name in ("application_id", "user_version")
    )
    return application, version


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is no sound database, rather than busy, full or closed."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def set_aside(path: Path, reason: str) -> None:
    """Renames the database with its journals, for who wants to look; what was set aside before is replaced."""
    aside = path.with_name(f"{path.name}.set-aside")
    for ending in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).replace(aside.with_name(aside.name + ending))
    log.warning("The cache %s was set aside as %s, because %s; a new one is begun.", path, aside.name, reason)


@contextmanager
def writing(database: sqlite3.Connection) -> Iterator[None]:
    """A transaction."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            database.execute("ROLLBACK")
        raise


def chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Names, as many at a time as a statement takes."""
    for start in range(0, len(names), AT_ONCE):
        yield names[start : start + AT_ONCE]
