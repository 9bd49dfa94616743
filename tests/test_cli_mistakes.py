"""The command line and what it cannot use: one clear sentence each, and nothing is made or lost."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_parts import SAMPLES, autoglm, document, mistake
from cli_parts import pictures as pictures
from cli_parts import shared as shared
from PIL import Image

from open_autoglm.bundle import shipped_folder
from open_autoglm.cli import console
from open_autoglm.search import Hit


def test_arguments_that_make_no_sense() -> None:
    assert "--colour" in mistake("--colour")
    assert "--colour" in mistake("search", "x", "--colour")
    assert "search" in mistake("serch")
    assert "-k" in mistake("search", "x", "words", "-k", 0)
    assert "--label" in mistake("classify", __file__)
    assert "--port" in mistake("serve", "x", "--port", 70000)


def test_missing_folder_makes_no_index(tmp_path: Path) -> None:
    assert "missing" in mistake("index", tmp_path / "missing", "--to", tmp_path / "photos.index")
    assert not (tmp_path / "photos.index").exists()


def test_empty_paths(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    index, red = shared / "photos.index", shared / "pictures" / "red.png"
    for words in (
        ["index", "", "--to", "new"],
        ["index", shared / "pictures", "--to", ""],
        ["index", shared / "pictures", "--to", "new", "--model", ""],
        ["search", "", "a ball"],
        ["search", index, "a ball", "--model", ""],
        ["serve", ""],
        ["embed", red, "--to", ""],
        ["import", shared, "--to", ""],
        ["bundle", "show", ""],
    ):
        assert "empty" in mistake(*words)
    assert not list(tmp_path.iterdir())


def test_names_too_long_for_the_system(pictures: Path, tmp_path: Path) -> None:
    long = "x" * 300
    assert long in mistake("search", tmp_path / long, "a ball")
    assert long in mistake("index", pictures, "--to", tmp_path / long)
    assert mistake("bundle", "verify", tmp_path / long)
    assert mistake("embed", tmp_path / long)


def test_what_the_system_refuses_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise PermissionError(13, "Permission denied", "bundle/manifest.json")

    monkeypatch.setattr("open_autoglm.bundle.Bundle.open", refuse)
    assert mistake("bundle", "verify", "x") == "bundle/manifest.json cannot be used: Permission denied.\n"


def test_too_large_a_picture_is_told_without_an_option_there_is_not(tmp_path: Path) -> None:
    Image.new("1", (20_000, 6_000)).save(tmp_path / "large.png")
    assert "shrink it, or in Python raise max_pixels" in mistake("embed", tmp_path / "large.png")


@pytest.mark.parametrize("command", ["search", "serve"])
def test_what_is_no_index(command: str, tmp_path: Path, pictures: Path) -> None:
    words = ["a ball"] if command == "search" else []
    assert "nowhere" in mistake(command, tmp_path / "nowhere", *words)
    assert "pictures" in mistake(command, pictures, *words)
    (tmp_path / "index.sqlite").write_text("no database, but long enough to be read as one" * 100)
    assert str(tmp_path) in mistake(command, tmp_path, *words)


def test_queries_that_cannot_be_answered(shared: Path) -> None:
    index, text = shared / "photos.index", shared / "facts.csv"
    assert mistake("search", index, "")
    assert mistake("search", index, "  ")
    assert mistake("search", index)
    assert mistake("search", index, "a ball", "--like", 1)
    assert "999" in mistake("search", index, "--like", 999)
    assert "only what is not wanted" in mistake("search", index, "--without", "a ball")
    assert "given twice" in mistake("search", index, "a ball", "--without", "a ball")
    assert "between" in mistake("search", index, "a ball", "--also", "red:1000")
    assert "empty" in mistake("search", index, "a ball", "--without", "")
    assert "facts.csv" in mistake("search", index, "--image", text)
    assert "gone.jpg" in mistake("search", index, "--image", shared / "gone.jpg")
    assert "price <" in mistake("search", index, "a ball", "--where", "price <")


def test_looking_twice_needs_a_model_that_matches(shared: Path) -> None:
    assert mistake("search", shared / "photos.index", "a red apple", "--rerank", "50") == (
        "open-autoglm-base cannot look twice: take a bundle that was trained with task: match.\n"
    )
    assert "Only a search by words can look twice" in mistake(
        "search", shared / "photos.index", "--like", "1", "--rerank", "50"
    )
    assert "--rerank" in mistake("search", shared / "photos.index", "a red apple", "--rerank", "0")


def test_what_was_looked_at_twice_is_shown_as_probabilities(capsys: pytest.CaptureFixture[str]) -> None:
    hits = [
        Hit(1, "a.jpg", 0.3, {}, match=0.9714),
        Hit(2, "b.jpg", 0.4, {}, note="b.jpg is not there."),
    ]
    console.show_hits(hits, Path("shop.index"), "milk")
    shown = capsys.readouterr()
    assert shown.out.split() == ["match", "id", "picture", "97.1%", "1", "a.jpg", "-", "2", "b.jpg"]
    assert shown.err == "Not looked at twice, it keeps its place: b.jpg is not there.\n"


def test_unknown_bundle(pictures: Path, tmp_path: Path) -> None:
    assert "no-such-bundle" in mistake("bundle", "show", "no-such-bundle")
    assert "no-such-bundle" in mistake("index", pictures, "--to", tmp_path / "x", "--model", "no-such-bundle")
    assert "no-such-bundle" in mistake("embed", "--text", "a dog", "--model", "no-such-bundle")


def test_index_of_another_model(shared: Path, tmp_path: Path) -> None:
    other = shutil.copytree(shipped_folder() / "open-autoglm-base", tmp_path / "other")
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest | {"name": "other", "space": "other-space"}))
    copy = shutil.copytree(shared / "photos.index", tmp_path / "photos.index")
    for command in (["search", copy, "a ball"], ["index", shared / "pictures", "--to", copy]):
        assert "other" in mistake(*command, "--model", other)


def test_ask_answers_with_regions_and_draws_them(tmp_path: Path) -> None:
    photo = SAMPLES / "pineapple.jpg"
    answer = document("ask", photo, "is there a pineapple?")
    assert answer["answer"] == "yes" and 0.6 <= answer["confidence"] <= 1
    assert all(len(region["box"]) == 4 and 0 <= region["score"] <= 1 for region in answer["regions"])
    drawn = autoglm("ask", photo, "where is the pineapple?", "--show", tmp_path / "where.png")
    assert drawn.exit_code == 0 and "% sure)" in drawn.stdout, drawn.stderr
    with Image.open(tmp_path / "where.png") as shown, Image.open(photo) as plain:
        assert shown.size == plain.size
        assert np.abs(np.asarray(shown, np.int16) - np.asarray(plain.convert("RGB"), np.int16)).max() > 100
    chosen = document("ask", photo, "what is it?", "--choices", "laptop, pineapple,")
    assert chosen["answer"] == "pineapple"


def test_ask_says_what_it_cannot_tell() -> None:
    answer = document("ask", SAMPLES / "pineapple.jpg", "why is it here?")
    assert (answer["answer"], answer["confidence"], answer["regions"]) == (None, 0, [])
    assert "I can't tell. It can tell" in autoglm("ask", SAMPLES / "pineapple.jpg", "why is it here?").stdout


def test_ask_refuses_what_it_cannot_use(pictures: Path, tmp_path: Path) -> None:
    photo = pictures / "red.png"
    assert "empty" in mistake("ask", photo, "")
    assert "at most 500" in mistake("ask", photo, "is there a " + "very " * 200 + "red ball?")
    assert "does not exist" in mistake("ask", tmp_path / "none.png", "is there a dog?")
    assert "is not a picture" in mistake("ask", __file__, "is there a dog?")
    assert ".png or .jpg" in mistake("ask", photo, "is there a dog?", "--show", tmp_path / "where.txt")
    assert "no folder" in mistake("ask", photo, "is there a dog?", "--show", tmp_path / "none" / "where.png")
    assert "at least one label" in mistake("ask", photo, "what is this?", "--choices", " , ")


def test_embed_and_classify_refuse_what_is_no_picture(pictures: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no picture")
    assert "notes.txt" in mistake("embed", notes)
    assert mistake("embed")
    assert mistake("embed", "--text", "")
    assert "v.csv" in mistake("embed", pictures / "red.png", "--to", tmp_path / "v.csv")
    assert "nowhere" in mistake("embed", pictures / "red.png", "--to", tmp_path / "nowhere" / "v.npy")
    assert "notes.txt" in mistake("classify", notes, "--label", "cat")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"name,price\na,1\n", "path"),
        (b"path,price\na.png\n", "line 2"),
        (b"path\n\xff\xfe\n", "UTF-8"),
        (b"path,price,price\na.png,1,2\n", "2 columns named 'price'"),
        (b"path,price\na.png,1\nb.png,2\na.png,3\n", "line 4, names a.png a second time"),
        (b"path,price\n ,1\n", "line 2, has an empty 'path'"),
    ],
)
def test_a_table_of_facts_that_is_none(pictures: Path, tmp_path: Path, content: bytes, named: str) -> None:
    table = tmp_path / "facts.csv"
    table.write_bytes(content)
    target = tmp_path / "photos.index"
    assert named in mistake("index", pictures, "--to", target, "--metadata", table)
    assert not target.exists()


def test_verbose_shows_where_an_error_came_from(tmp_path: Path) -> None:
    for words in (["--verbose", "search", tmp_path, "x"], ["search", tmp_path, "x", "--verbose"]):
        result = autoglm(*words)
        assert result.exit_code == 2
        assert "Traceback" in result.stderr


def test_nothing_is_said_to_be_certain() -> None:
    said = [console.sureness(confidence) for confidence in (0.5, 0.994, 0.996, 1.0)]
    assert said == ["50%", "99%", "over 99%", "over 99%"]


def test_a_warning_is_a_sentence() -> None:
    code = """
import sys, warnings
from open_autoglm import cli
cli.app = lambda prog_name: warnings.warn("This is slow: use another.", RuntimeWarning)
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "This is slow: use another.\n"
