"""Reads settings from a TOML file, environment variables and the command line into their frozen dataclasses.

It knows dataclasses, their fields and types; it knows no setting by name.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from ..errors import SettingError

PREFIX = "AUTOGLM_SERVE_"
MASK = "********"
Made = TypeVar("Made")
Tree = dict[str, Any]


def read_settings(
    kind: type[Made],
    file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    given: Mapping[str, Any] | None = None,
) -> Made:
    """The settings of a dataclass ``kind``: its defaults, over them the file, the environment, and what is ``given``.

    ``given`` names settings as the file does, with dots between a table and its key. Raises SettingError, which names
    the key and, for an unknown one, the nearest that is known.
    """
    tree: Tree = {}
    if file is not None:
        _lay_over(tree, _checked(_read_toml(file), kind, str(file)))
    for name, text in environment.items():
        if name.startswith(PREFIX):
            _set(tree, _of_variable(kind, name, text))
    for dotted, value in (given or {}).items():
        _set(tree, (dotted.split("."), value))
    _checked(tree, kind, "the command line")
    try:
        made: Made = TypeAdapter(kind).validate_python(tree)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        shown = MASK if _is_secret(kind, [str(part) for part in first["loc"]]) else repr(first["input"])
        raise SettingError(f"The setting {where} is {shown}: {first['msg'].rstrip('.').lower()}.") from error
    return made


def shown(settings: Any, above: str = "") -> Iterator[str]:
    """Each setting on a line, ``table.key = value``; what is not to be shown (``repr=False``) is masked."""
    for field in fields(settings):
        value, name = getattr(settings, field.name), f"{above}{field.name}"
        if is_dataclass(value):
            yield from shown(value, f"{name}.")
        elif not field.repr:
            yield f"{name} = {MASK if value else json.dumps(value, default=str)}"
        else:
            yield f"{name} = {json.dumps(value, default=str, ensure_ascii=False)}"


def _read_toml(file: Path) -> Tree:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"The settings {file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"The settings {file} are not TOML: {error}.") from error


def _checked(tree: Tree, kind: Any, source: str, above: str = "") -> Tree:
    """The same, if every key is one of the dataclass."""
    inner = _fields(kind)
    for key, value in tree.items():
        if key not in inner:
            raise _unknown(f"{above}{key}", source, [f"{above}{name}" for name in inner])
        if (table := _table(inner[key])) is not None and isinstance(value, dict):
            _checked(value, table, source, f"{above}{key}.")
    return tree


def _of_variable(kind: Any, name: str, text: str) -> tuple[list[str], Any]:
    """The path of keys and the value that a variable stands for."""
    path = name.removeprefix(PREFIX).lower().split("__")
    table: Any = kind
    for depth, key in enumerate(path):
        inner = _fields(table)
        if key not in inner:
            raise _unknown(name, "the environment", [_variable(path[:depth], known) for known in inner])
        table = inner[key]
        if _is_mapping(table) and depth == len(path) - 2:
            return path, text  # what follows is the mapping's own key
        if depth < len(path) - 1:
            table = _table(table)
    return path, _parsed(table, text)


def _parsed(kind: Any, text: str) -> Any:
    """A variable's text as TOML would have held it."""
    if _is_listed(kind) and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    if _is_listed(kind) or _is_mapping(kind) or _table(kind) is not None:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _variable(path: list[str], key: str) -> str:
    return PREFIX + "__".join([*path, key]).upper()


def _unknown(name: str, source: str, known: list[str]) -> SettingError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    hint = f": the nearest is {near[0]}" if near else ""
    return SettingError(f"There is no setting {name} ({source}){hint}.")


def _fields(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields by name; nothing for anything else."""
    if not is_dataclass(kind):
        return {}
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind) if field.init}


def _table(kind: Any) -> Any:
    """The dataclass among the arms of a type, if there is one; a mapping's keys are its own."""
    if _is_mapping(kind):
        return None
    return next((arm for arm in (kind, *get_args(kind)) if is_dataclass(arm)), None)


def _is_listed(kind: Any) -> bool:
    return any(get_origin(arm) in (tuple, list, frozenset) for arm in (kind, *get_args(kind)))


def _is_mapping(kind: Any) -> bool:
    return any(get_origin(arm) in (dict, Mapping) for arm in (kind, *get_args(kind)))


def _is_secret(kind: Any, path: list[str]) -> bool:
    for key in path:
        if not is_dataclass(kind):
            return False
        field = next((one for one in fields(kind) if one.name == key), None)
        if field is None or not field.repr:
            return field is not None
        kind = _table(_fields(kind)[key])
    return False


def _lay_over(below: Tree, above: Tree) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _lay_over(below[key], value)
        else:
            below[key] = value


def _set(tree: Tree, entry: tuple[list[str], Any]) -> None:
    path, value = entry
    *tables, key = path
    for table in tables:
        if not isinstance(tree.get(table), dict):
            tree[table] = {}
        tree = tree[table]
    tree[key] = value
