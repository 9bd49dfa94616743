"""Numbers and quantities in words: digits or letters, exact, at least, at most, only, none.

It knows nothing about what is counted. A bare number means exactly that many, as the labels of real sentences show.
"""

from __future__ import annotations

from scripts.nlvr.grammar import Grammar, Senseless
from scripts.nlvr.meaning import Quantity, at_least, at_most, exactly, none

COUNTED = ("", "1|one", "2|two", "3|three", "4|four", "5|five", "6|six", "7|seven")


def add_quantities(grammar: Grammar) -> None:
    """Parts: ``few`` and ``more`` (numbers), ``single``, ``many``, ``plain_one``, ``plain_many`` (quantities)."""
    for name, weights in {"few": (0, 0, 5, 3, 1), "more": (0, 0, 2, 3, 3, 3, 2, 1), "blocks_high": (0, 1, 4, 4, 4)}.items():
        for number, weight in enumerate(weights):
            if weight:
                grammar.words(name, {COUNTED[number]: number}, weight)
    grammar.words("many_or_one", {COUNTED[1]: 1}, 0.5)
    grammar.add("many_or_one", "{few}", lambda number: number)

    grammar.words("single", {"a": at_least(1)}, 5)
    grammar.words("single", {"1|one": exactly(1)}, 2)
    grammar.words("single", {"at least 1|at least one|at least a": at_least(1)}, 1.5)
    grammar.words("single", {"exactly 1|exactly one|only 1|only one|just 1": exactly(1)}, 3)
    grammar.words("single", {"no": none()}, 1)

    grammar.words("lone", {"exactly 1|exactly one|only 1|only one|1|one|a single": exactly(1)})
    grammar.words("some", {"at least 1|at least one": at_least(1)})

    grammar.add("many", "{few}", exactly, 4)
    grammar.add("many", "exactly {few}", exactly, 3)
    grammar.add("many", "only {few}", exactly, 0.7)
    grammar.add("many", "at least {few}", at_least, 2)
    grammar.add("many", "more than {few}", lambda number: at_least(number + 1), 0.3)
    grammar.add("many", "less than {few}", lambda number: at_most(number - 1), 0.2)

    grammar.add("any_many", "{more}", exactly, 4)
    grammar.add("any_many", "exactly {more}", exactly, 4)
    grammar.add("any_many", "only {more}", exactly, 2)
    grammar.add("any_many", "at least {more}", at_least, 2)
    grammar.add("any_many", "more than {more}", lambda number: at_least(number + 1), 0.2)
    grammar.add("any_many", "less than {more}", lambda number: at_most(number - 1), 0.2)
    grammar.add("any_many", "(at most|atmost) {more}", at_most, 0.2)


def sensible(condition: bool) -> None:
    """Stops a rule whose parts do not go together."""
    if not condition:
        raise Senseless
