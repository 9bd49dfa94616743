"""The command line, ``autoglm``: one function a command, which calls the package and shows its answer.

It knows what each command takes; it knows nothing of how pictures are found, nor of how answers look.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import __version__
from .commands import MISTAKE, STOPPED, Commands, be_verbose, named_folder, named_path, print_json, say, showable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .evaluation.summary import Table
    from .search import Index

BASE = "open-autoglm-base"

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
bundles = typer.Typer(
    help="Look at a bundle, the directory of a model.\n\n\b\nExample:\n  autoglm bundle show BUNDLE",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(bundles, name="bundle")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]
Verbose = Annotated[bool, typer.Option("--verbose", callback=be_verbose, help="Show where an error came from.")]
BundleName = Annotated[str, typer.Option("--model", metavar="BUNDLE", help="A bundle's name or directory.")]
RecordedBundle = Annotated[
    str | None,
    typer.Option("--model", metavar="BUNDLE", help="The bundle's directory, if it is not where it was."),
]
IndexPath = Annotated[
    Path, typer.Argument(metavar="INDEX", parser=named_path, help="An index made by 'autoglm index'.")
]


def print_version(wanted: bool) -> None:
    """Prints the version and ends the program, where it was asked for."""
    if wanted:
        typer.echo(f"autoglm {__version__}")
        raise typer.Exit


def open_or_create(path: Path, model: str | None) -> Index:
    """The index at ``path``; a new one where there is nothing yet, or an empty folder."""
    from . import load
    from .search import Index

    if path.is_dir() and any(path.iterdir()):
        return Index.open(path, load(model) if model is not None else None)
    return Index.create(path, load(BASE if model is None else model), exist_ok=True)


def show_tables(title: str, tables: Sequence[Table]) -> None:
    """Prints tables of words under a title."""
    from rich.text import Text

    from .console import plain_table, stdout

    out = stdout()
    out.print(Text(showable(title)))
    for table in tables:
        shown = plain_table(*table.columns)
        for number in table.numbers:
            shown.columns[number].justify = "right"
        for row in table.rows:
            shown.add_row(*(Text(showable(cell)) for cell in row))
        out.print(Text(f"\n{table.title}"), shown, sep="\n")


@app.callback(invoke_without_command=True)
def autoglm(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Find pictures by describing them, with one small model on this machine.

    \b
    Examples:
      autoglm index photos/ --to photos.index
      autoglm search photos.index "a red apple"
      autoglm serve photos.index --open
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def index(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", parser=named_folder, help="A folder of pictures, with its subfolders."),
    ],
    to: Annotated[
        Path,
        typer.Option("--to", metavar="INDEX", parser=named_path, help="The index to make, or to bring up to date."),
    ],
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
    """
    from . import console
    from .metadata import read_metadata

    facts = read_metadata(metadata) if metadata else None
    with open_or_create(to, model) as opened:
        with console.progress("Indexing") as report:
            result = opened.add(folder, metadata=facts, progress=lambda now: report(now.done, now.total), prune=prune)
        if as_json:
            print_json({"index": to, "pictures": len(opened), **asdict(result)})
        else:
            console.show_indexed(result, to, len(opened), model)


