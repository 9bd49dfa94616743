"""Fetches a picture from an address that a request names, and never from where that would be an attack (SSRF).

It knows addresses, name resolution and HTTP; it knows nothing of what the bytes are.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy

import anyio
import httpx

from ...errors import OpenAutoGLMError, SettingError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]
# They carry an IPv4 address within them, which need not be a public one.
_TRANSLATED = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")))
_LONGEST_URL = 2048


@dataclass(frozen=True)
class FetchSettings:
    """Whether pictures may be named by address, and which.

    ``allowed_hosts``: names alone, such as ``img.example.com`` or ``*.example.com``; without any, every public host.
    ``allowed_networks``: private networks that may be reached all the same, such as ``10.20.0.0/16``. ``ports`` that
    may be reached; ``seconds`` and ``redirects`` that one picture may take. Raises SettingError.
    """

    enabled: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_networks: tuple[str, ...] = ()
    ports: tuple[int, ...] = (80, 443)
    seconds: float = 5.0
    redirects: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.seconds < float("inf"):
            raise SettingError(f"fetching.seconds is {self.seconds}: it must be above 0.")
        if self.redirects < 0:
            raise SettingError(f"fetching.redirects is {self.redirects}: it must be at least 0.")
        try:
            self.networks  # noqa: B018
        except ValueError as error:
            raise SettingError(f"fetching.allowed_networks: {error}; give one such as 10.20.0.0/16.") from error

    @cached_property
    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        return tuple(map(ipaddress.ip_network, self.allowed_networks))


class NotFetched(OpenAutoGLMError):
    """A picture's address that may not be fetched from, or did not give one."""


async def resolved(host: str, port: int) -> list[str]:
    """Every address that a name has."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, proto=6)
    return [str(entry[4][0]) for entry in found]


class Fetcher:
    """Connects to the very address that was checked, so that a name which changes meanwhile gains nothing."""

    def __init__(self, settings: FetchSettings, max_bytes: int, resolve: Resolve = resolved) -> None:
        self._settings, self._max_bytes, self._resolve = settings, max_bytes, resolve

    async def fetch(self, url: str) -> bytes:
        """What lies at the address. Raises NotFetched, which tells nothing of the network behind this server."""
        if not self._settings.enabled:
            raise NotFetched("Pictures are not fetched from addresses here: send the picture itself as a data: URI.")
        try:
            with anyio.fail_after(self._settings.seconds):
                return await self._follow(url)
        except TimeoutError as error:
            raise NotFetched(f"The picture did not arrive within {self._settings.seconds:g} s.") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ssl.SSLError, OSError) as error:
            raise NotFetched("The picture's address cannot be reached.") from error

    async def aclose(self) -> None:
        """Ends all connections."""
        if "_client" in self.__dict__:
            await self._client.aclose()

    async def _follow(self, url: str) -> bytes:
        asked = _read(url)
        for _ in range(self._settings.redirects + 1):
            found = await self._get(asked)
            if isinstance(found, bytes):
                return found
            asked = _read(str(asked.join(found)))
        raise NotFetched(f"The picture's address leads on more than {self._settings.redirects} times.")

    async def _get(self, url: httpx.URL) -> bytes | str:
        """The content, or where it is said to be."""
        address = await self._address(url)
        headers = {"Host": url.netloc.decode("ascii"), "Accept": "image/*", "Accept-Encoding": "identity"}
        request = self._client.build_request(
            "GET", url.copy_with(host=address), headers=headers, extensions={"sni_hostname": url.raw_host.decode()}
        )
        reply = await self._client.send(request, stream=True)
        try:
            if reply.is_redirect:
                return reply.headers["location"]
            if reply.status_code != httpx.codes.OK:
                raise NotFetched(f"The picture's address answers with status {reply.status_code}.")
            if reply.headers.get("content-encoding", "identity") != "identity":
                raise NotFetched(
                    "The picture's address answers with a compressed body: it must send the file as it is."
                )
            return await self._content(reply)
        finally:
            await reply.aclose()

    async def _content(self, reply: httpx.Response) -> bytes:
        content = bytearray()
        async for part in reply.aiter_raw():
            content += part
            if len(content) > self._max_bytes:
                raise NotFetched(f"The picture at the address has more than {self._max_bytes} bytes, the limit.")
        return bytes(content)

    async def _address(self, url: httpx.URL) -> str:
        """The checked address to connect to; all that the name has must be fit, or none is taken."""
        host, port = url.host, url.port or (443 if url.scheme == "https" else 80)
        hosts = self._settings.allowed_hosts
        if hosts and not any(fnmatchcase(host.rstrip("."), pattern.lower()) for pattern in hosts):
            raise NotFetched("Pictures are not fetched from that host here: it is not among the allowed hosts.")
        if port not in self._settings.ports:
            raise NotFetched(f"Pictures are not fetched from port {port} here.")
        addresses = await self._resolve(host, port)
        if not addresses or not all(self._is_fit(address) for address in addresses):
            raise NotFetched("Pictures are fetched from public addresses only, and that host has another.")
        return addresses[0]

    def _is_fit(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._settings.networks) or is_public(address)

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        # A connection is not used again: the next name at this address may be another's, with another certificate.
        return httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            timeout=self._settings.seconds,
            limits=httpx.Limits(max_connections=16, max_keepalive_connections=0),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )


def is_public(address: Address) -> bool:
    """Whether anybody on the internet means the same host by it: not this machine, its network, or a provider's own."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if any(address in network for network in _TRANSLATED) or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast


def _read(url: str) -> httpx.URL:
    if len(url) > _LONGEST_URL:
        raise NotFetched(f"The picture's address is longer than {_LONGEST_URL} characters.")
    read = httpx.URL(url)
    if read.scheme not in ("http", "https") or not read.host:
        raise NotFetched("The picture's address must begin with https:// or http:// and name a host.")
    if read.userinfo:
        raise NotFetched("The picture's address must not hold a user name or password.")
    return read
