"""Metrics against slow references written out from their definitions."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from open_autoglm.errors import SettingError
from open_autoglm.evaluation import retrieval as metrics
from open_autoglm.evaluation.classification import class_queries, classification, probability_figures
from open_autoglm.evaluation.directions import direction, rank
from open_autoglm.evaluation.intervals import mean, share
from open_autoglm.evaluation.retrieval import average_precisions, first_ranks, recall_at_k
from open_autoglm.runtime.similarity import Queries, Words

SCORES = st.one_of(st.integers(-3, 3).map(float), st.floats(-1, 1, width=32), st.just(math.nan))


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties and some NaN, and which items belong to which query."""
    shape = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    return draw(arrays.arrays(np.float32, shape, elements=SCORES)), draw(arrays.arrays(np.bool_, shape))


def ranked(scores: np.ndarray, relevant: np.ndarray) -> list[bool]:
    """The ranking of one query, as whether each item is relevant; ties count against the model."""
    items = zip(scores.tolist(), relevant.tolist(), strict=True)
    return [
        good for _, good in sorted(items, key=lambda item: (-(-math.inf if item[0] != item[0] else item[0]), item[1]))
    ]


@given(tables())
def test_ranks_and_precisions_are_those_of_the_written_out_ranking(table: tuple[np.ndarray, np.ndarray]) -> None:
    scores, relevant = table
    first, precisions = first_ranks(scores, relevant), average_precisions(scores, relevant)
    for row in range(len(scores)):
        places = [place for place, good in enumerate(ranked(scores[row], relevant[row]), 1) if good]
        if not places:
            assert first[row] == 0
            assert math.isnan(precisions[row])
            continue
        assert first[row] == places[0]
        expected = sum(count / place for count, place in enumerate(places, 1)) / len(places)
        assert precisions[row] == pytest.approx(expected)


@given(tables(), st.integers(1, 9))
def test_recall_is_the_share_of_queries_with_a_positive_on_top(table: tuple[np.ndarray, np.ndarray], k: int) -> None:
    scores, positive = table
    if not positive.any():
        with pytest.raises(SettingError):
            recall_at_k(scores, positive)
        return
    figures = recall_at_k(scores, positive, ks=(1, k))
    for way, rows, wanted in (("image_to_text", scores, positive), ("text_to_image", scores.T, positive.T)):
        found = [any(ranked(row, mine)[:k]) for row, mine in zip(rows, wanted, strict=True) if mine.any()]
        assert figures[f"{way}_r{k}"] == pytest.approx(sum(found) / len(found))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    scores, positive = random.normal(size=(23, 57)).astype(np.float32), random.random((23, 57)) < 0.05
    whole = recall_at_k(scores, positive)
    monkeypatch.setattr(metrics, "BLOCK_CELLS", 100)
    assert recall_at_k(scores, positive) == whole


def test_five_captions_a_picture_count_as_the_protocol_has_it() -> None:
    scores = np.array([[0.9, 0.1, 0.8, 0.0], [0.2, 0.3, 0.95, 0.7]], np.float32)  # captions 0, 1 and 2, 3
    positive = np.array([[1, 1, 0, 0], [0, 0, 1, 1]], bool)
    assert recall_at_k(scores, positive, ks=(1,)) == {"image_to_text_r1": 1.0, "text_to_image_r1": 0.75}


def test_a_model_that_cannot_tell_anything_apart_is_not_rewarded() -> None:
    figures = recall_at_k(np.zeros((10, 10)), np.eye(10, dtype=bool), ks=(1, 5))
    assert set(figures.values()) == {0.0}
    assert set(recall_at_k(np.full((10, 10), np.nan), np.eye(10, dtype=bool), ks=(9,)).values()) == {0.0}


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(SettingError, match=r"\(2, 3\)"):
        recall_at_k(np.zeros((2, 3)), np.zeros((3, 2), bool))


def test_a_direction_counts_captions_of_one_picture_once_in_its_intervals() -> None:
    scores = np.array([[3, 1, 2], [2, 3, 1], [1, 3, 2], [1, 2, 3]], np.float32)
    relevant = [np.array([0]), np.array([0]), np.array([1]), np.array([], np.int64)]
    ranking = rank(lambda block: scores[block], relevant, 3, kept=2)
    assert ranking.first.tolist() == [1, 2, 1, 0]
    assert ranking.top.tolist() == [[0, 2], [1, 0], [1, 2], [2, 1]]
    figures = direction(ranking, 3, np.array([0, 0, 1, -1]), (1, 2))
    assert (figures.queries, figures.median_rank) == (3, 1.0)
    assert figures.recall[1].value == pytest.approx(2 / 3)
    assert figures.recall[1].n == 2
    assert figures.mean_average_precision.value == pytest.approx((1 + 0.5 + 1) / 3)


