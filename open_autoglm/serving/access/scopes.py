"""Names of scopes, as tokens and keys carry them.

It knows names; it knows nothing of what a scope allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...errors import SettingError

MOST_SCOPES = 64
ACTIONS = frozenset(
    {"embed", "chat", "rerank", "classify", "ground", "ask", "search", "write", "models", "rollout", "metrics"}
)
KNOWN = ACTIONS | {"*", "admin"}
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,64}")  # RFC 6749, section 3.3


def is_scope(name: object) -> bool:
    """Whether this can be a scope."""
    return isinstance(name, str) and _SCOPE.fullmatch(name) is not None


def unknown_scopes(scopes: Iterable[str]) -> list[str]:
    """Those that the shipped policy has no use for."""
    return [scope for scope in scopes if scope not in KNOWN]


def check_scopes(scopes: Iterable[object]) -> None:
    """Raises SettingError for what cannot be the scopes of a key."""
    names = list(scopes)
    if not names or len(names) > MOST_SCOPES:
        raise SettingError(f"A key has {len(names)} scopes: give 1 to {MOST_SCOPES}.")
    if unfit := [name for name in names if not is_scope(name)]:
        raise SettingError(f"A scope cannot be called {str(unfit[0])[:70]!r}: use up to 64 letters, digits and signs.")
