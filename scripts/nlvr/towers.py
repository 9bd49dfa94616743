"""Sentences about towers and their blocks: bases, tops, heights, blocks over blocks.

It knows nothing about boxes and scattered things.
"""

from __future__ import annotations

import numpy as np

from scripts.nlvr.album import Album, Mask
from scripts.nlvr.grammar import Grammar
from scripts.nlvr.meaning import (
    Property,
    Quantity,
    Things,
    Truth,
    anything,
    at_least,
    at_most,
    both,
    boxes,
    count,
    exactly,
    has,
    linked,
    none,
    only,
    opposite,
)
from scripts.nlvr.quantities import sensible


def floor(number: int) -> Things:
    """The block of each tower this far up from the base, or down from the top (-1)."""
    return lambda album: album.floor(number)


def tall(quantity: Quantity) -> Property:
    """Towers of so many blocks."""
    return lambda album: quantity(album.height)


def over(upper: Things, lower: Things) -> Things:
    """The upper of two blocks, one right on the other."""
    return linked(upper, lambda album: album.above, lower)


def higher(album: Album) -> Mask:
    """Whether the first block is anywhere above the second."""
    floors = np.arange(album.there.shape[-1])
    return np.broadcast_to(floors[:, None] > floors, (*album.there.shape, len(floors)))


def together(colour: Things, number: int) -> Property:
    """So many or more blocks of a colour in a row."""
    def holds(album: Album) -> Mask:
        mask = colour(album)
        run = mask
        for step in range(1, number):
            run = run[..., :-1] & mask[..., step:]
        return run.any(-1)
    return holds


def colours(quantity: Quantity) -> Property:
    """Boxes of so many different colours."""
    return lambda album: quantity(album.colours.sum(-1))


def alike(number: int) -> Property:
    """Boxes with so many things, or more, of one colour."""
    return lambda album: np.stack([(album.facts[..., 4] == c).sum(-1) >= number for c in range(3)]).any(0)


def same(quantity: Quantity, fact: Property) -> Truth:
    """So many towers that share what ``fact [S, 3]`` says of them with another."""
    def holds(album: Album) -> Mask:
        values = fact(album)
        return quantity((values[:, :, None] == values[:, None, :]).sum(-1).max(1))
    return holds


def base_colour(album: Album) -> Mask:
    """The number of the colour of each base."""
    return album.facts[:, :, 0, 4]


def top_colour(album: Album) -> Mask:
    """The number of the colour of each top."""
    return (album.floor(-1) * album.facts[..., 4]).sum(-1)


def of_tower(quantity: Quantity, where: Things, colour: Things, towers: Property) -> Truth:
    """So many blocks of this colour at this place of towers of this kind."""
    return boxes(quantity, both(towers, has(at_least(1), both(where, colour))))


def any_tower(album: Album) -> Mask:
    """Every tower."""
    return album.height > 0


def add_towers(grammar: Grammar) -> None:
    """Sentences ``towers``, and their parts."""
    _places(grammar)
    _contents(grammar)
    _of_blocks(grammar)
    _of_towers(grammar)
    _of_all(grammar)


def _places(grammar: Grammar) -> None:
    grammar.words("end", {"base|bottom": 0, "top": -1})
    grammar.add("place", "(at the|at the|at the|at|as the) {end}", floor, 8)
    grammar.add("place", "on the top", lambda: floor(-1), 0.5)
    grammar.add("place", "in the middle", lambda: both(opposite(floor(0)), opposite(floor(-1))), 0.3)
    grammar.words("nth", {"second": 1, "third": 2})
    grammar.words("over", {"over|above|on top of|on": True, "below|under": False})
    for name, noun in (("height", "block"), ("heights", "blocks")):
        pass
    grammar.add("tall", "{blocks_high} block(s|)", lambda n: tall(exactly(n)), 0)
    grammar.add("tall", "(four|4) blocks", lambda: tall(exactly(4)), 3)
    grammar.add("tall", "(exactly|exactly|only|) (three|3) blocks", lambda: tall(exactly(3)), 3)
    grammar.add("tall", "(exactly|exactly|only|) (two|2) blocks", lambda: tall(exactly(2)), 3)
    grammar.add("tall", "(only|exactly|) (one|1) block", lambda: tall(exactly(1)), 2)
    grammar.add("tall", "a single block", lambda: tall(exactly(1)), 0.3)
    grammar.add("tall", "(exactly|only) (four|4) blocks", lambda: tall(exactly(4)), 0.7)
    grammar.add("tall", "at least {few} blocks", lambda n: tall(at_least(n)), 2)
    grammar.add("tall", "at most {few} blocks", lambda n: tall(at_most(n)), 0.5)
    grammar.add("tall", "more than (one|1) block", lambda: tall(at_least(2)), 0.4)
    grammar.add("tall", "more than {few} blocks", lambda n: tall(at_least(n + 1)), 0.5)
    grammar.add("tall", "less than {few} blocks", lambda n: tall(at_most(n - 1)), 0.2)


