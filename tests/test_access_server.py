"""The server with and without access: who is let in at all, what it says when it starts, and what tenants share."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from access_parts import Answers, bearer, key_set, opa_stand_in, token, token_settings, web_server
from cli_parts import AUTOGLM, mistake
from serving_parts import ColourModel, direct, painted_index, serve

from open_autoglm.cache import CacheSettings, open_cache
from open_autoglm.cache.model import remembering
from open_autoglm.errors import SettingError
from open_autoglm.serving import Settings, create_app
from open_autoglm.serving.access import AccessSettings, Caller
from open_autoglm.serving.access.keys import new_key, revoke_key
from open_autoglm.serving.access.rego import SHIPPED

OPEN_TO_ALL = {"/", "/live", "/ready", "/openapi.json"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("access")
    with ExitStack() as stack:
        index = stack.enter_context(painted_index(folder))
        address = stack.enter_context(serve(index, Settings(access=token_settings(folder))))
        client = stack.enter_context(httpx.Client(base_url=address))
        yield SimpleNamespace(address=address, client=client, index=index)


def test_no_address_of_the_api_answers_somebody_unknown(served: SimpleNamespace) -> None:
    described = served.client.get("/openapi.json").json()
    asked = 0
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            address = path.replace("{id}", "1").replace("{index}", "photos")
            reply = served.client.request(method, address)
            if path in OPEN_TO_ALL:
                assert reply.status_code == 200, path
                continue
            asked += 1
            assert reply.status_code == 401, (method, path, reply.text)
            assert operation["security"] == [{"TokenOrKey": []}], path
    assert asked >= 7
    assert described["components"]["securitySchemes"]["TokenOrKey"]["scheme"] == "bearer"


def test_the_page_itself_is_there_for_everybody(served: SimpleNamespace) -> None:
    for path in ("/", "/page/app.js", "/page/style.css", "/live"):
        assert served.client.get(path).status_code == 200


def test_each_scope_reaches_its_own_part(served: SimpleNamespace) -> None:
    def status(scope: str, method: str, path: str) -> int:
        body = {} if method == "GET" else {"json": {"query": "red"} if path == "/v1/search" else {}}
        return served.client.request(method, path, headers=bearer(token(scope=scope)), **body).status_code

    parts = {
        "search": [
            ("GET", "/v1/info"),
            ("POST", "/v1/search"),
            ("GET", "/v1/pictures/1"),
            ("GET", "/v1/pictures/1/thumbnail"),
        ],
        "ask": [("POST", "/v1/ask")],
        "ground": [("POST", "/v1/ground")],
    }
    for scope, own in parts.items():
        for owner, requests in parts.items():
            for method, path in requests:
                answered = status(scope, method, path)
                assert (answered == 403) is (owner != scope), (scope, path, answered)
        assert own


def test_without_access_everything_answers_as_before(tmp_path: Path) -> None:
    with painted_index(tmp_path) as index, serve(index) as address:
        assert httpx.post(f"{address}/v1/search", json={"query": "red", "k": 1}).status_code == 200
        # A token that nobody asked for does no harm.
        assert httpx.get(f"{address}/v1/info", headers=bearer("x")).status_code == 200


def test_a_public_address_needs_access_or_the_word_that_it_does_not(tmp_path: Path) -> None:
    with painted_index(tmp_path) as index:
        with pytest.raises(SettingError, match=r"access\.keys or access\.jwks.*--no-access"):
            create_app(direct(index), Settings(host="0.0.0.0"))
        create_app(direct(index), Settings(host="0.0.0.0", access=AccessSettings(off=True)))
        create_app(direct(index), Settings(host="0.0.0.0", access=token_settings(tmp_path)))


def test_the_command_says_who_is_let_in(tmp_path: Path) -> None:
    """`autoglm serve` on loopback, on the network without access, and with keys."""
    from open_autoglm import load
    from open_autoglm.search import Index

    with Index.create(tmp_path / "photos.index", load()):
        pass
    _, secret = new_key(tmp_path / "keys.jsonl", "ci", "default", ["search"])
    index = tmp_path / "photos.index"
    assert "--no-access" in mistake("serve", index, "--host", "0.0.0.0", "--port", "0", "--cache", "off")
    assert "contradicts" in mistake("serve", index, "--no-access", "--keys", tmp_path / "keys.jsonl")
    assert "cannot be read" in mistake("serve", index, "--keys", tmp_path / "none.jsonl", "--cache", "off")
    for options, says, status in (
        ((), "nobody is asked who they are", 200),
        (("--host", "0.0.0.0", "--no-access"), "nobody is asked", 200),
        (("--host", "0.0.0.0", "--keys", tmp_path / "keys.jsonl"), "must show an API key", 401),
    ):
        command = [*AUTOGLM, "serve", str(index), "--port", "0", "--cache", "off", *map(str, options)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            first, second = process.stdout.readline(), process.stdout.readline()
            port = first.split("/ ")[0].rpartition(":")[2]
            info = f"http://127.0.0.1:{port}/v1/info"
            try:
                assert says in second
                assert httpx.get(info).status_code == status
                assert httpx.get(info, headers=bearer(secret)).status_code == 200
            finally:
                process.send_signal(signal.SIGINT)


def test_a_key_that_is_revoked_is_refused_within_a_second(tmp_path: Path) -> None:
    _, secret = new_key(tmp_path / "keys.jsonl", "ci", "default", ["search"])
    access = AccessSettings(keys=tmp_path / "keys.jsonl")
    with painted_index(tmp_path) as index, serve(index, Settings(access=access)) as address:
        assert httpx.get(f"{address}/v1/info", headers=bearer(secret)).status_code == 200
        assert httpx.get(f"{address}/v1/info", headers=bearer(token())).status_code == 401  # no tokens are taken
        revoke_key(tmp_path / "keys.jsonl", "ci")
        time.sleep(0.6)
        assert httpx.get(f"{address}/v1/info", headers=bearer(secret)).status_code == 401


def test_an_opa_server_decides_and_without_it_nobody_is_let_in(tmp_path: Path) -> None:
    with ExitStack() as stack:
        answers = Answers()
        opa = stack.enter_context(opa_stand_in(SHIPPED, answers))
        index = stack.enter_context(painted_index(tmp_path))
        access = token_settings(tmp_path, opa=opa)
        address = stack.enter_context(serve(index, Settings(access=access)))
        client = stack.enter_context(httpx.Client(base_url=address))

        def search(scope: str) -> httpx.Response:
            return client.post("/v1/search", json={"query": "red", "k": 1}, headers=bearer(token(scope=scope)))

        assert (search("search").status_code, search("ask").status_code) == (200, 403)
        answers.status = 500
        reply = search("search")
    assert reply.status_code == 503 and reply.json()["error"]["type"] == "AccessUnavailable"
    assert "retry-after" in reply.headers


def test_while_the_keys_of_tokens_cannot_be_fetched_keys_still_work(tmp_path: Path) -> None:
    _, secret = new_key(tmp_path / "keys.jsonl", "ci", "default", ["search"])
    answers = Answers(key_set())
    answers.status = 500
    with ExitStack() as stack:
        jwks = stack.enter_context(web_server(answers))
        index = stack.enter_context(painted_index(tmp_path))
        access = token_settings(tmp_path, jwks=jwks, keys=tmp_path / "keys.jsonl", jwks_cooldown=0.2)
        address = stack.enter_context(serve(index, Settings(access=access)))
        assert httpx.get(f"{address}/v1/info", headers=bearer(token(scope="search"))).status_code == 503
        assert httpx.get(f"{address}/v1/info", headers=bearer(secret)).status_code == 200
        answers.status = 200
        time.sleep(0.25)
        assert httpx.get(f"{address}/v1/info", headers=bearer(token(scope="search"))).status_code == 200


def test_each_decision_is_logged_with_its_parts(served: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "open_autoglm.access"):
        served.client.get("/v1/info", headers=bearer(token(scope="search")))
        served.client.get("/v1/info", headers=bearer(token(scope="ask")))
        served.client.get("/v1/info")
    allowed, refused, unknown = caplog.records
    assert (allowed.levelname, refused.levelname, unknown.levelname) == ("INFO", "WARNING", "WARNING")
    parts = vars(allowed)
    assert (parts["who"], parts["tenant"], parts["action"], parts["allowed"]) == ("alice", "default", "search", True)
    assert parts["microseconds"] >= 0 and vars(refused)["allowed"] is False and "policy" in vars(refused)["why"]
    assert vars(unknown)["who"] == "nobody known"


def test_structlog_writes_the_parts_of_a_decision(served: SimpleNamespace) -> None:
    import structlog

    written: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: written.append(handler.format(record))  # type: ignore[method-assign]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    log = logging.getLogger("open_autoglm.access")
    log.addHandler(handler)
    try:
        served.client.get("/v1/info", headers=bearer(token(scope="ask")))
    finally:
        log.removeHandler(handler)
    line = json.loads(written[0])
    assert (line["who"], line["action"], line["allowed"]) == ("alice", "search", False)


def test_what_is_remembered_for_one_tenant_is_not_found_for_another() -> None:
    callers = [Caller(tenant, "alice", frozenset({"*"})) for tenant in ("shop", "rival", "shop:rival")]
    looked = 0

    class Counted(ColourModel):
        fingerprint = "colours-1"

        def embed_queries(self, texts: list[str], batch_size: int = 32) -> object:
            nonlocal looked
            looked += 1
            return super().embed_queries(texts)

    cache = open_cache(CacheSettings.read("memory"))
    assert cache is not None
    with cache:
        for _ in range(2):
            for caller in callers:
                remembering(Counted(), cache, caller.tenant).embed_texts(["red"])  # type: ignore[arg-type]
    assert looked == len(callers)


def test_without_its_packages_access_says_what_to_install(tmp_path: Path) -> None:
    new_key(tmp_path / "keys.jsonl", "ci", "default", ["search"])
    code = f"""
import sys
from pathlib import Path
from fastapi import FastAPI
from open_autoglm.errors import MissingExtra
from open_autoglm.serving.access import AccessSettings
from open_autoglm.serving.access.install import install
for missing in ("jwt", "limits", "regopy"):
    sys.modules[missing] = None
    install(FastAPI(), AccessSettings())
    try:
        install(FastAPI(), AccessSettings(keys=Path({str(tmp_path / "keys.jsonl")!r})))
    except MissingExtra as error:
        print(error)
    del sys.modules[missing]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    sentences = done.stdout.splitlines()
    assert len(sentences) == 3, done.stderr
    assert all(one.endswith("pip install -c constraints.txt -e '.[access]'.") for one in sentences)


def test_what_knows_callers_alone_loads_nothing_heavy() -> None:
    code = "import open_autoglm.serving.access.settings, sys; print({'jwt', 'regopy', 'limits'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
