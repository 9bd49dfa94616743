"""What every route works with: models, indexes, the intake of bodies and pictures, and how jobs are given out.

It knows jobs and pictures; it knows nothing of addresses or the shapes of requests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from fastapi import Request

from ...errors import ImageError
from ..access import Caller, check, spend
from ..failures import Refusal
from ..indexes import DEFAULT_INDEX
from ..intake.bodies import Intake
from ..intake.sent import SentPictures
from ..pictures import PictureGone
from ..readiness import ReadinessCheck
from ..service import Service
from ..settings import Settings
from ..telemetry import note_tokens
from ..tokens import TokenCounts
from ..work import Job, Models, Outcome, Served, Task, UnknownModel

if TYPE_CHECKING:
    from ...runtime.model import Model


class Looked(Protocol):
    """A request about one picture: the id of one of an index, or one that was sent."""

    @property
    def picture(self) -> int | None: ...
    @property
    def index(self) -> str: ...
    @property
    def image(self) -> str | None: ...
    @property
    def model(self) -> str: ...


@dataclass(frozen=True)
class Asked:
    """A request, who sends it, and the action that they were allowed."""

    request: Request
    caller: Caller
    action: str


@dataclass(frozen=True)
class Desk:
    """``index_model`` gives a model by its served name, as a tenant's index is to use it."""

    models: Models
    service: Service
    intake: Intake
    pictures: SentPictures
    tokens: TokenCounts
    settings: Settings
    index_model: Callable[[str, str], Model]
    version: Callable[[str], Served | None]
    ready: ReadinessCheck

    def served(self, name: str) -> Served:
        """The model of that name, "" being the default. Raises UnknownModel."""
        for one in self.models.served:
            if name in ("", one.name):
                return one
        if (version := self.version(name)) is not None:
            return version
        known = ", ".join(one.name for one in self.models.served) or "none"
        raise UnknownModel(f"There is no model {name!r} here; served are: {known}.")

    def able(self, name: str, task: type[Task], what: str) -> Served:
        """The model of that name, if it does such work. Raises UnknownModel, Refusal."""
        found = self.served(name)
        if task not in found.tasks:
            raise Refusal(HTTPStatus.BAD_REQUEST, "NotAble", f"The model {found.name} cannot {what}: use another.")
        return found

    async def answer(
        self, asked: Asked, model: str, tasks: Sequence[Task], texts: Sequence[str], user: str = ""
    ) -> tuple[list[Outcome], int]:
        """One outcome a task, in order, and how many tokens the ``texts`` in them have.

        ``user`` is whom the caller asks for. Raises Overloaded, UnknownModel, and what access refuses.
        """
        name = self.served(model).name
        tokens = self.tokens.of(name, texts)
        note_tokens(input=tokens)
        if model:
            await check(asked.request, asked.caller, asked.action, model=name)
        pictures = sum(hasattr(task, "content") for task in tasks)
        await spend(asked.request, asked.caller, pictures=pictures, tokens=tokens)
        sticky = f"{asked.caller.tenant}/{asked.caller.subject}/{user}"
        seconds = self.settings.requests.seconds
        return await self.models.answer([Job(task, model, asked.caller, sticky, seconds) for task in tasks]), tokens

    async def about(
        self, asked: Asked, wanted: Looked, uploaded: bytes | None, texts: Sequence[str], task: Callable[[bytes], Task]
    ) -> tuple[Outcome, bytes]:
        """What became of one task about the one picture that is meant, and that picture's bytes."""
        given = [wanted.picture is not None, wanted.image is not None, uploaded is not None]
        if given.count(True) != 1:
            message = "Ask about one picture: give its id as 'picture', or a picture as 'image'."
            raise Refusal(HTTPStatus.BAD_REQUEST, "RequestError", message)
        self.check_texts(texts)
        if wanted.picture is not None:
            await self.reach(asked, wanted.index)
            content = (await self.service.picture(asked.caller.tenant, wanted.index, wanted.picture)).content
        else:
            content = await self.pictures.content(wanted.image) if wanted.image is not None else uploaded or b""
        ((outcome,), _) = await self.answer(asked, wanted.model, [task(content)], texts)
        if wanted.picture is not None and isinstance(outcome.error, ImageError):
            raise PictureGone("The picture's file can no longer be read as a picture.") from outcome.error
        return outcome, content

    async def reach(self, asked: Asked, index: str) -> None:
        """Asks the policy about an index that the body of a request names; it is the caller's own or none."""
        if index != DEFAULT_INDEX:
            tenant = asked.caller.tenant
            await check(asked.request, asked.caller, asked.action, index=index, tenant=tenant)

    def check_texts(self, texts: Sequence[str]) -> None:
        """Raises Refusal where they are too long together."""
        most = self.settings.requests.characters
        if sum(map(len, texts)) > most:
            message = f"The texts are too long: at most {most} characters can be sent in one request."
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "TooLarge", message)

    def check_items(self, count: int, what: str) -> None:
        """Raises Refusal where there are none or too many."""
        most = self.settings.requests.items
        if not 1 <= count <= most:
            message = f"{what}: between 1 and {most} can be sent in one request, not {count}."
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "RequestError", message)
