"""Arguments and options that several commands take, and how a path is read.

It knows their names and help; it knows nothing of any command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BASE = "open-autoglm-base"
HELP = {"help_option_names": ["-h", "--help"]}


def be_verbose(context: typer.Context, wanted: bool) -> bool:
    """Notes that errors are to be shown with their traceback."""
    if wanted:
        context.meta["verbose"] = True
    return wanted


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


def named_index(text: str) -> str:
    """An index's path, or the address of a dataset, which is no path."""
    return text if text.startswith("lance://") else str(named_path(text))


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]
Verbose = Annotated[bool, typer.Option("--verbose", callback=be_verbose, help="Show where an error came from.")]
GivenBundle = Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle's name or directory.")]
BundleName = Annotated[str, typer.Option("--model", metavar="BUNDLE", help="A bundle's name or directory.")]
RecordedBundle = Annotated[
    str | None,
    typer.Option("--model", metavar="BUNDLE", help="The bundle's directory, if it is not where it was."),
]
IndexPath = Annotated[
    Path, typer.Argument(metavar="INDEX", parser=named_path, help="An index made by 'autoglm index'.")
]
SearchedIndex = Annotated[
    str,
    typer.Argument(
        metavar="INDEX",
        parser=named_index,
        help="An index made by 'autoglm index', or lance://DATASET, made by 'autoglm embed --out'.",
    ),
]