@app.command()
def search(
    path: IndexPath,
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
    show_all: Annotated[bool, typer.Option("--all", help="Show the closest pictures, however poor.")] = False,
    model: RecordedBundle = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Find pictures of an index: by words, by a picture, or like one it has.

    Pictures that do not match are left out, so there may be fewer than -k, or none.

    \b
    Examples:
      autoglm search photos.index "a red apple"
      autoglm search photos.index "a dress" --where "price < 20" -k 5
      autoglm search photos.index --image apple.jpg
    """
    from . import console, load
    from .search import Index

    with Index.open(path, load(model) if model is not None else None) as opened:
        hits = opened.search(words, image=image, like=like, k=k, where=where, cut=not show_all)
    if as_json:
        print_json({"index": path, "hits": [asdict(hit) for hit in hits]})
    else:
        console.show_hits(hits, path, words or (f"picture {like}" if image is None else str(image)), not show_all)


@app.command()
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
    from . import console, load
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


@app.command()
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
    from . import console, load

    probabilities = load(model).classify(picture, label)
    if as_json:
        print_json({"picture": picture, "probabilities": probabilities})
    else:
        console.show_probabilities(probabilities)


@app.command()
def evaluate(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle's name or directory.")],
    data: Annotated[
        str,
        typer.Argument(metavar="DATA", help="A CSV, JSONL or Parquet file, a folder, tar shards, or a hub data set."),
    ],
    picture: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column with the pictures.")] = None,
    captions: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column with captions; may be given several times.")
    ] = None,
    label: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column with the classes.")] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="FILE", help="Class names, one a line, where the column has numbers.")
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="A sentence for a class, as in 'a photo of a {}'; several are averaged."),
    ] = None,
    similarity: Annotated[
        str | None, typer.Option(help="Compare by cosine or euclidean, whatever the bundle was trained with.")
    ] = None,
    best_view: Annotated[bool, typer.Option("--best-view", help="Compare a picture's best view, as search does.")] = (
        False
    ),
    split: Annotated[str | None, typer.Option(metavar="NAME", help="The split of a hub data set.")] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Measure a bundle on your own data; needs the extra 'train'.

    Captions are searched both ways (recall, mean average precision); classes are told apart by their names
    alone. Columns with usual names are found by themselves. Rows that cannot be used are named.

    \b
    Examples:
      autoglm evaluate open-autoglm-base photos.csv --captions title
      autoglm evaluate my-bundle/ shoes/ --template "a photo of a {}"
    """
    from . import console, load
    from .errors import needing
    from .runtime.calibration import Match

    with needing("Evaluation", "train"):
        from .data import DataSettings, open_source
        from .evaluation.evaluate import EvaluationSettings
        from .evaluation.evaluate import evaluate as measure
        from .evaluation.summary import headline, notes, tables
    views = Match.BEST_VIEW if best_view else Match.WHOLE
    settings = EvaluationSettings(similarity=similarity, views=views, templates=tuple(template or ()))
    source = DataSettings(
        data, picture=picture, captions=tuple(captions or ()), label=label, classes=classes, split=split
    )
    model = load(bundle)
    with console.progress("Reading") as report:
        records = open_source(source, lambda rows: report(rows, rows))
    with console.progress("Embedding") as report:
        found = measure(model, records, settings, progress=report).as_dict()
    if as_json:
        print_json(found)
    else:
        show_tables(headline(found), tables(found))
        for note in notes(found):
            say(note)


@app.command()
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
    from . import load
    from .search import Index
    from .serving import Settings, run

    settings = Settings(host=host, port=port, open_browser=browser)
    with Index.open(path, load(model) if model is not None else None) as opened:
        run(opened, settings)


@bundles.command()
def show(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle's name or directory.")],
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Show what a bundle holds, how well it does, and where it comes from.

    \b
    Example:
      autoglm bundle show open-autoglm-base
    """
    from . import console
    from .bundle import Bundle

    described = Bundle.open(bundle).describe()
    if as_json:
        print_json(described)
    else:
        console.show_bundle(described)


@bundles.command()
def verify(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle's name or directory.")],
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Check every file of a bundle against its checksum; exit code 2 where one differs.

    \b
    Example:
      autoglm bundle verify open-autoglm-base
    """
    from . import console
    from .bundle import Bundle

    opened = Bundle.open(bundle)
    problems = opened.verify()
    if as_json:
        print_json({"path": opened.path, "sound": not problems, "problems": problems})
    else:
        console.show_problems(str(opened.path), problems)
    if problems:
        raise typer.Exit(2)


@app.command("import")
def import_(
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
    from .errors import needing

    with needing("autoglm import", "train"):
        from .compression.importing import import_checkpoint
    written = import_checkpoint(source, to, name)
    if as_json:
        print_json({"bundle": written})
    else:
        say(f"Wrote the bundle {written}. Next: autoglm index DIR --to INDEX --model {written}")


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", dir_okay=False, help="A recipe in YAML.")],
    check: Annotated[
        bool, typer.Option("--check", help="Only look over the data, and learn 128 pairs by heart: a few minutes.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; may be given several times."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="DIR", parser=named_path, help="Where runs go, each in a folder of its name; runs/."
        ),
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Train a model on your pictures and captions, from a recipe; needs the extra 'train'.

    The run keeps its recipe, log, checkpoints and, at its end, its bundle in runs/NAME. Stopped in the middle,
    it goes on with --resume. On several processors: torchrun --nproc-per-node 2 -m open_autoglm train RECIPE.

    \b
    Examples:
      autoglm train recipes/grocery.yaml --check
      autoglm train recipes/grocery.yaml --set optimisation.epochs=5
    """
    from .errors import needing

    with needing("autoglm train", "train"):
        from .training import command
    wanted = command.read(recipe, change or [], to)
    if check:
        checked = command.check_recipe(wanted)
        if as_json:
            print_json(command.describe_check(checked))
        else:
            for line in command.check_in_words(checked):
                typer.echo(showable(line))
        if not checked.passed:
            raise typer.Exit(MISTAKE)
        return
    outcome = command.train_recipe(wanted, resume)
    if as_json:
        print_json(asdict(outcome))
    else:
        for line in command.outcome_in_words(outcome, recipe):
            typer.echo(showable(line))
    if outcome.stopped:
        raise typer.Exit(STOPPED)


def main() -> None:
    """Runs the command line; what ``autoglm`` and ``python -m open_autoglm`` start."""
    app(prog_name="autoglm")


if __name__ == "__main__":
    main()
