"""``autoglm train`` as its user meets it: from a recipe to a bundle that answers, and plain words about mistakes."""

from __future__ import annotations

import html
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch_parts import one_thread as one_thread
from training_parts import folder as folder
from training_parts import pictures_csv, prepare_folder, recipe, write_recipe
from typer.testing import CliRunner, Result

import open_autoglm
from open_autoglm.cli import app
from open_autoglm.errors import DataError
from open_autoglm.training.command import outcome_in_words
from open_autoglm.training.interruption import Interruption
from open_autoglm.training.outcome import Outcome
from open_autoglm.training.preflight_finding import Finding
from open_autoglm.training.preflight_kept import Preflight, keep, kept
from open_autoglm.training.preflight_overfit import Overfit, expected, verdict
from open_autoglm.training.reading import read_recipe
from open_autoglm.training.run import folder_of, start, train


def autoglm(*words: object) -> Result:
    return CliRunner().invoke(app, ["train", *(str(word) for word in words)])


def mistake(*words: object) -> str:
    """The one sentence about a user's mistake, after whatever was shown before."""
    result = autoglm(*words)
    assert result.exit_code == 2, (result.stdout, result.stderr, result.exception)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def finished(folder: Path) -> tuple[Path, dict[str, Any]]:
    """A recipe that was trained to its end, and what the command printed for machines."""
    path = write_recipe(folder, data={"validation_share": 0.25}, optimisation={"average": {"decay": 0.5}})
    result = autoglm(path, "--json", "--set", "optimisation.epochs=3")
    assert result.exit_code == 0, (result.stderr, result.exception)
    assert "learning_rate: 0.001" in result.stderr  # the recipe in full
    assert "validation: " in result.stderr
    return path, json.loads(result.stdout)


def test_a_recipe_becomes_a_bundle_that_answers(finished: tuple[Path, dict[str, Any]], folder: Path) -> None:
    path, outcome = finished
    run = folder / "runs" / "tiny"
    assert outcome["bundle"] == str(run / "bundle")
    assert (outcome["step"], outcome["stopped"]) == (6, False)
    assert 0 <= outcome["figures"]["mean_recall"] <= 1
    wanted = {"recipe.yaml", "log.jsonl", "checkpoints", "bundle", "facts.json", "report.html"}
    assert wanted <= {one.name for one in run.iterdir()}
    assert read_recipe(run / "recipe.yaml") == read_recipe(path, ["optimisation.epochs=3"])
    model = open_autoglm.load(run / "bundle")
    assert model.embed_texts(["a photo of a red apple"]).shape == (1, 16)
    assert model.embed_images([next((folder / "pictures").glob("*.png"))]).shape == (1, 16)
    assert "mean recall" in (run / "bundle" / "README.md").read_text()


def test_a_finished_run_is_left_alone(finished: tuple[Path, dict[str, Any]]) -> None:
    assert "is finished" in mistake(finished[0])
    assert "is finished" in mistake(finished[0], "--resume")


def test_a_run_that_only_lacks_its_bundle_gets_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_recipe(folder)
    with monkeypatch.context() as broken:
        broken.setattr("open_autoglm.training.finishing.write_bundle", lambda *_: 1 / 0)
        assert isinstance(autoglm(path, "--to", tmp_path).exception, ZeroDivisionError)
    result = autoglm(path, "--to", tmp_path, "--resume")
    assert result.exit_code == 0, (result.stderr, result.exception)
    assert f"Wrote the bundle {tmp_path / 'tiny' / 'bundle'}" in result.stdout
    assert "Trained 6 of 6 steps" in result.stdout
    assert "The data was not looked over before the training" in (tmp_path / "tiny" / "report.html").read_text()


def test_a_stopped_run_says_how_to_go_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "open_autoglm.training.interruption.Interruption.on_train_begin",
        lambda self, *_, **__: setattr(self, "requested", True),
    )
    result = autoglm(write_recipe(folder), "--to", tmp_path, "--set", "optimisation.learning_rate=1e-4")
    assert result.exit_code == 130
    said = " ".join(result.stdout.split())
    assert said.startswith("Stopped after 1 of 6 steps in 0 s; go on with: autoglm train ")
    assert not (tmp_path / "tiny" / "bundle").exists()
    again = autoglm(*said.partition("autoglm train ")[2].split())  # with what was set before, and where it was
    assert (again.exit_code, again.stdout.startswith("Stopped after 2 of 6 steps")) == (130, True), again.stderr


