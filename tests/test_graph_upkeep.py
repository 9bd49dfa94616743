"""The graph of an index looks after itself, and whatever becomes of its file, searches are right."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_parts import autoglm
from graph_parts import VectorModel, fill, made, recall, some_vectors
from graph_parts import small_graphs as small_graphs
from index_parts import ColourModel, environment, make, paint

from open_autoglm.errors import BundleError, IndexStoreError, MissingExtra, SettingError
from open_autoglm.search import Index, building, graph, net, stamp, upkeep
from open_autoglm.search.frozen import FILE
from open_autoglm.search.graph import Width
from open_autoglm.search.sections import Sections

pytestmark = pytest.mark.usefixtures("small_graphs")
PICTURES = 1500
NARROW = Width(links=2, building=2, searching=4)


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upkeep that does at once what it otherwise takes its time for."""
    monkeypatch.setattr(upkeep, "PATIENCE", 0.01)
    monkeypatch.setattr(upkeep, "SAMPLED", 1.0)
    monkeypatch.setattr(upkeep, "SPENT", 1.0)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs that find little, where nothing else is asked for."""
    monkeypatch.setattr(upkeep, "Width", lambda: NARROW)


def until(true: Callable[[], bool]) -> None:
    """Waits, but not for ever."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def reopened(folder: Path, model: VectorModel) -> Index:
    """The index opened anew."""
    return Index.open(folder / "vectors.index", model)  # type: ignore[arg-type]


def places(path: Path) -> dict[str, tuple[int, int]]:
    """Where the sections of a file lie, and their bytes."""
    return {name: place[:2] for name, place in Sections(path)._sections.items()}


@pytest.mark.parametrize("damage", ["empty", "short", "half", "foreign", "ids", "wholes.graph", "wholes.members"])
def test_a_damaged_graph_is_never_used_and_made_again(tmp_path: Path, damage: str) -> None:
    model, vectors = VectorModel(), some_vectors(PICTURES)
    index, ids = made(tmp_path, model, vectors)
    index.close()
    path = tmp_path / "vectors.index" / FILE
    whole = bytearray(path.read_bytes())
    if damage in places(path):
        start, length = places(path)[damage]
        whole[start + length // 2] ^= 0x40
    sized = {"empty": 0, "short": len(whole) - 1, "half": len(whole) // 2}.get(damage, len(whole))
    path.write_bytes(b"something else " * 1000 if damage == "foreign" else whole[:sized])
    with reopened(tmp_path, model) as index:
        assert recall(index, model, vectors, ids) == 1
        health = index.check()
        assert health.graph == 0
        assert health.problem
        assert health.due
        assert index.optimize()
        assert recall(index, model, vectors, ids) >= 0.97
        assert (index.check().graph, index.check().problem) == (PICTURES, "")


def test_damaged_vectors_are_found_by_a_check(tmp_path: Path) -> None:
    model, vectors = VectorModel(), some_vectors(PICTURES)
    index, ids = made(tmp_path, model, vectors)
    path = tmp_path / "vectors.index" / FILE
    start, length = places(path)["vectors"]
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(length))
    checked = autoglm("index", "check", tmp_path / "vectors.index")
    assert checked.exit_code == 0
    assert "section vectors has changed" in checked.stderr
    assert "--rebuild" in checked.stderr
    assert index.check().graph == 0
    assert recall(index, model, vectors, ids) == 1
    assert "recall@10" in autoglm("index", "check", tmp_path / "vectors.index", "--rebuild").stdout
    assert recall(index, model, vectors, ids) >= 0.97
    assert index.check().graph == PICTURES


def test_a_graph_that_is_refused_while_a_filter_is_evaluated_leaves_nothing_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = VectorModel()
    index, ids = made(tmp_path, model, some_vectors(PICTURES))
    path = tmp_path / "vectors.index" / FILE
    start, length = places(path)["vectors"]
    evaluate, refused = index._passing.of, []

    def meanwhile(*arguments: Any, **named: Any) -> Any:
        with path.open("r+b") as file:
            file.seek(start)
            file.write(bytes(length))
        checking = threading.Thread(target=lambda: refused.append(index.check().problem))
        checking.start()
        checking.join()
        return evaluate(*arguments, **named)

    monkeypatch.setattr(index._passing, "of", meanwhile)
    (hit,) = index.search("0", k=1, cut=False, where="number = 7")
    assert hit.id == ids[7] and "changed" in refused[0]


@pytest.mark.usefixtures("prompt")
def test_damaged_vectors_are_noticed_and_made_again_while_it_is_searched(tmp_path: Path) -> None:
    model, vectors = VectorModel(), some_vectors(PICTURES)
    made(tmp_path, model, vectors)[0].close()
    path = tmp_path / "vectors.index" / FILE
    start, length = places(path)["vectors"]
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(length))
    damaged = path.stat().st_ino
    with reopened(tmp_path, model) as index:
        until(lambda: len(index.search("0", cut=False)) == 10 and path.stat().st_ino != damaged)
        until(lambda: index.check().graph == PICTURES)
        assert index.search("0", cut=False)[0].score > 0


