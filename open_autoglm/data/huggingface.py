"""Reads Hugging Face data sets: saved to disk, or by name from the hub, which is the only thing that downloads.

It knows nothing of what the columns mean; pictures are taken as their bytes, not decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from open_autoglm.errors import DataError, needing

from .settings import DataSettings
from .tables import Row, Table


def read_huggingface(settings: DataSettings) -> Table:
    """Rows of a data set. Raises MissingExtra without ``datasets``, DataError for an unknown name or split."""
    with needing("Reading Hugging Face data sets", "train"):
        import datasets
    if len(settings.paths) > 1:
        raise DataError("A Hugging Face data set is read alone: name one path.")
    name = settings.paths[0]
    saved = Path(name).expanduser()
    try:
        if saved.is_dir():
            found = datasets.load_from_disk(str(saved))
        else:
            found = datasets.load_dataset(name, split=settings.split)
    except Exception as error:  # the hub's client and the builders raise nearly anything
        reason = (str(error) or type(error).__name__).partition("\n")[0][:200].rstrip(".")
        raise DataError(f"The data set {name} cannot be read: {reason}.") from error
    if isinstance(found, dict):
        splits = ", ".join(found)
        if settings.split not in found:
            raise DataError(f"The data set {name} has the splits {splits}: set split to one of them.")
        found = found[settings.split]
    pictures = [name for name, feature in found.features.items() if isinstance(feature, datasets.Image)]
    for column in pictures:
        found = found.cast_column(column, datasets.Image(decode=False))
    local = saved.is_dir()
    root = Path(settings.root).expanduser() if settings.root else saved if local else None
    cache = None if local else Path(datasets.config.HF_CACHE_HOME)
    return Table(tuple(found.column_names), _rows(found, name, root, pictures, cache), own=local)


def _rows(found: Any, name: str, root: Path | None, pictures: list[str], cache: Path | None) -> Iterator[Row]:
    """``cache``: where pictures of a set from the hub may lie; it may name no other file of this machine."""
    classes = {column: feature for column, feature in found.features.items() if hasattr(feature, "int2str")}
    for number, cells in enumerate(found, start=1):
        for column, feature in classes.items():
            if isinstance(value := cells[column], int):
                cells[column] = feature.int2str(value) if value >= 0 else None  # -1 marks a row without its class
        for column in pictures:
            cells[column] = _picture(cells[column], cache)
        yield Row(f"{name}, row {number}", cells, root)


def _picture(cell: Any, cache: Path | None) -> Any:
    """Bytes, or the file that they were left in."""
    if not isinstance(cell, dict) or cell.get("bytes") is not None or not cell.get("path"):
        return (cell or {}).get("bytes")
    path = Path(cell["path"])
    return path if cache is None or path.resolve().is_relative_to(cache.resolve()) else str(path)
