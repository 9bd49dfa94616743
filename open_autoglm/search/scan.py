"""Finds the picture files of a folder or a list of paths, with what could not be read.

It knows file systems; it knows nothing about picture formats beyond their file names, nor about the index.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import SettingError
from .records import Skipped, shown_path

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
OTHER_PICTURES = frozenset(
    {".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".j2k", ".svg", ".svgz", ".psd", ".tga", ".ico", ".dng"}
    | {".raw", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2", ".pef", ".srw"}
)


@dataclass(frozen=True)
class Found:
    """A file on disk: absolute path, size in bytes, time of change, and the folder it was looked for in."""

    path: str
    size: int
    mtime_ns: int
    root: str | None

    @property
    def key(self) -> bytes:
        """The path's bytes: what identifies a file, whatever the encoding of its name."""
        return os.fsencode(self.path)


@dataclass
class Scan:
    """``files`` found below ``folders`` and by name; ``skipped`` what could not be read.

    ``closed``: paths below which nothing could be seen this time, so that what was known there must be kept.
    """

    folders: list[str] = field(default_factory=list)
    files: list[Found] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def close(self, path: str, reason: str) -> None:
        """Notes a folder or link that could not be followed."""
        self.closed.append(path)
        self.skipped.append(Skipped(shown_path(path), reason))

    def skip(self, path: str, reason: str) -> None:
        """Notes a file that could not be used."""
        self.skipped.append(Skipped(shown_path(path), reason))


def scan(source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Scan:
    """Looks at a folder (all folders below it, links followed once), a file or several paths.

    Hidden files and folders, whose names begin with a dot, are left out, as is what no picture's name ends on;
    pictures of a format that cannot be read are reported. A file named explicitly is taken whatever its name.
    Raises SettingError where a single source is missing or cannot be read.
    """
    found = Scan()
    if isinstance(source, bytes) or not isinstance(source, str | os.PathLike | Iterable):
        raise SettingError(f"A folder, a file or a list of paths was expected, not {type(source).__name__}.")
    if isinstance(source, str | os.PathLike):
        path = absolute(source)
        _look(path, found)
        if path in found.closed or not (found.files or found.folders):
            raise SettingError(f"{shown_path(path)} cannot be indexed: {found.skipped[0].reason}")
    else:
        for item in source:
            _look(absolute(item), found)
    unique = {file.path: file for file in found.files}
    found.files = [unique[path] for path in sorted(unique)]
    return found


def absolute(path: str | os.PathLike[str]) -> str:
    """The absolute path, links kept as they are named. SettingError for what is no path."""
    if path == "":
        raise SettingError("The path is empty: name a file or a folder.")
    try:
        return os.path.normpath(Path(path).absolute())
    except TypeError as error:
        raise SettingError(f"A path was expected, not {type(path).__name__}.") from error


def is_gone(key: bytes) -> bool:
    """Whether there is surely no file at this path: one that merely cannot be reached is not gone."""
    try:
        return not stat.S_ISREG(Path(os.fsdecode(key)).stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def _look(path: str, found: Scan) -> None:
    if Path(path).is_dir():
        found.folders.append(path)
        _walk(path, found)
    else:
        _take(path, found, None)


def _walk(root: str, found: Scan) -> None:
    # Linked folders wait until all others are seen: a picture is known by its own path where it has one.
    ahead, linked = [root], deque[str]()
    seen: set[tuple[int, int]] = set()
    while ahead or linked:
        folder = ahead.pop() if ahead else linked.popleft()
        try:
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            found.close(folder, f"The folder cannot be read: {error.strerror}.")
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                (linked if entry.is_symlink() else ahead).append(entry.path)
            elif entry.is_symlink() and not Path(entry.path).exists():
                found.close(entry.path, "The link leads nowhere.")
            elif entry.name.lower().endswith(PICTURE_SUFFIXES):
                _take(entry.path, found, root)
            elif (suffix := Path(entry.name).suffix.lower()) in OTHER_PICTURES:
                kind = suffix[1:].upper()
                found.skip(entry.path, f"Pictures in the format {kind} cannot be read: convert it to JPEG.")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, or into a folder that cannot be entered
        return False


def _take(path: str, found: Scan, root: str | None) -> None:
    try:
        status = Path(path).stat()
    except OSError as error:
        found.skip(path, f"The file cannot be read: {error.strerror}.")
        return
    except ValueError:
        found.skip(path, "The path holds a null character.")
        return
    if stat.S_ISREG(status.st_mode):
        found.files.append(Found(path, status.st_size, status.st_mtime_ns, root))
    else:
        found.skip(path, "It is not a regular file.")
