"""Makes and opens the SQLite database of an index, and words its failures.

It knows SQLite and the tables; it knows nothing about what is put into them.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Literal

from ..errors import IndexStoreError
from . import looks, written
from .records import shown_path

DATABASE = "index.sqlite"
FORMAT = 1
Mode = Literal["frozen", "ro", "rw", "rwc"]
MODES: dict[Mode, str] = {"frozen": "ro&immutable=1", "ro": "ro", "rw": "rw", "rwc": "rwc"}
APPLICATION_ID = 0x41474C4D  # "AGLM": tells an index from any other SQLite file
BUSY_SECONDS = 30.0
CACHE_KIB = 16 * 1024  # of the database in memory, for each connection: records are read from all over it

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE counter (revision INTEGER NOT NULL);
INSERT INTO counter VALUES (0);
CREATE TABLE pictures (
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again, so that an id names one picture for ever
  key BLOB NOT NULL UNIQUE,              -- the absolute path's bytes
  path TEXT NOT NULL, folder TEXT NOT NULL, name TEXT NOT NULL,
  size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, date TEXT NOT NULL,
  width INTEGER NOT NULL, height INTEGER NOT NULL,
  content BLOB NOT NULL,                 -- sha256 of the file
  metadata TEXT NOT NULL DEFAULT '{}'    -- a JSON object of scalars
);
CREATE INDEX pictures_content ON pictures (content);
CREATE TABLE vectors (
  id INTEGER PRIMARY KEY REFERENCES pictures (id) ON DELETE CASCADE,
  revision INTEGER NOT NULL,
  data BLOB NOT NULL                     -- float16 [views, dimension]
);
CREATE INDEX vectors_revision ON vectors (revision);
CREATE TABLE deletions (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL);
CREATE INDEX deletions_revision ON deletions (revision);
CREATE TABLE skipped (
  key BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  limits TEXT NOT NULL,                  -- those it was tried with
  reason TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE folders (key BLOB PRIMARY KEY, path TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE fields (name TEXT PRIMARY KEY) WITHOUT ROWID;  -- every key that metadata has had
"""


def create(path: Path, facts: Mapping[str, str]) -> None:
    """Makes the index directory ``path`` with ``facts`` in its meta table, whole or not at all.

    Where another process makes one there meanwhile, that one stays.
    """
    if (path / DATABASE).exists():
        raise IndexStoreError(f"There is an index at {shown_path(path)} already: open it or choose another path.")
    try:
        if path.is_dir() and any(path.iterdir()):
            raise IndexStoreError(
                f"No index can be made at {shown_path(path)}, which holds other files: choose another directory."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise IndexStoreError(f"No index can be made at {shown_path(path)}: {error.strerror}.") from error
    try:
        with SaidPlainly(path), closing(connect(fresh / DATABASE, "rwc")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN; {TABLES} {written.TABLE} {looks.TABLE} COMMIT;")
            connection.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
        fresh.chmod(0o755)
        fresh.rename(path)
    except OSError as error:
        if not (path / DATABASE).exists():
            raise IndexStoreError(
                f"No index can be made at {shown_path(path)} ({error.strerror}): choose a path not in use."
            ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def is_complete(connection: sqlite3.Connection) -> bool:
    """Whether the index has the tables of words and looks, which an earlier version did not make."""
    return connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'looks'").fetchone() is not None


def complete(connection: sqlite3.Connection) -> None:
    """Makes what an index of an earlier version lacks, whole or not at all; its words come from its pictures."""
    if is_complete(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not is_complete(connection):  # another process may have made them meanwhile
            for statement in statements(f"{written.TABLE} {written.FILL} {looks.TABLE}"):
                connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: ``executescript`` would end the transaction that they belong to."""
    statement = ""
    for line in script.splitlines():
        statement += f"{line}\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def exists(path: Path) -> bool:
    """Whether there is an index at ``path``, sound or not."""
    return (path / DATABASE).exists()


def check(path: Path) -> Mode:
    """How the index at ``path`` can be opened. IndexStoreError unless it is of the format this program writes."""
    file = path / DATABASE
    try:
        if not file.is_file():
            other = path.is_dir() and any(path.iterdir())
            raise IndexStoreError(
                f"There is no index at {shown_path(path)}, which holds other files: choose another directory."
                if other
                else f"There is no index at {shown_path(path)}: make one first, or check the path."
            )
    except OSError as error:
        raise IndexStoreError(f"The index {shown_path(path)} cannot be opened: {error.strerror}.") from error
    mode = usable_mode(path)
    with SaidPlainly(path), closing(connect(file, mode)) as connection:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (found,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise IndexStoreError(f"{shown_path(file)} is not an Open-AutoGLM index: check the path.")
    if found > FORMAT:
        raise IndexStoreError(
            f"The index {shown_path(path)} has format {found}, newer than this program's {FORMAT}: "
            "upgrade open-autoglm."
        )
    return mode


def usable_mode(path: Path) -> Mode:
    """``rw`` where the user may write to the index, else ``ro``, or ``frozen`` where SQLite cannot keep its locks."""
    file = path / DATABASE
    log = file.with_name(f"{DATABASE}-wal")
    if os.access(path, os.W_OK) and all(os.access(part, os.W_OK) for part in (file, log) if part.exists()):
        return "rw"
    try:
        with closing(connect(file, "ro")) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:
        # A frozen index is read without its log: with something in there, it would be another index.
        if not _not_permitted(error) or (log.exists() and log.stat().st_size):
            raise IndexStoreError(sentence(shown_path(path), error)) from error
        return "frozen"
    except sqlite3.Error as error:
        raise IndexStoreError(sentence(shown_path(path), error)) from error
    return "ro"


def connect(file: Path, mode: Mode = "rw") -> sqlite3.Connection:
    """A connection for any thread, one at a time; each statement is its own transaction without a BEGIN."""
    uri = f"{file.absolute().as_uri()}?mode={MODES[mode]}"
    connection = sqlite3.connect(uri, BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


class SaidPlainly:
    """Turns SQLite's failures at the index ``path``, within it, into IndexStoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise IndexStoreError(sentence(shown_path(self._path), error)) from error


class Reading:
    """A connection that several threads read through in turn, each ``with`` it; SQLite's failures are said plainly."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._connection, self._plainly, self._turn = connection, SaidPlainly(path), threading.RLock()

    def __enter__(self) -> sqlite3.Connection:
        self._turn.acquire()
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._turn.release()
        self._plainly.__exit__(kind, error, trace)

    def close(self) -> None:
        """Closes the connection, once nobody reads."""
        with self._turn:
            self._connection.close()


def sentence(path: str | os.PathLike[str], error: sqlite3.Error) -> str:
    """What a failure of SQLite means to the user."""
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"The index {path} is being written by another program: try again when it has finished."
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return (
            f"The index {path} cannot be written, the disk is full or failing ({error}): "
            "what was stored before is kept; make room and do it again."
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return f"The index {path} is damaged ({error}): make it again from its pictures."
    if _not_permitted(error):
        return f"The index {path} cannot be opened or written ({error}): check its permissions."
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return f"The index {path} has been closed: open it again."
    return f"The index {path} failed ({error}): if that goes on, make it again from its pictures."


def _not_permitted(error: sqlite3.Error) -> bool:
    name = getattr(error, "sqlite_errorname", None) or ""
    return name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH"))
