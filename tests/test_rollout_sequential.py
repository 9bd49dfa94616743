"""The sequential test, on many runs of drawn numbers: how soon it tells, and how seldom it is wrong."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from open_autoglm.evaluation.agreement import (
    overlap_at,
    rank_biased_overlap,
    same_place,
    same_probabilities,
    same_words,
)
from open_autoglm.serving.rollout import Plan, Rules
from open_autoglm.serving.rollout.figures import AGREEMENT, ERRORS, LATENCY, PROBE, fresh, intervals
from open_autoglm.serving.rollout.rules import Verdict, judge
from open_autoglm.serving.rollout.sequential import Evidence, Interval
from open_autoglm.serving.rollout.state import Going

REQUESTS = 2_000
LOOK = 50  # requests between two looks
SOME = 300  # where 200 runs would take too long
Numbers = NDArray[np.float64]


def going(**changes: object) -> Going:
    plan = Plan("photos@2", requests=10**9)
    fields = {"public": "photos", "live": {"answers": "photos@1", "embeddings": "photos@1"}, "candidate": "photos@2"}
    times = {"began": 0.0, "stepped": 0.0}
    kinds = {"same_space": True, "kinds": ("answers", "embeddings"), "quality": PROBE, "plan": plan}
    return Going(**{"id": "1", **fields, **kinds, **times, **changes})  # type: ignore[arg-type]


def rolled_back(tests: dict[str, Numbers], rollout: Going) -> int | None:
    """After how many requests the rules call for it; None if never."""
    evidence = {name: fresh(name, rollout.plan) for name in tests}
    for start in range(0, len(next(iter(tests.values()))), LOOK):
        evidence = {name: one.after(tests[name][start : start + LOOK]) for name, one in evidence.items()}
        if judge(rollout, intervals(evidence, rollout.plan), time.time()).call == "back":
            return start + LOOK
    return None


def scores(random: np.random.Generator, mean: float, size: int = REQUESTS) -> Numbers:
    """Scores in 0..1 as average precisions are: many near the ends."""
    return random.beta(2 * mean, 2 * (1 - mean), size)


def paired(random: np.random.Generator, drop: float) -> Numbers:
    """Differences of four known queries a request that differ by chance, and are lower by ``drop`` on average."""
    live = scores(random, 0.5, 4 * REQUESTS)
    noise = random.normal(0, 0.15, 4 * REQUESTS)
    return (np.clip(live + noise - drop, 0, 1) - np.clip(live - noise[::-1], 0, 1)).reshape(-1, 4).mean(axis=1)


def test_a_candidate_that_ranks_5_percent_worse_is_rolled_back_within_2000_requests() -> None:
    random = np.random.default_rng(1)
    found = [rolled_back({PROBE: paired(random, 0.05 * 0.5)}, going()) for _ in range(20)]
    assert all(found), found


def test_one_that_errs_2_percent_more_is_rolled_back_within_2000_requests() -> None:
    random = np.random.default_rng(2)
    found = [rolled_back({ERRORS: (random.random(REQUESTS) < 0.02).astype(float)}, going()) for _ in range(20)]
    assert all(found), found


def test_of_200_that_are_the_same_at_most_5_percent_are_ever_rolled_back() -> None:
    random, alarms = np.random.default_rng(3), 0
    for _ in range(200):
        tests = {
            PROBE: paired(random, 0.0),
            ERRORS: (random.random(REQUESTS) < 0.03).astype(float) - (random.random(REQUESTS) < 0.03),
            LATENCY: np.where(random.random(REQUESTS) < 0.45, 1.0, -1.0),
        }
        alarms += rolled_back({name: one[:SOME] for name, one in tests.items()}, going()) is not None
    assert alarms <= 10


@pytest.mark.parametrize("mean", [0.0, 0.5])
def test_the_true_mean_is_passed_as_seldom_as_was_said_at_any_of_many_looks(mean: float) -> None:
    random, wrong = np.random.default_rng(4), 0
    for _ in range(60):
        seen = np.where(random.random(400) < (1 + mean) / 2, 1.0, -1.0)
        evidence, passed = Evidence.none([mean]), False
        for start in range(0, 400, 20):
            found = (evidence := evidence.after(seen[start : start + 20])).interval(0.05)
            passed |= not found.low <= mean <= found.high
        wrong += passed
    assert wrong <= 11  # 6 is what two ends may have


def test_the_interval_shrinks_about_the_mean_and_does_not_depend_on_how_it_came() -> None:
    seen = np.random.default_rng(5).normal(0.1, 0.2, 1000).clip(-1, 1)
    at_once, one_by_one = Evidence.none().after(seen), Evidence.none()
    for part in np.array_split(seen, 37):
        one_by_one = one_by_one.after(part)
    assert np.allclose(at_once.wealth, one_by_one.wealth)
    few, many = Evidence.none().after(seen[:50]).interval(0.01), at_once.interval(0.01)
    assert few.low < many.low < many.mean < many.high < few.high
    assert Evidence.none().interval(0.01) == Interval(0.0, -1.0, 1.0, 0)


def test_what_is_proven_good_goes_on_and_what_is_not_says_what_it_waits_for() -> None:
    good = Interval(0.0, -0.001, 0.001, 5000)
    plan = Plan("photos@2", requests=100, seconds=60)
    rollout = going(plan=plan, compared=500)
    figures = {PROBE: good, ERRORS: good, LATENCY: Interval(-0.9, -1.0, -0.8, 5000)}
    assert judge(rollout, figures, now=61).call == "step"
    assert "59 of 60 seconds" in judge(rollout, figures, now=59).sentence
    assert "50 of 100 requests" in judge(going(plan=plan, compared=50), figures, now=61).sentence
    assert "ranks worse by less" in judge(rollout, {**figures, PROBE: Interval(0, -0.2, 0.2, 9)}, 61).sentence
    assert "fails less" in judge(rollout, {**figures, ERRORS: Interval(0, -0.2, 0.2, 9)}, 61).sentence
    assert "half of its answers" in judge(rollout, {**figures, LATENCY: Interval(0.1, -0.2, 0.2, 9)}, 61).sentence
    assert judge(going(plan=plan, compared=500, step=5), figures, 61).call == "promote"
    assert judge(rollout, figures, 61, deaths=3) == Verdict("back", "3 workers in a row died with the candidate.")


def test_agreement_is_no_rule_where_known_queries_judge_and_none_where_spaces_differ() -> None:
    differ = {AGREEMENT: Interval(-0.4, -0.5, -0.3, 900)}
    assert judge(going(quality=AGREEMENT), differ, 0).call == "back"
    assert judge(going(), differ, 0).call == "wait"
    assert "promote it by hand" in judge(going(quality=None, same_space=False), differ, 0).sentence


def test_what_people_meet_counts_without_a_comparison() -> None:
    figures = {"live errors": Interval(-0.01, -0.02, -0.005, 900), "candidate errors": Interval(-0.1, -0.2, -0.05, 90)}
    assert "fails more of the people" in judge(going(), figures, 0).sentence
    figures = {"live feedback": Interval(0.5, 0.45, 0.55, 900), "candidate feedback": Interval(0.3, 0.2, 0.4, 90)}
    assert "people choose" in judge(going(), figures, 0).sentence


def test_rankings_are_as_alike_as_their_first_places() -> None:
    ranking = np.arange(50)
    assert rank_biased_overlap(ranking, ranking) == pytest.approx(1)
    late, early = ranking.copy(), ranking.copy()
    late[[40, 41]], early[[0, 1]] = late[[41, 40]], early[[1, 0]]
    assert 1 > rank_biased_overlap(ranking, late) > rank_biased_overlap(ranking, early) > 0.8
    assert rank_biased_overlap(ranking, ranking[::-1]) < 0.1
    assert overlap_at(10, ranking, ranking[::-1]) == 0
    assert overlap_at(10, ranking, np.roll(ranking, 5)) == 0.5


def test_answers_are_alike_by_their_kind() -> None:
    assert same_probabilities({"a": 0.5, "b": 0.5}, {"a": 1.0}) == pytest.approx(0.5)
    assert same_words("A red apple", "apple red a") == 1
    assert same_words("a red apple", "a dog") == pytest.approx(0.4)
    box, none = np.array([[0, 0, 10, 10]], np.float32), np.zeros((0, 4), np.float32)
    assert same_place(box, box) == 1 and same_place(box, none) == 0 and same_place(none, none) == 1
    assert same_place(box, np.array([[0, 0, 10, 5]], np.float32)) == pytest.approx(0.5)


def test_the_chance_of_a_false_alarm_is_shared_by_the_tests() -> None:
    assert Rules(alpha=0.05).each == pytest.approx(0.01)
