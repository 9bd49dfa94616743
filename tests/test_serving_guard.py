"""Who may reach the page: hosts, origins and the headers of every reply."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving_parts import painted_index, serve

from open_autoglm.serving import Settings
from open_autoglm.serving.access import AccessSettings

WIDE = Settings(host="0.0.0.0", access=AccessSettings(off=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guard")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    with (
        painted_index(folder) as index,
        serve(index, Settings(allowed_hosts=("photos.local",))) as address,
        httpx.Client(base_url=address) as client,
    ):
        yield client


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1:8765", "[::1]:8765", "PHOTOS.local"])
def test_own_hosts_are_served(client: httpx.Client, host: str) -> None:
    assert client.get("/live", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.7", "", "[", "a@localhost@b"])
def test_other_hosts_are_refused(client: httpx.Client, host: str) -> None:
    reply = client.get("/", headers={"Host": host})
    assert reply.status_code == 400
    assert "evil" not in reply.text


def test_the_wildcard_address_is_reached_by_addresses_but_not_by_names(tmp_path: Path) -> None:
    with painted_index(tmp_path) as index, serve(index, WIDE) as address:
        assert httpx.get(f"{address}/live", headers={"Host": "10.0.0.7:8765"}).status_code == 200
        assert httpx.get(f"{address}/live", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_origins_may_not_search(client: httpx.Client, headers: dict[str, str]) -> None:
    reply = client.post("/v1/search", json={"query": "red"}, headers=headers)
    assert reply.status_code == 403
    assert reply.json()["error"]["type"] == "OriginRefused"


def test_the_page_itself_and_programs_may_search(client: httpx.Client) -> None:
    own = {"Origin": str(client.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert client.post("/v1/search", json={"query": "red"}, headers=own).status_code == 200
    assert client.post("/v1/search", json={"query": "red"}).status_code == 200


@pytest.mark.parametrize("address", ["/", "/page/app.js", "/v1/info", "/v1/pictures/1", "/nowhere"])
def test_every_reply_carries_the_security_headers(client: httpx.Client, address: str) -> None:
    headers = client.get(address).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    assert "no-cache" in headers["cache-control"]


def test_without_its_packages_the_page_says_what_to_install() -> None:
    code = "import sys; sys.modules['fastapi'] = None; from open_autoglm.serving import run"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert "The page needs more packages" in last and last.endswith("pip install -c constraints.txt -e '.[serve]'.")
