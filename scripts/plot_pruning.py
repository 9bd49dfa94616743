"""Draws what pruning and int8 save and cost, and prints it as the table of docs/shrink-a-model.md.

    python scripts/plot_pruning.py

It reads ``benchmarks/results/pruning.json`` alone. A point is on the Pareto front where none is both faster and better.
Needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "benchmarks" / "results" / "pruning.json"
LOST = "_points_lost"
MOST = 6  # points lost that are drawn


@dataclass(frozen=True)
class Made:
    """One bundle: its name, megabytes, how many times as fast its picture graph is, and the points it loses."""

    name: str
    megabytes: float
    deflated: float
    faster: float
    text_faster: float
    lost: float


def main() -> None:
    """Prints the table and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", default="groceries")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "images" / "compression.png")
    arguments = parser.parse_args()
    figures: dict[str, float] = json.loads(RESULT.read_text(encoding="utf-8"))["figures"]
    made = bundles(figures, arguments.subject)
    whole = [one for one in made if not one.name.startswith(("text", "vision"))]  # of those one tower is still full
    best = front(whole)
    print("| bundle | MB | deflated | picture, times | sentence, times | points lost | front |")
    print("|---|---|---|---|---|---|---|")
    for one in sorted(made, key=lambda one: one.faster):
        cells = (f"{one.megabytes:.1f}", f"{one.deflated:.1f}", f"{one.faster:.2f}", f"{one.text_faster:.2f}")
        print(f"| {named(one.name)} | {' | '.join(cells)} | {one.lost:.1f} | {'yes' if one in best else ''} |")
    draw(whole, best, arguments.to)


def bundles(figures: dict[str, float], subject: str) -> list[Made]:
    """Every bundle made of a subject; the full one is as fast as itself."""
    ending = "_points_lost"
    names = [
        key[len(subject) + 1 : -len(ending)] for key in figures if key.startswith(subject) and key.endswith(ending)
    ]

    def figure(name: str, what: str, otherwise: float | None = None) -> float:
        found = figures.get(f"{subject}_{name}_{what}", otherwise)
        if found is None:
            raise SystemExit(f"{RESULT} has no {what} of {name}: run benchmarks/pruning.py again.")
        return found

    return [
        Made(
            name,
            figure(name, "mb"),
            figure(name, "deflated_mb"),
            figure(name, "image_times_faster", 1.0),
            figure(name, "text_times_faster", 1.0),
            figures[f"{subject}_{name}{LOST}"],
        )
        for name in names
    ]


def front(made: list[Made]) -> list[Made]:
    """Those that no other beats in speed without losing more, from the slowest on."""
    return [one for one in sorted(made, key=lambda one: one.faster) if not any(beats(other, one) for other in made)]


def beats(other: Made, one: Made) -> bool:
    """Whether it is no worse in both and better in one."""
    no_worse = other.faster >= one.faster and other.lost <= one.lost
    return no_worse and (other.faster > one.faster or other.lost < one.lost)


def named(name: str) -> str:
    """A bundle's name as a reader says it."""
    tower, _, rest = name.partition("_")
    if tower == "full":
        return "full, int8" if rest else "full, float"
    share, _, int8 = rest.partition("_")
    what = {"vision": "pictures", "text": "words", "both": "both towers", "zeros": "zeros in"}[tower]
    return f"{what} -{share} %{', int8' if int8 else ''}" if tower != "zeros" else f"{share} % zeros"


def draw(made: list[Made], best: list[Made], target: Path) -> None:
    """Speed of the picture graph against points lost; the front is a line, and what is beyond the scale is named."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    axes.plot([one.faster for one in best], [one.lost for one in best], color="0.7", zorder=1)
    for int8, colour in ((False, "#4477aa"), (True, "#ee6677")):
        shown = [one for one in made if one.name.endswith("int8") == int8 and one.lost <= MOST]
        axes.scatter([one.faster for one in shown], [one.lost for one in shown], color=colour, zorder=2)
        for one in shown:
            axes.annotate(
                named(one.name), (one.faster, one.lost), (0, 7), textcoords="offset points", ha="center", fontsize=8
            )
    beyond = [f"{named(one.name)}: {one.faster:.2f} times, {one.lost:.0f} points" for one in made if one.lost > MOST]
    axes.text(0.99, 0.98, "\n".join(beyond), transform=axes.transAxes, ha="right", va="top", fontsize=8)
    axes.margins(x=0.12)
    axes.set_ylim(-1, MOST)
    axes.set_xlabel("one picture, times as fast as the full float bundle")
    axes.set_ylabel("points of accuracy lost")
    axes.grid(alpha=0.3)
    figure.savefig(target, dpi=120)


if __name__ == "__main__":
    main()
