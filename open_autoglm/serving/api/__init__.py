"""The API's addresses, a file a family: each takes a request apart, gives out jobs and puts the reply together.

They know HTTP and the shapes that clients speak; they know nothing of how models, indexes or access work.
"""

from __future__ import annotations

from fastapi import APIRouter

from . import asking, chat, classify, embeddings, health, indexes, models, pictures, rerank, search
from .described import ANY, failures, install
from .desk import Desk

FAMILIES = (asking, chat, classify, embeddings, health, indexes, models, pictures, rerank, search)

__all__ = ["Desk", "api", "install"]


def api(desk: Desk) -> APIRouter:
    """All of it."""
    router = APIRouter(responses=failures(*ANY))
    for family in FAMILIES:
        router.include_router(family.routes(desk))
    return router
