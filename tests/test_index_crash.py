"""An index outlives what happens to it: kills, a full disk, a second writer, damage."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from index_parts import ColourModel, environment, everything, make, paint, paint_many

from open_autoglm.errors import IndexStoreError
from open_autoglm.search import Index

PICTURES = 50
KILLED_WHILE_EMBEDDING = """
embed = ColourModel.embed_prepared
def embed_prepared(model, pixels):
    if model.embedded >= 32:
        os.kill(os.getpid(), signal.SIGKILL)
    return embed(model, pixels)
ColourModel.embed_prepared = embed_prepared
"""
KILLED_WHILE_STORING = """
insert = Store.insert
stored = []
def insert_one(store, *given):
    stored.append(insert(store, *given))
    if len(stored) == 40:
        os.kill(os.getpid(), signal.SIGKILL)
    return stored[-1]
Store.insert = insert_one
"""
ADD = """
import os, signal, sys
from index_parts import ColourModel
from open_autoglm.search import Index
from open_autoglm.search.store import Store
{before}
index = Index.open(sys.argv[1], ColourModel())
for folder in sys.argv[2:]:
    index.add(folder)
"""


def adding(index: Path, *folders: Path, before: str = "") -> subprocess.Popen[bytes]:
    """Another process that adds folders to an index."""
    command = [sys.executable, "-c", ADD.format(before=before), str(index), *map(str, folders)]
    return subprocess.Popen(command, env=environment())


@pytest.mark.parametrize("kill", [KILLED_WHILE_EMBEDDING, KILLED_WHILE_STORING])
def test_killed_in_the_middle_it_goes_on_where_it_was(tmp_path: Path, kill: str) -> None:
    paths = paint_many(tmp_path / "photos", PICTURES)
    make(tmp_path).close()
    process = adding(tmp_path / "colours.index", tmp_path / "photos", before=kill)
    assert process.wait(60) == -signal.SIGKILL
    model = ColourModel()
    with Index.open(tmp_path / "colours.index", model) as index:
        assert len(index) == 32, "the batches before the kill are stored, the one it fell in is not"
        result = index.add(tmp_path / "photos")
        assert (result.added, result.unchanged, model.embedded) == (PICTURES - 32, 32, PICTURES - 32)
        assert everything(index) == sorted(path.name for path in paths)


def test_two_processes_add_to_one_index_at_once(tmp_path: Path) -> None:
    paint_many(tmp_path / "shared", PICTURES)
    for number in (1, 2):
        paint_many(tmp_path / f"own-{number}", PICTURES, seed=number)
    index = make(tmp_path)
    writers = [adding(tmp_path / "colours.index", tmp_path / "shared", tmp_path / f"own-{number}") for number in (1, 2)]
    while any(writer.poll() is None for writer in writers):
        index.search("red", cut=False)
    assert [writer.returncode for writer in writers] == [0, 0]
    paths = [hit.path for hit in index.search("red", k=1000, cut=False)]
    assert len(paths) == len(set(paths)) == len(index) == 3 * PICTURES


def test_a_writer_that_never_ends_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("open_autoglm.search.schema.BUSY_SECONDS", 0.05)
    index = make(tmp_path)
    index.add(paint(tmp_path / "red.png"))
    blocker = sqlite3.connect(tmp_path / "colours.index/index.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(IndexStoreError, match="another program"):
        index.add(paint(tmp_path / "green.png", "green"))
    assert everything(index) == ["red.png"]
    blocker.close()
    assert index.add(tmp_path / "green.png").added == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path | None]:
    """A disk of 4 MiB of its own, or None where none can be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True)
    yield disk if mounted.returncode == 0 else None
    if mounted.returncode == 0:
        subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk: Path | None, index: Index) -> Callable[[], None]:
    """Leaves the index next to no room; returns what makes room again."""
    if disk is None:
        # The same error from SQLite itself, for want of a disk to fill.
        (pages,) = index._store._writer.execute("PRAGMA page_count").fetchone()
        index._store._writer.execute(f"PRAGMA max_page_count = {pages + 4}")
        return lambda: index._store._writer.execute("PRAGMA max_page_count = 1000000").close()
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() - 64 * 1024))
    return filler.unlink


def test_a_full_disk_keeps_what_was_stored(tmp_path: Path, small_disk: Path | None) -> None:
    paths = paint_many(tmp_path / "photos", 200)
    with make(small_disk or tmp_path) as index:
        index.add(paths[:20])
        free = fill(small_disk, index)
        with pytest.raises(IndexStoreError, match=r"disk is full.*make room"):
            index.add(tmp_path / "photos")
        kept = len(index)
        assert 20 <= kept < 200
        assert len(everything(index)) == kept
        free()
        assert index.add(tmp_path / "photos").added == 200 - kept
        assert everything(index) == sorted(path.name for path in paths)


def test_an_index_cannot_be_made_on_a_full_disk(tmp_path: Path, small_disk: Path | None) -> None:
    if small_disk is None:
        print("Not tested: making an index on a full disk, for want of a disk to fill.")
        return
    with pytest.raises(OSError, match="No space"):
        (small_disk / "filler").write_bytes(bytes(5 * 2**20))
    with pytest.raises(IndexStoreError):
        make(small_disk)
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_a_damaged_index_is_refused_in_a_sentence(tmp_path: Path) -> None:
    paint_many(tmp_path / "photos", PICTURES)
    with make(tmp_path) as index:
        index.add(tmp_path / "photos")
    database = tmp_path / "colours.index/index.sqlite"
    whole = database.read_bytes()
    for damage, sentence in [
        (b"", "not an Open-AutoGLM index"),
        (b"something else " * 1000, "damaged"),
        (whole[:100] + b"\xff" * (len(whole) - 100), "damaged"),
        (whole[: len(whole) // 2], "damaged"),
        (whole[:8192] + b"\xff" * (len(whole) - 8192), "damaged"),
    ]:
        database.write_bytes(damage)
        with (
            pytest.raises(IndexStoreError, match=sentence),
            Index.open(tmp_path / "colours.index", ColourModel()) as index,
        ):
            index.search("red")


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with sqlite3.connect(tmp_path / "other/index.sqlite") as database:
        database.execute("CREATE TABLE meta (name, value)")
    with pytest.raises(IndexStoreError, match="not an Open-AutoGLM index"):
        Index.open(tmp_path / "other")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    make(tmp_path).close()
    with sqlite3.connect(tmp_path / "colours.index/index.sqlite") as database:
        database.execute("PRAGMA user_version = 2")
    with pytest.raises(IndexStoreError, match=r"format 2, newer.*upgrade"):
        Index.open(tmp_path / "colours.index")


def test_vectors_of_a_wrong_length_are_damage(tmp_path: Path) -> None:
    with make(tmp_path) as index:
        index.add(paint(tmp_path / "red.png"))
    with sqlite3.connect(tmp_path / "colours.index/index.sqlite") as database:
        database.execute("UPDATE vectors SET data = x'00'")
    with (
        Index.open(tmp_path / "colours.index", ColourModel()) as index,
        pytest.raises(IndexStoreError, match="damaged"),
    ):
        index.search("red")
