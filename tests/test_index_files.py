"""Folders as they are found: links, names that are not UTF-8, and what cannot be read."""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from index_parts import everything, make, names, paint

from open_autoglm.errors import SettingError

NOBODY = 65534


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may enter; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o700)
    shutil.rmtree(folder)


def as_nobody(folder: Path, work: Callable[[], Any]) -> Any:
    """The result of ``work`` as a user without root's rights, who owns ``folder`` and all in it."""
    if os.geteuid():
        return work()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writer, pickle.dumps(work()))
        except BaseException as error:
            os.write(writer, pickle.dumps(error))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        result = pickle.loads(pipe.read())
    os.waitpid(child, 0)
    if isinstance(result, BaseException):
        raise result
    return result


def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    paint(tmp_path / "photos/deep/red.png", "red")
    paint(tmp_path / "elsewhere/green.png", "green")
    (tmp_path / "photos/a-loop").symlink_to(tmp_path / "photos")
    (tmp_path / "photos/deep/up").symlink_to("..")
    (tmp_path / "photos/self").symlink_to("self")
    (tmp_path / "photos/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos/again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos/blue.png").symlink_to(paint(tmp_path / "blue.png", "blue"))
    index = make(tmp_path)
    result = index.add(tmp_path / "photos")
    assert [Path(item.path).name for item in result.skipped] == ["self"]
    assert everything(index) == ["blue.png", "green.png", "red.png"]
    assert index.search("red")[0].path == str(tmp_path / "photos/deep/red.png")
    assert index.add(tmp_path / "photos").unchanged == 3


def test_a_link_whose_target_is_away_keeps_its_pictures(tmp_path: Path) -> None:
    paint(tmp_path / "disk/green.png", "green")
    paint(tmp_path / "photos/red.png", "red")
    (tmp_path / "photos/linked").symlink_to(tmp_path / "disk")
    index = make(tmp_path)
    index.add(tmp_path / "photos")
    (tmp_path / "disk").rename(tmp_path / "unplugged")
    result = index.add(tmp_path / "photos")
    assert (result.removed, [Path(item.path).name for item in result.skipped]) == (0, ["linked"])
    assert everything(index) == ["green.png", "red.png"]


def test_names_that_are_not_utf8_are_kept_and_shown_as_text(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "photos") + b"/\xe9t\xe9"
    path = Path(os.fsdecode(folder + b"/caf\xe9.png"))
    paint(path, "red")
    index = make(tmp_path)
    assert index.add(tmp_path / "photos").added == 1
    assert index.add(tmp_path / "photos").unchanged == 1
    hit = index.search("red")[0]
    assert hit.path.encode().endswith(b"/\\xe9t\\xe9/caf\\xe9.png")
    assert index.get(hit.id).file.read_bytes() == path.read_bytes()
    assert names(index.search("red", where=r"name = 'caf\xe9.png' and folder like '%\xe9t\xe9'")) == [r"caf\xe9.png"]
    path.write_bytes(b"broken")
    assert index.add(tmp_path / "photos").skipped[0].path == hit.path
    path.unlink()
    assert index.add(tmp_path / "photos", prune=True).removed == 1


def test_an_unreadable_folder_is_reported_and_loses_nothing(open_folder: Path) -> None:
    paint(open_folder / "photos/red.png", "red")
    paint(open_folder / "photos/closed/green.png", "green")
    paint(open_folder / "photos/closed/deep/blue.png", "blue")
    index = make(open_folder)
    index.add(open_folder / "photos")
    index.close()

    def add() -> tuple[Any, list[str]]:
        from index_parts import ColourModel

        from open_autoglm.search import Index

        closed = open_folder / "photos/closed"
        closed.chmod(0)
        with Index.open(open_folder / "colours.index", ColourModel()) as opened:
            return opened.add(open_folder / "photos"), everything(opened)

    result, kept = as_nobody(open_folder, add)
    assert (result.removed, result.unchanged) == (0, 1)
    assert [Path(item.path).name for item in result.skipped] == ["closed"]
    assert "Permission denied" in result.skipped[0].reason
    assert kept == ["blue.png", "green.png", "red.png"]


def test_an_unreadable_file_is_reported_and_tried_again(open_folder: Path) -> None:
    paint(open_folder / "photos/red.png", "red")
    paint(open_folder / "photos/green.png", "green").chmod(0)
    make(open_folder).close()

    def add() -> tuple[Any, Any]:
        from index_parts import ColourModel

        from open_autoglm.search import Index

        with Index.open(open_folder / "colours.index", ColourModel()) as opened:
            first = opened.add(open_folder / "photos")
            (open_folder / "photos/green.png").chmod(0o644)
            return first, opened.add(open_folder / "photos")

    first, second = as_nobody(open_folder, add)
    assert (first.added, [Path(item.path).name for item in first.skipped]) == (1, ["green.png"])
    assert "Permission denied" in first.skipped[0].reason
    assert (second.added, second.skipped) == (1, ())


def test_an_unreadable_source_is_refused(open_folder: Path) -> None:
    paint(open_folder / "photos/red.png", "red")
    make(open_folder).close()

    def add() -> None:
        from index_parts import ColourModel

        from open_autoglm.search import Index

        (open_folder / "photos").chmod(0)
        with Index.open(open_folder / "colours.index", ColourModel()) as opened:
            opened.add(open_folder / "photos")

    with pytest.raises(SettingError, match="Permission denied"):
        as_nobody(open_folder, add)


def test_what_is_no_regular_file_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    os.mkfifo(tmp_path / "photos/pipe.png")
    result = make(tmp_path).add(tmp_path / "photos")
    assert [item.reason for item in result.skipped] == ["It is not a regular file."]


@pytest.mark.parametrize("modes", [(0o555, 0o444), (0o755, 0o444), (0o555, 0o644)])
def test_a_read_only_index_is_searched_but_not_changed(open_folder: Path, modes: tuple[int, int]) -> None:
    paint(open_folder / "photos/red.png", "red")
    with make(open_folder) as index:
        index.add(open_folder / "photos")

    def work() -> tuple[list[str], list[str]]:
        from index_parts import ColourModel

        from open_autoglm.errors import IndexStoreError
        from open_autoglm.search import Index

        path = open_folder / "colours.index"
        for file in path.iterdir():
            file.chmod(modes[1])
        path.chmod(modes[0])
        refusals = []
        with Index.open(path, ColourModel()) as opened:
            for change in (lambda: opened.add(open_folder / "photos"), lambda: opened.delete(1)):
                with pytest.raises(IndexStoreError) as refused:
                    change()
                refusals.append(str(refused.value))
            return [*names(opened.search("red", where="width > 1")), str(len(opened))], refusals

    found, refusals = as_nobody(open_folder, work)
    assert found == ["red.png", "1"]
    assert all("is read-only" in refusal for refusal in refusals)
