"""Where the keys of tokens come from: an address that fails, changes or is asked too often, and a file that changes."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from access_parts import AUDIENCE, ISSUER, PRIVATE, RSA, Answers, key_set, public_jwk, token, web_server
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from open_autoglm.errors import SettingError
from open_autoglm.serving.access import AccessSettings, Caller
from open_autoglm.serving.access.jwks import parse_keys
from open_autoglm.serving.access.key_source import FetchedKeys, FiledKeys, NoKeys
from open_autoglm.serving.access.refusal import Refused
from open_autoglm.serving.access.tokens import Tokens


class Desk:
    """A source that fetches from a server, with a clock that the test moves."""

    def __init__(self, answers: Answers, address: str, **changed: Any) -> None:
        given = {"jwks": address, "issuer": ISSUER, "audience": (AUDIENCE,)}
        self.answers, self.now = answers, 1000.0
        self.settings = AccessSettings(**(given | changed))
        self.source = FetchedKeys(self.settings, lambda: self.now)
        self.tokens = Tokens(self.settings, self.source)

    async def settle(self) -> None:
        """Lets a fetch in the background end."""
        while self.source._fetching is not None:
            await asyncio.sleep(0.005)


def at_desk(work: Callable[[Desk], Awaitable[None]], **changed: Any) -> None:
    answers = Answers(key_set())

    async def go(address: str) -> None:
        desk = Desk(answers, address, **changed)
        try:
            await work(desk)
        finally:
            await desk.source.close()

    with web_server(answers) as address:
        asyncio.run(go(address))


def test_ten_thousand_unknown_key_ids_cause_one_fetch_a_cooldown() -> None:
    async def work(desk: Desk) -> None:
        async def unknown(number: int) -> None:
            with pytest.raises(Refused, match="does not publish"):
                await desk.tokens.recognise(token(headers={"kid": f"k{number}"}, key=PRIVATE["RS256"]))

        signed = token(headers={"kid": "k"})
        assert await desk.tokens.recognise(token()) is not None and desk.answers.asked == 1
        for cooldown in range(2):
            desk.now += 31.0
            for start in range(0, 5_000, 500):
                asked = (desk.source.keys(f"k{cooldown}-{start + number}") for number in range(500))
                await asyncio.gather(*asked)
            assert desk.answers.asked == 2 + cooldown
        with pytest.raises(Refused, match="does not publish"):
            await desk.tokens.recognise(signed)
        assert len(desk.source._unknown) <= 1024
        assert isinstance(await desk.tokens.recognise(token()), Caller)

    at_desk(work, jwks_lifetime=1e6)


def test_a_thousand_first_requests_at_once_fetch_once() -> None:
    async def work(desk: Desk) -> None:
        desk.answers.pause = 0.05
        found = await asyncio.gather(*(desk.tokens.recognise(token()) for _ in range(100)))
        assert len(found) == 100 and desk.answers.asked == 1

    at_desk(work)


def test_one_who_gives_up_waiting_does_not_end_the_fetch_for_others() -> None:
    async def work(desk: Desk) -> None:
        desk.answers.pause = 0.2
        first = asyncio.create_task(desk.tokens.recognise(token()))
        second = asyncio.create_task(desk.tokens.recognise(token()))
        await asyncio.sleep(0.05)
        first.cancel()
        assert isinstance(await second, Caller) and desk.answers.asked == 1

    at_desk(work)


def test_a_key_that_is_new_is_found_and_one_that_is_gone_is_no_longer_good() -> None:
    async def work(desk: Desk) -> None:
        new = ec.generate_private_key(ec.SECP256R1())
        old_token, new_token = token(), token("ES256", {"kid": "new"}, new)
        assert isinstance(await desk.tokens.recognise(old_token), Caller)
        desk.answers.content = key_set(public_jwk(new, "new")).encode()
        desk.now += 31.0
        assert isinstance(await desk.tokens.recognise(new_token), Caller)
        with pytest.raises(Refused, match="does not publish"):
            await desk.tokens.recognise(old_token)

    at_desk(work)


def test_a_new_key_that_was_asked_for_too_early_is_found_when_the_cooldown_is_over() -> None:
    async def work(desk: Desk) -> None:
        new = ec.generate_private_key(ec.SECP256R1())
        new_token = token("ES256", {"kid": "new"}, new)
        await desk.tokens.recognise(token())
        desk.answers.content = key_set(public_jwk(new, "new")).encode()
        for _ in range(3):
            desk.now += 9.0
            with pytest.raises(Refused, match="does not publish"):
                await desk.tokens.recognise(new_token)
        desk.now += 9.0
        assert isinstance(await desk.tokens.recognise(new_token), Caller)
        assert desk.answers.asked == 2

    at_desk(work)


def test_a_key_id_that_was_looked_for_in_vain_is_not_looked_for_again_at_once() -> None:
    async def work(desk: Desk) -> None:
        stale = token(headers={"kid": "stale"})
        await desk.tokens.recognise(token())
        for _ in range(4):  # a client that never gives up
            with pytest.raises(Refused, match="does not publish"):
                await desk.tokens.recognise(stale)
            desk.now += 35.0
        assert desk.answers.asked == 2  # the first keys, and the one look for it
        await desk.source.keys("another")
        assert desk.answers.asked == 3

    at_desk(work, jwks_lifetime=1e6)


def test_keys_are_fetched_anew_in_the_background() -> None:
    async def work(desk: Desk) -> None:
        await desk.tokens.recognise(token())
        desk.now += 299.0
        await desk.tokens.recognise(token())
        await desk.settle()
        assert desk.answers.asked == 1
        desk.answers.pause = 0.1
        desk.now += 2.0
        await desk.tokens.recognise(token())
        assert desk.source._fetching is not None  # nobody waited for it
        await desk.settle()
        assert desk.answers.asked == 2

    at_desk(work)


@pytest.mark.parametrize("fault", ["status", "nonsense", "empty", "huge", "redirect", "slow", "bomb", "secrets"])
def test_the_last_good_keys_are_kept_while_the_address_fails(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    async def work(desk: Desk) -> None:
        await desk.tokens.recognise(token())
        break_(desk.answers, fault)
        desk.now += 400.0
        await desk.tokens.recognise(token())
        await desk.settle()
        assert desk.answers.asked == 2 and "stay in force" in caplog.text
        assert isinstance(await desk.tokens.recognise(token(sub="bob")), Caller)
        desk.now += 86_400.0
        with pytest.raises(NoKeys):  # not for ever
            await desk.tokens.recognise(token())

    at_desk(work, jwks_timeout=1.0)


@pytest.mark.parametrize("fault", ["status", "nonsense", "slow"])
def test_without_keys_nobody_is_let_in_and_the_address_is_not_pestered(fault: str) -> None:
    async def work(desk: Desk) -> None:
        break_(desk.answers, fault)
        for _ in range(20):
            with pytest.raises(NoKeys):
                await desk.tokens.recognise(token())
        assert desk.answers.asked == 1
        desk.answers.status, desk.answers.pause, desk.answers.content = 200, 0.0, key_set().encode()
        desk.now += 31.0
        assert isinstance(await desk.tokens.recognise(token()), Caller)

    at_desk(work, jwks_timeout=1.0)


def break_(answers: Answers, fault: str) -> None:
    if fault == "status":
        answers.status = 500
    elif fault == "redirect":
        answers.status, answers.headers = 302, {"Location": "http://127.0.0.1:1/"}
    elif fault == "slow":
        answers.pause = 2.5
    elif fault == "bomb":
        answers.headers = {"Content-Encoding": "gzip"}
        answers.content = gzip.compress(b'{"keys": [' + b" " * 50_000_000)
    else:
        secret = {"kty": "oct", "kid": "a", "k": "eHh4"}
        answers.content = {
            "nonsense": b"<html>",
            "empty": b'{"keys": []}',
            "huge": b'{"keys": [' + b" " * 300_000 + b"]}",
            "secrets": json.dumps({"keys": [secret]}).encode(),
        }[fault]


def test_a_file_of_keys_is_read_again_and_its_last_good_content_kept(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    new = rsa.generate_private_key(65537, 2048)

    def write(text: str, seconds: int) -> None:
        file.write_text(text)
        os.utime(file, ns=(time.time_ns() + seconds * 10**9,) * 2)
        time.sleep(0.55)

    file.write_text(key_set())
    source = FiledKeys(file)
    write(key_set(public_jwk(new, "new")), 1)
    assert [key.id for key in asyncio.run(source.keys("new"))] == ["new"]
    write("{", 2)
    assert [key.id for key in asyncio.run(source.keys("new"))] == ["new"]


def test_each_key_is_for_the_one_algorithm_of_its_type() -> None:
    keys = parse_keys(key_set(), "here")
    assert {key.id: key.algorithm for key in keys} == {"RS256": "RS256", "ES256": "ES256", "EdDSA": "EdDSA"}


@pytest.mark.parametrize(
    "entry",
    [
        public_jwk(rsa.generate_private_key(65537, 1024), "short"),
        public_jwk(RSA, "a", alg="HS256"),
        public_jwk(RSA, "a", alg="none"),
        public_jwk(RSA, "a", alg="RS512"),
        public_jwk(RSA, "a", alg="ES256"),
        public_jwk(RSA, "a", alg=None),
        public_jwk(RSA, "a", use="enc"),
        public_jwk(RSA, "a", key_ops=["encrypt"]),
        public_jwk(RSA, "a", d="secret"),
        public_jwk(RSA, "a", kty="oct"),
        public_jwk(RSA, "a", kty=["RSA"]),
        public_jwk(RSA, "a", n="!!"),
        public_jwk(RSA, "a", n=7),
        public_jwk(RSA, "a", kid=7),
        public_jwk(ec.generate_private_key(ec.SECP384R1()), "a"),
        public_jwk(ec.generate_private_key(ec.SECP256R1()), "a", crv=["P-256"]),
        public_jwk(ec.generate_private_key(ec.SECP256R1()), "a", x="AA"),
        {"kty": "oct", "k": "eHh4", "kid": "a"},
        {},
        [],
        None,
        7,
    ],
)
def test_keys_that_can_sign_no_token_here_are_passed_over(entry: Any) -> None:
    good = public_jwk(RSA, "good")
    assert [key.id for key in parse_keys(json.dumps({"keys": [entry, good]}), "here")] == ["good"]
    with pytest.raises(SettingError, match="no public key"):
        parse_keys(json.dumps({"keys": [entry]}), "here")


@pytest.mark.parametrize("content", ["", "[]", "7", "{}", '{"keys": {}}', '{"keys": "x"}', "[" * 100_000, "\\ud800"])
def test_what_is_no_key_set(content: str) -> None:
    with pytest.raises(SettingError, match="here"):
        parse_keys(content, "here")


def test_a_token_without_a_key_id_is_checked_with_the_only_key(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(key_set(public_jwk(RSA, "")))
    (tmp_path / "many.json").write_text(key_set())
    plain = token(headers={"kid": None})

    def recognised(name: str) -> Caller:
        settings = AccessSettings(jwks=str(tmp_path / name), issuer=ISSUER, audience=(AUDIENCE,))
        return asyncio.run(Tokens(settings, FiledKeys(tmp_path / name)).recognise(plain))

    assert recognised("one.json").tenant == "default"
    with pytest.raises(Refused):
        recognised("many.json")


def test_what_tokens_say_where_the_settings_say_so(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text(key_set())
    settings = AccessSettings(
        jwks=str(tmp_path / "jwks.json"),
        issuer=ISSUER,
        audience=("another", "open-autoglm"),
        algorithms=("ES256",),
        claims=("email",),
        tenant_claim="https://example.com/org",
        scopes_claim="permissions",
    )
    tokens = Tokens(settings, FiledKeys(tmp_path / "jwks.json"))
    said = {"tenant": None, "scope": None, "https://example.com/org": "org_9Yb", "permissions": ["search", "ask"]}

    def recognised(algorithm: str, **more: Any) -> Caller:
        return asyncio.run(tokens.recognise(token(algorithm, **(said | more))))

    assert recognised("ES256", email="a@b") == Caller("org_9Yb", "alice", frozenset({"search", "ask"}))
    with pytest.raises(Refused, match="lacks the claim email"):
        recognised("ES256")
    with pytest.raises(Refused, match="not allowed here"):
        recognised("RS256", email="a@b")
