"""The dashboard, the alerts and the guide are about metrics, labels and settings that a running server really has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from serving_parts import painted_index
from telemetry_parts import samples, watched

from open_autoglm.cache import CacheSettings, Key, open_cache
from open_autoglm.serving import TelemetrySettings

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
GUIDE = (ROOT / "docs" / "watch-it.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((DEPLOY / "grafana" / "open-autoglm.json").read_text(encoding="utf-8"))
RULES = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
TARGET = {"job", "instance"}  # what Prometheus itself adds
Known = dict[str, set[str]]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """The labels of each metric of a server that has done a bit of everything."""
    folder = tmp_path_factory.mktemp("dashboard")
    found: Known = {"up": set()}
    with (
        painted_index(folder) as index,
        open_cache(CacheSettings(folder=folder / "cache")) as cache,
        watched(index) as (client, telemetry),
    ):
        telemetry.watch_cache(cache)
        cache.get_or_compute([Key.of("a", "b", "c")], lambda missing: [1])
        client.post("/embed/x", json={"texts": ["a"]})
        for name, labels in samples(client):
            found.setdefault(name, set()).update(dict(labels))
    return found


def nodes(query: str) -> Iterator[Any]:
    """The parts of a query, which is one to the parser."""
    met: list[Any] = []
    promql_parser.walk(promql_parser.parse(query), lambda node: met.append(node))
    return iter(met)


def check(query: str, known: Known) -> set[str]:
    """Holds a query to the metrics that there are; the labels that its result has."""
    labels: set[str] = set()
    kept: set[str] | None = None
    for node in nodes(query):
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name in known, query
            has = known[node.name] | TARGET
            assert {matcher.name for matcher in node.matchers.matchers} <= has, query
            labels |= has
        elif isinstance(node, promql_parser.AggregateExpr) and kept is None:
            kept = set(node.modifier.labels) if node.modifier else set()
    assert labels, query
    assert kept is None or kept <= labels, query
    return labels if kept is None else kept


def plain(query: str) -> str:
    """As Grafana sends it: with its variables filled in."""
    filled = query.replace("$__rate_interval", "5m")
    for name in VARIABLES:
        filled = filled.replace(f"${name}", ".*")
    assert "$" not in filled, query
    return filled


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_there_is(panel: dict[str, Any], known: Known) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        labels = check(plain(target["expr"]), known)
        assert set(re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"])) <= labels, target
        assert 'job=~"$job"' in target["expr"] and target["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize("name", [name for name in VARIABLES if name != "datasource"])
def test_a_variable_lists_a_label_that_there_is(name: str, known: Known) -> None:
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", VARIABLES[name]["query"]["query"])
    assert match[2] in check(plain(match[1]), known)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is_and_says_what_to_do(rule: dict[str, Any], known: Known) -> None:
    labels = check(rule["expr"], known)
    text = "".join(rule["annotations"].values())
    assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"] and rule["annotations"]["description"]


def test_every_metric_of_ours_is_on_the_dashboard(known: Known) -> None:
    asked = {
        node.name
        for panel in PANELS
        for target in panel["targets"]
        for node in nodes(plain(target["expr"]))
        if isinstance(node, promql_parser.VectorSelector)
    }
    families = {re.sub("_(bucket|sum|count|created)$", "", name) for name in asked}
    ours = {re.sub("_(bucket|sum|count|created)$", "", name) for name in known if name.startswith("autoglm_")}
    assert {
        name for name in ours if name.removesuffix("_total") not in {f.removesuffix("_total") for f in families}
    } == set()


def test_the_guide_names_every_metric_with_its_labels(known: Known) -> None:
    table = dict(re.findall(r"^\| (`autoglm_[^|]*) \|([^|]*)\|", GUIDE, re.MULTILINE))
    named = {name: set(re.findall(r"`(\w+)`", has)) for names, has in table.items() for name in names.split("`")[1::2]}
    there = {
        re.sub("_(bucket|sum|count)$", "", name): labels - {"le"}
        for name, labels in known.items()
        if name.startswith("autoglm_") and not name.endswith("_created")
    }
    named["autoglm_http_requests_total"].remove("tenant")
    assert named == there


def test_the_guide_names_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \|", GUIDE.partition("## Settings")[2], re.MULTILINE)
    assert dict(rows) == {field.name: json.dumps(field.default) for field in fields(TelemetrySettings)}


def test_panels_lie_beside_each_other() -> None:
    taken = [(panel["gridPos"], x, y) for panel in DASHBOARD["panels"] for x, y in cells(panel["gridPos"])]
    assert len({(x, y) for _, x, y in taken}) == len(taken) and all(x < 24 for _, x, _ in taken)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    """The squares of the grid that a panel covers."""
    return (
        (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
    )
