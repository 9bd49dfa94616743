"""The rollout's API, commands and page over a real server."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from cli_parts import autoglm, document, mistake
from page_parts import browser as browser
from page_parts import contrast, pages
from playwright.sync_api import Browser, Page, expect
from rollout_parts import InProcess, serving, vectors

PLAN = {"action": "start", "candidate": "photos@2", "shadow": 1.0, "seconds": 0, "requests": 20}


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    models = InProcess({f"photos@{number}": ("space-1", vectors()) for number in (1, 2)})
    models.versions["photos@9"] = ("space-9", vectors())
    with serving(models, tmp_path / "rollout.sqlite") as address:
        yield address


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    with pages(browser, address) as opener:
        yield opener


def ask(address: str, count: int) -> None:
    with httpx.Client(base_url=address) as client:
        for number in range(count):
            assert client.get("/ask", params={"who": f"person {number}", "about": f"text {number}"}).is_success


def command(address: str, *words: str) -> tuple[str, ...]:
    return ("rollout", *words, "--address", address)


def test_the_commands_start_show_and_end_a_rollout(address: str) -> None:
    plan = ("--candidate", "photos@2", "--shadow", "1", "--seconds", "0", "--steps", "10,100")
    started = autoglm(*command(address, "start", *plan))
    assert started.exit_code == 0, started.stderr
    assert "photos@2 answers nobody yet" in started.stdout and "photos is answered by photos@1." in started.stdout
    ask(address, 30)
    shown = document(*command(address, "status"))
    assert shown["rollout"]["plan"]["steps"] == [0.1, 1.0]
    assert "failures, candidate less live" in autoglm(*command(address, "status")).stdout
    promoted = autoglm(*command(address, "promote"))
    assert promoted.exit_code == 0 and "photos is answered by photos@2." in promoted.stdout
    assert "promoted (anonymous): A person made it live. photos@2 is live." in promoted.stdout
    with httpx.Client(base_url=address) as client:
        assert client.get("/ask", params={"who": "a", "about": "b"}).json()["model"] == "photos@2"


WRONG = [
    (("abort",), "No rollout is under way"),
    (("start", "--candidate", "photos@7"), "loads no further bundles"),
    (("start", "--candidate", "photos@9", "--canary", "embeddings"), "vectors of two spaces"),
    (("start", "--candidate", "photos@2", "--shadow", "7"), "share to shadow"),
    (("start", "--candidate", "photos@2", "--steps", "ten"), "no percentage"),
    (("start", "--candidate", "photos@2", "--canary", "searches"), "canary"),
]


def test_a_mistake_is_one_sentence_and_exit_code_2(address: str) -> None:
    for words, said in WRONG:
        assert said in mistake(*command(address, *words))
    for nobody in ("http://127.0.0.1:9", "nonsense", "http://[", "http://127.0.0.1:notaport"):
        assert f"No server answers at {nobody}" in mistake(*command(nobody, "status"))
    assert "no server of rollouts" in mistake(*command(f"{address}/page/rollout.html#", "status"))


def test_the_api_refuses_what_makes_no_sense(address: str) -> None:
    with httpx.Client(base_url=address) as client:
        for body, status in (
            ({"action": "explode"}, 422),
            ({"action": "start"}, 400),
            ({"action": "start", "candidate": "photos@2", "colour": "red"}, 422),
            ({"action": "start", "candidate": "photos@2", "rules": {"worse": 0.5}}, 400),
            ({"action": "promote"}, 400),
        ):
            reply = client.post("/v1/rollout", json=body)
            assert reply.status_code == status and reply.json()["error"]["message"], body
        for content, status in ((b"{", 422), (b'{"action": "abort", "x": "' + bytes(70_000), 413)):
            assert client.post("/v1/rollout", content=content).status_code == status
        described = client.get("/openapi.json").json()["paths"]["/v1/rollout"]["post"]["requestBody"]
        assert "$ref" not in json.dumps(described) and "disagreement" in json.dumps(described)
        for body, status in (({"model": "photos@2", "rank": 0}, 422), ({"model": "photos@2", "rank": None}, 200)):
            assert client.post("/v1/feedback", json=body).status_code == status


def test_feedback_is_counted_while_a_rollout_runs(address: str) -> None:
    with httpx.Client(base_url=address) as client:
        wanted = {"model": "photos@2", "rank": 2}
        assert client.post("/v1/feedback", json=wanted).json() == {"counted": False}
        client.post("/v1/rollout", json=PLAN)
        assert client.post("/v1/feedback", json=wanted).json() == {"counted": True}
        figures = client.get("/v1/rollout").json()["rollout"]["figures"]
        assert figures["candidate feedback"]["mean"] == 0.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shows_the_state_the_figures_and_the_decisions(
    address: str, open_page: Callable[..., Page], scheme: str
) -> None:
    httpx.post(f"{address}/v1/rollout", json={**PLAN, "requests": 100}).raise_for_status()
    ask(address, 300)
    page = open_page("/rollout", color_scheme=scheme)
    expect(page.get_by_role("heading", level=1)).to_contain_text("photos@2")
    expect(page.locator("#weights li")).to_have_text(["Compared", "1 %", "5 %", "25 %", "50 %", "100 %"])
    expect(page.locator("#weights [aria-current]")).to_have_count(1)
    expect(page.locator("#charts h3").first).to_have_text("Agreement")
    expect(page.get_by_role("img", name="Failures over")).to_be_visible()
    assert page.locator("#charts .band").count() == 3
    expect(page.locator("#decisions li").last).to_contain_text("is compared with photos@1, and answers nobody yet")
    assert contrast(page, "#charts .note >> nth=0") > 4.5 and contrast(page, "#weights .now") > 4.5
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/rollout-{scheme}.png", full_page=True)


def test_the_page_asks_before_it_promotes_or_aborts(address: str, open_page: Callable[..., Page]) -> None:
    page = open_page("/rollout")
    expect(page.get_by_role("heading", level=1)).to_have_text("No rollout is under way")
    expect(page.get_by_role("button", name="Abort")).to_be_hidden()
    httpx.post(f"{address}/v1/rollout", json=PLAN).raise_for_status()
    page.get_by_role("button", name="Abort").click()
    expect(page.get_by_role("dialog", name="Abort the rollout of photos@2?")).to_be_visible()
    page.get_by_role("button", name="Go back").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("answers nobody yet")
    page.get_by_role("button", name="Promote").click()
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/rollout-sure.png")
    page.get_by_role("dialog").get_by_role("button", name="Promote").click()
    expect(page.locator("#live")).to_have_text("photos: photos@2")
    expect(page.locator("#decisions li").first).to_contain_text("A person made it live.")


def test_a_page_that_is_not_known_asks_for_a_token(address: str, open_page: Callable[..., Page]) -> None:
    page = open_page("/rollout", expect_complaints=True)
    sent = []

    def refuse(route: object, request: object) -> None:
        sent.append(request.headers.get("authorization"))  # type: ignore[attr-defined]
        if sent[-1] == "Bearer secret":
            route.continue_()  # type: ignore[attr-defined]
        else:
            body = json.dumps({"error": {"message": "Sign in first.", "type": "Unauthorized"}})
            route.fulfill(status=401, body=body, content_type="application/json")  # type: ignore[attr-defined]

    page.route("**/v1/rollout", refuse)
    page.reload()
    expect(page.get_by_role("alert")).to_have_text("Sign in first.")
    page.get_by_label("Your token").fill("secret")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("No rollout is under way")
    assert sent[-1] == "Bearer secret"
