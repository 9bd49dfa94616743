"""The whole grammar: what is said and asked of towers and of scattered things, in the words of NLVR's annotators.

It joins the themes, and knows nothing about scenes.
"""

from __future__ import annotations

from functools import cache

from scripts.nlvr.grammar import Grammar
from scripts.nlvr.themes.alike import add_alike
from scripts.nlvr.themes.asked import add_asked
from scripts.nlvr.themes.boxes import add_boxes
from scripts.nlvr.themes.looks import add_looks
from scripts.nlvr.themes.quantities import add_quantities
from scripts.nlvr.themes.stacks import add_stacks
from scripts.nlvr.themes.tower_parts import add_tower_parts
from scripts.nlvr.themes.towers import add_towers
from scripts.nlvr.themes.walls import add_walls

THEMES = (
    add_quantities,
    add_looks,
    add_tower_parts,
    add_towers,
    add_alike,
    add_boxes,
    add_stacks,
    add_walls,
    add_asked,
)


@cache
def grammar() -> Grammar:
    """Sentences ``towers`` and ``scattered``; their meanings are the truth of each scene of an album of that sort.

    Questions ``towers_asked`` and ``scattered_asked``, whose meanings are numbers.
    """
    whole = Grammar()
    for add in THEMES:
        add(whole)
    return whole
