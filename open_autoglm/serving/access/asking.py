"""The client with which key sets are fetched and an OPA server is asked.

It knows HTTP; it knows nothing of keys and policies.
"""

from __future__ import annotations

import ssl

import httpx


def open_client(connections: int = 4) -> httpx.AsyncClient:
    """A client that goes where it is told and nowhere else, and takes no compressed answers, which could be bombs."""
    return httpx.AsyncClient(
        # The system's certificates, and those that SSL_CERT_FILE names; not its proxies.
        verify=ssl.create_default_context(),
        trust_env=False,
        follow_redirects=False,
        headers={"Accept-Encoding": "identity"},
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
    )
