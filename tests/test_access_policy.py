"""What a policy decides: the one that comes along and others, embedded and over OPA's API, and what goes wrong."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from access_parts import Answers, opa_stand_in, web_server
from opa_parts import opa

from open_autoglm.errors import SettingError
from open_autoglm.serving.access.opa import OpaPolicy
from open_autoglm.serving.access.policy import Decision, Policy, Question
from open_autoglm.serving.access.rego import SHIPPED, RegoPolicy
from open_autoglm.serving.access.scopes import ACTIONS

ASKED = Question("search", "POST", "/v1/search", "shop", "alice", frozenset({"search"}), "photos", "", "shop")
Decide = Callable[[Path, Question], Decision]


@pytest.fixture(params=["embedded", "OPA's API", "OPA"])
def decide(request: pytest.FixtureRequest) -> Iterator[Decide]:
    """What a policy's file says, by every way to ask it: a stand-in speaks OPA's API, and OPA itself where it is."""

    async def asked(policy: Policy, question: Question) -> Decision:
        try:
            return await policy.allows(question)
        finally:
            await policy.close()

    def embedded(file: Path, question: Question) -> Decision:
        return asyncio.run(asked(RegoPolicy(file), question))

    def served(file: Path, question: Question) -> Decision:
        with (opa if request.param == "OPA" else opa_stand_in)(file) as address:
            return asyncio.run(asked(OpaPolicy(address, timeout=10.0), question))

    yield embedded if request.param == "embedded" else served


def written(folder: Path, text: str) -> Path:
    file = folder / "own.rego"
    file.write_text(f"package open_autoglm\n\nimport rego.v1\n\n{text}\n")
    return file


def scoped(action: str, *scopes: str) -> Question:
    return ASKED._replace(action=action, scopes=frozenset(scopes))


def test_a_scope_allows_the_action_of_its_name_and_no_other(decide: Decide) -> None:
    for action in ACTIONS - {"rollout"}:
        assert decide(SHIPPED, scoped(action, action)).allowed, action
    assert not decide(SHIPPED, scoped("write", "search", "writes", "WRITE", "")).allowed
    assert not decide(SHIPPED, scoped("search")).allowed


def test_rollout_is_for_administrators_and_the_star_for_users(decide: Decide) -> None:
    assert decide(SHIPPED, scoped("rollout", "admin")).allowed
    assert not decide(SHIPPED, scoped("rollout", "rollout", "*")).allowed
    assert decide(SHIPPED, scoped("write", "*")).allowed
    assert not decide(SHIPPED, scoped("metrics", "*")).allowed
    assert decide(SHIPPED, scoped("metrics", "metrics")).allowed


@pytest.mark.parametrize("scope", ["search", "*", "admin"])
def test_a_tenant_reaches_its_own_and_what_is_everybodys(decide: Decide, scope: str) -> None:
    for owner, allowed in (("shop", True), ("", True), ("rival", False), ("Shop", False), ("sho", False)):
        assert decide(SHIPPED, scoped("search", scope)._replace(owner=owner)).allowed is allowed, owner


@pytest.mark.parametrize(
    ("rule", "allowed", "failed"),
    [
        ("allow := true", True, False),
        ("allow := false", False, False),
        ("default allow := false", False, False),
        ("allow if input.nothing", False, False),
        ('allow := "true"', False, True),
        ("allow := 1", False, True),
        ("allow := [true]", False, True),
        ("allow := {true}", False, True),
        ('allow := {"allowed": true}', False, True),
        ("allow := null", False, True),
    ],
)
def test_yes_is_true_and_nothing_else(decide: Decide, tmp_path: Path, rule: str, allowed: bool, failed: bool) -> None:
    decision = decide(written(tmp_path, rule), ASKED)
    assert (decision.allowed, decision.failed) == (allowed, failed), decision.why


def test_a_policy_of_ones_own_sees_all_of_the_input(decide: Decide, tmp_path: Path) -> None:
    question = Question(
        "search", "POST", "/v1/search", "shop", "alice", frozenset({"b", "a"}), "photos", "base", "shop"
    )
    file = written(
        tmp_path,
        """allow if input == {
    "action": "search", "method": "POST", "path": "/v1/search",
    "caller": {"tenant": "shop", "subject": "alice", "scopes": ["a", "b"]},
    "resource": {"index": "photos", "model": "base", "tenant": "shop"},
}""",
    )
    assert decide(file, question).allowed
    assert not decide(file, question._replace(subject="bob")).allowed


def test_a_policy_without_the_package_allows_nothing(decide: Decide, tmp_path: Path) -> None:
    (tmp_path / "other.rego").write_text("package other\n\nallow := true\n")
    assert not decide(tmp_path / "other.rego", ASKED).allowed


def test_texts_that_the_interpreter_would_cut_are_refused(decide: Decide, tmp_path: Path) -> None:
    file = written(tmp_path, 'allow if startswith(input.resource.index, "photos")')
    assert decide(file, ASKED).allowed and decide(file, ASKED._replace(reached_index="photos-ä")).allowed
    for name in ("photos\0", "photos\0of-a-rival", "photos\udcff"):
        decision = decide(file, ASKED._replace(reached_index=name))
        assert not decision.allowed and not decision.failed and "no name can have" in decision.why


@pytest.mark.parametrize("text", ["package open_autoglm\nallow if {", "not rego at all", "package", ""])
def test_a_policy_that_is_no_rego_is_told_when_the_server_starts(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.rego").write_text(text)
    with pytest.raises(SettingError, match=r"bad\.rego"):
        RegoPolicy(tmp_path / "bad.rego")


def test_a_rule_that_calls_what_is_not_there_fails_closed(tmp_path: Path) -> None:
    decision = RegoPolicy(written(tmp_path, "allow if nowhere(input)")).decide(ASKED)
    assert not decision.allowed and decision.failed


def test_two_answers_at_once_fail_closed(tmp_path: Path) -> None:
    decision = RegoPolicy(written(tmp_path, "allow := true\n\nallow := false")).decide(ASKED)
    assert not decision.allowed and decision.failed


def test_a_policy_that_changes_is_in_force_at_once_and_a_damaged_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = written(tmp_path, "allow := true")
    policy = RegoPolicy(file, seconds=60.0)
    assert policy.decide(ASKED).allowed
    written(tmp_path, "allow := false")
    touch(file)
    assert not policy.decide(ASKED).allowed  # though the old answer was good for a minute
    file.write_text("package open_autoglm\nallow if {")
    touch(file, 2)
    assert not policy.decide(ASKED).allowed
    assert "stays in force" in caplog.text


def touch(file: Path, seconds: int = 1) -> None:
    later = time.time_ns() + seconds * 10**9
    os.utime(file, ns=(later, later))
    time.sleep(0.55)


def test_a_decision_is_good_for_its_seconds_and_for_its_question(tmp_path: Path) -> None:
    now = [0.0]
    policy = RegoPolicy(SHIPPED, seconds=1.0, clock=lambda: now[0])
    assert policy.decide(ASKED).allowed
    assert not policy.decide(ASKED._replace(tenant="rival")).allowed
    assert not policy.decide(ASKED._replace(scopes=frozenset())).allowed
    now[0] = 2.0
    assert policy.decide(ASKED).allowed


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ('{"result": true}', 500),
        ('{"result": true}', 302),
        ('{"result": true}', 404),
        ("", 200),
        ("true", 200),
        ("[true]", 200),
        ('{"result": "true"}', 200),
        ('{"result": {"allow": true}}', 200),
        ('{"result": tru', 200),
        (f'{{"x": "{"y" * 70_000}", "result": true}}', 200),
        ("[" * 60_000, 200),
    ],
)
def test_an_opa_server_that_answers_something_else_allows_nothing(content: str, status: int) -> None:
    answers = Answers(content)
    answers.status = status
    with web_server(answers) as address:
        decision = asyncio.run(once(OpaPolicy(address)))
    assert not decision.allowed and decision.failed and answers.asked == 1


def test_an_opa_server_without_the_policy_allows_nothing() -> None:
    with web_server(Answers("{}")) as address:
        decision = asyncio.run(once(OpaPolicy(address)))
    assert not decision.allowed and "no rule" in decision.why


def test_an_opa_server_that_is_slow_or_gone_allows_nothing() -> None:
    answers = Answers('{"result": true}')
    answers.pause = 1.0
    with web_server(answers) as address:
        assert asyncio.run(once(OpaPolicy(address, timeout=0.1))).failed
    assert asyncio.run(once(OpaPolicy(address, timeout=1.0))).failed


def test_an_opa_server_is_asked_over_no_more_connections_than_allowed() -> None:
    answers, lock, going = Answers(), threading.Lock(), [0, 0]

    def respond(path: str, body: bytes) -> bytes:
        with lock:
            going[0] += 1
            going[1] = max(going)
        time.sleep(0.05)
        with lock:
            going[0] -= 1
        return b'{"result": true}'

    async def many(policy: OpaPolicy) -> list[Decision]:
        try:
            return list(await asyncio.gather(*(policy.allows(ASKED) for _ in range(8))))
        finally:
            await policy.close()

    answers.respond = respond
    with web_server(answers) as address:
        decisions = asyncio.run(many(OpaPolicy(address, timeout=30.0, connections=2)))
    assert all(one.allowed for one in decisions) and answers.asked == 8 and going[1] <= 2


async def once(policy: OpaPolicy) -> Decision:
    try:
        return await policy.allows(ASKED)
    finally:
        await policy.close()
