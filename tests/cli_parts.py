"""What the tests of the command line share: a call, its JSON, its one sentence, pictures and an index."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from open_autoglm.cli import app

AUTOGLM = [sys.executable, "-m", "open_autoglm"]
SAMPLES = Path(__file__).parent.parent / "samples" / "grocery"
COLOURS = {"red.png": (220, 20, 20), "green.png": (20, 160, 20), "blue.png": (20, 20, 220)}


def autoglm(*words: object) -> Result:
    """Runs a command in this process."""
    return CliRunner().invoke(app, [str(word) for word in words])


def document(*words: object) -> Any:
    """The JSON document that a successful command prints."""
    result = autoglm(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout_bytes.decode("utf-8"))


def mistake(*words: object) -> str:
    """The one sentence that a command prints about a user's mistake."""
    result = autoglm(*words)
    assert result.exit_code == 2, (result.stdout, result.stderr, result.exception)
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert len(result.stderr) < 1000
    assert "Traceback" not in result.stderr
    return result.stderr


def draw(path: Path, colour: tuple[int, int, int]) -> Path:
    """A picture: a disc of the colour on white."""
    pixels = np.full((96, 128, 3), 255, np.uint8)
    rows, columns = np.ogrid[:96, :128]
    pixels[(rows - 48) ** 2 + (columns - 64) ** 2 < 1600] = colour
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in COLOURS.items():
        draw(folder / name, colour)
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures/ and photos.index, which tests only read."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "pictures").mkdir()
    for name, colour in COLOURS.items():
        draw(folder / "pictures" / name, colour)
    table = folder / "facts.csv"
    table.write_text("path,price,kind\nred.png,5,round\ngreen.png,15,round\n", encoding="utf-8")
    made = autoglm("index", folder / "pictures", "--to", folder / "photos.index", "--metadata", table)
    assert made.exit_code == 0, made.stderr
    return folder
