"""Attacks on who may do what, each against a real server: none gets through, and none gets more than a refusal."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import pytest
from access_parts import (
    PRIVATE,
    RSA,
    Answers,
    bearer,
    claims,
    forged,
    key_set,
    public_jwk,
    token,
    token_settings,
    web_server,
)
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import Depends, FastAPI, Request
from serving_parts import painted_index, serve, serve_app

from open_autoglm.serving import Settings
from open_autoglm.serving.access import Caller, check, permits
from open_autoglm.serving.access.install import install
from open_autoglm.serving.access.keys import new_key, read_keys

MaySearch = Annotated[Caller, Depends(permits("search"))]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A server that takes tokens and keys, a client of it, and a good key."""
    folder = tmp_path_factory.mktemp("attacks")
    _, key = new_key(folder / "keys.jsonl", "ci", "default", ["search"])
    access = token_settings(folder, keys=folder / "keys.jsonl")
    with ExitStack() as stack:
        index = stack.enter_context(painted_index(folder))
        address = stack.enter_context(serve(index, Settings(access=access)))
        client = stack.enter_context(httpx.Client(base_url=address))
        yield SimpleNamespace(folder=folder, address=address, client=client, key=key)


def search(served: SimpleNamespace, headers: Any) -> httpx.Response:
    return served.client.post("/v1/search", json={"query": "red", "k": 1}, headers=headers)


def refused(reply: httpx.Response, says: str = "") -> None:
    """The request was refused as somebody's who is not known, in one sentence, and nothing was found for it."""
    assert reply.status_code == 401, reply.text
    assert reply.headers["www-authenticate"].startswith("Bearer")
    body = reply.json()
    assert body["error"]["type"] == "Unauthenticated" and "results" not in body
    assert says in body["error"]["message"]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_good_token_of_each_algorithm_is_let_in(served: SimpleNamespace, algorithm: str) -> None:
    assert search(served, bearer(token(algorithm))).status_code == 200


def test_a_good_key_is_let_in_by_either_header(served: SimpleNamespace) -> None:
    assert search(served, bearer(served.key)).status_code == 200
    assert search(served, {"X-API-Key": served.key}).status_code == 200


def test_nothing_shown(served: SimpleNamespace) -> None:
    reply = search(served, {})
    refused(reply, "Say who you are")
    assert "error" not in reply.headers["www-authenticate"]


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
def test_alg_none(served: SimpleNamespace, name: str) -> None:
    for kid in ({}, {"kid": "RS256"}):
        refused(search(served, bearer(forged({"alg": name, "typ": "JWT", **kid}, claims()))))


def test_key_confusion(served: SimpleNamespace) -> None:
    """The public key, which everybody has, as the secret of HS256, in each form that it is written in."""
    public = RSA.public_key()
    forms = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        json.dumps(public_jwk(RSA, "RS256")).encode(),
    ]
    for secret in forms:
        unsigned = forged({"alg": "HS256", "typ": "JWT", "kid": "RS256"}, claims()).rpartition(".")[0]
        signature = hmac.new(secret, unsigned.encode(), hashlib.sha256).digest()
        refused(search(served, bearer(f"{unsigned}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}")))


def test_another_algorithm_than_the_keys(served: SimpleNamespace) -> None:
    refused(search(served, bearer(token("ES256", {"kid": "RS256"}))), "another way")
    refused(search(served, bearer(token("RS256", {"alg": "RS512"}))))
    refused(search(served, bearer(token("RS256", {"alg": "PS256"}))))


