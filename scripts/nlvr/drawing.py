"""Draws scenes as NLVR's pictures show them: 400 x 100 pixels, three light boxes on grey, shapes with smooth edges.

It knows nothing about what a scene is good for.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scripts.nlvr.scenes import BOXES, SIDE, Scene

WIDTH, HEIGHT = 400, 100
PITCH = 150  # pixels from the left edge of a box to that of the next
GREY = (128, 128, 128)
BOX = (211, 211, 211)
PAINT = {"yellow": (255, 255, 0), "black": (0, 0, 0), "blue": (0, 153, 255)}
FINE = 4  # sub-pixels a side, by which the covered part of an edge pixel is measured: what the real pictures show


def mix(colour: str, covered: int) -> tuple[int, ...]:
    """What a pixel of a box looks like of which so many of its sub-pixels are painted."""
    part = covered / (FINE * FINE)
    return tuple(round(part * paint + (1 - part) * ground) for paint, ground in zip(PAINT[colour], BOX, strict=True))


PALETTE = [GREY, BOX, *(mix(colour, covered) for colour in PAINT for covered in range(1, FINE * FINE + 1))]
Pixels = NDArray[np.uint8]  # colours of PALETTE by number, which take a third of the room of RGB


def draw(scene: Scene) -> Pixels:
    """The scene as numbers of colours, ``[100, 400]``."""
    pixels = background().copy()
    for number, box in enumerate(scene.boxes):
        for thing in box:
            x = number * PITCH + thing.x
            pixels[thing.y : thing.y + thing.size, x : x + thing.size] = sprite(thing.shape, thing.size, thing.colour)
    return pixels


@cache
def background() -> Pixels:
    """Three empty boxes, ``[100, 400]``."""
    pixels = np.full((HEIGHT, WIDTH), PALETTE.index(GREY), np.uint8)
    for number in range(BOXES):
        pixels[:, number * PITCH : number * PITCH + SIDE] = PALETTE.index(BOX)
    return pixels


@cache
def sprite(shape: str, size: int, colour: str) -> Pixels:
    """One thing on the ground of its box, ``[size, size]``; edge pixels mix by how much of them is covered."""
    return np.array([[mixed(colour, part) for part in row] for row in coverage(shape, size)], np.uint8)


def mixed(colour: str, part: float) -> int:
    """The number of the colour that covers this part of a pixel of a box."""
    return PALETTE.index(mix(colour, round(part * FINE * FINE)))


def coverage(shape: str, size: int) -> NDArray[np.float64]:
    """How much of each pixel the shape covers, ``[size, size]`` in 0..1."""
    fine = (np.arange(size * FINE) + 0.5) / FINE
    x, y = fine[None, :], fine[:, None]
    match shape:
        case "circle":
            inside = (x - size / 2) ** 2 + (y - size / 2) ** 2 <= (size / 2) ** 2
        case "triangle":
            inside = np.abs(x - size / 2) <= y / 2
        case _:
            inside = np.ones((size * FINE, size * FINE), bool)
    covered: NDArray[np.float64] = inside.reshape(size, FINE, size, FINE).mean((1, 3))
    return covered


def encode(pixels: Pixels) -> bytes:
    """The picture as a PNG with a palette, of about a kilobyte."""
    picture = Image.fromarray(pixels, "P")
    picture.putpalette([channel for colour in PALETTE for channel in colour])
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=6)
    return stream.getvalue()
