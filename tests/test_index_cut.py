"""The relevance cut of an index: measured over its own pictures, kept with it, refreshed as it grows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from index_parts import DIMENSION, ColourModel, make, names, paint, paint_many

from open_autoglm.errors import TextError
from open_autoglm.search import Index
from open_autoglm.search.background import UNRELATED, Background


class HazyModel(ColourModel):
    """Every text has something of each colour, by chance but always the same, so that any picture scores a little."""

    haze = 1.0

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        clear = super().embed_texts(texts)
        chance = np.stack([np.random.default_rng(len(text) * 31 + ord(text[-1])).random(DIMENSION) for text in texts])
        hazy = clear + self.haze * chance / np.sqrt(DIMENSION)
        return (hazy / np.linalg.norm(hazy, axis=1, keepdims=True)).astype(np.float32)

    def cutoff(self, queries: np.ndarray) -> np.ndarray:
        return np.full(len(queries), 0.32, np.float32)


def noted(index: Index) -> Background:
    """What the index keeps of its background."""
    return Background.read(index._store.noted("background"))


def test_where_everything_scores_high_the_cut_rises(tmp_path: Path) -> None:
    """The bundle's cut, 0.32, lets nearly everything through; chance alone scores as high in this index."""
    index = make(tmp_path, HazyModel())
    paint(tmp_path / "many/red.png", "red")
    paint_many(tmp_path / "many", 150)
    index.add(tmp_path / "many")
    above = sum(hit.score >= 0.32 for hit in index.search("a zeppelin", k=200, cut=False))
    assert above > 100
    assert len(index.search("a zeppelin", k=200)) < above / 3
    assert names(index.search("red", k=1)) == ["red.png"]


def test_the_background_is_kept_and_measured_again_as_the_index_grows(tmp_path: Path) -> None:
    index = make(tmp_path, HazyModel())
    paint_many(tmp_path / "many", 40)
    index.add(tmp_path / "many")
    first = noted(index)
    assert (first.pictures, len(first.sample)) == (40, 40)
    paint_many(tmp_path / "some", 6, seed=1)
    index.add(tmp_path / "some")
    assert noted(index) == first
    paint_many(tmp_path / "more", 200, seed=2)
    index.add(tmp_path / "more")
    grown = noted(index)
    assert (grown.pictures, len(grown.sample)) == (246, 128)
    with Index.open(tmp_path / "colours.index", HazyModel()) as other:
        queries = {"a dog": 5, "red": 300}
        for text, k in queries.items():
            assert other.search(text, k=k) == index.search(text, k=k)


def test_an_open_index_takes_over_what_another_process_measured(tmp_path: Path) -> None:
    index = make(tmp_path, HazyModel())
    index.add(paint_many(tmp_path / "many", 60))
    loose = len(index.search("a zeppelin", k=100))
    facts = json.loads(index._store.noted("background"))
    with Index.open(tmp_path / "colours.index", HazyModel()) as other:
        other._store.note("background", json.dumps(facts | {"middle": facts["middle"] + 2}))
    assert loose > 0
    assert index.search("a zeppelin", k=100) == []


def test_a_sentence_that_means_most_of_an_index_is_not_cut_for_it() -> None:
    background = Background(pictures=1000, middle=-0.3, spread=0.1)
    cuts = np.array([0.3, 0.3, 0.3], np.float32)
    none, near, all_of_them = background.cuts(cuts, np.array([0.0, 0.2, 0.5], np.float32))
    assert none == pytest.approx(0.3, abs=1e-3)
    assert near > none
    assert all_of_them == none


def test_few_pictures_leave_the_cut_to_the_bundle(tmp_path: Path) -> None:
    cuts = np.array([0.3], np.float32)
    own = np.array([0.2], np.float32)
    moved = [float(Background(n, -0.1, 0.1).cuts(cuts, own)[0]) - 0.3 for n in (1, 30, 1000)]
    assert 0 < moved[0] < 0.1 * moved[2]
    assert moved[0] < moved[1] < moved[2]


def test_models_that_know_few_words_or_see_no_difference_keep_their_own_cut(tmp_path: Path) -> None:
    class Speechless(HazyModel):
        def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
            if any(text in UNRELATED[3:] for text in texts):
                raise TextError("No word of this is known.")
            return super().embed_texts(texts)

    for number, model in enumerate((Speechless(), ColourModel())):
        index = make(tmp_path / str(number), model)
        index.add(paint_many(tmp_path / str(number) / "many", 40))
        cut = float(model.cutoff(np.zeros((1, DIMENSION)))[0])
        kept = [hit.id for hit in index.search("red", k=100, cut=False) if hit.score >= cut]
        assert [hit.id for hit in index.search("red", k=100)] == kept


def test_a_model_that_cuts_nothing_still_cuts_nothing(tmp_path: Path) -> None:
    class Uncalibrated(HazyModel):
        def cutoff(self, queries: np.ndarray) -> np.ndarray:
            return np.full(len(queries), -np.inf, np.float32)

    index = make(tmp_path, Uncalibrated())
    index.add(paint_many(tmp_path / "many", 40))
    assert len(index.search("a zeppelin", k=100)) == 40
    assert len(index.search({"a zeppelin": 1, "red": -1}, k=100)) == 40