def test_wilson_intervals_are_the_published_ones() -> None:
    # Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20 and 1 of 29.
    for hits, trials, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = share(np.arange(trials) < hits)
        assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@given(st.lists(st.booleans(), min_size=1, max_size=50))
def test_an_interval_holds_its_share(hits: list[bool]) -> None:
    found = share(hits)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_the_interval_of_a_mean_is_about_as_wide_as_theory_says_and_wider_for_groups() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = mean(values)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 2 / 20, rel=0.2)
    assert mean(values) == found
    repeated = mean(np.repeat(values, 5), np.repeat(np.arange(400), 5))
    assert repeated.high - repeated.low == pytest.approx(found.high - found.low, rel=0.1)
    assert repeated.n == 400


def test_classes_are_the_mean_of_templates_at_unit_length_and_all_their_words() -> None:
    known = {"a": [1.0, 0.0], "b": [0.0, 1.0], "c": [0.6, 0.8]}

    def embed(texts: Sequence[str]) -> Queries:
        return Queries(np.array([known[text] for text in texts], np.float32))

    found = class_queries(embed, [("a", "b"), ("c",)])
    np.testing.assert_allclose(found.vectors, [[math.sqrt(0.5), math.sqrt(0.5)], [0.6, 0.8]], atol=1e-6)
    assert found.words is None
    with pytest.raises(SettingError):
        class_queries(embed, [])

    def with_words(texts: Sequence[str]) -> Queries:
        words = np.array([[known[text], known["c"]] for text in texts], np.float32)
        mask = np.array([[True, text == "b"] for text in texts])
        return Queries(embed(texts).vectors, Words(words, mask, tuple((text, "more") for text in texts)))

    words = class_queries(with_words, [("a", "b"), ("c",)]).words
    assert words is not None
    assert words.texts == (("a", "b", "more"), ("c", "", ""))
    assert words.mask.tolist() == [[True] * 3, [True, False, False]]
    np.testing.assert_allclose(words.vectors[0], [known["a"], known["b"], known["c"]])


@given(st.data())
def test_accuracy_and_confusions_are_those_counted_by_hand(data: st.DataObject) -> None:
    pictures, classes = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 7))
    scores = data.draw(arrays.arrays(np.float32, (pictures, classes), elements=st.integers(0, 3).map(float)))
    truth = data.draw(st.lists(st.integers(0, classes - 1), min_size=pictures, max_size=pictures))
    names = [f"class {number}" for number in range(classes)]
    found = classification(scores, np.eye(classes, dtype=bool)[truth], names)
    top, five = [], []
    pairs: dict[tuple[str, str], int] = {}
    for row, own in enumerate(truth):
        order = sorted(range(classes), key=lambda one: (-scores[row, one], one == own, one))
        top.append(order[0] == own)
        five.append(own in order[:5])
        if order[0] != own:
            key = (names[own], names[order[0]])
            pairs[key] = pairs.get(key, 0) + 1
    assert found.top_1.value == pytest.approx(np.mean(top))
    assert found.top_5.value == pytest.approx(np.mean(five))
    assert {(pair.truth, pair.taken): pair.count for pair in found.confusions} == pairs
    for figure in found.per_class:
        mine = [hit for hit, own in zip(top, truth, strict=True) if names[own] == figure.name]
        assert (figure.accuracy.value, figure.pictures) == (pytest.approx(np.mean(mine)), len(mine))


def test_a_picture_of_two_classes_is_right_with_either() -> None:
    truth = np.array([[1, 1, 0], [0, 0, 1]], bool)
    found = classification(np.array([[0.1, 0.9, 0.5], [0.9, 0.1, 0.2]], np.float32), truth, ["a", "b", "c"])
    assert found.top_1.value == 0.5
    assert [(pair.truth, pair.taken, pair.share) for pair in found.confusions] == [("c", "a", 1.0)]


def test_a_picture_without_a_class_is_refused() -> None:
    with pytest.raises(SettingError):
        classification(np.zeros((1, 2), np.float32), np.zeros((1, 2), bool), ["a", "b"])


def test_probabilities_that_say_too_much_have_a_calibration_error() -> None:
    truth = np.eye(2, dtype=bool)[np.tile([0, 1], 50)]
    sure = np.tile(np.array([[9.0, -9.0]], np.float32), (100, 1))  # always the first class, half of the time wrong
    assert probability_figures(sure, truth).calibration_error == pytest.approx(0.5, abs=0.01)
    undecided = probability_figures(np.full((100, 2), -9.0, np.float32), truth)
    assert (undecided.none_of_these, undecided.accuracy) == (1.0, 0.0)
    assert json.dumps(undecided.__dict__)
