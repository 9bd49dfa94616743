"""One bad item never takes its neighbours' answers away; ranking and labels in the shapes that clients know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from api_parts import BANANA, BASE, LEMON, FakeModels, base, serve_base, serve_fake, uri

from open_autoglm.errors import ImageError
from open_autoglm.serving.work import EmbedImage, EmbedText, Match, WorkerDied


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serve_base() as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client


BAD = [
    ("", "TextError", "empty"),
    ("data:image/png;base64,bm90IGEgcGljdHVyZQ==", "ImageError", "not a picture"),
    ("data:image/png;base64,!", "ImageError", "base64"),
    ("data:image/png,abc", "ImageError", "base64"),
    ({"image": "http://localhost/x.png"}, "NotFetched", "data: URI"),
]


@pytest.mark.parametrize(("bad", "kind", "said"), BAD)
def test_a_bad_item_has_an_error_of_its_own_where_that_is_asked_for(
    client: httpx.Client, bad: object, kind: str, said: str
) -> None:
    wanted = {"input": ["a banana", bad, uri(BANANA)], "errors": "item"}
    reply = client.post("/v1/embeddings", json=wanted)
    assert reply.status_code == 200, reply.text
    first, second, third = reply.json()["data"]
    assert second["embedding"] is None and second["error"]["type"] == kind and said in second["error"]["message"]
    np.testing.assert_allclose(first["embedding"], base().embed_texts(["a banana"])[0], atol=1e-3)
    np.testing.assert_allclose(third["embedding"], base().embed_images([BANANA])[0], atol=1e-3)


@pytest.mark.parametrize(("bad", "kind", "said"), BAD)
def test_otherwise_the_request_fails_and_names_it(client: httpx.Client, bad: object, kind: str, said: str) -> None:
    reply = client.post("/v1/embeddings", json={"input": ["a banana", bad]})
    error = reply.json()["error"]
    assert (reply.status_code, error["type"]) == (400, kind)
    assert error["items"] == [{"index": 1, "message": error["items"][0]["message"], "type": kind}]
    assert said in error["message"] and "item 1" in error["message"]


def test_a_mistake_goes_before_a_fault_of_the_server_so_that_nobody_tries_again_in_vain() -> None:
    with serve_fake(
        FakeModels({EmbedText: WorkerDied("It died."), EmbedImage: ImageError("It is no picture.")})
    ) as address:
        both = httpx.post(f"{address}/v1/embeddings", timeout=60, json={"input": ["a", uri(BANANA)]})
        died = httpx.post(f"{address}/v1/embeddings", timeout=60, json={"input": ["a", "b"]})
    assert (both.status_code, [one["type"] for one in both.json()["error"]["items"]]) == (
        400,
        ["WorkerDied", "ImageError"],
    )
    assert (died.status_code, died.headers["retry-after"]) == (503, "1")


def test_too_many_items_are_refused(client: httpx.Client) -> None:
    reply = client.post("/v1/embeddings", json={"input": ["a"] * 257})
    assert reply.status_code == 422 and "between 1 and 256" in reply.text


def ranked(reply: httpx.Response) -> tuple[list[int], list[float]]:
    assert reply.status_code == 200, reply.text
    results = reply.json()["results"]
    return [one["index"] for one in results], [one["relevance_score"] for one in results]


def test_pictures_are_ranked_by_words_and_words_by_a_picture(client: httpx.Client) -> None:
    wanted: dict[str, Any] = {"query": "a banana", "documents": [uri(LEMON), {"image": uri(BANANA)}]}
    reply = client.post("/v1/rerank", json=wanted)
    places, scores = ranked(reply)
    assert places == [1, 0] and 0.5 < scores[0] <= 1 and 0 <= scores[1] < scores[0]
    assert (reply.json()["score"], reply.json()["model"]) == ("probability", BASE)
    texts = {"query": uri(BANANA), "documents": ["a lemon", {"text": "a banana"}, "a car"], "top_n": 2}
    reply = client.post("/v1/rerank", json=texts | {"return_documents": True})
    places, scores = ranked(reply)
    assert places[0] == 1 and len(places) == 2
    assert reply.json()["results"][0]["document"] == {"text": "a banana"}


def test_two_of_a_kind_are_ranked_by_their_cosine(client: httpx.Client) -> None:
    reply = client.post("/v1/rerank", json={"query": "a banana", "documents": ["a car", "a yellow banana"]})
    assert ranked(reply)[0] == [1, 0] and reply.json()["score"] == "cosine"
    same = client.post("/v1/rerank", json={"query": uri(BANANA), "documents": [uri(LEMON), uri(BANANA)]})
    assert ranked(same)[0] == [1, 0] and ranked(same)[1][0] > 0.99


def test_a_model_that_matches_ranks_by_that() -> None:
    models = FakeModels({Match: np.array([0.25], np.float32)})
    with serve_fake(models) as address:
        reply = httpx.post(
            f"{address}/v1/rerank", timeout=60, json={"query": "a", "documents": [uri(LEMON), uri(BANANA)]}
        )
    assert ranked(reply) == ([0, 1], [0.25, 0.25])


def test_a_bad_document_is_named_or_left_out(client: httpx.Client) -> None:
    wanted = {"query": uri(BANANA), "documents": ["a banana", " "]}
    reply = client.post("/v1/rerank", json=wanted)
    assert reply.status_code == 400 and reply.json()["error"]["items"][0]["index"] == 1
    reply = client.post("/v1/rerank", json=wanted | {"errors": "item"})
    assert ranked(reply)[0] == [0] and reply.json()["errors"][0]["index"] == 1


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"query": "a", "documents": ["a", "data:image/png;base64,iVBORw0KGgo="]}, 400, "all texts or all pictures"),
        ({"query": "data:x", "documents": ["a"]}, 400, "base64"),
        ({"query": "a", "documents": []}, 422, "documents"),
        ({"query": "a", "documents": ["a"], "top_n": 0}, 422, "top_n"),
        ({"documents": ["a"]}, 422, "query"),
        ({"query": "a", "documents": ["a"], "max_tokens_per_doc": 7}, 422, "max_tokens_per_doc"),
    ],
)
def test_a_ranking_that_cannot_be_made_is_refused(
    client: httpx.Client, body: dict[str, object], status: int, said: str
) -> None:
    reply = client.post("/v1/rerank", json=body)
    assert (reply.status_code, said in reply.json()["error"]["message"]) == (status, True), reply.text


def test_labels_have_probabilities_that_add_up_to_one(client: httpx.Client) -> None:
    as_json = client.post("/v1/classify", json={"image": uri(BANANA), "labels": ["a banana", "a lemon"]}).json()
    form = client.post(
        "/v1/classify", files={"image": BANANA.read_bytes()}, data={"labels": ["a banana", "a lemon"]}
    ).json()
    assert as_json == form and (form["model"], form["space"]) == (BASE, base().space)
    assert form["labels"][0]["label"] == "a banana"
    assert {one["label"] for one in form["labels"]} == {"a banana", "a lemon", "none of these"}
    assert abs(sum(one["probability"] for one in form["labels"]) - 1) < 1e-5


def test_a_picture_in_a_question_may_be_a_data_uri(client: httpx.Client) -> None:
    said = client.post("/v1/ask", json={"image": uri(BANANA), "question": "Is there a banana?"}).json()
    assert (said["answer"], said["space"]) == ("yes", base().space)
    found = client.post("/v1/ground", json={"image": uri(BANANA), "text": "a banana", "model": BASE}).json()
    assert found["regions"][0]["score"] > 0.5
    other = client.post("/v1/ground", json={"image": uri(BANANA), "text": "a banana", "model": "x"})
    assert (other.status_code, other.json()["error"]["type"]) == (404, "UnknownModel")


def test_work_that_a_model_cannot_do_is_refused() -> None:
    with serve_fake(FakeModels({EmbedText: None})) as address:
        for path, body in (("ask", {"question": "a?"}), ("ground", {"text": "a"}), ("classify", {"labels": ["a"]})):
            reply = httpx.post(f"{address}/v1/{path}", timeout=60, json={"image": uri(BANANA), **body})
            assert (reply.status_code, reply.json()["error"]["type"]) == (400, "NotAble")


def test_ready_is_red_when_inference_is_dead(client: httpx.Client) -> None:
    assert client.get("/ready").json() == {"status": "ready"}
    for models in (FakeModels({EmbedText: WorkerDied("It died.")}), FakeModels({}, RuntimeError("secret"))):
        with serve_fake(models) as address:
            reply = httpx.get(f"{address}/ready", timeout=60)
            assert (reply.status_code, reply.json()["error"]["type"]) == (
                503,
                "NotReady",
            ) and "secret" not in reply.text
            assert httpx.get(f"{address}/live", timeout=60).status_code == 200
