"""What it costs to ask who may do what: a token's check, a key's, a policy's decision, and a flood of unknown key ids.

All are timed in one series, turn by turn. "Cold" checks each token's signature and evaluates the policy each time;
"warm" is as the server runs, which knows a token that it has checked and a decision of the last second. Beside them
stand what one would write with the libraries alone: jwt.decode, regopy's query, and PyJWKClient under the same flood.
OPA itself is not here: a loopback server that speaks its data API, and evaluates the same Rego with regopy, stands in.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import jwt
import numpy as np
from _record import record
from fastapi import Request
from regopy import Interpreter

from open_autoglm.serving.access import AccessSettings
from open_autoglm.serving.access.gate import Access
from open_autoglm.serving.access.key_source import FetchedKeys, FiledKeys
from open_autoglm.serving.access.keys import KeyFile, new_key
from open_autoglm.serving.access.opa import OpaPolicy
from open_autoglm.serving.access.policy import Question
from open_autoglm.serving.access.refusal import Refused
from open_autoglm.serving.access.rego import SHIPPED, RegoPolicy
from open_autoglm.serving.access.tokens import Tokens

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from access_parts import (
    AUDIENCE,
    ISSUER,
    PRIVATE,
    RSA,
    Answers,
    bearer,
    key_set,
    opa_stand_in,
    token,
    token_settings,
    web_server,
)

ASKED = Question("search", "POST", "/v1/search", "shop", "alice", frozenset({"search", "ask"}), "", "", "")
FLOOD = 10_000
CLOCK = [0.0]
Side = Callable[[], Awaitable[object]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns, for a look")
    quick = parser.parse_args().quick
    turns, flood = (300, 500) if quick else (5_000, FLOOD)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        figures = asyncio.run(decisions(Path(name), turns))
    figures |= asyncio.run(flooded(flood))
    settings = {"turns": turns, "flood": flood, "policy": SHIPPED.name, "quick": quick}
    record("access", settings, figures, time.perf_counter() - started)


async def decisions(folder: Path, turns: int) -> dict[str, float]:
    """Milliseconds of each way to check and decide, one after another in every turn."""
    _, secret = new_key(folder / "keys.jsonl", "ci", "shop", ["search"])
    settings = token_settings(folder, keys=folder / "keys.jsonl")
    source, keys = FiledKeys(Path(settings.jwks or "")), KeyFile(folder / "keys.jsonl")
    cold, warm = Tokens(settings, source, remember=False), Tokens(settings, source)
    policy, remembered = RegoPolicy(SHIPPED), RegoPolicy(SHIPPED, seconds=settings.decision_seconds)
    gate = Access(settings)
    shown = {name: token(name) for name in PRIVATE}

    async def both(tokens: Tokens, decides: RegoPolicy, one: str) -> None:
        await tokens.recognise(one)
        await decides.allows(ASKED)

    with opa_stand_in(SHIPPED) as address:
        opa = OpaPolicy(address)
        sides: dict[str, Side] = {f"jwt_{name}_cold": partial(cold.recognise, one) for name, one in shown.items()}
        sides |= {
            "jwt_RS256_warm": partial(warm.recognise, shown["RS256"]),
            "jwt_RS256_by_library_alone": by_library(shown["RS256"]),
            "api_key": lambda: done(lambda: keys.recognise(secret, 0.0)),
            "policy_cold": lambda: policy.allows(ASKED),
            "policy_warm": lambda: remembered.allows(ASKED),
            "policy_by_plain_query": plain_query(),
            "opa_stand_in_over_http": lambda: opa.allows(ASKED),
        }
        for name, one in shown.items():
            sides[f"jwt_{name}_and_policy_cold"] = partial(both, cold, policy, one)
        sides |= {
            "jwt_RS256_and_policy_warm": partial(both, warm, remembered, shown["RS256"]),
            "whole_gate_jwt_RS256": admitted(gate, shown["RS256"]),
            "whole_gate_api_key": admitted(gate, secret),
        }
        taken = await measured(sides, turns)
        await opa.close()
    return {
        f"{name}_{part}_ms": value
        for name, times in taken.items()
        for part, value in (("p50", statistics.median(times)), ("p99", float(np.percentile(times, 99))))
    }


async def measured(sides: dict[str, Side], turns: int) -> dict[str, list[float]]:
    for side in sides.values():
        await side()
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, side in sides.items():
            before = time.perf_counter()
            await side()
            taken[name].append(1000 * (time.perf_counter() - before))
    return taken


def admitted(access: Access, shown: str) -> Side:
    """All that ``permits`` does: who it is, the quota, the policy, the log."""
    return lambda: access.admit(asked(shown), "search")


def asked(shown: str) -> Request:
    headers = [(name.lower().encode(), value.encode()) for name, value in bearer(shown).items()]
    return Request(
        {
            "type": "http",
            "method": "POST",
            "path": "/v1/search",
            "headers": headers,
            "query_string": b"",
            "server": None,
        }
    )


def by_library(shown: str) -> Side:
    public = RSA.public_key()
    return lambda: done(
        lambda: jwt.decode(shown, public, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER, leeway=10)
    )


def plain_query() -> Side:
    """As regopy's first example goes: one interpreter, which reads the query each time."""
    interpreter = Interpreter()
    interpreter.add_module(SHIPPED.name, SHIPPED.read_text(encoding="utf-8"))

    def decide() -> bool:
        interpreter.set_input(ASKED.document())
        return interpreter.query("data.open_autoglm.allow").results[0].expressions[0] is True

    return lambda: done(decide)


async def done(work: Callable[[], object]) -> object:
    return work()


async def flooded(count: int) -> dict[str, float]:
    """Fetches that so many tokens cause within one cooldown, each with a key id that nobody has."""
    shown = [token("EdDSA", {"kid": f"nobody-{number}"}) for number in range(count)]
    figures: dict[str, float] = {"unknown_key_ids": count}
    for state, status in (("", 200), ("_while_it_fails", 500)):
        answers, peers = Answers(key_set()), Answers(key_set())
        with web_server(answers) as address, web_server(peers) as other:
            source, client = FetchedKeys(key_settings(address), lambda: CLOCK[0]), jwt.PyJWKClient(other, lifespan=3600)
            tokens = Tokens(key_settings(address), source)
            await tokens.recognise(token())
            client.get_signing_key_from_jwt(token())
            client._last_successful_fetch = None  # its cooldown is over, and so is this one's:
            CLOCK[0] += 31.0
            answers.status = peers.status = status
            before, peer_before, started = answers.asked, peers.asked, time.perf_counter()
            for one in shown:
                try:
                    await tokens.recognise(one)
                except Refused:
                    continue
                raise AssertionError("a token was let in whose key nobody has")
            figures[f"unknown_key_ids_seconds{state}"] = time.perf_counter() - started
            for one in shown:
                with suppress(jwt.PyJWTError):
                    client.get_signing_key_from_jwt(one)
            figures[f"unknown_key_ids_fetches{state}"] = answers.asked - before
            figures[f"unknown_key_ids_fetches_by_PyJWKClient{state}"] = peers.asked - peer_before
            await source.close()
    return figures


def key_settings(address: str) -> AccessSettings:
    return AccessSettings(jwks=address, issuer=ISSUER, audience=(AUDIENCE,))


if __name__ == "__main__":
    main()
