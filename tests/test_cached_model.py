"""A model that remembers gives exactly what the model gives, computes it once, and keeps tenants apart."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cache_parts import same
from PIL import Image

import open_autoglm
from open_autoglm.cache import CacheSettings, Key, PrefixCache, open_cache, remembering
from open_autoglm.cache.memory import MemoryTier
from open_autoglm.errors import ImageError, SettingError, TextError
from open_autoglm.runtime.decoding import read_source
from open_autoglm.runtime.engine import Engine
from open_autoglm.runtime.images import ImageLimits
from open_autoglm.runtime.model import Model
from open_autoglm.search import Index

SAMPLES = Path(__file__).parent.parent / "samples" / "grocery"
BANANA, LEMON = SAMPLES / "banana.jpg", SAMPLES / "lemon.jpg"
QUESTIONS = ["is there a banana?", "where is the banana?", "what is this?", "how many dogs are there?", "why?"]
CHOICES = [["apple", "banana"], ["pear", "banana"], ["banana"]]
STATEMENT = "There are two towers with a blue block at the base."


@pytest.fixture(scope="module")
def model() -> Model:
    return open_autoglm.load()


@pytest.fixture(scope="module")
def reasoning() -> Model:
    return open_autoglm.load("open-autoglm-nlvr")


@pytest.fixture
def cache() -> PrefixCache:
    return PrefixCache([MemoryTier(2**28, 10_000)])


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[tuple[str, ...]]]:
    """How often graphs were run, by their inputs."""
    counted, run = Counter[tuple[str, ...]](), Engine.outputs

    def outputs(engine: Engine, names: Any, **inputs: Any) -> Any:
        counted[tuple(sorted(inputs))] += 1
        return run(engine, names, **inputs)

    monkeypatch.setattr(Engine, "outputs", outputs)
    monkeypatch.setattr(Engine, "run", lambda engine, **inputs: outputs(engine, engine._session.names[:1], **inputs)[0])
    yield counted


REQUESTS: list[Callable[[Model], Any]] = [
    *(lambda one, question=question: one.ask(BANANA, question) for question in QUESTIONS),
    *(lambda one, choices=choices: one.ask(BANANA, "what is it?", choices) for choices in CHOICES),
    *(lambda one, choices=choices: one.classify(BANANA, choices) for choices in CHOICES),
    *(lambda one, pictures=pictures: one.embed_images(pictures) for pictures in ([LEMON], [BANANA, LEMON, BANANA], [])),
    *(
        lambda one, texts=texts: one.embed_texts(texts)
        for texts in (["a lemon"], ["a lemon", "a long, long lemon"], [])
    ),
    lambda one: one.verify(BANANA, "there is a lemon"),
    lambda one: one.ground(BANANA, "a banana"),
    lambda one: (one.name, one.space, one.views, one.fingerprint),
]


def test_it_gives_what_the_model_gives(model: Model, cache: PrefixCache) -> None:
    remembered = remembering(model, cache)
    for request in REQUESTS:
        wanted = request(model)
        for _ in range(2):
            same(wanted, request(remembered))


def test_a_second_question_looks_at_nothing_again(model: Model, cache: PrefixCache, runs: Counter[Any]) -> None:
    remembered = remembering(model, cache)
    remembered.ask(BANANA, "is there a banana?")
    looks = runs[("pixels",)]
    assert looks == 2
    for question in ("is there a dog?", "where is the banana?"):
        remembered.ask(BANANA.read_bytes(), question)
    remembered.verify(BANANA, "there is a cat")
    remembered.ground(BANANA, "a banana")
    assert runs[("pixels",)] == looks
    texts = runs[("attention_mask", "input_ids")]
    assert texts > 0
    remembered.ask(BANANA, "is there a dog?")
    assert runs[("attention_mask", "input_ids")] == texts
    remembered.ask(LEMON, "is there a dog?")
    assert runs[("pixels",)] == 2 * looks


def test_what_words_and_regions_came_to_serves_other_questions(
    reasoning: Model, cache: PrefixCache, runs: Counter[Any]
) -> None:
    drawing = np.random.default_rng(0).integers(0, 255, (100, 400, 3), np.uint8)
    remembered = remembering(reasoning, cache)
    for _ in range(2):
        assert remembered.verify(drawing, STATEMENT) == reasoning.verify(drawing, STATEMENT)
    runs.clear()
    same(remembered.ask(Image.fromarray(drawing), STATEMENT), reasoning.ask(drawing, STATEMENT))
    assert runs.pop(("boxes", "mask", "pixels")) == 1 and runs.total() == 1  # the model's own, not the cache's
    remembered.verify(drawing, "There is a black block.")
    assert ("boxes", "mask", "pixels") not in runs


def test_what_one_tenant_had_computed_another_has_not(model: Model, cache: PrefixCache, runs: Counter[Any]) -> None:
    remembering(model, cache, "a").ask(BANANA, "is there a banana?")
    first = runs.total()
    remembering(model, cache, "b").ask(BANANA, "is there a banana?")
    assert runs.total() == 2 * first
    cache.invalidate(Key.of(model.fingerprint, "a"))
    remembering(model, cache, "b").ask(BANANA, "is there a banana?")
    assert runs.total() == 2 * first
    remembering(model, cache, "a").ask(BANANA, "is there a banana?")
    assert runs.total() == 3 * first


def test_a_restart_finds_on_disk_what_was_computed(model: Model, tmp_path: Path, runs: Counter[Any]) -> None:
    for _ in range(2):
        cache = open_cache(CacheSettings(folder=tmp_path))
        assert cache is not None
        with cache:
            remembering(model, cache).ask(BANANA, "is there a banana?")
        assert runs[("pixels",)] == 2


def test_a_picture_is_known_by_its_bytes_not_its_name(model: Model, cache: PrefixCache, tmp_path: Path) -> None:
    remembered, path = remembering(model, cache), tmp_path / "fruit.jpg"
    shutil.copy(BANANA, path)
    same(remembered.ask(path, "where is the lemon?"), model.ask(BANANA, "where is the lemon?"))
    shutil.copy(LEMON, path)
    same(remembered.ask(path, "where is the lemon?"), model.ask(LEMON, "where is the lemon?"))


def test_the_same_pixels_are_the_same_picture_however_they_are_stored(model: Model, cache: PrefixCache) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (40, 60), np.uint8)
    shown = np.repeat(grey[:, :, None], 3, axis=2)
    images = [grey, shown, Image.fromarray(grey), Image.fromarray(shown), Image.fromarray(shown).convert("RGBA")]
    digests = {read_source(image, model.limits).digest for image in images}
    assert len(digests) == 1
    turned = Image.fromarray(shown)
    turned.getexif()[0x0112] = 6
    assert read_source(turned, model.limits).digest not in digests
    remembered = remembering(model, cache)
    for image in (turned, grey):
        same(remembered.ask(image, "is there a banana?"), model.ask(image, "is there a banana?"))


def test_mistakes_are_said_as_the_model_says_them_and_not_kept(
    model: Model, cache: PrefixCache, tmp_path: Path
) -> None:
    remembered = remembering(model, cache)
    (tmp_path / "broken.jpg").write_bytes(BANANA.read_bytes()[:5000])
    for mistaken, kind in (
        (lambda one: one.ask(tmp_path / "broken.jpg", "is there a dog?"), ImageError),
        (lambda one: one.ask(tmp_path / "none.jpg", "is there a dog?"), ImageError),
        (lambda one: one.ask(b"no picture", "is there a dog?"), ImageError),
        (lambda one: one.ask(None, "is there a dog?"), ImageError),
        (lambda one: one.ask(BANANA, " "), TextError),
        (lambda one: one.ask(BANANA, None), TextError),
        (lambda one: one.ask(BANANA, "what is it?", []), SettingError),
        (lambda one: one.ask(BANANA, "what is it?", "apple"), SettingError),
        (lambda one: one.ask(BANANA, "what is it?", [""]), TextError),
        (lambda one: one.verify(BANANA, 3), TextError),
        (lambda one: one.ground(BANANA, ""), TextError),
        (lambda one: one.classify(BANANA, ["a", "a"]), SettingError),
        (lambda one: one.embed_texts("alone"), SettingError),
        (lambda one: one.embed_texts(["", "a"]), TextError),
        (lambda one: one.embed_texts([None]), TextError),
        (lambda one: one.embed_images([BANANA, tmp_path / "broken.jpg"]), ImageError),
        (lambda one: one.embed_images(BANANA), SettingError),
        (lambda one: one.embed_images([BANANA], 0), SettingError),
        (lambda one: one.describe(BANANA), SettingError),
        (lambda one: one.match(BANANA, ["a"]), SettingError),
    ):
        with pytest.raises(kind) as wanted:
            mistaken(model)
        for _ in range(2):
            with pytest.raises(kind) as found:
                mistaken(remembered)
            assert str(found.value) == str(wanted.value)


def test_a_model_that_would_give_other_numbers_has_another_name(model: Model, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model.bundle.path, copy)
    assert open_autoglm.load(copy).fingerprint == model.fingerprint
    assert model.fingerprint.startswith(f"{model.space}-")
    others = {
        open_autoglm.load(precision="fp32").fingerprint,
        open_autoglm.load(limits=ImageLimits(max_pixels=1000)).fingerprint,
        open_autoglm.load("open-autoglm-nlvr").fingerprint,
    }
    manifest = copy / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"least', '"least_', 1).replace('"quality"', ' "quality"', 1))
    others.add(open_autoglm.load(copy).fingerprint)
    assert len(others - {model.fingerprint}) == 4


def test_an_index_searches_by_words_it_has_met_without_the_text_graph(
    model: Model, cache: PrefixCache, tmp_path: Path, runs: Counter[Any]
) -> None:
    with Index.create(tmp_path / "photos.index", model) as index:
        index.add([BANANA, LEMON])
        wanted = index.search("a banana", cut=False)
        index.use(remembering(model, cache))
        assert index.search("a banana", cut=False) == wanted
        runs.clear()
        assert index.search("a banana", cut=False) == wanted
        assert not runs
