"""JSON Web Tokens: who they speak for, once signature, issuer, audience and time are right.

It knows tokens and the keys they are signed with; it knows nothing of requests. The algorithm is that of the key; what
a token says of keys (``jku``, ``x5u``, ``jwk``, ``x5c``) is never looked at.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.utils import base64url_decode

from ..caller import Caller
from .jwks import SigningKey
from .key_source import Keys, KeySource
from .refusal import unknown_caller
from .scopes import MOST_SCOPES, is_scope
from .settings import AccessSettings
from .tenants import is_tenant

_LONGEST_ID = 256
_MOST_REMEMBERED = 4096
_SENTENCES: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "The token has expired: fetch a new one."),
    (jwt.ImmatureSignatureError, "The token is not valid yet: compare the clocks of its issuer and this server."),
    (jwt.InvalidAudienceError, "The token is meant for another audience."),
    (jwt.InvalidIssuerError, "The token comes from another issuer."),
    (jwt.InvalidSignatureError, "The token's signature is wrong."),
)
_MALFORMED = "The token cannot be read as a JSON Web Token."


@dataclass(frozen=True)
class _Verified:
    """What a token came to, until when, and the keys that were in force."""

    caller: Caller
    until: float
    keys: Keys


class Tokens:
    """Checks tokens; one that was good is known by its hash until it expires or the keys change."""

    def __init__(
        self, settings: AccessSettings, source: KeySource, remember: bool = True, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings, self._source, self._clock = settings, source, clock
        self._most = _MOST_REMEMBERED if remember else 0
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._options: Any = {"require": ["exp", "iss", "aud", "sub", *settings.claims], "strict_aud": False}

    async def recognise(self, token: str) -> Caller:
        """Raises Refused, and NoKeys where there are none to check it with."""
        name = hashlib.sha256(token.encode("ascii")).digest()
        if name in self._verified and (caller := await self._known(name)) is not None:
            return caller
        id = _key_id(token)
        keys = await self._source.keys(id)
        claims = self._claims(token, id, keys)
        caller = self._caller(claims)
        self._remember(name, _Verified(caller, float(claims["exp"]) + self._settings.leeway, keys))
        return caller

    async def _known(self, name: bytes) -> Caller | None:
        """Who a token that was good before speaks for; None once it has expired or the keys have changed."""
        keys = await self._source.keys(None)
        known = self._verified.get(name)
        if known is not None and known.keys is keys and self._clock() < known.until:
            return known.caller
        self._verified.pop(name, None)
        return None

    def _claims(self, token: str, id: str | None, keys: Keys) -> Mapping[str, Any]:
        key = _chosen(keys, id)
        if key is None:
            raise unknown_caller("The token names a key that its issuer does not publish.")
        if key.algorithm not in self._settings.algorithms:
            raise unknown_caller("The token is signed in a way that is not allowed here.")
        try:
            return jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                options=self._options,
                audience=list(self._settings.audience),
                issuer=self._settings.issuer,
                leeway=self._settings.leeway,
            )
        except jwt.MissingRequiredClaimError as error:
            raise unknown_caller(f"The token lacks the claim {error.claim}.") from error
        except jwt.InvalidAlgorithmError as error:
            raise unknown_caller("The token is signed in another way than its key allows.") from error
        except jwt.PyJWTError as error:
            sentence = next((text for kind, text in _SENTENCES if isinstance(error, kind)), _MALFORMED)
            raise unknown_caller(sentence) from error
        except (ValueError, TypeError, OverflowError) as error:  # claims of a kind that PyJWT does not foresee
            raise unknown_caller(_MALFORMED) from error

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        tenant, subject = claims.get(self._settings.tenant_claim), claims["sub"]
        if not is_tenant(tenant):
            raise unknown_caller(f"The token's claim {self._settings.tenant_claim} names no tenant.")
        if not 0 < len(subject) <= _LONGEST_ID or not subject.isprintable():
            raise unknown_caller("The token's claim sub is no name.")
        return Caller(str(tenant), subject, self._scopes(claims.get(self._settings.scopes_claim, ())))

    def _scopes(self, claim: Any) -> frozenset[str]:
        listed = claim.split() if isinstance(claim, str) else claim
        if not isinstance(listed, list | tuple) or len(listed) > MOST_SCOPES or not all(map(is_scope, listed)):
            raise unknown_caller(f"The token's claim {self._settings.scopes_claim} holds no scopes.")
        return frozenset(listed)

    def _remember(self, name: bytes, verified: _Verified) -> None:
        if not self._most:
            return
        self._verified[name] = verified
        if len(self._verified) > self._most:
            self._verified.popitem(last=False)


def _key_id(token: str) -> str | None:
    """The key that a token says it is signed with. Raises Refused for what is no token."""
    try:
        # The rest is read once, when the signature is checked.
        id = json.loads(base64url_decode(token.partition(".")[0])).get("kid")
    except (ValueError, AttributeError, RecursionError) as error:
        raise unknown_caller(_MALFORMED) from error
    if id is not None and not (isinstance(id, str) and 0 < len(id) <= _LONGEST_ID):
        raise unknown_caller("The token's key id is none.")
    return id


def _chosen(keys: Keys, id: str | None) -> SigningKey | None:
    """The key of that id; a token without one is checked with the only key there is."""
    if id is None:
        return keys[0] if len(keys) == 1 else None
    return next((key for key in keys if key.id == id), None)
