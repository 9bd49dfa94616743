"""Commands to find pictures: ``index`` and ``search``.

It knows what they take; it knows nothing of how pictures are found, nor of how answers look.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import MissingExtra, SettingError
from ..runtime.heap import give_back
from .arguments import BASE, AsJson, RecordedBundle, SearchedIndex, Verbose, named_folder, named_path
from .streams import print_json, say

if TYPE_CHECKING:
    from ..search import Index


def index(
    to: Annotated[
        Path,
        typer.Option("--to", metavar="INDEX", parser=named_path, help="The index to make, or to bring up to date."),
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", parser=named_folder, help="A folder of pictures, with its subfolders."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="DATASET", help="Instead of DIR: what 'autoglm embed --out' made, computed nothing again."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE",
            help=f"A bundle's name or directory; {BASE}, or the one the index was made with.",
        ),
    ] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            exists=True,
            dir_okay=False,
            help="A CSV table: its column 'path' names pictures within DIR, the others are facts for --where.",
        ),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Also remove the pictures of a folder that has none any more.")
    ] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make a folder of pictures searchable, or bring its index up to date.

    Pictures that have not changed are not read again; stopped in the middle, it goes on where it was.

    \b
    Examples:
      autoglm index photos/ --to photos.index
      autoglm index products/ --to products.index --metadata products.csv
      autoglm index --from photos.lance --to photos.index
    """
    from . import console
    from .metadata import read_metadata

    if (folder is None) == (dataset is None):
        raise SettingError("Give either a folder of pictures or a dataset with --from.")
    if dataset is not None:
        if model is not None or metadata is not None or prune:
            raise SettingError("--from takes all from the dataset: leave out --model, --metadata and --prune.")
        index_dataset(dataset, to, as_json)
        return
    facts = read_metadata(metadata) if metadata else None
    give_back()
    with open_or_create(to, model) as opened:
        with console.progress("Indexing") as report:
            result = opened.add(
                folder or "", metadata=facts, progress=lambda now: report(now.done, now.total), prune=prune
            )
        make_graph(opened)
        if as_json:
            print_json({"index": to, "pictures": len(opened), **asdict(result)})
        else:
            console.show_indexed(result, to, len(opened), model)


def search(
    path: SearchedIndex,
    words: Annotated[str | None, typer.Argument(metavar="WORDS", help="What the picture shows.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="The most pictures to show.")] = 10,
    where: Annotated[
        str | None, typer.Option(metavar="EXPR", help='Only pictures whose facts fit, as in "price < 20".')
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, help="Find pictures like this file."),
    ] = None,
    like: Annotated[int | None, typer.Option(metavar="ID", help="Find pictures like this one of the index.")] = None,
    rerank: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Look twice at the N best: their files are read again, by a model that matches."
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT[:WEIGHT]", help="What it shows too; may be given several times; weight 1 if not said."
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT[:WEIGHT]", help="What it does not show; may be given several times; the weight is 1."
        ),
    ] = None,
    written: Annotated[
        bool, typer.Option("--written", help="Also go by words in file and folder names and in texts of --metadata.")
    ] = False,
    effort: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="How much of a large index's graph to look at; more finds more, slower."),
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show the closest pictures, however poor.")] = False,
    model: RecordedBundle = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Find pictures of an index: by words, by a picture, by both, or like one it has.

    Pictures that do not match are left out, so there may be fewer than -k, or none.

    \b
    Examples:
      autoglm search photos.index "a red apple"
      autoglm search photos.index "a dress" --where "price < 20" -k 5
      autoglm search photos.index --image apple.jpg
      autoglm search photos.index "the same in red" --image dress.jpg
      autoglm search photos.index "a red dress" --without "long sleeves" --also "a belt:0.5"
      autoglm search shop.index "oat milk" --written
      autoglm search shop.index "Milk with 1.5% fat" --rerank 50
      autoglm search lance://photos.lance "a red apple"
    """
    from .. import load
    from ..search import Index
    from . import console

    with Index.open(path, load(model) if model is not None else None, effort=effort) as opened:
        hits = opened.search(
            weighed(words, also or [], without or []),
            image=image,
            like=like,
            k=k,
            where=where,
            cut=not show_all,
            rerank=rerank or 0,
            written=written,
        )
    if as_json:
        print_json({"index": path, "hits": [asdict(hit) for hit in hits]})
    else:
        console.show_hits(hits, path, words or (f"picture {like}" if image is None else str(image)), not show_all)


def weighed(words: str | None, also: Sequence[str], without: Sequence[str]) -> str | dict[str, float] | None:
    """The texts of a search with their weights; the words alone where there is nothing else."""
    if not also and not without:
        return words
    texts = {} if words is None else {words: 1.0}
    for sign, several in ((1.0, also), (-1.0, without)):
        for one in several:
            text, weight = split_weight(one)
            if text in texts:
                raise typer.BadParameter(f"the text {text!r} is given twice")
            texts[text] = sign * weight
    return texts


def split_weight(given: str) -> tuple[str, float]:
    """A text and its weight: what follows the last colon, if that is a number above 0, or 1."""
    text, colon, end = given.rpartition(":")
    if colon and re.fullmatch(r"[0-9]*\.?[0-9]+", end.strip()):
        return text.strip(), float(end)
    return given, 1.0


def make_graph(opened: Index) -> None:
    """Makes the graph of a large index; without the package that it needs, searches are right and slower."""
    from . import console

    try:
        with console.progress("Making the graph") as report:
            opened.optimize(report)
    except MissingExtra as error:
        say(f"{error} Until then every search compares all pictures.")


def open_or_create(path: Path, model: str | None) -> Index:
    """The index at ``path``; a new one where there is nothing yet, or an empty folder."""
    from .. import load
    from ..search import Index

    if path.is_dir() and any(path.iterdir()):
        return Index.open(path, load(model) if model is not None else None)
    return Index.create(path, load(BASE if model is None else model), exist_ok=True)


def index_dataset(dataset: str, to: Path, as_json: bool) -> None:
    """Fills the index at ``to`` from a dataset, and says so."""
    from ..search import Index
    from ..search.bulk import fill
    from . import console

    with console.progress("Indexing") as report:
        result = fill(to, dataset, report)
    with Index.open(to) as opened:
        make_graph(opened)
        pictures = len(opened)
    if as_json:
        print_json({"index": to, "pictures": pictures, **asdict(result)})
    else:
        console.show_indexed(result, to, pictures, None)
