"""The tables of an index: what is written, read and removed, in transactions.

It holds all of the index's SQL but the filters'; it knows nothing about files, models or scores.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import IndexStoreError
from . import looks, schema, written
from .halves import as_floats
from .records import Json, Record, Skipped, shown_path
from .rows import Changes, Content, FileState, Known, Refused, path_columns, state_columns
from .stamp import Stamp

ROWS_AT_ONCE = 256
ASKED = 0.1  # seconds after which SQLite is asked for changes whatever the stamp says


class Store:
    """An opened index database; safe to use from several threads.

    Searches read through one connection and additions write through another, so that a search never waits
    for a writer. Methods that change anything need ``with store.transaction()``.
    """

    kind = "index"  # as sentences call it

    def __init__(self, path: Path) -> None:
        self.mode = schema.check(path)
        self.path = path
        self._writing = threading.RLock()
        self._revision = 0
        with schema.SaidPlainly(path):
            self._reading = schema.Reading(path, schema.connect(self.database, self.mode))
            self._writer = schema.connect(self.database, self.mode)
        self._stamp = Stamp(self.database, self.mode == "rw")
        self._asked: tuple[bytes | None, float, int] = (None, 0.0, 0)
        with self._reading as connection:
            self.meta: dict[str, str] = dict(connection.execute("SELECT name, value FROM meta"))
        try:
            self.views, self.dimension = int(self.meta["views"]), int(self.meta["dimension"])
            self.model, self.space, self.bundle = (self.meta[name] for name in ("model", "space", "bundle"))
        except (KeyError, ValueError) as error:
            raise IndexStoreError(f"The index {shown_path(path)} is damaged: its facts are incomplete.") from error

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / schema.DATABASE

    def close(self) -> None:
        """Closes both connections."""
        with self._writing:
            self._writer.close()
            self._reading.close()
            self._stamp.close()

    # Writing

    def check_writable(self) -> None:
        """Raises IndexStoreError where the user may not write to the index."""
        if self.mode != "rw":
            raise IndexStoreError(
                f"The index {shown_path(self.path)} is read-only: it can be searched, but changing it needs "
                "the permission to write to its directory and files."
            )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is done inside; other processes that write wait for it."""
        self.check_writable()
        with self._writing, schema.SaidPlainly(self.path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                self._writer.execute("UPDATE counter SET revision = revision + 1")
                (self._revision,) = self._writer.execute("SELECT revision FROM counter").fetchone()
                yield
                self._writer.execute("COMMIT")
                self._changed()
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def _changed(self) -> None:
        """Lets all see at once what was stored: this program too, where the stamp cannot be written."""
        self._stamp.renew()
        self._asked = None, 0.0, 0

    def set_model(self, name: str, bundle: str) -> None:
        """Notes the name of the model that the index is used with, and where its bundle lies."""
        if (name, bundle) != (self.model, self.bundle):
            with self.transaction():
                self._writer.executemany(
                    "UPDATE meta SET value = ? WHERE name = ?", [(name, "model"), (bundle, "bundle")]
                )
            self.model, self.bundle = name, bundle

    def note(self, name: str, value: str) -> None:
        """Keeps a remark about the index; no search has to look for changes because of it."""
        self.check_writable()
        with self._writing, schema.SaidPlainly(self.path):
            self._writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
            self._changed()

    def known(self, key: bytes) -> Known | None:
        """What is known of a path, as the writer sees it."""
        with self._writing, schema.SaidPlainly(self.path):
            return _known(self._writer, key)

    def holders(self, sha256: bytes) -> list[tuple[int, bytes]]:
        """The ids and paths of the pictures with these bytes, as the writer sees them."""
        return self._writer.execute("SELECT id, key FROM pictures WHERE content = ? ORDER BY id", (sha256,)).fetchall()

    def insert(self, state: FileState, content: Content) -> int:
        """Stores a new picture; its id."""
        row = self._writer.execute(
            "INSERT INTO pictures (key, path, folder, name, size, mtime_ns, date, width, height, content) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            (
                *path_columns(state.key),
                *state_columns(state, content.taken),
                content.width,
                content.height,
                content.sha256,
            ),
        ).fetchone()
        id = int(row[0])
        self._put_vectors(id, content)
        return id

    def replace(self, id: int, state: FileState, content: Content) -> None:
        """Gives a picture the new content of its file."""
        self._writer.execute(
            "UPDATE pictures SET size = ?, mtime_ns = ?, date = ?, width = ?, height = ?, content = ? WHERE id = ?",
            (*state_columns(state, content.taken), content.width, content.height, content.sha256, id),
        )
        self._put_vectors(id, content)

    def relocate(self, id: int, state: FileState, content: Content) -> None:
        """Gives a picture the path and times of a file with the same ``content``."""
        self._writer.execute(
            "UPDATE pictures SET key = ?, path = ?, folder = ?, name = ?, size = ?, mtime_ns = ?, date = ? "
            "WHERE id = ?",
            (*path_columns(state.key), *state_columns(state, content.taken), id),
        )

    def set_metadata(self, id: int, metadata: Mapping[str, Json]) -> bool:
        """Replaces a picture's metadata; False where it was the same."""
        text = json.dumps(dict(metadata), ensure_ascii=False, sort_keys=True)
        changed = self._writer.execute(
            "UPDATE pictures SET metadata = ? WHERE id = ? AND metadata != ?", (text, id, text)
        ).rowcount
        self._writer.executemany("INSERT OR IGNORE INTO fields VALUES (?)", [(name,) for name in metadata])
        return changed > 0

    def refuse(self, refused: Refused) -> None:
        """Remembers that a file cannot be used as it is."""
        state = refused.state
        self._writer.execute(
            "INSERT OR REPLACE INTO skipped VALUES (?, ?, ?, ?, ?)",
            (state.key, state.size, state.mtime_ns, refused.limits, refused.reason),
        )

    def keep_looks(self, seen: Iterable[tuple[int, bytes, bytes]]) -> None:
        """Keeps the dots of pictures: id, the sha256 of the file that was looked at, dots."""
        self._complete()
        with self.transaction():
            looks.write(self._writer, seen)

    def accept(self, key: bytes) -> None:
        """Forgets that a file could not be used."""
        self._writer.execute("DELETE FROM skipped WHERE key = ?", (key,))

    def add_folder(self, key: bytes) -> None:
        """Remembers an indexed folder."""
        self._writer.execute("INSERT OR IGNORE INTO folders VALUES (?, ?)", (key, shown_path(key)))

    def remove(self, ids: Iterable[int]) -> int:
        """Removes pictures; how many there were."""
        removed = 0
        for id in ids:
            if self._writer.execute("DELETE FROM pictures WHERE id = ?", (id,)).rowcount:
                self._writer.execute("INSERT INTO deletions VALUES (?, ?)", (id, self._revision))
                removed += 1
        return removed

    def _complete(self) -> bool:
        """Whether the tables that an earlier version did not make are there; made where the index may be written."""
        with self._writing, schema.SaidPlainly(self.path):
            if self.mode == "rw":
                schema.complete(self._writer)
            return schema.is_complete(self._writer)

    def _put_vectors(self, id: int, content: Content) -> None:
        self._writer.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", (id, self._revision, content.vectors))

    # Reading

    def count(self) -> int:
        """The number of pictures."""
        with self._reading as connection:
            return int(connection.execute("SELECT count(*) FROM pictures").fetchone()[0])

    def states(self, keys: Iterable[bytes]) -> list[tuple[Known | None, Refused | None]]:
        """For each path what is known of it, and how it was refused when last tried."""
        states: list[tuple[Known | None, Refused | None]] = []
        with self._reading as connection:
            for key in keys:
                row = connection.execute(
                    "SELECT size, mtime_ns, limits, reason FROM skipped WHERE key = ?", (key,)
                ).fetchone()
                refused = Refused(FileState(key, *row[:2]), *row[2:]) if row else None
                states.append((_known(connection, key), refused))
        return states

    def content(self, sha256: bytes) -> Content | None:
        """What is stored of a file's bytes under any path."""
        with self._reading as connection:
            row = connection.execute(
                "SELECT content, width, height, data, date FROM pictures JOIN vectors USING (id) WHERE content = ? "
                "LIMIT 1",
                (sha256,),
            ).fetchone()
        if row is None:
            return None
        content, width, height, data, date = row
        # A file's time of change is in UTC and says so; what a camera notes is not.
        return Content(content, width, height, data, date if date and not date.endswith("Z") else None)

    def below(self, folder: bytes, table: str = "pictures") -> list[bytes]:
        """The paths in ``table`` that lie in a folder."""
        first = folder.rstrip(b"/") + b"/"
        with self._reading as connection:
            rows = connection.execute(
                f"SELECT key FROM {table} WHERE key >= ? AND key < ?",  # noqa: S608  (never the user's)
                (first, first[:-1] + b"0"),
            )
            return [key for (key,) in rows]

    def records(self, ids: Iterable[int] | None = None) -> dict[int, Record]:
        """The records of those ids that there are, or of all."""
        chosen = "WHERE id IN (SELECT value FROM json_each(?))" if ids is not None else ""
        with self._reading as connection:
            rows = connection.execute(
                f"SELECT id, key, path, folder, name, size, date, width, height, metadata FROM pictures {chosen}",  # noqa: S608
                (json.dumps(list(ids)),) if ids is not None else (),
            ).fetchall()
        return {row[0]: _record(*row) for row in rows}

    def written(self, words: list[str], among: NDArray[np.int64] | None = None) -> written.Written:
        """What is found of words in what is written of pictures; ``among`` are the only ids allowed."""
        if not self._complete():
            raise IndexStoreError(
                f"The index {shown_path(self.path)} was made by an earlier version, which kept no words, and it is "
                "read-only: search it once where it may be written, or search without what is written."
            )
        with self._reading as connection:
            return written.find(connection, words, among)

    def looks(self) -> dict[int, bytes]:
        """The dots of all pictures that were looked at, by id."""
        with self._reading as connection:
            return looks.read(connection) if schema.is_complete(connection) else {}

    def sample(self, count: int) -> list[int]:
        """The ids of at most ``count`` pictures, spread over all of them."""
        # By the golden ratio's multiples (Knuth): most of a sample stays one as the index grows.
        with self._reading as connection:
            rows = connection.execute(
                "SELECT id FROM pictures ORDER BY (id * 2654435761) % 4294967296 LIMIT ?", (count,)
            )
            return [id for (id,) in rows]

    def vectors(self, ids: Iterable[int]) -> NDArray[np.float32]:
        """The vectors [n, views, dimension] of those ids that there are."""
        with self._reading as connection:
            rows = connection.execute(
                "SELECT id, data FROM vectors WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),)
            )
            parts = [vectors for _, vectors in self._parts(rows)]
        return np.concatenate([np.zeros((0, self.views, self.dimension), np.float32), *parts])

    def shown(self, ids: Iterable[int]) -> dict[int, tuple[str, dict[str, Json]]]:
        """The path and metadata of those ids that there are."""
        wanted, rows = list(ids), []
        with self._reading as connection:
            for start in range(0, len(wanted), ROWS_AT_ONCE):
                part = wanted[start : start + ROWS_AT_ONCE]
                # One text for each number of ids: SQLite prepares it once.
                places = ", ".join("?" * len(part))
                rows += connection.execute(
                    f"SELECT id, path, metadata FROM pictures WHERE id IN ({places})",  # noqa: S608
                    part,
                ).fetchall()
        return {id: (path, json.loads(metadata) if metadata != "{}" else {}) for id, path, metadata in rows}

    def fields(self) -> list[str]:
        """The keys that metadata has had."""
        with self._reading as connection:
            return [name for (name,) in connection.execute("SELECT name FROM fields ORDER BY name")]

    def folders(self) -> list[str]:
        """The folders indexed, as shown."""
        with self._reading as connection:
            return [path for (path,) in connection.execute("SELECT path FROM folders ORDER BY path")]

    def folder_keys(self) -> list[bytes]:
        """The paths of the folders indexed."""
        with self._reading as connection:
            return [key for (key,) in connection.execute("SELECT key FROM folders ORDER BY key")]

    def skipped(self) -> list[Skipped]:
        """The files that could not be used when last tried."""
        with self._reading as connection:
            rows = connection.execute("SELECT key, reason FROM skipped ORDER BY key")
            return [Skipped(shown_path(key), reason) for key, reason in rows]

    def noted(self, name: str) -> str | None:
        """A remark that was kept."""
        with self._reading as connection:
            row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def version(self) -> int:
        """Another number whenever something was written since, by any process; remarks count, too.

        SQLite knows for certain. It is asked where the stamp is another one, and now and then: what a program stored
        that was killed before it could renew the stamp is seen a moment later.
        """
        stamp, now = self._stamp.read(), time.monotonic()
        seen, ask_at, version = self._asked
        if stamp is None or stamp != seen or now >= ask_at:
            with self._reading as connection:
                version = int(connection.execute("PRAGMA data_version").fetchone()[0])
            self._asked = (stamp, now + ASKED, version)
        return version

    def revision(self) -> int:
        """Grows with every transaction of any process."""
        with self._reading as connection:
            return int(connection.execute("SELECT revision FROM counter").fetchone()[0])

    def vectors_since(self, seen: int) -> tuple[int, int]:
        """How many pictures' vectors are newer than revision ``seen``, and how many are not."""
        with self._reading as connection:
            (newer,) = connection.execute("SELECT count(*) FROM vectors WHERE revision > ?", (seen,)).fetchone()
            (older,) = connection.execute("SELECT count(*) FROM vectors WHERE revision <= ?", (seen,)).fetchone()
        return newer, older

    @contextmanager
    def snapshot(self) -> Iterator[Changes]:
        """All vectors, in the order of their ids, as of one moment; consume it inside the block."""
        with self._reading as connection:
            connection.execute("BEGIN")
            try:
                (revision,) = connection.execute("SELECT revision FROM counter").fetchone()
                (count,) = connection.execute("SELECT count(*) FROM vectors").fetchone()
                rows = connection.execute("SELECT id, data FROM vectors ORDER BY id")
                yield Changes(revision, np.empty(0, np.int64), count, self._parts(rows))
            finally:
                connection.execute("COMMIT")

    @contextmanager
    def changes(self, seen: int) -> Iterator[Changes]:
        """What changed after revision ``seen``, as of one moment; consume it inside the block."""
        with self._reading as connection:
            connection.execute("BEGIN")
            try:
                (revision,) = connection.execute("SELECT revision FROM counter").fetchone()
                removed = connection.execute("SELECT id FROM deletions WHERE revision > ?", (seen,)).fetchall()
                (count,) = connection.execute("SELECT count(*) FROM vectors WHERE revision > ?", (seen,)).fetchone()
                rows = connection.execute("SELECT id, data FROM vectors WHERE revision > ? ORDER BY id", (seen,))
                yield Changes(revision, np.array(removed, np.int64).reshape(-1), count, self._parts(rows))
            finally:
                connection.execute("COMMIT")

    def _parts(self, rows: sqlite3.Cursor) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        size = self.views * self.dimension * np.dtype(np.float16).itemsize
        while part := rows.fetchmany(ROWS_AT_ONCE):
            ids = np.array([id for id, _ in part], np.int64)
            if any(len(data) != size for _, data in part):
                raise IndexStoreError(
                    f"The index {shown_path(self.path)} is damaged (vectors of a wrong length): "
                    "make it again from its pictures."
                )
            halves = np.frombuffer(b"".join(data for _, data in part), np.float16)
            yield ids, as_floats(halves.reshape(len(part), self.views, self.dimension))


def _known(connection: sqlite3.Connection, key: bytes) -> Known | None:
    row = connection.execute("SELECT id, size, mtime_ns, content FROM pictures WHERE key = ?", (key,)).fetchone()
    return Known(row[0], FileState(key, row[1], row[2]), row[3]) if row else None


def _record(id: int, key: bytes, *rest: Any) -> Record:
    path, folder, name, size, date, width, height, metadata = rest
    file = Path(os.fsdecode(key))
    return Record(id, file, path, folder, name, size, date, width, height, json.loads(metadata))
