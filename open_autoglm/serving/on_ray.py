"""The server as an application of Ray Serve: a replica is a whole server, and Ray starts as many as are needed.

It knows Ray Serve and how a server is put together; it knows nothing of what is served.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from ..errors import needing
from ..search import Index
from .app import create_app
from .configuration import read_settings
from .settings import Settings

with needing("Serving on Ray", "ray"):
    from ray import serve
    from ray.serve import Application

NAME = "OpenAutoGLM"  # of the deployment, by which a configuration changes its scaling


class Arguments(BaseModel):
    """``index`` is served, with the ``settings`` of a serve.toml; both lie at the same path on every node."""

    model_config = ConfigDict(extra="forbid")

    index: Path
    settings: Path | None = None


def application(arguments: Arguments) -> Application:
    """What ``serve run open_autoglm.serving.on_ray:application index=...`` runs."""

    # Ray calls a function in each replica, and would send an application that was made already.
    def build() -> FastAPI:
        # Ray's proxy listens, and on any address of the node; a host or port of the settings means nothing here.
        settings = read_settings(Settings, arguments.settings, given={"host": "0.0.0.0"})  # noqa: S104
        settings.access.check_reach("Ray's proxy", True)
        return create_app(Index.open(arguments.index), settings)

    deployment = serve.deployment(serve.ingress(build)(), name=NAME)
    bound: Application = deployment.bind()
    return bound
