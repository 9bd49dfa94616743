"""Commands that ask a model about pictures and sentences, without an index: ``embed`` and ``classify``.

It knows what they take; it knows nothing of how vectors are made, nor of how answers look.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import BASE, AsJson, BundleName, Verbose, named_path
from .streams import print_json, say


def embed(
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE...", help="Pictures.")] = None,
    text: Annotated[list[str] | None, typer.Option("--text", help="A sentence; may be given several times.")] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", parser=named_path, help="Write here: .npy for one float32 array, .jsonl for JSON lines."
        ),
    ] = None,
    model: BundleName = BASE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Turn pictures and sentences into vectors of unit length.

    Pictures come first, then sentences, each in the order given. What cannot be used is named on stderr; it
    has no line of JSON, and a row of NaN in an .npy array. Without --to, JSON lines are printed.

    \b
    Examples:
      autoglm embed photo.jpg other.jpg --to vectors.npy
      autoglm embed --text "a red apple"
    """
    from .. import load
    from . import console
    from .vectors import check_format, embed_all, write_vectors

    if to:
        check_format(to)
    with console.progress("Embedding") as report:
        embedded = embed_all(load(model), files or [], text or [], report)
    console.warn_skipped(embedded.skipped.values())
    if to:
        write_vectors(embedded, to)
    if as_json:
        print_json(embedded.describe() | ({"to": to} if to else {"vectors": list(embedded.lines())}))
    elif to:
        say(f"Wrote {embedded.used} vectors of {embedded.dimension} numbers to {to}.")
    else:
        for line in embedded.lines():
            print_json(line)


def classify(
    picture: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A picture.")],
    label: Annotated[list[str], typer.Option("--label", help="What it may show; give it several times.")],
    model: BundleName = BASE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Say which of several labels fits a picture, or that none does.

    \b
    Example:
      autoglm classify photo.jpg --label cat --label dog
    """
    from .. import load
    from . import console

    probabilities = load(model).classify(picture, label)
    if as_json:
        print_json({"picture": picture, "probabilities": probabilities})
    else:
        console.show_probabilities(probabilities)
