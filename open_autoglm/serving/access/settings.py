"""The settings of who may do what, checked when they are made.

It knows what can be set; it knows nothing of how a token, a key or a policy is read.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

from ...errors import SettingError
from .tenants import check_tenant

ALGORITHMS = ("RS256", "ES256", "EdDSA")
_STORES = ("redis://", "rediss://")


@dataclass(frozen=True)
class Quota:
    """What a tenant may ask for: requests a second, pictures and tokens a minute and a day; None is no limit.

    Raises SettingError.
    """

    requests_per_second: int | None = None
    pictures_per_minute: int | None = None
    pictures_per_day: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None and value < 1:
                raise SettingError(f"The quota {one.name} is {value}: give at least 1, or leave it out for no limit.")


@dataclass(frozen=True)
class AccessSettings:
    """Who may do what. Without ``keys`` and ``jwks`` nobody is asked who they are, on a loopback address alone.

    ``off`` says so on purpose, for any address. ``keys`` is the file of hashed API keys. ``jwks`` is the https address
    or the file of the keys that tokens are signed with, one of ``algorithms``; ``issuer`` and ``audience`` are what
    their ``iss`` and ``aud`` must be, ``claims`` further claims that they must carry, ``leeway`` the seconds that
    clocks may differ. ``tenant_claim`` names the claim of the tenant, ``scopes_claim`` that of the scopes.
    Keys are fetched again after ``jwks_lifetime`` seconds, or for an unknown key id, but not within ``jwks_cooldown``
    seconds of the last time; where that fails the last ones are good for ``jwks_outage`` seconds.
    ``policy`` is a Rego file in place of the one that comes along, ``opa`` the address of a server that decides
    instead, within ``opa_timeout`` seconds. A decision of the embedded policy is good for ``decision_seconds``.
    ``quota`` is what each tenant may ask for, ``quotas`` what those named may, counted in this process or in the Redis
    of ``quota_store``. Raises SettingError.
    """

    off: bool = False
    keys: Path | None = None
    jwks: str | None = None
    issuer: str | None = None
    audience: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ALGORITHMS
    claims: tuple[str, ...] = ()
    leeway: float = 10.0
    tenant_claim: str = "tenant"
    scopes_claim: str = "scope"
    token_bytes: int = 8192
    jwks_lifetime: float = 300.0
    jwks_cooldown: float = 30.0
    jwks_outage: float = 86_400.0
    jwks_timeout: float = 3.0
    policy: Path | None = None
    opa: str | None = None
    opa_timeout: float = 1.0
    opa_connections: int = 32
    decision_seconds: float = 1.0
    quota: Quota = field(default_factory=Quota)
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    quota_store: str | None = field(default=None, repr=False)  # its address may hold a password

    def __post_init__(self) -> None:
        self._check_callers()
        self._check_policy()
        for name in ("token_bytes", "jwks_lifetime", "jwks_cooldown", "jwks_outage", "jwks_timeout", "opa_timeout"):
            if not 0 < getattr(self, name) < float("inf"):
                raise SettingError(f"access.{name} is {getattr(self, name)}: it must be above 0.")
        if not 0 <= self.leeway <= 300:
            raise SettingError(f"access.leeway is {self.leeway}: it must be between 0 and 300 seconds.")
        for tenant in self.quotas:
            check_tenant(tenant)
        if self.quota_store is not None and not self.quota_store.startswith(_STORES):
            raise SettingError("access.quota_store is no address of a Redis server: give redis://HOST:PORT.")

    @property
    def asks(self) -> bool:
        """Whether callers are asked who they are."""
        return self.keys is not None or self.jwks is not None

    def check_reach(self, host: str, is_public: bool) -> None:
        """Raises SettingError where other machines could reach what nobody guards, unless that is wanted."""
        if is_public and not self.asks and not self.off:
            raise SettingError(
                f"{host} can be reached by other machines, and nobody would be asked who they are: configure access "
                "(access.keys or access.jwks), or let everybody in with --no-access."
            )

    def _check_callers(self) -> None:
        if self.off and self.asks:
            raise SettingError("access.off contradicts access.keys and access.jwks: leave out one or the other.")
        if self.jwks is None:
            if self.issuer is not None or self.audience:
                raise SettingError("access.issuer and access.audience need access.jwks, the keys of the tokens.")
            return
        check_address("access.jwks", self.jwks, or_file=True)
        if not self.issuer or not self.audience or not all(self.audience):
            raise SettingError(
                "access.jwks needs access.issuer and access.audience: a token for another service is no token here."
            )
        if unknown := [name for name in self.algorithms if name not in ALGORITHMS]:
            raise SettingError(f"access.algorithms cannot hold {unknown[0]!r}: choose from {', '.join(ALGORITHMS)}.")
        if not self.algorithms or not self.tenant_claim or not self.scopes_claim:
            raise SettingError("access.algorithms, access.tenant_claim and access.scopes_claim must not be empty.")

    def _check_policy(self) -> None:
        if self.policy is not None and self.opa is not None:
            raise SettingError("access.policy and access.opa are two ways to decide: leave out one of them.")
        if self.opa is not None:
            check_address("access.opa", self.opa)
        if self.opa_connections < 1:
            raise SettingError(f"access.opa_connections is {self.opa_connections}: it must be at least 1.")
        if not 0 <= self.decision_seconds <= 60:
            raise SettingError(f"access.decision_seconds is {self.decision_seconds}: it must be between 0 and 60.")


def is_address(text: str) -> bool:
    """Whether a text is an address of the web, not a file."""
    return "://" in text


def check_address(name: str, address: str, or_file: bool = False) -> None:
    """Raises SettingError for an address whose answers somebody on the way could change."""
    if or_file and not is_address(address):
        return
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise SettingError(f"{name} is {address!r}: give an address such as https://HOST{' or a file' * or_file}.")
    if parts.username is not None or parts.password is not None:
        raise SettingError(f"{name} has a password in its address: leave it out.")
    if parts.scheme == "http" and not _is_loopback(host):
        raise SettingError(f"{name} is {address!r}: it must begin with https:// unless it is on this machine.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
