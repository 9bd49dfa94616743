"""Rollouts as people meet them: who is answered by which version, and how a candidate comes to be live, or not."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from rollout_parts import InProcess, Loading, Stale, by, failing, kinds, quick, rolling, slow, traffic, until, vectors

from open_autoglm.bundle import find_bundle
from open_autoglm.errors import BundleError, ImageError, SettingError
from open_autoglm.serving.rollout import Plan, Rules, Store
from open_autoglm.serving.work import Ask, EmbedText, Job, UnknownModel, WorkerDied

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rollout.sqlite"


def two(candidate: object = None, space: str = "space-1") -> InProcess:
    return InProcess({"photos@1": ("space-1", vectors()), "photos@2": (space, candidate or vectors())})  # type: ignore[dict-item]


def ended(status: dict) -> bool:
    return status["rollout"] is None


async def test_without_a_rollout_a_public_name_is_answered_by_the_first_version(file: Path) -> None:
    async with rolling(two(), file) as rollout:
        assert [one.name for one in rollout.served] == ["photos"]
        jobs = [Job(EmbedText("x"), model=name) for name in ("", "photos", "photos@2")]
        assert [outcome.model for outcome in await rollout.answer(jobs)] == ["photos@1", "photos@1", "photos@2"]
        with pytest.raises(UnknownModel):
            await rollout.answer([Job(EmbedText("x"), model="films")])


async def test_nobody_is_answered_by_the_candidate_before_it_proved_itself(file: Path) -> None:
    async with rolling(two(), file) as rollout:
        await rollout.start(quick(requests=10**6), "ada")
        answered = await rollout.answer([by(f"person {number}") for number in range(200)])
        assert {outcome.model for outcome in answered} == {"photos@1"}


async def test_a_good_candidate_goes_step_by_step_until_it_is_live(file: Path) -> None:
    async with rolling(two(), file) as rollout:
        await rollout.start(quick(), "ada")
        status = await traffic(rollout, ended)
        assert kinds(status) == ["started", *["step"] * 5, "promoted"]
        weights = [decision["sentence"].split()[-3] for decision in reversed(status["decisions"][1:6])]
        assert weights == ["1%", "5%", "25%", "50%", "100%"]
        both = {"photos": {"answers": "photos@2", "embeddings": "photos@2"}}
        await until(lambda status: status["live"] == both, rollout)
        assert (await rollout.answer([Job(EmbedText("x"))]))[0].model == "photos@2"
        proven = status["decisions"][0]["figures"]
        assert proven["errors"]["high"] < 0.01 and proven["agreement"]["low"] > -0.03


async def test_a_person_stays_with_the_version_and_a_higher_weight_moves_nobody_back(file: Path) -> None:
    people = [by(f"person {number}") for number in range(400)]
    answered: dict[int, set[int]] = {}
    async with rolling(two(), file) as rollout:
        # So long stays a step that all people are answered in it.
        await rollout.start(quick(steps=(0.05, 0.25, 0.5), by_hand=True, seconds=2.0), "ada")
        for step in (1, 2, 3):
            await traffic(rollout, lambda status, step=step: status["rollout"]["step"] == step)
            first, again = await rollout.answer(people), await rollout.answer(people)
            assert [one.model for one in first] == [one.model for one in again]
            answered[step] = {number for number, one in enumerate(first) if one.model == "photos@2"}
            assert (await rollout.status())["rollout"]["step"] == step
    assert answered[1] < answered[2] < answered[3]
    assert 0.18 < len(answered[2]) / len(people) < 0.33


async def test_who_cannot_be_told_apart_is_answered_by_chance(file: Path) -> None:
    async with rolling(two(), file) as rollout:
        await rollout.start(quick(steps=(0.5, 1.0), requests=400), "ada")
        await traffic(rollout, lambda status: status["rollout"]["step"] == 1)
        outcomes = await rollout.answer([Job(Ask(b"x", "y")) for _ in range(200)])
        assert 60 < sum(outcome.model == "photos@2" for outcome in outcomes) < 140


async def test_a_candidate_that_ranks_otherwise_is_rolled_back(file: Path) -> None:
    pictures = [f"picture {number}".encode() for number in range(40)]
    async with rolling(two(vectors(turn=0.6)), file, pictures=lambda: pictures) as rollout:
        await rollout.start(quick(), "ada")
        status = await traffic(rollout, ended)
        assert kinds(status) == ["started", "rolled back"]
        assert "answers otherwise" in status["decisions"][0]["sentence"]
        assert status["decisions"][0]["figures"]["agreement"]["high"] < -0.03
        assert (await rollout.answer([Job(EmbedText("x"))]))[0].model == "photos@1"


async def test_noise_that_both_have_is_no_reason(file: Path) -> None:
    pictures = [f"picture {number}".encode() for number in range(40)]
    noisy = InProcess({f"photos@{n}": ("space-1", vectors(noise=0.1)) for n in (1, 2)})
    async with rolling(noisy, file, pictures=lambda: pictures) as rollout:
        await rollout.start(quick(requests=500), "ada")
        status = await traffic(rollout, lambda status: ended(status) or status["rollout"]["step"] > 0)
        assert "rolled back" not in kinds(status)
        assert status["rollout"]["means"]["agreement"] < 0.95


@pytest.mark.parametrize("start", [0, 1])
async def test_a_candidate_that_fails_more_often_is_rolled_back_and_nobody_notices(file: Path, start: int) -> None:
    bad = failing(vectors(), 0.3, RuntimeError("out of memory"))
    async with rolling(two(bad), file) as rollout:
        steps = (0.5, 1.0)
        await rollout.start(quick(steps=steps, requests=1 if start else 20), "ada")
        status = await traffic(rollout, ended)  # fails where a person's request does
        assert kinds(status)[-1] == "rolled back"
        assert "fails more" in status["decisions"][0]["sentence"]


async def test_what_people_do_wrong_is_not_the_candidates_fault(file: Path) -> None:
    wrong = failing(vectors(), 1.0, ImageError("This is no picture."))
    models = InProcess({"photos@1": ("space-1", wrong), "photos@2": ("space-1", wrong)})
    async with rolling(models, file) as rollout:
        await rollout.start(quick(requests=10**6), "ada")
        while rollout._attendant.shadow is None:  # what comes before is not compared
            await asyncio.sleep(0.01)
        for number in range(100):
            outcome = (await rollout.answer([by(f"person {number}")]))[0]
            assert isinstance(outcome.error, ImageError)
        status = await until(lambda status: status["rollout"]["compared"] >= 80, rollout)
        assert status["rollout"]["figures"]["errors"]["mean"] == 0
        assert status["rollout"]["figures"]["live errors"]["mean"] == 0


async def test_a_slow_candidate_is_rolled_back_and_slows_nobody(file: Path) -> None:
    async with rolling(two(slow(vectors(), 0.01)), file) as rollout:
        await rollout.start(quick(), "ada")
        status = await traffic(rollout, ended)
        assert "slower" in status["decisions"][0]["sentence"]


async def test_workers_that_die_with_the_candidate_end_it(file: Path) -> None:
    dying = failing(vectors(), 1.0, WorkerDied("gone"))
    async with rolling(two(dying), file) as rollout:
        await rollout.start(quick(rules=Rules(deaths=3, errors=0.98, errors_margin=0.99)), "ada")
        status = await traffic(rollout, ended)
        assert "workers in a row died" in status["decisions"][0]["sentence"]


async def test_a_candidate_of_another_space_may_answer_but_not_embed(file: Path) -> None:
    async with rolling(two(space="space-2"), file) as rollout:
        with pytest.raises(SettingError, match="another space"):
            await rollout.start(quick(canary=("embeddings",)), "ada")
        await rollout.start(quick(), "ada")
        status = await traffic(rollout, lambda status: status["rollout"]["compared"] > 200)
        assert status["rollout"]["kinds"] == ("answers",) or status["rollout"]["kinds"] == ["answers"]
        assert status["rollout"]["step"] == 0 and "promote it by hand" in status["rollout"]["waits_for"]
        await rollout.promote("ada")
        jobs = [Job(EmbedText("x")), Job(Ask(b"x", "y"))]
        assert [outcome.model for outcome in await rollout.answer(jobs)] == ["photos@1", "photos@2"]
        assert rollout.served[0].space == "space-1"
        assert "whose space is another" in (await rollout.status())["decisions"][0]["sentence"]


async def test_an_abort_ends_it_at_once(file: Path) -> None:
    async with rolling(two(), file) as rollout:
        await rollout.start(quick(), "ada")
        await rollout.abort("bob")
        decision = (await rollout.status())["decisions"][0]
        assert (decision["kind"], decision["by"]) == ("aborted", "bob")
        for action in (rollout.abort, rollout.promote):
            with pytest.raises(SettingError, match="No rollout"):
                await action("bob")


async def test_by_hand_it_waits_for_a_person(file: Path) -> None:
    async with rolling(two(), file) as rollout:
        await rollout.start(quick(by_hand=True, steps=(1.0,)), "ada")
        status = await traffic(
            rollout,
            lambda status: "waits for a person" in status["rollout"]["waits_for"] and status["rollout"]["step"] == 1,
        )
        assert kinds(status) == ["started", "step"]


async def test_several_processes_agree_and_a_restart_goes_on(file: Path) -> None:
    async with rolling(two(), file) as one, rolling(two(), file) as other:
        await one.start(quick(steps=(1.0,), requests=100), "ada")
        await until(lambda status: status["rollout"], other)
        await asyncio.gather(
            *(traffic(each, lambda s: ended(s) or s["rollout"]["compared"] > 200) for each in (one, other))
        )
        before = (await one.status())["rollout"]["compared"]
    async with rolling(two(), file) as again:
        status = await again.status()
        assert status["rollout"]["compared"] >= before > 200
        status = await traffic(again, ended)
        assert kinds(status).count("promoted") == 1
    async with rolling(two(), file) as later:
        assert (await later.answer([Job(EmbedText("x"))]))[0].model == "photos@2"


async def test_a_bundle_is_loaded_for_the_rollout_and_let_go_after_it(file: Path) -> None:
    models = Loading({"photos": ("space-1", vectors())})
    bundle = find_bundle("open-autoglm-base")
    async with rolling(models, file, loader=models) as rollout:
        await rollout.start(quick(str(bundle)), "ada")
        assert (await rollout.status())["rollout"]["candidate"] == "photos@2"
        assert "photos@2" in models.versions and [one.name for one in rollout.served] == ["photos"]
        await rollout.abort("ada")
        assert "photos@2" not in models.versions
        with pytest.raises(BundleError):
            await rollout.start(quick("no-such-bundle"), "ada")


async def test_a_bundle_that_cannot_be_loaded_is_rolled_back(file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.symlink_to(find_bundle("open-autoglm-base") or "")
    models = Loading({"photos": ("space-1", vectors())})
    async with rolling(models, file, loader=models) as rollout:
        await rollout.start(quick(str(broken)), "ada")
        decision = (await rollout.status())["decisions"][0]
        assert decision["kind"] == "rolled back" and "graph is damaged" in decision["sentence"]
        assert (await rollout.answer([Job(EmbedText("x"))]))[0].model == "photos"


async def test_a_candidate_that_is_gone_fails_nobody(file: Path) -> None:
    models = two()
    async with rolling(models, file) as rollout:
        await rollout.start(quick(steps=(1.0,), by_hand=True), "ada")
        await traffic(rollout, lambda status: status["rollout"]["step"] == 1)
        assert (await rollout.answer([by("ada")]))[0].model == "photos@2"
        shadow = rollout._attendant.shadow
        assert shadow is not None
        await until(lambda status: shadow._waiting.empty(), rollout)  # or what waits would fail with it first
        versions = rollout.versions
        gone = models.versions.pop("photos@2")
        rollout._inner = Stale(models, versions.by_name)  # type: ignore[assignment]
        outcomes = await rollout.answer([by("ada"), Job(EmbedText("x"), model="photos@1")])
        assert [outcome.model for outcome in outcomes] == ["photos@1", "photos@1"] and not outcomes[0].error
        status = await until(ended, rollout)
        assert "not served" in status["decisions"][0]["sentence"]
        models.versions["photos@2"] = gone


async def test_who_asks_for_a_version_gets_that_one_or_its_failure(file: Path) -> None:
    bad = failing(vectors(), 1.0, RuntimeError("out of memory"))
    async with rolling(two(bad, space="space-2"), file) as rollout:
        await rollout.start(quick(), "ada")
        outcome = (await rollout.answer([Job(EmbedText("x"), model="photos@2")]))[0]
        assert isinstance(outcome.error, RuntimeError) and outcome.space == "space-2"
        assert "candidate errors" not in (await rollout.status())["rollout"]["figures"]


async def test_feedback_counts_once_a_person_and_minute(file: Path) -> None:
    async with rolling(two(), file) as rollout:
        assert not await rollout.feedback("photos@1", "ada", 1.0)
        await rollout.start(quick(), "ada")
        assert await rollout.feedback("photos@2", "ada", 1.0)
        assert not await rollout.feedback("photos@2", "ada", 1.0)
        assert not await rollout.feedback("films@1", "bob", 1.0)
        for number in range(60):
            await rollout.feedback("photos@1", f"person {number}", 1.0)
            await rollout.feedback("photos@2", f"other {number}", 0.1)
        status = await until(ended, rollout)
        assert "What people choose stands lower" in status["decisions"][0]["sentence"]


async def test_decisions_cannot_be_changed(file: Path) -> None:
    async with rolling(two(), file) as rollout:
        await rollout.start(quick(), "ada")
    database = sqlite3.connect(file)
    for statement in ("DELETE FROM decisions", "UPDATE decisions SET by = 'eve'"):
        with pytest.raises(sqlite3.IntegrityError):
            database.execute(statement)
    database.close()


async def test_a_full_queue_drops_copies_and_no_answer(file: Path) -> None:
    async with rolling(two(slow(vectors(), 0.2)), file, waiting=2) as rollout:
        await rollout.start(quick(), "ada")
        await asyncio.sleep(0.05)
        for number in range(50):
            assert (await rollout.answer([by(f"person {number}")]))[0].error is None
        status = await until(lambda status: status["rollout"]["dropped"] > 40, rollout)
        assert status["rollout"]["compared"] < 10


WRONG = [
    ({"candidate": ""}, "no candidate"),
    ({"candidate": "photos@1"}, "live already"),
    ({"candidate": "films@7"}, "not served"),
    ({"model": "films"}, "No model"),
    ({"shadow": 0}, "share to shadow"),
    ({"steps": (0.5, 0.1)}, "steps"),
    ({"probe": "/no/such/probe"}, "not on the server"),
    ({"requests": 0}, "at least 1"),
]


@pytest.mark.parametrize(("changes", "said"), WRONG)
async def test_a_plan_that_cannot_be_followed_is_one_sentence(file: Path, changes: dict, said: str) -> None:
    async with rolling(two(), file) as rollout:
        with pytest.raises(SettingError, match=said):
            await rollout.start(quick(**changes), "ada")
        assert (await rollout.status())["rollout"] is None


async def test_one_rollout_at_a_time(file: Path) -> None:
    async with rolling(two(), file) as rollout:
        await rollout.start(quick(), "ada")
        with pytest.raises(SettingError, match="under way"):
            await rollout.start(quick(), "ada")


@pytest.mark.parametrize("rules", [{"alpha": 0}, {"worse": 0.5}, {"slower": 1}, {"deaths": 0}, {"errors": -1}])
def test_rules_that_make_no_sense_are_refused(rules: dict) -> None:
    with pytest.raises(SettingError):
        Plan("x", rules=Rules(**rules))


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no database, " * 100)
    with pytest.raises(SettingError, match="cannot be kept"):
        Store(tmp_path / "x")