def _contents(grammar: Grammar) -> None:
    add = grammar.add
    add("ends", "a {colour} block {place}", lambda colour, place: has(at_least(1), both(colour, place)), 6)
    add("ends", "{colour} block {place}", lambda colour, place: has(at_least(1), both(colour, place)), 1)
    add("ends", "(1|one) {colour} block {place}", lambda colour, place: has(at_least(1), both(colour, place)), 1.5)
    add("ends", "(a|the|) {colour} {end}", lambda colour, end: has(at_least(1), both(colour, floor(end))), 2)
    add("ends", "a {colour} block as (a|the) middle block",
        lambda colour: has(at_least(1), both(colour, opposite(floor(0)), opposite(floor(-1)))), 0.3)
    add("ends", "a {colour} block as the {nth} (block|level)", lambda c, n: has(at_least(1), both(c, floor(n))), 0.3)
    add("ends", "a {colour} {nth} block", lambda c, n: has(at_least(1), both(c, floor(n))), 0.3)

    add("stack", "a {colour} block {over} a {colour} block", _stack, 6)
    add("stack", "{colour} block {over} {colour} block", _stack, 0.5)
    add("stack", "a {colour} block {over} the {colour} block", _stack, 0.3)
    add("stack", "a {colour} block {over} a (different colored block|block of different color)",
        lambda c, up: has(at_least(1), _on(c, opposite(c), up)), 0.2)
    add("stack", "a {colour} block below the top block",
        lambda c: has(at_least(1), both(c, floor(-2))), 0.3)
    add("stack", "a {colour} block above the base block",
        lambda c: has(at_least(1), both(c, floor(1))), 0.2)
    add("stack", "a {colour} block {over} a {colour} block {place}",
        lambda c, up, d, place: has(at_least(1), _on(c, both(d, place), up)), 0.3)
    add("stack", "a {colour} block (between|in between) two blocks of same color", _between_same, 0.2)

    add("stock", "{lone} {colour} block", lambda q, c: has(q, c), 2)
    add("stock", "at least (1|one) {colour} block", lambda c: has(at_least(1), c), 2)
    add("stock", "a {colour} block", lambda c: has(at_least(1), c), 1)
    add("stock", "{many} {colour} blocks", lambda q, c: has(q, c), 5)
    add("stock", "{colour} blocks", lambda c: has(at_least(1), c), 0.5)
    add("stock", "only {colour} blocks", lambda c: only(c), 1)
    add("stock", "only {colour_name} and {colour_name} (blocks|blocks|items)", _only_two, 2)
    add("stock", "{many_or_one} {colour_name} block(s|) and {many_or_one} {colour_name} block(s|)", _two_sorts, 0)
    add("stock", "{lone_or_a} {colour_name} block and {lone_or_a} {colour_name} block",
        lambda q, c, r, d: _sorts((q, c), (r, d)), 1)
    add("stock", "{plain} {colour_name} blocks and {lone_or_a} {colour_name} block",
        lambda q, c, r, d: _sorts((q, c), (r, d)), 1)
    add("stock", "{lone_or_a} {colour_name} block and {plain} {colour_name} blocks",
        lambda q, c, r, d: _sorts((q, c), (r, d)), 1)
    add("stock", "a {colour_name} block , a {colour_name} block and {lone_or_a} {colour_name} block",
        lambda c, d, r, e: _sorts((at_least(1), c), (at_least(1), d), (r, e)), 0.7)
    add("stock", "a {colour_name} block , a {colour_name} block and {plain} {colour_name} blocks",
        lambda c, d, r, e: _sorts((at_least(1), c), (at_least(1), d), (r, e)), 0.7)
    grammar.words("lone_or_a", {"a|1|one": at_least(1), "exactly 1|at least 1|at least one": at_least(1)})
    add("plain", "{few}", exactly)
    add("stock", "{few} {colour} blocks (stacked together|attached with each other|stacked together)",
        lambda n, c: together(c, n), 1.5)
    add("stock", "at least {few} {colour} blocks stacked together", lambda n, c: together(c, n), 0.4)
    add("stock", "{few} blocks (of|with) (the same|same) color", lambda n: alike(n), 0.5)
    add("stock", "at least {few} blocks of (the same|same) color", lambda n: alike(n), 0.3)
    add("stock", "blocks of (all|all|) (3|three) (different|) color(s|)", lambda: colours(exactly(3)), 0)
    add("stock", "blocks of (all 3|all three|three different|3 different|all 3 different) colors", lambda: colours(exactly(3)), 1)
    add("stock", "blocks of (two|2|only two|exactly two) different (color|colors)", lambda: colours(exactly(2)), 0.7)
    add("stock", "only (one|1) color", lambda: colours(exactly(1)), 0.5)
    add("stock", "blocks of (only one|the same|same) color", lambda: colours(exactly(1)), 0.3)


