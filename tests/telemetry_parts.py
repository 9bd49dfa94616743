"""What the tests of telemetry share: models that report as workers do, a trace collector, and a served application."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from fastapi import APIRouter, FastAPI, HTTPException, Request
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families
from serving_parts import direct, serve_app

from open_autoglm.errors import TextError
from open_autoglm.search import Index
from open_autoglm.serving import Settings, create_app
from open_autoglm.serving.access import AccessSettings, Caller
from open_autoglm.serving.telemetry import Telemetry, TelemetrySettings, note_tokens
from open_autoglm.serving.work import EmbedText, Job, Outcome, Overloaded, Served, UnknownModel, WorkerDied

SERVED = (Served("base-1", "space-1", 4, (EmbedText,)), Served("base-2", "space-2", 4, (EmbedText,)))


class ToldModels:
    """Answers each text with its length, and tells an observer the stages, as a scheduler over workers does."""

    served = SERVED

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    async def answer(self, jobs: Sequence[Job]) -> list[Outcome]:
        model = next((one for one in SERVED if one.name == (jobs[0].model or SERVED[0].name)), None)
        if model is None:
            raise UnknownModel(jobs[0].model)
        if jobs[0].task.text == "too much":
            raise Overloaded(3)
        self._telemetry.waiting(len(jobs))
        ended = time.time()
        for job in jobs:
            self._telemetry.stage("queue", model.name, "EmbedText", 0.001, job.trace, ended - 0.005)
            self._telemetry.stage("inference", model.name, "EmbedText", 0.004, job.trace, ended)
        self._telemetry.batch(model.name, "EmbedText", len(jobs), 0.005, [job.trace for job in jobs], ended)
        self._telemetry.waiting(-len(jobs))
        return [self._outcome(model, job.task.text) for job in jobs]

    def _outcome(self, model: Served, text: str) -> Outcome:
        errors = {"": TextError("The text is empty."), "poison": WorkerDied("The worker died.")}
        return Outcome(model.name, model.space, len(text), errors.get(text))


def routes(telemetry: Telemetry) -> APIRouter:
    """Routes that ask models, fail, take their time, and know their caller."""
    models = telemetry.watch_models(ToldModels(telemetry))
    router = APIRouter()

    @router.post("/embed/{purpose}")
    async def embed(request: Request, purpose: str) -> dict[str, list[int | str]]:
        wanted = await request.json()
        jobs = [Job(EmbedText(text), wanted.get("model", "")) for text in wanted["texts"]]
        try:
            outcomes = await models.answer(jobs)
        except Overloaded as error:
            raise HTTPException(429) from error
        except UnknownModel as error:
            raise HTTPException(404) from error
        note_tokens(input=7 * len(jobs))
        return {"data": [str(outcome.error) if outcome.error else outcome.value for outcome in outcomes]}

    @router.get("/tenants")
    async def tenants(request: Request, tenant: str) -> None:
        request.state.caller = Caller(tenant, "somebody", frozenset())

    @router.get("/fails")
    async def fails(query: str = "") -> None:
        try:
            raise KeyError(query)
        except KeyError as error:
            raise RuntimeError(f"nobody foresaw {query}") from error

    return router


def watched_app(
    index: Index, settings: TelemetrySettings | None = None, access: AccessSettings | None = None
) -> tuple[FastAPI, Telemetry]:
    """The page and its API over ``index``, with ``routes``, and what is told of it."""
    telemetry = Telemetry(settings or TelemetrySettings())
    app = create_app(direct(index, telemetry=telemetry), Settings(access=access or AccessSettings()))
    app.include_router(routes(telemetry))
    return app, telemetry


@contextmanager
def watched(index: Index, settings: TelemetrySettings | None = None) -> Iterator[tuple[httpx.Client, Telemetry]]:
    """A client of ``watched_app``, served on a loopback port."""
    app, telemetry = watched_app(index, settings)
    with serve_app(app) as address, httpx.Client(base_url=address, timeout=30) as client:
        yield client, telemetry


def samples(client: httpx.Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What /metrics says: (name, labels) -> value."""
    reply = client.get("/metrics")
    assert reply.status_code == 200, reply.text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def value(client: httpx.Client, name: str, **labels: str) -> float | None:
    """One figure of /metrics, None where there is none."""
    return samples(client).get((name, frozenset(labels.items())))


@dataclass
class Collected:
    """The spans that a collector was sent, in the order of their arrival."""

    address: str = ""
    spans: list = field(default_factory=list)
    resources: list[dict[str, object]] = field(default_factory=list)

    def named(self, name: str) -> list:
        return [span for span in self.spans if span.name == name]


@contextmanager
def collector() -> Iterator[Collected]:
    """A real receiver of OTLP over HTTP on a loopback port."""
    collected = Collected()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            for part in ExportTraceServiceRequest.FromString(body).resource_spans:
                collected.resources.append(attributes(part.resource))
                collected.spans += [span for scope in part.scope_spans for span in scope.spans]
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collected.address = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collected
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def attributes(carrier: object) -> dict[str, object]:
    """The attributes of a span or a resource, by name."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in carrier.attributes}


def lines(log: str) -> list[dict[str, object]]:
    """The lines of a JSON log; whatever is none fails."""
    return [json.loads(line) for line in log.splitlines()]
