"""Commands about a model's directory: ``bundle show``, ``bundle verify``, and ``import``, which makes one.

It knows what they take; it knows nothing of what a bundle holds, nor of how answers look.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import HELP, AsJson, GivenBundle, Verbose, named_path
from .failures import MISTAKE
from .streams import print_json, say

group = typer.Typer(
    help="Look at a bundle, the directory of a model.\n\n\b\nExample:\n  autoglm bundle show BUNDLE",
    context_settings=HELP,
)


@group.command()
def show(bundle: GivenBundle, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Show what a bundle holds, how well it does, and where it comes from.

    \b
    Example:
      autoglm bundle show open-autoglm-base
    """
    from ..bundle import Bundle
    from . import console

    described = Bundle.open(bundle).describe()
    if as_json:
        print_json(described)
    else:
        console.show_bundle(described)


@group.command()
def verify(bundle: GivenBundle, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Check every file of a bundle against its checksum; exit code 2 where one differs.

    \b
    Example:
      autoglm bundle verify open-autoglm-base
    """
    from ..bundle import Bundle
    from . import console

    opened = Bundle.open(bundle)
    problems = opened.verify()
    if as_json:
        print_json({"path": opened.path, "sound": not problems, "problems": problems})
    else:
        console.show_problems(str(opened.path), problems)
    if problems:
        raise typer.Exit(MISTAKE)


def import_bundle(
    source: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A CLIP, SigLIP or ViT+BERT checkpoint: its directory or hub id."),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", parser=named_path, help="The bundle to write.")],
    name: Annotated[str | None, typer.Option(help="The bundle's name; the checkpoint's own otherwise.")] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Turn a Hugging Face checkpoint into a bundle; needs the extra 'train'.

    A hub id is downloaded; a directory is not looked for elsewhere.

    \b
    Example:
      autoglm import openai/clip-vit-base-patch32 --to clip-b32
    """
    from ..errors import needing

    with needing("autoglm import", "train"):
        from ..compression.importing import import_checkpoint
    written = import_checkpoint(source, to, name)
    if as_json:
        print_json({"bundle": written})
    else:
        say(f"Wrote the bundle {written}. Next: autoglm index DIR --to INDEX --model {written}")
