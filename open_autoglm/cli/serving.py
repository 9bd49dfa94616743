"""The command that keeps models and indexes answering: ``serve``.

It knows what it takes; it knows nothing of the page, nor of requests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import SettingError
from ..runtime.heap import give_back
from .arguments import Verbose, named_path
from .streams import say


def serve(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[INDEX]", parser=named_path, help="An index made by 'autoglm index'.", show_default=False
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help="The address to serve on, 127.0.0.1 by default; 0.0.0.0 opens it to the network."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The port to serve on, 8765 by default; 0 takes a free one.")
    ] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]BUNDLE",
            help="A model to serve, several times for several; the first is the default one.",
            show_default=False,
        ),
    ] = None,
    indexes: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", parser=named_path, help="Where indexes are kept that clients make.", show_default=False
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that run the models; 0 runs them in this one.")
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=named_path,
            help="The API keys that are let in, a file of 'autoglm key new'.",
            show_default=False,
        ),
    ] = None,
    no_access: Annotated[
        bool, typer.Option("--no-access", help="Let everybody in who reaches the address, on a network too.")
    ] = False,
    rollout: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=named_path,
            help="Let new versions of a model come in step by step, and keep in this file how far they are.",
            show_default=False,
        ),
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="Where what was computed is found again: off, memory, a folder, or redis://HOST:PORT. "
            "By default in memory and in a folder of yours.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", parser=named_path, help="All settings in TOML; options win over it.", show_default=False
        ),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Serve a page to search an index with, and an API over models and indexes, until Ctrl+C.

    \b
    Examples:
      autoglm serve photos.index --open
      autoglm serve --model base=open-autoglm-base --indexes indexes/
      autoglm serve photos.index --settings serve.toml --cache redis://localhost:6379
      autoglm serve photos.index --host 0.0.0.0 --keys keys.jsonl
    """
    from ..serving import Settings, run
    from ..serving.configuration import read_settings, shown
    from ..serving.opening import opened

    given: dict[str, Any] = {"host": host, "port": port, "indexes": indexes, "workers.workers": workers}
    given |= {"access.keys": keys, "access.off": no_access or None, "rollout.file": rollout}
    given |= {"open_browser": browser or None, "models": named_bundles(model) if model else None}
    known = {name: value for name, value in given.items() if value is not None}
    wanted = read_settings(Settings, settings, given=known)
    if verbose:
        for line in shown(wanted):
            say(line)
    give_back()
    with opened(path, wanted, cache, say) as parts:
        run(parts, wanted)


def named_bundles(texts: list[str]) -> dict[str, str]:
    """Bundles by the name that each is served under, its own where none is given."""
    from ..bundle import Bundle

    named: dict[str, str] = {}
    for text in texts:
        name, equals, bundle = text.rpartition("=")
        name = name if equals else Bundle.open(bundle).manifest.name
        if name in named:
            raise SettingError(f"Two models are to be served as {name!r}: give one another name, with --model NAME=...")
        named[name] = bundle
    return named
