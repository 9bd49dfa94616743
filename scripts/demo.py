"""Indexes the sample pictures, answers three searches and one question, and says how to open the page.

It shows the program as its user meets it; it needs no PyTorch.
"""

from __future__ import annotations

import argparse
import shutil
import site
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

import open_autoglm
from open_autoglm import console as views

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "samples"
INDEX = ROOT / "build" / "demo.index"
SEARCHES = ("a pair of jeans", "green vegetables", "an elephant in the snow")
QUESTION = "a bunch of bananas"
LABELS = ("banana", "apple", "milk carton", "dress")
SHOWN = 3


def main() -> None:
    """Runs the demo; ``--started`` is when the installation began, in seconds since 1970."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--started", type=float, default=time.time())
    started: float = parser.parse_args().started
    out = Console(highlight=False)

    shutil.rmtree(INDEX, ignore_errors=True)
    model = open_autoglm.load()
    with open_autoglm.Index.create(INDEX, model) as index:
        heading(out, f"autoglm index {shown(SAMPLES)} --to {shown(INDEX)}")
        with views.progress("Indexing the samples") as report:
            added = index.add(SAMPLES, progress=lambda now: report(now.done, now.total))
        out.print(f"{added.added} pictures, {len(added.skipped)} skipped")
        for words in SEARCHES:
            heading(out, f'autoglm search {shown(INDEX)} "{words}" -k {SHOWN}')
            views.show_hits(index.search(words, k=SHOWN), INDEX.relative_to(ROOT), words)
        picture = Path(index.search(QUESTION, k=1, cut=False)[0].path)
    heading(out, f"autoglm classify {shown(picture)} " + " ".join(f"--label '{label}'" for label in LABELS))
    views.show_probabilities(model.classify(picture, LABELS))

    out.print(f"\n{installed_bytes() / 2**20:.0f} MB installed, {time.time() - started:.0f} seconds in all.")
    out.print(Text("Next: make serve opens the page on these pictures.", style="bold"))


def heading(out: Console, command: str) -> None:
    """The command that does what is shown below it."""
    out.print(Text(f"\n$ {command}", style="bold"), soft_wrap=True)


def shown(path: Path) -> str:
    """A path as one would type it in the repository."""
    return str(path.relative_to(ROOT))


def installed_bytes() -> int:
    """The size of the packages that this Python runs with."""
    folders = [Path(folder) for folder in site.getsitepackages()]
    return sum(file.lstat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    main()
