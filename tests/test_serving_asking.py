"""Questions over the API: answers and places in pictures of the index and in pictures that are sent."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from serving_parts import painted_index, serve

import open_autoglm
from open_autoglm.errors import SettingError
from open_autoglm.runtime.images import ImageLimits
from open_autoglm.search import Index
from open_autoglm.serving import Settings

SAMPLES = Path(__file__).parent.parent / "samples"
BANANA = SAMPLES / "grocery" / "banana.jpg"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos that may be changed."""
    folder = tmp_path_factory.mktemp("asking")
    for name in ("banana", "lemon", "pineapple"):
        (folder / f"{name}.jpg").write_bytes((SAMPLES / "grocery" / f"{name}.jpg").read_bytes())
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    with Index.create(folder / "photos.index", open_autoglm.load()) as index:
        index.add(folder)
        settings = Settings(limits=ImageLimits(max_bytes=200_000))
        with serve(index, settings) as address, httpx.Client(base_url=address, timeout=60) as client:
            yield client


def number(client: httpx.Client, name: str) -> int:
    wanted = {"query": "fruit", "cut": False, "where": f"name = '{name}.jpg'"}
    return client.post("/v1/search", json=wanted).json()["results"][0]["id"]


def refusal(reply: httpx.Response) -> tuple[int, str]:
    error = reply.json()["error"]
    assert "\n" not in error["message"] and len(error["message"]) < 300
    return reply.status_code, error["message"]


def test_a_question_about_a_picture_of_the_index_is_answered_with_its_regions(client: httpx.Client) -> None:
    reply = client.post("/v1/ask", json={"picture": number(client, "banana"), "question": "Is there a banana?"})
    assert reply.status_code == 200, reply.text
    body, (width, height) = reply.json(), Image.open(BANANA).size
    assert (body["answer"], body["model"]) == ("yes", "open-autoglm-base")
    assert (body["width"], body["height"]) == (width, height)
    assert 0.6 <= body["confidence"] <= 1 and body["regions"]
    for region in body["regions"]:
        x0, y0, x1, y1 = region["box"]
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height and 0 <= region["score"] <= 1
    heat = Image.open(io.BytesIO(base64.b64decode(body["heatmap"].removeprefix("data:image/png;base64,"))))
    assert heat.mode == "L" and abs(heat.width / heat.height - width / height) < 0.02
    assert heat.getextrema()[1] >= 250


def test_what_it_cannot_tell_is_null_and_what_is_not_there_has_no_regions(client: httpx.Client) -> None:
    picture = number(client, "banana")
    unsure = client.post("/v1/ask", json={"picture": picture, "question": "why is it yellow?"}).json()
    assert (unsure["answer"], unsure["confidence"], unsure["regions"], unsure["heatmap"]) == (None, 0, [], None)
    assert "It can tell what is there" in unsure["reason"]
    absent = client.post("/v1/ask", json={"picture": picture, "question": "is there a fire engine?"}).json()
    assert (absent["answer"], absent["regions"], absent["reason"]) == ("no", [], "")


def test_a_picture_that_is_sent_is_asked_about(client: httpx.Client) -> None:
    files = {"image": ("x", BANANA.read_bytes())}
    said = client.post("/v1/ask", files=files, data={"question": "what is this?", "choices": ["banana", "laptop"]})
    assert said.json()["answer"] == "banana", said.text
    alone = client.post("/v1/ask", files=files, data={"question": "what is this?", "choices": "banana"})
    assert alone.json()["answer"] == "banana", alone.text
    found = client.post("/v1/ground", files=files, data={"text": "a banana"})
    assert found.json()["regions"][0]["score"] > 0.5, found.text


