"""Pictures for the model and the page: decoded, resized as a bundle's preprocessing says, or as thumbnails.

It knows nothing about models or indexes; what may come in, and how it is decoded, is `decoding`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from ..errors import SettingError
from .decoding import DEFAULT_LIMITS, ImageLimits, ImageSource, open_picture

__all__ = ["ImageLimits", "ImageSource", "Preprocessing", "decode", "prepare", "seen", "size", "taken", "thumbnail"]

_RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_REDUCING_GAP = 3.0  # shrink by whole factors down to 3 times the target first: faster, and looks the same


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes what the picture tower sees: ``height`` x ``width`` pixels.

    ``squash`` resizes to exactly that; ``crop`` resizes the shortest side to ``crop_from`` (or ``height``)
    and takes the centre. ``mean`` and ``std`` are of pixels in 0..1, and are applied by the model, not here.
    Raises SettingError for sizes below 1, an unknown name, or a crop larger than what it is cut from.
    """

    height: int
    width: int
    resize: Literal["squash", "crop"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resample: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    crop_from: int | None = None

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise SettingError(f"Preprocessing to {self.height} x {self.width} pixels: both must be at least 1.")
        if self.resize not in ("squash", "crop") or self.resample not in _RESAMPLE:
            raise SettingError(
                f"Preprocessing with resize {self.resize!r} and resample {self.resample!r}: "
                f"resize is squash or crop, and resample is one of {', '.join(_RESAMPLE)}."
            )
        if self.resize == "crop" and self.shortest < max(self.height, self.width):
            raise SettingError(
                f"Preprocessing cuts {self.height} x {self.width} pixels of a picture whose shortest side is "
                f"{self.shortest}: set crop_from to at least {max(self.height, self.width)}."
            )

    @property
    def shortest(self) -> int:
        """Pixels the shorter side needs before anything is cut off or squashed."""
        return (self.crop_from or self.height) if self.resize == "crop" else max(self.height, self.width)


def decode(source: ImageSource, limits: ImageLimits = DEFAULT_LIMITS, at_least: int | None = None) -> np.ndarray:
    """The picture as uint8 [h, w, 3] RGB, contiguous and writable.

    EXIF rotation is applied; of an animated file the first frame is taken; transparency is laid over white.
    16-bit grey keeps its high byte; 32-bit and float grey are stretched from their lowest value to the highest.
    at_least: a JPEG may come out 2, 4 or 8 times smaller, its shorter side not below this many pixels.
    Raises ImageError: one sentence, beginning with the file's name, or "This" for what has none.
    """
    return np.array(open_picture(source, limits).pixels(at_least))


def prepare(source: ImageSource, preprocessing: Preprocessing, limits: ImageLimits = DEFAULT_LIMITS) -> np.ndarray:
    """The picture as the tower sees it: uint8 [height, width, 3] RGB. Raises ImageError, as decode does."""
    image = open_picture(source, limits).pixels(preprocessing.shortest)
    return np.array(
        image.resize(
            (preprocessing.width, preprocessing.height),
            _RESAMPLE[preprocessing.resample],
            box=_centre(image.size, preprocessing) if preprocessing.resize == "crop" else None,
            reducing_gap=_REDUCING_GAP,
        )
    )


def seen(
    source: ImageSource, preprocessing: Preprocessing, limits: ImageLimits = DEFAULT_LIMITS
) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of what the tower sees, in pixels of the upright picture. Raises ImageError."""
    opened = open_picture(source, limits)
    width, height = opened.image.size
    if opened.orientation() >= 5:
        width, height = height, width
    return _centre((width, height), preprocessing) if preprocessing.resize == "crop" else (0.0, 0.0, width, height)


def size(source: bytes) -> tuple[int, int]:
    """Width and height in pixels after EXIF rotation, from the header alone. Raises ImageError."""
    return open_picture(source, ImageLimits(max_bytes=len(source), max_pixels=2**62)).size()


def taken(source: bytes) -> str | None:
    """When the picture was taken (ISO 8601, local time), from EXIF in the header, or None. Raises ImageError."""
    return open_picture(source, ImageLimits(max_bytes=len(source), max_pixels=2**62)).taken()


def thumbnail(source: ImageSource, longest: int, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """The picture as a JPEG file, its longer side at most ``longest`` pixels. Raises ImageError."""
    opened = open_picture(source, limits)
    scale = min(1.0, longest / max(opened.image.size))
    image = opened.pixels(max(1, round(scale * min(opened.image.size))))
    width, height = image.size
    scale = min(1.0, longest / max(width, height))
    target = (max(1, round(scale * width)), max(1, round(scale * height)))
    encoded = io.BytesIO()
    image.resize(target, Image.Resampling.BICUBIC, reducing_gap=_REDUCING_GAP).save(encoded, "JPEG", quality=82)
    return encoded.getvalue()


def _centre(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[float, float, float, float]:
    """Left, top, right, bottom, in the picture's pixels, of what a resize and centre crop would leave.

    Sizes and offsets are rounded as Hugging Face image processors round them; cutting while resizing keeps a
    100,000 x 10 picture from being blown up first.
    """
    shortest = preprocessing.shortest
    edges = []
    for length, kept in zip(size, (preprocessing.width, preprocessing.height), strict=True):
        resized = int(shortest * length / min(size))
        start = (resized - kept) // 2
        edges.append((start * length / resized, min(float(length), (start + kept) * length / resized)))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom
