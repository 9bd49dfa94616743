"""Checkpoints on disk: written whole or not at all, the last few kept, those of another recipe refused.

It knows folders; it knows nothing about what lies in a checkpoint besides its identity.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from open_autoglm.errors import TrainingError

from .reading import differences, reason, shown

PREFIX = "checkpoint-"
IDENTITY = "identity.json"
FREE = ("name", "output", "data.workers")  # settings that may change within a training
DATA = ("train", "validation")


@dataclass(frozen=True)
class Identity:
    """What a checkpoint belongs to: the ``recipe`` in full, and the ``data``'s fingerprints by split."""

    recipe: Mapping[str, Any]
    data: Mapping[str, str]

    def write(self, folder: Path) -> None:
        """Puts it into a checkpoint."""
        document = {"recipe": self.recipe, "data": self.data}
        (folder / IDENTITY).write_text(json.dumps(document, indent=1), encoding="utf-8")

    def refuse_other(self, folder: Path) -> None:
        """Raises TrainingError for a checkpoint of another recipe or other data, or one that cannot be read."""
        try:
            found = json.loads((folder / IDENTITY).read_text(encoding="utf-8"))
            recipe, data = dict(found["recipe"]), dict(found["data"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(
                f"{folder} is no whole checkpoint ({reason(error)}): remove it, and resume again."
            ) from error
        theirs = json.loads(json.dumps(self.recipe))
        for name, before, now in differences(recipe, theirs):
            if not any(name == free or name.startswith(f"{free}.") for free in FREE):
                raise TrainingError(
                    f"{folder} was made with {name} {shown(before)}, and the recipe has {shown(now)}: resume with the "
                    f"recipe in {folder.parent.parent / 'recipe.yaml'}, or train under another name."
                )
        for split in DATA:
            if data.get(split) != self.data.get(split):
                raise TrainingError(
                    f"{folder} was made with other {split} pictures or captions than the recipe names now: put the "
                    "data back as it was, or train under another name."
                )


def checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints, the oldest first."""
    found = [path for path in folder.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdigit()]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step after which it was written."""
    return int(checkpoint.name.removeprefix(PREFIX))


@contextmanager
def whole(target: Path, first: bool = True) -> Iterator[Path]:
    """A folder to write into, which becomes ``target`` when all of it is on disk; otherwise it goes.

    Of several processes the ``first`` alone moves it, after all have left. TrainingError where it cannot be written.
    """
    part = target.parent / f".{target.name}.part"
    try:
        if first:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
        meet()
        yield part
        meet()
        if first:
            settle(part)
            shutil.rmtree(target, ignore_errors=True)
            part.rename(target)
            sync(target.parent)
        meet()
    except TrainingError:
        raise
    except Exception as error:
        shutil.rmtree(part, ignore_errors=True)
        kept = checkpoints(target.parent)
        advice = f"{kept[-1].name} is whole: " if kept else ""
        raise TrainingError(
            f"{target} cannot be written ({reason(error)}); {advice}make room, then go on with --resume."
        ) from error


def write_whole(target: Path, write: Any) -> None:
    """One file, written by ``write(path)``, that replaces ``target`` when all of it is on disk."""
    part = target.with_name(f".{target.name}.part")
    try:
        write(part)
        sync(part)
        part.replace(target)
    except Exception as error:
        part.unlink(missing_ok=True)
        raise TrainingError(
            f"{target} cannot be written ({reason(error)}): make room, then go on with --resume."
        ) from error


def rotate(folder: Path, keep: int) -> None:
    """Removes all but the last ``keep`` checkpoints."""
    for old in checkpoints(folder)[:-keep]:
        # Renamed first: a kill in the middle leaves no half checkpoint under its name.
        gone = old.with_name(f".{old.name}.part")
        shutil.rmtree(gone, ignore_errors=True)
        old.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def settle(folder: Path) -> None:
    """Sees all files of a folder onto the disk."""
    for path in (*(path for path in folder.rglob("*") if path.is_file()), folder):
        sync(path)


def sync(path: Path) -> None:
    """Sees one file or folder onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def meet() -> None:
    """Waits for all processes, where there are several."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.barrier()
