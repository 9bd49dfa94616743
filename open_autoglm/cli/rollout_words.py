"""How a rollout looks on a terminal: what is live, the candidate's figures in a table, and the decisions in words.

It knows the reply's shape and rich; it knows nothing of how the figures came about.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from .console import plain_table, stdout
from .streams import showable

SHOWN = 10  # decisions; --json has all
NAMES = {
    "probe": "score on the probe, candidate less live",
    "agreement": "agreement, less that of a version with itself",
    "errors": "failures, candidate less live",
    "latency": "slower less not slower than allowed",
    "live errors": "people whom the live version failed",
    "candidate errors": "people whom the candidate failed",
    "live feedback": "what people chose, live",
    "candidate feedback": "what people chose, candidate",
}
FAILURES = ("live errors", "candidate errors")  # counted below 0


def show_rollout(stands: Mapping[str, Any]) -> None:
    """What is live, the rollout under way, and the latest decisions, newest last."""
    out = stdout()
    for name, live in stands["live"].items():
        by = " and ".join(dict.fromkeys(live.values()))
        out.print(Text(f"{showable(name)} is answered by {showable(by)}."))
    going = stands["rollout"]
    if going is None:
        out.print(Text("No rollout is under way."))
    else:
        share = f"answers {going['weight']:.0%} of people" if going["weight"] else "answers nobody yet"
        counts = f"{going['compared']:,} requests compared, {going['dropped']:,} dropped"
        out.print(Text(f"{showable(going['candidate'])} {share}: {counts}. {showable(going['waits_for'])}"))
        show_figures(going["figures"])
    for decision in reversed(stands["decisions"][:SHOWN]):
        when = datetime.fromtimestamp(decision["at"]).strftime("%Y-%m-%d %H:%M:%S")
        by = "" if decision["by"] == "rule" else f" ({showable(decision['by'])})"
        out.print(Text(f"{when}  {decision['kind']}{by}: {showable(decision['sentence'])}"))


def show_figures(figures: Mapping[str, Mapping[str, float]]) -> None:
    """Each mean, and between what the true one lies."""
    if not figures:
        return
    table = plain_table("mean", "at least", "at most", "of", "figure")
    for column in table.columns[:-1]:
        column.justify = "right"
    for name, one in figures.items():
        mean, low, high = one["mean"], one["low"], one["high"]
        if name in FAILURES:
            mean, low, high = max(0.0, -mean), max(0.0, -high), max(0.0, -low)
        table.add_row(f"{mean:.4f}", f"{low:.4f}", f"{high:.4f}", f"{one['n']:,}", NAMES.get(name, showable(name)))
    stdout().print(table)
