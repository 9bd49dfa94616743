"""Whatever arrives, fails, dies or is cancelled, in whatever order: what the scheduler never does."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_parts import SteeredRunner, asked, job, made, run, settled, texts

from open_autoglm.serving.work import Outcome, Overloaded, WorkerDied
from open_autoglm.serving.workers.running import ModelFailed

REQUESTS = st.lists(
    st.tuples(
        st.lists(st.sampled_from("gbuc"), min_size=1, max_size=5),  # what becomes of each item
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["", "second"]),
    ),
    min_size=1,
    max_size=8,
)
STEPS = st.lists(st.sampled_from(["ask", "finish", "die", "cancel"]), min_size=1, max_size=40)


@settings(max_examples=150, deadline=None)
@given(REQUESTS, STEPS, st.integers(1, 3), st.integers(1, 4), st.integers(5, 30), st.randoms(use_true_random=False))
def test_whatever_happens_no_job_is_lost_doubled_or_given_anothers_answer(
    requests: list[tuple[list[str], str, str]], steps: list[str], at_once: int, items: int, room: int, random: Any
) -> None:
    async def work() -> None:
        runner = SteeredRunner(at_once)
        scheduler = made(runner, batch_items=items, queue_items=room)
        left, going, cancelled = list(enumerate(requests)), {}, set()
        for step in [*steps, *["ask"] * len(requests)]:
            if step == "ask" and left:
                number, (kinds, tenant, model) = left.pop()
                jobs = [job(f"{kind} {number} {place}", tenant, model) for place, kind in enumerate(kinds)]
                going[number] = await asked(scheduler, *jobs)
            elif step in ("finish", "die") and runner.held:
                getattr(runner, step)()
            elif step == "cancel" and going:
                number = random.choice(sorted(going))
                if going[number].cancel():
                    cancelled.add(number)
            await settled()
        while runner.held:
            runner.finish()
            await settled()
        await scheduler.finish_within(5)
        for number, task in going.items():
            kinds, _, model = requests[number]
            assert task.done()
            if number in cancelled:
                continue
            if isinstance(task.exception(), Overloaded):
                assert not any(f" {number} " in text for batch in runner.taken for text in texts(batch))
                continue
            for place, (kind, outcome) in enumerate(zip(kinds, task.result(), strict=True)):
                check(runner, f"{kind} {number} {place}", model or "first", outcome)
        tried = Counter(text for batch in runner.taken for text in texts(batch))
        together = Counter(text for batch in runner.taken for text in texts(batch) if len(batch.tasks) > 1)
        assert all(tried[text] <= (2 if text[0] in "uc" and together[text] else 1) for text in tried)
        assert all(len(batch.tasks) <= items for batch in runner.taken)

    run(work())


def check(runner: SteeredRunner, text: str, model: str, outcome: Outcome) -> None:
    """An outcome is the job's own."""
    assert outcome.model == model
    if text in runner.died_of and isinstance(outcome.error, WorkerDied):
        return
    if text.startswith("b"):
        assert str(outcome.error) == f"{text} is bad."
    elif text.startswith("u"):
        assert isinstance(outcome.error, ModelFailed)
    else:
        assert outcome.get() == f"{model}: {text}"
