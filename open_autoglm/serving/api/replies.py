"""Puts a reply together: JSON written once, straight from what was computed, and the headers that name the model.

It knows HTTP replies; it knows nothing of what they say.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from fastapi import Response
from pydantic import BaseModel
from pydantic_core import to_json

from ..telemetry import note_model
from ..work import Outcome

MODEL, SPACE = "x-model", "x-embedding-space"


def named(model: str, space: str) -> dict[str, str]:
    """Headers that say who answered, and in which embedding space; what is not ASCII is percent-encoded."""
    return {MODEL: _quoted(model), SPACE: _quoted(space)}


@lru_cache(256)
def _quoted(name: str) -> str:
    return quote(name, safe=" !#$&'()*+,/:;=?@[]")


def reply(content: BaseModel | dict[str, Any], model: str, space: str) -> Response:
    """The content as JSON, with the headers."""
    note_model(model)
    return Response(to_json(content, inf_nan_mode="null"), media_type="application/json", headers=named(model, space))


def who(outcomes: Sequence[Outcome]) -> tuple[str, str]:
    """The model and embedding space that answered; of several, the first that did."""
    best = next((outcome for outcome in outcomes if outcome.error is None), outcomes[0])
    return best.model, best.space
