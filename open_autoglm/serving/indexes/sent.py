"""Pictures that were sent for an index, kept beside it: written whole or not at all, and removed with it.

It knows files; it knows nothing of models or of who sends.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from ..pictures import suffix
from .names import picture_name

_TEMPORARY = ".new-"


def keep(folder: Path, name: str, content: bytes) -> Path:
    """Writes a picture below ``folder`` so that it outlives a crash; the same bytes and name have the same place.

    It lies in a folder of its content's hash, so that two pictures of one name do not meet.
    """
    inner = folder / hashlib.sha256(content).hexdigest()[:32]
    file = inner / picture_name(name, suffix(content))
    if file.is_file() and file.stat().st_size == len(content):
        return file
    inner.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = inner / f"{_TEMPORARY}{secrets.token_hex(8)}"
    try:
        with fresh.open("xb") as writing:
            writing.write(content)
            writing.flush()
            os.fsync(writing.fileno())
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
    for folder in (inner, inner.parent):
        _sync(folder)
    return file


def forget(folder: Path, file: Path) -> None:
    """Removes a picture that lies below ``folder``; one that lies elsewhere is somebody else's and stays."""
    if file.parent.parent == folder:
        file.unlink(missing_ok=True)
        with suppress(OSError):  # another picture of the same bytes and another name lies there
            file.parent.rmdir()


def drop(folder: Path) -> None:
    """Removes a folder and all below it."""
    shutil.rmtree(folder, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Has the names in a folder written too."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
