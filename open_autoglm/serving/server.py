"""Runs the page and its API in this process until it is interrupted, and says where to find it.

It knows ports and the server; it knows nothing of what is served.
"""

from __future__ import annotations

import errno
import socket
import sys
import webbrowser
from contextlib import suppress
from typing import Any, cast

import uvicorn
from fastapi import FastAPI

from ..errors import SettingError
from .app import create_app
from .draining import DrainingServer
from .intake.connection import bounded
from .opening import Opened
from .settings import Settings
from .telemetry import configure_logging


def run(opened: Opened, settings: Settings | None = None) -> None:
    """Serve what was opened until interrupted. Raises SettingError where the host or port cannot be used."""
    settings = settings or Settings()
    app = create_app(opened, settings)
    with _listen(settings) as listener:
        address = _address(settings, listener.getsockname()[1])
        sys.stdout.write(f"The page is at {address} (stop it with Ctrl+C)\n")
        sys.stdout.write(f"{_openness(settings)}\n")
        sys.stdout.flush()
        if settings.open_browser:
            webbrowser.open(address)
        configure_logging(settings.telemetry)
        with suppress(KeyboardInterrupt):
            server(app, settings).run(sockets=[listener])


def server(app: FastAPI, settings: Settings) -> uvicorn.Server:
    """uvicorn, bounded as the settings say, which at a stop first answers what it has."""
    config = uvicorn.Config(
        app,
        http=cast(Any, bounded(settings.requests)),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
    return DrainingServer(config, app.state.drain, settings.workers.drain_seconds)


def _openness(settings: Settings) -> str:
    """Who is let in."""
    if settings.access.asks:
        return "Whoever uses it must show an API key or a token."
    if settings.is_public:
        return "It is open to the network: whoever reaches this machine can see its pictures, and nobody is asked."
    return "Whoever can reach this address may use it: nobody is asked who they are."


def _listen(settings: Settings) -> socket.socket:
    where = f"{settings.host}, port {settings.port}"
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((settings.host, settings.port), family=family)
    except socket.gaierror as error:
        raise SettingError(f"The host {settings.host!r} is not known on this machine: try 127.0.0.1.") from error
    except PermissionError as error:
        raise SettingError(f"Not allowed to serve on {where}: choose a port above 1023.") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"Another program already serves on {where}: stop it, or choose another port."
        else:
            message = f"Cannot serve on {where} ({error.strerror}): choose an address of this machine."
        raise SettingError(message) from error


def _address(settings: Settings, port: int) -> str:
    host = "localhost" if settings.binds_everywhere else settings.host
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
