"""What the tests of the API share: the base model served, pictures as data: URIs, tenants, models that fail."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from direct_models import Direct
from fastapi import Request
from serving_parts import serve_app

import open_autoglm
from open_autoglm.runtime.model import Model
from open_autoglm.serving import Settings, create_app
from open_autoglm.serving.access import Caller
from open_autoglm.serving.access.permits import Permits
from open_autoglm.serving.opening import Opened
from open_autoglm.serving.work import Describe, EmbedImage, EmbedText, Job, Outcome, Served

SAMPLES = Path(__file__).parent.parent / "samples"
BANANA, LEMON, APPLE = (SAMPLES / "grocery" / f"{name}.jpg" for name in ("banana", "lemon", "golden-delicious-apple"))
BASE = "open-autoglm-base"


@cache
def base() -> Model:
    """The base model, opened once."""
    return open_autoglm.load()


def uri(content: bytes | Path) -> str:
    """A picture as a data: URI."""
    found = content.read_bytes() if isinstance(content, Path) else content
    return "data:image/jpeg;base64," + base64.b64encode(found).decode()


@contextmanager
def serve_base(settings: Settings | None = None) -> Iterator[str]:
    """The address of a real server of the base model, with indexes where the settings say."""
    opened = Opened(None, Direct(lambda: {BASE: base()}), lambda name, tenant: base(), lambda name: base().bundle)
    with serve_app(create_app(opened, settings), settings) as address:
        yield address


class FakeModels:
    """Answers each task by what a test says: a value, an error for the item, or an error for the whole request."""

    def __init__(self, answers: dict[type, Any], whole: Exception | None = None) -> None:
        self.answers, self.whole = answers, whole
        self.jobs: list[Job] = []

    @property
    def served(self) -> Sequence[Served]:
        return [Served("fake", "fake-1", 4, tuple(self.answers) or (EmbedText, EmbedImage, Describe))]

    async def answer(self, jobs: Sequence[Job]) -> list[Outcome]:
        self.jobs += jobs
        if self.whole is not None:
            raise self.whole
        found = [self.answers[type(job.task)] for job in jobs]
        return [
            Outcome("fake", "fake-1", error=one) if isinstance(one, Exception) else Outcome("fake", "fake-1", one)
            for one in found
        ]


@contextmanager
def serve_fake(models: FakeModels, settings: Settings | None = None) -> Iterator[str]:
    """The address of a real server over models that only say what they are told."""
    opened = Opened(None, models, lambda name, tenant: base())
    with serve_app(create_app(opened, settings), settings) as address:
        yield address


def tenants_by_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever says ``x-tenant: NAME`` is NAME's, in applications made from now on."""

    async def admitted(self: Permits, request: Request) -> Caller:
        return Caller(request.headers.get("x-tenant", "default"), "somebody", frozenset({"*"}))

    monkeypatch.setattr(Permits, "__call__", admitted)
