"""Traces: a request's spans arrive at a real collector, in the caller's trace, with what the conventions call for."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from page_parts import browser, pages, search  # noqa: F401
from playwright.sync_api import Browser
from serving_parts import painted_index, serve_app
from telemetry_parts import attributes, collector, watched, watched_app

from open_autoglm.search import Index
from open_autoglm.serving.telemetry import TelemetrySettings
from open_autoglm.serving.telemetry.traceparent import TraceParent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with painted_index(tmp_path_factory.mktemp("traces")) as index:
        yield index


def test_a_request_is_a_span_of_its_callers_trace(index: Index) -> None:
    with collector() as collected:
        with watched(index, TelemetrySettings(traces=collected.address, service="pictures")) as (client, _):
            reply = client.get("/v1/pictures/1?size=SECRET", headers={"traceparent": CALLER})
            client.get("/fails")
        assert reply.headers["x-request-id"] == TRACE
        (span,) = collected.named("GET /v1/pictures/{id}")
        assert (span.trace_id.hex(), span.parent_span_id.hex(), span.kind) == (TRACE, SPAN, span.SPAN_KIND_SERVER)
        assert attributes(span) == {
            "http.request.method": "GET",
            "http.route": "/v1/pictures/{id}",
            "http.response.status_code": 200,
            "url.scheme": "http",
            "network.protocol.version": "1.1",
        }
        assert span.end_time_unix_nano > span.start_time_unix_nano and not span.status.code
        (failed,) = collected.named("GET /fails")
        assert failed.status.code == failed.status.STATUS_CODE_ERROR and not failed.status.message
        assert attributes(failed)["error.type"] == "500" and not failed.events
        assert collected.resources[0]["service.name"] == "pictures"
        assert "SECRET" not in str(collected.spans)


def test_what_a_model_is_asked_has_spans_down_to_the_worker(index: Index) -> None:
    with collector() as collected:
        with watched(index, TelemetrySettings(traces=collected.address)) as (client, _):
            client.post("/embed/x", json={"texts": ["SECRET", "", "c"]}, headers={"traceparent": CALLER})
        (request,) = collected.named("POST /embed/{purpose}")
        (asked,) = collected.named("embeddings base-1")
        (batch,) = collected.named("batch")
        queue, inference = collected.named("queue"), collected.named("inference")
        assert {span.trace_id.hex() for span in collected.spans} == {TRACE}
        assert asked.parent_span_id == request.span_id
        assert len(queue) == len(inference) == 3
        assert {span.parent_span_id for span in [*queue, *inference, batch]} == {asked.span_id}
        assert [link.span_id for link in batch.links] == [asked.span_id]
        assert attributes(batch) == {
            "gen_ai.response.model": "base-1",
            "autoglm.task": "EmbedText",
            "autoglm.batch.size": 3,
        }
        assert queue[0].end_time_unix_nano < inference[0].end_time_unix_nano
        assert inference[0].end_time_unix_nano - inference[0].start_time_unix_nano == pytest.approx(4e6, abs=1e3)
        assert attributes(asked) == {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": "open_autoglm",
            "gen_ai.request.model": "base-1",
            "gen_ai.response.model": "base-1",
            "gen_ai.usage.input_tokens": 21,
            "autoglm.space": "space-1",
            "autoglm.task": "EmbedText",
            "autoglm.items": 3,
            "autoglm.items.failed": 1,
            "error.type": "TextError",
        }
        assert not asked.status.code  # the mistake is the sender's
        assert "SECRET" not in str(collected.spans)


def test_a_batch_links_to_each_request_that_it_served(index: Index) -> None:
    others = [TraceParent.new() for _ in range(2)]
    recorded = [TraceParent(one.trace_id, one.span_id, True) for one in others]
    with collector() as collected:
        with watched(index, TelemetrySettings(traces=collected.address)) as (_, telemetry):
            unrecorded = TraceParent.new().header
            telemetry.batch("base-1", "EmbedText", 4, 0.01, [one.header for one in recorded] + [unrecorded, "nonsense"])
        (batch,) = collected.named("batch")
        assert [link.trace_id.hex() for link in batch.links] == [one.trace_id for one in recorded]


def test_a_job_whose_worker_died_is_an_error(index: Index) -> None:
    with collector() as collected:
        with watched(index, TelemetrySettings(traces=collected.address)) as (client, _):
            client.post("/embed/x", json={"texts": ["poison"], "model": "base-2"})
            client.post("/embed/x", json={"texts": ["a"], "model": "SECRET model"})
        (asked,) = collected.named("embeddings base-2")
        assert asked.status.code == asked.status.STATUS_CODE_ERROR
        (unknown,) = collected.named("embeddings other")
        assert attributes(unknown)["error.type"] == "UnknownModel"
        assert "SECRET" not in str(collected.spans)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        CALLER.upper(),
        CALLER + "-more",
        f"{CALLER}x",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE[:-1]}\u00b2-{SPAN}-01".encode(),
        "x" * 10_000,
    ],
)
def test_a_header_that_names_no_trace_begins_a_new_one(index: Index, header: str | bytes) -> None:
    with watched(index) as (client, _):
        name = client.get("/live", headers={"traceparent": header}).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{32}", name) and name != TRACE


def test_of_two_callers_neither_is_believed_and_a_newer_version_is_read_as_far_as_it_is_known(index: Index) -> None:
    with watched(index) as (client, _):
        both = [("traceparent", CALLER), ("traceparent", CALLER)]
        assert client.get("/live", headers=both).headers["x-request-id"] != TRACE
        newer = {"traceparent": f"01-{TRACE}-{SPAN}-01-what-comes"}
        assert client.get("/live", headers=newer).headers["x-request-id"] == TRACE


def test_as_much_is_recorded_as_settings_say(index: Index) -> None:
    with collector() as collected:
        with watched(index, TelemetrySettings(traces=collected.address)) as (client, _):
            client.post("/embed/x", json={"texts": ["a"]}, headers={"traceparent": CALLER[:-1] + "0"})
        with watched(index, TelemetrySettings(traces=collected.address, trace_share=0)) as (client, _):
            client.post("/embed/x", json={"texts": ["a"]}, headers={"traceparent": CALLER})
            client.post("/embed/x", json={"texts": ["a"]})
        assert collected.spans == []


def test_a_collector_that_is_gone_holds_nothing_up_and_is_complained_of_once(
    index: Index, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with watched(index, TelemetrySettings(traces=f"http://me:S3CRET@127.0.0.1:{port}/v1/traces")) as (client, _):
        for _ in range(600):  # more than are sent at once
            assert client.get("/live").status_code == 200
    said = [record.getMessage() for record in caplog.records if record.name.startswith("open_autoglm")]
    assert said == [f"Traces cannot be sent to 127.0.0.1:{port}: they are lost until it answers."]


OFF = """
import sys
from pathlib import Path
import httpx
from serving_parts import painted_index, serve
with painted_index(Path(sys.argv[1])) as index, serve(index) as address:
    print(httpx.get(f"{address}/live").headers["x-request-id"])
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))])
"""
MISSING = """
import sys
class Gone:
    def find_spec(self, name, *_):
        if name == "opentelemetry.sdk":
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Gone())
from open_autoglm.serving.telemetry import Telemetry, TelemetrySettings
Telemetry()
Telemetry(TelemetrySettings(traces="http://localhost:4318/v1/traces"))
"""


def python(code: str, *words: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_without_traces_nothing_of_opentelemetrys_is_loaded(tmp_path: Path) -> None:
    name, loaded = python(OFF, tmp_path).stdout.splitlines()
    assert re.fullmatch("[0-9a-f]{32}", name) and loaded == "[]"


def test_without_their_packages_traces_say_what_to_install() -> None:
    last = python(MISSING).stderr.splitlines()[-1]
    assert "Sending traces needs more packages" in last and last.endswith("-e '.[traces]'.")


def test_a_trace_begins_on_the_page(index: Index, browser: Browser) -> None:  # noqa: F811
    with collector() as collected:
        app, _ = watched_app(index, TelemetrySettings(traces=collected.address))
        with serve_app(app) as address, pages(browser, address) as opened:
            page = opened()
            with page.expect_request("**/v1/search") as asked:
                search(page, "red")
            asked.value.response().finished()
            sent = TraceParent.read(asked.value.all_headers()["traceparent"])
            assert httpx.get(f"{address}/live").status_code == 200
        (span,) = [one for one in collected.named("POST /v1/search") if one.trace_id.hex() == sent.trace_id]
        assert span.parent_span_id.hex() == sent.span_id
