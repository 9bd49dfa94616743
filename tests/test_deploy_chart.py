"""The Helm chart: what it renders is what Kubernetes takes, confined, guarded, and run as the server can be run."""

from __future__ import annotations

import re
from typing import Any

import kubernetes_validate
import pytest
import yaml
from deploy_parts import CHART, ISTIO, KEYS, TOKENS, Resource, helm_python, only, pod, render, server, variables

OWN = {"indexes": {"mode": "own"}, "replicas": 1, "autoscaling": {"enabled": False}}
SIDECAR = {"opa": {"sidecar": {"enabled": True}}}
CASES: dict[str, Resource] = {
    "keys": KEYS,
    "tokens": TOKENS,
    "token keys from a Secret": {
        "access": {"tokens": {"issuer": "https://i", "audiences": ["a", "b"], "jwksSecret": {"name": "jwks"}}}
    },
    "open to all": {"access": {"openToAll": True}, "redis": {"enabled": False}},
    "own indexes": KEYS | OWN,
    "shared indexes": KEYS | {"indexes": {"mode": "shared", "claim": "pictures"}, "bundles": {"claim": "bundles"}},
    "a policy of one's own": KEYS | {"access": {**KEYS["access"], "policyConfigMap": {"name": "policy"}}},
    "OPA beside the server": KEYS | SIDECAR,
    "OPA and a policy of one's own": TOKENS
    | {"access": {**TOKENS["access"], "policyConfigMap": {"name": "policy"}}}
    | {"opa": {"sidecar": {"enabled": True}, "envoy": {"enabled": True}}},
    "Istio": ISTIO,
    "Redis elsewhere": KEYS | {"redis": {"address": "redis://cache:6379"}},
    "Redis elsewhere, with a password": KEYS | {"redis": {"addressSecret": {"name": "redis"}}},
    "everything set": KEYS
    | {
        "image": {"digest": "sha256:" + "0" * 64, "pullSecrets": ["registry"]},
        "server": {
            "models": {"base": "open-autoglm-base", "grocery": "/bundles/grocery"},
            "settings": "[requests]\nitems = 64\n",
            "allowedHosts": ["search.example.com"],
            "env": [{"name": "AUTOGLM_CACHE_SECONDS", "value": "60"}],
        },
        "redis": {"passwordSecret": {"name": "redis"}},
        "autoscaling": {"metric": {"name": "autoglm_jobs_waiting"}},
        "metrics": {"serviceMonitor": {"enabled": True, "tokenSecret": {"name": "scrape"}, "labels": {"a": "b"}}},
        "serviceAccount": {"annotations": {"a": "b"}},
        "service": {"annotations": {"a": "b"}},
        "networkPolicy": {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
        "podAnnotations": {"a": "b"},
        "podLabels": {"a": "b"},
        "nodeSelector": {"a": "b"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
    },
    "as little as can be": KEYS
    | {"redis": {"enabled": False}, "disruption": {"enabled": False}, "networkPolicy": {"enabled": False}}
    | {"autoscaling": {"enabled": False}, "serviceAccount": {"name": "mine"}},
}
CUSTOM = ("istio.io/", "monitoring.coreos.com/")
cases = pytest.mark.parametrize("values", CASES.values(), ids=CASES.keys())


def workloads(resources: list[Resource]) -> list[Resource]:
    return [one for one in resources if one["kind"] == "Deployment"]


@cases
@pytest.mark.parametrize("version", ["1.32", "1.37"])
def test_kubernetes_takes_what_is_rendered(values: Resource, version: str) -> None:
    for one in render(values):
        if not any(group in one["apiVersion"] for group in CUSTOM):
            kubernetes_validate.validate(one, version, strict=True)


@cases
def test_names_are_given_once(values: Resource) -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in render(values)]
    assert len(names) == len(set(names))


def test_helm_has_no_complaint() -> None:
    report = helm_python.lint(CHART, KEYS, strict=True)
    assert [one for one in report["messages"] if one["severity"] > 1] == []


@cases
def test_every_container_is_confined(values: Resource) -> None:
    for one in workloads(render(values)):
        inner = pod(one)
        assert inner["automountServiceAccountToken"] is False
        assert inner["enableServiceLinks"] is False
        assert inner["securityContext"]["runAsNonRoot"] is True
        assert inner["securityContext"]["runAsUser"] > 0
        assert inner["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*inner["containers"], *inner.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
            assert "cpu" in container["resources"]["requests"]
            assert not container["image"].endswith(":latest")


@cases
def test_what_is_mounted_is_there_and_selectors_select(values: Resource) -> None:
    resources = render(values)
    for one in workloads(resources):
        volumes = {volume["name"] for volume in pod(one)["volumes"]}
        containers = [*pod(one)["containers"], *pod(one).get("initContainers", [])]
        assert {mount["name"] for container in containers for mount in container["volumeMounts"]} <= volumes
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in workloads(resources)]
    for one in resources:
        wanted = {
            "Service": lambda spec: spec["selector"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
            "PeerAuthentication": lambda spec: spec["selector"]["matchLabels"],
            "AuthorizationPolicy": lambda spec: spec["selector"]["matchLabels"],
        }.get(one["kind"])
        if wanted is not None:
            assert any(wanted(one["spec"]).items() <= has.items() for has in labels), one["metadata"]["name"]


def test_a_pod_outlives_what_it_accepted() -> None:
    one = only(render(KEYS | {"server": {"drainSeconds": 120, "quietSeconds": 15}}), "Deployment")
    assert server(one)["lifecycle"]["preStop"] == {"sleep": {"seconds": 15}}
    assert pod(one)["terminationGracePeriodSeconds"] > 135
    assert variables(server(one))["AUTOGLM_SERVE_WORKERS__DRAIN_SECONDS"] == "120"


def test_probes_ask_what_they_are_for() -> None:
    container = server(only(render(KEYS), "Deployment"))
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/live", "liveness": "/live", "readiness": "/ready"}
    assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] >= 120


def test_indexes_of_ones_own_have_one_writer() -> None:
    resources = render(CASES["own indexes"])
    one, claim = only(resources, "Deployment"), only(resources, "PersistentVolumeClaim", "demo-open-autoglm-indexes")
    assert (one["spec"]["replicas"], one["spec"]["strategy"]) == (1, {"type": "Recreate"})
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    shared = server(only(render(CASES["shared indexes"]), "Deployment"))
    assert {"name": "indexes", "mountPath": "/indexes", "readOnly": True} in shared["volumeMounts"]


def test_scaling_looks_at_the_processor_and_at_a_metric() -> None:
    metrics = only(render(CASES["everything set"]), "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert [one["type"] for one in metrics] == ["ContainerResource", "Pods"]
    assert metrics[1]["pods"]["metric"]["name"] == "autoglm_jobs_waiting"
    assert "replicas" not in only(render(KEYS), "Deployment")["spec"]


def test_secrets_are_named_and_never_written() -> None:
    resources = render(CASES["everything set"])
    assert not [one for one in resources if one["kind"] == "Secret"]
    given = variables(server(only(resources, "Deployment")))
    assert given["REDIS_PASSWORD"] is None
    assert given["AUTOGLM_CACHE"] == "redis://:$(REDIS_PASSWORD)@demo-open-autoglm-redis:6379"
    volumes = pod(only(resources, "Deployment"))["volumes"]
    assert {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o440}} in volumes


def test_the_cache_lets_in_the_servers_alone() -> None:
    policy = only(render(KEYS), "NetworkPolicy", "demo-open-autoglm-redis")["spec"]
    (rule,) = policy["ingress"]
    assert rule["from"] == [
        {"podSelector": {"matchLabels": only(render(KEYS), "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]}}
    ]
    assert policy["egress"] == []


def test_settings_that_change_change_the_pods() -> None:
    def sum_of(settings: str) -> str:
        one = only(render(KEYS | {"server": {"settings": settings}}), "Deployment")
        return str(one["spec"]["template"]["metadata"]["annotations"]["checksum/settings"])

    assert sum_of("patience = 3.0") != sum_of("patience = 4.0")


def test_a_candidate_without_istio_gets_no_requests() -> None:
    resources = render(KEYS | {"candidate": {"enabled": True, "image": {"tag": "0.2.0"}}})
    assert only(resources, "Service")["spec"]["selector"]["open-autoglm/track"] == "stable"
    candidate = only(resources, "Deployment", "demo-open-autoglm-candidate")
    assert server(candidate)["image"] == "open-autoglm:0.2.0"
    assert candidate["spec"]["selector"]["matchLabels"]["open-autoglm/track"] == "candidate"


MISTAKES: dict[str, tuple[Resource, str]] = {
    "nobody asked": ({}, "nobody would be asked who they are"),
    "a typo": (KEYS | {"replica": 3}, "replica"),
    "a typo within": (KEYS | {"autoscaling": {"maximum": 3}}, "maximum"),
    "a typo in access": ({"access": {"keySecret": {"name": "a"}}}, "keySecret"),
    "a word for a number": (KEYS | {"replicas": "three"}, "/replicas"),
    "no replica": (KEYS | {"replicas": 0}, "/replicas"),
    "a moving tag": (KEYS | {"image": {"tag": "latest"}}, "/image/tag"),
    "a mode that is none": (KEYS | {"indexes": {"mode": "owned"}}, "/indexes/mode"),
    "a password in values": (KEYS | {"redis": {"address": "redis://:secret@cache:6379"}}, "/redis/address"),
    "keys over plain HTTP": (
        {"access": {"tokens": {"issuer": "i", "audiences": ["a"], "jwks": "http://i/keys"}}},
        "/access/tokens/jwks",
    ),
    "tokens for whom": ({"access": {"tokens": {"jwks": "https://i/keys"}}}, "needs issuer and audiences"),
    "open and guarded": ({"access": {"openToAll": True, "keysSecret": {"name": "a"}}}, "contradicts"),
    "two writers": (KEYS | {"indexes": {"mode": "own"}}, "that one pod writes"),
    "shared by nobody": (KEYS | {"indexes": {"mode": "shared"}}, "needs indexes.claim"),
    "a claim for nothing": (KEYS | {"indexes": {"claim": "a"}}, "mounts nothing"),
    "more than most": (KEYS | {"autoscaling": {"min": 9}}, "above autoscaling.max"),
    "scaling by nothing": (KEYS | {"autoscaling": {"cpu": 0}}, "looks at nothing"),
    "two caches": (KEYS | {"redis": {"address": "redis://a", "addressSecret": {"name": "b"}}}, "two addresses"),
    "traffic for nobody": (KEYS | {"istio": {"candidateWeight": 5}}, "need candidate.enabled"),
    "more than all": (KEYS | {"istio": {"candidateWeight": 101}}, "/istio/candidateWeight"),
    "tokens asked for, keys given": (ISTIO | {"access": {**ISTIO["access"], **KEYS["access"]}}, "refuse the API keys"),
    "tokens that Istio cannot check": (KEYS | {"istio": {"requireToken": True}}, "need access.tokens.jwks"),
    "an edge without tokens": (KEYS | {"opa": {"envoy": {"enabled": True}}}, "needs access.tokens"),
}


@pytest.mark.parametrize(("values", "said"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_refused_with_a_sentence(values: Resource, said: str) -> None:
    with pytest.raises(helm_python.HelmError) as raised:
        render(values)
    assert said in str(raised.value)


def test_every_value_is_in_the_schema_and_told_of() -> None:
    def keys(value: Any, above: str = "") -> set[str]:
        if not isinstance(value, dict):
            return {above}
        return {key for name, inner in value.items() for key in keys(inner, f"{above}.{name}".lstrip("."))} | {above}

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    with helm_python.Chart.load(CHART) as chart:
        schema: Any = chart.schema

    def allowed(schema_: Any, above: str = "") -> set[str]:
        found = {above}
        for name, inner in schema_.get("properties", {}).items():
            found |= allowed(inner, f"{above}.{name}".lstrip("."))
        return found

    written = {re.sub(r"^(resources|redis\.resources|opa\.resources)\..*", r"\1", key) for key in keys(values)}
    assert allowed(schema) - {"global"} == written
