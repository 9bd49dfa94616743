"""What a tenant's indexes are called, and where they and the pictures that were sent for them lie on disk.

It knows names and paths; it knows nothing of what an index holds.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from ...errors import OpenAutoGLMError, SettingError

DEFAULT_INDEX = "default"
NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
DROPPED = ".dropped-"
_NAME = re.compile(NAME)
_MOST_NAME_BYTES = 200


class IndexUnknown(OpenAutoGLMError):
    """A tenant has no index of that name, whoever else may have one."""


class IndexReadOnly(OpenAutoGLMError):
    """An index that is not written to through the API."""


class IndexTaken(OpenAutoGLMError):
    """An index of that name is there already, of another embedding space."""


@dataclass(frozen=True)
class Place:
    """Where one index lies: the index itself, and beside it the pictures that were sent for it."""

    index: Path
    pictures: Path


def place(root: Path, tenant: str, name: str) -> Place:
    """Where the index of a tenant is, whether or not it is there. SettingError for what is no name."""
    check_name(name)
    folder = tenant_folder(root, tenant)
    return Place(folder / f"{name}.index", folder / f"{name}.pictures")


def tenant_folder(root: Path, tenant: str) -> Path:
    """A folder of the tenant's own. A tenant may be called anything: what is no plain name is hashed.

    Capital letters are hashed too, for file systems that take them for small ones; no plain name begins with "~".
    """
    plain = _NAME.fullmatch(tenant) is not None
    return root / (tenant if plain else f"~{hashlib.sha256(tenant.encode('utf-8', 'surrogatepass')).hexdigest()}")


def check_name(name: str) -> None:
    """Raises SettingError for what cannot be an index's name."""
    if not _NAME.fullmatch(name):
        raise SettingError(
            "An index's name must be 1 to 63 small letters, digits, '-' and '_', and begin with a letter or digit."
        )


def picture_name(given: str, suffix: str) -> str:
    """The file name under which a sent picture is kept: the last part of what it was called, if that is fit."""
    last = given.replace("\\", "/").rpartition("/")[2].strip().lstrip(".")
    fit = "".join(letter for letter in last if letter.isprintable()).strip()
    if not fit or len(fit.encode("utf-8", "replace")) > _MOST_NAME_BYTES:
        return f"picture{suffix}"
    return fit.encode("utf-8", "replace").decode("utf-8")
