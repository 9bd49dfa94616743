"""Commands that ask about what is in one picture: ``ask``.

It knows what they take; it knows nothing of how answers come about, nor of how they look.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .arguments import BASE, AsJson, BundleName, Verbose, named_path
from .streams import print_json, say


def ask(
    picture: Annotated[Path, typer.Argument(metavar="PHOTO", exists=True, dir_okay=False, help="A picture.")],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What you want to know, in plain English.")],
    choices: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Answer with one of these, separated by commas.")
    ] = None,
    show: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", parser=named_path, help="Draw where it was seen: a .png or .jpg, heat map and boxes."
        ),
    ] = None,
    model: BundleName = BASE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Answer a question about a picture, and say where in it the answer was seen.

    The base model tells what is there, what it is, and where; of everything else it says that it can't tell.

    \b
    Examples:
      autoglm ask photo.jpg "is there a dog?"
      autoglm ask photo.jpg "where is the bicycle?" --show where.png
      autoglm ask photo.jpg "what is this?" --choices "apple,pear"
    """
    from .. import load
    from . import console
    from .drawing import check_drawing, draw

    if show:
        check_drawing(show)
    given = None if choices is None else [choice.strip() for choice in choices.split(",") if choice.strip()]
    opened = load(model)
    answer = opened.ask(picture, question, given)
    if show:
        draw(picture, answer.regions, show, opened.limits)
    if as_json:
        regions: list[dict[str, Any]] = [
            {"box": [round(side, 1) for side in box], "score": round(score, 4)}
            for box, score in zip(answer.regions.boxes.tolist(), answer.regions.scores.tolist(), strict=True)
        ]
        print_json(
            {
                "picture": picture,
                "question": question,
                "answer": answer.text,
                "confidence": round(answer.confidence, 4),
                "reason": answer.reason,
                "regions": regions,
            }
        )
        return
    console.show_answer(answer)
    if show:
        say(f"Drew {len(answer.regions.boxes)} boxes on {show}.")
