"""Envoy before the server: its configuration is one, and requests pass it by the policy that the server embeds."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cache_parts import free_port
from cryptography.hazmat.primitives.asymmetric import rsa
from deploy_parts import ISTIO, only, render
from envoy_parts import (
    ADAPTER,
    CONFIG,
    POLICY,
    Plugin,
    behind,
    configured,
    decide,
    get_envoy_path,
    running,
    wait_until_healthy,
)
from opa_parts import opa

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CLAIMS = {"sub": "ann", "tenant": "shop", "scope": "embed search"}


def token(key: rsa.RSAPrivateKey = KEY, **claims: Any) -> dict[str, str]:
    """The header of a request with a token of the issuer; ``claims`` over what it says."""
    said = {"iss": "https://id.example.com", "aud": "open-autoglm", "exp": int(time.time()) + 60, **CLAIMS, **claims}
    signed = jwt.encode({k: v for k, v in said.items() if v is not None}, key, "RS256", headers={"kid": "1"})
    return {"authorization": f"Bearer {signed}"}


@pytest.fixture(scope="module")
def plugin() -> Plugin:
    return Plugin()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The issuer's keys, as Envoy reads them."""
    file = tmp_path_factory.mktemp("issuer") / "jwks.json"
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key())) | {"kid": "1", "alg": "RS256"}
    file.write_text(json.dumps({"keys": [public]}))
    return file


@contextmanager
def opa_with_its_plugin() -> Iterator[int]:
    """The port at which OPA's own plugin answers Envoy, run as docs/deploy.md says."""
    port, plugin = free_port(), "--set=plugins.envoy_ext_authz_grpc"
    options = (f"{plugin}.addr=127.0.0.1:{port}", f"{plugin}.path=open_autoglm_envoy/result")
    with opa(ADAPTER, POLICY, options=options):
        yield port


@pytest.fixture(scope="module", params=["a stand-in", "OPA"])
def edge(
    request: pytest.FixtureRequest, plugin: Plugin, keys: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client of a running Envoy, which asks a stand-in for OPA's plugin, or OPA itself where it is."""
    with (
        behind() as server,
        opa_with_its_plugin() if request.param == "OPA" else plugin.served() as port,
        running(configured(keys, server, port), tmp_path_factory.mktemp("envoy")) as address,
        httpx.Client(base_url=address) as client,
    ):
        wait_until_healthy(address)
        yield client


@pytest.mark.parametrize(("wrong", "taken"), [("", True), ("failure_mode_allow", False), ("local_jwks", False)])
def test_envoy_takes_the_configuration(keys: Path, tmp_path: Path, wrong: str, taken: bool) -> None:
    text = CONFIG.read_text().replace("/etc/envoy", str(keys.parent))
    (tmp_path / "envoy.yaml").write_text(text.replace(wrong, f"{wrong}s") if wrong else text)
    command = [get_envoy_path(), "--mode", "validate", "-c", tmp_path / "envoy.yaml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode == 0) is taken, done.stderr


def test_who_may_passes_with_the_token(edge: httpx.Client) -> None:
    reply = edge.post("/v1/embeddings", json={"input": "a red apple"}, headers=token())
    assert (reply.status_code, reply.json()["path"]) == (200, "/v1/embeddings")
    assert reply.json()["headers"]["authorization"].startswith("Bearer ")


def test_a_list_of_scopes_is_read_too(edge: httpx.Client) -> None:
    assert edge.post("/v1/embeddings", json={}, headers=token(scope=["embed"])).status_code == 200


def test_who_may_not_is_told_so(edge: httpx.Client) -> None:
    reply = edge.post("/v1/embeddings", json={}, headers=token(scope="search"))
    assert (reply.status_code, reply.json()["error"]["type"]) == (403, "Forbidden")
    assert edge.request("DELETE", "/v1/indexes/mine", headers=token()).status_code == 403


def test_nobody_is_asked_who_they_are(edge: httpx.Client) -> None:
    reply = edge.post("/v1/embeddings", json={})
    assert (reply.status_code, reply.json()["error"]["type"]) == (401, "Unauthorized")
    assert reply.headers["www-authenticate"] == "Bearer"
    assert edge.get("/live").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        token(OTHER),
        token(exp=int(time.time()) - 3600),
        token(exp=None),
        token(aud="another"),
        token(iss="https://evil.example.com"),
        {"authorization": "Bearer " + jwt.encode({**CLAIMS, "aud": "open-autoglm"}, "", "none")},
        {"authorization": "Bearer nonsense"},
    ],
    ids=["another key", "expired", "without end", "another audience", "another issuer", "unsigned", "no token"],
)
def test_a_bad_token_is_refused(edge: httpx.Client, headers: dict[str, str]) -> None:
    assert edge.post("/v1/embeddings", json={}, headers=headers).status_code in (401, 403)


