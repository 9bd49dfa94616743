"""Commands for your own data: ``train``, and ``evaluate``, which measures; both need the extra 'train'.

It knows what they take; it knows nothing of how a model learns, nor of metrics.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .arguments import AsJson, GivenBundle, Verbose, named_path
from .failures import MISTAKE, STOPPED
from .streams import print_json, say, showable


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
    from ..errors import needing

    with needing("autoglm train", "train"):
        from ..training import command
        from ..training.processes import first_process
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
    outcome = command.train_recipe(wanted, resume, say)
    if not first_process():
        pass  # one of several speaks for all
    elif as_json:
        print_json(asdict(outcome))
    else:
        for line in command.outcome_in_words(outcome):
            typer.echo(showable(line))
    if outcome.stopped:
        raise typer.Exit(STOPPED)


def evaluate(
    bundle: GivenBundle,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            show_default=False,
            help="A CSV, JSONL or Parquet file, a folder, tar shards, a hub data set, or a recipe, whose validation "
            "pictures are taken; without it, those of the training that made the bundle.",
        ),
    ] = None,
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
    Without DATA, the figures go into the report of the training, too.

    \b
    Examples:
      autoglm evaluate runs/shop/bundle
      autoglm evaluate open-autoglm-base photos.csv --captions title
      autoglm evaluate my-bundle/ shoes/ --template "a photo of a {}"
    """
    from .. import load
    from ..errors import needing
    from ..runtime.calibration import Match
    from . import console

    with needing("Evaluation", "train"):
        from ..evaluation.evaluate import EvaluationSettings
        from ..evaluation.evaluate import evaluate as measure
        from ..evaluation.summary import headline, notes, tables
        from ..training.measured import measured
    columns = {"picture": picture, "captions": tuple(captions or ()), "label": label, "classes": classes}
    model = load(bundle)
    chosen = measured(data, {**columns, "split": split}, model.bundle.path)
    settings = EvaluationSettings(
        similarity=similarity,
        views=Match.BEST_VIEW if best_view else Match.WHOLE,
        templates=tuple(template or ()),
        examples=chosen.examples,
    )
    with console.progress("Reading") as report:
        records = chosen.records(lambda rows: report(rows, rows))
    with console.progress("Embedding") as report:
        evaluation = measure(model, records, settings, progress=report)
    found, page = evaluation.as_dict(), chosen.keep(evaluation)
    if page is not None:
        say(f"The report has these figures too: {page}")
    if as_json:
        print_json(found)
    else:
        console.show_tables(headline(found), tables(found))
        for note in notes(found):
            say(note)