def test_ctrl_c_is_answered_at_once_and_the_time_until_then_is_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(self: Interruption, args: Any, state: Any, *_: Any, **__: Any) -> None:
        if state.global_step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Interruption, "on_step_begin", press)
    result = autoglm(write_recipe(folder, output={"log_every": 100}), "--to", tmp_path)
    assert (result.exit_code, result.stdout.startswith("Stopped after 3 of 6 steps")) == (130, True), result.stderr
    assert "Stopping after this step; Ctrl+C again stops at once." in result.stderr
    logged = [json.loads(line)["step"] for line in (tmp_path / "tiny" / "log.jsonl").read_text().splitlines()]
    assert logged == [1, 3]
    result = autoglm(write_recipe(folder), "--to", tmp_path / "other", "--check")
    assert (result.exit_code, result.stdout) == (130, ""), result.stderr


def test_rows_that_cannot_be_used_are_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("open_autoglm.training.preflight_overfit.STEPS", 2)
    table = Path(pictures_csv(tmp_path))
    table.write_text(table.read_text() + "gone.png,a cup\n")
    path = write_recipe(folder, data={"train": {"path": str(table)}, "validation_share": 0.25})
    named = "pictures.csv, line 26: "
    checked = autoglm(path, "--to", tmp_path, "--check").stdout
    assert "warning: 1 of 25 rows of train were skipped" in checked and named in checked
    result = autoglm(path, "--to", tmp_path)
    assert result.exit_code == 0, (result.stderr, result.exception)
    assert "train: 18 pictures" in result.stderr and "validation: 6 pictures" in result.stderr
    assert "1 of 25 rows skipped" in result.stderr and named in result.stderr
    refused = autoglm(path, "--to", tmp_path, "--set", "data.train.max_bad_share=0", "--set", "name=strict")
    assert refused.exit_code == 2
    assert refused.stderr.splitlines()[-2].startswith("1 of 25 rows of ")
    assert refused.stderr.splitlines()[-1].startswith(f"  {named}")


def test_a_mistake_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    path = write_recipe(folder)
    assert "did you mean optimisation.epochs" in mistake(path, "--set", "optimisation.epoch=3")
    assert "cannot be read" in mistake(tmp_path / "missing.yaml")
    assert "no checkpoint to go on from" in mistake(path, "--to", tmp_path, "--resume")
    assert "do not fill a batch" in mistake(path, "--to", tmp_path, "--set", "optimisation.batch_size=500")
    assert not (tmp_path / "tiny").exists()


def test_the_check_says_whether_the_model_can_learn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("open_autoglm.training.preflight_overfit.STEPS", 40)
    path = write_recipe(folder, data={"augmentation": None}, optimisation={"learning_rate": 3e-3, "batch_size": 24})
    result = autoglm(path, "--check", "--json")
    assert result.exit_code == 0, (result.stderr, result.stdout, result.exception)
    found = json.loads(result.stdout)
    assert found["passed"] is True
    assert found["overfit"]["pairs"] == 24
    assert found["overfit"]["losses"][1] < found["overfit"]["losses"][0]
    assert any(finding["kind"] == "overfit" for finding in found["findings"])
    assert not (folder / "runs" / "tiny" / "check").exists()