def test_where_something_is_comes_with_a_heat_map_even_if_it_is_not_there(client: httpx.Client) -> None:
    picture = number(client, "pineapple")
    there, absent = (
        client.post("/v1/ground", json={"picture": picture, "text": text}).json()
        for text in ("a pineapple", "a fire engine")
    )
    assert there["regions"][0]["score"] > 0.5 > absent["regions"][0]["score"]
    assert there["heatmap"].startswith("data:image/png;base64,") and there["heatmap"] != absent["heatmap"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"question": "is there a dog?"}, 400, "one picture"),
        ({"picture": 10**6, "question": "is there a dog?"}, 404, "1000000"),
        ({"picture": -1, "question": "is there a dog?"}, 422, "picture"),
        ({"picture": 1}, 422, "question"),
        ({"picture": 1, "question": " "}, 400, "empty"),
        ({"picture": 1, "question": "is there " + "a very " * 200 + "small dog?"}, 400, "at most 500"),
        ({"picture": 1, "question": "what is this?", "choices": []}, 422, "choices"),
        ({"picture": 1, "question": "what is this?", "choices": ["a"] * 101}, 422, "choices"),
        ({"picture": 1, "question": "what is this?", "choices": ["a", "a"]}, 400, "twice"),
        ({"picture": 1, "question": "what is this?", "image": "x"}, 400, "one picture"),
        ({"image": "x", "question": "what is this?"}, 400, "data:image/jpeg"),
        ({"picture": 1, "question": "what is this?", "pictures": 2}, 422, "pictures"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(
    client: httpx.Client, body: dict[str, object], status: int, said: str
) -> None:
    got, message = refusal(client.post("/v1/ask", json=body))
    assert got == status and said in message


def test_two_pictures_one_too_large_and_what_is_no_picture_are_refused(client: httpx.Client) -> None:
    picture, fields = number(client, "lemon"), {"text": "a lemon"}
    both = client.post("/v1/ground", files={"image": BANANA.read_bytes()}, data=fields | {"picture": str(picture)})
    assert refusal(both)[0] == 400
    large = client.post("/v1/ground", files={"image": b"\xff\xd8\xff" + bytes(300_000)}, data=fields)
    assert refusal(large)[0] == 413
    status, message = refusal(client.post("/v1/ground", files={"image": b"notes"}, data=fields))
    assert status == 400 and "picture" in message
    assert refusal(client.post("/v1/ground", json={"picture": picture, "text": "\N{SNOWMAN}" * 3}))[0] == 400


def test_a_picture_whose_file_has_changed_is_gone(client: httpx.Client, folder: Path) -> None:
    lemon, content = number(client, "lemon"), (folder / "lemon.jpg").read_bytes()
    for change in (lambda file: file.write_text("no picture"), Path.unlink):
        change(folder / "lemon.jpg")
        reply = client.post("/v1/ask", json={"picture": lemon, "question": "is there a lemon?"})
        assert (reply.status_code, reply.json()["error"]["type"]) == (404, "PictureGone")
    (folder / "lemon.jpg").write_bytes(content)
    assert client.post("/v1/ask", json={"picture": lemon, "question": "is there a lemon?"}).json()["answer"] == "yes"


def test_a_request_whose_turn_does_not_come_is_told_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(self: Index, *arguments: object, **settings: object) -> list[object]:
        began.set()
        go_on.wait(30)
        return []

    monkeypatch.setattr(Index, "search", slow)
    settings = Settings(searches=1, patience=0.2, examples=())
    with painted_index(tmp_path) as index, serve(index, settings) as address:
        first = threading.Thread(target=httpx.post, args=(f"{address}/v1/search",), kwargs={"json": {"query": "red"}})
        first.start()
        assert began.wait(10)
        reply = httpx.post(f"{address}/v1/search", json={"query": "red"})
        go_on.set()
        first.join()
        assert (reply.status_code, reply.json()["error"]["type"]) == (503, "Busy") and reply.headers["retry-after"]
        assert httpx.post(f"{address}/v1/search", json={"query": "red"}).status_code == 200
    with pytest.raises(SettingError, match="patience"):
        Settings(patience=0)
