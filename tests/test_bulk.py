"""Bulk embedding into a dataset: every source, kills, an index made of it, and searching it in place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from bulk_parts import encoded, metadata, pack, paint_colours, rows
from cli_parts import autoglm, document, mistake
from index_parts import ColourModel, environment, names, paint

from open_autoglm.errors import (
    FilterError,
    IndexStoreError,
    PictureNotFound,
    SettingError,
    SpaceMismatch,
    TextError,
)
from open_autoglm.search import Index

lance = pytest.importorskip("lance", reason="Lance is not installed: pip install -e '.[cluster]'")
pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


from open_autoglm.search.bulk import InProcess, embed, fill  # noqa: E402
from open_autoglm.search.bulk.dataset import DatasetFacts, Written  # noqa: E402
from open_autoglm.search.bulk.parts import Part  # noqa: E402

PICTURES = 40
EMBED = """
import os, signal, sys
from index_parts import ColourModel
from open_autoglm.search.bulk import dataset, embed, work
{before}
embed(sys.argv[1], sys.argv[2], ColourModel(), part_size=5)
"""
KILLED_WHILE_EMBEDDING = """
embed_prepared = ColourModel.embed_prepared
def dying(model, pixels):
    if model.embedded >= 17:
        os.kill(os.getpid(), signal.SIGKILL)
    return embed_prepared(model, pixels)
ColourModel.embed_prepared = dying
"""
KILLED_BEFORE_A_COMMIT = """
commit = dataset.Dataset.commit
def dying(self, written):
    if written.part == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    commit(self, written)
dataset.Dataset.commit = dying
"""
KILLED_AFTER_A_COMMIT = """
commit = dataset.Dataset.commit
def dying(self, written):
    commit(self, written)
    if written.part == 3:
        os.kill(os.getpid(), signal.SIGKILL)
