"""Names of tenants.

It knows names; it knows nothing of what a tenant keeps.
"""

from __future__ import annotations

import re

from ...errors import SettingError

# It ends up in paths, cache keys, logs and headers, so it holds nothing that means something in one of them.
_TENANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


def is_tenant(name: object) -> bool:
    """Whether this can be a tenant: 1 to 64 letters, digits, ``.``, ``_`` and ``-``, at both ends no sign."""
    return isinstance(name, str) and _TENANT.fullmatch(name) is not None


def check_tenant(name: str) -> str:
    """The same name. Raises SettingError."""
    if not is_tenant(name):
        raise SettingError(
            f"A tenant cannot be called {str(name)[:70]!r}: use 1 to 64 letters, digits, '.', '_' and '-', beginning "
            "and ending with a letter or digit."
        )
    return name
