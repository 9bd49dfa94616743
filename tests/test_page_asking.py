"""Asking about a picture on the page, in a real browser: answers of the shipped model on real photos."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from page_parts import browser as browser
from page_parts import contrast, expect_names, pages, pictures
from playwright.sync_api import Browser, Locator, Page, Route, expect
from serving_parts import serve

import open_autoglm
from open_autoglm.search import Index
from open_autoglm.serving import Settings

SAMPLES = Path(__file__).parent.parent / "samples"
PHOTOS = ("grocery/banana.jpg", "grocery/lemon.jpg", "grocery/pineapple.jpg", "clothing/shoes-3.jpg")
ASK = "Ask about this picture"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Index.create(tmp_path_factory.mktemp("asking") / "photos.index", open_autoglm.load()) as index:
        index.add([SAMPLES / photo for photo in PHOTOS])
        with serve(index, Settings(examples=())) as address:
            yield address


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Opens one photo large."""
    with pages(browser, address) as opener:

        def open_photo(name: str, **settings: object) -> Page:
            page = opener("/?q=fruit&closest=1", **settings)
            expect_names(page, "", len(PHOTOS))
            page.get_by_role("button", name=f"Open {name}").click()
            expect(page.get_by_role("dialog", name=name)).to_be_visible()
            return page

        yield open_photo


def ask(page: Page, question: str) -> None:
    page.get_by_label(ASK).fill(question)
    page.get_by_label(ASK).press("Enter")


def answer(page: Page) -> Locator:
    return page.get_by_role("dialog").get_by_role("status")


def share(page: Page) -> list[float]:
    """Left, top, right and bottom of the best box, as shares of the picture as it is shown."""
    mark, picture = page.locator(".mark").last.bounding_box(), page.locator("#viewer-picture").bounding_box()
    left, top = mark["x"] - picture["x"], mark["y"] - picture["y"]
    right, bottom = left + mark["width"], top + mark["height"]
    return [left / picture["width"], top / picture["height"], right / picture["width"], bottom / picture["height"]]


def test_an_answer_says_how_sure_it_is_and_marks_what_it_rests_on(opened: Callable[..., Page]) -> None:
    page = opened("shoes-3.jpg")
    expect(page.locator(".answer-hint")).to_be_visible()
    ask(page, "Is there a shoe?")
    expect(answer(page)).to_have_text(re.compile(r"^\s*Yes\s*(over )?\d+% sure\. 1 place marked in the picture\.\s*$"))
    expect(page.locator(".answer-hint")).to_be_hidden()
    expect(page.locator(".mark")).to_have_count(1)
    expect(page.locator(".mark")).to_have_text(re.compile(r"^\d+%$"))
    ask(page, "is there a fire engine?")
    expect(answer(page)).to_have_text(re.compile(r"^\s*No\s*(over )?\d+% sure\.\s*$"))
    expect(page.locator(".mark")).to_have_count(0)


def test_boxes_lie_where_the_model_says_however_the_window_is_sized(opened: Callable[..., Page], address: str) -> None:
    page = opened("shoes-3.jpg")
    with page.expect_response("**/v1/ask") as response:
        ask(page, "Where are the shoes?")
    reply = response.value.json()
    wanted = [
        side / (reply["width"], reply["height"])[place % 2] for place, side in enumerate(reply["regions"][0]["box"])
    ]
    expect(page.locator(".mark")).to_have_count(len(reply["regions"]))
    for width, height in ((1280, 860), (700, 900), (1000, 420)):
        page.set_viewport_size({"width": width, "height": height})
        assert share(page) == pytest.approx(wanted, abs=0.01), (width, height)


def test_what_it_cannot_tell_it_says_and_why(opened: Callable[..., Page]) -> None:
    page = opened("banana.jpg")
    ask(page, "what colour is it?")
    expect(answer(page)).to_contain_text("I can’t tell")
    expect(answer(page)).to_contain_text("It can tell what is there")
    expect(page.locator(".mark")).to_have_count(0)
    expect(page.get_by_role("button", name="Heat map")).to_be_hidden()
    ask(page, "how many bananas?")
    expect(answer(page)).to_contain_text("not how many")
    expect(page.locator(".mark").first).to_be_visible()


