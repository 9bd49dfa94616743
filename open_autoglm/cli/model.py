"""Commands that ask a model about pictures and sentences, without an index: ``embed`` and ``classify``.

It knows what they take; it knows nothing of how vectors are made, nor of how answers look.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SettingError
from ..runtime.heap import give_back
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
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET",
            help="Many pictures, of a folder, Parquet table or tar shards, go into this Lance dataset: "
            "a path, or s3://BUCKET/NAME.",
        ),
    ] = None,
    column: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --out: a table's column of pictures, or of their paths.")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="With --out: the Ray cluster that does the work, HOST:PORT, or 'local' for one here.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="With --cluster: processes of one thread; one for each core."),
    ] = None,
    part_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="With --out: pictures stored together, which a kill costs at most; 512."),
    ] = None,
    model: BundleName = BASE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Turn pictures and sentences into vectors of unit length.

    Pictures come first, then sentences, each in the order given. What cannot be used is named on stderr; it
    has no line of JSON, and a row of NaN in an .npy array. Without --to, JSON lines are printed.

    With --out, pictures by the million go into a Lance dataset, here or on a Ray cluster; stopped or killed,
    the same command goes on where it was.

    \b
    Examples:
      autoglm embed photo.jpg other.jpg --to vectors.npy
      autoglm embed --text "a red apple"
      autoglm embed photos/ --out photos.lance
      autoglm embed shards/*.tar --out s3://pictures/photos.lance --cluster 10.0.0.5:6379
    """
    from .. import load
    from . import console
    from .vectors import check_format, embed_all, write_vectors

    if out is not None:
        if text or to:
            raise SettingError("--out is for pictures by the million: leave out --text and --to.")
        if workers is not None and cluster is None:
            raise SettingError("--workers is for a cluster: name one with --cluster.")
        embed_in_bulk(files or [], out, model, Bulk(column, cluster, workers, part_size), as_json)
        return
    if (column, cluster, workers, part_size) != (None,) * 4:
        raise SettingError("--column, --cluster, --workers and --part-size go with --out.")
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


@dataclass(frozen=True)
class Bulk:
    """How bulk work is done, where it is not as usual."""

    column: str | None
    cluster: str | None
    workers: int | None
    part_size: int | None


def embed_in_bulk(sources: list[Path], out: str, name: str, bulk: Bulk, as_json: bool) -> None:
    """Fills the dataset at ``out``, and says what is in there."""
    from .. import load
    from ..search.bulk import OnRay, embed
    from ..search.bulk.embedding import PART_SIZE
    from . import console

    if not sources:
        raise SettingError("There is nothing to embed: name a folder, Parquet files or tar shards.")
    give_back()
    model = load(name)
    executor = None
    if bulk.cluster is not None:
        # The bundle is looked for at the same place on every machine of the cluster.
        executor = OnRay.connect(bulk.cluster, partial(load, model.bundle.path.absolute(), threads=1), bulk.workers)
    with console.progress("Embedding") as report:
        result = embed(
            sources,
            out,
            model,
            column=bulk.column,
            executor=executor,
            part_size=bulk.part_size or PART_SIZE,
            progress=report,
        )
    if as_json:
        print_json(asdict(result))
    else:
        console.show_dataset(result)


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
