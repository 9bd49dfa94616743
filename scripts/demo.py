"""Runs the program on the sample pictures: makes an index, asks three searches and one question, shows the answers.

Every command is the real one, started as its user would start it; none of them needs PyTorch.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import site
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INDEX = Path("build", "demo.index")
SEARCHES = ("a pineapple", "a pair of shoes", "an elephant in the snow")
COMMANDS = (
    ("index", "samples", "--to", str(INDEX)),
    *(("search", str(INDEX), words, "-k", "3") for words in SEARCHES),
    ("classify", "samples/grocery/banana.jpg", "--label", "banana", "--label", "milk carton", "--label", "dress"),
)


def main() -> None:
    """Runs the demo; ``--started`` is when the installation began, in seconds since 1970."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--started", type=float, default=time.time())
    started: float = parser.parse_args().started
    shutil.rmtree(ROOT / INDEX, ignore_errors=True)
    for words in COMMANDS:
        print(f"\n$ autoglm {shlex.join(words)}", flush=True)
        ended = subprocess.run([sys.executable, "-m", "open_autoglm", *words], cwd=ROOT)
        if ended.returncode:
            sys.exit(ended.returncode)
    print(f"\n{installed_bytes() / 2**20:.0f} MB installed, {time.time() - started:.0f} seconds in all.")
    print("Next: make serve opens the page on these pictures.")


def installed_bytes() -> int:
    """The size of the packages that this Python runs with."""
    folders = [Path(folder) for folder in site.getsitepackages()]
    return sum(file.lstat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    main()
