"""What all commands share: a sentence and an exit code for what goes wrong, and JSON any program can read.

It knows streams and exit codes; it knows nothing of any command.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import unicodedata
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import Abort, TyperException

from .errors import OpenAutoGLMError

MISTAKE = 2  # the user's: bad input
STOPPED = 130  # by Ctrl+C, as shells say it
UNSHOWABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, lone surrogates, line and paragraph separators


class Commands(TyperGroup):
    """A group of commands whose errors end as one sentence on stderr and an exit code, with no traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; a mistake ends with exit code 2, Ctrl+C with 130."""
        try:
            return super().invoke(ctx)
        except OpenAutoGLMError as error:
            if ctx.meta.get("verbose"):
                traceback.print_exception(error)
            say(str(error))
            raise typer.Exit(MISTAKE) from error
        except KeyboardInterrupt:
            say("Stopped.")
            raise typer.Exit(STOPPED) from None

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Reads the arguments and runs; senseless arguments end with exit code 2, a closed pipe with 1."""
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
            sys.stdout.flush()
        except Abort:
            code = STOPPED
        except TyperException as error:
            say(usage_sentence(error))
            code = MISTAKE
        except BrokenPipeError:
            # Python flushes stdout once more when it ends: that must not meet the closed pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        sys.exit(code if isinstance(code, int) else 0)


def usage_sentence(error: TyperException) -> str:
    """What was wrong with the arguments, and where they are described."""
    context = getattr(error, "ctx", None)
    message = error.format_message().rstrip(".")
    return f"{message}; see '{context.command_path} --help'." if context else f"{message}."


def be_verbose(context: typer.Context, wanted: bool) -> bool:
    """Notes that errors are to be shown with their traceback."""
    if wanted:
        context.meta["verbose"] = True
    return wanted


def say(sentence: str) -> None:
    """Prints a sentence on stderr."""
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
