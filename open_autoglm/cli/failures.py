"""How a command fails: one sentence on stderr and an exit code, never a traceback that nobody asked for.

It knows exceptions and exit codes; it knows nothing of any command.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import Abort, TyperException

from ..errors import OpenAutoGLMError
from .streams import open_closed_streams, say

MISTAKE = 2  # the user's: bad input
STOPPED = 130  # by Ctrl+C, as shells say it, and by SIGTERM where that stops alike


class Commands(TyperGroup):
    """A group of commands whose errors end as one sentence on stderr and an exit code, with no traceback.

    A command's name may be two words, of which the first is a command by itself.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first words name; one of two words, as in ``index check``, goes before the shorter."""
        if (name := " ".join(args[:2])) in self.commands:
            return name, self.commands[name], args[2:]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; a mistake ends with exit code 2, Ctrl+C with 130."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (OpenAutoGLMError, OSError) as error:
            if ctx.meta.get("verbose"):
                traceback.print_exception(error)
            for line in [refusal(error)] if isinstance(error, OSError) else listed(error):
                say(line)
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


@contextmanager
def stopped_by_term() -> Iterator[None]:
    """Inside, SIGTERM stops as Ctrl+C does, so that what was begun on the disk is removed."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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


def listed(error: OpenAutoGLMError) -> list[str]:
    """The sentence, and a line for each item of the list that may follow it; a line break in a name makes no line."""
    sentence, *items = str(error).split("\n  ")
    return [sentence, *(f"  {item}" for item in items)]


def refusal(error: OSError) -> str:
    """What the system refused, as a sentence."""
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return f"The system refused to read or write: {reason}."
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    return f"{name} cannot be used: {reason}."


def usage_sentence(error: TyperException) -> str:
    """What was wrong with the arguments, and where they are described."""
    context = getattr(error, "ctx", None)
    message = error.format_message().rstrip(".")
    return f"{message}; see '{context.command_path} --help'." if context else f"{message}."
