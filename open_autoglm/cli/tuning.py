"""The command that finds what is fastest on this machine: ``tune``.

It knows what the command takes; it knows nothing of how anything is measured, nor of how answers look.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from .arguments import AsJson, GivenBundle, Verbose
from .streams import print_json, say


def tune(
    bundle: GivenBundle,
    forget: Annotated[bool, typer.Option("--forget", help="Remove what was chosen for this bundle instead.")] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Find the engine, precision and threads that run a bundle fastest on this machine, in under a minute.

    The choice is kept in your cache folder, and every command takes it from there; the bundle is left as it is.

    \b
    Examples:
      autoglm tune open-autoglm-base
      autoglm tune open-autoglm-base --forget
    """
    from ..bundle import Bundle
    from ..runtime import tuned, tuning
    from . import console

    opened = Bundle.open(bundle)
    if forget:
        count = tuned.forget_tuned(opened)
        if as_json:
            print_json({"bundle": opened.path, "forgotten": count})
        else:
            say(f"{console.number(count, 'choice')} for {opened.path} removed: it runs as before it was tuned.")
        return
    with console.progress("Measuring") as report:
        found = tuning.tune(opened, report)
    place = tuned.store_tuned(opened, found.tuned)
    if as_json:
        rows = [{**asdict(row), "times_faster": row.times_faster} for row in found.rows]
        facts = {"machine": asdict(tuned.this_machine()), "batch_size": found.batch_size, "refused": found.refused}
        print_json({"bundle": opened.path, "kept": place, "seconds": found.seconds, "graphs": rows, **facts})
        return
    console.show_tuning(found)
    for sentence in found.refused:
        say(sentence)
    say(f"Kept in {place}; every command uses it. Measured for {found.seconds:.0f} s.")
