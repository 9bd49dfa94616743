"""Logs: a line a request that tells how it went, never what was in it, however hard somebody tries."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from serving_parts import painted_index
from telemetry_parts import lines

from open_autoglm.serving.telemetry import TelemetrySettings
from open_autoglm.serving.telemetry.logs import formatter

# As ``run`` serves it, with the routes of telemetry_parts beside those of the page.
RUN = """
import importlib, json, sys
from pathlib import Path
from open_autoglm.search import Index
from open_autoglm.serving import Settings, TelemetrySettings
from open_autoglm.serving.telemetry import Telemetry
from serving_parts import ColourModel, direct
from telemetry_parts import routes
run = importlib.import_module("open_autoglm.serving.server")
made = run.create_app
def create_app(opened, settings):
    app = made(opened, settings)
    app.include_router(routes(opened.telemetry))
    return app
run.create_app = create_app
settings = Settings(port=0, telemetry=TelemetrySettings(**json.loads(sys.argv[2])))
with Index.open(sys.argv[1], ColourModel()) as index:
    run.run(direct(index, telemetry=Telemetry(settings.telemetry)), settings)
"""
Served = tuple[httpx.Client, Callable[[], str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    painted_index(folder).close()
    return folder


@contextmanager
def running(folder: Path, terminal: bool = False, **settings: object) -> Iterator[Served]:
    """A client of a served index, and what ends the server and gives its log."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", RUN, str(folder / "colours.index"), json.dumps(settings)]
    ours, its = pty.openpty() if terminal else os.pipe()
    with os.fdopen(ours, "rb", buffering=0) as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=its, text=True, env=environment)
        os.close(its)

        def ended() -> str:
            process.send_signal(signal.SIGINT)
            parts = []
            try:
                while part := log.read(65536):
                    parts.append(part)
            except OSError:  # how Linux says that nobody is left at the other end of a terminal
                pass
            return b"".join(parts).decode()

        try:
            address = re.search(r"http://\S+/", process.stdout.readline())[0]
            with httpx.Client(base_url=address, timeout=30) as client:
                yield client, ended
        finally:
            process.kill()
            process.communicate()


def send_secrets(client: httpx.Client) -> None:
    """Requests with a secret in every place that a client can put one."""
    secret = "S3CRET"
    headers = {
        "Authorization": f"Bearer {secret}",
        "Cookie": f"session={secret}",
        "User-Agent": secret,
        "Referer": f"http://{secret}/",
        "X-Api-Key": secret,
        "X-Request-Id": secret,
        "Tracestate": f"a={secret}",
        "Traceparent": secret,
    }
    picture = {"image": (f"{secret}.jpg", b"\xff\xd8\xff" + secret.encode(), "image/jpeg")}
    client.get(f"/{secret}?{secret}={secret}", headers=headers)
    client.get(f"/page/{secret}", headers=headers)
    client.get(f"/v1/pictures/{secret}")
    client.post("/v1/search", json={"query": secret, "where": f"{secret} = 1", secret: secret}, headers=headers)
    client.post("/v1/search", json={"query": f"red {secret}"})
    client.post("/v1/search", json={"query": "red", "where": f"name = '{secret}' AND"})
    client.post("/v1/search", content=secret, headers={"Content-Type": secret})
    client.post("/v1/search", data={"query": secret}, files=picture)
    client.post("/v1/ask", data={"question": secret}, files=picture)
    client.post(f"/embed/{secret}", json={"texts": [secret, ""], "model": secret})
    client.post("/embed/x", json={"texts": [secret]})
    client.get("/fails", params={"query": secret}, headers=headers)
    client.get("/live", headers={"Host": secret})
    client.request(secret, "/live")
    address = (client.base_url.host, client.base_url.port)
    for head in (f"{secret} /{secret} HTTP/9\r\n\r\n", f"GET / HTTP/1.1\r\n{secret}\r\n\r\n"):
        with socket.create_connection(address) as raw:
            raw.sendall(head.encode())
            raw.recv(1000)
    with socket.create_connection(address) as raw:  # hangs up within the body
        raw.sendall(b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        raw.sendall(f"Content-Length: 1000\r\n\r\n{secret}".encode())
    client.get("/v1/info")


def test_no_content_is_logged(folder: Path) -> None:
    with running(folder, log_level="debug") as (client, ended):
        send_secrets(client)
        log = ended()
    assert "s3cret" not in log.lower()
    asked = [line for line in lines(log) if line["event"] == "request"]
    assert [line["route"] for line in asked[:3]] == ["other", "/page", "/v1/pictures/{id}"]
    assert any(line["status"] == 499 for line in asked)  # who hung up is no failure of the server


def test_content_is_logged_where_that_is_asked_but_never_who_may(folder: Path) -> None:
    with running(folder, log_content=True) as (client, ended):
        client.get("/v1/info?what=ever", headers={"Authorization": "Bearer T0KEN", "Cookie": "T0KEN"})
        client.post("/embed/x", json={"texts": ["a red apple"]})
        client.get("/fails", params={"query": "an unlucky one"})
        log = ended()
    first, second, *others = lines(log)
    assert first["path"] == "/v1/info?what=ever" and second["texts"] == ["a red apple"]
    assert any("nobody foresaw an unlucky one" in line.get("exception", "") for line in others)
    assert "T0KEN" not in log


def test_a_line_tells_how_a_request_went(folder: Path) -> None:
    with running(folder) as (client, ended):
        body = b'{"texts": ["a", "b"], "model": "base-2"}'
        reply = client.post("/embed/x", content=body)
        client.get("/tenants", params={"tenant": "shop"})
        client.get("/live")
        client.get("/metrics")
        log = ended()
    embedded, told = lines(log)  # nothing of what machines ask every few seconds
    assert embedded.pop("ms") > 0 and re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:.]+Z", embedded.pop("timestamp"))
    assert embedded == {
        "event": "request",
        "level": "info",
        "logger": "open_autoglm.request",
        "method": "POST",
        "route": "/embed/{purpose}",
        "status": 200,
        "tenant": "",
        "model": "base-2",
        "trace_id": reply.headers["x-request-id"],
        "received": len(body),
        "sent": len(reply.content),
        "input_tokens": 14,
    }
    assert told["tenant"] == "shop"


