"""The indexes of all tenants: opened when asked for, closed when long unused, made and dropped.

It knows who owns which and that an index needs a model of its space; it knows nothing of HTTP.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...cache.model import DEFAULT_TENANT
from ...errors import IndexStoreError, SpaceMismatch
from ...search import Index
from . import sent
from .names import (
    DEFAULT_INDEX,
    DROPPED,
    IndexReadOnly,
    IndexTaken,
    IndexUnknown,
    Place,
    check_name,
    place,
    tenant_folder,
)

if TYPE_CHECKING:
    from ...runtime.model import Model

# A model of the space, as the tenant is to have it; None where no model of that space is served.
ModelFor = Callable[[str, str], "Model | None"]
_PATIENCE = 30.0  # seconds that dropping an index waits for those who use it


@dataclass
class _Held:
    """An open index, how many use it now, and whether it is about to go."""

    index: Index
    users: int = 0
    going: bool = False


class Shelf:
    """``given`` is the default tenant's default index and is never written to; others lie below ``root``."""

    def __init__(self, root: Path | None, given: Index | None, model_for: ModelFor, most_open: int) -> None:
        self._root = root = root and root.absolute()  # as the files of an index are named
        self._given, self._model_for, self._most_open = given, model_for, most_open
        self._open: OrderedDict[tuple[str, str], _Held] = OrderedDict()
        self._changed = threading.Condition()
        if root is not None:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in root.glob(f"*/{DROPPED}*"):  # a crash came in between
                sent.drop(left)

    def names(self, tenant: str) -> list[str]:
        """What the tenant's indexes are called."""
        names = {DEFAULT_INDEX} if self.is_given(tenant, DEFAULT_INDEX) else set()
        if self._root is not None:
            names |= {path.stem for path in tenant_folder(self._root, tenant).glob("*.index") if path.is_dir()}
        return sorted(names)

    def is_given(self, tenant: str, name: str) -> bool:
        """Whether it is the index that the server was started with."""
        return self._given is not None and (tenant, name) == (DEFAULT_TENANT, DEFAULT_INDEX)

    @contextmanager
    def open(self, tenant: str, name: str) -> Iterator[Index]:
        """The index, which stays open meanwhile. Raises IndexUnknown for another tenant's just as for none."""
        if self.is_given(tenant, name) and self._given is not None:
            yield self._given
            return
        held = self._take(tenant, name)
        try:
            yield held.index
        finally:
            self._give_back(held)

    def create(self, tenant: str, name: str, model: Model) -> bool:
        """Makes an index of the tenant's; False where it is there already. Raises IndexReadOnly, IndexTaken."""
        where = self.writable(tenant, name)
        if where.index.exists():
            with self.open(tenant, name) as index:
                if (space := index.info()["space"]) != model.space:
                    raise IndexTaken(
                        f"The index {name!r} is there already, with pictures of the space {space}: "
                        "give a new one another name."
                    )
            return False
        where.index.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        Index.create(where.index, model, exist_ok=True).close()
        return True

    def drop(self, tenant: str, name: str) -> None:
        """Removes an index and the pictures sent for it. Raises IndexUnknown, IndexReadOnly, IndexStoreError."""
        where = self.writable(tenant, name)
        if not where.index.is_dir():
            raise unknown(name)
        with self._changed:
            held = self._open.get((tenant, name))
            if held is not None:
                held.going = True
                if not self._changed.wait_for(lambda: held.users == 0, _PATIENCE):
                    held.going = False
                    raise IndexStoreError(f"The index {name!r} is in use: try again in a moment.")
                self._open.pop((tenant, name), None)
                held.index.close()
            # Renamed first: whatever happens later, half an index is never found under its name.
            gone = [path for path in (where.index, where.pictures) if path.exists()]
            gone = [path.replace(path.with_name(f"{DROPPED}{secrets.token_hex(8)}")) for path in gone]
        for path in gone:
            sent.drop(path)

    def writable(self, tenant: str, name: str) -> Place:
        """Where an index lies that may be written to. Raises IndexReadOnly, SettingError."""
        check_name(name)
        if self.is_given(tenant, name):
            raise IndexReadOnly(
                f"The index {name!r} shows files of the server and is not written to from here: "
                "add to it with 'autoglm index', or make another index."
            )
        if self._root is None:
            raise IndexReadOnly("No indexes are kept here: the server was started without --indexes FOLDER.")
        return place(self._root, tenant, name)

    def close(self) -> None:
        """Closes what is open below the root; the index that was given is its giver's to close."""
        with self._changed:
            for held in self._open.values():
                held.index.close()
            self._open.clear()

    def _take(self, tenant: str, name: str) -> _Held:
        check_name(name)
        with self._changed:
            held = self._open.get((tenant, name))
            if held is None or held.going:
                if held is not None or self._root is None or not place(self._root, tenant, name).index.is_dir():
                    raise unknown(name)
                self._make_room()
                held = self._open[tenant, name] = _Held(self._opened(place(self._root, tenant, name).index, tenant))
            held.users += 1
            self._open.move_to_end((tenant, name))
            return held

    def _give_back(self, held: _Held) -> None:
        with self._changed:
            held.users -= 1
            self._changed.notify_all()

    def _make_room(self) -> None:
        idle = [key for key, held in self._open.items() if not held.users]
        for key in idle[: max(0, len(self._open) - self._most_open + 1)]:
            self._open.pop(key).index.close()

    def _opened(self, path: Path, tenant: str) -> Index:
        index = Index.open(path)
        try:
            info = index.info()
            model = self._model_for(info["space"], tenant)
            if model is None:
                raise SpaceMismatch(
                    f"The index was made with {info['model']}, and no model of its space {info['space']} is served."
                )
            index.use(model)
        except BaseException:
            index.close()
            raise
        return index


def unknown(name: str) -> IndexUnknown:
    """The same words whether nobody has the index or somebody else does."""
    return IndexUnknown(f"There is no index {name!r}.")
