"""Draws over a picture where something is: a heat map, and boxes with their scores.

It knows regions and Pillow; it knows nothing of how they were found.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import SettingError
from ..runtime.answers import Grounding
from ..runtime.decoding import ImageLimits
from ..runtime.images import decode

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
LONGEST = 1600  # pixels of what is drawn: enough to look at
STRONGEST = 0.55  # how far the heat hides the picture where it is hottest
# Cold to hot, told apart by lightness too: dark blue, red, yellow.
HEAT = np.array([[20, 24, 110], [214, 40, 40], [255, 222, 60]], np.float32)
LINE = (255, 255, 255)
EDGE = (16, 16, 20)


def check_drawing(path: Path) -> None:
    """Raises SettingError where a drawing cannot be written to ``path``."""
    if path.suffix.lower() not in FORMATS:
        raise SettingError(f"A drawing cannot be written to {path}: its name must end in .png or .jpg.")
    if not path.parent.is_dir():
        raise SettingError(f"A drawing cannot be written to {path}: there is no folder {path.parent}.")


def draw(picture: Path, regions: Grounding, to: Path, limits: ImageLimits) -> None:
    """Writes the picture with its heat map and boxes; SettingError where the disk does not take it."""
    image = Image.fromarray(decode(picture, limits))
    shrink = min(1.0, LONGEST / max(image.size))
    image = image.resize((max(1, round(shrink * image.width)), max(1, round(shrink * image.height))))
    if len(regions.boxes):
        image = heated(image, regions.heatmap)
        outline(image, regions, shrink)
    try:
        image.save(to, FORMATS[to.suffix.lower()])
    except OSError as error:
        raise SettingError(f"A drawing cannot be written to {to} ({error.strerror}).") from error


def heated(image: Image.Image, heatmap: np.ndarray) -> Image.Image:
    """The picture under its heat map, which is clear where it is cold."""
    heat = np.array(Image.fromarray(heatmap.astype(np.float32)).resize(image.size, Image.Resampling.BILINEAR))
    channels = [np.interp(heat, np.linspace(0, 1, len(HEAT)), HEAT[:, channel]) for channel in range(3)]
    veil = STRONGEST * heat[..., None]
    mixed = np.asarray(image, np.float32) * (1 - veil) + np.stack(channels, axis=-1) * veil
    return Image.fromarray(mixed.round().astype(np.uint8))


def outline(image: Image.Image, regions: Grounding, scale: float) -> None:
    """Draws boxes and their scores, the best last and on top."""
    pen = ImageDraw.Draw(image)
    width = max(2, round(min(image.size) / 200))
    font = ImageFont.load_default(max(11, round(min(image.size) / 28)))
    for box, score in reversed(list(zip((regions.boxes * scale).tolist(), regions.scores.tolist(), strict=True))):
        x0, y0, x1, y1 = (round(side) for side in box)
        corners = (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1))
        pen.rectangle(corners, outline=EDGE, width=width + 2)
        pen.rectangle(corners, outline=LINE, width=width)
        words = f"{score:.0%}"
        left, top, right, bottom = pen.textbbox((x0 + 2 * width, y0 + 2 * width), words, font=font)
        pen.rectangle((left - width, top - width, right + width, bottom + width), fill=EDGE)
        pen.text((x0 + 2 * width, y0 + 2 * width), words, fill=LINE, font=font)
