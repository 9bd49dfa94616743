"""The command that groups pictures of an index which are nearly the same: ``index duplicates``.

It knows what it takes; it knows nothing of how pictures are compared, nor of how answers look.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from .arguments import AsJson, IndexPath, Verbose
from .streams import print_json

THRESHOLD = 0.95


def duplicates(
    path: IndexPath,
    threshold: Annotated[
        float, typer.Option(metavar="NUMBER", help="How alike, from over 0.5 to 1: the same, seen from afar.")
    ] = THRESHOLD,
    where: Annotated[
        str | None, typer.Option(metavar="EXPR", help="Only pictures whose facts fit, as in \"folder like '%/2024%'\".")
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Group pictures that are nearly the same, the best of each first: copies made smaller, brighter or saved again.

    Nothing is deleted. The first time, every picture is read once more; after that only new ones are.

    \b
    Examples:
      autoglm index duplicates photos.index
      autoglm index duplicates photos.index --threshold 0.9 --json
    """
    from ..search import Index
    from . import console

    with Index.open(path) as opened, console.progress("Looking") as report:
        found = opened.duplicates(threshold, where=where, progress=lambda now: report(now.done, now.total))
    if as_json:
        print_json({"index": path, "threshold": threshold, **asdict(found)})
    else:
        console.show_duplicates(found, path)