def test_the_check_says_what_to_change(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("open_autoglm.training.preflight_overfit.STEPS", 10)
    path = write_recipe(folder, optimisation={"learning_rate": 1e-9, "frozen": ["text"]})
    result = autoglm(path, "--check")
    assert result.exit_code == 2
    assert "hardly learns" in result.stdout
    assert "Raise optimisation.learning_rate (1e-09)" in result.stdout
    assert "frozen text" in result.stdout
    assert "Not ready" in result.stdout


def test_data_with_errors_is_not_learned_from(folder: Path, tmp_path: Path) -> None:
    table = pictures_csv(tmp_path, 12)
    path = write_recipe(folder, data={"validation": {"path": table}, "train": {"path": table}})
    result = autoglm(path, "--check", "--json")
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert (found["passed"], found["overfit"]) == (False, None)
    assert any("same pictures in two splits" in finding["kind"] for finding in found["findings"])


def test_what_the_check_found_is_in_the_report(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("open_autoglm.training.preflight_overfit.STEPS", 2)
    path = write_recipe(folder, optimisation={"learning_rate": 1e-9})
    checked = json.loads(autoglm(path, "--to", tmp_path, "--check", "--json").stdout)["findings"]
    assert "overfit" in {finding["kind"] for finding in checked}
    result = autoglm(path, "--to", tmp_path, "--set", "optimisation.learning_rate=1e-3", "--set", "output.keep=1")
    assert result.exit_code == 0, (result.stderr, result.exception)
    facts = json.loads((tmp_path / "tiny" / "facts.json").read_text())
    assert facts["findings"] == checked
    assert facts["preflight"] == "Found with this data and another recipe: optimisation.learning_rate was 1e-09."
    page = html.unescape((tmp_path / "tiny" / "report.html").read_text())
    assert all(said in page for said in (facts["preflight"], *(finding["what"] for finding in checked)))


def test_a_run_tells_its_own_check_from_another_s(tmp_path: Path) -> None:
    made = recipe(prepare_folder(tmp_path), optimisation={"steps": 1})
    run = folder_of(made)
    identity = start(made, run).trainer.identity
    assert kept(run, identity).checked.startswith("The data was not looked over")
    found = Finding("small batch", "warning", "It is small.", "Raise it.", 3, ("one", "two"))
    keep(run, identity, [found])
    assert kept(run, identity) == Preflight((found,), "Found with the recipe and the data of this training.")
    keep(run, replace(identity, data={"train": "other"}), [found])
    assert kept(run, identity) == Preflight(
        (), "Other data than this was looked over: autoglm train --check does it anew."
    )
    for damaged in ("{", "[]", '{"findings": []}', '{"recipe": {}, "data": {}, "findings": [{"examples": 1}]}'):
        (run / "preflight.json").write_text(damaged)
        with pytest.raises(DataError, match=r"preflight\.json .*: remove it"):
            train(made)
    assert not (run / "facts.json").exists()


def test_several_processes_go_on_as_several(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = Outcome(Path("runs/shop"), None, 3, 16, 14.0, {}, stopped=True)
    assert [*outcome_in_words(outcome)] == [
        "Stopped after 3 of 16 steps in 14 s; go on with: autoglm train runs/shop/recipe.yaml --resume"
    ]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    (said,) = outcome_in_words(outcome)
    assert "torchrun --nproc-per-node 2 -m open_autoglm train runs/shop/recipe.yaml --resume" in said


def test_the_help_has_an_example() -> None:
    result = autoglm("--help")
    assert result.exit_code == 0
    assert "autoglm train recipes/grocery.yaml --check" in result.stdout


def test_a_written_recipe_is_yaml(folder: Path) -> None:
    assert yaml.safe_load(write_recipe(folder).read_text())["name"] == "tiny"


def evaluate(*words: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *(str(word) for word in words)])


def test_a_bundle_is_measured_on_what_its_training_kept(finished: tuple[Path, dict[str, Any]], folder: Path) -> None:
    run, outcome = folder / "runs" / "tiny", finished[1]
    result = evaluate(run / "bundle", "--json")
    assert result.exit_code == 0, (result.stderr, result.exception)
    assert str(run / "report.html") in result.stderr.replace("\n", "")
    found = json.loads(result.stdout)
    assert found["pictures"] == 6
    assert {name: found["figures"][name] for name in outcome["figures"] if name != "mean_recall"} == pytest.approx(
        {name: value for name, value in outcome["figures"].items() if name != "mean_recall"}
    )
    assert json.loads((run / "evaluation.json").read_text())["fingerprint"] == found["fingerprint"]
    assert "Pictures found for a text" in (run / "report.html").read_text()
    (run / "evaluation.json").unlink()
    other = evaluate("open-autoglm-base", run / "recipe.yaml", "--json")  # another bundle on the same pictures
    assert json.loads(other.stdout)["fingerprint"] == found["fingerprint"]
    assert not (run / "evaluation.json").exists()


def test_what_an_evaluation_cannot_find_is_said(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    nothing_kept = write_recipe(tmp_path, data={"train": {"path": finished[0].with_name("pictures.csv").as_posix()}})
    for words, said in (
        (("open-autoglm-base",), "lies in no training's folder"),
        (("open-autoglm-base", finished[0], "--label", "class"), "leave out --label"),
        (("open-autoglm-base", nothing_kept), "keeps no pictures for validation"),
    ):
        result = evaluate(*words)
        assert result.exit_code == 2 and said in " ".join(result.stderr.split())


def test_a_trial_of_few_steps_tells_nothing(tmp_path: Path) -> None:
    found = verdict(Overfit(128, 2, 180.0, 0.25, 0.2, (18.9, 15.3), 1.5), recipe(tmp_path), several_views=True)
    assert found.severity == "warning"
    assert "too slow to tell" in found.what and "model.training_size" in found.advice
    assert "region_grids" in found.advice


def test_the_check_says_how_long_the_training_will_take(tmp_path: Path) -> None:
    found = Overfit(128, 20, 60.0, 0.95, 0.95, (4.0, 1.0), pairs_per_second=5.0)
    by_epochs = expected(found, recipe(tmp_path, optimisation={"epochs": 10}), pictures=600)
    assert by_epochs.what == "The training takes about 20 min on this machine: 6,000 pairs at 5.0 a second."
    by_steps = recipe(tmp_path, optimisation={"steps": 150, "batch_size": 8, "accumulation": 3})
    assert "about 12 min on this machine: 3,600 pairs" in expected(found, by_steps, pictures=600).what
