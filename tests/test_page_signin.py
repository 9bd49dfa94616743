"""Signing in on the page, in a real browser: the token it keeps, and what it shows with it and without."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from access_parts import token, token_settings
from page_parts import browser as browser
from page_parts import contrast, expect_drawn, expect_names, pages, pictures, search
from playwright.sync_api import Browser, Page, expect
from serving_parts import painted_index, serve

from open_autoglm.serving import Settings
from open_autoglm.serving.access.keys import new_key, revoke_key

KEPT = "Object.values(sessionStorage).join() + Object.values(localStorage).join() + document.cookie"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("signin")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    new_key(folder / "keys.jsonl", "other", "default", ["search"])
    access = token_settings(folder, keys=folder / "keys.jsonl")
    with painted_index(folder) as index, serve(index, Settings(access=access)) as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with pages(browser, address) as opener:
        # The first 401 is one that the browser's console notes by itself.
        yield opener("/", expect_complaints=True)


def sign_in(page: Page, shown: str) -> None:
    field = page.get_by_label("API key or token")
    field.fill(shown)
    field.press("Enter")


def good() -> str:
    return token(scope="search ask")


def test_who_is_not_known_sees_the_field_and_nothing_else(page: Page) -> None:
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("#sign-in-text")).to_have_text("This server asks who you are.")
    expect(page.get_by_label("API key or token")).to_be_focused()
    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
    expect(page.locator("#grid img")).to_have_count(0)
    assert contrast(page, "#sign-in label") >= 4.5 and contrast(page, "#sign-in button") >= 4.5


def test_signed_in_the_page_searches_and_shows_pictures(page: Page) -> None:
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    failures = []
    page.on("response", lambda reply: reply.status >= 400 and failures.append(reply.url))
    sign_in(page, good())
    expect(page.locator("#start-title")).to_have_text("12 pictures. Describe the one you want.")
    search(page, "red")
    expect_names(page, "red-", 4)
    expect(pictures(page)).to_have_count(4)
    expect_drawn(page.locator("#grid img"))
    page.locator("#grid .picture").first.click()
    expect(page.locator("#viewer-picture")).to_have_js_property("complete", True)
    expect_drawn(page.locator("#viewer-picture"))
    assert "gone" not in (page.locator("#stage").get_attribute("class") or "")
    page.get_by_role("button", name="Find similar").click()
    expect(page.locator("#source-name")).to_contain_text("Similar to red-")
    expect_drawn(page.locator("#source-picture"))
    assert failures == []


def test_the_original_opens_in_a_tab_of_its_own(page: Page) -> None:
    sign_in(page, good())
    search(page, "red")
    page.locator("#grid .picture").first.click()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open the original").click()
    tab = opened.value
    expect_drawn(tab.locator("img"))
    assert tab.url.startswith("blob:")


def test_a_wrong_token_is_refused_and_not_kept(page: Page) -> None:
    sign_in(page, token(exp=int(time.time()) - 100))
    expect(page.locator("#sign-in-text")).to_contain_text("expired")
    assert page.evaluate(KEPT) == ""
    sign_in(page, "nonsense")
    expect(page.locator("#sign-in-text")).to_contain_text("not known")
    sign_in(page, good())
    expect(page.locator("#start-title")).to_be_visible()


def test_the_token_stays_in_this_tab_until_one_signs_out(page: Page, address: str) -> None:
    shown = good()
    sign_in(page, shown)
    expect(page.locator("#start-title")).to_be_visible()
    page.reload()
    expect(page.locator("#start-title")).to_be_visible()
    assert page.evaluate("[Object.values(sessionStorage), Object.values(localStorage), document.cookie]") == [
        [shown],
        [],
        "",
    ]
    assert shown not in page.url and page.get_by_label("API key or token").input_value() == ""
    other = page.context.new_page()
    other.goto(address)
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert page.evaluate(KEPT) == ""


def test_a_search_in_the_address_is_made_once_one_has_signed_in(browser: Browser, address: str) -> None:
    with pages(browser, address) as opener:
        page = opener("/?q=blue", expect_complaints=True)
        sign_in(page, good())
        expect_names(page, "blue-", 4)


def test_a_key_that_is_revoked_meanwhile_asks_to_sign_in_again(page: Page, folder: Path) -> None:
    _, secret = new_key(folder / "keys.jsonl", "visitor", "default", ["search"])
    time.sleep(0.6)
    sign_in(page, secret)
    search(page, "red")
    expect_names(page, "red-", 4)
    revoke_key(folder / "keys.jsonl", "visitor")
    time.sleep(0.6)
    search(page, "blue")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("#sign-in-text")).to_contain_text("revoked")


def test_who_may_not_search_is_told_so(page: Page) -> None:
    sign_in(page, token(scope="ask"))
    search(page, "red")
    expect(page.locator("#message-text")).to_contain_text("lacks the scope")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_without_access_nobody_is_asked(browser: Browser, tmp_path: Path) -> None:
    with painted_index(tmp_path) as index, serve(index) as address, pages(browser, address) as opener:
        page = opener("/?q=red")
        expect(pictures(page)).to_have_count(4)
        expect(page.locator("#sign-in")).to_be_hidden()
        expect(page.locator("#sign-out")).to_be_hidden()
