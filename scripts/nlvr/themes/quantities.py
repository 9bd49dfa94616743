"""Numbers and quantities in words: digits or letters, exact, at least, at most, only, none.

It knows nothing about what is counted. A bare number means exactly that many: so the labels of real sentences say.
"""

from __future__ import annotations

from scripts.nlvr.grammar import Grammar
from scripts.nlvr.meaning import at_least, at_most, exactly, none

SPELLED = ("", "1|one", "2|two", "3|three", "4|four", "5|five", "6|six", "7|seven")
NUMBERS = {  # how often each number is said, from none up
    "few": (0, 0, 5, 3, 0.7),  # of things of a sort in a box, or of blocks
    "more": (0, 0, 2, 3, 3, 2, 1.5, 1),  # of all things of a box, or of things of a sort in all boxes
    "high": (0, 0, 3, 4, 4),  # of the blocks of a tower
}


def add_quantities(grammar: Grammar) -> None:
    """Parts ``few``, ``more``, ``high`` (numbers); ``single``, ``lone``, ``some``, ``many``, ``two_of``, quantities."""
    for name, odds in NUMBERS.items():
        for number, weight in enumerate(odds):
            if weight:
                grammar.words(name, {SPELLED[number]: number}, weight)
    words, add = grammar.words, grammar.add

    words("single", {"a": at_least(1)}, 7)
    words("single", {"1*3|one": exactly(1)}, 2)
    words("single", {"at least 1|at least one*2|at least a": at_least(1)}, 1)
    words("single", {"exactly one*3|exactly 1": exactly(1)}, 1.3)
    words("single", {"only 1|only one*2|just 1": exactly(1)}, 0.5)
    words("single", {"no": none()}, 0.8)
    words("lone", {"exactly 1|exactly one|only 1|only one|1|one|just 1|just one": exactly(1)})
    words("lone_or_a", {"a": at_least(1)}, 3)
    words("lone_or_a", {"1|one": exactly(1)}, 2)
    words("lone_or_a", {"exactly 1|exactly one|only 1|only one": exactly(1)}, 0.7)
    words("lone_or_a", {"at least 1|at least one": at_least(1)}, 1)
    words("some", {"at least 1|at least one": at_least(1)})

    for name, counted in (("many", "{few}"), ("any_many", "{more}")):
        add(name, counted, exactly, 4)
        add(name, f"exactly {counted}", exactly, 3)
        add(name, f"only {counted}", exactly, 0.8)
        add(name, f"at least {counted}", at_least, 2)
        add(name, f"more than {counted}", lambda number: at_least(number + 1), 0.25)
        add(name, f"less than {counted}", lambda number: at_most(number - 1), 0.2)
        add(name, f"at most {counted}", at_most, 0.15)
    words("two_of", {"2|two": exactly(2)}, 4)
    words("two_of", {"exactly 2|exactly two|only 2|only two": exactly(2)}, 3)
    words("two_of", {"at least 2|at least two": at_least(2)}, 2)
    words("two_of", {"3|three": exactly(3)}, 0.3)
    words("two_of", {"more than one|more than 1": at_least(2)}, 0.2)
