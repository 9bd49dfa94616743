"""Where in a picture the things or boxes are that a sentence is about.

It knows how scenes are laid out in pictures; it knows nothing about words.
"""

from __future__ import annotations

import numpy as np

from scripts.nlvr.album import Album, Mask
from scripts.nlvr.drawing import HEIGHT, PITCH, WIDTH
from scripts.nlvr.scenes import SIDE

Evidence = list[list[float]]  # x0 y0 x1 y1 each, fractions of the picture


def outlines(album: Album, picked: Mask, scene: int) -> Evidence:
    """Around the things of a scene that a mask [S, 3, 7] picks, or the boxes that a mask [S, 3] picks."""
    if picked.ndim == 2:
        corners = [(box, 0, 0, SIDE) for box in np.flatnonzero(picked[scene])]
    else:
        corners = [(box, *album.facts[scene, box, place, :3]) for box, place in np.argwhere(picked[scene])]
    lefts = [(box * PITCH + x, y, side) for box, x, y, side in corners]
    return [
        [float(x / WIDTH), float(y / HEIGHT), float((x + side) / WIDTH), float((y + side) / HEIGHT)]
        for x, y, side in lefts
    ]
