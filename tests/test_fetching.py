"""Pictures by address come from public hosts alone, whatever a name, a redirect or a second look-up says."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from api_parts import BANANA, serve_base

from open_autoglm.errors import SettingError
from open_autoglm.serving import Settings
from open_autoglm.serving.intake.fetching import Fetcher, FetchSettings, NotFetched, is_public

# This network is allowed below, so that a local server stands for a public one; the rest of 127.0.0.0/8 is not.
PUBLIC, PRIVATE = "127.0.0.2", "127.0.0.1"


@dataclass
class Server:
    """A local server: what it answers with, and what it was asked."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b"picture"
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    wait: threading.Event = field(default_factory=threading.Event)


def start(host: str, port: int = 0) -> tuple[Server, ThreadingHTTPServer]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            if self.path == "/slow":
                state.wait.wait(5)
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(state.content)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer((host, port), Handler)
    state.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return state, server


@pytest.fixture
def public() -> Iterator[Server]:
    state, server = start(PUBLIC)
    yield state
    state.wait.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def private(public: Server) -> Iterator[Server]:
    """On the same port, so that an address alone tells the two apart."""
    state, server = start(PRIVATE, public.port)
    yield state
    server.shutdown()
    server.server_close()


class Names:
    """A resolver that gives the answers it was told, the last one for ever."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.answers, self.asked = answers, 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        several = self.answers[host.partition(".")[0]]
        return several.pop(0) if len(several) > 1 else several[0]


def fetch(server: Server, url: str, names: Names, **settings: object) -> bytes:
    wanted = FetchSettings(
        enabled=True,
        allowed_networks=(f"{PUBLIC}/32",),
        ports=(80, 443, server.port),
        **{"seconds": 3, **settings},  # type: ignore[arg-type]
    )

    async def run() -> bytes:
        fetcher = Fetcher(wanted, 1000, names)
        try:
            return await fetcher.fetch(url)
        finally:
            await fetcher.aclose()

    return asyncio.run(run())


def good() -> Names:
    return Names(good=[[PUBLIC]], evil=[[PRIVATE]], both=[[PUBLIC, PRIVATE]])


def test_a_public_host_is_asked_by_its_name_and_without_credentials(public: Server) -> None:
    assert fetch(public, f"http://good.test:{public.port}/a.jpg?x=1#y", good()) == b"picture"
    ((path, headers),) = public.asked
    assert path == "/a.jpg?x=1" and headers["host"] == f"good.test:{public.port}"
    assert not {"authorization", "cookie", "referer"} & set(headers)


@pytest.mark.parametrize("name", ["evil", "both"])
def test_a_name_of_a_private_address_is_refused_before_anything_is_sent(
    public: Server, private: Server, name: str
) -> None:
    with pytest.raises(NotFetched, match="public addresses only"):
        fetch(public, f"http://{name}.test:{public.port}/", good())
    assert not private.asked and not public.asked


def test_a_redirect_to_a_private_address_is_not_followed(public: Server, private: Server) -> None:
    for target in (f"http://evil.test:{public.port}/secret", f"//evil.test:{public.port}/secret"):
        public.status, public.headers = 302, {"Location": target}
        with pytest.raises(NotFetched, match="public addresses only"):
            fetch(public, f"http://good.test:{public.port}/", good())
    assert not private.asked


@pytest.mark.parametrize("target", ["file:///etc/passwd", "gopher://good.test/", "ftp://good.test/x"])
def test_a_redirect_to_another_scheme_is_not_followed(public: Server, target: str) -> None:
    public.status, public.headers = 302, {"Location": target}
    with pytest.raises(NotFetched, match="http"):
        fetch(public, f"http://good.test:{public.port}/", good())


def test_redirects_end(public: Server) -> None:
    public.status, public.headers = 302, {"Location": "/again"}
    with pytest.raises(NotFetched, match="leads on more than 3 times"):
        fetch(public, f"http://good.test:{public.port}/", good())
    assert len(public.asked) == 4


def test_a_name_that_means_another_host_when_asked_again_gains_nothing(public: Server, private: Server) -> None:
    names = Names(rebind=[[PUBLIC], [PRIVATE]])
    assert fetch(public, f"http://rebind.test:{public.port}/", names) == b"picture"
    assert names.asked == 1 and len(public.asked) == 1 and not private.asked


def test_size_time_status_and_encoding_are_bounded(public: Server) -> None:
    public.content = bytes(1001)
    with pytest.raises(NotFetched, match="more than 1000 bytes"):
        fetch(public, f"http://good.test:{public.port}/", good())
    public.content = b"small"
    with pytest.raises(NotFetched, match=r"within 0\.3 s"):
        fetch(public, f"http://good.test:{public.port}/slow", good(), seconds=0.3)
    public.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(NotFetched, match="compressed"):
        fetch(public, f"http://good.test:{public.port}/", good())
    public.headers, public.status = {}, 404
    with pytest.raises(NotFetched, match="404"):
        fetch(public, f"http://good.test:{public.port}/", good())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://user:secret@good.test/", "user name"),
        ("http://good.test:22/", "port 22"),
        ("http:///x", "name a host"),
        ("http://good.test/" + "x" * 3000, "longer"),
        ("http://[::1", "cannot be reached"),
    ],
)
def test_an_address_that_is_not_fit_is_refused(public: Server, url: str, said: str) -> None:
    with pytest.raises(NotFetched, match=said):
        fetch(public, url, good())
    assert not public.asked


def test_only_allowed_hosts_where_there_are_such(public: Server) -> None:
    port = public.port
    assert fetch(public, f"http://good.test:{port}/", good(), allowed_hosts=("*.test",)) == b"picture"
    for hosts in (("good.example",), ("test",), ("*.good.test",)):
        with pytest.raises(NotFetched, match="allowed hosts"):
            fetch(public, f"http://good.test:{port}/", good(), allowed_hosts=hosts)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fc00::1", "fec0::1", "ff02::1",
        "ff0e::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1",
        "2002:7f00:1::", "2001:0:1::1", "::7f00:1", "fd00:ec2::254", "2001:db8::1",
    ],
)  # fmt: skip
def test_addresses_that_are_nobodys_business_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]", "[::ffff:7f00:1]"]
)
def test_no_spelling_of_this_machine_is_reached_through_the_api(private: Server, host: str) -> None:
    settings = Settings(fetching=FetchSettings(enabled=True, ports=(80, 443, private.port)))
    with serve_base(settings) as address:
        body = {"input": [{"image": f"http://{host}:{private.port}/"}]}
        reply = httpx.post(f"{address}/v1/embeddings", json=body, timeout=60)
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "NotFetched")
    assert not private.asked


def test_a_picture_by_address_is_embedded_where_that_is_allowed(public: Server) -> None:
    public.content = BANANA.read_bytes()
    fetching = FetchSettings(enabled=True, allowed_networks=(f"{PUBLIC}/32",), ports=(public.port,))
    with serve_base(Settings(fetching=fetching)) as address:
        part = {"type": "image_url", "image_url": {"url": f"http://{PUBLIC}:{public.port}/banana.jpg"}}
        reply = httpx.post(f"{address}/v1/embeddings", json={"input": [part]}, timeout=60)
    assert reply.status_code == 200 and len(reply.json()["data"][0]["embedding"]) == 512


@pytest.mark.parametrize("setting", [{"seconds": 0}, {"redirects": -1}, {"allowed_networks": ("10.0.0.1/8",)}])
def test_settings_that_make_no_sense_are_refused(setting: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=next(iter(setting))):
        FetchSettings(**setting)  # type: ignore[arg-type]
