"""The command that keeps an index answering: ``serve``.

It knows what it takes; it knows nothing of the page, nor of requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from .arguments import IndexPath, RecordedBundle, Verbose
from .streams import say

if TYPE_CHECKING:
    from ..cache import PrefixCache
    from ..search import Index


def serve(
    path: IndexPath,
    host: Annotated[str, typer.Option(help="The address to serve on; 0.0.0.0 opens it to the network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to serve on; 0 takes a free one.")] = 8765,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="Where what was computed is found again: off, memory, a folder, or redis://HOST:PORT. "
            "By default in memory and in a folder of yours.",
            show_default=False,
        ),
    ] = None,
    model: RecordedBundle = None,
    verbose: Verbose = False,
) -> None:
    """Serve a page to search an index with, until Ctrl+C.

    \b
    Examples:
      autoglm serve photos.index --open
      autoglm serve photos.index --cache redis://localhost:6379
    """
    from .. import load
    from ..search import Index
    from ..serving import Settings, run

    settings = Settings(host=host, port=port, open_browser=browser)
    with (
        Index.open(path, load(model) if model is not None else None) as opened,
        cached(opened, cache) as remembered,
    ):
        run(opened, settings, remembered)


@contextmanager
def cached(index: Index, where: str | None) -> Iterator[PrefixCache | None]:
    """Meanwhile the index's model remembers, where and as far as that was asked for; in what, if anywhere."""
    from ..cache import CacheSettings, open_cache, remembering

    cache = open_cache(CacheSettings.read(where))
    if cache is None:
        yield None
        return
    with cache:
        for complaint in cache.complaints():
            say(complaint)
        index.use(remembering(index.model, cache))
        yield cache