def test_a_symmetric_key_in_the_set_signs_nothing(served: SimpleNamespace, tmp_path: Path) -> None:
    secret = {"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(b"x" * 32).decode(), "alg": "HS256"}
    access = token_settings(tmp_path)
    Path(access.jwks or "").write_text(key_set(secret, public_jwk(RSA, "RS256")))
    with painted_index(tmp_path) as index, serve(index, Settings(access=access)) as address:
        reply = httpx.post(
            f"{address}/v1/search", json={}, headers=bearer(token("HS256", {"kid": "shared"}, b"x" * 32))
        )
        refused(reply, "does not publish")


def test_expired(served: SimpleNamespace) -> None:
    refused(search(served, bearer(token(exp=int(time.time()) - 60))), "expired")


def test_a_token_that_was_good_expires(served: SimpleNamespace, tmp_path: Path) -> None:
    access = token_settings(tmp_path, leeway=0.0)
    with painted_index(tmp_path) as index, serve(index, Settings(access=access)) as address:
        end = int(time.time()) + 3
        short = bearer(token(exp=end))
        assert httpx.get(f"{address}/v1/pictures/1", headers=short).status_code == 200
        time.sleep(max(0.0, end - time.time()) + 0.1)
        refused(httpx.get(f"{address}/v1/pictures/1", headers=short), "expired")


def test_not_yet_valid(served: SimpleNamespace) -> None:
    refused(search(served, bearer(token(nbf=int(time.time()) + 120))), "not valid yet")
    refused(search(served, bearer(token(iat=int(time.time()) + 120))), "not valid yet")


@pytest.mark.parametrize("audience", ["another-service", ["a", "b"], "open-autoglm/", "OPEN-AUTOGLM"])
def test_wrong_audience(served: SimpleNamespace, audience: Any) -> None:
    refused(search(served, bearer(token(aud=audience))), "audience")


@pytest.mark.parametrize("issuer", ["https://login.example", "https://evil.example/", "HTTPS://login.example/"])
def test_wrong_issuer(served: SimpleNamespace, issuer: str) -> None:
    refused(search(served, bearer(token(iss=issuer))), "issuer")


@pytest.mark.parametrize("claim", ["exp", "iss", "aud", "sub"])
def test_a_claim_that_is_missing(served: SimpleNamespace, claim: str) -> None:
    refused(search(served, bearer(token(**{claim: None}))))


@pytest.mark.parametrize(
    "id", ["../../etc/passwd", "RS256\0", "' OR 1=1 --", "https://evil.example/jwks", "/dev/null", "x" * 300, ""]
)
def test_key_id_path_tricks(served: SimpleNamespace, id: str) -> None:
    refused(search(served, bearer(token(headers={"kid": id}))))


@pytest.mark.parametrize("id", [["RS256"], {"a": 1}, 7, True])
def test_a_key_id_that_is_no_text(served: SimpleNamespace, id: Any) -> None:
    refused(search(served, bearer(forged({"alg": "RS256", "kid": id}, claims(), b"x" * 256))))


@pytest.mark.parametrize("header", ["jku", "x5u", "jwk", "x5c"])
def test_keys_that_a_token_brings_are_ignored(served: SimpleNamespace, header: str) -> None:
    mine = rsa.generate_private_key(65537, 2048)
    answers = Answers(key_set(public_jwk(mine, "mine")))
    with web_server(answers) as address:
        brought = {
            "jku": address,
            "x5u": address,
            "jwk": public_jwk(mine, "mine"),
            "x5c": [base64.b64encode(mine.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)).decode()],
        }[header]
        for id in ("mine", "RS256"):
            refused(search(served, bearer(token(headers={header: brought, "kid": id}, key=mine))))
    assert answers.asked == 0


def test_a_critical_header_that_is_not_understood(served: SimpleNamespace) -> None:
    refused(search(served, bearer(token(headers={"crit": ["exp-of-mine"], "exp-of-mine": 1}))))


def test_huge_token(served: SimpleNamespace) -> None:
    refused(search(served, bearer(token(padding="x" * 12_000))), "too long")


@pytest.mark.parametrize("sent", [".", "..", "a.b.c", "....", "e30.e30.e30", "e30", "x" * 500, "autoglm_", "autoglm_x"])
def test_nonsense(served: SimpleNamespace, sent: str) -> None:
    refused(search(served, {"Authorization": f"Bearer {sent}"}))


@pytest.mark.parametrize("payload", [[], "text", 7, None, {"sub": ["a"]}, {"exp": "soon"}, {"exp": 1e400}, {"aud": {}}])
def test_a_signed_token_that_says_nonsense(served: SimpleNamespace, payload: Any) -> None:
    said = claims() | payload if isinstance(payload, dict) else payload
    unsigned = forged({"alg": "RS256", "kid": "RS256"}, said).rpartition(".")[0]
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    signature = RSA.sign(unsigned.encode(), PKCS1v15(), SHA256())
    refused(search(served, bearer(f"{unsigned}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}")))


