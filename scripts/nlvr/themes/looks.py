"""Colours, shapes, sizes and the nouns of things: the noun phrases that sentences are made of.

It knows nothing about sentences. Scattered things are called by their shape; towers are of ``blocks`` in sentences
about towers, and of ``items`` in sentences about the boxes they stand in.
"""

from __future__ import annotations

from scripts.nlvr.grammar import Grammar
from scripts.nlvr.meaning import Things, anything, both, either, opposite
from scripts.nlvr.properties import coloured, sensible, shaped, sized
from scripts.nlvr.scenes import COLOURS, SHAPES, SIZES


def add_looks(grammar: Grammar) -> None:
    """Parts ``colour``, ``name`` (of a colour), ``item(s)``, ``thing(s)``, and ``any_thing(s)`` that need no look."""
    for colour in COLOURS:
        grammar.words("name", {colour: colour})
    grammar.add("colour", "{name}", coloured)
    grammar.words(
        "size", {"small": sized(SIZES[0]), "medium|medium size": sized(SIZES[1]), "big|large": sized(SIZES[2])}
    )
    for shape in SHAPES:
        grammar.words("shape", {f"{shape} item": shaped(shape)}, 0.05)
        grammar.words("shape", {shape: shaped(shape)})
        grammar.words("shapes", {f"{shape}s": shaped(shape)})
    grammar.words("noun", {"item*4|object*3|shape": anything})
    grammar.words("nouns", {"items*4|objects*3|shapes": anything})
    for plural, ending in (("", ""), ("s", "s")):
        _phrases(grammar, plural, ending)


def _phrases(grammar: Grammar, plural: str, ending: str) -> None:
    blocks = f"(item{ending}*5|object{ending}|square{ending}*2)"
    grammar.add(f"item{plural}", f"{{colour}} {blocks}", lambda colour: colour)

    def add(pattern: str, weight: float) -> None:
        grammar.add(f"thing{plural}", pattern.replace("}_", f"{plural}}}"), both, weight)

    add("{colour} {shape}_", 10)
    add("{colour} {noun}_", 4)
    add("{shape}_", 2.5)
    add("{size} {colour} {shape}_", 0.6)
    add("{size} {colour} {noun}_", 0.3)
    add("{size} {shape}_", 0.3)
    add("{colour} {shape}_ of {size} size", 0.1)
    add("{colour} {noun}_ of {size} size", 0.1)
    add("{noun}_ of {size} size", 0.1)
    either_colour = "{name} or {name} {shape}_".replace("}_", f"{plural}}}")
    grammar.add(f"thing{plural}", either_colour, _one_of_two, 0.15)
    grammar.add(f"any_thing{plural}", f"{{thing{plural}}}", lambda thing: thing, 7)
    grammar.add(f"any_thing{plural}", f"{{noun{plural}}}", lambda thing: thing, 1)
    not_of = (
        f"{{noun{plural}}} (that are|which are) not {{colour}}" if plural else "{noun} (that is|which is) not {colour}"
    )
    grammar.add(f"any_thing{plural}", not_of, lambda noun, colour: both(noun, opposite(colour)), 0.15)
    not_sized = f"{{colour}} {{shape{plural}}} not (being|) of {{size}} size"
    grammar.add(f"any_thing{plural}", not_sized, lambda c, shape, size: both(c, shape, opposite(size)), 0.05)


def _one_of_two(first: str, second: str, shape: Things) -> Things:
    sensible(first != second)
    return both(either(coloured(first), coloured(second)), shape)