dataset.Dataset.commit = dying
"""


@pytest.fixture
def model() -> ColourModel:
    return ColourModel()


def test_a_folder_becomes_a_dataset_with_a_row_a_picture(tmp_path: Path, model: ColourModel) -> None:
    paths = paint_colours(tmp_path / "photos", 7)
    (tmp_path / "photos/0003.png").write_bytes(b"no picture at all")
    told: list[tuple[int, int]] = []
    report = embed(
        tmp_path / "photos", tmp_path / "p.lance", model, part_size=3, progress=lambda *now: told.append(now)
    )
    assert (report.pictures, report.embedded, report.parts) == (6, 6, 3)
    assert [Path(one.path).name for one in report.skipped] == ["0003.png"]
    assert "not a picture" in report.skipped[0].reason
    assert told == [(0, 7), (3, 7), (6, 7), (7, 7)]
    found = rows(tmp_path / "p.lance")
    assert [row["id"] for row in found] == list(range(1, 8))
    assert [row["path"] for row in found] == [str(path) for path in paths]
    assert [row["part"] for row in found] == [0, 0, 0, 1, 1, 1, 2]
    assert [row["width"] for row in found] == [60, 61, 62, None, 64, 65, 66]
    first = np.array(found[0]["vectors"], np.float32).reshape(model.views, model.dimension)
    assert first == pytest.approx(model.embed_prepared(model_pixels(model, paths[0]))[0], abs=1e-3)


def model_pixels(model: ColourModel, path: Path) -> np.ndarray:
    from open_autoglm.runtime.images import prepare

    return prepare(path, model.preprocessing, model.limits)[None]


def test_a_finished_dataset_is_not_worked_on_again(tmp_path: Path, model: ColourModel) -> None:
    paint_colours(tmp_path / "photos", 6)
    (tmp_path / "photos/0001.png").write_bytes(b"")
    first = embed(tmp_path / "photos", tmp_path / "p.lance", model, part_size=2)
    before, embedded = rows(tmp_path / "p.lance"), model.embedded
    again = embed(tmp_path / "photos", tmp_path / "p.lance", model, part_size=2)
    assert (again.pictures, again.embedded, again.parts) == (5, 0, 0)
    assert again.skipped == first.skipped, "what was skipped before is told again"
    assert model.embedded == embedded
    assert rows(tmp_path / "p.lance") == before


@pytest.mark.parametrize("kill", [KILLED_WHILE_EMBEDDING, KILLED_BEFORE_A_COMMIT, KILLED_AFTER_A_COMMIT])
def test_killed_and_resumed_the_rows_are_the_same(tmp_path: Path, kill: str, model: ColourModel) -> None:
    paint_colours(tmp_path / "photos", PICTURES)
    (tmp_path / "photos/0011.png").write_bytes(b"no picture")
    command = [sys.executable, "-c", EMBED.format(before=kill), tmp_path / "photos", tmp_path / "killed.lance"]
    assert subprocess.run(command, env=environment(), check=False).returncode == -signal.SIGKILL
    stored = len(rows(tmp_path / "killed.lance"))
    assert stored in (15, 20), "parts are stored whole"
    report = embed(tmp_path / "photos", tmp_path / "killed.lance", model, part_size=5)
    assert model.embedded == report.embedded == PICTURES - stored - (stored <= 11)
    embed(tmp_path / "photos", tmp_path / "whole.lance", model, part_size=5)
    assert rows(tmp_path / "killed.lance") == rows(tmp_path / "whole.lance")


def test_killed_again_and_again_at_any_moment(tmp_path: Path, model: ColourModel) -> None:
    paint_colours(tmp_path / "photos", PICTURES)
    slow = "import time\nprepared = ColourModel.embed_prepared\n"
    slow += "ColourModel.embed_prepared = lambda self, pixels: time.sleep(0.02) or prepared(self, pixels)"
    command = [sys.executable, "-c", EMBED.format(before=slow), tmp_path / "photos", tmp_path / "killed.lance"]
    for wait in (0.0, 0.01, 0.05):
        process = subprocess.Popen(command, env=environment())
        before = len(list((tmp_path / "killed.lance").glob("data/*")))
        while process.poll() is None and len(list((tmp_path / "killed.lance").glob("data/*"))) == before:
            time.sleep(0.002)
        time.sleep(wait)
        process.kill()
        process.wait()
    embed(tmp_path / "photos", tmp_path / "killed.lance", model, part_size=5)
    embed(tmp_path / "photos", tmp_path / "whole.lance", model, part_size=5)
    assert rows(tmp_path / "killed.lance") == rows(tmp_path / "whole.lance")


def test_two_programs_at_once_store_nothing_twice(tmp_path: Path, model: ColourModel) -> None:
    paint_colours(tmp_path / "photos", 12)

    class Meanwhile(ColourModel):
        """While this one embeds its first part, another program does all of them."""

        def embed_prepared(self, pixels: np.ndarray) -> np.ndarray:
            if not self.embedded:
                embed(tmp_path / "photos", tmp_path / "p.lance", model, part_size=3)
            return super().embed_prepared(pixels)

    with pytest.raises(IndexStoreError, match="Another program is writing"):
        embed(tmp_path / "photos", tmp_path / "p.lance", Meanwhile(), part_size=3)
    assert [row["id"] for row in rows(tmp_path / "p.lance")] == list(range(1, 13))


def test_parquet_with_encoded_pictures_keeps_the_other_columns(
    tmp_path: Path,
    model: ColourModel,
) -> None:
    pictures = [encoded(colour, (40, 30), tmp_path) for colour in ("red", "green", "blue")]
    table = pa.table(
        {
            "image": [
                {"bytes": pictures[0], "path": "a"},
                {"bytes": b"xx", "path": "b"},
                {"bytes": pictures[2], "path": ""},
            ],
            "price": [5, 6, 7],
            "width": [1, 2, 3],
            "tags": [["a"], [], []],
        }
    )
    parquet.write_table(table, tmp_path / "shop.parquet", row_group_size=2)
    report = embed(tmp_path / "shop.parquet", tmp_path / "p.lance", model, part_size=2)
    assert report.pictures == 2
    assert [one.path for one in report.skipped] == [str(tmp_path / "shop.parquet/1")]
    assert metadata(tmp_path / "p.lance")[::2] == [{"price": 5}, {"price": 7}]
    with Index.open(f"lance://{tmp_path / 'p.lance'}", model) as index:
        assert names(index.search("blue", cut=False, k=1)) == ["2"]


def test_parquet_with_paths_reads_the_files_beside_it(tmp_path: Path, model: ColourModel) -> None:
    paint(tmp_path / "files/a.png", "red")
    parquet.write_table(pa.table({"where": ["files/a.png", "files/b.png", None]}), tmp_path / "t.parquet")
    report = embed(tmp_path / "t.parquet", tmp_path / "p.lance", model, column="where")
    assert report.pictures == 1
    assert [one.reason for one in report.skipped] == [
        f"There is no file {tmp_path / 'files/b.png'}.",
        "The row has no picture.",
    ]
    with pytest.raises(SettingError, match=r"no column 'image'.*--column.*where"):
        embed(tmp_path / "t.parquet", tmp_path / "q.lance", model, column="image")
    with pytest.raises(SettingError, match="no column that is called like pictures"):
        embed(tmp_path / "t.parquet", tmp_path / "q.lance", model)


def test_tar_shards_with_a_damaged_member_and_a_cut_end(tmp_path: Path, model: ColourModel) -> None:
    red, blue = encoded("red", (40, 30), tmp_path), encoded("blue", (40, 30), tmp_path)
    pack(
        tmp_path / "shards/0.tar",
        [
            ("000.jpg", red),
            ("000.txt", b"a red wall"),
            ("000.json", json.dumps({"price": 3, "id": 9, "boxes": [1]}).encode()),
            ("001.png", red[:50]),
            ("002.png", blue),
        ],
    )
    second = pack(tmp_path / "shards/1.tar", [("003.png", red), ("004.png", os.urandom(4096))])
    second.write_bytes(second.read_bytes()[:2048])
    report = embed(tmp_path / "shards", tmp_path / "p.lance", model, part_size=2)
    assert report.pictures == 3
    assert {Path(one.path).name for one in report.skipped} >= {"001.png"}
    assert any(one.path.startswith(str(second)) and "cut short" in one.reason for one in report.skipped)
    assert metadata(tmp_path / "p.lance")[0] == {"caption": "a red wall", "price": 3}
    with Index.open(f"lance://{tmp_path / 'p.lance'}", model) as index:
        assert names(index.search("red", where="price = 3")) == ["000.jpg"]


def test_an_index_made_of_it_computes_nothing_and_finds_the_same(
    tmp_path: Path,
    model: ColourModel,
) -> None:
    paint_colours(tmp_path / "photos", 20)
    (tmp_path / "photos/0005.png").write_bytes(b"no picture")
    embed(tmp_path / "photos", tmp_path / "p.lance", model, part_size=4)
    with Index.create(tmp_path / "own.index", model) as index:
        index.add(tmp_path / "photos")
        wanted = [(hit.path, hit.score) for hit in index.search("red", k=50, cut=False)]
        matching = [hit.path for hit in index.search("red", k=50)]
        assert 0 < len(matching) < len(wanted)
    embedded = model.embedded
    report = fill(tmp_path / "filled.index", tmp_path / "p.lance")
    assert (report.added, len(report.skipped)) == (19, 1)
    assert fill(tmp_path / "filled.index", tmp_path / "p.lance").unchanged == 19
    with Index.open(tmp_path / "filled.index", model) as index:
        assert [(hit.path, hit.score) for hit in index.search("red", k=50, cut=False)] == wanted
        assert index.get(1).width == 60
        assert index.add(tmp_path / "photos").unchanged == 19, "and it is brought up to date without embedding"
    assert model.embedded == embedded
    with Index.open(f"lance://{tmp_path / 'p.lance'}", model) as index:
        assert [(hit.path, hit.score) for hit in index.search("red", k=50, cut=False)] == wanted
        assert [hit.path for hit in index.search("red", k=50)] == matching


def test_a_dataset_is_searched_in_place_and_never_changed(tmp_path: Path, model: ColourModel) -> None:
    paths = paint_colours(tmp_path / "photos", 16)
    embed(tmp_path / "photos", tmp_path / "p.lance", model, part_size=5)
    with Index.open(f"lance://{tmp_path / 'p.lance'}", model) as index:
        assert len(index) == 16
        assert index.info()["pictures"] == 16
        red = index.search("red", k=3)
        assert [hit.score for hit in red] == sorted((hit.score for hit in red), reverse=True)
        assert names(index.search(image=paths[6], k=1)) == ["0006.png"]
        hits = index.search(image=paths[6], k=2, where="name > '0005'")
        ids, cosines = index.nearest(model.embed_images([paths[6]]), k=2, where="name > '0005'")
        assert ids[0].tolist() == [hit.id for hit in hits]
        assert cosines[0].tolist() == pytest.approx([hit.score for hit in hits])
        like = index.search(like=7, k=2)
        assert 7 not in [hit.id for hit in like] and len(like) == 2
        assert names(index.search("red", cut=False, k=50, where="width < 63 and name like '%.png'")) == [
            "0000.png",
            *names(index.search("red", cut=False, k=50, where="width in (61, 62)")),
        ]
        assert index.search("red", where="width > 1000") == []
        assert index.get(2).path == str(paths[1])
        for wrong, error in (("prise < 3", "prise"), ("width >", "cannot be understood"), ("", "empty")):
            with pytest.raises(FilterError, match=error):
                index.search("red", where=wrong)
        for id in (0, 17, 2**70):
            with pytest.raises(PictureNotFound):
                index.search(like=id)
        with pytest.raises(TextError):
            index.search("")
        with pytest.raises(SettingError, match="looked at twice"):
            index.search("red", rerank=20)
        for change in (lambda: index.add(paths), lambda: index.delete(1)):
            with pytest.raises(IndexStoreError, match=r"read in place.*autoglm index --from"):
                change()


def test_models_sources_and_other_things_that_do_not_fit_are_refused(
    tmp_path: Path,
    model: ColourModel,
) -> None:
    paint_colours(tmp_path / "photos", 6)
    dataset = tmp_path / "p.lance"
    embed(tmp_path / "photos", dataset, model, part_size=4)
    other = ColourModel("colours-2")
    with pytest.raises(SpaceMismatch, match="colours-2"):
        embed(tmp_path / "photos", dataset, other, part_size=4)
    with pytest.raises(SpaceMismatch, match="colours-2"):
        Index.open(f"lance://{dataset}", other)
    Index.create(tmp_path / "other.index", other).close()
    with pytest.raises(SpaceMismatch, match="cannot fill the index"):
        fill(tmp_path / "other.index", dataset)
    paint(tmp_path / "photos/9999.png", "red")
    with pytest.raises(IndexStoreError, match="same source unchanged"):
        embed(tmp_path / "photos", dataset, model, part_size=4)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/letter.txt").write_text("mine")
    with pytest.raises(IndexStoreError, match="something else"):
        embed(tmp_path / "photos", tmp_path / "kept", model)
    lance.write_dataset(pa.table({"a": [1]}), str(tmp_path / "foreign.lance"))
    with pytest.raises(IndexStoreError, match="not made by 'autoglm embed'"):
        fill(tmp_path / "new.index", tmp_path / "foreign.lance")
    with pytest.raises(IndexStoreError, match="There is no dataset"):
        Index.open(f"lance://{tmp_path / 'nowhere.lance'}")


def test_a_source_that_a_worker_does_not_see_is_not_taken_for_unusable(tmp_path: Path, model: ColourModel) -> None:
    paint_colours(tmp_path / "photos", 4)

    class Elsewhere(InProcess):
        """A machine on which the source is not mounted."""

        def run(self, address: str, facts: DatasetFacts, parts: Sequence[Part]) -> Iterator[Written]:
            (tmp_path / "photos").rename(tmp_path / "away")
            yield from super().run(address, facts, parts)

    with pytest.raises(SettingError, match=r"there is no .*0000.png.*same path on every machine"):
        embed(tmp_path / "photos", tmp_path / "p.lance", model, executor=Elsewhere(model))
    assert rows(tmp_path / "p.lance") == []


def test_an_unfinished_dataset_fills_no_index(tmp_path: Path, model: ColourModel) -> None:
    paint_colours(tmp_path / "photos", PICTURES)
    command = [
        sys.executable,
        "-c",
        EMBED.format(before=KILLED_AFTER_A_COMMIT),
        tmp_path / "photos",
        tmp_path / "p.lance",
    ]
    subprocess.run(command, env=environment(), check=False)
    with pytest.raises(IndexStoreError, match="unfinished, 4 of 8 parts"):
        fill(tmp_path / "photos.index", tmp_path / "p.lance")
    assert not (tmp_path / "photos.index").exists()


def test_sources_that_cannot_be_used_are_refused_before_anything_is_made(
    tmp_path: Path,
    model: ColourModel,
) -> None:
    (tmp_path / "empty").mkdir()
    paint(tmp_path / "mixed/a.png", "red")
    pack(tmp_path / "mixed/0.tar", [("1.txt", b"x")])
    pack(tmp_path / "texts/0.tar", [("1.txt", b"x")])
    (tmp_path / "zipped.tar.gz").write_bytes(b"")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    for source, sentence in [
        ("nowhere", "There is nothing at"),
        ("empty", "holds no pictures"),
        ("texts", "holds no pictures"),
        ("mixed", "name either alone"),
        ("zipped.tar.gz", "unpack it first"),
        ("bad.parquet", "cannot be read as Parquet"),
    ]:
        with pytest.raises(SettingError, match=sentence):
            embed(tmp_path / source, tmp_path / "p.lance", model)
    assert not (tmp_path / "p.lance").exists()


def test_the_commands_from_pictures_to_hits(tmp_path: Path) -> None:
    paint(tmp_path / "photos/red.png", "red")
    paint(tmp_path / "photos/blue.png", "blue")
    (tmp_path / "photos/bad.png").write_bytes(b"no picture")
    out, index = tmp_path / "p.lance", tmp_path / "p.index"
    made = document("embed", tmp_path / "photos", "--out", out)
    assert (made["pictures"], made["embedded"], len(made["skipped"])) == (2, 2, 1)
    shown = autoglm("embed", tmp_path / "photos", "--out", out)
    assert "holds 2 pictures: 0 pictures embedded now, 1 skipped" in shown.stdout
    assert document("index", "--from", out, "--to", index)["added"] == 2
    wanted = document("search", index, "a red square", "--all")["hits"]
    found = document("search", f"lance://{out}", "a red square", "--all")["hits"]
    assert [(hit["path"], hit["score"]) for hit in found] == [(hit["path"], hit["score"]) for hit in wanted]


def test_mistakes_on_the_command_line_are_one_sentence(tmp_path: Path) -> None:
    photo = paint(tmp_path / "photos/red.png", "red")
    out = tmp_path / "p.lance"
    assert "nothing at" in mistake("embed", tmp_path / "nowhere", "--out", out)
    assert "--out" in mistake("embed", photo, "--cluster", "local")
    assert "--cluster" in mistake("embed", photo, "--out", out, "--workers", "2")
    assert "leave out --text" in mistake("embed", photo, "--out", out, "--text", "a dog")
    assert "no column" in mistake("embed", tmp_path / "photos", "--out", out, "--column", "image")
    assert "either a folder" in mistake("index", "--to", tmp_path / "p.index")
    assert "--from takes all" in mistake("index", "--from", out, "--to", tmp_path / "p.index", "--prune")
    assert "There is no dataset" in mistake("index", "--from", out, "--to", tmp_path / "p.index")
    assert "There is no dataset" in mistake("search", f"lance://{out}", "a dog")
    assert "empty" in mistake("search", "lance://", "a dog")
