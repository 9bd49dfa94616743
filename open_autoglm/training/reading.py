"""A recipe from YAML and back: unknown keys are refused with the nearest name, wrong types in one sentence.

It knows dataclasses and their type hints; it knows nothing about what a setting means.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml  # type: ignore[import-untyped]

from open_autoglm.errors import SettingError

from .recipe import Recipe

T = TypeVar("T")
NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file, with changes as in ``read_settings``. SettingError says what is wrong and where."""
    return parse_recipe(read_settings(path, changes), str(path))


def read_settings(path: Path, changes: Sequence[str] = ()) -> dict[Any, Any]:
    """What a YAML file says, not yet checked; its name is the file's where it has none.

    ``changes``: ``key.key=value`` each, the value in YAML, over what the file says. SettingError where it cannot be
    read or is no mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"The recipe {path} cannot be read: {reason(error)}.") from error
    except yaml.YAMLError as error:
        raise SettingError(f"The recipe {path} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise SettingError(f"The recipe {path} is empty or no mapping: write settings such as 'model:' in it.")
    for change in changes:
        put(content, change)
    return {"name": path.stem} | content


def parse_recipe(content: Mapping[Any, Any], source: str) -> Recipe:
    """The recipe that a mapping describes; ``source`` is named in messages."""
    try:
        return build(Recipe, content, "")
    except SettingError as error:
        raise SettingError(f"{source}: {error}") from error


def to_plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe in full, of mappings, lists and scalars only."""
    found: dict[str, Any] = plain(asdict(recipe))
    return found


def to_yaml(recipe: Recipe) -> str:
    """The recipe in full, as YAML that reads back as the same."""
    text: str = yaml.safe_dump(to_plain(recipe), sort_keys=False, allow_unicode=True, width=100)
    return text


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Settings of two plain recipes that differ, by their dotted names, with both values."""
    for name in dict.fromkeys([*ours, *theirs]):
        mine, other = ours.get(name), theirs.get(name)
        if isinstance(mine, Mapping) and isinstance(other, Mapping):
            yield from ((f"{name}.{inner}", *values) for inner, *values in differences(mine, other))
        elif mine != other:
            yield name, mine, other


def put(content: dict[Any, Any], change: str) -> None:
    """Sets one ``key.key=value`` in nested mappings."""
    name, equals, value = change.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys):
        raise SettingError(f"--set {change} is no setting: write key=value, as in optimisation.epochs=5.")
    place = content
    for key in keys[:-1]:
        if not isinstance(place.get(key), dict):
            place[key] = {}
        place = place[key]
    try:
        place[keys[-1]] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise SettingError(f"--set {change}: the value is not YAML; put it in quotes.") from error


def build(kind: type[T], content: Any, where: str) -> T:
    """A dataclass from a mapping, whose keys are its fields."""
    if not isinstance(content, Mapping):
        raise SettingError(f"{where} is {shown(content)}: give settings such as {next(iter(names(kind)))}.")
    hints = get_type_hints(kind)
    for key in content:
        if key not in names(kind):
            raise SettingError(unknown(str(key), names(kind), where))
    for field in fields(kind):  # type: ignore[arg-type]
        if field.default is MISSING and field.default_factory is MISSING and field.name not in content:
            raise SettingError(f"{joined(where, field.name)} is missing: give {described(hints[field.name])}.")
    values = {key: convert(value, hints[key], joined(where, key)) for key, value in content.items()}
    try:
        return kind(**values)
    except SettingError as error:
        raise SettingError(f"{where}: {error}" if where else str(error)) from error


def convert(value: Any, hint: Any, where: str) -> Any:
    """``value`` as the type that ``hint`` names; SettingError where it is none."""
    if hint is Any:
        return value
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return convert(value, chosen(value, arguments, where, hint), where)
    if is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, where)
    if origin is Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, list | tuple):
        inner = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(inner) == len(value):
            return tuple(
                convert(one, kind, f"{where}[{n}]") for n, (one, kind) in enumerate(zip(value, inner, strict=True))
            )
    if origin is not None and issubclass_of(origin, Mapping) and isinstance(value, Mapping):
        return {str(key): convert(one, arguments[1], joined(where, str(key))) for key, one in value.items()}
    if hint is float and (number := as_float(value)) is not None:
        return number
    if hint in NAMES and type(value) is hint:
        return value
    raise SettingError(f"{where} is {shown(value)}: give {described(hint)}.")


def chosen(value: Any, arms: tuple[Any, ...], where: str, hint: Any) -> Any:
    """The arm of a union that a value is meant for."""
    for arm in arms:
        origin = get_origin(arm)
        structured = is_dataclass(arm) or (origin is not None and issubclass_of(origin, Mapping))
        if (
            (value is None and arm is type(None))
            or (isinstance(value, Mapping) and structured)
            or (isinstance(value, list | tuple) and origin is tuple)
            or (origin is Literal and value in get_args(arm))
            or (arm in NAMES and type(value) is arm)
            or (arm is float and as_float(value) is not None)
        ):
            return arm
    raise SettingError(f"{where} is {shown(value)}: give {described(hint)}.")


def as_float(value: Any) -> float | None:
    """A number; YAML reads ``1e-3``, without a point, as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def unknown(key: str, known: Sequence[str], where: str) -> str:
    """What to say of a key that does not exist: the nearest name here, or where in a recipe it belongs."""
    message = f"There is no setting {joined(where, key)}"
    near = difflib.get_close_matches(key, known, 1, 0.6)
    elsewhere = [name for name in every_name(Recipe) if name.rsplit(".", 1)[-1] == key]
    if near:
        return f"{message}; did you mean {joined(where, near[0])}?"
    if elsewhere:
        return f"{message}; did you mean {elsewhere[0]}?"
    return f"{message}; there are {', '.join(known)}."


def every_name(kind: Any, where: str = "") -> Iterator[str]:
    """The dotted names of all settings below a dataclass."""
    for name, hint in get_type_hints(kind).items():
        yield joined(where, name)
        for arm in (hint, *get_args(hint)):
            if is_dataclass(arm):
                yield from every_name(arm, joined(where, name))


def described(hint: Any) -> str:
    """A type in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(described(arm) for arm in arguments))
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple:
        return "a list" if arguments[-1] is Ellipsis else f"a list of {len(arguments)}"
    return NAMES.get(hint, "settings")


def names(kind: Any) -> list[str]:
    """The fields of a dataclass."""
    return [field.name for field in fields(kind)]


def joined(where: str, name: str) -> str:
    """A dotted name."""
    return f"{where}.{name}" if where else name


def issubclass_of(kind: Any, parent: type) -> bool:
    """Whether ``kind`` is a class below ``parent``."""
    return isinstance(kind, type) and issubclass(kind, parent)


def shown(value: Any) -> str:
    """A value as YAML has it, cut where it is long."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def plain(value: Any) -> Any:
    """Tuples as lists, mappings as dictionaries."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def reason(error: Exception) -> str:
    """What an error says, without the file's name that the message around it has."""
    text = " ".join((getattr(error, "strerror", None) or str(error)).split())
    return text.rstrip(".") if len(text) <= 200 else f"{text[:200]}…"
