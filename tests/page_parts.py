"""What the tests of the page in a browser share: the browser, pages that are watched, and what is looked up on them."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

PATIENCE = 30_000  # milliseconds: the cores may be busy with other tests
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watch:
    """What the browser complained of and whom it asked."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        self.asked: set[str] = set()
        page.on(
            "console",
            lambda message: message.type in ("error", "warning") and self.complaints.append(message.text),
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.add(request.url.split("?")[0]))


@contextmanager
def pages(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Opens the page at a path; afterwards holds that nothing was complained of and no other host asked."""
    opened = []

    def opener(path: str = "/", expect_complaints: bool = False, **settings: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **settings})
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        opened.append((context, Watch(page), expect_complaints))
        page.goto(address + path)
        return page

    yield opener
    for context, watch, expect_complaints in opened:
        context.close()
        assert expect_complaints or watch.complaints == []
        assert {url for url in watch.asked if not url.startswith((address, "blob:", "data:"))} == set()


def search(page: Page, words: str) -> None:
    box = page.get_by_label("Describe the picture you look for")
    box.fill(words)
    box.press("Enter")


def pictures(page: Page) -> Locator:
    return page.locator("#grid .picture img.loaded")


def names(page: Page) -> list[str]:
    return page.locator("#grid .name").all_inner_texts()


def expect_names(page: Page, beginning: str, count: int) -> None:
    """Waits until the grid holds so many pictures and the name of each begins so: the old ones stand a while longer."""
    expect(page.locator("#grid .name")).to_have_text([re.compile(f"^{beginning}")] * count)


def expect_drawn(pictures: Locator) -> None:
    """Waits until each of the pictures, one at least, has its pixels.

    Asked from outside again and again: a condition that the browser itself tries anew is evaluated from text, which
    the page's Content-Security-Policy forbids."""
    until = time.monotonic() + 10
    while not pictures.evaluate_all("all => all.length > 0 && all.every(image => image.naturalWidth > 100)"):
        assert time.monotonic() < until, "the pictures did not come"
        time.sleep(0.05)


def contrast(page: Page, selector: str) -> float:
    return page.locator(selector).evaluate(
        """element => {
          const light = (colour) => {
            const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
              .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
          };
          let under = element;
          while (getComputedStyle(under).backgroundColor === "rgba(0, 0, 0, 0)") under = under.parentElement;
          const colours = [getComputedStyle(element).color, getComputedStyle(under).backgroundColor];
          const [a, b] = colours.map(light);
          return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        }"""
    )