def test_the_graph_of_another_index_is_refused(tmp_path: Path) -> None:
    model, vectors = VectorModel(), some_vectors(PICTURES)
    made(tmp_path / "other", model, some_vectors(PICTURES, seed=5))[0].close()
    index, ids = made(tmp_path, model, vectors)
    index.close()
    shutil.copy(tmp_path / "other/vectors.index" / FILE, tmp_path / "vectors.index" / FILE)
    with reopened(tmp_path, model) as index:
        assert recall(index, model, vectors, ids) == 1
        assert "not made from this index" in index.check().problem


def test_a_graph_newer_than_a_restored_index_is_refused(tmp_path: Path) -> None:
    model, vectors = VectorModel(), some_vectors(PICTURES)
    index, ids = made(tmp_path, model, vectors)
    index.close()
    database = tmp_path / "vectors.index/index.sqlite"
    saved = database.read_bytes()
    with reopened(tmp_path, model) as index:
        fill(index, some_vectors(PICTURES, seed=7), start=PICTURES)
        assert index.optimize(again=True)
    for file in database.parent.glob("index.sqlite*"):
        file.unlink()
    database.write_bytes(saved)
    with reopened(tmp_path, model) as index:
        assert recall(index, model, vectors, ids) == 1
        assert index.check().problem


KILLED = """
import os, signal, sys
from graph_parts import VectorModel
from open_autoglm.search import Index, net
net.BLOCK = 100
def step(done, total):
    if done > 700:
        os.kill(os.getpid(), signal.SIGKILL)
Index.open(sys.argv[1], VectorModel()).optimize(step, again=True)
"""


def test_killed_while_a_graph_is_made_the_old_one_serves_on(tmp_path: Path) -> None:
    model, vectors = VectorModel(), some_vectors(PICTURES)
    index, ids = made(tmp_path, model, vectors)
    path = tmp_path / "vectors.index" / FILE
    before = path.stat().st_ino
    process = subprocess.run([sys.executable, "-c", KILLED, str(path.parent)], env=environment())
    assert process.returncode == -signal.SIGKILL
    assert path.stat().st_ino == before
    for opened in (index, reopened(tmp_path, model)):
        assert (opened.check().graph, opened.check().problem) == (PICTURES, "")
        assert recall(opened, model, vectors, ids) >= 0.97
    assert index.optimize(again=True)
    assert {file.name for file in path.parent.iterdir()} <= {
        *("index.sqlite", "index.sqlite-wal", "index.sqlite-shm", stamp.FILE, FILE, building.LOCK)
    }


def test_readers_go_over_to_a_graph_of_another_process(tmp_path: Path) -> None:
    model, vectors = VectorModel(), some_vectors(PICTURES)
    index, ids = made(tmp_path, model, vectors)
    with reopened(tmp_path, model) as reader:
        assert recall(reader, model, vectors, ids) >= 0.97
        more = some_vectors(300, seed=3)
        ids += fill(index, more, start=PICTURES)
        assert reader.check().newer == 300
        code = "import sys; from graph_parts import *; Index.open(sys.argv[1], VectorModel()).optimize(again=True)"
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "vectors.index")], env=environment(), check=True)
        assert recall(reader, model, np.concatenate([vectors, more]), ids) >= 0.97
        assert (reader.check().graph, reader.check().newer) == (PICTURES + 300, 0)


def test_one_graph_is_made_at_a_time(tmp_path: Path) -> None:
    index, _ = made(tmp_path, VectorModel(), some_vectors(PICTURES))
    outcomes = []
    assert index.optimize(lambda done, total: outcomes.append(index.optimize(again=True)), again=True)
    assert outcomes
    assert not any(outcomes)


def test_a_graph_that_cannot_be_written_is_a_sentence_and_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, vectors = VectorModel(), some_vectors(PICTURES)
    index, ids = made(tmp_path, model, vectors)
    (tmp_path / "vectors.index" / building.FRESH).mkdir()
    with pytest.raises(IndexStoreError, match=r"cannot be written.*searches go on"):
        index.optimize(again=True)
    assert recall(index, model, vectors, ids) >= 0.97
    (tmp_path / "vectors.index" / building.FRESH).rmdir()
    assert index.optimize(again=True)


