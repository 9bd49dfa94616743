"""Whether an index has changed is read from its stamp; whatever becomes of that, a change is seen."""

from __future__ import annotations

import errno
import gc
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from graph_parts import VectorModel, fill, some_vectors
from index_parts import environment

from open_autoglm.errors import IndexStoreError
from open_autoglm.search import Index, stamp, store
from open_autoglm.search.store import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index of a few pictures."""
    with Index.create(tmp_path / "vectors.index", VectorModel()) as index:  # type: ignore[arg-type]
        fill(index, some_vectors(20))
    return tmp_path / "vectors.index"


@pytest.fixture
def reader(folder: Path) -> Iterator[Store]:
    """The index opened, and asked once."""
    opened = Store(folder)
    opened.version()
    yield opened
    opened.close()


def questions(reader: Store) -> list[str]:
    """What SQLite is asked from now on."""
    asked: list[str] = []
    with reader._reading as connection:
        connection.set_trace_callback(asked.append)
    return asked


def test_sqlite_is_asked_when_something_was_written_and_not_before(
    folder: Path, reader: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ASKED", 1000.0)
    with Index.open(folder, VectorModel()) as writer:  # type: ignore[arg-type]
        fill(writer, some_vectors(1, seed=1), start=20)
        seen = [reader.version()]
        asked = questions(reader)
        assert {reader.version() for _ in range(100)} == set(seen)
        assert asked == []
        for number in range(5):
            fill(writer, some_vectors(1, seed=2), start=30 + number)
            seen.append(reader.version())
        writer.set_recall_floor(0.9)
        seen.append(reader.version())
    assert len(set(seen)) == 7
    assert len(asked) == 6


def test_a_writer_that_was_killed_before_it_renewed_the_stamp_is_noticed(folder: Path, reader: Store) -> None:
    before = reader.version()
    with sqlite3.connect(folder / "index.sqlite") as other:
        other.execute("UPDATE counter SET revision = revision + 1")
    until = time.monotonic() + 10
    while reader.version() == before:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("what", ["deleted", "empty", "a folder"])
def test_a_change_is_seen_whatever_becomes_of_the_stamp(
    folder: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ASKED", 1000.0)
    with Index.open(folder, VectorModel()) as reader, Index.open(folder, VectorModel()) as writer:  # type: ignore[arg-type]
        reader.search("0")
        (folder / stamp.FILE).unlink()
        if what == "empty":
            (folder / stamp.FILE).touch()
        if what == "a folder":
            (folder / stamp.FILE).mkdir()
        for number in range(3):
            (added,) = fill(writer, some_vectors(1, seed=3), start=40 + number)
            with Index.open(folder, VectorModel()) as later:  # type: ignore[arg-type]
                for index in (reader, writer, later):
                    assert added in {hit.id for hit in index.search("0", k=100, cut=False)}


def test_a_stamp_that_cannot_be_written_hides_no_change_of_ones_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "ASKED", 1000.0)
    monkeypatch.setattr(os, "pwrite", full)
    with Index.open(folder, VectorModel()) as index:  # type: ignore[arg-type]
        for number in range(3):
            (added,) = fill(index, some_vectors(1, seed=3), start=40 + number)
            assert added in {hit.id for hit in index.search("0", k=100, cut=False)}


def test_whoever_may_write_the_database_may_write_its_stamp(folder: Path) -> None:
    (folder / stamp.FILE).unlink()
    (folder / "index.sqlite").chmod(0o664)
    Store(folder).close()
    assert stat.S_IMODE((folder / stamp.FILE).stat().st_mode) == 0o664


LATE = """
import atexit, sys
from pathlib import Path
from graph_parts import VectorModel, fill, some_vectors
from open_autoglm.search import Index
folder, log = map(Path, sys.argv[1:])
def late():
    with log.open("w+b", buffering=0) as file:
        file.write(b"0123456789")
        fill(index, some_vectors(1, seed=3), start=40)
atexit.register(late)
index = Index.open(folder, VectorModel())
"""


def test_what_is_stored_at_the_end_of_a_program_goes_nowhere_else(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    subprocess.run([sys.executable, "-c", LATE, str(folder), str(log)], env=environment(), check=True)
    assert log.read_bytes() == b"0123456789"


def test_a_search_while_the_index_is_closed_is_one_sentence(folder: Path) -> None:
    index = Index.open(folder, VectorModel())  # type: ignore[arg-type]
    index.search("0")
    index.close()
    with pytest.raises(IndexStoreError, match="has been closed"):
        index.search("0")


def test_an_index_that_is_forgotten_leaves_no_file_open(folder: Path) -> None:
    def opened() -> list[Path]:
        links = (link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
        return [link for link in links if link == folder / stamp.FILE]

    kept = Store(folder)
    assert len(opened()) == 1
    kept.close()
    kept.close()
    assert opened() == []
    forgotten = Store(folder)
    assert len(opened()) == 1
    del forgotten
    gc.collect()
    assert opened() == []
