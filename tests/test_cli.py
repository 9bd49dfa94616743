"""The command line as its user meets it: answers, JSON, interruption and pipes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_parts import AUTOGLM, COLOURS, autoglm, document, draw, mistake
from cli_parts import pictures as pictures
from cli_parts import shared as shared
from PIL import Image

from open_autoglm.bundle import shipped_folder
from open_autoglm.cli import COMMANDS
from open_autoglm.cli.metadata import read_cell
from open_autoglm.cli.searching import split_weight
from open_autoglm.cli.streams import showable
from open_autoglm.cli.vectors import embed_all
from open_autoglm.errors import ImageError, MissingExtra, needing

WORDS = [*([name] for name in COMMANDS), ["bundle"], ["bundle", "show"], ["bundle", "verify"]]


# Help and version


@pytest.mark.parametrize("command", WORDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(command: list[str]) -> None:
    result = autoglm(*command, "--help")
    assert result.exit_code == 0
    assert "autoglm " + " ".join(command) in result.stdout.split("Example")[1]


def test_no_argument_shows_the_commands() -> None:
    result = autoglm()
    assert result.exit_code == 0
    assert all(command[0] in result.stdout for command in WORDS)


def test_version_and_help_load_no_model_code() -> None:
    program = (
        "import sys\nfrom open_autoglm.cli import app\n"
        "try: app([sys.argv[1]])\nfinally: assert not {'numpy', 'onnxruntime', 'torch'} & set(sys.modules)"
    )
    for word in ("--version", "--help"):
        done = subprocess.run([sys.executable, "-c", program, word], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "autoglm" in done.stdout


# Index and search


def test_index_says_what_it_did_and_what_to_type_next(pictures: Path, tmp_path: Path) -> None:
    target = tmp_path / "photos.index"
    first = autoglm("index", pictures, "--to", target)
    assert first.exit_code == 0, first.stderr
    assert "3 pictures" in first.stdout and "3 added" in first.stdout
    assert f'autoglm search {target} "a red apple"' in first.stdout
    assert first.stderr == ""
    (pictures / "blue.png").unlink()
    again = document("index", pictures, "--to", target)
    assert (again["unchanged"], again["removed"], again["pictures"]) == (2, 1, 2)


def test_index_names_ten_skipped_files_and_json_names_all(pictures: Path, tmp_path: Path) -> None:
    for number in range(12):
        (pictures / f"broken{number}.jpg").write_bytes(b"no picture")
    result = autoglm("index", pictures, "--to", tmp_path / "photos.index")
    assert result.exit_code == 0
    assert result.stdout.count("  skipped ") == 10
    assert "and 2 more" in result.stdout
    listed = document("index", pictures, "--to", tmp_path / "other.index")
    assert len(listed["skipped"]) == 12
    assert all(entry["reason"] and "broken" in entry["path"] for entry in listed["skipped"])


def test_index_into_an_empty_folder(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert document("index", pictures, "--to", tmp_path / "empty")["added"] == 3


def test_an_emptied_folder_is_kept_until_prune_says_otherwise(pictures: Path, tmp_path: Path) -> None:
    target = tmp_path / "photos.index"
    assert document("index", pictures, "--to", target)["added"] == 3
    for name in COLOURS:
        (pictures / name).unlink()
    assert "--prune" in mistake("index", pictures, "--to", target)
    pruned = document("index", pictures, "--to", target, "--prune")
    assert (pruned["removed"], pruned["pictures"]) == (3, 0)


def test_a_moved_bundle_is_named_once_and_then_remembered(pictures: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(shipped_folder() / "open-autoglm-base", first)
    manifest = json.loads((first / "manifest.json").read_text())
    (first / "manifest.json").write_text(json.dumps(manifest | {"name": "mine"}))
    target = tmp_path / "photos.index"
    assert document("index", pictures, "--to", target, "--model", first)["added"] == 3
    first.rename(second)
    assert "--model" in mistake("search", target, "a ball")
    assert "--model" in mistake("index", pictures, "--to", target)
    assert len(document("search", target, "a ball", "--all", "--model", second)["hits"]) == 3
    assert document("index", pictures, "--to", target, "--model", second)["unchanged"] == 3
    assert len(document("search", target, "a ball", "--all")["hits"]) == 3


def test_search_by_words_picture_and_likeness(shared: Path) -> None:
    index = shared / "photos.index"
    hits = document("search", index, "a red ball", "--all")["hits"]
    assert len(hits) == 3
    assert hits == sorted(hits, key=lambda hit: -hit["score"])
    assert len(document("search", index, "a red ball", "--all", "-k", 2)["hits"]) == 2
    best = document("search", index, "--image", shared / "pictures" / "blue.png")["hits"][0]
    assert Path(best["path"]).name == "blue.png"
    similar = document("search", index, "--like", best["id"], "--all")["hits"]
    assert {Path(hit["path"]).name for hit in similar} >= {"red.png", "green.png"}


def test_search_by_several_texts_by_picture_and_words_and_by_what_is_written(shared: Path) -> None:
    index = shared / "photos.index"
    plain = document("search", index, "a red ball", "--all")["hits"]
    away = document("search", index, "a ball", "--without", "a red ball:0.5", "--without", "green", "--all")["hits"]
    assert len(plain) == len(away) == 3
    also = document("search", index, "--also", "a red ball:2", "--all")["hits"]
    assert [hit["id"] for hit in also] == [hit["id"] for hit in plain]
    like_blue = document("search", index, "a ball", "--image", shared / "pictures" / "blue.png")["hits"]
    assert like_blue[0]["path"].endswith("blue.png")
    assert document("search", index, "zzz 007 round", "--written", "--where", "price > 10")["hits"] == []
    assert len(document("search", index, "round", "--written", "--where", "price > 10")["hits"]) == 1
    assert split_weight("3:2 screens") == ("3:2 screens", 1.0)
    assert split_weight("a ratio of 3 : .5") == ("a ratio of 3", 0.5)


def test_search_shows_a_table(shared: Path) -> None:
    result = autoglm("search", shared / "photos.index", "a ball", "--all")
    assert result.exit_code == 0
    header, *rows = result.stdout.splitlines()
    assert header.split() == ["score", "id", "picture"]
    assert all(row.split()[2].endswith(".png") for row in rows) and len(rows) == 3


def test_where_filters_by_the_table_of_facts(shared: Path) -> None:
    index = shared / "photos.index"
    hits = document("search", index, "a ball", "--all", "--where", "price < 10")["hits"]
    assert [Path(hit["path"]).name for hit in hits] == ["red.png"]
    assert hits[0]["metadata"] == {"price": 5, "kind": "round"}


def test_no_match_is_said_plainly(shared: Path) -> None:
    result = autoglm("search", shared / "photos.index", "a ball", "--where", "price > 1000")
    assert result.exit_code == 0
    assert 'photos.index matches "a ball"; --all shows the closest.' in result.stdout
    assert document("search", shared / "photos.index", "a ball", "--where", "price > 1000")["hits"] == []


def test_a_very_long_query_is_answered(shared: Path) -> None:
    long = "a red ball on a white table " * 3600
    assert len(long) > 100_000
    assert len(document("search", shared / "photos.index", long, "--all")["hits"]) == 3
    nothing = autoglm("search", shared / "photos.index", long, "--where", "price > 1000")
    assert len(nothing.stdout) < 1000


# Vectors and labels


def test_embed_prints_json_lines(pictures: Path) -> None:
    result = autoglm("embed", pictures / "red.png", "--text", "a red apple", "--text", "a dog")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line.get("text") for line in lines] == [None, "a red apple", "a dog"]
    assert lines[0]["image"].endswith("red.png")
    for line in lines:
        assert np.linalg.norm(line["vector"]) == pytest.approx(1, abs=1e-3)


def test_embed_writes_an_array_and_json_lines_alike(pictures: Path, tmp_path: Path) -> None:
    files = [pictures / name for name in COLOURS]
    assert autoglm("embed", *files, "--to", tmp_path / "v.npy").exit_code == 0
    assert document("embed", *files, "--to", tmp_path / "v.jsonl")["used"] == 3
    array = np.load(tmp_path / "v.npy")
    assert array.dtype == np.float32
    lines = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text().splitlines()]
    assert [Path(line["image"]).name for line in lines] == list(COLOURS)
    np.testing.assert_allclose(array, [line["vector"] for line in lines], atol=1e-6)


def test_embed_names_what_it_passes_over_and_keeps_the_rows(pictures: Path, tmp_path: Path) -> None:
    (pictures / "notes.txt").write_text("no picture")
    result = autoglm("embed", pictures / "notes.txt", pictures / "red.png", "--to", tmp_path / "v.npy")
    assert result.exit_code == 0
    assert "notes.txt" in result.stderr
    array = np.load(tmp_path / "v.npy")
    assert np.isnan(array[0]).all() and np.isfinite(array[1]).all()


class Counting:
    """Stands for a model: knows pictures whose name does not begin with "bad", and notes how many come together."""

    name, space, dimension = "counting", "space", 2

    def __init__(self) -> None:
        self.calls: list[int] = []

    def embed_images(self, files: list[str]) -> Any:
        self.calls.append(len(files))
        if bad := [file for file in files if file.startswith("bad")]:
            raise ImageError(f"{bad[0]} is no picture.")
        return np.array([[float(file), 1] for file in files], np.float32)

    embed_texts = embed_images


def test_embed_takes_inputs_together_and_singles_out_where_one_fails() -> None:
    model: Any = Counting()
    files = [Path(str(number)) for number in range(40)]
    done = embed_all(model, files, ["90", "91"], lambda done, total: None)
    assert model.calls == [16, 16, 8, 2] and not done.skipped
    assert done.vectors[:, 0].tolist() == [*range(40), 90, 91]
    files[20] = Path("bad")
    model.calls.clear()
    done = embed_all(model, files, ["90", "bad too"], lambda done, total: None)
    assert model.calls == [16, 16, *[1] * 16, 8, 2, 1, 1]
    assert done.skipped == {20: "bad is no picture.", 41: "bad too is no picture."}
    assert np.isnan(done.vectors[[20, 41]]).all() and np.isfinite(np.delete(done.vectors, [20, 41], 0)).all()


def test_classify_gives_probabilities(pictures: Path) -> None:
    answer = document("classify", pictures / "red.png", "--label", "a ball", "--label", "a dog")
    assert set(answer["probabilities"]) == {"a ball", "a dog", "none of these"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    shown = autoglm("classify", pictures / "red.png", "--label", "a ball", "--label", "[/b]a dog")
    assert "%" in shown.stdout and "[/b]a dog" in shown.stdout


# Bundles


def test_bundle_show_and_verify() -> None:
    shown = document("bundle", "show", "open-autoglm-base")
    assert shown["name"] == "open-autoglm-base" and shown["sources"]
    assert "Apache-2.0" in autoglm("bundle", "show", "open-autoglm-base").stdout
    assert document("bundle", "verify", "open-autoglm-base")["problems"] == []


def test_verify_finds_a_changed_byte(tmp_path: Path) -> None:
    copy = shutil.copytree(shipped_folder() / "open-autoglm-base", tmp_path / "copy")
    card = copy / "README.md"
    content = bytearray(card.read_bytes())
    content[0] ^= 1
    card.write_bytes(content)
    result = autoglm("bundle", "verify", copy)
    assert result.exit_code == 2
    assert "README.md" in result.stderr
    as_json = autoglm("bundle", "verify", copy, "--json")
    assert as_json.exit_code == 2
    assert not json.loads(as_json.stdout)["sound"]


def test_import_without_its_packages_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys\nsys.modules['torch'] = None\nfrom open_autoglm.cli import main\nmain()"
    command = [sys.executable, "-c", program, "import", str(tmp_path), "--to", str(tmp_path / "bundle")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install -c constraints.txt -e '.[train]'" in done.stderr and "Traceback" not in done.stderr


def test_a_fault_in_an_import_is_not_taken_for_a_missing_package() -> None:
    for name in ("open_autoglm.nowhere", "torch.nowhere"):
        with pytest.raises(ModuleNotFoundError, match="nowhere"), needing("Training", "train"):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
    with pytest.raises(MissingExtra), needing("Training", "train"):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")


# Names, pipes, interruption and the server, in a process of its own


def test_names_that_are_not_text_or_steer_the_terminal(pictures: Path, tmp_path: Path) -> None:
    draw(pictures / "plain.png", (9, 9, 9)).rename(os.fsdecode(os.fsencode(pictures) + b"/caf\xe9.png"))
    draw(pictures / "plain.png", (99, 9, 9)).rename(pictures / "\x1b[2Jclear.png")
    target = tmp_path / "photos.index"
    assert document("index", pictures, "--to", target)["added"] == 5
    command = [*AUTOGLM, "search", str(target), "a ball", "--all"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert b"\x1b" not in done.stdout and "clear.png" in done.stdout.decode("utf-8")
    command = [*AUTOGLM, "embed", os.fsdecode(os.fsencode(pictures) + b"/caf\xe9.png"), "--json"]
    done = subprocess.run(command, capture_output=True, check=True)
    (vector,) = json.loads(done.stdout.decode("utf-8"))["vectors"]
    assert os.fsencode(vector["image"]).endswith(b"/caf\xe9.png")


def test_a_closed_pipe_is_no_error(shared: Path) -> None:
    for words in (["search", str(shared / "photos.index"), "a ball", "--all"], ["bundle", "show", "--json"]):
        command = [*AUTOGLM, *words] + (["open-autoglm-base"] if words[0] == "bundle" else [])
        reading, writing = os.pipe()
        os.close(reading)
        quiet = os.environ | {"PYTHONWARNINGS": "ignore"}  # a processor without VNNI is warned of
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, env=quiet)
        os.close(writing)
        assert done.returncode == 1
        assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "words", [["--version"], ["bundle", "show", "open-autoglm-base"], ["bundle", "show", "--help"]]
)
def test_a_full_disk_below_stdout_is_a_sentence(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*AUTOGLM, *words], stdout=full, stderr=subprocess.PIPE, text=True)
        unheard = subprocess.run([*AUTOGLM, *words], stdout=full, stderr=full)
    assert done.returncode == unheard.returncode == 2
    assert done.stderr == "The system refused to read or write: No space left on device.\n"


@pytest.mark.parametrize("words", [["--version"], ["bundle", "show", "open-autoglm-base", "--json"]])
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(words: list[str], closed: str) -> None:
    done = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *AUTOGLM, *words], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""


def test_letters_that_turn_the_writing_round_are_shown_as_escapes() -> None:
    assert showable("a\u202egpj.exe\u200b") == "a\\u202egpj.exe\\u200b"
    assert showable("Käse 日本 🍎") == "Käse 日本 🍎"


def test_interrupted_indexing_says_so_and_goes_on(tmp_path: Path) -> None:
    folder, target = tmp_path / "many", tmp_path / "photos.index"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(300):
        Image.fromarray(noise.integers(0, 256, (400, 400, 3), np.uint8)).save(folder / f"{number}.jpg")
    command = [*AUTOGLM, "index", str(folder), "--to", str(target)]
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background ignores interrupts, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not target.exists() and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == 130
    assert stderr == "Stopped.\n"
    for extra in range(5, 300):
        (folder / f"{extra}.jpg").unlink()
    assert document("index", folder, "--to", target)["pictures"] == 5


def test_serve_answers_until_interrupted(shared: Path) -> None:
    command = [*AUTOGLM, "serve", str(shared / "photos.index"), "--port", "0"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    line = running.stdout.readline()
    address = next(word for word in line.split() if word.startswith("http"))
    with urllib.request.urlopen(address, timeout=30) as page:
        assert page.status == 200
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode in (0, 130)
    assert "Traceback" not in stderr


def test_serve_on_a_port_in_use(shared: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) in mistake("serve", shared / "photos.index", "--port", port)


@pytest.mark.parametrize(
    ("cell", "fact"),
    [
        ("5", 5),
        ("-0.5", -0.5),
        ("1e3", 1000.0),
        ("007", "007"),
        ("nan", "nan"),
        ("1_0", "1_0"),
        ("1e999", "1e999"),
        ("12345678901234567890", "12345678901234567890"),
        ("red", "red"),
    ],
)
def test_cells_that_are_numbers_and_cells_that_only_look_like_it(cell: str, fact: object) -> None:
    assert read_cell(cell) == fact
    assert type(read_cell(cell)) is type(fact)
