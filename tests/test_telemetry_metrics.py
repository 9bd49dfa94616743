"""Metrics: what Prometheus reads tells what was asked, and no client can make it tell more than it should."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving_parts import painted_index, serve_app
from telemetry_parts import collector, samples, value, watched, watched_app

from open_autoglm.cache import CacheSettings, Key, open_cache
from open_autoglm.errors import SettingError
from open_autoglm.search import Index
from open_autoglm.search.watch import Recall, keep
from open_autoglm.serving.telemetry import Telemetry, TelemetrySettings

REQUESTS = "autoglm_http_requests_total"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with painted_index(tmp_path_factory.mktemp("metrics")) as index:
        yield index


def test_requests_are_counted_by_the_template_of_their_route(index: Index) -> None:
    with watched(index) as (client, _):
        for id in (1, 2, 3):
            assert client.get(f"/v1/pictures/{id}").status_code == 200
        client.get("/v1/pictures/999")
        client.get("/page/app.js")
        client.get("/nowhere/at/all")
        client.delete("/live")
        client.get("/live", headers={"Host": "evil.example"})
        client.post("/v1/search", json={"query": "red"}, headers={"Origin": "http://evil.example"})
        found = samples(client)
    counts = {tuple(sorted(dict(labels).items())): count for (name, labels), count in found.items() if name == REQUESTS}
    assert counts == {
        (("method", "GET"), ("route", "/v1/pictures/{id}"), ("status", "200")): 3,
        (("method", "GET"), ("route", "/v1/pictures/{id}"), ("status", "404")): 1,
        (("method", "GET"), ("route", "/page"), ("status", "200")): 1,
        (("method", "GET"), ("route", "other"), ("status", "404")): 1,
        (("method", "DELETE"), ("route", "/live"), ("status", "405")): 1,
        (("method", "GET"), ("route", "other"), ("status", "400")): 1,
        (("method", "POST"), ("route", "other"), ("status", "403")): 1,
    }
    labels = frozenset({("method", "GET"), ("route", "/v1/pictures/{id}")})
    assert found["autoglm_http_request_duration_seconds_count", labels] == 4


def test_a_client_cannot_make_a_time_series(index: Index) -> None:
    def ask(client: httpx.Client, word: str) -> None:
        client.get(f"/{word}")
        client.get(f"/v1/pictures/{word}")
        client.get(f"/page/{word}")
        client.request(word.upper(), "/live")
        headers = {"x-request-id": word, "tracestate": f"{word}=1", "user-agent": word, "x-tenant": word}
        client.get("/live", params={word: word}, headers=headers)
        client.post(f"/embed/{word}", json={"texts": [word], "model": word})
        client.get("/live", headers={"Host": word})
        client.get("/tenants", params={"tenant": word})

    with watched(index) as (client, _):
        ask(client, "MKCOL")
        client.get("/metrics")
        before = set(samples(client))
        for number in range(30):
            ask(client, f"PROPFIND{number}")
        assert set(samples(client)) == before


def test_stages_batches_and_outcomes_are_told_by_model(index: Index) -> None:
    with watched(index) as (client, telemetry):
        client.post("/embed/x", json={"texts": ["a", "b", ""]})
        client.post("/embed/x", json={"texts": ["a", "poison"], "model": "base-2"})
        client.post("/embed/x", json={"texts": ["too much"]})
        client.post("/embed/x", json={"texts": ["a", "b"], "model": "no such model"})
        telemetry.restarted()
        telemetry.stage("lunch", "nobody", "eating", 1.0)
        about = {"model": "base-1", "task": "EmbedText"}
        assert value(client, "autoglm_stage_duration_seconds_count", stage="queue", **about) == 3
        assert value(client, "autoglm_stage_duration_seconds_sum", stage="inference", **about) == pytest.approx(0.012)
        assert value(client, "autoglm_batch_size_sum", **about) == 3
        assert value(client, "autoglm_jobs_total", result="ok", **about) == 2
        assert value(client, "autoglm_jobs_total", result="mistake", **about) == 1
        assert value(client, "autoglm_jobs_total", result="refused", **about) == 1
        assert value(client, "autoglm_jobs_total", result="died", model="base-2", task="EmbedText") == 1
        assert value(client, "autoglm_jobs_total", result="mistake", model="other", task="EmbedText") == 2
        assert value(client, REQUESTS, method="POST", route="/embed/{purpose}", status="429") == 1
        assert value(client, "autoglm_stage_duration_seconds_count", stage="other", model="other", task="other") == 1
        assert value(client, "autoglm_worker_restarts_total") == 1
        assert value(client, "autoglm_jobs_waiting") == 0
        assert value(client, "autoglm_model_info", model="base-2", space="space-2") == 1
        telemetry.waiting(5)
        assert value(client, "autoglm_jobs_waiting") == 5


def test_requests_in_flight_are_those_that_are_being_answered(index: Index) -> None:
    app, _ = watched_app(index)
    entered, leave = threading.Event(), threading.Event()

    @app.get("/slow")
    def slow() -> None:
        entered.set()
        leave.wait(30)

    with serve_app(app) as address, httpx.Client(base_url=address) as client:
        thread = threading.Thread(target=httpx.get, args=(f"{address}/slow",), kwargs={"timeout": 60})
        thread.start()
        assert entered.wait(30)
        assert value(client, "autoglm_http_requests_in_flight") == 2  # and the one that asks
        leave.set()
        thread.join()
        assert value(client, "autoglm_http_requests_in_flight") == 1


def test_tenants_are_told_apart_only_where_that_is_asked_and_only_so_many(index: Index) -> None:
    with watched(index) as (client, _):
        client.get("/tenants", params={"tenant": "shop"})
        assert not any("tenant" in dict(labels) for _, labels in samples(client))
    with watched(index, TelemetrySettings(tenants=2)) as (client, _):
        for tenant in ("shop", "bakery", "third", "fourth", "shop"):
            client.get("/tenants", params={"tenant": tenant})
        counts = {
            dict(labels)["tenant"]: count
            for (name, labels), count in samples(client).items()
            if name == REQUESTS and ("route", "/tenants") in labels
        }
        assert counts == {"shop": 2, "bakery": 1, "other": 2}


def test_exemplars_name_recorded_traces_to_who_reads_openmetrics(index: Index) -> None:
    with collector() as collected, watched(index, TelemetrySettings(traces=collected.address)) as (client, _):
        trace = client.get("/v1/info").headers["x-request-id"]
        asked = client.post("/embed/x", json={"texts": ["a"]}).headers["x-request-id"]
        accept = "application/openmetrics-text; version=1.0.0, text/plain; version=0.0.4; q=0.5"
        reply = client.get("/metrics", headers={"Accept": accept})
        assert reply.headers["content-type"].startswith("application/openmetrics-text")
        assert reply.text.endswith("# EOF\n")
        named = [line for line in reply.text.splitlines() if f'trace_id="{trace}"' in line]
        assert len(named) == 1 and 'route="/v1/info"' in named[0]
        assert any('stage="queue"' in line and asked in line for line in reply.text.splitlines())
        plain = client.get("/metrics")
        assert plain.headers["content-type"].startswith("text/plain") and "trace_id" not in plain.text


def test_the_cache_is_told_by_tier(index: Index, tmp_path: Path) -> None:
    with watched(index) as (client, telemetry), open_cache(CacheSettings(folder=tmp_path)) as cache:
        telemetry.watch_cache(cache)
        key = Key.of("model", "tenant", "thing")
        for _ in range(3):
            cache.get_or_compute([key], lambda missing: ["value"])
        assert value(client, "autoglm_cache_lookups_total", tier="memory", result="hit") == 2
        assert value(client, "autoglm_cache_lookups_total", tier="disk", result="miss") == 1
        assert value(client, "autoglm_cache_errors_total", tier="disk") == 0


def test_the_index_is_told_with_what_it_knows_of_its_recall(tmp_path: Path) -> None:
    with painted_index(tmp_path) as index, watched(index) as (client, _):
        assert value(client, "autoglm_index_pictures", index="default") == 12
        assert value(client, "autoglm_index_recall_ratio", index="default") == 1  # every picture is compared
        index.optimize(again=True)
        index.search("red")
        assert value(client, "autoglm_index_recall_ratio", index="default") is None  # a graph that nobody measured
        keep(index._store, Recall(index._pictures.frozen.token, queries=100, found=930, wanted=1000))
        assert value(client, "autoglm_index_recall_ratio", index="default") == 0.93
        index.delete([1])
        assert value(client, "autoglm_index_pictures", index="default") == 11


def test_an_index_that_cannot_be_read_leaves_the_other_figures(tmp_path: Path) -> None:
    with painted_index(tmp_path) as index, watched(index) as (client, telemetry):
        with painted_index(tmp_path / "other") as gone:
            telemetry.watch_index(gone, "gone")
        assert value(client, "autoglm_index_pictures", index="default") == 12


def test_memory_is_told_of_this_process_and_of_its_workers(index: Index) -> None:
    with watched(index) as (client, _):
        before = value(client, "autoglm_workers")
        command = [sys.executable, "-c", "input()"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as worker:
            assert value(client, "autoglm_workers") == before + 1
            assert value(client, "autoglm_workers_resident_memory_bytes") > 2**20
            worker.communicate(b"\n")
        assert value(client, "process_resident_memory_bytes") > 2**20


def test_two_applications_in_one_process_count_apart(index: Index) -> None:
    with watched(index) as (first, _), watched(index) as (second, _):
        first.get("/v1/info")
        labels = {"method": "GET", "route": "/v1/info", "status": "200"}
        assert value(first, REQUESTS, **labels) == 1 and value(second, REQUESTS, **labels) is None


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"tenants": -1}, "between 0 and 1000"),
        ({"traces": "localhost:4318"}, "http://localhost:4318/v1/traces"),
        ({"traces": "http://[::1"}, "cannot be sent"),
        ({"trace_share": 1.5}, "from 0 to 1"),
        ({"log_format": "xml"}, "auto, json, text"),
        ({"log_level": "loud"}, "debug, info, warning, error"),
        ({"service": ""}, "empty"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_a_sentence(setting: dict, said: str) -> None:
    with pytest.raises(SettingError, match=said) as refused:
        Telemetry(TelemetrySettings(**setting))
    assert "\n" not in str(refused.value)
