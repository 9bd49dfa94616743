"""Indexes that clients make and fill: each tenant's own, kept through a crash, never outside their folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from api_parts import tenants_by_header
from PIL import Image
from serving_parts import COLOURS, ColourModel, direct, painted_index, serve_app

from open_autoglm.search import Index
from open_autoglm.serving import Settings, create_app
from open_autoglm.serving.indexes import Shelf, sent
from open_autoglm.serving.indexes.names import tenant_folder
from open_autoglm.serving.indexes.writing import NewPicture, add


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "indexes"


@pytest.fixture
def client(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    tenants_by_header(monkeypatch)
    model = ColourModel()
    settings = Settings(indexes=root, open_indexes=2)
    app = create_app(direct(None, model), settings)
    with serve_app(app, settings) as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client


def png(tmp: Path, colour: str, size: tuple[int, int] = (64, 48)) -> bytes:
    file = tmp / f"{colour}.png"
    Image.new("RGB", size, COLOURS[colour]).save(file)
    return file.read_bytes()


def make(client: httpx.Client, name: str, tenant: str = "default") -> None:
    assert client.put(f"/v1/indexes/{name}", json={}, headers={"x-tenant": tenant}).status_code == 201


def upload(
    client: httpx.Client, name: str, files: list[tuple[str, bytes]], tenant: str = "default", **metadata: list[str]
) -> httpx.Response:
    sent_files = [("images", (filename, content)) for filename, content in files]
    return client.post(f"/v1/indexes/{name}/pictures", files=sent_files, data=metadata, headers={"x-tenant": tenant})


def test_pictures_that_are_sent_can_be_found_shown_and_taken_out(
    client: httpx.Client, root: Path, tmp_path: Path
) -> None:
    make(client, "shop")
    files = [("rot.png", png(tmp_path, "red")), ("x/../..\\blau.png", png(tmp_path, "blue"))]
    reply = upload(client, "shop", files, metadata=['{"shelf": "A"}', '{"shelf": "B", "price": 3}'])
    first, second = (one["id"] for one in reply.json()["pictures"])
    found = client.post("/v1/search", json={"query": "red", "index": "shop"})
    assert [(one["id"], one["name"], one["path"]) for one in found.json()["results"]] == [(first, "rot.png", "rot.png")]
    assert found.headers["x-embedding-space"] == "colours-1"
    priced = client.post("/v1/search", json={"query": "blue", "index": "shop", "where": "price > 2"}).json()["results"]
    assert [(one["id"], one["name"], one["metadata"]["shelf"]) for one in priced] == [(second, "blau.png", "B")]
    assert client.get(f"/v1/indexes/shop/pictures/{first}").content == files[0][1]
    assert client.get(f"/v1/indexes/shop/pictures/{first}/thumbnail").headers["content-type"] == "image/jpeg"
    assert client.delete(f"/v1/indexes/shop/pictures/{first}").status_code == 204
    assert client.delete(f"/v1/indexes/shop/pictures/{first}").status_code == 404
    assert [file.name for file in root.rglob("*.png")] == ["blau.png"]
    assert client.get("/v1/indexes/shop").json()["pictures"] == 1


def test_one_bad_picture_leaves_its_neighbours(client: httpx.Client, root: Path, tmp_path: Path) -> None:
    make(client, "shop")
    files = [("a.png", png(tmp_path, "red")), ("b.png", b"no picture"), ("c.png", png(tmp_path, "green")), ("d", b"")]
    reply = upload(client, "shop", files, metadata=["{}", "{}", '{"name": "taken"}', "{}"])
    assert reply.status_code == 200, reply.text
    pictures = reply.json()["pictures"]
    assert [one["index"] for one in pictures] == [0, 1, 2, 3]
    assert [one.get("error", {}).get("type") for one in pictures] == [None, "ImageError", "SettingError", "ImageError"]
    assert [file.name for file in root.rglob("*.png")] == ["a.png"]


def test_a_folder_may_be_named_from_where_the_server_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(indexes=Path("indexes"))
    app = create_app(direct(None, ColourModel()), settings)
    with serve_app(app, settings) as address, httpx.Client(base_url=address, timeout=60) as client:
        make(client, "shop")
        good, bad = upload(client, "shop", [("a.png", png(tmp_path, "red")), ("b.png", b"no")]).json()["pictures"]
        assert "whatever its name" in bad["error"]["message"]
        assert client.delete(f"/v1/indexes/shop/pictures/{good['id']}").status_code == 204
        assert list((tmp_path / "indexes").rglob("*.png")) == []
        assert "begin with a letter" in client.put("/v1/indexes/_shop", json={}).json()["error"]["message"]


def test_the_same_picture_again_is_there_once_with_the_newest_facts(client: httpx.Client, tmp_path: Path) -> None:
    make(client, "shop")
    red = [("a.png", png(tmp_path, "red"))]
    ids = [
        upload(client, "shop", red, metadata=[json.dumps({"price": price})]).json()["pictures"][0]["id"]
        for price in (1, 2)
    ]
    assert ids[0] == ids[1] and client.get("/v1/indexes/shop").json()["pictures"] == 1
    found = client.post("/v1/search", json={"query": "red", "index": "shop"}).json()["results"]
    assert found[0]["metadata"] == {"price": 2}


def test_making_one_twice_is_harmless_and_dropping_it_leaves_nothing(
    client: httpx.Client, root: Path, tmp_path: Path
) -> None:
    make(client, "shop")
    upload(client, "shop", [("a.png", png(tmp_path, "red"))])
    again = client.put("/v1/indexes/shop", json={"model": "colours"})
    assert (again.status_code, again.json()["pictures"]) == (200, 1)
    assert client.delete("/v1/indexes/shop").status_code == 204
    assert not [path for path in root.rglob("*") if path.is_file()]
    assert client.delete("/v1/indexes/shop").status_code == 404
    assert client.put("/v1/indexes/shop", json={"model": "x"}).status_code == 404
    make(client, "shop")
    assert client.get("/v1/indexes/shop").json()["pictures"] == 0


def test_more_indexes_than_may_be_open_are_all_searched(client: httpx.Client, tmp_path: Path) -> None:
    red = png(tmp_path, "red")
    for name in "abcd":
        make(client, name)
        upload(client, name, [(f"{name}.png", red)])
    for name in "abcdabcd":
        found = client.post("/v1/search", json={"query": "red", "index": name}).json()["results"]
        assert [one["name"] for one in found] == [f"{name}.png"]
    assert [one["name"] for one in client.get("/v1/indexes").json()["indexes"]] == list("abcd")


REACH: list[Callable[[httpx.Client, dict[str, str]], httpx.Response]] = [
    lambda client, who: client.get("/v1/indexes/shop", headers=who),
    lambda client, who: client.post("/v1/search", json={"query": "red", "index": "shop"}, headers=who),
    lambda client, who: client.get("/v1/indexes/shop/pictures/1", headers=who),
    lambda client, who: client.get("/v1/indexes/shop/pictures/1/thumbnail", headers=who),
    lambda client, who: client.post("/v1/indexes/shop/pictures", files={"images": b"x"}, headers=who),
    lambda client, who: client.delete("/v1/indexes/shop/pictures/1", headers=who),
    lambda client, who: client.delete("/v1/indexes/shop", headers=who),
]


@pytest.mark.parametrize("reach", REACH)
def test_another_tenants_index_is_as_unknown_as_none(
    client: httpx.Client, tmp_path: Path, reach: Callable[[httpx.Client, dict[str, str]], httpx.Response]
) -> None:
    make(client, "shop", "anna")
    assert upload(client, "shop", [("a.png", png(tmp_path, "red"))], "anna").json()["pictures"][0]["id"] == 1
    others, nobodys = reach(client, {"x-tenant": "bert"}), reach(client, {"x-tenant": "carl"})
    assert (others.status_code, others.json()) == (nobodys.status_code, nobodys.json()) and others.status_code == 404
    assert client.get("/v1/indexes", headers={"x-tenant": "bert"}).json() == {"indexes": []}
    assert client.get("/v1/indexes/shop", headers={"x-tenant": "anna"}).json()["pictures"] == 1


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2f..%2fx", "a%2fb", "A", "a.b", "a b", "%00", "", "a" * 64, "-a", "~x", "é"]
)
def test_no_name_leads_out_of_the_folder(client: httpx.Client, root: Path, tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    for reply in (
        client.put(f"/v1/indexes/{name}", json={}),
        client.delete(f"/v1/indexes/{name}"),
        client.post("/v1/search", json={"query": "red", "index": name}),
    ):
        assert 400 <= reply.status_code < 500, (name, reply.text)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_tenant_of_any_name_has_a_folder_of_its_own(tmp_path: Path) -> None:
    names = ["shop", "Shop", "../x", "a/b", "", "~x", "é", "x" * 500, "\0", "..", "\ud800"]
    folders = [tenant_folder(tmp_path, name) for name in names]
    assert len({str(folder).lower() for folder in folders}) == len(names)
    assert all(folder.parent == tmp_path and len(folder.name) < 100 for folder in folders)


def test_the_index_of_the_command_line_is_the_default_tenants_and_never_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants_by_header(monkeypatch)
    with painted_index(tmp_path) as index:
        settings = Settings(indexes=tmp_path / "root")
        with (
            serve_app(create_app(direct(index), settings), settings) as address,
            httpx.Client(base_url=address, timeout=60) as client,
        ):
            assert [one["name"] for one in client.get("/v1/indexes").json()["indexes"]] == ["default"]
            for reply in (
                client.put("/v1/indexes/default", json={}),
                client.delete("/v1/indexes/default"),
                client.delete("/v1/indexes/default/pictures/1"),
                client.post("/v1/indexes/default/pictures", files={"images": b"x"}),
            ):
                assert (reply.status_code, reply.json()["error"]["type"]) == (403, "IndexReadOnly")
            other = {"x-tenant": "anna"}
            for reply in (
                client.get("/v1/pictures/1", headers=other),
                client.post("/v1/search", json={"query": "red"}, headers=other),
                client.post("/v1/ask", json={"picture": 1, "question": "is it red?"}, headers=other),
            ):
                assert reply.status_code in (400, 404)
            assert client.get("/v1/info", headers=other).json()["pictures"] == 0
            assert len(index) == 12


def test_a_server_without_a_folder_keeps_no_indexes(tmp_path: Path) -> None:
    with painted_index(tmp_path) as index, serve_app(create_app(direct(index))) as address:
        reply = httpx.put(f"{address}/v1/indexes/shop", timeout=60, json={})
    assert (reply.status_code, "--indexes" in reply.json()["error"]["message"]) == (403, True)


def test_what_was_answered_is_there_after_a_crash_and_half_dropped_indexes_are_gone(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ColourModel()
    shelf = Shelf(root, None, lambda space, tenant: model, 4)  # type: ignore[arg-type, return-value]
    shelf.create("anna", "shop", model)  # type: ignore[arg-type]
    folder = shelf.writable("anna", "shop").pictures
    with shelf.open("anna", "shop") as index:
        (id,) = add(index, folder, [NewPicture("a.png", png(tmp_path, "red"))])
        # A crash between the file and the index's own record leaves a file that nobody knows, and no more.
        monkeypatch.setattr(Index, "add", lambda *given, **named: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            add(index, folder, [NewPicture("b.png", png(tmp_path, "blue"))])
    monkeypatch.undo()
    # And one while an index is dropped comes after it was renamed.
    shelf.create("anna", "old", model)  # type: ignore[arg-type]
    monkeypatch.setattr(sent, "drop", lambda folder: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        shelf.drop("anna", "old")
    monkeypatch.undo()
    again = Shelf(root, None, lambda space, tenant: model, 4)  # type: ignore[arg-type, return-value]
    assert again.names("anna") == ["shop"] and not list(root.rglob(".dropped-*"))
    with again.open("anna", "shop") as index:
        assert len(index) == 1 and index.get(id).file.is_file()  # type: ignore[arg-type]
        assert add(index, folder, [NewPicture("b.png", png(tmp_path, "blue"))]) == [2]
