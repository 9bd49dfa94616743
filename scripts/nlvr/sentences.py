"""The whole grammar: what is said of towers and of scattered things, in the words of NLVR's annotators.

It joins the themes, and knows nothing about scenes.
"""

from __future__ import annotations

from functools import cache

from scripts.nlvr.boxes import add_boxes
from scripts.nlvr.grammar import Grammar
from scripts.nlvr.looks import add_looks
from scripts.nlvr.quantities import add_quantities
from scripts.nlvr.touching import add_touching
from scripts.nlvr.towers import add_towers


@cache
def grammar() -> Grammar:
    """Sentences ``towers`` and ``scattered``; their meanings are the truth of each scene of an album of that sort."""
    whole = Grammar()
    for add in (add_quantities, add_looks, add_towers, add_boxes, add_touching):
        add(whole)
    return whole
