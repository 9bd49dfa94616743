"""The scheduler: who runs with whom and when, what is refused, and that no job is lost, doubled or mixed up."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from scheduling_parts import SteeredRunner, Written, answered, asked, job, made, pictures, run, settled, texts

from open_autoglm.errors import ImageError, SettingError, TextError
from open_autoglm.serving.caller import Caller
from open_autoglm.serving.work import (
    EmbedViews,
    Expired,
    Job,
    Overloaded,
    UnknownModel,
    WorkerDied,
)
from open_autoglm.serving.workers.running import ModelFailed


def test_what_waits_runs_together_across_requests_and_an_idle_runner_is_not_kept_waiting() -> None:
    async def work() -> None:
        runner, observer = SteeredRunner(), Written()
        scheduler = made(runner, observer)
        requests = [await asked(scheduler, job(text)) for text in ("one", "two", "three")]
        assert [texts(batch) for batch in runner.taken] == [["one"]]
        runner.finish()
        await settled()
        assert texts(runner.taken[1]) == ["two", "three"]
        outcomes = [(await answered(runner, request))[0] for request in requests]
        assert [outcome.get() for outcome in outcomes] == ["first: one", "first: two", "first: three"]
        assert {(outcome.model, outcome.space) for outcome in outcomes} == {("first", "space-1")}
        assert observer.batches == [1, 2] and observer.most_waiting >= 2
        assert Counter(stage for stage, *_ in observer.stages) == {"queue": 3, "inference": 3}

    run(work())


def test_a_batch_has_one_model_one_kind_and_no_more_than_the_limits() -> None:
    async def work() -> None:
        runner = SteeredRunner()
        scheduler = made(runner, batch_items=3, batch_characters=10)
        first = await asked(scheduler, job("x"))
        texts_of_first = ["a", "h", "i", "j", "123456", "z" * 50]
        rest = await asked(scheduler, *(job(text) for text in texts_of_first), job("12345", model="second"))
        await answered(runner, first)
        assert (await answered(runner, rest))[-1].get() == "second: 12345"
        assert [texts(batch) for batch in runner.taken[1:]] == [["a", "h", "i"], ["j", "123456"], ["z" * 50], ["12345"]]

    run(work())


def test_tenants_take_turns() -> None:
    async def work() -> None:
        runner = SteeredRunner()
        scheduler = made(runner, batch_items=4)
        busy = await asked(scheduler, job("x"))
        many = await asked(scheduler, *(job(f"many {number}", "loud") for number in range(20)))
        few = await asked(scheduler, job("one", "quiet"), job("two", "quiet"))
        await answered(runner, busy)
        assert sorted(texts(runner.taken[1])) == ["many 0", "many 1", "one", "two"]
        await answered(runner, few)
        assert not many.done()
        await answered(runner, many)

    run(work())


def test_a_bad_item_has_its_own_error_and_its_neighbours_their_answers() -> None:
    async def work() -> None:
        runner = SteeredRunner()
        request = await asked(made(runner), job("good"), job("bad"), job("fine"))
        good, bad, fine = await answered(runner, request)
        assert (good.get(), fine.get()) == ("first: good", "first: fine")
        with pytest.raises(TextError, match="bad is bad"):
            bad.get()
        assert len(runner.taken) == 1

    run(work())


def test_what_fails_beside_others_is_tried_once_more_alone() -> None:
    async def work() -> None:
        runner = SteeredRunner()
        request = await asked(made(runner), job("good"), job("company is bad for me"), job("useless"))
        good, alone, useless = await answered(runner, request)
        assert (good.get(), alone.get()) == ("first: good", "first: company is bad for me")
        assert isinstance(useless.error, ModelFailed)
        assert [texts(batch) for batch in runner.taken[1:]] == [["company is bad for me"], ["useless"]]

    run(work())


def test_a_picture_that_is_none_never_reaches_the_runner() -> None:
    async def work() -> None:
        runner, caller = SteeredRunner(), Caller("a", "somebody", frozenset())
        whole = pictures(1)[0]
        for content, said in ((b"no picture", "is not a JPEG"), (whole[:200], "cut short"), (b"", "is empty")):
            (outcome,) = await made(runner).answer([Job(EmbedViews(content), caller=caller)])
            assert isinstance(outcome.error, ImageError) and said in str(outcome.error)
        assert runner.taken == []

    run(work())


def test_a_model_is_not_asked_for_what_it_does_not_do() -> None:
    async def work() -> None:
        runner = SteeredRunner()
        (outcome,) = await made(runner).answer([Job(EmbedViews(pictures(1)[0]), "second")])
        assert isinstance(outcome.error, SettingError) and "second makes no such vectors" in str(outcome.error)
        assert runner.taken == []

    run(work())


def test_more_than_the_queue_holds_is_refused_whole_and_by_one_rule() -> None:
    async def work() -> None:
        runner = SteeredRunner()
        scheduler = made(runner, queue_items=4)
        waiting = [await asked(scheduler, job("x")), await asked(scheduler, job("1"), job("2"), job("3"))]
        with pytest.raises(Overloaded) as many:
            await scheduler.answer([job("4"), job("5")])
        assert many.value.retry_after >= 1
        waiting.append(await asked(scheduler, job("4")))
        with pytest.raises(Overloaded):
            await scheduler.answer([job("5")])
        for request in waiting:
            await answered(runner, request)
        assert Counter(text for batch in runner.taken for text in texts(batch)) == Counter(["x", "1", "2", "3", "4"])
        with pytest.raises(SettingError, match="at most 4"):
            await scheduler.answer([job(str(number)) for number in range(5)])

    run(work())


def test_when_to_come_again_follows_from_how_fast_the_queue_drains() -> None:
    async def work() -> None:
        runner = SteeredRunner(seconds=2.0)
        scheduler = made(runner, queue_seconds=5.0, batch_items=1)
        await answered(runner, await asked(scheduler, job("aa")))  # one second a character
        requests = [await asked(scheduler, job(text * 4)) for text in "xyz"]
        with pytest.raises(Overloaded, match="8 s") as refused:
            await scheduler.answer([job("late")])
        assert refused.value.retry_after == pytest.approx(8)
        runner.seconds = 0.0
        for request in requests:
            await answered(runner, request)
        assert (await answered(runner, await asked(scheduler, job("late"))))[0].get() == "first: late"

    run(work())


def test_what_waits_or_runs_too_long_is_given_up() -> None:
    async def work() -> None:
        runner = SteeredRunner()
        scheduler = made(runner)
        requests = [await asked(scheduler, job(text, seconds=0.02)) for text in "xy"]
        for request in requests:
            (outcome,) = await request
            with pytest.raises(Expired, match=r"within 0\.02 s"):
                outcome.get()
        runner.finish()
        await settled()
        assert [texts(batch) for batch in runner.taken] == [["x"]]
        assert (await answered(runner, await asked(scheduler, job("z"))))[0].get() == "first: z"

    run(work())


def test_a_cancelled_request_leaves_the_queue() -> None:
    async def work() -> None:
        runner = SteeredRunner()
        scheduler = made(runner, queue_items=2)
        running = await asked(scheduler, job("x"))
        gone = await asked(scheduler, job("1"), job("2"))
        gone.cancel()
        await settled()
        there = await asked(scheduler, job("3"), job("4"))
        await answered(runner, running)
        await answered(runner, there)
        assert sorted(text for batch in runner.taken for text in texts(batch)) == ["3", "4", "x"]
        await scheduler.finish_within(5)

    run(work())


def test_a_dead_worker_fails_what_it_had_and_nothing_else() -> None:
    async def work() -> None:
        runner = SteeredRunner()
        scheduler = made(runner)
        hit, spared = await asked(scheduler, job("x"), job("y")), await asked(scheduler, job("z"))
        runner.die()
        await settled()
        assert all(isinstance(outcome.error, WorkerDied) for outcome in hit.result())
        assert (await answered(runner, spared))[0].get() == "first: z"

    run(work())


def test_what_a_worker_died_of_comes_again_alone_and_is_refused_after_the_second_time() -> None:
    async def work() -> None:
        runner = SteeredRunner(at_once=2)
        scheduler = made(runner)
        first = await asked(scheduler, job("poison"), job("harmless"))
        waiting = await asked(scheduler, job("other"))  # in the runner's other hand
        runner.die()
        await settled()
        assert first.done()
        again = [await asked(scheduler, job(text)) for text in ("poison", "harmless", "poison", "fresh")]
        assert len(runner.held) == 1  # what is suspected waits until nothing else is in the runner's hands
        runner.finish()
        await settled()
        assert waiting.done() and texts(runner.held[0][0]) == ["poison"] and runner.held[0][0].alone
        runner.die()
        await settled()
        assert isinstance(again[0].result()[0].error, WorkerDied)
        refused = again[2].result()[0].error
        assert isinstance(refused, TextError) and "died twice" in str(refused) and "10 min" in str(refused)
        assert (await answered(runner, again[1]))[0].get() == "first: harmless"
        assert (await answered(runner, again[3]))[0].get() == "first: fresh"
        assert isinstance((await scheduler.answer([job("poison")]))[0].error, TextError)
        both = await asked(scheduler, job("harmless"), job("fresh"))  # acquitted: it runs beside others again
        assert [texts(batch) for batch, _ in runner.held] == [["harmless", "fresh"]]
        await answered(runner, both)

    run(work())


def test_an_unknown_model_is_named_with_those_there_are() -> None:
    async def work() -> None:
        with pytest.raises(UnknownModel, match="'third' is not served: choose one of first, second"):
            await made(SteeredRunner()).answer([job("x", model="third")])

    run(work())


def test_an_idle_model_waits_for_more_only_where_it_is_told_to() -> None:
    async def work() -> None:
        runner = SteeredRunner()
        scheduler = made(runner, gather_seconds=0.05)
        requests = [await asked(scheduler, job(text)) for text in "xyz"]
        assert runner.taken == []
        while not runner.taken:
            await asyncio.sleep(0.01)
        assert texts(runner.taken[0]) == ["x", "y", "z"]
        for request in requests:
            await answered(runner, request)
        full = made(runner, gather_seconds=30.0, batch_items=2)
        more = [await asked(full, job(text)) for text in "12"]  # as many as run at once: nothing is waited for
        for request in more:
            await answered(runner, request)

    run(work())


def test_closing_fails_what_is_left() -> None:
    async def work() -> None:
        runner = SteeredRunner()
        scheduler = made(runner)
        requests = [await asked(scheduler, job("x")), await asked(scheduler, job("y"))]
        await scheduler.close()
        for request in requests:
            assert isinstance((await request)[0].error, WorkerDied)
        assert runner.closed

    run(work())