@pytest.mark.usefixtures("prompt")
def test_a_graph_is_made_in_the_background_without_a_gap(tmp_path: Path) -> None:
    model, vectors = VectorModel(), some_vectors(PICTURES)
    index = Index.create(tmp_path / "vectors.index", model)  # type: ignore[arg-type]
    ids = fill(index, vectors)
    others = set(threading.enumerate())
    until(lambda: len(index.search("0", cut=False)) == 10 and (tmp_path / "vectors.index" / FILE).exists())
    more = some_vectors(450, seed=4)
    ids += fill(index, more, start=PICTURES)
    until(lambda: len(index.search("0", cut=False)) == 10 and index.check().graph == PICTURES + 450)
    assert recall(index, model, np.concatenate([vectors, more]), ids) >= 0.97
    index.close()
    assert not {thread.name for thread in set(threading.enumerate()) - others}


@pytest.mark.usefixtures("prompt")
def test_closing_ends_a_build_and_keeps_the_old_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net, "BLOCK", 16)
    model, vectors = VectorModel(), some_vectors(PICTURES)
    index, _ = made(tmp_path, model, vectors)
    before = (tmp_path / "vectors.index" / FILE).stat().st_ino
    fill(index, some_vectors(5000, seed=4), start=PICTURES)
    until(lambda: bool(index.search("0")) or (tmp_path / "vectors.index" / building.FRESH).exists())
    index.close()
    assert not (tmp_path / "vectors.index" / building.FRESH).exists()
    assert (tmp_path / "vectors.index" / FILE).stat().st_ino == before


@pytest.mark.usefixtures("prompt", "narrow")
def test_a_graph_that_finds_too_little_is_made_again_wider(tmp_path: Path) -> None:
    model, vectors = VectorModel(), some_vectors(PICTURES)
    index, ids = made(tmp_path, model, vectors)
    assert recall(index, model, vectors, ids) < 0.9
    poor = 1.0

    def ask() -> bool:
        nonlocal poor
        for number in range(20):
            index.search(str(number), cut=False)
        poor = min(poor, index.check(queries=1).recall_live or 1.0)
        return index._pictures.frozen is not None and index._pictures.frozen.width.searching > NARROW.searching

    until(ask)
    assert poor < 0.95
    until(lambda: ask() and recall(index, model, vectors, ids) >= 0.95)
    index.close()


@pytest.mark.usefixtures("prompt", "narrow")
def test_the_floor_is_the_users(tmp_path: Path) -> None:
    model, vectors = VectorModel(), some_vectors(PICTURES)
    index, ids = made(tmp_path, model, vectors)
    index.set_recall_floor(0)
    until(lambda: recall(index, model, vectors, ids) < 0.9 and index.check(queries=1).live_queries > 2 * upkeep.ENOUGH)
    health = index.check()
    assert (health.effort, health.floor, health.due) == (NARROW.searching, 0, "")
    assert health.recall_live is not None
    assert health.recall_live < 0.9
    index.close()
    with reopened(tmp_path, model) as index:
        assert index.check().live_queries >= health.live_queries
        for share in (-0.1, 1.5, float("nan")):
            with pytest.raises(SettingError, match="between 0 and 1"):
                index.set_recall_floor(share)


def test_without_faiss_every_picture_is_compared_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, vectors = VectorModel(), some_vectors(PICTURES)
    index, ids = made(tmp_path, model, vectors)
    index.close()
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(graph, "there", lambda: False)
    with reopened(tmp_path, model) as index:
        assert recall(index, model, vectors, ids) == 1
        assert "pip install" in index.check().problem
        with pytest.raises(MissingExtra, match=r"\[graph\]"):
            index.optimize()


def test_indexing_without_faiss_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "EXACT_VECTORS", 1)
    monkeypatch.setitem(sys.modules, "faiss", None)
    paint(tmp_path / "photos/red.png")
    done = autoglm("index", tmp_path / "photos", "--to", tmp_path / "photos.index")
    assert done.exit_code == 0
    assert "1 added" in done.stdout
    assert "[graph]" in done.stderr
    assert "compares all pictures" in done.stderr


def test_a_query_that_is_no_number_is_refused(tmp_path: Path) -> None:
    model = VectorModel()
    index, _ = made(tmp_path, model, some_vectors(PICTURES))
    model.queries = np.full((1, 32), np.nan, np.float32)
    with pytest.raises(BundleError, match="no number"):
        index.search("0")
    model.queries = np.ones((1, 7), np.float32)
    with pytest.raises(BundleError, match="shape"):
        index.search("0")


def test_check_tells_about_an_index_without_a_graph(tmp_path: Path) -> None:
    with make(tmp_path, ColourModel()) as index:
        index.add(paint(tmp_path / "red.png"))
    checked = autoglm("index", "check", tmp_path / "colours.index")
    assert checked.exit_code == 0
    assert "compares all pictures" in checked.stdout
    assert autoglm("index", "check", tmp_path / "none").exit_code == 2
    assert "between 0 and 1" in autoglm("index", "check", tmp_path / "colours.index", "--floor", "3").stderr
