"""How a text is chosen token by token, on models that are tables: what each strategy finds, and what it never does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from open_autoglm.errors import SettingError
from open_autoglm.runtime.generating import Generated, Rules, beam_search, generate, one_by_one
from open_autoglm.runtime.generation_settings import GenerationSettings

START, END, UNKNOWN = 0, 1, 2
A, B, C, D = 3, 4, 5, 6


class TableSteps:
    """A model whose next token depends on all before it: ``table`` gives logits of a text without its start."""

    def __init__(self, table: Any) -> None:
        self.table, self.texts = table, [()]

    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        self.texts = [(*text, *row) for text, row in zip(self.texts, tokens.tolist(), strict=True)]
        return np.stack([np.asarray(self.table(text[1:]), np.float32) for text in self.texts])

    def keep(self, rows: NDArray[np.int64]) -> None:
        self.texts = [self.texts[row] for row in rows]


def chances(**shares: float) -> NDArray[np.float32]:
    """Logits of tokens by name; the others are as good as impossible."""
    found = np.full(7, -30.0, np.float32)
    for name, share in shares.items():
        found[{"END": END, "UNKNOWN": UNKNOWN, "A": A, "B": B, "C": C, "D": D}[name]] = np.log(share)
    return found


def garden_path(text: tuple[int, ...]) -> NDArray[np.float32]:
    """A is likelier than B at first, but what follows it is spread thin."""
    if not text:
        return chances(A=0.6, B=0.4)
    if len(text) == 1:
        return chances(A=0.3, C=0.3, D=0.4) if text == (A,) else chances(C=0.95, D=0.05)
    return chances(END=1.0)


def written(table: Any, most: int = 10, prompt: tuple[int, ...] = (), **settings: Any) -> Generated:
    rules = Rules(END, (START, UNKNOWN), most, GenerationSettings(**settings))
    return generate(TableSteps(table), [START, *prompt], rules)


def random_table(seed: int) -> Any:
    return lambda text: np.random.default_rng([seed, *text]).normal(0, 2, 7)


def test_beams_find_a_likelier_text_than_greed() -> None:
    greedy, best = written(garden_path), written(garden_path, num_beams=2)
    assert (greedy.tokens, best.tokens) == ((A, D), (B, C))
    assert greedy.log_probability == pytest.approx(np.log(0.6 * 0.4), abs=1e-4)
    assert best.log_probability == pytest.approx(np.log(0.4 * 0.95), abs=1e-4)
    assert best.ended and best.confidence == pytest.approx((0.4 * 0.95) ** (1 / 3), abs=1e-4)


@given(st.integers(0, 10_000))
def test_one_beam_is_greedy(seed: int) -> None:
    rules = Rules(END, (START, UNKNOWN), 8, GenerationSettings())
    greedy = one_by_one(TableSteps(random_table(seed)), [START], rules)
    assert beam_search(TableSteps(random_table(seed)), [START], rules).tokens == greedy.tokens


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_wide_beams_find_the_best_of_all_short_texts(seed: int, power: int) -> None:
    table, most = random_table(seed), 3
    own = (A, B, C, D)
    texts = (
        [(a,) for a in own] + [(a, b) for a in own for b in own] + [(a, b, c) for a in own for b in own for c in own]
    )

    def score(text: tuple[int, ...]) -> float:
        total, due = 0.0, (*text, END)[:most]
        for place, token in enumerate(due):
            allowed = np.array(table(text[:place]), np.float32)
            allowed[[START, UNKNOWN, *([END] if not place else [])]] = -np.inf
            total += float(allowed[token] - np.log(np.exp(allowed).sum()))
        return total / len(due) ** power

    # A high power keeps the search from stopping at a short text that a longer one may still beat.
    found = written(table, most, num_beams=64, length_penalty=power)
    assert score(found.tokens) == pytest.approx(max(map(score, texts)), abs=1e-4)


def test_length_is_weighed_as_asked() -> None:
    def table(text: tuple[int, ...]) -> NDArray[np.float32]:
        if not text:
            return chances(A=0.5, B=0.5)
        if text[0] == A:
            return chances(END=0.5, C=0.5) if len(text) == 1 else chances(END=1.0)
        return chances(C=0.9, D=0.1) if len(text) < 4 else chances(END=1.0)

    assert written(table, num_beams=3, length_penalty=0.0).tokens == (B, C, C, C)
    short = lambda text: chances(A=1.0) if not text else chances(END=0.4, C=0.6) if len(text) < 3 else chances(END=1.0)  # noqa: E731
    assert written(short, num_beams=3, length_penalty=0.0).tokens == (A,)
    assert written(short, num_beams=3, length_penalty=2.0).tokens == (A, C, C)


def test_it_stops_at_its_end_or_at_the_limit() -> None:
    forever = lambda text: chances(A=0.6, B=0.4)  # noqa: E731
    for beams in (1, 3):
        cut = written(forever, most=4, num_beams=beams)
        assert cut.tokens == (A, A, A, A) and not cut.ended
        assert written(forever, most=10, max_new_tokens=None, num_beams=beams).length == 10


def test_a_text_is_never_empty_and_never_holds_what_is_no_token() -> None:
    table = lambda text: chances(END=0.5, UNKNOWN=0.4, A=0.1)  # noqa: E731
    for settings in ({}, {"num_beams": 3}, {"do_sample": True, "seed": 3}):
        assert written(table, **settings).tokens[0] == A
        assert set(written(table, **settings).tokens) == {A}


@pytest.mark.parametrize("beams", [1, 3])
def test_repetition_is_controlled(beams: int) -> None:
    stutter = lambda text: chances(A=0.5, B=0.3, C=0.15, END=0.05)  # noqa: E731
    assert written(stutter, 6, num_beams=beams).tokens == (A,) * 6
    for size in (1, 2, 3):
        text = written(stutter, 12, num_beams=beams, no_repeat_ngram_size=size).tokens
        grams = [text[start : start + size] for start in range(len(text) - size + 1)]
        assert len(grams) == len(set(grams)) and len(text) >= 3
    assert set(written(stutter, 6, num_beams=beams, repetition_penalty=3.0).tokens) > {A}
    # What somebody else has written may be said again.
    assert written(stutter, 1, prompt=(A, A), num_beams=beams, no_repeat_ngram_size=1).tokens == (A,)


def test_a_penalty_makes_good_and_bad_scores_worse() -> None:
    rules = Rules(END, (), 9, GenerationSettings(repetition_penalty=2.0))
    logits = np.array([0, 0, 0, 4.0, -4.0, 1.0, -1.0], np.float32)
    assert rules.allowed(logits, [A, B]).tolist() == [0, 0, 0, 2, -8, 1, -1]


def test_equal_seeds_draw_alike_and_others_do_not() -> None:
    even = lambda text: chances(A=0.25, B=0.25, C=0.25, D=0.25)  # noqa: E731
    draws = [written(even, 20, do_sample=True, seed=seed).tokens for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert written(even, 20, do_sample=True).tokens != written(even, 20, do_sample=True).tokens


def test_draws_follow_the_probabilities_that_are_left() -> None:
    table = lambda text: chances(A=0.5, B=0.3, C=0.15, D=0.05)  # noqa: E731

    def shares(**settings: Any) -> list[float]:
        text = written(table, 1500, do_sample=True, seed=0, **settings).tokens
        return [text.count(token) / len(text) for token in (A, B, C, D)]

    assert shares() == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.05)
    assert shares(top_k=2) == pytest.approx([0.625, 0.375, 0, 0], abs=0.05)
    assert shares(top_p=0.79) == pytest.approx([0.625, 0.375, 0, 0], abs=0.05)
    assert shares(top_p=0.81) == pytest.approx([0.526, 0.316, 0.158, 0], abs=0.05)
    assert shares(top_p=0.01) == [1, 0, 0, 0]
    assert shares(temperature=0.5) == pytest.approx([0.685, 0.247, 0.062, 0.007], abs=0.05)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0: it must be a whole number of at least 1"),
        ({"num_beams": 1.5}, "num_beams is 1.5"),
        ({"seed": -1}, "seed is -1"),
        ({"do_sample": True, "temperature": 0}, "temperature is 0: it must be above 0"),
        ({"do_sample": True, "temperature": float("nan")}, "temperature is nan"),
        ({"do_sample": True, "top_p": 1.2}, "top_p is 1.2"),
        ({"length_penalty": float("inf")}, "length_penalty is inf"),
        ({"repetition_penalty": "2"}, "repetition_penalty is '2'"),
        ({"top_k": 5}, "top_k is for sampling alone"),
        ({"do_sample": True, "num_beams": 4}, "Sampling follows one text, not 4"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        GenerationSettings(**settings)


def test_a_prompt_must_leave_room_and_more_than_fits_is_what_fits() -> None:
    rules = Rules.fitting(END, (), 10, 7, GenerationSettings(max_new_tokens=500))
    assert rules.most == 3
    with pytest.raises(SettingError, match="The prompt has 10 tokens, and the model writes 10 with it"):
        Rules.fitting(END, (), 10, 10, GenerationSettings())
