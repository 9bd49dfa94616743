"""How soon a worse candidate is rolled back, how seldom a good one is, and what comparing costs those who are answered.

The live version is the shipped base bundle over the sample pictures. A candidate ranks 5 % worse because noise moves
its vectors, or fails 2 % more of the requests; or it is the same bundle, computed in batches of another size. Each run
draws its own requests and looks at the figures after every 20. One rollout goes over HTTP from start to end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from _record import record
from _rollout_server import kept, server, written
from _rollout_sides import InProcess, Sample, Side, seen, worse
from numpy.typing import NDArray

import open_autoglm
from open_autoglm.evaluation.agreement import rank_biased_overlap
from open_autoglm.serving.rollout import Plan, Rollout, RolloutSettings
from open_autoglm.serving.rollout.figures import AGREEMENT, ERRORS, LATENCY, PROBE, fresh, intervals
from open_autoglm.serving.rollout.rules import judge
from open_autoglm.serving.rollout.state import Going
from open_autoglm.serving.work import EmbedImage, Job

REQUESTS, LOOK = 2_000, 20
PROBE_QUERIES = RolloutSettings().probe_queries
FAILS_MORE, BOTH_FAIL = 0.02, 0.01
RANKS_WORSE = 0.05
SLOWER = Plan("x").rules.slower
Numbers = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, pictures and rounds, for a look")
    quick = parser.parse_args().quick
    runs, same_runs, every, rounds = (10, 30, 2, 2) if quick else (100, 200, 1, 8)
    began = time.perf_counter()
    generator = np.random.default_rng(0)
    random.seed(0)
    model = open_autoglm.load(threads=1)
    sample = Sample.read(every)
    live, again = seen(model, sample, 4), seen(model, sample, 1)
    figures = {"live_score": live.scores(sample.right).mean()}
    figures |= ranking(generator, live, again, sample, runs)
    figures |= failing(generator, runs)
    figures |= same(generator, live, again, sample, query_seconds(model, sample), same_runs)
    figures |= costs(model, sample, rounds)
    figures |= over_http(generator, model, live, sample, 3 * RANKS_WORSE if quick else RANKS_WORSE)
    settings = {
        "requests_at_most": REQUESTS,
        "looks_every": LOOK,
        "pictures": len(sample.pictures),
        "known_queries": len(sample.queries),
        "known_queries_a_request": PROBE_QUERIES,
        "runs": runs,
        "runs_of_the_same": same_runs,
        "model": model.space,
        "quick": quick,
    }
    record("rollout", settings, figures, time.perf_counter() - began)


def ranking(generator: np.random.Generator, live: Side, again: Side, sample: Sample, runs: int) -> dict[str, float]:
    """Candidates that rank 5 % worse: judged by known queries, and by agreement alone."""
    by_probe, by_agreement, drops = [], [], []
    best = live.scores(sample.right)
    for _ in range(runs):
        candidate = worse(live, sample.right, RANKS_WORSE, generator)
        theirs = candidate.scores(sample.right)
        drops.append(1 - theirs.mean() / best.mean())
        by_probe.append(until({PROBE: known(generator, theirs - best)}, "probe"))
        by_agreement.append(until({AGREEMENT: agreement(generator, live, again, candidate)}, "agreement"))
    return {
        "ranks_worse_by": float(np.mean(drops)),
        **spread("ranks_worse_by_known_queries", by_probe),
        **spread("ranks_worse_by_agreement", by_agreement),
    }


def failing(generator: np.random.Generator, runs: int) -> dict[str, float]:
    """Candidates that fail 2 % more of the requests, where 1 % fail with both."""
    return spread("fails_more", [until({ERRORS: errors(generator, FAILS_MORE)}, "probe") for _ in range(runs)])


def same(
    generator: np.random.Generator, live: Side, again: Side, sample: Sample, seconds: Numbers, runs: int
) -> dict[str, float]:
    """How often a candidate that is the live version is rolled back at any of 100 looks, by any test."""
    difference = again.scores(sample.right) - live.scores(sample.right)
    found = []
    for number in range(runs):
        quality = (
            {PROBE: known(generator, difference)}
            if number % 2
            else {AGREEMENT: agreement(generator, live, again, again)}
        )
        one, other = generator.choice(seconds, REQUESTS), generator.choice(seconds, REQUESTS)
        # Each fails by chance, not on the same requests: as unlike as two that are the same can be.
        fails = (generator.random((2, REQUESTS)) < FAILS_MORE).astype(float)
        tests = {**quality, ERRORS: fails[0] - fails[1], LATENCY: np.where(one > SLOWER * other, 1.0, -1.0)}
        found.append(until(tests, "probe" if number % 2 else "agreement"))
    alarms = sum(one is not None for one in found)
    return {
        "same_runs": runs,
        "same_false_alarms": alarms,
        "same_false_alarm_share": alarms / runs,
        "same_largest_difference_of_a_vector": float(np.abs(live.gallery.views - again.gallery.views).max()),
    }


def known(generator: np.random.Generator, differences: Numbers) -> Numbers:
    """For each request the mean difference over a few known queries that were drawn."""
    return differences[generator.integers(len(differences), size=(REQUESTS, PROBE_QUERIES))].mean(axis=1)


def agreement(generator: np.random.Generator, live: Side, again: Side, candidate: Side) -> Numbers:
    """For each request how much less a candidate agrees with the live version than that with itself."""
    pairs = [
        (live.gallery.ranking(mine), again.gallery.ranking(twice), candidate.gallery.ranking(theirs))
        for mine, twice, theirs in zip(live.queries, again.queries, candidate.queries, strict=True)
    ]
    apart = np.array(
        [rank_biased_overlap(one, theirs) - rank_biased_overlap(one, twice) for one, twice, theirs in pairs]
    )
    return apart[generator.integers(len(apart), size=REQUESTS)]


def errors(generator: np.random.Generator, more: float) -> Numbers:
    """Differences of failures: some requests fail with both."""
    both = generator.random(REQUESTS) < BOTH_FAIL
    alone = generator.random(REQUESTS) < more
    return (alone & ~both).astype(np.float64)


def until(tests: Mapping[str, Numbers], quality: Any) -> int | None:
    """After how many requests the rules say: back; None if not within those there are."""
    live = {"answers": "photos@1", "embeddings": "photos@1"}
    plan = Plan("photos@2", requests=10**9)
    going = Going("1", "photos", live, "photos@2", True, ("answers", "embeddings"), quality, plan, 0.0, 0.0)
    evidence = {name: fresh(name, plan) for name in tests}
    for start in range(0, REQUESTS, LOOK):
        evidence = {name: one.after(tests[name][start : start + LOOK]) for name, one in evidence.items()}
        if judge(going, intervals(evidence, plan), time.time()).call == "back":
            return start + LOOK
    return None


def spread(name: str, found: Sequence[int | None]) -> dict[str, float]:
    """The share of runs that were rolled back in time, and after how many requests; those that were not count whole."""
    counted = [REQUESTS if one is None else one for one in found]
    return {
        f"{name}_rolled_back_share": float(np.mean([one is not None for one in found])),
        f"{name}_requests_p50": float(np.median(counted)),
        f"{name}_requests_p95": float(np.percentile(counted, 95)),
        f"{name}_requests_most": max(counted),
    }


def query_seconds(model: open_autoglm.Model, sample: Sample) -> Numbers:
    """What the known queries take, one at a time."""
    return np.array([timed(lambda query=query: model.embed_texts([query])) for query in sample.queries * 3])


def costs(model: open_autoglm.Model, sample: Sample, rounds: int) -> dict[str, float]:
    """Milliseconds of an embedding for those who are answered, without a rollout and while one compares."""
    pictures = sample.pictures[:24]
    sides: dict[str, float | None] = {"no_rollout": None, "shadow_10_percent": 0.1, "shadow_100_percent": 1.0}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name in sorted(sides, key=lambda name: (turn + list(sides).index(name)) % len(sides)):
            seconds[name] += asyncio.run(answered(model, pictures, sides[name]))
    figures = {}
    for name, all_of_it in seconds.items():
        for quantile in (50, 99):
            figures[f"{name}_p{quantile}_ms"] = 1000 * float(np.percentile(all_of_it, quantile))
    for name in list(sides)[1:]:
        for quantile in (50, 99):
            ratio = figures[f"{name}_p{quantile}_ms"] / figures[f"no_rollout_p{quantile}_ms"]
            figures[f"{name}_p{quantile}_times"] = ratio
    return figures


async def answered(model: open_autoglm.Model, pictures: Sequence[bytes], shadow: float | None) -> list[float]:
    """Seconds of each of some requests that come at half of what one thread can do."""
    models = InProcess(model)
    one = timed(lambda: model.embed_images([pictures[0]]))
    with tempfile.TemporaryDirectory() as folder, kept(Path(folder)) as store:
        async with Rollout(models, store, RolloutSettings(file=Path(folder) / "x")) as rollout:
            if shadow is not None:
                await rollout.start(Plan("photos@2", shadow=shadow, requests=10**9), "benchmark")
            return await asyncio.gather(*[late(rollout, picture, at * 2 * one) for at, picture in enumerate(pictures)])


async def late(rollout: Rollout, picture: bytes, seconds: float) -> float:
    """Seconds of a request that comes after some."""
    await asyncio.sleep(seconds)
    before = time.perf_counter()
    (await rollout.answer([Job(EmbedImage(picture))]))[0].get()
    return time.perf_counter() - before


def over_http(
    generator: np.random.Generator, model: open_autoglm.Model, live: Side, sample: Sample, share: float
) -> dict[str, float]:
    """A candidate that ranks worse by ``share``, from start to rollback through a server, its store and its rules."""
    candidate = worse(live, sample.right, share, generator)
    known_vectors = {
        name: dict(zip([*sample.pictures, *sample.queries], [*side.gallery.views, *side.queries], strict=True))
        for name, side in (("photos@1", live), ("photos@2", candidate))
    }
    with tempfile.TemporaryDirectory() as folder:
        probe = written(sample, Path(folder))
        with (
            server(InProcess(model, known_vectors), Path(folder)) as address,
            httpx.Client(base_url=address, timeout=60) as client,
        ):
            plan = {"action": "start", "candidate": "photos@2", "shadow": 1.0, "probe": str(probe), "requests": 10**6}
            client.post("/v1/rollout", json=plan).raise_for_status()
            stands = client.get("/v1/rollout").json()
            while stands["rollout"] and not stands["rollout"]["figures"]:  # both look at the probe's pictures first
                client.get("/embed", params={"text": "a red apple"}).raise_for_status()
                time.sleep(0.1)
                stands = client.get("/v1/rollout").json()
            before, sent = time.perf_counter(), 0
            while stands["rollout"] and sent < REQUESTS:
                for number in range(LOOK):
                    client.get("/embed", params={"text": f"photo number {sent + number}"}).raise_for_status()
                    time.sleep(0.02)
                sent += LOOK
                stands = client.get("/v1/rollout").json()
    decision = stands["decisions"][0]
    print(json.dumps({"over HTTP": decision["sentence"]}))
    return {
        "http_ranks_worse_by": share,
        "http_rolled_back": float(decision["kind"] == "rolled back"),
        "http_requests_compared": decision["figures"].get(ERRORS, {"n": sent})["n"],
        "http_seconds": time.perf_counter() - before,
    }


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


if __name__ == "__main__":
    main()
