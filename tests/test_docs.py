"""The examples of the README and the docs work as they stand, and the guide names every key of a recipe."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import shutil
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer
import yaml

from open_autoglm.bundle import find_bundle
from open_autoglm.cli import app
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMConfig
from open_autoglm.objectives import OBJECTIVES
from open_autoglm.serving.access import AccessSettings, Quota
from open_autoglm.training.building import build_objective, check_config, check_prefixes
from open_autoglm.training.reading import parse_recipe, plain
from open_autoglm.training.recipe import BASE, Recipe

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the examples take it for granted: some photos, and a few files by name."""
    photos = sorted((ROOT / "samples" / "grocery").glob("*.jpg"))[:12]
    (tmp_path / "photos").mkdir()
    for photo in photos:
        shutil.copy(photo, tmp_path / "photos")
    for name, photo in zip(("a.jpg", "b.jpg", "photo.jpg"), photos, strict=False):
        shutil.copy(photo, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_runs(code: str, desk: Path) -> None:
    exec(compile(code, str(desk), "exec"), {})


GUIDE = (ROOT / "docs" / "train-on-my-data.md").read_text(encoding="utf-8")
ANSWERS = (ROOT / "docs" / "train-to-answer.md").read_text(encoding="utf-8")
TEXTS = (ROOT / "docs" / "describe-a-picture.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE + ANSWERS + TEXTS, re.DOTALL)


def recipe_keys() -> dict[str, str]:
    """Every key of a recipe with its default in JSON: ``needed`` without one, empty for a section."""
    found: dict[str, str] = {}

    def walk(kind: Any, where: str) -> None:
        hints = get_type_hints(kind)
        for field in fields(kind):
            name = f"{where}{field.name}"
            inner = next((arm for arm in (hints[field.name], *get_args(hints[field.name])) if is_dataclass(arm)), None)
            default = field.default_factory() if field.default_factory is not MISSING else field.default
            needed = default is MISSING and inner is None and name != "name"
            default = (
                BASE if name == "model.start" else default
            )  # towers take its place, so that it is no plain default
            empty = default is MISSING or is_dataclass(default)
            found[name] = (
                "needed" if needed else "" if empty else json.dumps(plain(default)).replace("1.3333333333333333", "4/3")
            )
            if inner is not None and name != "data.validation":
                walk(inner, f"{name}.")

    walk(Recipe, "")
    return found


def test_every_key_of_a_recipe_is_in_the_guide_with_its_default() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| `?(.*?)`? \| .+ \|$", GUIDE.partition("## Every key")[2], re.MULTILINE)
    assert {key: default for key, default in rows if key not in OBJECTIVES} == recipe_keys()


def test_every_setting_of_an_objective_is_in_the_guide_with_its_default() -> None:
    table = GUIDE.partition("Settings of each objective")[2]
    wanted = {
        (name, json.dumps(one.default))
        for kind in (OBJECTIVES[name] for name in OBJECTIVES if name != "weighted_sum")
        for name, one in inspect.signature(kind).parameters.items()
        if name != "dimension"
    }
    assert set(re.findall(r"^\| (?:`\w+` )?\| `(\w+)` \| `([^`]+)` \|", table, re.MULTILINE)) == wanted


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_recipe_of_the_guide_is_read(number: int) -> None:
    written = yaml.safe_load(BLOCKS[number])
    made = parse_recipe({"name": "guide", "data": {"train": {"path": "my.csv"}}} | written, "the guide")
    build_objective(made.objectives, 512)
    check_config(made.model.config)
    names = [name for name, _ in OpenAutoGLM(OpenAutoGLMConfig.from_pretrained(find_bundle(BASE))).named_parameters()]
    check_prefixes([*made.optimisation.frozen, *made.optimisation.rates], names, "the guide")


def test_every_setting_of_access_is_in_its_guide_with_its_default() -> None:
    guide = (ROOT / "docs" / "who-may-do-what.md").read_text(encoding="utf-8").partition("## Every setting")[2]
    made = AccessSettings()
    shown = {field.name: getattr(made, field.name) for field in fields(AccessSettings)}
    defaults = {
        name: "none" if value is None or value == Quota() else json.dumps(value) for name, value in shown.items()
    }
    assert dict(re.findall(r"^\| `(\w+)` \| `?(.*?)`? \| .+ \|$", guide, re.MULTILINE)) == defaults


def commands() -> list[str]:
    """Every command of the pages, on one line each."""
    pages = [page.read_text(encoding="utf-8") for page in PAGES]
    shell = "".join(block for page in pages for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    return re.findall(r"^(?:autoglm|torchrun .* open_autoglm) ([^#\n]*)", shell.replace("\\\n", " "), re.MULTILINE)


def test_the_commands_of_the_pages_exist_with_their_options() -> None:
    known = typer.main.get_command(app).commands
    assert len(commands()) > 20
    for line in commands():
        first, *rest = shlex.split(line)
        name = f"{first} {rest[0]}" if f"{first} {rest[0]}" in known else first
        command = getattr(known[name], "commands", {}).get(rest[0] if rest else "", known[name])
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if re.match(r"--?[a-z]", word)} <= options, line
