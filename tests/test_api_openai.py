"""The official openai client works unchanged: vectors of texts and pictures, chats about one, models, failures."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import httpx
import numpy as np
import openai
import pytest
from api_parts import APPLE, BANANA, BASE, LEMON, FakeModels, base, serve_base, serve_fake, uri
from fastapi import FastAPI
from serving_parts import serve_app

from open_autoglm.runtime.describing import Description
from open_autoglm.serving import failures
from open_autoglm.serving.failures import Refusal
from open_autoglm.serving.work import Ask, Describe, EmbedText, Expired, Overloaded, WorkerDied


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serve_base() as address:
        yield address


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[openai.OpenAI]:
    with client_of(address) as client:
        yield client


def client_of(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


def about(picture: str | None, text: str, **more: object) -> dict[str, object]:
    parts: list[dict[str, object]] = [{"type": "text", "text": text}] if text else []
    parts += [{"type": "image_url", "image_url": {"url": picture, "detail": "low"}}] if picture else []
    return {"model": BASE, "messages": [{"role": "user", "content": parts}], **more}


@pytest.mark.parametrize("form", ["float", "base64", None])
def test_texts_and_pictures_have_the_models_own_vectors(client: openai.OpenAI, form: str | None) -> None:
    given = ["a banana", uri(BANANA), {"type": "image_url", "image_url": {"url": uri(LEMON)}}]
    wish = {} if form is None else {"encoding_format": form}
    reply = client.embeddings.create(model=BASE, input=given, **wish)  # type: ignore[call-overload]
    if form == "base64":
        found = np.stack([np.frombuffer(base64_of(one.embedding), "<f4") for one in reply.data])
    else:
        found = np.array([one.embedding for one in reply.data], np.float32)
    wanted = np.concatenate([base().embed_texts(["a banana"]), base().embed_images([BANANA, LEMON])])
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    assert [one.index for one in reply.data] == [0, 1, 2]
    assert (reply.model, reply.model_extra["space"]) == (BASE, base().space)
    assert reply.usage.prompt_tokens == reply.usage.total_tokens == 4  # a, banana, and a token at each end
    assert reply.usage.model_extra["images"] == 2


def base64_of(text: object) -> bytes:
    assert isinstance(text, str)
    return base64.b64decode(text)


def test_fewer_dimensions_are_the_first_ones_at_length_one_and_more_are_refused(client: openai.OpenAI) -> None:
    whole, short = (
        np.array(client.embeddings.create(model=BASE, input="a red apple", **wish).data[0].embedding)
        for wish in ({}, {"dimensions": 64})
    )
    assert short.shape == (64,) and abs(np.linalg.norm(short) - 1) < 1e-5
    np.testing.assert_allclose(short, whole[:64] / np.linalg.norm(whole[:64]), atol=1e-5)
    with pytest.raises(openai.BadRequestError, match="512 numbers, not 513"):
        client.embeddings.create(model=BASE, input="a red apple", dimensions=513)


def test_every_reply_names_model_and_space(client: openai.OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(model="", input="a red apple")
    assert (raw.headers["x-model"], raw.headers["x-embedding-space"]) == (BASE, base().space)
    streamed = client.chat.completions.with_raw_response.create(**about(uri(BANANA), "Is it a banana?"), stream=True)
    assert (streamed.headers["x-model"], streamed.headers["x-embedding-space"]) == (BASE, base().space)


def test_models_are_listed_with_what_they_do(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert model.id == BASE and model.model_extra["space"] == base().space and model.model_extra["dimension"] == 512
    assert {"embed_image", "embed_text", "ask", "ground", "classify"} <= set(model.model_extra["tasks"])
    assert client.models.retrieve(BASE).id == BASE
    with pytest.raises(openai.NotFoundError, match="no model 'x'"):
        client.models.retrieve("x")


def test_a_question_about_a_picture_is_answered_with_its_grounds(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(**about(uri(BANANA), "Is there a banana?"))
    choice, answer = reply.choices[0], reply.model_extra["answer"]
    assert (choice.message.content, choice.message.refusal, choice.finish_reason) == ("yes", None, "stop")
    assert answer["text"] == "yes" and 0.5 < answer["confidence"] <= 1
    x0, y0, x1, y1 = answer["regions"][0]["box"]
    assert 0 <= x0 < x1 <= answer["width"] and 0 <= y0 < y1 <= answer["height"]
    assert reply.usage is not None and reply.usage.completion_tokens > 0 < reply.usage.prompt_tokens


def test_a_stream_says_the_same(client: openai.OpenAI) -> None:
    asked = about(uri(BANANA), "Is there a banana?", stream=True, stream_options={"include_usage": True})
    chunks = list(client.chat.completions.create(**asked))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "yes"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices] == [None, None, "stop"]
    assert chunks[-2].model_extra["answer"]["text"] == "yes"
    assert chunks[-1].usage is not None and not chunks[-1].choices
    assert len({chunk.id for chunk in chunks}) == 1


def test_what_it_cannot_tell_it_says(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(**about(uri(BANANA), "why is it yellow?"))
    message = reply.choices[0].message
    assert "It can tell what is there" in message.content and message.refusal == message.content
    assert reply.model_extra["answer"]["text"] is None
    *_, last = client.chat.completions.create(**about(uri(BANANA), "why is it yellow?", stream=True))
    assert last.choices[0].delta.refusal == message.content


def test_the_picture_of_an_earlier_message_and_the_last_question_count(client: openai.OpenAI) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        *about(uri(BANANA), "Is there a fire engine?")["messages"],  # type: ignore[misc]
        {"role": "assistant", "content": "no"},
        {"role": "user", "content": "Is there a banana?"},
    ]
    reply = client.chat.completions.create(model=BASE, messages=messages, temperature=0, max_tokens=5, seed=1)
    assert reply.choices[0].message.content == "yes"


def test_an_answer_is_one_of_the_choices(client: openai.OpenAI) -> None:
    wish = {"guided_choice": ["a laptop", "a banana"]}
    reply = client.chat.completions.create(**about(uri(BANANA), "What is this?"), extra_body=wish)
    assert reply.choices[0].message.content == "a banana"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (about(None, "Is there a dog?"), "no picture"),
        (about(uri(BANANA), ""), "does not describe"),
        ({"messages": [*about(uri(BANANA), "a?")["messages"], *about(uri(LEMON), "b?")["messages"]]}, "2 pictures"),  # type: ignore[misc]
        (about("data:image/jpeg;base64,bm9wZQ==", "Is there a dog?"), "not a picture"),
        (about("data:image/jpeg;base64,%%%", "Is there a dog?"), "base64"),
        (about("https://example.com/x.jpg", "Is there a dog?"), "data: URI"),
        (about("file:///etc/passwd", "Is there a dog?"), "data:image/jpeg"),
    ],
)
def test_a_chat_that_cannot_be_answered_is_a_bad_request(
    client: openai.OpenAI, request_: dict[str, object], said: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        client.chat.completions.create(**{"model": BASE, **request_})  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "more", [{"n": 2}, {"tools": []}, {"logprobs": True}, {"response_format": {"type": "json_object"}}]
)
def test_what_would_change_the_answers_shape_is_refused(client: openai.OpenAI, more: dict[str, object]) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match=next(iter(more))):
        client.chat.completions.create(**about(uri(BANANA), "Is there a dog?"), **more)


@pytest.mark.parametrize("text", ["", "Describe this picture.", "please caption it"])
def test_a_model_that_writes_describes(text: str) -> None:
    models = FakeModels({Describe: Description("a red apple on a table", 6, 0.8, False), Ask: None})
    with serve_fake(models) as address, client_of(address) as client:
        reply = client.chat.completions.create(**about(uri(APPLE), text) | {"model": "fake"})
    assert reply.choices[0].message.content == "a red apple on a table"
    assert reply.choices[0].finish_reason == "length"


@pytest.mark.parametrize("input", [[], [[1, 2, 3]], [1, 2], None, {"type": "text"}, [{"type": "text", "image": "x"}]])
def test_an_input_of_another_shape_is_unprocessable(client: openai.OpenAI, input: object) -> None:
    with pytest.raises(openai.UnprocessableEntityError):
        client.embeddings.create(model=BASE, input=input)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Overloaded(3), openai.RateLimitError),
        (WorkerDied("A worker died."), openai.InternalServerError),
        (Expired("Too late."), openai.InternalServerError),
    ],
)
def test_a_server_that_cannot_now_says_when_to_come_back(error: Exception, kind: type[openai.APIStatusError]) -> None:
    whole = error if isinstance(error, Overloaded) else None
    with serve_fake(FakeModels({EmbedText: error}, whole)) as address, client_of(address) as client:
        with pytest.raises(kind) as raised:
            client.embeddings.create(model="fake", input="a red apple")
        assert raised.value.status_code == (429 if whole else 503)
        assert raised.value.response.headers["retry-after"] == ("3" if whole else "1")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
    ],
)
def test_each_refusal_is_the_clients_own_exception(status: int, kind: type[openai.APIStatusError]) -> None:
    app = FastAPI()
    failures.install(app, {})

    @app.post("/v1/embeddings")
    async def refused() -> None:
        raise Refusal(status, "Refused", "It is refused.", {"Retry-After": "7"})

    with serve_app(app) as address, client_of(address) as client:
        with pytest.raises(kind, match="It is refused") as raised:
            client.embeddings.create(model="x", input="a red apple")
        assert raised.value.response.headers["retry-after"] == "7"


def test_a_model_that_is_not_served_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="served are: open-autoglm-base"):
        client.embeddings.create(model="text-embedding-3-small", input="a red apple")


def test_a_chat_of_one_part_has_a_vector(address: str) -> None:
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": uri(BANANA)}}]}]
    found = httpx.post(f"{address}/v1/embeddings", timeout=60, json={"messages": messages}).json()["data"][0][
        "embedding"
    ]
    np.testing.assert_allclose(found, base().embed_images([BANANA])[0], atol=1e-3)
    two = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
    reply = httpx.post(f"{address}/v1/embeddings", timeout=60, json={"messages": two})
    assert reply.status_code == 400 and "2 texts and pictures" in reply.text
