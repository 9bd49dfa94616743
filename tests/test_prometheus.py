"""Prometheus itself reads a server that asks for keys, as the compose file tells it to; dashboard and alerts ask it."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cache_parts import free_port
from deploy_parts import DEPLOY
from program_parts import PATIENCE, program
from serving_parts import painted_index, serve_app
from telemetry_parts import collector, watched_app
from test_dashboard import PANELS, VARIABLES, plain

from open_autoglm.cache import CacheSettings, Key, open_cache
from open_autoglm.serving.access import AccessSettings
from open_autoglm.serving.access.keys import new_key
from open_autoglm.serving.telemetry import TelemetrySettings

READ = 4  # times that a server is read before anything is asked: rates need two

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed: on Debian, apt-get install prometheus"
)


@dataclass
class Prometheus:
    """A running one, asked over its API; ``stop`` ends the server that it reads."""

    client: httpx.Client
    stop: Callable[[], None]

    def asked(self, what: str, **parameters: str) -> Any:
        reply = self.client.get(f"/api/v1/{what}", params=parameters).json()
        assert reply["status"] == "success" and not reply.get("warnings"), (what, parameters, reply)
        return reply["data"]

    def query(self, query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.asked("query", query=query)["result"]
        return found

    def until(self, expected: Callable[[], object]) -> None:
        """Waits for what is so after the next times that it reads or evaluates."""
        end = time.monotonic() + PATIENCE
        while not expected():
            assert time.monotonic() < end, self.asked("targets")
            time.sleep(0.1)


def configured(folder: Path, address: str) -> Path:
    """The configuration in deploy/compose.yaml, with the addresses and paths of this machine, and in a hurry."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    config = yaml.safe_load(compose["configs"]["prometheus"]["content"])
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    assert config["rule_files"] == ["alerts.yaml"]
    config["rule_files"] = [str(DEPLOY / "prometheus" / "alerts.yaml")]
    (job,) = config["scrape_configs"]
    job["authorization"]["credentials_file"] = str(folder / "scrape.key")
    job["static_configs"][0]["targets"] = [address.removeprefix("http://")]
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


@contextmanager
def running(config: Path) -> Iterator[str]:
    """The address of a Prometheus."""
    port = free_port()
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={config.parent / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage", "--log.level=error"]
    with program(command, f"http://127.0.0.1:{port}/-/ready"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has read several times what a server tells that had something to do in between."""
    folder = tmp_path_factory.mktemp("prometheus")
    keys = folder / "keys.jsonl"
    (folder / "scrape.key").write_text(new_key(keys, "prometheus", "operators", ["metrics"])[1] + "\n")
    with ExitStack() as stack, ExitStack() as served:
        index = stack.enter_context(painted_index(folder))
        cache = stack.enter_context(open_cache(CacheSettings(folder=folder / "cache")))
        traces = TelemetrySettings(traces=stack.enter_context(collector()).address)
        app, telemetry = watched_app(index, traces, AccessSettings(keys=keys))
        telemetry.watch_cache(cache)
        address = served.enter_context(serve_app(app))
        where = stack.enter_context(running(configured(folder, address)))
        client = stack.enter_context(httpx.Client(base_url=where, timeout=PATIENCE))
        asking = {"authorization": f"Bearer {new_key(keys, 'ann', 'shop', ['search'])[1]}"}
        found = Prometheus(client, served.close)

        def read(more_than: int) -> bool:
            return any(int(one["value"][1]) > more_than for one in found.query("count_over_time(up[5m])"))

        for number in range(READ):
            reply = httpx.post(f"{address}/embed/x", json={"texts": ["a", "b"]}, headers=asking)
            assert reply.status_code == 200, reply.text
            cache.get_or_compute([Key.of("a", "b", str(number))], lambda missing: [1] * len(missing))
            found.until(partial(read, number + 1))
        yield found


def test_it_reads_the_server_with_its_key(prometheus: Prometheus) -> None:
    (target,) = prometheus.asked("targets")["activeTargets"]
    assert (target["health"], target["lastError"], target["labels"]["job"]) == ("up", "", "open-autoglm")


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_shows_something_of_a_healthy_server(panel: dict[str, Any], prometheus: Prometheus) -> None:
    for target in panel["targets"]:
        found = prometheus.query(plain(target["expr"]))
        assert found and all(one["value"][1] != "NaN" for one in found), target["expr"]


@pytest.mark.parametrize("name", [name for name in VARIABLES if name != "datasource"])
def test_a_variable_has_values(name: str, prometheus: Prometheus) -> None:
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", VARIABLES[name]["query"]["query"])
    assert match is not None
    assert prometheus.asked(f"label/{match[2]}/values", **{"match[]": plain(match[1])})


def test_a_bucket_leads_to_the_trace_of_a_request(prometheus: Prometheus) -> None:
    now = time.time()
    asked = {"query": "autoglm_http_request_duration_seconds_bucket", "start": f"{now - 600}", "end": f"{now}"}
    exemplars = [one for series in prometheus.asked("query_exemplars", **asked) for one in series["exemplars"]]
    assert exemplars and all(len(one["labels"]["trace_id"]) == 32 for one in exemplars)


def test_every_alert_is_evaluated_and_a_server_that_is_gone_is_noticed(prometheus: Prometheus) -> None:
    def rules() -> dict[str, dict[str, Any]]:
        return {rule["name"]: rule for rule in prometheus.asked("rules")["groups"][0]["rules"]}

    prometheus.until(lambda: all(rule["health"] != "unknown" for rule in rules().values()))
    assert {rule["health"] for rule in rules().values()} == {"ok"}
    assert {name for name, rule in rules().items() if rule["state"] != "inactive"} == set()
    prometheus.stop()
    prometheus.until(lambda: rules()["OpenAutoGLMDown"]["state"] == "pending")
    (alert,) = rules()["OpenAutoGLMDown"]["alerts"]
    assert alert["annotations"]["summary"] == f"{alert['labels']['instance']} does not answer."