@pytest.mark.parametrize("scheme", ["Basic", "Digest", "Token", ""])
def test_another_scheme(served: SimpleNamespace, scheme: str) -> None:
    refused(search(served, {"Authorization": f"{scheme} {served.key}".strip()}))


def test_forged_tenant_claim(served: SimpleNamespace) -> None:
    """Another tenant is written into a good token; its signature is the old one."""
    header, _, signature = token().split(".")
    payload = base64.urlsafe_b64encode(json.dumps(claims(tenant="rival")).encode()).rstrip(b"=").decode()
    refused(search(served, bearer(f"{header}.{payload}.{signature}")), "signature")
    refused(search(served, bearer(f"{header}.{payload}.")))


@pytest.mark.parametrize(
    "tenant", ["../rival", "rival/../shop", "a:b", "", ".", "x" * 65, "a\nb", "a\0b", 7, None, ["default"]]
)
def test_tenants_that_cannot_be(served: SimpleNamespace, tenant: Any) -> None:
    refused(search(served, bearer(token(tenant=tenant))), "no tenant")


@pytest.mark.parametrize("subject", ["", "a\nb", "a\0b", "x" * 300, "\x1b[31m"])
def test_subjects_that_cannot_be(served: SimpleNamespace, subject: str) -> None:
    refused(search(served, bearer(token(sub=subject))), "sub")


@pytest.mark.parametrize("scope", [7, {"search": 1}, ["search", 7], ["se arch"], ["s"] * 99, ["x" * 99]])
def test_scopes_that_cannot_be(served: SimpleNamespace, scope: Any) -> None:
    refused(search(served, bearer(token(scope=scope))), "scope")


@pytest.mark.parametrize("scope", [None, "", [], "ask", "searching", "Search", "search,ask"])
def test_scopes_that_do_not_allow_it(served: SimpleNamespace, scope: Any) -> None:
    reply = search(served, bearer(token(scope=scope)))
    assert reply.status_code == 403 and reply.json()["error"]["type"] == "Forbidden"
    assert "results" not in reply.json()


def test_duplicated_authorization(served: SimpleNamespace) -> None:
    good, bad = f"Bearer {served.key}", f"Bearer {token(exp=1)}"
    for first, second in ((good, bad), (bad, good), (good, good)):
        refused(search(served, [("Authorization", first), ("Authorization", second)]), "More than one")
    refused(search(served, [("Authorization", good), ("X-API-Key", served.key)]), "More than one")
    refused(search(served, {"Authorization": f"{good}, {good}"}))


@pytest.mark.parametrize(
    "injected",
    [
        "Authorization: Bearer {key}\r\n folded",
        "Authorization: Bearer x\nAuthorization: Bearer {key}",
        "Authorization : Bearer {key}",
        "Authorization: Bearer x\r\n\tBearer {key}",
        "Authorization: Bearer {key}\0",
    ],
)
def test_header_injection(served: SimpleNamespace, injected: str) -> None:
    parts = urlsplit(served.address)
    lines = [
        f"GET /v1/pictures/1 HTTP/1.1\r\nHost: {parts.netloc}",
        injected.format(key=served.key),
        "Connection: close",
    ]
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.split(b" ", 2)[1] in (b"400", b"401"), answer[:200]


