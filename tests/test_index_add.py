"""Bringing an index up to date: what is embedded, moved, kept and removed, and what is reported."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from index_parts import ColourModel, everything, make, names, paint, paint_many

from open_autoglm.errors import SettingError
from open_autoglm.runtime.images import ImageLimits
from open_autoglm.search import AddReport, Index, Progress


def report(**counts: int) -> AddReport:
    """A report without anything skipped."""
    return AddReport(**{"added": 0, "updated": 0, "moved": 0, "unchanged": 0, "removed": 0} | counts, skipped=())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of four pictures, and files that are none."""
    for colour in ("red", "green", "blue", "white"):
        paint(tmp_path / "photos" / colour[0] / f"{colour}.png", colour)
    (tmp_path / "photos/notes.txt").write_text("no picture")
    (tmp_path / "photos/.hidden.png").write_bytes(b"no picture")
    return tmp_path / "photos"


@pytest.fixture
def model() -> ColourModel:
    return ColourModel()


@pytest.fixture
def index(tmp_path: Path, photos: Path, model: ColourModel) -> Index:
    """An index over ``photos``."""
    index = make(tmp_path, model)
    assert index.add(photos) == report(added=4)
    return index


def test_unchanged_files_are_not_even_read(index: Index, photos: Path, model: ColourModel) -> None:
    for path in photos.rglob("*.png"):
        status = path.stat()
        path.write_bytes(b"x" * status.st_size)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert index.add(photos) == report(unchanged=4)
    assert model.embedded == 4


def test_a_touched_file_is_not_embedded_again(index: Index, photos: Path, model: ColourModel) -> None:
    before = index.get(index.search("red")[0].id)
    os.utime(photos / "r/red.png", (1_000_000_000, 1_000_000_000))
    assert index.add(photos) == report(unchanged=4)
    after = index.get(before.id)
    assert (after.date, model.embedded) == ("2001-09-09T01:46:40Z", 4)
    (photos / "r/red.png").write_bytes(b"x" * after.size)
    os.utime(photos / "r/red.png", (1_000_000_000, 1_000_000_000))
    assert index.add(photos) == report(unchanged=4), "the new time was not remembered"


def test_a_changed_picture_is_embedded_again_under_its_id(index: Index, photos: Path) -> None:
    id = index.search("red")[0].id
    paint(photos / "r/red.png", "blue", size=(80, 60))
    assert index.add(photos) == report(updated=1, unchanged=3)
    assert index.search("red") == []
    assert (index.get(id).width, index.get(id).height) == (80, 60)
    assert id in [hit.id for hit in index.search("blue")]


def test_a_moved_picture_keeps_its_id_and_metadata(index: Index, photos: Path, model: ColourModel) -> None:
    index.add(photos, {"r/red.png": {"price": 3}})
    id = index.search("red")[0].id
    (photos / "r").rename(photos / "renamed")
    assert index.add(photos) == report(moved=1, unchanged=3)
    hit = index.search("red")[0]
    assert (hit.id, hit.path, hit.metadata) == (id, str(photos / "renamed/red.png"), {"price": 3})
    assert (index.get(id).folder, model.embedded) == (str(photos / "renamed"), 4)


def test_a_copy_is_a_picture_of_its_own_that_is_not_embedded(index: Index, photos: Path, model: ColourModel) -> None:
    shutil.copy(photos / "r/red.png", photos / "copy.png")
    assert index.add(photos) == report(added=1, unchanged=4)
    assert sorted(names(index.search("red"))) == ["copy.png", "red.png"]
    assert model.embedded == 4


def test_copies_within_one_batch_are_embedded_once(tmp_path: Path, model: ColourModel) -> None:
    for number in range(40):
        paint(tmp_path / "same" / f"{number}.png")
    index = make(tmp_path, model)
    assert index.add(tmp_path / "same") == report(added=40)
    assert (model.embedded, len(everything(index))) == (1, 40)


def test_a_picture_over_another_changes_that_one(index: Index, photos: Path, model: ColourModel) -> None:
    id = index.search("green")[0].id
    (photos / "r/red.png").replace(photos / "g/green.png")
    assert index.add(photos) == report(updated=1, unchanged=2, removed=1)
    assert [(hit.id, Path(hit.path).name) for hit in index.search("red")] == [(id, "green.png")]
    assert model.embedded == 4


def test_deleted_files_leave_the_index_with_their_folder(index: Index, photos: Path, tmp_path: Path) -> None:
    shutil.rmtree(photos / "r")
    paint(tmp_path / "photos-more/green.png", "green", size=(9, 9))
    assert index.add(tmp_path / "photos-more") == report(added=1), "a neighbour with a longer name is not below"
    assert len(index) == 5
    assert index.add(photos) == report(unchanged=3, removed=1)
    assert index.search("red") == []


