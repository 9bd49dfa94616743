"""A recipe is read into typed settings; what is unknown or of a wrong type is refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from training_parts import content, write_recipe

from open_autoglm.errors import SettingError
from open_autoglm.objectives import MomentumSchedule
from open_autoglm.training.building import build_objective
from open_autoglm.training.reading import parse_recipe, read_recipe, to_plain, to_yaml
from open_autoglm.training.recipe import Average, ObjectiveSettings


def refused(path: Path, *changes: str, **sections: Any) -> str:
    with pytest.raises(SettingError) as error:
        read_recipe(write_recipe(path, **sections), changes)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_a_recipe_is_typed_and_complete(tmp_path: Path) -> None:
    made = read_recipe(
        write_recipe(
            tmp_path,
            optimisation={"learning_rate": "1e-3", "average": {"decay": 0.9}, "rates": {"text.tower": 1}},
            momentum={"start": 0.9},
            data={"train": {"path": ["a.csv", "b.csv"]}, "augmentation": None},
            objective=[{"name": "siglip"}, {"name": "triplet", "weight": 2}],
        )
    )
    assert made.optimisation.learning_rate == 1e-3  # YAML reads 1e-3 as text
    assert made.optimisation.rates == {"text.tower": 1.0}
    assert made.optimisation.average == Average(0.9)
    assert made.momentum == MomentumSchedule(start=0.9)
    assert made.data.train.paths == ("a.csv", "b.csv")
    assert made.data.augmentation is None
    assert made.objectives == (ObjectiveSettings("siglip"), ObjectiveSettings("triplet", weight=2.0))
    assert made.name == "tiny"


def test_it_is_printed_in_full_and_reads_back_as_the_same(tmp_path: Path) -> None:
    made = read_recipe(write_recipe(tmp_path, objective=[{"name": "triplet", "settings": {"margin": 0.2}}]))
    again = parse_recipe(yaml.safe_load(to_yaml(made)), "itself")
    assert again == made
    assert {"beta2", "clip", "checkpointing"} <= set(to_plain(made)["optimisation"])


def test_its_name_is_the_file_s_where_it_has_none(tmp_path: Path) -> None:
    path = tmp_path / "flowers.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in content(tmp_path).items() if key != "name"}))
    assert read_recipe(path).name == "flowers"


def test_settings_are_changed_from_outside(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    made = read_recipe(path, ["optimisation.epochs=7", "momentum.start=0.5", "optimisation.frozen=[vision]"])
    assert (made.optimisation.epochs, made.optimisation.frozen) == (7.0, ("vision",))
    assert made.momentum is not None and made.momentum.start == 0.5


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"optimisation": {"learning_rte": 1}}, "optimisation.learning_rte; did you mean optimisation.learning_rate?"),
        ({"optimization": {"epochs": 1}}, "no setting optimization; did you mean optimisation?"),
        ({"batch_size": 8}, "no setting batch_size; did you mean optimisation.batch_size?"),
        ({"data": {"trian": {}}}, "data.trian; did you mean data.train?"),
        ({"data": {"train": {"pth": "x"}}}, "data.train.pth; did you mean data.train.path?"),
        ({"data": {"train": {}}}, "data.train.path is missing"),
        ({"optimisation": {"learning_rate": "fast"}}, "optimisation.learning_rate is 'fast': give a number"),
        ({"optimisation": {"batch_size": 2.5}}, "optimisation.batch_size is 2.5: give a whole number"),
        ({"optimisation": {"batch_size": True}}, "optimisation.batch_size is true: give a whole number"),
        ({"optimisation": {"bf16": 1}}, "optimisation.bf16 is 1: give true or false"),
        ({"optimisation": {"frozen": "vision"}}, "optimisation.frozen is 'vision': give a list"),
        ({"optimisation": {"schedule": "step"}}, "one of cosine, linear, constant"),
        ({"optimisation": {"batch_size": 0}}, "optimisation: batch_size is 0: it must be at least 1"),
        ({"optimisation": {"rates": {"text": "x"}}}, "optimisation.rates.text is 'x'"),
        ({"evaluation": {"metric": "r1"}}, "evaluation.metric: there is no 'r1'"),
        ({"model": {"towers": {"vision": "a", "text": "b"}}}, "either with start or with towers"),
        ({"objective": "siglip"}, "objective is 'siglip': give settings or a list"),
        ({"momentum": {"start": 2}}, "momentum:"),
        ({"data": {"augmentation": {"mirror": 3}}}, "data.augmentation:"),
        ({"name": "../up"}, "name is '../up'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, sections: dict[str, Any], said: str) -> None:
    message = refused(tmp_path, **sections)
    assert said in message
    assert "tiny.yaml" in message


@pytest.mark.parametrize(
    "template",
    ["a photo", "", "a {colour} {}", "a {name}", "a {:>9}", "a {!r}", "a {0}", "a {}, a {}", "a {", "{{}} {}"],
)
def test_a_template_that_no_bundle_takes_is_refused_before_the_training(tmp_path: Path, template: str) -> None:
    message = refused(tmp_path, output={"template": template})
    assert f"output: the template is {template!r}" in message
    assert message.endswith("write it like 'a photo of a {}'.")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("optimisation.epoch=1", "did you mean optimisation.epochs"),
        ("epochs", "write key=value"),
        ("optimisation.epochs=[", "not YAML"),
        ("optimisation.epochs=many", "give a number"),
    ],
)
def test_a_wrong_change_is_refused(tmp_path: Path, change: str, said: str) -> None:
    assert said in refused(tmp_path, change)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "is empty"), ("- 1", "is empty or no mapping"), ("a: [", "is not YAML"), (None, "cannot be read")],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "bad.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingError, match=said):
        read_recipe(path)


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        (ObjectiveSettings("contrastiv"), "did you mean contrastive"),
        (
            ObjectiveSettings("triplet", {"margn": 1}),
            r"settings\.margn; did you mean objective\.settings\.margin",
        ),
        (ObjectiveSettings("triplet", {"margin": "wide"}), r"objective\.settings\.margin is 'wide': give a number"),
        (ObjectiveSettings("triplet", {"mining": "soft"}), "no mining 'soft'"),
    ],
)
def test_objectives_are_checked_against_what_they_take(objective: ObjectiveSettings, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        build_objective([objective], 16)


@pytest.mark.parametrize("model", [None, {}, {"picture_size": 96}])
def test_data_is_all_that_must_be_said(tmp_path: Path, model: Any) -> None:
    said = {"data": {"train": {"path": "my.csv"}}} | ({} if model is None else {"model": model})
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(said))
    made = read_recipe(tmp_path / "my.yaml")
    assert (made.name, made.model.start) == ("my", "open-autoglm-base")