def test_names_cannot_write_lines_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = small_app(tmp_path)
    with caplog.at_level(logging.INFO, "open_autoglm.access"), serve_app(app) as address:
        asked = {"index": "a\nrefused search of root: x\x1b[2J", "tenant": "default"}
        assert httpx.post(f"{address}/v1/named", json=asked, headers=bearer(token())).status_code == 200
        httpx.post(f"{address}/v1/named", json=asked, headers=bearer("x"))
    assert len(caplog.records) >= 3
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_no_token_or_key_is_logged(served: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    shown = [token(), token(exp=1), served.key, f"{served.key[:-1]}x", forged({"alg": "none"}, claims())]
    with caplog.at_level(logging.DEBUG):
        for one in shown:
            search(served, bearer(one))
    ours = [record for record in caplog.records if record.name == "open_autoglm.access"]
    assert len(ours) >= len(shown)
    written = "\n".join(f"{record.getMessage()} {vars(record)}" for record in ours)
    assert not any(part in written for one in shown for part in (one, one.split(".")[-1][-30:]) if part)


def test_the_secret_of_a_key_is_compared_in_constant_time(
    served: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each key shown, known or not, is compared once, as a whole hash and by hmac.compare_digest."""
    compared: list[tuple[str, str]] = []

    def spy(left: str, right: str) -> bool:
        compared.append((left, right))
        return hmac_compare(left, right)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr("open_autoglm.serving.access.keys.hmac.compare_digest", spy)
    unknown = "autoglm_" + "0" * 12 + "_" + "x" * 43
    for shown, status in ((served.key, 200), (f"{served.key[:-1]}-", 401), (unknown, 401), ("autoglm_short", 401)):
        assert search(served, bearer(shown)).status_code == status
    assert len(compared) == 4 and {len(part) for pair in compared for part in pair} == {64}


def test_the_file_of_keys_holds_no_key(served: SimpleNamespace) -> None:
    text = (served.folder / "keys.jsonl").read_text()
    secret = served.key.rpartition("_")[2]
    assert secret not in text
    hashed = read_keys(served.folder / "keys.jsonl")[0].sha256
    refused(search(served, bearer(hashed)))
    refused(search(served, bearer(f"autoglm_{served.key.split('_')[1]}_{hashed[:43]}")))


def small_app(folder: Path) -> FastAPI:
    """Routes of which one names a resource in its path, the other in its body."""
    app = FastAPI()
    install(app, token_settings(folder))

    @app.post("/v1/indexes/{index}/search")
    async def mine(index: str, caller: MaySearch) -> dict[str, str]:
        return {"tenant": caller.tenant, "index": index}

    @app.post("/v1/named")
    async def named(request: Request, caller: MaySearch) -> dict[str, str]:
        body = await request.json()
        await check(request, caller, "search", index=body["index"], tenant=body["tenant"])
        return {"tenant": body["tenant"]}

    return app


def test_other_tenants_resource(tmp_path: Path) -> None:
    with serve_app(small_app(tmp_path)) as address:
        for tenant, status in (("default", 200), ("rival", 403), ("Default", 403), ("default ", 403), ("", 200)):
            body = {"index": "photos", "tenant": tenant}
            assert httpx.post(f"{address}/v1/named", json=body, headers=bearer(token())).status_code == status
        for scope in ("admin", "*"):  # not even theirs
            reply = httpx.post(
                f"{address}/v1/named", json={"index": "p", "tenant": "rival"}, headers=bearer(token(scope=scope))
            )
            assert reply.status_code == 403
        mine = httpx.post(f"{address}/v1/indexes/photos/search", headers=bearer(token(tenant="rival")))
        assert mine.json() == {"tenant": "rival", "index": "photos"}


def test_headers_that_name_a_tenant_mean_nothing(tmp_path: Path) -> None:
    with serve_app(small_app(tmp_path)) as address:
        headers = {**bearer(token()), "X-Tenant": "rival", "X-Forwarded-User": "root", "X-Original-URL": "/"}
        reply = httpx.post(f"{address}/v1/indexes/photos/search?tenant=rival", headers=headers)
        assert reply.json()["tenant"] == "default"


def test_an_application_without_a_gate_answers_nothing() -> None:
    app = FastAPI()

    @app.get("/v1/search")
    async def forgotten(caller: MaySearch) -> dict[str, str]:
        return {"tenant": caller.tenant}

    with serve_app(app) as address:
        assert httpx.get(f"{address}/v1/search").status_code == 500


def test_every_private_key_signs_for_its_own_id_alone(served: SimpleNamespace) -> None:
    for algorithm, key in PRIVATE.items():
        for id in PRIVATE:
            status = search(served, bearer(token(algorithm, {"kid": id}, key))).status_code
            assert status == (200 if id == algorithm else 401)
