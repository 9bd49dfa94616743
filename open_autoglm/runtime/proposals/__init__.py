"""Where in a picture something may be: a file a kind of region proposal, and boxes that a user gives.

They know pixels and boxes; they know nothing about models.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from ...errors import SettingError
from .detected import Detected, Detections
from .given import check_boxes
from .grid import Grid
from .proposer import MOST_BOXES, Proposer, distinct, or_whole
from .segments import Segments

__all__ = [
    "DETECTOR",
    "MOST_BOXES",
    "PROPOSERS",
    "Detected",
    "Detections",
    "Proposer",
    "check_boxes",
    "distinct",
    "make_proposer",
    "or_whole",
]

DETECTOR = "detector"
PROPOSERS: Mapping[str, Callable[..., Proposer]] = {"grid": Grid, "segments": Segments}
"""By kind, of those that need no weights; the constructor's arguments are the settings."""


def make_proposer(settings: Mapping[str, Any], detector: Callable[[Detected], Proposer] | None = None) -> Proposer:
    """The proposer of ``{"kind": "segments", "most": 32, ...}``; ``detector`` makes one of kind detector.

    SettingError for an unknown name or a wrong value, or for a detector where there is none.
    """
    arguments = dict(settings)
    kind = arguments.pop("kind", None)
    makers: Mapping[str, Any] = {**PROPOSERS, DETECTOR: Detected}
    if kind is None:
        raise SettingError(f"The regions have no kind; there are {', '.join(makers)}.")
    if kind not in makers:
        raise SettingError(f"There is no kind of regions {kind}; {_advice(kind, list(makers))}")
    maker = makers[kind]
    defaults = {field.name: field.default for field in fields(maker)}
    for name, value in arguments.items():
        if name not in defaults:
            raise SettingError(f"Regions of kind {kind} have no setting {name}; {_advice(name, list(defaults))}")
        arguments[name] = _converted(value, defaults[name], f"Regions of kind {kind} with {name} {value}")
    proposer: Any = maker(**arguments)
    if isinstance(proposer, Detected):
        if detector is None:
            raise SettingError("Regions of kind detector cannot be had here: choose grid or segments.")
        proposer = detector(proposer)
    made: Proposer = proposer
    return made


def _advice(name: Any, known: list[str]) -> str:
    """The nearest name, or all of them."""
    near = difflib.get_close_matches(str(name), known, 1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."


def _converted(value: Any, default: Any, where: str) -> Any:
    """The value in the type of its setting's default; SettingError where it has another."""
    if isinstance(default, tuple):
        if not isinstance(value, list | tuple):
            raise SettingError(f"{where}: give a list of numbers.")
        return tuple(_converted(one, default[0], where) for one in value)
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        raise SettingError(f"{where}: give {kinds[type(default)]}.")
    return value
