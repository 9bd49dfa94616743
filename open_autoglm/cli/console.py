"""How answers look on a terminal, and plainly in a pipe: summaries, tables, bars and progress.

It knows the answers' shapes and rich; it knows nothing of how they came about.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from .streams import say, showable

if TYPE_CHECKING:
    from ..compression.wish import Row
    from ..evaluation.summary import Table as Words
    from ..runtime.answers import Answer
    from ..runtime.describing import Description
    from ..runtime.tuning import Tuning
    from ..search import AddReport, Duplicates, Health, Hit, Skipped
    from ..search.bulk import EmbedReport

NAMED = 10  # skipped files that are listed; the rest is counted
LONGEST_QUERY = 60  # characters of a query that are repeated in an answer
UNKNOWN = "I can't tell"
UNREAD = "-"
BAR = 24  # characters of a bar that stands for 1
PIPE_WIDTH = 1_000_000  # no line is broken where a program reads


def stdout() -> Console:
    """The console for answers: as wide as the terminal, and without line breaks elsewhere."""
    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


@contextmanager
def progress(doing: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr while something runs, where stderr is a terminal; yields what takes (done, total)."""
    console = Console(stderr=True)
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(doing, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def show_indexed(report: AddReport, index: Path, pictures: int, model: str | None) -> None:
    """What indexing did, which files it passed over, and what to type next."""
    counts = {
        "added": report.added,
        "updated": report.updated,
        "moved": report.moved,
        "unchanged": report.unchanged,
        "removed": report.removed,
        "skipped": len(report.skipped),
    }
    changed = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "no pictures found"
    out = stdout()
    out.print(Text(f"{showable(str(index))} holds {number(pictures, 'picture')}: {changed}."))
    show_skipped(out, report.skipped)
    if pictures:
        options = f" --model {quoted(model)}" if model else ""
        search = f'autoglm search {quoted(index)} "a red apple"{options}'
        out.print(Text(f"Next: {search}, or autoglm serve {quoted(index)} --open{options}"))


def show_dataset(report: EmbedReport) -> None:
    """What bulk embedding did, which pictures it passed over, and what to type next."""
    out = stdout()
    counts = f"{number(report.embedded, 'picture')} embedded now, {len(report.skipped):,} skipped"
    out.print(Text(f"{showable(report.address)} holds {number(report.pictures, 'picture')}: {counts}."))
    show_skipped(out, report.skipped)
    if report.pictures:
        address = quoted(report.address)
        search = f'autoglm search {quoted(f"lance://{report.address}")} "a red apple"'
        out.print(Text(f"Next: {search}, or autoglm index --from {address} --to photos.index"))


def show_skipped(out: Console, skipped: Sequence[Skipped]) -> None:
    """The first files that were passed over, and how many more there are."""
    for one in skipped[:NAMED]:
        out.print(Text(f"  skipped {showable(one.path)}: {showable(one.reason)}"))
    if len(skipped) > NAMED:
        out.print(Text(f"  and {len(skipped) - NAMED} more; --json lists all."))


def show_duplicates(found: Duplicates, index: Path) -> None:
    """Each group, what to keep first, and what the rest takes up."""
    out = stdout()
    others = [twin.record for group in found.groups for twin in group.others]
    if not others:
        out.print(Text(f"No two of {number(found.compared, 'picture')} in {showable(str(index))} are nearly the same."))
    else:
        table = plain_table("likeness", "id", "pixels", "picture")
        for column in table.columns[:3]:
            column.justify = "right"
        table.columns[3].overflow = "fold"
        for group in found.groups:
            rows = [("keep", group.keep), *((f"{twin.likeness:.3f}", twin.record) for twin in group.others)]
            for position, (shown, record) in enumerate(rows, 1):
                pixels = f"{record.width} x {record.height}"
                table.add_row(
                    shown, str(record.id), pixels, Text(showable(record.path)), end_section=position == len(rows)
                )
        out.print(table)
        megabytes = sum(record.size for record in others) / 1e6
        out.print(
            Text(
                f"{number(len(found.groups), 'group')} among {number(found.compared, 'picture')}: "
                f"{number(len(others), 'picture')} of {megabytes:.1f} MB beside those to keep."
            )
        )
    show_skipped(out, found.skipped)


def show_hits(hits: Sequence[Hit], index: str, wanted: str, cut: bool = True) -> None:
    """The pictures found, best first; where there is none, a sentence that says so.

    ``cut``: pictures that do not match were left out. Those that were looked at twice have the probability of a match
    instead of a score.
    """
    if not hits:
        advice = "; --all shows the closest" if cut else ""
        stdout().print(Text(f"Nothing in {showable(index)} matches {shortened(wanted)}{advice}."))
        return
    twice = any(hit.match is not None or hit.note for hit in hits)
    table = plain_table("match" if twice else "score", "id", "picture")
    table.columns[0].justify = table.columns[1].justify = "right"
    table.columns[2].overflow = "fold"
    for hit in hits:
        shown = f"{hit.score:.3f}" if not twice else UNREAD if hit.match is None else f"{hit.match:.1%}"
        table.add_row(shown, str(hit.id), Text(showable(hit.path)))
    stdout().print(table)
    for hit in hits:
        if hit.note:
            say(f"Not looked at twice, it keeps its place: {hit.note}")


def show_health(found: Health, index: Path) -> None:
    """What an index has, how much of it is found, and what to do about that."""
    out = stdout()
    out.print(Text(f"{showable(str(index))} holds {number(found.pictures, 'picture')}."))
    if found.graph:
        facts = f"{found.newer:,} newer ones are compared one by one, {found.gone:,} are gone"
        ways = f"{found.links} links, compares by {found.numbers} of {found.dimension} numbers"
        out.print(Text(f"The graph has {found.graph:,}; {facts}."))
        out.print(Text(f"It has {ways}, and its effort is {found.effort}."))
    else:
        out.print(Text("There is no graph: every search compares all pictures, and misses none."))
    for share, count, whose in (
        (found.recall_live, found.live_queries, "queries that were asked"),
        (found.recall_now, found.queries, "of its own pictures, asked for now"),
    ):
        if share is not None:
            out.print(Text(f"recall@10 {share:.3f} over {count} {whose}; it should be at least {found.floor:g}."))
    if found.problem:
        say(f"The graph cannot be used: {found.problem}.")
    if found.due:
        say(f"The graph is to be made: {found.due}; 'autoglm index check {quoted(index)} --rebuild' does it now.")


def show_probabilities(probabilities: Mapping[str, float]) -> None:
    """Each label with its probability and a bar."""
    table = plain_table("probability", "", "label")
    table.columns[0].justify = "right"
    for label, probability in probabilities.items():
        table.add_row(f"{probability:.1%}", "█" * round(probability * BAR), Text(showable(label)))
    stdout().print(table)


def show_answer(answer: Answer) -> None:
    """The answer, how sure it is, and where it was seen, a box a line."""
    out = stdout()
    if answer.reason:
        out.print(Text(f"{UNKNOWN}. {answer.reason}"))
    else:
        out.print(Text(f"{showable(answer.text or UNKNOWN)} ({sureness(answer.confidence)} sure)"))
    for box, score in zip(answer.regions.boxes.tolist(), answer.regions.scores.tolist(), strict=True):
        x0, y0, x1, y1 = (round(side) for side in box)
        out.print(Text(f"  {score:.0%}  from {x0},{y0} to {x1},{y1}"))


def sureness(confidence: float) -> str:
    """In percent; nothing is certain."""
    return "over 99%" if round(100 * confidence) == 100 else f"{confidence:.0%}"


def show_descriptions(described: Sequence[tuple[Path, Description]]) -> None:
    """Texts, each after its picture where there are several; one that was cut off ends in dots."""
    out = stdout()
    for picture, found in described:
        text = f"{showable(found.text)}{'' if found.ended else ' …'}"
        out.print(Text(f"{showable(str(picture))}: {text}" if len(described) > 1 else text))


def show_tables(title: str, tables: Sequence[Words]) -> None:
    """Tables of words under a title."""
    out = stdout()
    out.print(Text(showable(title)))
    for table in tables:
        shown = plain_table(*table.columns)
        for number in table.numbers:
            shown.columns[number].justify = "right"
        for row in table.rows:
            shown.add_row(*(Text(showable(cell)) for cell in row))
        out.print(Text(f"\n{table.title}"), shown, sep="\n")


def show_compressed(rows: Sequence[Row], chosen: Row) -> None:
    """Every way that was measured; the one that was written is marked."""
    table = plain_table("", "bundle", "MB", "ms", "times", "loss")
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        figures = (f"{row.megabytes:.1f}", f"{row.milliseconds:.1f}", f"{row.times_faster:.2f}", f"{row.loss:.4f}")
        table.add_row("*" if row == chosen else "", row.name, *figures)
    stdout().print(table)


def show_tuning(found: Tuning) -> None:
    """What each graph runs with from now on, and how much faster than by default."""
    table = plain_table("graph", "engine", "precision", "threads", "ms", "times")
    for column in table.columns[3:]:
        column.justify = "right"
    for row in found.rows:
        choice = row.choice
        figures = (str(choice.threads), f"{row.milliseconds:.1f}", f"{row.times_faster:.2f}")
        table.add_row(row.task, choice.engine, choice.precision, *figures)
    out = stdout()
    out.print(table)
    if any(row.task == "image" for row in found.rows):
        out.print(Text(f"{number(found.batch_size, 'picture')} at once."))


def show_bundle(described: Mapping[str, Any]) -> None:
    """A bundle's facts, a line each; nested ones by their dotted name."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in flattened(described):
        table.add_row(Text(showable(name)), Text(showable(str(value))))
    stdout().print(table)


def show_problems(path: str, problems: Sequence[str]) -> None:
    """Whether a bundle is sound; what is wrong goes to stderr."""
    if not problems:
        stdout().print(Text(f"{showable(path)} is sound: every file is as it was written."))
        return
    say(f"{path} is damaged; copy it again.")
    for problem in problems:
        say(f"  {problem}")


def warn_skipped(reasons: Collection[str]) -> None:
    """Names on stderr what could not be used."""
    for reason in reasons:
        say(f"Skipped: {reason}")


def plain_table(*columns: str) -> Table:
    """A table without lines, whose numbers stay whole."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column in table.columns[:-1]:
        column.no_wrap = True
    return table


def flattened(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings with their dotted names."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from flattened(inner, f"{prefix}{name}.")
        elif isinstance(inner, list) and inner and isinstance(inner[0], Mapping):
            for position, item in enumerate(inner, 1):
                yield from flattened(item, f"{prefix}{name}.{position}.")
        else:
            yield f"{prefix}{name}", inner


def number(count: int, thing: str) -> str:
    """A count with its noun: 1 picture, 2,000 pictures."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def shortened(text: str) -> str:
    """A query in quotation marks, cut where it is long."""
    shown = showable(" ".join(text.split()))
    return f'"{shown}"' if len(shown) <= LONGEST_QUERY else f'"{shown[:LONGEST_QUERY]}…"'


def quoted(path: Path | str) -> str:
    """A path as a shell takes it."""
    return shlex.quote(showable(str(path)))
