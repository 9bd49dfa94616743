"""The API over a real server and index: searches, pictures, and what it says when something is wrong."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from serving_parts import COLOURS, direct, painted_index, serve

from open_autoglm.errors import IndexStoreError, SettingError
from open_autoglm.runtime.images import ImageLimits
from open_autoglm.search import Index
from open_autoglm.serving import Settings, run
from open_autoglm.serving.access import AccessSettings


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with painted_index(tmp_path) as index:
        yield index


@pytest.fixture
def client(index: Index) -> Iterator[httpx.Client]:
    settings = Settings(limits=ImageLimits(max_bytes=200_000), examples=("green", "something red", "red", "zebra"))
    with serve(index, settings) as address, httpx.Client(base_url=address) as client:
        yield client


def png(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, "PNG")
    return file.getvalue()


def names(reply: httpx.Response) -> list[str]:
    assert reply.status_code == 200, reply.text
    return [result["name"].split("-")[0] for result in reply.json()["results"]]


def find(client: httpx.Client, query: str) -> dict:
    return client.post("/v1/search", json={"query": query}).json()["results"][0]


def error_of(reply: httpx.Response) -> tuple[int, str, str]:
    error = reply.json()["error"]
    assert set(reply.json()) == {"error"} and set(error) == {"message", "type"}
    assert "\n" not in error["message"] and len(error["message"]) < 300
    return reply.status_code, error["type"], error["message"]


def test_words_find_pictures_best_first_with_their_size(client: httpx.Client) -> None:
    reply = client.post("/v1/search", json={"query": "a red thing", "k": 3})
    assert names(reply) == ["red"] * 3
    body = reply.json()
    scores = [result["score"] for result in body["results"]]
    assert scores == sorted(scores, reverse=True)
    assert (body["model"], body["space"]) == ("colours", "colours-1")
    by_name = {result["name"]: result for result in client.post("/v1/search", json={"query": "red"}).json()["results"]}
    assert (by_name["red-1.jpg"]["width"], by_name["red-1.jpg"]["height"]) == (240, 360)
    assert Path(by_name["red-1.jpg"]["path"]).is_file()


def test_without_a_match_nothing_comes_unless_the_closest_are_wanted(client: httpx.Client) -> None:
    assert names(client.post("/v1/search", json={"query": "zebra"})) == []
    assert len(names(client.post("/v1/search", json={"query": "zebra", "cut": False, "k": 5}))) == 5


def test_like_finds_similar_pictures(client: httpx.Client) -> None:
    green = find(client, "green")
    similar = client.post("/v1/search", json={"like": green["id"], "k": 3})
    assert names(similar) == ["green"] * 3
    assert green["id"] not in [result["id"] for result in similar.json()["results"]]


def test_an_uploaded_picture_finds_similar_ones(client: httpx.Client) -> None:
    reply = client.post("/v1/search", files={"image": ("x", png(COLOURS["blue"]))}, data={"k": "4", "cut": "true"})
    assert names(reply) == ["blue"] * 4


def test_several_texts_have_weights(client: httpx.Client) -> None:
    both = client.post("/v1/search", json={"query": {"green": 1, "red": -0.5}, "k": 12, "cut": False})
    assert names(both)[:4] == ["green"] * 4
    assert names(both)[-4:] == ["red"] * 4


def test_an_uploaded_picture_and_words_are_both_looked_for(client: httpx.Client) -> None:
    picture = {"image": ("x", png(COLOURS["blue"]))}
    reply = client.post("/v1/search", files=picture, data={"k": "12", "query": "red"})
    assert (len(names(reply)), names(reply)[:4]) == (12, ["red"] * 4)
    alone = client.post("/v1/search", files=picture, data={"k": "12"})
    assert names(alone)[:4] == ["blue"] * 4


def test_what_is_written_counts_where_it_is_asked_for(client: httpx.Client) -> None:
    wanted = {"query": "jpg 3", "written": True}
    assert names(client.post("/v1/search", json={**wanted, "written": False})) == []
    found = client.post("/v1/search", json=wanted).json()["results"]
    assert {result["name"] for result in found} == {"red-3.jpg", "green-3.jpg", "blue-3.jpg"}


def test_where_filters_by_metadata(client: httpx.Client) -> None:
    found = client.post("/v1/search", json={"query": "red", "where": "name = 'red-2.jpg'"})
    assert [result["name"] for result in found.json()["results"]] == ["red-2.jpg"]


def test_examples_are_searches_that_find_something_with_different_pictures(client: httpx.Client) -> None:
    examples = client.get("/v1/examples").json()["examples"]
    assert [example["query"] for example in examples] == ["green", "something red"]
    assert examples[0]["picture"]["name"].startswith("green")


def test_info_and_live(client: httpx.Client) -> None:
    expected = {"model": "colours", "space": "colours-1", "pictures": 12, "max_upload_bytes": 200_000}
    assert client.get("/v1/info").json() == expected
    assert client.get("/live").json() == {"status": "live"}


def test_a_picture_comes_as_it_is_and_as_a_small_jpeg(client: httpx.Client) -> None:
    found = find(client, "red")
    original = client.get(f"/v1/pictures/{found['id']}")
    assert original.content == Path(found["path"]).read_bytes()
    assert original.headers["content-type"] == "image/jpeg"
    small = client.get(f"/v1/pictures/{found['id']}/thumbnail", params={"size": 320})
    assert small.headers["content-type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(small.content)).size) <= 320


def test_a_thumbnail_is_sent_again_only_when_its_file_changed(client: httpx.Client) -> None:
    found = find(client, "red")
    address = f"/v1/pictures/{found['id']}/thumbnail"
    tag = client.get(address).headers["etag"]
    again = client.get(address, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    Image.new("RGB", (90, 90), "white").save(found["path"])
    changed = client.get(address, headers={"If-None-Match": tag})
    assert changed.status_code == 200 and changed.headers["etag"] != tag


def test_thumbnails_come_in_few_sizes_only(client: httpx.Client) -> None:
    status, kind, message = error_of(client.get("/v1/pictures/1/thumbnail?size=333"))
    assert (status, kind) == (422, "RequestError") and message.startswith("size:")


@pytest.mark.parametrize("address", ["/v1/pictures/{id}", "/v1/pictures/{id}/thumbnail"])
def test_a_file_that_is_gone_is_a_404_that_says_so(client: httpx.Client, address: str) -> None:
    found = find(client, "blue")
    Path(found["path"]).unlink()
    status, kind, message = error_of(client.get(address.format(id=found["id"])))
    assert (status, kind) == (404, "PictureGone") and "gone" in message


def test_a_file_replaced_by_a_web_page_is_never_shown_as_one(client: httpx.Client) -> None:
    found = find(client, "blue")
    Path(found["path"]).write_text("<!doctype html><script>alert(1)</script>")
    reply = client.get(f"/v1/pictures/{found['id']}")
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-disposition"].startswith("attachment")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert error_of(client.get(f"/v1/pictures/{found['id']}/thumbnail"))[:2] == (404, "PictureGone")


def test_a_file_replaced_by_a_folder_is_gone(client: httpx.Client) -> None:
    found = find(client, "blue")
    Path(found["path"]).unlink()
    Path(found["path"]).mkdir()
    assert error_of(client.get(f"/v1/pictures/{found['id']}"))[:2] == (404, "PictureGone")


MISTAKES = [
    ({"query": "  "}, 400, "TextError"),
    ({}, 400, "SettingError"),
    ({"query": "red", "like": 1}, 400, "SettingError"),
    ({"query": "red", "where": "nonsense ((("}, 400, "FilterError"),
    ({"like": 999}, 404, "PictureNotFound"),
    ({"query": "red", "k": 0}, 422, "RequestError"),
    ({"query": "red", "k": 10**9}, 422, "RequestError"),
    ({"query": 7}, 422, "RequestError"),
    ({"query": {"red": "1"}}, 422, "RequestError"),
    ({"query": {"red": True}}, 422, "RequestError"),
    ({"query": {}}, 400, "SettingError"),
    ({"query": {"red": -1}}, 400, "SettingError"),
    ({"query": {"red": 1, " ": -1}}, 400, "TextError"),
    ({"query": "red", "written": 7}, 422, "RequestError"),
    ({"query": "red", "colour": "x"}, 422, "RequestError"),
    ({"like": 10**30}, 422, "RequestError"),
]


@pytest.mark.parametrize(("body", "status", "kind"), MISTAKES)
def test_a_mistake_gets_one_sentence(client: httpx.Client, body: dict, status: int, kind: str) -> None:
    assert error_of(client.post("/v1/search", json=body))[:2] == (status, kind)


RAW = [
    ("application/json", b"{", 422),
    ("application/json", b'{"query": "\\ud800"}', 422),
    ("application/json", b"\xff\xfe", 422),
    ("text/plain", b"red", 415),
    ("multipart/form-data", b"", 400),
    ("multipart/form-data; boundary=x", b"--y\r\n", 400),
]


@pytest.mark.parametrize(("kind", "body", "status"), RAW)
def test_a_body_that_cannot_be_read_gets_one_sentence(
    client: httpx.Client, kind: str, body: bytes, status: int
) -> None:
    assert error_of(client.post("/v1/search", content=body, headers={"Content-Type": kind}))[0] == status


@pytest.mark.parametrize("content", [b"", b"no picture", b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_an_upload_that_is_no_picture_gets_one_sentence(client: httpx.Client, content: bytes) -> None:
    assert error_of(client.post("/v1/search", files={"image": ("x.png", content)}))[:2] == (400, "ImageError")


def test_a_picture_in_another_field_is_pointed_out(client: httpx.Client) -> None:
    status, kind, message = error_of(client.post("/v1/search", files={"picture": ("x.png", png(COLOURS["red"]))}))
    assert (status, kind) == (400, "RequestError") and "'image'" in message


def test_an_upload_over_the_limit_is_refused_while_it_is_read(client: httpx.Client) -> None:
    assert error_of(client.post("/v1/search", files={"image": ("x.png", bytes(200_001))}))[:2] == (
        413,
        "TooLarge",
    )

    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
        for _ in range(4000):
            sent += 1
            yield bytes(2**16)

    # The server answers and hangs up while the client still sends; either is the refusal, seen from here.
    try:
        reply = client.post(
            "/v1/search", content=endless(), headers={"Content-Type": "multipart/form-data; boundary=x"}
        )
        assert error_of(reply)[:2] == (413, "TooLarge")
    except httpx.TransportError:
        pass
    assert sent < 2000


def test_a_long_query_is_answered(client: httpx.Client) -> None:
    assert names(client.post("/v1/search", json={"query": "red " * 25_000, "k": 1})) == ["red"]


@pytest.mark.parametrize("address", ["/nowhere", "/v1/pictures/abc", "/v1/pictures/999", "/page/../app.py", "/page/x"])
def test_what_is_not_there_is_said_in_json(client: httpx.Client, address: str) -> None:
    assert error_of(client.get(address))[0] in (404, 422)


def test_names_that_are_not_utf8_can_be_found_and_shown(client: httpx.Client, index: Index, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    file = io.BytesIO(png((255, 0, 0)))
    Path(folder, b"caf\xe9.png".decode("utf-8", "surrogateescape")).write_bytes(file.getvalue())
    index.add(folder)
    found = client.post("/v1/search", json={"query": "red", "k": 1}).json()["results"][0]
    assert found["name"] == r"caf\xe9.png"
    assert client.get(f"/v1/pictures/{found['id']}").headers["content-type"] == "image/png"


class FailingIndex:
    """An index whose every search fails in the given way."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def search(self, *args: object, **kwargs: object) -> list:
        raise self.error

    def info(self) -> dict:
        raise self.error

    def get(self, id: int) -> object:
        raise self.error

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (IndexStoreError("The index is busy: try again."), 503, "IndexStoreError"),
        (ValueError("secret"), 500, "InternalError"),
    ],
)
def test_no_reply_ever_holds_a_traceback(error: Exception, status: int, kind: str) -> None:
    with serve(FailingIndex(error)) as address, httpx.Client(base_url=address) as client:  # type: ignore[arg-type]
        replies = [
            client.post("/v1/search", json={"query": "red"}),
            client.get("/v1/info"),
            client.get("/v1/examples"),
            client.get("/v1/pictures/1"),
            client.get("/v1/pictures/1/thumbnail"),
        ]
    for reply in replies:
        assert error_of(reply)[:2] == (status, kind)
        assert "Traceback" not in reply.text and "secret" not in reply.text
        assert reply.headers["x-content-type-options"] == "nosniff"