def test_a_missing_folder_changes_nothing(index: Index, photos: Path, tmp_path: Path) -> None:
    photos.rename(tmp_path / "elsewhere")
    with pytest.raises(SettingError, match=r"photos cannot be indexed: .*No such file"):
        index.add(photos)
    with pytest.raises(SettingError):
        index.add([7])  # type: ignore[list-item]
    assert len(everything(index)) == 4


def test_single_files_are_added_whatever_their_suffix(index: Index, photos: Path, tmp_path: Path) -> None:
    odd = paint(tmp_path / "odd.png", "red", "green").rename(photos / "odd.picture")
    assert index.add(odd) == report(added=1)
    assert index.add(photos) == report(unchanged=4), "a folder keeps what was added by name"
    missing = index.add([photos / "missing.png", str(photos / "notes.txt"), odd])
    assert missing.unchanged == 1
    assert [Path(skipped.path).name for skipped in missing.skipped] == ["missing.png", "notes.txt"]
    odd.unlink()
    assert index.add(photos) == report(unchanged=4, removed=1)


def test_metadata_changes_without_embedding(index: Index, photos: Path, model: ColourModel) -> None:
    assert index.add(photos, {"r/red.png": {"price": 3}, str(photos / "g/green.png"): {"price": 4}}) == report(
        updated=2, unchanged=2
    )
    assert index.add(photos, {"r/red.png": {"price": 3}}) == report(unchanged=4)
    assert index.add(photos) == report(unchanged=4)
    assert index.search("green", where="price = 4")[0].metadata == {"price": 4}
    assert index.add(photos / "r/red.png", {"red.png": {"brand": "x"}}) == report(updated=1)
    assert index.search("red")[0].metadata == {"brand": "x"}
    assert model.embedded == 4


def test_metadata_without_a_picture_is_reported(index: Index, photos: Path) -> None:
    skipped = index.add(photos, {"r/rad.png": {"price": 3}}).skipped
    assert [item.path for item in skipped] == ["r/rad.png"]


def test_progress_counts_every_file(tmp_path: Path) -> None:
    paint_many(tmp_path / "photos", 37)
    (tmp_path / "photos/0/000.png").write_bytes(b"broken")
    seen: list[Progress] = []
    index = make(tmp_path)
    index.add(tmp_path / "photos", progress=seen.append)
    assert sorted(step.done for step in seen) == list(range(1, 38))
    assert {step.total for step in seen} == {37}
    assert len({step.path for step in seen}) == 37


def test_unusable_pictures_are_named_remembered_and_tried_again_when_they_change(
    tmp_path: Path, model: ColourModel
) -> None:
    folder = tmp_path / "photos"
    paint(folder / "fine.png")
    whole = paint(folder / "truncated.png", "green", size=(300, 300)).read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("this is no picture")
    (folder / "mislabelled.jpg").write_bytes(whole)
    index = make(tmp_path, model)
    for attempt in range(2):
        result = index.add(folder)
        assert [Path(item.path).name for item in result.skipped] == ["empty.jpg", "text.jpg", "truncated.png"]
        assert all(item.reason.endswith(".") for item in result.skipped)
        assert (result.added, result.unchanged) == ((2, 0) if attempt == 0 else (0, 2))
    paint(folder / "truncated.png", "green")
    (folder / "empty.jpg").unlink()
    assert [Path(item.path).name for item in index.add(folder).skipped] == ["text.jpg"]
    assert (len(index), index.info()["skipped"]) == (3, 1)


def test_a_picture_that_breaks_keeps_what_is_known(index: Index, photos: Path) -> None:
    (photos / "r/red.png").write_bytes(b"broken")
    for _ in range(2):
        result = index.add(photos)
        assert [Path(item.path).name for item in result.skipped] == ["red.png"]
        assert (result.removed, names(index.search("red"))) == (0, ["red.png"])


def test_what_a_limit_refused_is_tried_again_under_another(index: Index, photos: Path, tmp_path: Path) -> None:
    strict = Index.open(tmp_path / "colours.index", ColourModel(limits=ImageLimits(max_pixels=3000)))
    paint(photos / "large.png", "red", size=(100, 100))
    assert len(strict.add(photos).skipped) == 1
    assert index.add(photos) == report(added=1, unchanged=4)
    strict = Index.open(tmp_path / "colours.index", ColourModel(limits=ImageLimits(max_bytes=10)))
    paint(photos / "larger.png", "red", size=(200, 200))
    assert "10 bytes" in strict.add(photos).skipped[0].reason
