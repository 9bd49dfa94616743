"""Reads webdataset shards: tar files in which ``7.jpg``, ``7.txt``, ``7.cls`` and ``7.json`` make one row.

Pictures in plain ``.tar`` shards stay there and are read when needed. Nothing is unpacked, and pickled members
(``.pyd``, ``.pth``) are never opened.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from open_autoglm.errors import DataError

from .folder import PICTURES
from .pictures import Span
from .settings import DataSettings
from .tables import Row, Table, Unusable, expand

ENDINGS = (".tar", ".tar.gz", ".tgz")
_TEXTS = {".txt": "caption", ".caption": "caption", ".cls": "label"}
_MAX_TEXT = 2**20  # bytes of one text member
_MAX_PACKED = 256 * 2**20  # bytes of one picture in a compressed shard, which has to be held


def read_webdataset(settings: DataSettings) -> Table:
    """Rows ``image``, ``caption`` (a line each), ``label``, and what a ``.json`` member holds."""
    shards = expand(settings, ENDINGS)
    names = ("image", "caption", "label", *(column for column in _named(settings)))
    return Table(tuple(dict.fromkeys(names)), (row for shard in shards for row in _rows(shard)), own=False)


def _named(settings: DataSettings) -> Iterator[str]:
    """Columns that the user names: they must lie in the json members, which are not looked into beforehand."""
    yield from (name for name in (settings.picture, settings.label, settings.group, *settings.captions) if name)


def _rows(shard: Path) -> Iterator[Row]:
    """Rows in the shard's order: members of one key lie together, as webdataset writes them."""
    key, cells, problem = None, dict[str, Any](), ""
    number = 0
    try:
        # "r:" is uncompressed: only there does a member's offset lead back to its bytes.
        with tarfile.open(shard, "r:" if shard.name.endswith(".tar") else "r:gz") as archive:
            for member in archive:
                if member.isdir():
                    continue
                number += 1
                base, ending = _parts(member.name)
                if base != key:
                    if cells or problem:
                        yield _row(shard, key, cells, problem)
                    key, cells, problem = base, {}, ""
                try:
                    _add(cells, archive, member, ending, shard)
                except Unusable as error:
                    problem = problem or str(error)
        if cells or problem:
            yield _row(shard, key, cells, problem)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        if number == 0:
            raise DataError(f"{shard} cannot be read as a tar file ({error}); copy it again.") from error
        raise DataError(f"{shard} is damaged or cut short after {number} members ({error}); copy it again.") from error


def _parts(name: str) -> tuple[str, str]:
    """``a/b.seg.jpg`` is key ``a/b`` and ending ``.seg.jpg``: webdataset splits at the first dot."""
    path = PurePosixPath(name)
    stem, dot, ending = path.name.partition(".")
    return str(path.with_name(stem)) if stem else name, (dot + ending).lower()


def _add(cells: dict[str, Any], archive: tarfile.TarFile, member: tarfile.TarInfo, ending: str, shard: Path) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise Unusable(f"the member {member.name!r} points outside the shard")
    if ending not in (*PICTURES, *_TEXTS, ".json"):
        return
    if not member.isreg() or member.issparse():
        raise Unusable(f"the member {member.name!r} is no plain file")
    if ending in PICTURES:
        plain = shard.name.endswith(".tar")
        cells["image"] = (
            Span(str(shard), member.offset_data, member.size) if plain else _bytes(archive, member, _MAX_PACKED)
        )
        return
    text = _bytes(archive, member, _MAX_TEXT).decode("utf-8-sig", errors="surrogateescape")
    if ending in _TEXTS:
        cells[_TEXTS[ending]] = text.splitlines() if _TEXTS[ending] == "caption" else text.strip()
        return
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"the member {member.name!r} is no JSON") from error
    if isinstance(found, dict):
        cells.update({name: value for name, value in found.items() if name not in cells})


def _bytes(archive: tarfile.TarFile, member: tarfile.TarInfo, most: int) -> bytes:
    if member.size > most:
        raise Unusable(f"the member {member.name!r} has {member.size:,} bytes, more than {most:,}")
    file = archive.extractfile(member)
    if file is None:
        raise Unusable(f"the member {member.name!r} is no plain file")
    return file.read()


def _row(shard: Path, key: str | None, cells: dict[str, Any], problem: str) -> Row:
    return Row(f"{shard.name}, member {key}", cells, None, problem)
