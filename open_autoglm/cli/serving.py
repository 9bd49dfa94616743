"""The command that keeps an index answering: ``serve``.

It knows what it takes; it knows nothing of the page, nor of requests.
"""

from __future__ import annotations

from typing import Annotated

import typer

from .arguments import IndexPath, RecordedBundle, Verbose


def serve(
    path: IndexPath,
    host: Annotated[str, typer.Option(help="The address to serve on; 0.0.0.0 opens it to the network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to serve on; 0 takes a free one.")] = 8765,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    model: RecordedBundle = None,
    verbose: Verbose = False,
) -> None:
    """Serve a page to search an index with, until Ctrl+C.

    \b
    Example:
      autoglm serve photos.index --open
    """
    from .. import load
    from ..search import Index
    from ..serving import Settings, run

    settings = Settings(host=host, port=port, open_browser=browser)
    with Index.open(path, load(model) if model is not None else None) as opened:
        run(opened, settings)