RUN = """
import sys
from pathlib import Path
from serving_parts import direct, painted_index
from open_autoglm.serving import Settings, run
from open_autoglm.serving.access import AccessSettings
with painted_index(Path(sys.argv[1])) as index:
    run(direct(index), Settings(port=0, host=sys.argv[2], access=AccessSettings(off=True)))
"""


@pytest.mark.parametrize(("host", "public"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_run_says_where_the_page_is_and_stops_quietly(tmp_path: Path, host: str, public: bool) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", RUN, str(tmp_path), host]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        line = process.stdout.readline()
        address = re.search(r"http://\S+/", line)[0]
        assert httpx.get(f"{address}live").status_code == 200
        process.send_signal(signal.SIGINT)
        # communicate() would lose a second line that readline() has already buffered.
        output, errors = process.stdout.read(), process.stderr.read()
    assert process.returncode == 0
    assert errors == ""
    assert ("open to the network" in output) is public and "nobody is asked" in output


@pytest.mark.parametrize("setting", [{"port": 70000}, {"port": -1}, {"host": ""}, {"searches": 0}])
def test_settings_out_of_range_are_refused(setting: dict) -> None:
    with pytest.raises(SettingError):
        Settings(**setting)


def test_a_port_in_use_is_one_sentence(index: Index) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingError, match=str(port)):
            run(direct(index), Settings(port=port))


def test_a_host_that_is_not_known_is_one_sentence(index: Index) -> None:
    with pytest.raises(SettingError, match="not known"):
        run(direct(index), Settings(host="no-such-host.invalid", access=AccessSettings(off=True)))
