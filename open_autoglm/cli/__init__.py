"""The command line, ``autoglm``: which commands there are, in the order of ``--help``, and how it starts.

A command is one function in a file named after the user's job; it calls the package and shows the answer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Annotated

import typer

from .. import __version__
from . import bundles, keys, rollout
from .arguments import HELP, Verbose
from .asking import ask
from .checking import check
from .compressing import compress
from .describing import describe
from .duplicates import duplicates
from .failures import Commands
from .model import classify, embed
from .searching import index, search
from .serving import serve
from .streams import say
from .training import evaluate, train
from .tuning import tune

COMMANDS: dict[str, Callable[..., None]] = {
    "index": index,
    "index check": check,
    "index duplicates": duplicates,
    "search": search,
    "ask": ask,
    "describe": describe,
    "embed": embed,
    "classify": classify,
    "evaluate": evaluate,
    "serve": serve,
    "tune": tune,
    "import": bundles.import_bundle,
    "train": train,
    "compress": compress,
}

app = typer.Typer(cls=Commands, add_completion=False, pretty_exceptions_enable=False, context_settings=HELP)
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(bundles.group, name="bundle")
app.add_typer(keys.group, name="key")
app.add_typer(rollout.group, name="rollout")


def print_version(wanted: bool) -> None:
    """Prints the version and ends the program, where it was asked for."""
    if wanted:
        typer.echo(f"autoglm {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def autoglm(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Find pictures by describing them, and ask about them, with one small model on this machine.

    \b
    Examples:
      autoglm index photos/ --to photos.index
      autoglm search photos.index "a red apple"
      autoglm ask photo.jpg "is there a dog?"
      autoglm serve photos.index --open
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def warned(message: Warning | str, *where: object, **more: object) -> None:
    """Says a warning as a sentence: where in the code it arose is of no use to who types a command."""
    say(str(message))


def main() -> None:
    """Runs the command line; what ``autoglm`` and ``python -m open_autoglm`` start."""
    warnings.showwarning = warned
    app(prog_name="autoglm")
