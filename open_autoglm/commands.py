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
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import Abort, TyperException

from .errors import OpenAutoGLMError

MISTAKE = 2  # the user's: bad input
STOPPED = 130  # by Ctrl+C, as shells say it
# Control characters, invisible ones that steer the order of letters, lone surrogates, line and paragraph separators.
UNSHOWABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


class Commands(TyperGroup):
    """A group of commands whose errors end as one sentence on stderr and an exit code, with no traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; a mistake ends with exit code 2, Ctrl+C with 130."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (OpenAutoGLMError, OSError) as error:
            if ctx.meta.get("verbose"):
                traceback.print_exception(error)
            say(refusal(error) if isinstance(error, OSError) else str(error))
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
        open_closed_streams()
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except Abort:
            code = STOPPED
        except TyperException as error:
            say(usage_sentence(error))
            code = MISTAKE
        except BrokenPipeError:
            code = 1
        except OSError as error:
            say(refusal(error))
            code = MISTAKE
        sys.exit(flush(code if isinstance(code, int) else 0))


def open_closed_streams() -> None:
    """Lets a closed stdout or stderr swallow what is printed, as Python's own print does."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  (until the end)


def flush(code: int) -> int:
    """Prints what is left for stdout; the exit code, which is another one where that fails."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python flushes stdout once more when it ends: that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if code == 0 and isinstance(error, BrokenPipeError):
            return 1
        if code == 0:
            say(refusal(error))
            return MISTAKE
    return code


def refusal(error: OSError) -> str:
    """What the system refused, as a sentence."""
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return f"The system refused to read or write: {reason}."
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    return f"{name} cannot be used: {reason}."


def named_path(text: str) -> Path:
    """A path that an argument gives; an empty one, which Python takes for the current folder, is refused."""
    if not text:
        raise typer.BadParameter("the path is empty")
    return Path(text)


def named_folder(text: str) -> Path:
    """A folder that an argument gives, and that is there."""
    path = named_path(text)
    if not path.is_dir():
        raise typer.BadParameter(f"there is no folder {text}")
    return path


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
