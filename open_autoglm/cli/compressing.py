"""The command that makes a bundle smaller and faster: ``compress``; it needs the extra 'train'.

It knows what the command takes; it knows nothing of how a bundle is made smaller, nor of how answers look.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .arguments import AsJson, GivenBundle, Verbose, named_folder, named_path
from .failures import stopped_by_term
from .streams import print_json, say


def compress(
    bundle: GivenBundle,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", parser=named_path, help="The bundle to write.")],
    pictures: Annotated[
        Path,
        typer.Option(
            "--pictures",
            metavar="DIR",
            parser=named_folder,
            help="Pictures like those of its use, some dozens or more.",
        ),
    ],
    sentences: Annotated[
        Path | None,
        typer.Option("--sentences", metavar="FILE", help="Queries or questions like those of its use, one a line."),
    ] = None,
    max_loss: Annotated[
        float, typer.Option("--max-loss", help="1 - mean cosine to the full model, or the share of answers changed.")
    ] = 0.02,
    target: Annotated[
        str | None, typer.Option("--target", help="int8, size=30MB or latency=5ms; by default the fastest.")
    ] = None,
    prune: Annotated[
        list[float] | None,
        typer.Option("--prune", metavar="SHARE", help="Try pruning, too: 0.3 takes 30 % away. May be given again."),
    ] = None,
    steps: Annotated[
        int, typer.Option("--steps", min=0, help="How long a pruned model learns from the full one.")
    ] = 300,
    keep_float: Annotated[bool, typer.Option("--keep-float", help="Leave float graphs in beside int8 ones.")] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make a bundle smaller and faster, and lose no more than you allow; needs the extra 'train'.

    int8, pruned and both are made and measured on every fourth of your pictures, and where some are pruned of your
    sentences, which nothing is fitted on.

    \b
    Examples:
      autoglm compress open-autoglm-base --pictures photos/ --to small --max-loss 0.01
      autoglm compress open-autoglm-base --pictures photos/ --to tiny --target size=20MB --prune 0.3 --prune 0.5
    """
    from ..errors import needing
    from . import console

    with needing("autoglm compress", "train"):
        from ..compression.checking import checks_of, read_sentences
        from ..compression.compress import compress as make
        from ..compression.wish import Wish
    from ..bundle import Bundle
    from ..search.scan import scan

    wish, source = Wish.read(max_loss, target), Bundle.open(bundle)
    pruner = None
    if prune:
        with needing("autoglm compress --prune", "train"):
            from ..compression.pruned_bundle import PrunedBundles
            from ..compression.pruning.shares import checked_share
        for share in prune:
            checked_share(share)
        pruner = PrunedBundles(steps)
    asked = read_sentences(sentences) if sentences else []
    paths = [found.path for found in scan(pictures).files]
    checks, said = checks_of(source, paths, asked, pruning=bool(prune))
    for sentence in said:
        say(sentence)
    with stopped_by_term():
        made = make(source, to, checks, wish, shares=prune or (), prune=pruner, keep_float=keep_float, report=say)
    if as_json:
        rows = [{**asdict(row), "loss": row.loss, "chosen": row == made.chosen} for row in made.rows]
        print_json({"bundle": made.path, "rows": rows, "notes": made.notes})
        return
    console.show_compressed(made.rows, made.chosen)
    for note in made.notes:
        say(note)
    say(f"Wrote the bundle {made.path}.")
