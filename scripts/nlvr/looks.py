"""Colours, shapes, sizes and the nouns of things: the noun phrases that sentences are made of.

It knows nothing about sentences.
"""

from __future__ import annotations

from scripts.nlvr.grammar import Grammar
from scripts.nlvr.meaning import Things, anything, both, opposite
from scripts.nlvr.scenes import COLOURS, SHAPES, SIZES


def coloured(name: str) -> Things:
    """The things of a colour."""
    return lambda album: album.colour(name)


def shaped(name: str) -> Things:
    """The things of a shape."""
    return lambda album: album.shape(name)


def sized(pixels: int) -> Things:
    """The things of a size."""
    return lambda album: album.size(pixels)




def add_looks(grammar: Grammar) -> None:
    """Parts: ``colour``; ``block(s)`` and ``item(s)`` of towers; ``thing(s)`` of scattered scenes, each with its plural."""
    for colour in COLOURS:
        grammar.words("colour_name", {colour: colour})
    grammar.add("colour", "{colour_name}", coloured)
    grammar.words("size_name", {"small": SIZES[0], "medium|medium sized": SIZES[1], "big|large": SIZES[2]})
    grammar.add("size", "{size_name}", sized)

    for plural, ending in (("", ""), ("s", "s")):
        grammar.add(f"block{plural}", f"{{colour}} block{ending}", lambda colour: colour)
        noun = f"(item{ending}|item{ending}|item{ending}|object{ending}|square{ending}|block{ending})"
        grammar.add(f"item{plural}", f"{{colour}} {noun}", lambda colour: colour)

        grammar.words(f"noun{plural}", {f"item{ending}|item{ending}|object{ending}|object{ending}|shape{ending}": anything})
        for shape in SHAPES:
            grammar.words(f"shape{plural}", {f"{shape}{ending}": shaped(shape)})
        grammar.add(f"thing{plural}", f"{{colour}} {{shape{plural}}}", both, 6)
        grammar.add(f"thing{plural}", f"{{colour}} {{noun{plural}}}", both, 4)
        grammar.add(f"thing{plural}", f"{{shape{plural}}}", lambda shape: shape, 2)
        grammar.add(f"thing{plural}", f"{{size}} {{colour}} {{shape{plural}}}", both, 0.6)
        grammar.add(f"thing{plural}", f"{{size}} {{colour}} {{noun{plural}}}", both, 0.3)
        grammar.add(f"thing{plural}", f"{{size}} {{shape{plural}}}", both, 0.3)
        grammar.add(f"thing{plural}", f"{{shape{plural}}} of {{size}} size", both, 0.1)
        grammar.add(f"thing{plural}", f"{{colour}} {{shape{plural}}} of {{size}} size", both, 0.1)
        # "Touching" is said of any thing as well, counting rarely so.
        grammar.add(f"any_thing{plural}", f"{{thing{plural}}}", lambda thing: thing, 6)
        grammar.add(f"any_thing{plural}", f"{{noun{plural}}}", lambda thing: thing, 1)
        grammar.add(f"any_thing{plural}", f"{{noun{plural}}} (that is|which is|that are) not {{colour}}",
                    lambda noun, colour: both(noun, opposite(colour)), 0.15)
