"""Istio's resources of the chart: they are what Istio's own types allow, and they send requests where they should."""

from __future__ import annotations

from typing import Any

import pytest
from cloudcoil.models.istio.networking import v1 as networking
from cloudcoil.models.istio.security import v1 as security
from deploy_parts import ISTIO, KEYS, TOKENS, Resource, only, render, server, variables
from pydantic import ValidationError

KINDS: dict[str, Any] = {
    "VirtualService": networking.VirtualService,
    "DestinationRule": networking.DestinationRule,
    "PeerAuthentication": security.PeerAuthentication,
    "RequestAuthentication": security.RequestAuthentication,
    "AuthorizationPolicy": security.AuthorizationPolicy,
}
HOST = "demo-open-autoglm.shop.svc.cluster.local"


def changed(**istio: Any) -> Resource:
    return ISTIO | {"istio": {**ISTIO["istio"], **istio}}


def routes(values: Resource) -> list[Resource]:
    found: list[Resource] = only(render(values), "VirtualService")["spec"]["http"]
    return found


@pytest.mark.parametrize(
    "values",
    [ISTIO, changed(candidateWeight=0, mirrorPercent=0), changed(candidateWeight=100, hashHeader="x-user"), TOKENS]
    + [KEYS | {"istio": {"enabled": True, "mutualTLS": mode}} for mode in ("STRICT", "PERMISSIVE", "DISABLE")],
)
def test_istio_takes_what_is_rendered(values: Resource) -> None:
    made = [one for one in render(values) if "istio.io/" in one["apiVersion"]]
    assert bool(made) is values.get("istio", {}).get("enabled", False)
    for one in made:
        KINDS[one["kind"]].model_validate(one, extra="forbid")


def test_a_field_that_istio_does_not_have_is_seen() -> None:
    one = only(render(ISTIO), "VirtualService")
    with pytest.raises(ValidationError):
        KINDS["VirtualService"].model_validate(one | {"spec": {**one["spec"], "httpp": []}}, extra="forbid")


def test_weights_are_shared_and_copies_are_sent() -> None:
    asked_for, shared = routes(ISTIO)
    assert asked_for["match"] == [{"headers": {"x-open-autoglm-track": {"exact": "candidate"}}}]
    assert [one["destination"]["subset"] for one in asked_for["route"]] == ["candidate"]
    assert {one["destination"]["subset"]: one["weight"] for one in shared["route"]} == {"stable": 95, "candidate": 5}
    assert (shared["mirror"], shared["mirrorPercentage"]) == ({"host": HOST, "subset": "candidate"}, {"value": 12.5})


def test_without_weight_only_copies_are_sent() -> None:
    _, shared = routes(changed(candidateWeight=0))
    assert [one["destination"]["subset"] for one in shared["route"]] == ["stable"]
    assert shared["mirror"]["subset"] == "candidate"


def test_the_subsets_are_the_pods() -> None:
    resources = render(ISTIO)
    rule = only(resources, "DestinationRule")["spec"]
    wanted = only(resources, "Service")["spec"]["selector"]
    for subset, name in (("stable", "demo-open-autoglm"), ("candidate", "demo-open-autoglm-candidate")):
        (labels,) = (one["labels"] for one in rule["subsets"] if one["name"] == subset)
        has = only(resources, "Deployment", name)["spec"]["template"]["metadata"]["labels"]
        assert (wanted | labels).items() <= has.items()
    assert rule["host"] == HOST


def test_only_what_nobody_began_is_tried_again_and_the_server_gives_up_first() -> None:
    for one in routes(ISTIO):
        assert one["retries"]["retryOn"] == "connect-failure,refused-stream,reset-before-request"
        assert one["timeout"] == "35s"


def test_the_same_user_goes_to_the_same_pod_where_that_is_wanted() -> None:
    balancer = only(render(changed(hashHeader="x-user")), "DestinationRule")["spec"]["trafficPolicy"]["loadBalancer"]
    assert balancer == {"consistentHash": {"httpHeaderName": "x-user"}}


def test_the_candidate_answers_to_the_name_of_a_copy() -> None:
    hosts = variables(server(only(render(ISTIO), "Deployment", "demo-open-autoglm-candidate")))
    assert f"{HOST}-shadow" in (hosts["AUTOGLM_SERVE_ALLOWED_HOSTS"] or "").split(",")


def test_tokens_are_checked_and_the_claims_that_the_policy_reads_are_istios() -> None:
    resources = render(ISTIO)
    (rule,) = only(resources, "RequestAuthentication")["spec"]["jwtRules"]
    edge = only(resources, "ConfigMap", "demo-open-autoglm-opa")["data"]["edge.json"]
    assert (rule["issuer"], rule["audiences"]) == ("https://id.example.com", ["search"])
    assert rule["forwardOriginalToken"] is True
    assert f'"claims_header":"{rule["outputPayloadToHeader"]}"' in edge
    policy = only(resources, "AuthorizationPolicy", "demo-open-autoglm-policy")["spec"]
    assert (policy["action"], policy["provider"]) == ("CUSTOM", {"name": "open-autoglm-opa"})
    token = only(resources, "AuthorizationPolicy", "demo-open-autoglm-token")["spec"]
    assert token["rules"][0]["from"][0]["source"]["requestPrincipals"] == ["https://id.example.com/*"]


def test_the_proxy_reaches_its_control_plane() -> None:
    rules = only(render(ISTIO), "NetworkPolicy")["spec"]["egress"]
    assert any(rule["ports"] == [{"protocol": "TCP", "port": 15012}] for rule in rules)
