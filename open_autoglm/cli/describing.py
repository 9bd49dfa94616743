"""Commands that write about pictures: ``describe``.

It knows what they take; it knows nothing of how a text comes about, nor of how it looks.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .arguments import BASE, AsJson, BundleName, Verbose
from .streams import print_json

if TYPE_CHECKING:
    from ..runtime.describing import Description


def describe(
    pictures: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Pictures.")],
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the text begins with, or the question it answers.")
    ] = None,
    most: Annotated[int | None, typer.Option(metavar="TOKENS", help="Write at most so many tokens.")] = None,
    beams: Annotated[int, typer.Option(help="Follow so many texts side by side and keep the best.")] = 1,
    sample: Annotated[bool, typer.Option("--sample", help="Draw each token by its probability.")] = False,
    temperature: Annotated[float, typer.Option(help="Below 1 draws likely tokens more often.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Draw among so many of the likeliest; 0: all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw among the likeliest that together have this share.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Draw alike each time.")] = None,
    no_repeat: Annotated[int, typer.Option(metavar="TOKENS", help="No sequence of so many tokens comes twice.")] = 0,
    model: BundleName = BASE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Describe pictures in words, with a model that was trained to.

    A picture that cannot be used is named on stderr and passed over.

    \b
    Examples:
      autoglm describe photo.jpg --model runs/grocery-describe/bundle
      autoglm describe photo.jpg --prompt "yellow" --beams 4 --model runs/grocery-describe/bundle
    """
    from .. import load
    from ..errors import ImageError
    from ..runtime.generation_settings import GenerationSettings
    from . import console

    settings = GenerationSettings(
        max_new_tokens=most,
        num_beams=beams,
        do_sample=sample,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        no_repeat_ngram_size=no_repeat,
    )
    opened = load(model)
    found: list[tuple[Path, Description]] = []
    skipped = list[ImageError]()
    for picture in pictures:
        try:
            found.append((picture, opened.describe(picture, prompt, settings)))
        except ImageError as error:
            skipped.append(error)
    if not found:
        raise skipped[0]
    console.warn_skipped([str(error) for error in skipped])
    if as_json:
        print_json({"prompt": prompt, "pictures": [{"picture": picture, **asdict(text)} for picture, text in found]})
        return
    console.show_descriptions(found)
