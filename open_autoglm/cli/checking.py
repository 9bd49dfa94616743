"""The command that looks after an index: ``index check``.

It knows what it takes; it knows nothing of how an index is searched, nor of how answers look.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from .arguments import AsJson, IndexPath, Verbose
from .streams import print_json


def check(
    path: IndexPath,
    queries: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many of its pictures the graph is asked for.")
    ] = 100,
    floor: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="From now on, make the graph again where it finds less than this; 0.95 otherwise."
        ),
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the graph again now.")] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Check whether an index finds what it should: its graph is asked, and all pictures are compared.

    A damaged graph is named, and made again from the index with --rebuild; the pictures are never at risk.

    \b
    Examples:
      autoglm index check photos.index
      autoglm index check photos.index --rebuild
    """
    from ..search import Index
    from . import console

    with Index.open(path) as opened:
        if floor is not None:
            opened.set_recall_floor(floor)
        if rebuild:
            with console.progress("Making the graph") as report:
                opened.optimize(report, again=True)
        found = opened.check(queries)
    if as_json:
        print_json({"index": path, **asdict(found)})
    else:
        console.show_health(found, path)
