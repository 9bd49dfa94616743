"""The address that Prometheus reads: ``/metrics``.

It knows the exposition formats by their library; it knows nothing of what is counted.
"""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Response
from prometheus_client.exposition import choose_encoder

from ..access import permits
from .telemetry import Telemetry


def metrics_route(telemetry: Telemetry) -> APIRouter:
    """``GET /metrics``, in OpenMetrics with exemplars for who accepts that, else in Prometheus's text format."""
    router = APIRouter()

    @router.get("/metrics", response_class=Response, dependencies=[Depends(permits("metrics"))])
    async def metrics(accept: Annotated[str, Header()] = "") -> Response:
        """What is counted and measured, for Prometheus."""
        encode, kind = choose_encoder(accept)
        # Sizes of indexes and processes are read from disk.
        content = await to_thread.run_sync(encode, telemetry.registry)
        return Response(content, headers={"Content-Type": kind})

    return router
