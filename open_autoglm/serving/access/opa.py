"""A policy that an OPA server decides, over its data API; where it does not answer as it should, the answer is no.

It knows OPA's API; it knows nothing of callers.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import httpx

from .asking import open_client
from .policy import RULE, UNDEFINED, UNSOUND, Decision, Question, decided, failed

_log = logging.getLogger("open_autoglm.access")
_LARGEST = 2**16  # bytes of an answer


class OpaPolicy:
    """The rule ``open_autoglm.allow`` of an OPA server, asked anew each time: its policy may change at any."""

    def __init__(self, address: str, timeout: float = 1.0, connections: int = 32) -> None:
        self._address = f"{address.rstrip('/')}/v1/data/{RULE}"
        self._timeout, self._connections = timeout, connections
        self._client: httpx.AsyncClient | None = None

    async def allows(self, question: Question) -> Decision:
        if not question.is_sound:
            return UNSOUND
        try:
            # The bound is on the whole, waiting for a connection included.
            async with asyncio.timeout(self._timeout):
                return _outcome(await self._asked(question.document()))
        except Exception as error:  # whatever goes wrong on the way, nobody has said yes
            why = str(error) or type(error).__name__
            _log.error("The OPA server at %s did not decide (%s).", self._address, why)
            return failed(f"the OPA server did not decide ({type(error).__name__})")

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _asked(self, document: dict[str, Any]) -> Any:
        client = self._client = self._client or open_client(self._connections)
        async with client.stream("POST", self._address, json={"input": document}) as reply:
            if reply.status_code != httpx.codes.OK:
                raise ValueError(f"it answered with status {reply.status_code}")
            content = b""
            async for part in reply.aiter_raw():
                content += part
                if len(content) > _LARGEST:
                    raise ValueError(f"it sent more than {_LARGEST} bytes")
            return json.loads(content)


def _outcome(answer: Any) -> Decision:
    if not isinstance(answer, dict):
        return failed("the OPA server's answer is no document")
    return decided(answer["result"]) if "result" in answer else UNDEFINED
