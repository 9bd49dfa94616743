"""From a picture to the pixels that the model sees: as at run time, or varied for training, without torchvision.

It knows pictures; it knows nothing about captions or tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from open_autoglm.errors import SettingError
from open_autoglm.runtime.images import ImageLimits, ImageSource, Preprocessing, decode, prepare

_REDUCING_GAP = 3.0  # as at run time: shrink by whole factors down to 3 times the target first


class Transform(Protocol):
    """A picture to uint8 [height, width, 3], the same for the same state of ``random``. Raises ImageError.

    ``may_mirror`` is False where left and right must stay.
    """

    @property
    def preprocessing(self) -> Preprocessing: ...

    @property
    def limits(self) -> ImageLimits: ...

    def __call__(
        self, picture: ImageSource, random: np.random.Generator, may_mirror: bool = True
    ) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Augmentation:
    """How much pictures are varied.

    - ``smallest_crop``: share of the picture's area that a crop keeps at least; 1 crops nothing.
    - ``stretch``: a crop is up to this many times wider or narrower than what the model sees in use.
    - ``mirror``, ``blur``: how often, 0..1. ``colour``: brightness, contrast and saturation change by up to this share.

    Raises SettingError for a value out of range.
    """

    smallest_crop: float = 0.6
    stretch: float = 4 / 3
    mirror: float = 0.5
    colour: float = 0.2
    blur: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.smallest_crop <= 1 or self.stretch < 1:
            raise SettingError(
                f"An augmentation with smallest_crop {self.smallest_crop} and stretch {self.stretch}: the first is "
                "above 0 and at most 1, the second at least 1."
            )
        if not all(0 <= value <= 1 for value in (self.mirror, self.colour, self.blur)):
            raise SettingError(
                f"An augmentation with mirror {self.mirror}, colour {self.colour} and blur {self.blur}: "
                "each is from 0 to 1."
            )


@dataclass(frozen=True)
class EvalTransform:
    """Exactly the runtime's preparation."""

    preprocessing: Preprocessing
    limits: ImageLimits = ImageLimits()  # noqa: RUF009 - frozen

    def __call__(self, picture: ImageSource, random: np.random.Generator, may_mirror: bool = True) -> NDArray[np.uint8]:
        return prepare(picture, self.preprocessing, self.limits)


@dataclass(frozen=True)
class TrainTransform:
    """A random crop resized, then mirrored, recoloured and blurred by chance."""

    preprocessing: Preprocessing
    augmentation: Augmentation = Augmentation()
    limits: ImageLimits = ImageLimits()  # noqa: RUF009 - frozen

    def __call__(self, picture: ImageSource, random: np.random.Generator, may_mirror: bool = True) -> NDArray[np.uint8]:
        settings, strength = self.preprocessing, self.augmentation
        # The numbers are drawn before anything depends on the picture, so that each has one meaning.
        draws = random.random(10).tolist()
        at_least = math.ceil(settings.shortest / math.sqrt(strength.smallest_crop))
        image = Image.fromarray(decode(picture, self.limits, at_least))
        image = image.resize(
            (settings.width, settings.height),
            Image.Resampling[settings.resample.upper()],
            box=_crop(image.size, settings, strength, draws[:4]),
            reducing_gap=_REDUCING_GAP,
        )
        if may_mirror and draws[4] < strength.mirror:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if strength.colour:
            for enhance, draw in zip(
                (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), draws[5:8], strict=True
            ):
                image = enhance(image).enhance(1 + strength.colour * (2 * draw - 1))
        if draws[8] < strength.blur:
            image = image.filter(ImageFilter.GaussianBlur((0.002 + 0.004 * draws[9]) * max(image.size)))
        return np.array(image)


def _crop(
    size: tuple[int, int], settings: Preprocessing, strength: Augmentation, draws: list[float]
) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a random crop in pixels.

    Squashed pictures keep their own shape in the middle of what is drawn, cropped ones the model's: what training
    sees is spread around what use sees.
    """
    width, height = size
    usual = width / height if settings.resize == "squash" else settings.width / settings.height
    ratio = usual * strength.stretch ** (2 * draws[0] - 1)
    area = width * height * (strength.smallest_crop + (1 - strength.smallest_crop) * draws[1])
    wide, high = math.sqrt(area * ratio), math.sqrt(area / ratio)
    wide, high = min(wide, width, height * ratio), min(high, height, width / ratio)
    wide, high = max(1.0, min(wide, width)), max(1.0, min(high, height))
    left, top = draws[2] * (width - wide), draws[3] * (height - high)
    return left, top, min(left + wide, float(width)), min(top + high, float(height))
