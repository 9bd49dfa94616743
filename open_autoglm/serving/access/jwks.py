"""Keys that tokens are signed with, from a JSON Web Key Set (RFC 7517), each bound to the one algorithm of its type.

It knows key sets; it knows nothing of where they come from, nor of tokens.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ...errors import SettingError

MOST_KEYS = 100
_SMALLEST_RSA = 2048  # bits; NIST SP 800-131A
_ALGORITHM = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
_PRIVATE = frozenset({"d", "k", "p", "q", "dp", "dq", "qi"})


@dataclass(frozen=True)
class SigningKey:
    """A public key and the algorithm it is for, whatever a token says."""

    id: str
    algorithm: str
    key: Any


def parse_keys(content: str | bytes, source: str) -> tuple[SigningKey, ...]:
    """The keys of a set that can sign tokens here; others are passed over. Raises SettingError where there are none."""
    try:
        listed = json.loads(content)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise SettingError(f"{source} is no JSON Web Key Set.") from error
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise SettingError(f"{source} is no JSON Web Key Set of at most {MOST_KEYS} keys.")
    found = tuple(key for entry in listed if (key := _usable(entry)) is not None)
    if not found:
        raise SettingError(f"{source} holds no public key for RS256, ES256 or EdDSA.")
    return found


def _usable(entry: Any) -> SigningKey | None:
    """The key of an entry; None for a secret, one that is too short, meant for something else, or nonsense."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kty"), str) or _PRIVATE & entry.keys():
        return None
    curve = None if entry["kty"] == "RSA" else entry.get("crv")
    algorithm = _ALGORITHM.get((entry["kty"], curve)) if curve is None or isinstance(curve, str) else None
    if algorithm is None or entry.get("alg", algorithm) != algorithm or entry.get("use", "sig") != "sig":
        return None
    operations, id = entry.get("key_ops", ["verify"]), entry.get("kid", "")
    if not isinstance(operations, list) or "verify" not in operations or not isinstance(id, str):
        return None
    try:
        key = jwt.PyJWK(entry, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < _SMALLEST_RSA:
        return None
    return SigningKey(id, algorithm, key)
