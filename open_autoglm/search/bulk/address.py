"""Where a dataset lies, on disk or in an object store, and what Lance's failures there mean.

It knows addresses and Lance's words; it knows nothing about what a dataset holds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import IndexStoreError, SettingError, needing
from ..records import shown_path

PREFIX = "lance://"
STORE = re.compile(r"[a-z][a-z0-9+]+://.", re.DOTALL)
SETTINGS = ("AWS_",)  # environment variables that Lance opens an object store by
# By itself Lance tries for three minutes: a mistyped address is to be told of sooner.
RETRIES = {"client_max_retries": "2", "client_retry_timeout": "30"}


def dataset_address(given: str | os.PathLike[str]) -> str:
    """An absolute path, or an address such as s3://bucket/name; ``lance://`` before it is left out.

    SettingError where nothing is named.
    """
    text = os.fspath(given).removeprefix(PREFIX)
    if not text:
        raise SettingError("The address of the dataset is empty: name a folder to make, or s3://BUCKET/NAME.")
    return text if STORE.match(text) else os.path.normpath(Path(text).absolute())


def options(address: str) -> dict[str, str] | None:
    """What Lance is to know of the store beside the environment's settings."""
    return dict(RETRIES) if STORE.match(address) else None


def store_settings() -> dict[str, str]:
    """The environment variables that a process elsewhere needs to open the same store."""
    return {name: value for name, value in os.environ.items() if name.startswith(SETTINGS)}


def lance() -> Any:
    """The package. MissingExtra where it is not installed."""
    with needing("A Lance dataset", "cluster"):
        import lance
    return lance


@contextmanager
def said_plainly(address: str) -> Iterator[None]:
    """Turns Lance's failures at an address into IndexStoreError."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise IndexStoreError(sentence(address, error)) from error


def sentence(address: str, error: Exception) -> str:
    """What a failure of Lance means to the user."""
    text, shown = str(error), shown_path(address)
    if "was not found" in text:
        return f"There is no dataset at {shown}: make one with 'autoglm embed SOURCE --out', or check the address."
    reason = " ".join(text.partition("/rustc/")[0].partition(", /home/")[0].split())[:300].rstrip(".")
    if STORE.match(address):
        return (
            f"The dataset {shown} cannot be reached ({reason}): check the bucket, AWS_ENDPOINT and the credentials. "
            "What was stored before is kept."
        )
    return (
        f"The dataset {shown} cannot be read or written ({reason}): check the disk and its permissions. "
        "What was stored before is kept."
    )