def _stack(upper: Things, up: bool, lower: Things) -> Property:
    return has(at_least(1), _on(upper, lower, up))


def _on(first: Things, second: Things, up: bool) -> Things:
    return over(first, second) if up else both(first, _carries(second))


def _carries(upper: Things) -> Things:
    """The blocks that carry one of these."""
    return lambda album: (album.above & upper(album)[..., None]).any(-2)


def _between_same(colour: Things) -> Property:
    def holds(album: Album) -> Mask:
        mine, looks = colour(album), album.facts[..., 4]
        return (mine[..., 1:-1] & (looks[..., :-2] == looks[..., 2:]) & album.there[..., 2:]).any(-1)
    return holds


def _named(name: str) -> Things:
    return lambda album: album.colour(name)


def _only_two(first: str, second: str) -> Property:
    sensible(first != second)
    return only(_named(first), _named(second))


def _two_sorts(number: int, first: str, other: int, second: str) -> Property:
    return _sorts((exactly(number), first), (exactly(other), second))


def _sorts(*sorts: tuple[Quantity, str]) -> Property:
    sensible(len({name for _, name in sorts}) == len(sorts))
    return both(*(has(quantity, _named(name)) for quantity, name in sorts))


def _of_blocks(grammar: Grammar) -> None:
    def add(pattern: str, meaning: object, weight: float, kind: str) -> None:
        grammar.add("towers", pattern, meaning, weight, f"towers: {kind}")  # type: ignore[arg-type]

    counted = "how many blocks"
    add("there (are|are|are|is) {many} {colour} blocks", count, 5, counted)
    add("there is {single} {colour} block", count, 1, counted)

    at_end = "blocks at an end"
    grammar.add("as_end", "as the {end} of a tower", lambda end: (floor(end), any_tower), 3)
    grammar.add("as_end", "as the {end} of a tower with {tall}", lambda end, towers: (floor(end), towers), 4)
    grammar.add("as_end", "as the {end} of a tower with only {colour_name} and {colour_name} blocks",
                lambda end, c, d: (floor(end), _only_two(c, d)), 0.2)
    add("there is {single} {colour} block {as_end}", lambda q, c, e: of_tower(q, e[0], c, e[1]), 9, at_end)
    add("there are {many} {colour} blocks {as_end}", lambda q, c, e: of_tower(q, e[0], c, e[1]), 5, at_end)
    grammar.add("so_many_towers", "(at least|) (two|2) towers", lambda: at_least(2))
    grammar.add("so_many_towers", "at least (one|1) tower", lambda: at_least(1))
    grammar.add("so_many_towers", "exactly (one|1) tower", lambda: exactly(1))
    grammar.add("so_many_towers", "exactly (two|2) towers", lambda: exactly(2))
    add("there is a {colour} block as the {end} of {so_many_towers}",
        lambda c, end, q: of_tower(q, floor(end), c, any_tower), 1.5, at_end)

    upon = "block on block"
    add("there is {single} {colour} block {over} (a|a|a|the) {colour} block",
        lambda q, c, up, d: count(q, _on(c, d, up)), 9, upon)
    add("there are {many} {colour} blocks {over} {colour} blocks", lambda q, c, up, d: count(q, _on(c, d, up)), 0.5, upon)
    add("there is a {colour} block between (two|a|) {colour} blocks",
        lambda c, d: count(at_least(1), _between(c, d)), 0.6, upon)
    add("there are {few} {colour} blocks (attached with|touching|attached to) each other",
        lambda n, c: boxes(at_least(1), together(c, n)), 0.7, upon)
    add("there is a {colour} block that is (attach|attached) to a {colour} block",
        lambda c, d: lambda album: (_on(c, d, True)(album) | _on(c, d, False)(album)).any((1, 2)), 0.3, upon)


