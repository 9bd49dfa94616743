"""The gate before the routes: recognises who asks, counts, asks the policy, and logs what was decided.

It knows callers, quotas and the policy; it knows nothing of what lies behind it. No token or key is ever logged.
"""

from __future__ import annotations

import logging
import time

from fastapi import Request
from starlette.datastructures import Headers

from ..caller import Caller
from .credentials import credential
from .key_source import NoKeys, open_source
from .keys import PREFIX, KeyFile
from .opa import OpaPolicy
from .policy import Policy, Question
from .quotas import Quotas, headers
from .refusal import Refused, denied, undecided, unknown_caller
from .rego import SHIPPED, RegoPolicy
from .settings import AccessSettings
from .tokens import Tokens

_log = logging.getLogger("open_autoglm.access")
_LONGEST_NAME = 200


class Access:
    """The gate that settings describe; ``async with`` opens and closes its connections.

    Raises SettingError for files that cannot be used.
    """

    def __init__(self, settings: AccessSettings) -> None:
        self._settings = settings
        self._keys = KeyFile(settings.keys) if settings.keys is not None else None
        self._source = open_source(settings) if settings.jwks is not None else None
        self._tokens = Tokens(settings, self._source) if self._source is not None else None
        self._policy = open_policy(settings)
        self._quotas = Quotas(settings)

    async def __aenter__(self) -> Access:
        if self._source is not None:
            try:
                await self._source.keys(None)
            except NoKeys:
                _log.error("No token can be checked until its keys can be fetched.")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._policy.close()
        await self._quotas.close()
        if self._source is not None:
            await self._source.close()

    async def admit(self, request: Request, action: str) -> Caller:
        """As Gate says. What a route names in its path is the caller's own; all else is everybody's."""
        try:
            caller = await self.recognise(request.headers)
        except Refused as refusal:
            _note(logging.WARNING, "nobody known", "", action, "", False, str(refusal), 0)
            raise
        request.state.caller = caller
        await self._count(request, caller, {"requests": 1})
        index = str(request.path_params.get("index", ""))
        await self.check(request, caller, action, index=index, model="", tenant=caller.tenant if index else "")
        return caller

    async def recognise(self, sent: Headers) -> Caller:
        """Whoever a request's headers speak for. Raises Refused."""
        shown = credential(sent, self._settings.token_bytes)
        if shown.startswith(PREFIX):
            if self._keys is None:
                raise unknown_caller("No API keys are taken here: send a token.")
            found = self._keys.recognise(shown, time.time())
            if isinstance(found, str):
                raise unknown_caller(found)
            return found
        if self._tokens is None:
            raise unknown_caller("This API key is not known: it was mistyped or revoked.")
        if shown.count(".") != 2:
            raise unknown_caller("This token or key is not known: it was mistyped or cut off.")
        try:
            return await self._tokens.recognise(shown)
        except NoKeys as error:
            raise undecided("No token can be checked now: the keys of their issuer cannot be fetched.") from error

    async def check(
        self, request: Request, caller: Caller, action: str, *, index: str, model: str, tenant: str
    ) -> None:
        question = Question(
            action,
            request.method,
            request.scope["path"],
            caller.tenant,
            caller.subject,
            caller.scopes,
            index,
            model,
            tenant,
        )
        started = time.perf_counter()
        decision = await self._policy.allows(question)
        taken = round(1e6 * (time.perf_counter() - started))
        level = logging.INFO if decision.allowed else logging.ERROR if decision.failed else logging.WARNING
        resource = "/".join(filter(None, (tenant, index or model)))
        _note(level, caller.subject, caller.tenant, action, resource, decision.allowed, decision.why, taken)
        if decision.failed:
            raise undecided("Nobody can decide now whether this is allowed, so it is refused: try again in a moment.")
        if not decision.allowed:
            raise denied(
                f"You may not do this: your key or token lacks the scope {action}, or what you ask for is another's."
            )

    async def spend(self, request: Request, caller: Caller, *, pictures: int, tokens: int) -> None:
        await self._count(request, caller, {"pictures": pictures, "tokens": tokens})

    async def _count(self, request: Request, caller: Caller, costs: dict[str, int]) -> None:
        standings = await self._quotas.spend(caller.tenant, costs)
        if standings:
            request.state.standings = [*getattr(request.state, "standings", ()), *standings]
            request.state.quotas = headers(request.state.standings)


def open_policy(settings: AccessSettings) -> Policy:
    """Whatever decides, by the settings. Raises SettingError."""
    if settings.opa is not None:
        return OpaPolicy(settings.opa, settings.opa_timeout, settings.opa_connections)
    return RegoPolicy(settings.policy or SHIPPED, settings.decision_seconds)


def _note(
    level: int, who: str, tenant: str, action: str, resource: str, allowed: bool, why: str, microseconds: int
) -> None:
    """One line about a decision; its parts go along for handlers that write them apart."""
    if not _log.isEnabledFor(level):
        return
    # A name out of a request's body could hold a line break, and with it a line of its own.
    shown = resource if resource.isprintable() else ascii(resource)
    parts = {
        "who": who,
        "tenant": tenant,
        "action": action,
        "resource": shown[:_LONGEST_NAME],
        "allowed": allowed,
        "why": why,
        "microseconds": microseconds,
    }
    said = "allowed" if allowed else "refused"
    about = f" on {parts['resource']}" if resource else ""
    _log.log(level, "%s %s of %s%s: %s", said, action, who, about, why, extra=parts)
