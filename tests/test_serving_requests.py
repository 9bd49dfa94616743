"""Whatever is sent to the API, it answers in one shape, never fails inside, and never shows its insides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_parts import painted_index, serve


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        painted_index(tmp_path_factory.mktemp("requests")) as index,
        serve(index) as address,
        httpx.Client(base_url=address) as client,
    ):
        yield client


def check(reply: httpx.Response) -> None:
    assert reply.status_code < 500, reply.text
    assert "Traceback" not in reply.text
    if reply.status_code >= 400:
        error = reply.json()["error"]
        assert error["message"] and error["type"]
        assert "\n" not in error["message"] and len(error["message"]) < 500


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.floats() | st.integers(), max_size=3),
)
FORM = "multipart/form-data"
PART = b'--a\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
NAMES = st.sampled_from(["query", "like", "k", "where", "cut", "written"])


@settings(max_examples=150, deadline=None)
@given(body=st.dictionaries(NAMES | st.text(max_size=8), VALUES, max_size=4))
def test_any_json(client: httpx.Client, body: dict) -> None:
    headers = {"Content-Type": "application/json"}
    check(client.post("/v1/search", content=json.dumps(body), headers=headers))


@settings(max_examples=80, deadline=None)
@given(
    body=st.binary(max_size=200),
    kind=st.sampled_from(["application/json", f"{FORM}; boundary=a", f"{FORM}; charset=x; boundary=a", FORM]),
    opening=st.sampled_from([b"", b"--a\r\n", PART]),
)
def test_any_bytes(client: httpx.Client, body: bytes, kind: str, opening: bytes) -> None:
    check(client.post("/v1/search", content=opening + body, headers={"Content-Type": kind}))


@settings(max_examples=80, deadline=None)
@given(
    fields=st.dictionaries(NAMES, st.text(max_size=20), max_size=3),
    image=st.binary(max_size=100) | st.binary(max_size=60).map(lambda rest: b"\x89PNG\r\n\x1a\n" + rest),
)
def test_any_upload(client: httpx.Client, fields: dict[str, str], image: bytes) -> None:
    check(client.post("/v1/search", data=fields, files={"image": ("x", image)}))


@settings(max_examples=80, deadline=None)
@given(
    id=st.integers() | st.text("0123456789-+.eE/%\0 ", min_size=1, max_size=30),
    rest=st.sampled_from(["", "/thumbnail", "/thumbnail?size=320", "/thumbnail?size=-1", "/thumbnail?size=x"]),
)
def test_any_picture_address(client: httpx.Client, id: object, rest: str) -> None:
    check(client.get(f"/v1/pictures/{quote(str(id), safe='')}{rest}"))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("address", ["/", "/v1/info", "/v1/pictures/1", "/page/app.js"])
def test_other_methods_are_refused(client: httpx.Client, method: str, address: str) -> None:
    reply = client.request(method, address)
    assert reply.status_code == 405
    check(reply)