def _between(colour: Things, around: Things) -> Things:
    return both(over(colour, around), _on(colour, around, False))


def _of_towers(grammar: Grammar) -> None:
    add = grammar.add
    add("which_tower", "(with|with|with|with|that has|which has|having|that contains) {ends}", lambda p: p, 6)
    add("which_tower", "(with|with|that has|which has|having|that contains) {stock}", lambda p: p, 5)
    add("which_tower", "(with|with|that has|which has|having) {stack}", lambda p: p, 4)
    add("which_tower", "(with|with|with|that has|which has|having) {tall}", lambda p: p, 3)
    add("which_tower", "with {tall} (with|having|and|that has|which has) {ends}", both, 2)
    add("which_tower", "with {tall} (with|having|and|that has|which has) {stack}", both, 1.5)
    add("which_tower", "with {tall} (with|having|and) {stock}", both, 0.6)
    add("which_tower", "with {tall} , and it has {stock}", both, 0.2)
    add("which_tower", "with {ends} and {ends}", both, 0.6)
    add("which_tower", "with {stack} and {ends}", both, 0.4)
    add("which_tower", "with {tall} not having {ends}", lambda t, e: both(t, lambda album: ~e(album)), 0.2)
    add("which_tower", "(with|that has) {blocks_high} block(s|) (where|and) the {end} (block|) is {colour}",
        lambda n, end, c: both(tall(exactly(n)), has(at_least(1), both(c, floor(end)))), 0)
    add("which_tower", "with {tall} (where|and) the {end} (block|) is {colour}",
        lambda t, end, c: both(t, has(at_least(1), both(c, floor(end)))), 0.5)
    add("which_tower", "with {tall} where the base is {colour} and the top is {colour}",
        lambda t, c, d: both(t, has(at_least(1), both(c, floor(0))), has(at_least(1), both(d, floor(-1)))), 0.2)
    add("which_tower", "with {tall} (which is|which are) (of|) {colour} (color|)", lambda t, c: both(t, only(c)), 0)
    add("which_tower", "with (exactly|only|) (one|1) (block|object) (which is|that is) (of {colour} color|)", lambda c: c, 0) if False else None
    add("which_tower", "with (exactly|only) (one|1) (block|object) (which is of|which is|that is) {colour} (color|)",
        lambda c: both(tall(exactly(1)), only(c)), 1)
    add("which_tower", "with only (one|1) block that is not {colour}",
        lambda c: has(exactly(1), opposite(c)), 0.2)
    add("which_tower", "with exactly {few} blocks which are of {colour} color", lambda n, c: both(tall(exactly(n)), only(c)), 0.3)
    add("which_tower", "with {few} blocks of which {few} are {colour} (blocks|)",
        lambda n, m, c: both(tall(exactly(n)), has(exactly(m), c)), 0.2)
    add("which_tower", "(that|which|where) the {nth} block (from the base|) is {colour}",
        lambda n, c: has(at_least(1), both(c, floor(n))), 0.8)
    add("which_tower", "where all the blocks are of (the|) same color", lambda: colours(exactly(1)), 0.2)
    add("which_tower", "with more than one block where all the blocks are of same color",
        lambda: both(tall(at_least(2)), colours(exactly(1))), 0.2)

    def say(pattern: str, meaning: object, weight: float, kind: str) -> None:
        grammar.add("towers", pattern, meaning, weight, f"towers: {kind}")  # type: ignore[arg-type]

    kind = "towers which"
    say("there is {single} tower {which_tower}", boxes, 16, kind)
    say("there (are|are|is) {some_towers} {which_tower}", boxes, 10, kind)
    grammar.add("some_towers", "(2|two) (towers|towers|towers|tower)", lambda: exactly(2), 4)
    grammar.add("some_towers", "(exactly|only) (2|two) towers", lambda: exactly(2), 3)
    grammar.add("some_towers", "at least (2|two) towers", lambda: at_least(2), 2)
    grammar.add("some_towers", "(3|three) towers", lambda: exactly(3), 0.3)
    say("(one|1) tower (has|with|contains) {property}", lambda p: boxes(at_least(1), p), 2, kind)
    say("one of the (tower|towers|three towers) (has|with|contains) {property}", lambda p: boxes(at_least(1), p), 1, kind)
    say("one of the tower with {tall} has {property}", lambda t, p: boxes(at_least(1), both(t, p)), 0.7, kind)
    say("(two|2) of the (three|3|) towers (has|have|ha) {property}", lambda p: boxes(exactly(2), p), 1, kind)
    say("at least two of the towers (has|have) {property}", lambda p: boxes(at_least(2), p), 0.4, kind)
    say("the tower with {tall} has {property}", lambda t, p: boxes(at_least(1), both(t, p)), 4, kind)
    grammar.add("property", "{ends}", lambda p: p, 3)
    grammar.add("property", "{stack}", lambda p: p, 1)
    grammar.add("property", "{stock}", lambda p: p, 1.5)

    kind = "towers of one colour"
    grammar.add("how_tall", "(with|with|that has|which has) {tall}", lambda t: t)
    say("there is {single} {colour} tower", lambda q, c: boxes(q, only(c)), 3, kind)
    say("there is {single} {colour} tower {how_tall}", lambda q, c, t: boxes(q, both(only(c), t)), 2, kind)
    say("there are {some_coloured} {how_tall}", lambda qc, t: boxes(qc[0], both(only(qc[1]), t)), 0.3, kind)
    say("there are {some_coloured}", lambda qc: boxes(qc[0], only(qc[1])), 0.3, kind)
    grammar.add("some_coloured", "(exactly|) (two|2) {colour} towers", lambda c: (exactly(2), c))
    grammar.add("some_coloured", "at least (two|2) {colour} towers", lambda c: (at_least(2), c))
    say("one of the (three towers|towers) is {colour}", lambda c: boxes(at_least(1), only(c)), 0.5, kind)
    say("there is a tower which has only {colour} color blocks", lambda c: boxes(at_least(1), only(c)), 0.3, kind)
    say("there is a tower with only one block and the color is {colour}", lambda c: boxes(at_least(1), both(tall(exactly(1)), only(c))), 0.3, kind)

    kind = "the tower of a height"
    grammar.add("n_blocks_tower", "(four|4) (blocks|block) tower", lambda: tall(exactly(4)), 2)
    grammar.add("n_blocks_tower", "(three|3) (blocks|block) tower", lambda: tall(exactly(3)), 2)
    grammar.add("n_blocks_tower", "(two|2) (blocks|block) tower", lambda: tall(exactly(2)), 2)
    grammar.add("n_blocks_tower", "(one|1) block tower", lambda: tall(exactly(1)), 0.5)
    say("the {end} of (a|the) {n_blocks_tower} is {colour}",
        lambda end, t, c: boxes(at_least(1), both(t, has(at_least(1), both(floor(end), c)))), 1.5, kind)
    say("there is a {n_blocks_tower} (that|where|which) the {end} is {colour}",
        lambda t, end, c: boxes(at_least(1), both(t, has(at_least(1), both(floor(end), c)))), 0.7, kind)
    say("there is (a|one|only one) {n_blocks_tower}", lambda t: boxes(at_least(1), t), 0, kind)
    say("there is a {n_blocks_tower}", lambda t: boxes(at_least(1), t), 0.5, kind)
    say("there is a {n_blocks_tower} (that has|which has|with) {stock}", lambda t, p: boxes(at_least(1), both(t, p)), 1, kind)
    say("there is a {n_blocks_tower} (that has|with) (only one|a single) color",
        lambda t: boxes(at_least(1), both(t, colours(exactly(1)))), 0.5, kind)
    say("the {nth} block (from the base of a tower|of a tower from the base|of a tower) is {colour}",
        lambda n, c: boxes(at_least(1), has(at_least(1), both(c, floor(n)))), 0.7, kind)
    say("the top of the two {many_high} (tower|towers) (are|is) {colour}",
        lambda n, c: boxes(at_least(2), both(tall(exactly(n)), has(at_least(1), both(c, floor(-1))))), 0.4, kind)
    grammar.add("many_high", "{few} (block|blocks)", lambda n: n)


