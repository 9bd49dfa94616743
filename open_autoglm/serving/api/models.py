"""``/v1/models`` in OpenAI's shape, with each model's embedding space and what it can do.

It knows that shape; it knows nothing of bundles.
"""

from __future__ import annotations

import re
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from ..access import Caller, permits
from ..work import Served
from .described import failures, family
from .desk import Desk


class ModelCard(BaseModel):
    """A model: its name, embedding space, the numbers of a vector, and its kinds of work."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "open-autoglm"
    space: str
    dimension: int
    tasks: list[str]


class ModelCards(BaseModel):
    """All models that are served, the default first."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


def routes(desk: Desk) -> APIRouter:
    """The addresses, over ``desk``."""
    router, started = family(tags=["models"]), int(time.time())

    @router.get("/v1/models")
    async def models(caller: Annotated[Caller, Depends(permits("models"))]) -> ModelCards:
        """What is served."""
        return ModelCards(data=[_card(one, started) for one in desk.models.served])

    @router.get("/v1/models/{name}", responses=failures(404, 422))
    async def model(name: str, caller: Annotated[Caller, Depends(permits("models"))]) -> ModelCard:
        """One of them."""
        return _card(desk.served(name), started)

    return router


def _card(one: Served, started: int) -> ModelCard:
    tasks = [re.sub(r"(?<!^)(?=[A-Z])", "_", task.__name__).lower() for task in one.tasks]
    return ModelCard(id=one.name, created=started, space=one.space, dimension=one.dimension, tasks=tasks)
