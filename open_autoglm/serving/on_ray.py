"""The server as an application of Ray Serve: a replica is a whole server, and Ray starts as many as are needed.

It knows Ray Serve and how a server is put together; it knows nothing of what is served.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from ..errors import needing
from .app import create_app
from .configuration import read_settings
from .opening import opened
from .settings import Settings

with needing("Serving on Ray", "ray"):
    from ray import serve
    from ray.serve import Application

NAME = "OpenAutoGLM"  # of the deployment, by which a configuration changes its scaling
_log = logging.getLogger("open_autoglm.serving")


class Arguments(BaseModel):
    """``index`` is served, with the ``settings`` of a serve.toml; both lie at the same path on every node."""

    model_config = ConfigDict(extra="forbid")

    index: Path | None = None
    settings: Path | None = None


def application(arguments: Arguments) -> Application:
    """What ``serve run open_autoglm.serving.on_ray:application index=...`` runs."""

    # Ray calls a function in each replica; an application that was made already would have to be sent there.
    def build() -> FastAPI:
        return _server(arguments)

    deployment = serve.deployment(serve.ingress(build)(), name=NAME)
    bound: Application = deployment.bind()
    return bound


def _server(arguments: Arguments) -> FastAPI:
    # Ray's proxy listens, and on any address of its node, so that a host or port of the settings means nothing here.
    settings = read_settings(Settings, arguments.settings, given={"host": "0.0.0.0"})  # noqa: S104
    settings.access.check_reach("Ray's proxy", True)
    stack = ExitStack()
    parts = stack.enter_context(opened(arguments.index, settings, None, _log.warning))
    app = create_app(parts, settings)
    app.state.open_as_long_as_the_replica_lives = stack
    return app
