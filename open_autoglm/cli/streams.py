"""What a command prints: sentences on stderr, and JSON on stdout that any program can read.

It knows streams and characters; it knows nothing of any command, nor of tables.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from contextlib import suppress
from typing import Any

import typer

# Control characters, invisible ones that steer the order of letters, lone surrogates, line and paragraph separators.
UNSHOWABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def say(sentence: str) -> None:
    """Prints a sentence on stderr; where stderr takes none, the exit code has to do."""
    with suppress(OSError):
        typer.echo(showable(sentence), err=True)


def showable(text: str) -> str:
    """``text`` fit for a terminal: what would move its cursor, or is no character at all, as an escape."""
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in UNSHOWABLE else c for c in text)


def print_json(document: Any) -> None:
    """Prints a JSON document on one line, in UTF-8.

    A file name that is not UTF-8 keeps its bytes as escapes (``\\udc80`` to ``\\udcff``), from which Python's
    ``os.fsencode`` makes the name again.
    """
    text = json.dumps(document, ensure_ascii=False, default=str)
    typer.echo(text.encode("utf-8", "backslashreplace"))


def open_closed_streams() -> None:
    """Lets a closed stdout or stderr swallow what is printed, as Python's own print does."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  (until the end)
