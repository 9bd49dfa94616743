"""The page in a real browser: searching, keys, pictures handed in, nothing to show, failures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from page_parts import browser as browser
from page_parts import contrast, expect_names, names, pages, pictures, search
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from serving_parts import COLOURS, ColourModel, painted_index, serve

from open_autoglm.search import Index
from open_autoglm.serving import Settings

EXAMPLES = ("green leaves", "something blue", "zebra")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with painted_index(tmp_path_factory.mktemp("page")) as index:
        yield index


@pytest.fixture(scope="module")
def address(index: Index) -> Iterator[str]:
    with serve(index, Settings(examples=EXAMPLES)) as address:
        yield address


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    with pages(browser, address) as opener:
        yield opener


def test_the_start_says_what_there_is_and_offers_searches_that_find_something(
    open_page: Callable[..., Page],
) -> None:
    page = open_page()
    expect(page.get_by_role("heading", level=1)).to_contain_text("12 pictures")
    expect(page.get_by_label("Describe the picture you look for")).to_be_focused()
    expect(page.locator("#examples a")).to_have_text(["green leaves", "something blue"])
    page.get_by_role("link", name="something blue").click()
    expect(pictures(page)).to_have_count(4)
    expect_names(page, "blue", 4)


def test_words_show_pictures_with_names_scores_and_alternative_texts(open_page: Callable[..., Page]) -> None:
    page = open_page()
    search(page, "a red thing")
    expect(pictures(page)).to_have_count(4)
    expect(page.get_by_role("status")).to_have_text("4 pictures for “a red thing”")
    assert all(re.fullmatch(r"0\.\d\d", score) for score in page.locator("#grid .score").all_inner_texts())
    assert pictures(page).first.get_attribute("alt") == names(page)[0]
    assert page.url.endswith("?q=a+red+thing")


def test_a_minus_keeps_out_what_is_not_wanted(open_page: Callable[..., Page]) -> None:
    page = open_page()
    for words, asked in (
        ("red dress -long", {"red dress": 1, "long": -1}),
        ('-"long sleeves"  red -5', {"red": 1, "long sleeves": -1, "5": -1}),
        ("a red t-shirt - new", "a red t-shirt - new"),
        ("-red", "-red"),
    ):
        with page.expect_request("**/v1/search") as sent:
            search(page, words)
        assert sent.value.post_data_json["query"] == asked
        expect(page.get_by_label("Describe the picture you look for")).to_have_value(words)
    search(page, "a red thing -blue")
    expect(page.get_by_role("status")).to_have_text("4 pictures for “a red thing -blue”")


def test_pictures_keep_their_shape_and_fill_the_rows(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=zebra&closest=1")
    expect(pictures(page)).to_have_count(12)
    boxes = [
        (box["x"], box["y"], box["width"], box["height"]) for box in map(Locator.bounding_box, pictures(page).all())
    ]
    shapes = pictures(page).evaluate_all("all => all.map(one => one.naturalWidth / one.naturalHeight)")
    assert all(abs(box[2] / box[3] - shape) < 0.03 for box, shape in zip(boxes, shapes, strict=True))
    first_row = [box for box in boxes if box[1] == boxes[0][1]]
    assert len({round(box[3]) for box in first_row}) == 1
    assert abs(first_row[-1][0] + first_row[-1][2] - (1280 - 48)) < 12


def test_reload_and_back_show_the_same_search(open_page: Callable[..., Page]) -> None:
    page = open_page()
    search(page, "red")
    expect(page.get_by_role("status")).to_contain_text("“red”")
    search(page, "blue")
    expect(page.get_by_role("status")).to_contain_text("“blue”")
    page.reload()
    expect(page.get_by_role("status")).to_contain_text("“blue”")
    page.go_back()
    expect(page.get_by_role("status")).to_contain_text("“red”")
    expect(page.get_by_label("Describe the picture you look for")).to_have_value("red")
    expect_names(page, "red", 4)
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_contain_text("12 pictures")


def test_everything_can_be_done_with_keys(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=zebra&closest=1")
    expect(pictures(page)).to_have_count(12)
    focused = page.locator("#grid .picture:focus")

    page.keyboard.press("/")
    expect(page.get_by_label("Describe the picture you look for")).to_be_focused()
    page.keyboard.press("ArrowDown")
    order = page.locator("#grid .picture")
    expect(order.nth(0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(order.nth(1)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(order.nth(0)).to_be_focused()
    top = focused.bounding_box()["y"]
    page.keyboard.press("ArrowDown")
    assert focused.bounding_box()["y"] > top
    page.keyboard.press("ArrowUp")
    expect(order.nth(0)).to_be_focused()

    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("heading")).to_have_text(names(page)[0])
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("heading")).to_have_text(names(page)[1])
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(order.nth(1)).to_be_focused()

    wanted = names(page)[1]
    page.keyboard.press("s")
    expect(page.locator("#source-name")).to_have_text(f"Similar to {wanted}")
    expect(page.locator("#grid .name").filter(has_text=wanted)).to_have_count(0)
    expect(page.locator("#grid .name").first).to_contain_text(wanted.split("-")[0])


def test_keys_typed_into_the_box_are_words(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=red")
    expect(pictures(page)).to_have_count(4)
    page.get_by_label("Describe the picture you look for").fill("")
    page.keyboard.type("grass/s")
    expect(page.get_by_label("Describe the picture you look for")).to_have_value("grass/s")


def test_one_tab_stop_leads_into_the_grid(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=red")
    expect(pictures(page)).to_have_count(4)
    assert page.locator("#grid .picture[tabindex='0']").count() == 1
    page.locator("#grid .picture").nth(2).focus()
    assert page.locator("#grid .picture").nth(2).get_attribute("tabindex") == "0"
    assert page.locator("#grid .picture[tabindex='0']").count() == 1


def test_similar_is_a_button_on_each_picture_and_can_be_linked_to(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=green")
    expect(pictures(page)).to_have_count(4)
    name = names(page)[2]
    page.locator("#grid li").nth(2).hover()
    page.get_by_role("button", name=f"Pictures similar to {name}").click()
    expect(page.locator("#source-name")).to_have_text(f"Similar to {name}")
    expect(page.locator("#grid .name").filter(has_text=name)).to_have_count(0)
    expect(page.locator("#grid .name").first).to_contain_text("green")
    linked = page.url
    page.get_by_role("button", name="Search with words again").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("12 pictures")
    page.goto(linked)
    expect(page.locator("#grid .name").first).to_contain_text("green")


def test_a_picture_opens_large_with_what_is_known_of_it(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=red")
    expect(pictures(page)).to_have_count(4)
    page.locator("#grid .picture").first.click()
    expect(page.get_by_role("dialog", name=names(page)[0])).to_be_visible()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("pixels")
    expect(dialog).to_contain_text("1 of 4")
    with page.context.expect_page() as opened:
        dialog.get_by_role("link", name="Open the original").click()
    assert re.search(r"/v1/pictures/\d+$", opened.value.url)
    dialog.get_by_role("button", name="Next").click()
    expect(dialog.get_by_role("heading")).to_have_text(names(page)[1])
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


@pytest.fixture
def blue_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.png"
    Image.new("RGB", (80, 60), COLOURS["blue"]).save(path)
    return path


def test_a_chosen_picture_finds_others_like_it(open_page: Callable[..., Page], blue_file: Path) -> None:
    page = open_page()
    page.set_input_files("#file", blue_file)
    expect(page.locator("#source-name")).to_have_text("Like your picture")
    expect(page.locator("#grid .name").first).to_contain_text("blue")
    search(page, "red")
    expect(page.get_by_role("status")).to_contain_text("“red”")
    page.go_back()
    expect(page.locator("#source-name")).to_have_text("Like your picture")
    expect(page.locator("#grid .name").first).to_contain_text("blue")


HAND_IN = """([kind, bytes]) => {
  const files = new DataTransfer();
  files.items.add(new File([new Uint8Array(bytes)], "mine.png", { type: "image/png" }));
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: files, bubbles: true, cancelable: true })
    : new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}"""


def test_a_dropped_picture_finds_others_like_it(open_page: Callable[..., Page], blue_file: Path) -> None:
    page = open_page()
    content = list(blue_file.read_bytes())
    page.evaluate(HAND_IN, ["dragover", content])
    expect(page.get_by_text("Drop the picture")).to_be_visible()
    page.evaluate(HAND_IN, ["drop", content])
    expect(page.get_by_text("Drop the picture")).to_be_hidden()
    expect(page.locator("#grid .name").first).to_contain_text("blue")


def test_a_pasted_picture_finds_others_like_it(open_page: Callable[..., Page], blue_file: Path) -> None:
    page = open_page()
    page.evaluate(HAND_IN, ["paste", list(blue_file.read_bytes())])
    expect(page.locator("#grid .name").first).to_contain_text("blue")


def test_an_upload_that_is_no_picture_is_explained(open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page(expect_complaints=True)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page.set_input_files("#file", tmp_path / "broken.png")
    expect(page.get_by_role("heading", name="That did not work")).to_be_visible()
    expect(page.locator("#message-text")).to_contain_text("picture")


def test_without_a_match_the_page_says_so_and_offers_the_closest(open_page: Callable[..., Page]) -> None:
    page = open_page()
    search(page, "zebra")
    expect(page.get_by_role("heading", name="Nothing matches “zebra”")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Nothing matches “zebra”")
    page.get_by_role("button", name="Show the closest anyway").click()
    expect(pictures(page)).to_have_count(12)
    expect(page.get_by_role("status")).to_contain_text("whether they match or not")
    page.reload()
    expect(pictures(page)).to_have_count(12)
    page.go_back()
    expect(page.get_by_role("heading", name="Nothing matches “zebra”")).to_be_visible()


def test_words_that_look_like_markup_stay_words(open_page: Callable[..., Page]) -> None:
    page = open_page()
    search(page, "<img src=x onerror=alert(1)>")
    expect(page.get_by_role("heading", level=1)).to_contain_text("“<img src=x onerror=alert(1)>”")


def test_a_failure_is_explained_and_can_be_tried_again(open_page: Callable[..., Page]) -> None:
    page = open_page(expect_complaints=True)
    reply = json.dumps({"error": {"message": "The index is busy: try again in a moment.", "type": "IndexStoreError"}})
    page.route("**/v1/search", lambda route: route.fulfill(status=503, body=reply, content_type="application/json"))
    search(page, "red")
    expect(page.get_by_text("The index is busy: try again in a moment.")).to_be_visible()
    page.unroute("**/v1/search")
    page.get_by_role("button", name="Try again").click()
    expect(pictures(page)).to_have_count(4)


def test_a_server_that_is_gone_is_explained(open_page: Callable[..., Page]) -> None:
    page = open_page(expect_complaints=True)
    page.route("**/v1/search", lambda route: route.abort())
    search(page, "red")
    expect(page.get_by_text("The server does not answer.")).to_be_visible()


def test_a_slow_search_shows_progress_and_a_newer_one_wins(open_page: Callable[..., Page]) -> None:
    page = open_page()
    held = []
    page.route(
        "**/v1/search",
        lambda route: held.append(route) if "red" in route.request.post_data else route.continue_(),
    )
    search(page, "red")
    expect(page.locator("#progress")).to_be_visible()
    search(page, "blue")
    expect(pictures(page)).to_have_count(4)
    expect(page.locator("#progress")).to_be_hidden()
    expect_names(page, "blue", 4)
    assert len(held) == 1


def test_more_pictures_can_be_shown(browser: Browser, tmp_path: Path) -> None:
    with painted_index(tmp_path) as index:
        (tmp_path / "many").mkdir()
        for number in range(70):
            Image.new("RGB", (40, 30), (200, 10 + number, 20)).save(tmp_path / "many" / f"{number:02}.png")
        index.add(tmp_path / "many")
        with serve(index, Settings(examples=())) as address:
            page = browser.new_page()
            page.goto(f"{address}/?q=red")
            expect(page.locator("#grid li")).to_have_count(60)
            expect(page.get_by_role("status")).to_contain_text("The best 60 pictures")
            page.get_by_role("button", name="Show more").click()
            expect(page.locator("#grid li")).to_have_count(74)
            expect(page.get_by_role("button", name="Show more")).to_be_hidden()
            assert len(set(page.locator("#grid .picture").evaluate_all("all => all.map(one => one.ariaLabel)"))) == 74
            page.close()


def test_a_picture_whose_file_has_vanished_leaves_a_note_in_its_place(browser: Browser, tmp_path: Path) -> None:
    with painted_index(tmp_path) as index, serve(index, Settings(examples=())) as address:
        (tmp_path / "pictures" / "red-1.jpg").unlink()
        page = browser.new_page()
        page.goto(f"{address}/?q=red")
        expect(page.locator("#grid .gone-note")).to_have_text("This file is gone")
        expect(pictures(page)).to_have_count(3)
        page.locator("#grid .gone").click()
        expect(page.locator("#stage.gone")).to_be_visible()
        page.close()


def test_an_empty_index_says_how_to_fill_it(browser: Browser, tmp_path: Path) -> None:
    with Index.create(tmp_path / "empty.index", ColourModel()) as index, serve(index) as address:
        page = browser.new_page()
        page.goto(address)
        expect(page.get_by_role("heading", name="This index is empty.")).to_be_visible()
        expect(page.locator("#start-lead")).to_contain_text("autoglm index")
        page.close()


@pytest.mark.parametrize("path", ["/", "/?q=red", "/?q=zebra", "/?like=1", "/?q=" + "x" * 300])
def test_a_phone_needs_no_sideways_scrolling(open_page: Callable[..., Page], path: str) -> None:
    page = open_page(path, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    if path == "/?q=red":
        expect(pictures(page)).to_have_count(4)
        page.locator("#grid .picture").first.click()
        close = page.get_by_role("button", name="Close").bounding_box()
        assert close["x"] >= 0 and close["x"] + close["width"] <= 390 and close["y"] + close["height"] <= 800


def test_light_and_dark_differ_and_both_can_be_read(open_page: Callable[..., Page]) -> None:
    papers = []
    for scheme in ("light", "dark"):
        page = open_page("/?q=red", color_scheme=scheme)
        expect(pictures(page)).to_have_count(4)
        papers.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        for selector in ("#status", "#about", ".go", ".upload", "#grid li:first-child .score", ".wordmark"):
            assert contrast(page, selector) >= 4.5, (scheme, selector)
    assert papers[0] != papers[1]


def test_every_control_has_a_name(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=red")
    expect(pictures(page)).to_have_count(4)
    page.locator("#grid .picture").first.click()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input")].filter((control) =>
          control.checkVisibility() && !control.getAttribute("aria-label") && !control.textContent.trim()
          && !control.labels?.length).map((control) => control.outerHTML)"""
    )
    assert nameless == []
