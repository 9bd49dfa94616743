"""What was chosen for a bundle on this machine: kept in the user's cache folder, never in the bundle.

It knows how a choice is named, written and read; it knows nothing about how it was found.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from open_autoglm.bundle import Bundle
from open_autoglm.errors import SettingError
from open_autoglm.fields import table, text, whole

from .engine import available_cores
from .engines import ENGINES

DIGITS = 16  # of a hash, in a file's name


@dataclass(frozen=True)
class Machine:
    """What a choice depends on besides the bundle: processor, cores this process may use, versions of the engines."""

    processor: str
    cores: int
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Choice:
    """What a graph runs with."""

    engine: str
    precision: str
    threads: int


@dataclass(frozen=True)
class Tuned:
    """The choices by task (``image``, ``text``, ...), and how many pictures are embedded at once."""

    tasks: Mapping[str, Choice]
    batch_size: int


def this_machine() -> Machine:
    """The machine this runs on."""
    return Machine(processor(), available_cores(), {name: found for name in ENGINES if (found := installed(name))})


def read_tuned(bundle: Bundle) -> Tuned | None:
    """The choice made for this bundle on this machine; None where there is none, or it cannot be read."""
    folder = cache_folder()
    # Asked first, because a machine's description costs more than a folder without files does.
    if folder is None or not any(folder.glob(f"{bundle_key(bundle)}-*.json")):
        return None
    try:
        return parse(json.loads(place(folder, bundle, this_machine()).read_text(encoding="utf-8")), bundle)
    except (OSError, ValueError):
        return None


def store_tuned(bundle: Bundle, tuned: Tuned) -> Path:
    """Keeps a choice for this machine; SettingError where the cache folder cannot be written."""
    folder, machine = cache_folder(), this_machine()
    if folder is None:
        raise SettingError("There is no home folder to keep the choice in: set XDG_CACHE_HOME to a folder.")
    target = place(folder, bundle, machine)
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    content = {"bundle": bundle.manifest.name, "machine": asdict(machine), **asdict(tuned)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        fresh.replace(target)
    except OSError as error:
        raise SettingError(
            f"{folder} cannot be written ({error.strerror}): set XDG_CACHE_HOME to a folder that can."
        ) from error
    return target


def forget_tuned(bundle: Bundle) -> int:
    """Removes what was chosen for a bundle on any machine; how many choices that were."""
    folder = cache_folder()
    found = list(folder.glob(f"{bundle_key(bundle)}-*.json")) if folder else []
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def parse(content: Any, bundle: Bundle) -> Tuned:
    """A choice from its JSON; ValueError for one that does not fit the bundle."""
    fields = table({"content": content}, "content")
    tasks = table(fields, "tasks")
    choices = {
        task: Choice(text(one, "engine"), text(one, "precision"), whole(one, "threads"))
        for task in tasks
        for one in [table(tasks, task)]
    }
    for task, choice in choices.items():
        if choice.engine not in ENGINES or choice.precision not in bundle.manifest.graphs.get(task, {}):
            raise ValueError(f"there is no {choice.precision} graph of {task} for {choice.engine}")
    return Tuned(choices, whole(fields, "batch_size"))


def cache_folder() -> Path | None:
    """Where choices are kept; None for a user without a home."""
    given = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        return (Path(given) if given else Path.home() / ".cache") / "open-autoglm" / "tuned"
    except RuntimeError:
        return None


def place(folder: Path, bundle: Bundle, machine: Machine) -> Path:
    """The file of a bundle's choice on a machine."""
    return folder / f"{bundle_key(bundle)}-{digest(asdict(machine))}.json"


def bundle_key(bundle: Bundle) -> str:
    """What identifies a bundle's graphs and weights, wherever it lies and whatever else its manifest says."""
    return digest([bundle.manifest.space, *sorted(str(facts["sha256"]) for facts in bundle.manifest.files.values())])


def digest(value: object) -> str:
    """A short name for a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:DIGITS]


def processor() -> str:
    """The processor's model name."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def installed(package: str) -> str | None:
    """The version of an engine's package, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
