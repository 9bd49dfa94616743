"""What a client sends is bounded in bytes, pixels, items and time, and each bound is said in one sentence."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from api_parts import BANANA, FakeModels, serve_base, serve_fake, uri
from PIL import Image

from open_autoglm.errors import SettingError
from open_autoglm.runtime.images import ImageLimits
from open_autoglm.serving import Settings
from open_autoglm.serving.intake.limits import RequestLimits
from open_autoglm.serving.work import EmbedImage, EmbedText

TIGHT = RequestLimits(
    body_bytes=200_000,
    bytes_waiting=300_000,
    body_seconds=1.5,
    header_bytes=4_000,
    header_seconds=1.5,
    items=3,
    characters=1_000,
    connections=6,
)
EMPTY = ImageLimits(max_bytes=60_000, max_pixels=1_000_000)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    vector = np.array([1, 0, 0, 0], np.float32)
    models = FakeModels({EmbedText: vector, EmbedImage: vector})
    with serve_fake(models, Settings(requests=TIGHT, limits=EMPTY)) as address:
        yield address


def embed(address: str, content: bytes) -> httpx.Response:
    return httpx.post(
        f"{address}/v1/embeddings", timeout=60, content=content, headers={"Content-Type": "application/json"}
    )


def said(reply: httpx.Response) -> tuple[int, str, str]:
    error = reply.json()["error"]
    return reply.status_code, error["type"], error["message"]


def connect(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def all_of(connection: socket.socket) -> bytes:
    """What comes until the server hangs up."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


HEAD = b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"


def test_a_body_that_comes_too_slowly_is_given_up(address: str) -> None:
    with connect(address) as connection:
        connection.sendall(HEAD + b'\r\n{"input"')
        started = time.monotonic()
        reply = all_of(connection)
        assert reply.startswith(b"HTTP/1.1 408") and b"TooSlow" in reply and time.monotonic() - started < 15


def test_a_body_that_drips_is_given_up_too(address: str) -> None:
    with connect(address) as connection:
        connection.sendall(HEAD + b"\r\n")
        reply = b""
        for _ in range(300):
            try:
                connection.sendall(b" ")
                connection.settimeout(0.05)
                reply += connection.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                break
            if reply:
                break
        assert reply.startswith(b"HTTP/1.1 408")


def test_headers_that_never_end_are_given_up(address: str) -> None:
    with connect(address) as connection:
        connection.sendall(HEAD)
        assert all_of(connection).startswith(b"HTTP/1.1 408")
    with connect(address) as silent:
        assert all_of(silent) == b""


def test_a_body_that_nobody_reads_does_not_hold_a_connection(address: str) -> None:
    with connect(address) as connection:
        connection.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n")
        assert all_of(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("at_once", [True, False])
def test_huge_headers_are_refused(address: str, at_once: bool) -> None:
    with connect(address) as connection:
        lines = [b"X-%d: %s\r\n" % (number, b"a" * 100) for number in range(100)]
        try:
            if at_once:
                connection.sendall(HEAD + b"".join(lines) + b"\r\n")
            else:
                for line in [HEAD, *lines]:
                    connection.sendall(line)
                    time.sleep(0.001)
        except OSError:
            pass
        assert all_of(connection).startswith(b"HTTP/1.1 431")


def test_no_more_connections_than_fit(address: str) -> None:
    held = [connect(address) for _ in range(TIGHT.connections)]
    try:
        time.sleep(0.1)
        with connect(address) as one_more:
            reply = all_of(one_more)
            assert (
                reply.startswith(b"HTTP/1.1 503")
                and b"TooManyConnections" in reply
                and b"Retry-After: 1" in reply.title()
            )
    finally:
        for connection in held:
            connection.close()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}/live", timeout=60).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    pytest.fail("no connection is taken any more")


def test_a_large_body_is_refused_before_it_is_read(address: str) -> None:
    status, kind, message = said(embed(address, b" " * 200_001))
    assert (status, kind) == (413, "TooLarge") and "200000 bytes" in message


def test_bodies_together_have_a_bound_of_their_own(address: str) -> None:
    held = []
    for _ in range(2):  # each is let in by itself
        connection = connect(address)
        connection.sendall(HEAD.replace(b"1000", b"190000") + b"\r\n" + b" " * 140_000)
        held.append(connection)
    time.sleep(0.15)
    statuses = {embed(address, json.dumps({"input": "a" + " " * 100_000}).encode()).status_code}
    for connection in held:
        connection.close()
    assert statuses == {429}
    time.sleep(0.7)
    assert embed(address, b'{"input": "a"}').status_code == 200


@pytest.mark.parametrize(
    ("input", "status", "kind"),
    [
        (["a"] * 4, 422, "RequestError"),
        (["a" * 400] * 3, 413, "TooLarge"),
        ([uri(b"\xff\xd8\xff" + bytes(60_001))], 400, "ImageError"),
    ],
)
def test_items_texts_and_pictures_have_bounds(address: str, input: list[str], status: int, kind: str) -> None:
    assert said(embed(address, json.dumps({"input": input}).encode()))[:2] == (status, kind)


def test_a_picture_that_would_unpack_to_too_many_pixels_is_refused_and_its_neighbour_answered() -> None:
    file = io.BytesIO()
    Image.new("1", (14_000, 12_000)).save(file, "PNG")
    assert len(file.getvalue()) < 100_000
    with serve_base() as address:
        reply = httpx.post(
            f"{address}/v1/embeddings",
            json={"input": [uri(file.getvalue()), uri(BANANA)], "errors": "item"},
            timeout=60,
        ).json()["data"]
    assert reply[0]["embedding"] is None and "pixels" in reply[0]["error"]["message"] and reply[1]["embedding"]


def test_what_is_no_http_gets_one_sentence(address: str) -> None:
    with connect(address) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        reply = all_of(connection)
        assert reply.startswith(b"HTTP/1.1 400") and json.loads(reply.partition(b"\r\n\r\n")[2])["error"]["message"]


def test_many_at_once_are_all_answered(address: str) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(embed(address, b'{"input": "a red apple"}').status_code))
        for _ in range(TIGHT.connections - 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * (TIGHT.connections - 1)


@pytest.mark.parametrize("setting", [{"items": 0}, {"body_seconds": -1}, {"body_bytes": 10, "bytes_waiting": 9}])
def test_limits_that_make_no_sense_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(SettingError, match=next(iter(setting))):
        RequestLimits(**setting)  # type: ignore[arg-type]
