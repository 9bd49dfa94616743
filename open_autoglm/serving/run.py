"""Runs the page in this process until it is interrupted, and says where to find it.

It knows ports and the server; it knows nothing of what is served.
"""

from __future__ import annotations

import errno
import socket
import sys
import webbrowser
from contextlib import suppress

import uvicorn

from ..cache import PrefixCache
from ..errors import SettingError
from ..search import Index
from .app import create_app
from .settings import Settings
from .telemetry import Telemetry, configure_logging


def run(index: Index, settings: Settings | None = None, cache: PrefixCache | None = None) -> None:
    """Serve ``index``, whose model may remember in ``cache``, until interrupted.

    Raises SettingError where the host or port cannot be used.
    """
    settings = settings or Settings()
    telemetry = Telemetry(settings.telemetry)
    if cache is not None:
        telemetry.watch_cache(cache)
    with _listen(settings) as listener:
        address = _address(settings, listener.getsockname()[1])
        sys.stdout.write(f"The page is at {address} (stop it with Ctrl+C)\n")
        if settings.is_public:
            sys.stdout.write("It is open to the network: whoever reaches this machine can see its pictures.\n")
        sys.stdout.flush()
        if settings.open_browser:
            webbrowser.open(address)
        config = uvicorn.Config(
            create_app(index, settings, telemetry=telemetry),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=5,
        )
        configure_logging(settings.telemetry)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


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