def test_the_heat_map_is_a_switch_that_stays_as_it_was_left(opened: Callable[..., Page]) -> None:
    page = opened("banana.jpg")
    ask(page, "Where is the banana?")
    heat, switch = page.locator("#heat"), page.get_by_role("button", name="Heat map")
    expect(switch).to_have_attribute("aria-pressed", "false")
    expect(heat).to_be_hidden()
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "true")
    expect(heat).to_be_visible()
    assert heat.bounding_box() == page.locator("#viewer-picture").bounding_box()
    # Most opaque where the best box is, as that surrounds the hottest place.
    hottest = heat.evaluate(
        """canvas => {
          const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let best = 3;
          for (let place = 3; place < data.length; place += 4) if (data[place] > data[best]) best = place;
          const pixel = (best - 3) / 4;
          return [(pixel % width) / width, Math.floor(pixel / width) / height];
        }"""
    )
    left, top, right, bottom = share(page)
    assert left <= hottest[0] <= right and top <= hottest[1] <= bottom
    ask(page, "is there a banana?")
    expect(answer(page)).to_contain_text("Yes")
    expect(heat).to_be_visible()
    switch.click()
    expect(heat).to_be_hidden()


def test_asking_needs_keys_alone_and_what_is_typed_stays_words(opened: Callable[..., Page]) -> None:
    page = opened("banana.jpg")
    dialog, box = page.get_by_role("dialog"), page.get_by_label(ASK)
    page.keyboard.press("/")
    expect(box).to_be_focused()
    page.keyboard.type("is this a / lemons")
    for key in ("ArrowLeft", "ArrowRight", "Backspace"):
        page.keyboard.press(key)
    expect(box).to_have_value("is this a / lemon")
    expect(dialog.get_by_role("heading")).to_have_text("banana.jpg")
    box.fill("is there a banana?")
    page.keyboard.press("Enter")
    expect(answer(page)).to_contain_text("Yes")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Heat map")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#heat")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_another_picture_keeps_the_question_and_drops_its_answer(opened: Callable[..., Page]) -> None:
    page = opened("banana.jpg")
    ask(page, "is there a banana?")
    expect(page.locator(".mark").first).to_be_visible()
    forth = page.get_by_role("button", name="Next")
    (forth if forth.is_enabled() else page.get_by_role("button", name="Previous")).click()
    expect(page.locator(".mark")).to_have_count(0)
    expect(answer(page)).to_have_text(re.compile(r"^\s*$"))
    expect(page.get_by_label(ASK)).to_have_value("is there a banana?")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Open banana.jpg").click()
    expect(page.locator(".mark")).to_have_count(0)


def test_a_late_answer_about_another_picture_is_not_shown(opened: Callable[..., Page]) -> None:
    page = opened("banana.jpg")
    held: list[Route] = []
    page.route("**/v1/ask", lambda route: held.append(route) if not held else route.continue_())
    ask(page, "is there a banana?")
    expect(answer(page)).to_contain_text("Looking")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Open lemon.jpg").click()
    expect(answer(page)).to_have_text(re.compile(r"^\s*$"))
    ask(page, "is there a lemon?")
    expect(answer(page)).to_contain_text("Yes")
    assert len(held) == 1


def test_a_question_that_cannot_be_answered_is_explained(opened: Callable[..., Page]) -> None:
    page = opened("lemon.jpg", expect_complaints=True)
    ask(page, "???")
    expect(answer(page)).to_contain_text("The question has no words")
    reply = json.dumps({"error": {"message": "Too many wait before this one.", "type": "Busy"}})
    page.route("**/v1/ask", lambda route: route.fulfill(status=503, body=reply, content_type="application/json"))
    ask(page, "is there a lemon?")
    expect(answer(page)).to_contain_text("Too many wait before this one.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_and_in_the_dark_answers_can_be_read(opened: Callable[..., Page], scheme: str) -> None:
    phone = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
    page = opened("banana.jpg", color_scheme=scheme, **phone)
    ask(page, "where is the banana?")
    expect(page.get_by_role("button", name="Heat map")).to_be_in_viewport()
    expect(page.locator(".mark").first).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("button", name="Heat map").click()
    for selector in ("#answer-text", "#answer-more", ".ask button", "#heat-toggle"):
        assert contrast(page, selector) >= 4.5, (scheme, selector)
    expect(pictures(page).first).to_be_attached()