def test_a_line_of_a_search_names_the_model_of_its_index(folder: Path) -> None:
    with running(folder) as (client, ended):
        client.post("/v1/search", json={"query": "red"})
        log = ended()
    (searched,) = lines(log)
    assert (searched["route"], searched["model"]) == ("/v1/search", "colours")


def test_what_nobody_foresaw_is_found_by_the_name_in_the_reply(folder: Path) -> None:
    with running(folder) as (client, ended):
        reply = client.get("/fails?query=S3CRET")
        log = ended()
    assert reply.status_code == 500 and reply.json()["error"]["type"] == "InternalError"
    assert reply.headers["x-content-type-options"] == "nosniff"
    about = [line for line in lines(log) if line.get("trace_id") == reply.headers["x-request-id"]]
    request, failure = about
    assert request["event"] == "request" and request["status"] == 500
    assert failure["level"] == "error" and failure["logger"] == "uvicorn.error"
    assert 'telemetry_parts.py", line' in failure["exception"]
    assert "KeyError" in failure["exception"] and failure["exception"].endswith("RuntimeError")
    assert "direct cause" in failure["exception"]


def test_a_terminal_is_written_to_for_people(folder: Path) -> None:
    with running(folder, terminal=True) as (client, ended):
        client.get("/tenants", params={"tenant": "sh\u001b[2Jop\n2026-01-01 forged"})
        client.get("/v1/info")
        log = ended()
    told, info = log.splitlines()
    assert "/v1/info" in re.sub(r"\x1b\[\d*m", "", info) and not info.startswith("{")
    assert "\x1b[2J" not in told and "forged" in told


def test_the_level_is_that_of_the_settings(folder: Path) -> None:
    with running(folder, log_level="error") as (client, ended):
        client.get("/v1/info")
        client.get("/fails")
        log = ended()
    assert [line["logger"] for line in lines(log)] == ["uvicorn.error"]


@pytest.fixture(params=["json", "text"])
def logged(request: pytest.FixtureRequest) -> Iterator[tuple[logging.Logger, Callable[[], str], str]]:
    """A library's logger, what it has written, and in which format."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(TelemetrySettings(log_format=request.param), terminal=False))
    logger = logging.Logger("library")
    logger.addHandler(handler)
    yield logger, stream.getvalue, request.param


def test_no_message_makes_a_line_of_its_own(logged: tuple[logging.Logger, Callable[[], str], str]) -> None:
    logger, written, _ = logged
    logger.error("%s", "one\nINFO a forged line\r\n\u2028\x1b[31mred", extra={"tenant": "a\nb", "other": "S3CRET"})
    assert len(written().splitlines()) == 1
    assert "one" in written() and "forged" not in written() and "\x1b[31mred" not in written()
    assert "S3CRET" not in written()


def test_a_traceback_has_kinds_and_places_but_no_messages(
    logged: tuple[logging.Logger, Callable[[], str], str],
) -> None:
    logger, written, format = logged
    secret = "made up\n2026-01-01 made up"
    try:
        try:
            raise ExceptionGroup(secret, [ValueError(secret)])
        finally:
            raise TypeError(secret)
    except TypeError as error:
        error.__context__.__cause__ = error  # a ring, as no traceback should end in
        logger.error("It failed.", exc_info=True)
    assert "made up" not in written()
    assert all(kind in written() for kind in ("TypeError", "ExceptionGroup", "ValueError", "test_telemetry_logs.py"))
    if format == "text":
        assert all(line.startswith("    ") for line in written().splitlines()[1:])
    else:
        assert json.loads(written())["event"] == "It failed."
