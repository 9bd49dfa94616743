"""Answers about a picture as the API gives them: texts, boxes in pixels, and the heat map as a small PNG.

It knows what the runtime answers with and the API's schemas; it knows nothing of HTTP or of how answers come about.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from ..runtime.answers import Answer, Grounding
from ..runtime.images import size
from .schemas import AnswerReply, GroundReply, Region
from .work import Outcome


def answer_reply(outcome: Outcome, content: bytes) -> AnswerReply:
    """An answer about the picture with these bytes. Raises the outcome's error."""
    answer: Answer = outcome.get()
    width, height = size(content)
    return AnswerReply(
        model=outcome.model,
        space=outcome.space,
        width=width,
        height=height,
        answer=answer.text,
        confidence=answer.confidence,
        reason=answer.reason,
        regions=regions(answer.regions),
        heatmap=painted(answer.regions) if len(answer.regions.boxes) else None,
    )


def ground_reply(outcome: Outcome, content: bytes) -> GroundReply:
    """Where something is in the picture with these bytes. Raises the outcome's error."""
    found: Grounding = outcome.get()
    width, height = size(content)
    return GroundReply(
        model=outcome.model,
        space=outcome.space,
        width=width,
        height=height,
        regions=regions(found),
        heatmap=painted(found),
    )


def regions(found: Grounding) -> list[Region]:
    """Boxes with their scores, best first."""
    return [
        Region(box=(x0, y0, x1, y1), score=score)
        for (x0, y0, x1, y1), score in zip(found.boxes.tolist(), found.scores.tolist(), strict=True)
    ]


def painted(found: Grounding) -> str:
    """The heat map as a grey PNG in a data: address; as numbers it would be twenty times as long."""
    file = io.BytesIO()
    Image.fromarray((found.heatmap.clip(0, 1) * 255).round().astype(np.uint8)).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
