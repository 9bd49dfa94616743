"""Removes pictures whose files are gone, and refuses where it looks as if a whole drive were.

It knows the order of the steps; it knows nothing about SQL or what a picture shows.
"""

from __future__ import annotations

import os

from ..errors import SettingError
from .records import shown_path
from .scan import Scan, is_gone
from .store import Store


def refuse_emptied(store: Store, scan: Scan) -> None:
    """Raises SettingError for a folder all of whose pictures are gone, as they are when a drive is not mounted."""
    view = _View(scan)
    indexed = [folder for folder in store.folder_keys() if folder.startswith(view.folders)]
    for folder in {*map(os.fsencode, scan.folders), *indexed}:
        gone = view.gone(store.below(folder))
        if gone and not view.any_below(folder):
            raise SettingError(
                f"{shown_path(folder)} has no pictures any more, the index has {len(gone)} from it: nothing was "
                "changed; make the folder available again, or remove them from the index with --prune "
                "(in Python: prune=True)."
            )


def remove_gone(store: Store, scan: Scan) -> int:
    """Removes what an indexed folder no longer has, but nothing below what could not be seen; how many pictures."""
    view = _View(scan)
    removed = 0
    for folder in map(os.fsencode, scan.folders):
        gone, forgotten = (view.gone(store.below(folder, table)) for table in ("pictures", "skipped"))
        with store.transaction():
            store.add_folder(folder)
            known = [store.known(key) for key in gone]
            removed += store.remove(picture.id for picture in known if picture)
            for key in forgotten:
                store.accept(key)
    return removed


class _View:
    """What a scan saw, by the bytes of paths."""

    def __init__(self, scan: Scan) -> None:
        self._found = {file.key for file in scan.files}
        self._closed = tuple(map(_inside, map(os.fsencode, scan.closed)))
        self.folders = tuple(map(_inside, map(os.fsencode, scan.folders)))

    def gone(self, keys: list[bytes]) -> list[bytes]:
        return [key for key in keys if key not in self._found and not key.startswith(self._closed) and is_gone(key)]

    def any_below(self, folder: bytes) -> bool:
        return any(key.startswith(_inside(folder)) for key in self._found)


def _inside(folder: bytes) -> bytes:
    return folder.rstrip(b"/") + b"/"
