"""The API's addresses, a file a family: each takes a request apart, gives out jobs and puts the reply together.

They know HTTP and the shapes that clients speak; they know nothing of how models, indexes or access work.
"""

from __future__ import annotations

from starlette.routing import BaseRoute

from . import asking, chat, classify, embeddings, health, indexes, models, pictures, rerank, search
from .described import install
from .desk import Desk

# They are tried in this order, so what is asked most comes first.
FAMILIES = (embeddings, chat, search, rerank, classify, asking, pictures, indexes, models, health)

__all__ = ["Desk", "api", "install"]


def api(desk: Desk) -> list[BaseRoute]:
    """All of it, in one list: FastAPI looks through routers within routers anew at every request."""
    return [route for family in FAMILIES for route in family.routes(desk).routes]