def _of_all(grammar: Grammar) -> None:
    def say(pattern: str, meaning: object, weight: float, kind: str) -> None:
        grammar.add("towers", pattern, meaning, weight, f"towers: {kind}")  # type: ignore[arg-type]

    kind = "every tower"
    say("(all the|all|all 3|all three) towers (have|has|contain|contains) {property}", lambda p: boxes(exactly(3), p), 2, kind)
    say("(each|every) tower (has|contains) {property}", lambda p: boxes(exactly(3), p), 1, kind)
    say("there is at least (1|one) {colour} block in (each|every) tower", lambda c: boxes(exactly(3), has(at_least(1), c)), 0.6, kind)
    say("there is (a|1) {colour} block in (each|every) tower", lambda c: boxes(exactly(3), has(at_least(1), c)), 0.3, kind)
    say("there are {few} {colour} blocks in (each|every) tower", lambda n, c: boxes(exactly(3), has(exactly(n), c)), 0.1, kind)
    say("none of the towers (has|have) {property}", lambda p: boxes(none(), p), 0.5, kind)

    kind = "towers alike"
    say("there are (only|exactly) (two|2) towers (which has|that has|with|that have) the same base color", lambda: same(exactly(2), base_colour), 0.7, kind)
    say("there are (two|2) towers (which has|that has|with|that have) the same {end} color",
        lambda end: same(exactly(2), base_colour if end == 0 else top_colour), 0.5, kind)
    say("there are (two|2) towers with block(s|) of same color at {end}", lambda end: same(exactly(2), base_colour if end == 0 else top_colour), 0, kind)
    say("there are (two|2) towers with (block|blocks) of (the|) same color at (the|) {end}",
        lambda end: same(exactly(2), base_colour if end == 0 else top_colour), 0.4, kind)
    say("(two|2) of the (three|) towers has the same base color", lambda: same(exactly(2), base_colour), 0.3, kind)
    say("there are at least (two|2) towers with the same height", lambda: same(at_least(2), lambda a: a.height), 0.4, kind)
    say("there are (two|2|exactly two|only two) towers with the same height", lambda: same(exactly(2), lambda a: a.height), 0.3, kind)
    say("(all|all 3|all three|all the) towers have the same {end} color",
        lambda end: same(exactly(3), base_colour if end == 0 else top_colour), 0.2, kind)
    say("(all|all 3|all three|all the) towers have (the same|different) height", lambda: same(exactly(3), lambda a: a.height), 0, kind)
    say("all towers have the same height", lambda: same(exactly(3), lambda a: a.height), 0.2, kind)
    say("there are (two|2) towers which has {few} and {few} blocks each", _of_heights, 0.3, kind)
    say("there are (two|2) towers of {few} blocks each", lambda n: boxes(exactly(2), tall(exactly(n))), 0.2, kind)
    say("there are (two|2) (tower|towers) with different height and the base is {colour}", _different_heights, 0.4, kind)
    grammar.words("anything_at_all", {"block": anything})


def _of_heights(first: int, second: int) -> Truth:
    sensible(first != second)
    tallness = (boxes(at_least(1), tall(exactly(n))) for n in (first, second))
    return both(*tallness)


def _different_heights(colour: Things) -> Truth:
    def holds(album: Album) -> Mask:
        based = has(at_least(1), both(colour, floor(0)))(album)
        height = np.where(based, album.height, 0)
        return (based.sum(1) >= 2) & (height.max(1) != np.where(based, album.height, 9).min(1))
    return holds