@pytest.mark.parametrize("claims", [{"tenant": None}, {"sub": None}, {"scope": None}, {"scope": 7}])
def test_a_token_that_does_not_say_who_is_refused(edge: httpx.Client, claims: dict[str, Any]) -> None:
    assert edge.post("/v1/embeddings", json={}, headers=token(**claims)).status_code in (401, 403)


@pytest.mark.parametrize(
    "path",
    ["/page/..%2fv1/embeddings", "/v1/%65mbeddings/../rollout", "//v1/rollout", "/v1/nothing", "/v1", "/V1/search"],
)
def test_tricks_with_the_path_open_nothing(edge: httpx.Client, path: str) -> None:
    reply = edge.post(path, json={}, headers=token(scope="search"))
    assert reply.status_code in (400, 403)


def test_what_the_client_claims_of_itself_is_not_believed(edge: httpx.Client) -> None:
    claims = base64.urlsafe_b64encode(json.dumps(CLAIMS).encode()).decode().rstrip("=")
    assert edge.post("/v1/embeddings", json={}, headers={"x-open-autoglm-claims": claims}).status_code == 401


def test_envoy_asks_without_the_body(edge: httpx.Client, plugin: Plugin) -> None:
    assert edge.post("/v1/embeddings", content=b"x" * 100_000, headers=token()).status_code == 200
    assert "body" not in plugin.asked[-1]["attributes"]["request"]["http"]
    assert plugin.asked[-1]["attributes"]["metadataContext"]["filterMetadata"]


def test_where_opa_is_gone_nobody_gets_in(keys: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    with behind() as server, running(configured(keys, server, nobody), tmp_path) as address:
        reply = httpx.get(f"{address}/v1/models", headers=token())
        assert (reply.status_code, reply.text) == (503, "")


def asked(method: str, path: str, **more: Any) -> dict[str, Any]:
    """A request as OPA's plugin describes it."""
    return {"attributes": {"request": {"http": {"method": method, "path": path, **more}}}}


def test_istio_hands_on_claims_in_the_header_that_the_chart_names() -> None:
    data = json.loads(only(render(ISTIO), "ConfigMap", "demo-open-autoglm-opa")["data"]["edge.json"])
    claims = base64.urlsafe_b64encode(json.dumps(CLAIMS).encode()).decode().rstrip("=")
    document = asked("POST", "/v1/embeddings", headers={"x-open-autoglm-claims": claims})
    assert decide(document, data)["allowed"] is True
    assert decide(document)["http_status"] == 401
    assert decide(asked("POST", "/v1/embeddings", headers={}), data)["http_status"] == 401
    broken = asked("POST", "/v1/embeddings", headers={"x-open-autoglm-claims": "bm90IGpzb24"})
    assert decide(broken, data)["allowed"] is False


def test_the_claims_can_have_other_names() -> None:
    document = asked("POST", "/v1/embeddings")
    said = {"sub": "ann", "org": "shop", "scp": ["embed"]}
    document["attributes"]["metadataContext"] = {"filterMetadata": {"envoy.filters.http.jwt_authn": {"token": said}}}
    assert decide(document, {"edge": {"tenant_claim": "org", "scopes_claim": "scp"}})["allowed"] is True
    assert decide(document)["http_status"] == 403
