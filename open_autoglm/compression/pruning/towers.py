"""The towers of a model that can be pruned, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from open_autoglm.errors import SettingError
from open_autoglm.modeling import OpenAutoGLM

from .convolutions import PictureTower
from .stages import Tower
from .transformer import TextTower

TOWERS: Mapping[str, Callable[[OpenAutoGLM], Tower]] = {"vision": PictureTower, "text": TextTower}


def tower_of(model: OpenAutoGLM, name: str) -> Tower:
    """The tower ``vision`` or ``text`` as stages. SettingError for another, and for one that cannot be pruned."""
    if name not in TOWERS:
        raise SettingError(f"A model has no tower {name}: it has {' and '.join(TOWERS)}.")
    return TOWERS[name](model)
