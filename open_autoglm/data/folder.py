"""Reads a folder of pictures: with a caption file each (``a.jpg``, ``a.txt``), or with one subfolder a class.

A folder with a table named ``metadata.csv``, ``.jsonl`` or ``.parquet`` is read through that table.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from open_autoglm.errors import DataError

from .settings import DataSettings
from .tables import Row, Table

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_MAX_CAPTIONS = 2**20  # bytes of a caption file


def read_folder(settings: DataSettings) -> Table:
    """Rows ``image`` with ``caption`` (a line of the ``.txt`` file each), or with ``label`` (the folder's name)."""
    folders = [Path(path).expanduser() for path in settings.paths]
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder: check the data's path.")
    found = [(folder, path) for folder in folders for path in _files(folder)]
    pictures = [(folder, path) for folder, path in found if path.suffix.lower() in PICTURES]
    if not pictures:
        raise DataError(f"{folders[0]} holds no picture ({', '.join(PICTURES)}): check the data's path.")
    texts = {path.with_suffix("") for _, path in found if path.suffix.lower() == ".txt"}
    if any(path.with_suffix("") in texts for _, path in pictures):
        return Table(("image", "caption"), (_captioned(folder, path) for folder, path in pictures))
    if all(path.parent == folder for folder, path in pictures):
        raise DataError(
            f"{folders[0]} holds pictures without captions: put a.txt beside a.jpg, or the pictures of a class in a "
            "folder named after it, or write a table."
        )
    return Table(("image", "label"), (_classed(folder, path) for folder, path in pictures))


def _files(folder: Path) -> Iterator[Path]:
    """All files below, sorted, without hidden ones."""
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(base, name) for name in sorted(names) if not name.startswith("."))


def _captioned(folder: Path, path: Path) -> Row:
    where = str(path.relative_to(folder))
    file = next((path.with_suffix(end) for end in (".txt", ".TXT") if path.with_suffix(end).exists()), None)
    if file is None:
        return Row(where, {}, folder, f"it has no caption: write {path.with_suffix('.txt').name} beside it")
    try:
        if not file.is_file():  # a pipe would be waited on
            return Row(where, {}, folder, f"{file.name} is not a file")
        with file.open("rb") as opened:
            text = opened.read(_MAX_CAPTIONS).decode("utf-8-sig", errors="surrogateescape")
    except OSError as error:
        return Row(where, {}, folder, f"{file.name} cannot be opened ({error.strerror})")
    return Row(where, {"image": path, "caption": text.splitlines()}, folder)


def _classed(folder: Path, path: Path) -> Row:
    where = str(path.relative_to(folder))
    if path.parent == folder:
        return Row(where, {}, folder, "it lies in no class's folder")
    return Row(where, {"image": path, "label": path.parent.name}, folder)
